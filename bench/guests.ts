// Guest programs on our engines, QEMU's TCG and v86: the same initial RAM file system in one go on each, seconds by
// program, ratios and their geometric means. docs/benchmarks.md describes it. A command, never a timed test.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { UserError } from '../src/base/errors.ts';
import { catalogue } from '../src/host-node/guests/catalogue.ts';
import { bootRows, measureBoot } from './guests/boot.ts';
import { SOURCES, buildInitramfs, commandOf, compile } from './guests/build.ts';
import { ENGINES, unavailable, version } from './guests/engines.ts';
import type { Engine } from './guests/engines.ts';
import { checksumFailures, clockDoubts, disturbed, measure, medians, rowsOf } from './guests/measure.ts';
import type { Measured, Sessions } from './guests/measure.ts';
import { runNative } from './guests/native.ts';
import type { NativeRun } from './guests/native.ts';
import { installData, installPackaged } from './guests/packages.ts';
import { programs } from './guests/programs.ts';
import type { GuestProgram, Width } from './guests/programs.ts';
import { meansLine, pairs, ratioMeans, renderMemory, renderTable } from './guests/table.ts';

/** Name of the measurement that is no program: the kernel's boot and power-off. */
const BOOT = 'boot';

/** The guest's, or processor time of the engine's process. */
const CLOCKS = ['guest', 'cpu'] as const;
type Clock = (typeof CLOCKS)[number];

interface Choice {
  readonly widths: readonly Width[];
  readonly engines: readonly Engine[];
  readonly programs: readonly GuestProgram[];
  readonly boot: boolean;
  readonly repeat: number;
  /** How often compiled programs do their work in one process. */
  readonly rounds: number;
  /** Whose seconds the table shows. */
  readonly clock: Clock;
  readonly json: string | undefined;
}

function choose(args: readonly string[]): Choice {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({ args: [...args], options: { width: { ...text, default: 'both' }, engines: { ...text, default: ENGINES.join(',') }, only: text, repeat: { ...text, default: '3' }, rounds: { ...text, default: '1' }, clock: { ...text, default: 'guest' }, json: text } });
  const pick = <T extends string>(kind: string, list: string, known: readonly T[]): readonly T[] => {
    const names = list.split(',');
    const unknown = names.find((name) => !(known as readonly string[]).includes(name));
    if (unknown !== undefined) throw new UserError(`${kind} "${unknown}" is unknown; give ${known.join(', ')}`);
    return known.filter((name) => names.includes(name));
  };
  const [width] = pick('width', values.width, ['64', '32', 'both']);
  const count = (name: 'repeat' | 'rounds'): number => {
    const value = Number(values[name]);
    if (!Number.isInteger(value) || value < 1) throw new UserError(`--${name} ${values[name]}: give a whole number above 0`);
    return value;
  };
  const all = [...programs.map(({ name }) => name), BOOT];
  const names = values.only === undefined ? all : pick('program', values.only, all);
  return {
    widths: width === 'both' ? [64, 32] : [width === '64' ? 64 : 32],
    engines: pick('engine', values.engines, ENGINES),
    programs: programs.filter(({ name }) => names.includes(name)),
    boot: names.includes(BOOT),
    repeat: count('repeat'),
    rounds: count('rounds'),
    clock: pick('clock', values.clock, CLOCKS)[0]!,
    json: values.json,
  };
}

const log = (line: string): void => void process.stderr.write(`${line}\n`);

/** Puts programs into the root folder of the guest; returns the files that go along. */
async function install(chosen: readonly GuestProgram[], width: Width): Promise<readonly string[]> {
  await compile('init', width);
  const files: string[] = [];
  for (const program of chosen) {
    if (program.kind === 'packaged') continue;
    await compile(program.name, width);
    files.push(`bin/${program.name}`);
  }
  const packaged = chosen.filter((program) => program.kind === 'packaged');
  if (packaged.length === 0) return files;
  return [...files, ...(await installPackaged(packaged, width, log)), ...installData(SOURCES, width)];
}

function nativeRuns(chosen: readonly GuestProgram[], width: Width, rounds: number): ReadonlyMap<string, NativeRun> {
  const runs = new Map(chosen.flatMap((program) => {
    const run = runNative(program, width, rounds);
    return run === undefined ? [] : [[program.name, run] as const];
  }));
  const without = chosen.filter(({ name }) => !runs.has(name)).map(({ name }) => name);
  if (without.length > 0) console.log(`${width}-bit: not compared with the host processor, which does not run them: ${without.join(', ')}`);
  return runs;
}

function sessionFailures(sessions: Sessions): string[] {
  return [...sessions].flatMap(([engine, results]) => results.flatMap(({ failures }) => failures.map((failure) => `${engine}: ${failure}`)));
}

interface WidthResult {
  readonly failures: readonly string[];
  readonly json: object;
}

async function runWidth(width: Width, choice: Choice): Promise<WidthResult> {
  const guest = await catalogue.find(({ name }) => name === (width === 64 ? 'linux' : 'linux-i386'))!.fetch(log);
  const files = await install(choice.programs, width);
  const native = nativeRuns(choice.programs, width, choice.rounds);
  const engines = choice.engines.filter((engine) => {
    const reason = unavailable(engine, width);
    if (reason !== undefined) console.log(`${width}-bit: engine ${engine}: not available: ${reason}`);
    return reason === undefined;
  });
  if (engines.length === 0) return { failures: [], json: { width, engines: [] } };
  const folder = mkdtempSync(join(tmpdir(), 'polyvisor-bench-'));
  try {
    const names = choice.programs.map(({ name }) => name);
    const run = { kernel: guest.kernel, initrd: join(folder, 'initrd'), append: 'console=ttyS0 quiet', report: join(folder, 'report.json') };
    const failures: string[] = [];
    let json: object = { width, engines: engines.map((engine) => ({ engine, version: version(engine, width) })), native: Object.fromEntries(native) };
    if (names.length > 0) {
      const list = choice.programs.map((program) => `${program.name} ${commandOf(program, width, choice.rounds).join(' ')}\n`).join('');
      writeFileSync(run.initrd, buildInitramfs(width, list, files));
      const sessions = await measure(engines, width, run, names, choice.repeat, log);
      const rows = rowsOf(sessions, names, 'guestSeconds');
      const cpuRows = rowsOf(sessions, names, 'cpuSeconds');
      const shown = choice.clock === 'cpu' ? cpuRows : rows;
      console.log(`\n${renderTable(choice.clock === 'cpu' ? `${width}-bit, processor time` : `${width}-bit`, engines, shown, new Map([...native].map(([name, { seconds }]) => [name, seconds])))}`);
      if (pairs(engines).length > 0) console.log(choice.clock === 'cpu' ? meansLine('by time of the guest', engines, rows) : meansLine('by processor time of the engine', engines, cpuRows));
      for (const line of disturbed(sessions)) console.log(`the machine was busy: ${line}; processor time is the better figure`);
      const memory = medians(sessions, (result: Measured) => [result.memory?.beyondRamBytes ?? null]);
      const resident = medians(sessions, (result: Measured) => [result.memory?.residentBytes ?? null]);
      console.log(renderMemory(engines, memory, resident));
      failures.push(...checksumFailures(sessions, names, native), ...clockDoubts(sessions), ...sessionFailures(sessions));
      json = { ...json, means: ratioMeans(engines, rows), meansByProcessorTime: ratioMeans(engines, cpuRows), rows, cpuRows, memoryBeyondRam: memory, sessions: Object.fromEntries(sessions) };
    }
    if (choice.boot) {
      const sessions = await measureBoot(engines, width, run, choice.repeat, (line) => log(`boot: ${line}`));
      console.log(`\n${renderTable(`${width}-bit boot`, engines, bootRows(sessions))}`);
      failures.push(...sessionFailures(sessions).map((failure) => `boot: ${failure}`));
      json = { ...json, boot: { rows: bootRows(sessions), sessions: Object.fromEntries(sessions) } };
    }
    for (const failure of failures) console.log(`FAILED: ${width}-bit: ${failure}`);
    return { failures, json: { ...json, failures } };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function main(): Promise<number> {
  const choice = choose(process.argv.slice(2));
  const results: WidthResult[] = [];
  for (const width of choice.widths) results.push(await runWidth(width, choice));
  if (choice.json !== undefined) {
    const host = { cpu: cpus()[0]?.model, cpus: cpus().length, kernel: release(), node: process.version, v8: process.versions.v8 };
    writeFileSync(choice.json, `${JSON.stringify({ date: new Date().toISOString(), host, repeat: choice.repeat, rounds: choice.rounds, widths: results.map(({ json }) => json) }, null, 2)}\n`);
  }
  return results.some(({ failures }) => failures.length > 0) ? 1 : 0;
}

// Sessions end their processes when this one exits.
for (const [signal, status] of [['SIGINT', 130], ['SIGTERM', 143]] as const) process.on(signal, () => process.exit(status));
try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof UserError) && !(error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS')) throw error;
  console.error(`bench:guests: ${(error as Error).message}`);
  process.exitCode = 1;
}
