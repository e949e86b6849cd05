// Saving a whole Linux, and how soon it goes on: docs/benchmarks.md. A command, never a timed test.
import { fork } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { UserError } from '../src/base/errors.ts';
import { VirtualMachine } from '../src/index.ts';
import { checkEngine } from '../src/machine/configuration.ts';
import type { EngineName } from '../src/machine/configuration.ts';

const PATIENCE_MS = 120_000;

/** Prints milliseconds by the clock and of all threads' processor time. */
async function timed(what: string, work: () => Promise<string>): Promise<void> {
  const cpu = process.cpuUsage();
  const began = performance.now();
  const more = await work();
  const ms = performance.now() - began;
  const used = process.cpuUsage(cpu);
  console.log(`${what}: ${ms.toFixed(0)} ms, ${((used.user + used.system) / 1000).toFixed(0)} of processor time${more}`);
}

/** From the file to a guest that runs, and to the answer of its shell. */
async function restore(file: string, engine: EngineName, what: string): Promise<void> {
  let vm: VirtualMachine | undefined;
  await timed(what, async () => {
    const began = performance.now();
    vm = await VirtualMachine.restore(file, { engine });
    const answered = vm.console.waitFor('# ', PATIENCE_MS);
    vm.console.write('\n');
    void vm.start();
    const runs = performance.now() - began;
    await answered;
    return `; the guest ran after ${runs.toFixed(0)} ms, its shell has answered then`;
  });
  await vm!.stop();
}

async function main(): Promise<void> {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({ options: { memory: { ...text, default: '512M' }, engine: { ...text, default: 'translator' }, fill: { ...text, default: '400' }, folder: text, compress: { type: 'boolean' }, repeat: { ...text, default: '3' }, restore: text } });
  const repeat = Number(values.repeat);
  const engine = checkEngine(values.engine);
  if (values.restore !== undefined) {
    await restore(values.restore, engine, 'restore, first of its process');
    for (let i = 1; i < repeat; i++) await restore(values.restore, engine, 'restore, again');
    return;
  }
  const folder = mkdtempSync(join(values.folder ?? tmpdir(), 'polyvisor-save-'));
  try {
    const vm = await VirtualMachine.create({ guest: 'linux', engine, memory: values.memory, append: 'quiet' });
    void vm.start();
    await vm.console.waitFor('# ', PATIENCE_MS);
    // Pages that are zero are not stored.
    vm.console.write(`mkdir /full; mount -t ramfs none /full; dd if=/dev/urandom of=/full/one bs=1M count=10 2> /dev/null; for i in $(seq ${Math.ceil(Number(values.fill) / 10)}); do cat /full/one; done > /full/file; echo "fil""led"\n`);
    await vm.console.waitFor(/filled\r?\n/, PATIENCE_MS);
    await vm.console.waitFor('# ', PATIENCE_MS);
    const file = join(folder, 'saved');
    for (let i = 0; i < repeat; i++) {
      await timed('save', async () => `, ${((await vm.saveFile(file, { compress: values.compress ?? false })) / 2 ** 20).toFixed(0)} MiB`);
    }
    await vm.stop();
    const child = fork(fileURLToPath(import.meta.url), ['--restore', file, '--engine', values.engine, '--repeat', values.repeat]);
    await new Promise((resolve) => child.on('close', resolve));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

main().catch((error: unknown) => {
  process.stderr.write(error instanceof UserError ? `bench: ${error.message}\n` : `${(error as Error).stack}\n`);
  process.exitCode = 1;
});
