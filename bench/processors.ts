// Several processors on our engines, on QEMU's TCG (a thread for each) and on the host itself, in the same run: threads that
// compute, lock and wake each other (bench/guest/processors.c), and what the idle guest takes. A command, never a timed test.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { UserError } from '../src/base/errors.ts';
import { catalogue } from '../src/host-node/guests/catalogue.ts';
import { DIRECTORY, EXECUTABLE, writeCpio } from '../src/host-node/guests/cpio.ts';
import { ShellGuest } from './disk/shell-guest.ts';
import { compile, rootFolder } from './guests/build.ts';
import { CLI } from './guests/engines.ts';
import { median } from './guests/table.ts';

const ENGINES = ['host', 'translator', 'interpreter', 'hybrid', 'qemu'] as const;
type Engine = (typeof ENGINES)[number];
const PROGRAM = 'processors';
/** Lines of the program, with what they are called in the table. */
const LINES = { one: 'compute, one thread', all: 'compute, all', mutex: 'mutex', spin: 'spin lock', futex: 'futex', handover: 'handover by spinning' } as const;
const GAIN = 'gain of computing';
const IDLE = 'idle, % of a processor';
const MEMORY = '512M';

interface Files {
  readonly kernel: string;
  readonly initrd: string;
}

type Figures = Map<string, number[]>;

function start(engine: Exclude<Engine, 'host'>, cpus: number, { kernel, initrd }: Files): ShellGuest {
  const append = 'console=ttyS0 quiet';
  if (engine !== 'qemu') {
    return new ShellGuest(process.execPath, [CLI, 'run', '--kernel', kernel, '--initrd', initrd, '--append', append, '--memory', MEMORY, '--engine', engine, '--cpus', `${cpus}`, '--overcommit']);
  }
  return new ShellGuest('qemu-system-x86_64', [
    '-machine', 'pc', '-accel', 'tcg,thread=multi', '-smp', `${cpus}`, '-cpu', 'max', '-m', MEMORY, '-nodefaults', '-nographic', '-serial', 'stdio', '-no-reboot',
    '-kernel', kernel, '-initrd', initrd, '-append', append,
  ]);
}

function take(output: string, figures: Figures): void {
  const add = (name: string, value: number): void => void figures.set(name, [...(figures.get(name) ?? []), value]);
  const seconds = new Map([...output.matchAll(/^(\w+) ([\d.]+)\r?$/gm)].map(([, name, value]) => [name!, Number(value)]));
  for (const [line, name] of Object.entries(LINES)) {
    const value = seconds.get(line);
    if (value === undefined) throw new Error(`${PROGRAM} says: ${output}`);
    add(name, value);
  }
}

/** One boot; the program runs `repeat` times behind a first one, in which hot code is translated. */
async function measure(engine: Engine, cpus: number, files: Files, repeat: number, idleSeconds: number): Promise<Figures> {
  const figures: Figures = new Map();
  if (engine === 'host') {
    for (let i = 0; i < repeat; i++) take(execFileSync(join(rootFolder(64), 'bin', PROGRAM), [`${cpus}`], { encoding: 'utf8' }), figures);
    return figures;
  }
  const guest = start(engine, cpus, files);
  try {
    await guest.waitFor(/# /);
    await guest.run('stty -echo; PS1=');
    await guest.run(`${PROGRAM} ${cpus}`);
    for (let i = 0; i < repeat; i++) take(await guest.run(`${PROGRAM} ${cpus}`), figures);
    if (idleSeconds > 0) {
      await sleep(2000);
      const before = guest.cpuSeconds;
      await sleep(1000 * idleSeconds);
      figures.set(IDLE, [100 * (guest.cpuSeconds - before) / idleSeconds]);
    }
    return figures;
  } finally {
    await guest.end();
  }
}

const log = (line: string): void => void process.stderr.write(`${line}\n`);

function whole(name: string, text: string, least: number): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < least) throw new UserError(`--${name} ${text}: give a whole number from ${least} on`);
  return value;
}

async function main(): Promise<void> {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({ options: { engines: { ...text, default: 'host,translator,qemu' }, cpus: { ...text, default: '2' }, repeat: { ...text, default: '3' }, idle: { ...text, default: '15' } } });
  const unknown = values.engines.split(',').find((name) => !(ENGINES as readonly string[]).includes(name));
  if (unknown !== undefined) throw new UserError(`engine "${unknown}" is unknown; give ${ENGINES.join(', ')}`);
  const engines = ENGINES.filter((engine) => values.engines.split(',').includes(engine));
  const [cpus, repeat, idleSeconds] = [whole('cpus', values.cpus, 2), whole('repeat', values.repeat, 1), whole('idle', values.idle, 0)];
  const guest = await catalogue.find(({ name }) => name === 'linux')!.fetch(log);
  await compile(PROGRAM, 64);
  const folder = mkdtempSync(join(tmpdir(), 'polyvisor-processors-'));
  try {
    const initrd = join(folder, 'initrd');
    // The kernel unpacks one archive behind the other.
    const program = writeCpio([{ path: 'bin', mode: DIRECTORY }, { path: `bin/${PROGRAM}`, mode: EXECUTABLE, data: readFileSync(join(rootFolder(64), 'bin', PROGRAM)) }]);
    writeFileSync(initrd, Buffer.concat([readFileSync(guest.initrd!), program]));
    const found = new Map<Engine, Figures>();
    for (const engine of engines) {
      const figures = await measure(engine, cpus, { kernel: guest.kernel, initrd }, repeat, idleSeconds);
      for (const [name, runs] of figures) log(`${engine}: ${name} ${runs.map((value) => value.toFixed(3)).join(' ')}`);
      found.set(engine, figures);
    }
    const cell = (engine: Engine, name: string): number => median(found.get(engine)?.get(name) ?? []);
    const row = (name: string, cells: readonly string[]): void => console.log(`${name.padEnd(28)}${cells.map((text) => text.padStart(12)).join('')}`);
    row(`${cpus} processors, medians, s`, engines);
    for (const name of Object.values(LINES)) row(name, engines.map((engine) => cell(engine, name).toFixed(3)));
    row(GAIN, engines.map((engine) => (cpus * cell(engine, LINES.one) / cell(engine, LINES.all)).toFixed(2)));
    if (idleSeconds > 0) row(IDLE, engines.map((engine) => (found.get(engine)!.has(IDLE) ? cell(engine, IDLE).toFixed(2) : '-')));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

main().catch((error: unknown) => {
  log(error instanceof UserError ? `bench: ${error.message}` : String((error as Error).stack));
  process.exitCode = 1;
});
