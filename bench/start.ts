// From the start of our process to the guest's first user process: docs/benchmarks.md. A command, never a timed test.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { UserError } from '../src/base/errors.ts';
import { catalogue } from '../src/host-node/guests/catalogue.ts';
import { CHARACTER_DEVICE, DIRECTORY, EXECUTABLE, writeCpio } from '../src/host-node/guests/cpio.ts';
import { compile, rootFolder } from './guests/build.ts';
import { CLI } from './guests/engines.ts';
import { processCpuSeconds } from './guests/process-figures.ts';
import { median } from './guests/table.ts';

const SAID = 'first user process';
const PATIENCE_MS = 120_000;

interface Start {
  readonly seconds: number;
  /** Processor time of all threads. */
  readonly cpu: number;
}

function measure(args: readonly string[]): Promise<Start> {
  return new Promise((resolve, reject) => {
    const began = performance.now();
    const child = spawn(process.execPath, [CLI, 'run', ...args], { stdio: ['pipe', 'pipe', 'pipe'] });
    let output = '';
    const end = (): void => void child.kill('SIGKILL');
    const timer = setTimeout(end, PATIENCE_MS);
    process.once('exit', end);
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString('latin1');
      if (!output.includes(SAID)) return;
      resolve({ seconds: (performance.now() - began) / 1000, cpu: processCpuSeconds(child.pid!) });
      end();
    });
    child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
    child.on('close', () => {
      clearTimeout(timer);
      process.off('exit', end);
      reject(new UserError(`the guest has not come to its first user process: ${output.slice(-500)}`));
    });
  });
}

async function main(): Promise<void> {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({ options: { kernel: text, machine: { ...text, default: 'microvm' }, engine: { ...text, default: 'translator' }, memory: { ...text, default: '128M' }, append: { ...text, default: '' }, repeat: { ...text, default: '5' } } });
  const kernel = values.kernel ?? (await catalogue.find(({ name }) => name === 'linux')!.fetch((line) => void process.stderr.write(`${line}\n`))).kernel;
  await compile('first', 64);
  const folder = mkdtempSync(join(tmpdir(), 'polyvisor-start-'));
  try {
    const initrd = join(folder, 'initrd');
    writeFileSync(initrd, writeCpio([
      { path: 'dev', mode: DIRECTORY }, { path: 'dev/console', mode: CHARACTER_DEVICE, device: [5, 1] },
      { path: 'init', mode: EXECUTABLE, data: new Uint8Array(readFileSync(join(rootFolder(64), 'bin/first'))) },
    ]));
    const found: Start[] = [];
    for (let i = 0; i < Number(values.repeat); i++) {
      const start = await measure(['--kernel', kernel, '--initrd', initrd, '--machine', values.machine, '--engine', values.engine, '--memory', values.memory, '--append', `console=ttyS0 quiet ${values.append}`]);
      console.log(`${values.machine}, ${values.engine}: first user process after ${start.seconds.toFixed(2)} s, ${start.cpu.toFixed(2)} s of processor time`);
      found.push(start);
    }
    console.log(`median: ${median(found.map(({ seconds }) => seconds)).toFixed(2)} s, ${median(found.map(({ cpu }) => cpu)).toFixed(2)} s of processor time`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

main().catch((error: unknown) => {
  process.stderr.write(error instanceof UserError ? `bench: ${error.message}\n` : `${(error as Error).stack}\n`);
  process.exitCode = 1;
});
