// Guest programs on our engines, QEMU's TCG and v86: the same initial RAM file system in one go on each, seconds by
// program, ratios and their geometric means. docs/benchmarks.md describes it. A command, never a timed test.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { UserError } from '../src/base/errors.ts';
import { catalogue } from '../src/host-node/guests/catalogue.ts';
import { buildInitramfs, commandOf, compile } from './guests/build.ts';
import { ENGINES, GUEST_MEMORY_MIB, commandLine, unavailable, version } from './guests/engines.ts';
import type { Engine, RunFiles } from './guests/engines.ts';
import { programs } from './guests/programs.ts';
import type { GuestProgram, Width } from './guests/programs.ts';
import { reportedEngine, runSession } from './guests/session.ts';
import type { SessionResult } from './guests/session.ts';
import { geometricMean, median, pairs, ratios, renderTable } from './guests/table.ts';
import type { Row } from './guests/table.ts';

interface Choice {
  readonly widths: readonly Width[];
  readonly engines: readonly Engine[];
  readonly programs: readonly GuestProgram[];
  readonly repeat: number;
  readonly json: string | undefined;
}

function choose(args: readonly string[]): Choice {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({ args: [...args], options: { width: { ...text, default: 'both' }, engines: { ...text, default: ENGINES.join(',') }, only: text, repeat: { ...text, default: '3' }, json: text } });
  const pick = <T extends string>(kind: string, list: string, known: readonly T[]): readonly T[] => list.split(',').map((name) => {
    const found = known.find((item) => item === name);
    if (found === undefined) throw new UserError(`${kind} "${name}" is unknown; give some of ${known.join(', ')}`);
    return found;
  });
  const [width] = pick('width', values.width, ['64', '32', 'both']);
  const repeat = Number(values.repeat);
  if (!Number.isInteger(repeat) || repeat < 1) throw new UserError(`--repeat ${values.repeat}: give a whole number above 0`);
  const names = values.only === undefined ? programs.map(({ name }) => name) : pick('program', values.only, programs.map(({ name }) => name));
  return {
    widths: width === 'both' ? [64, 32] : [width === '64' ? 64 : 32],
    engines: pick('engine', values.engines, ENGINES),
    programs: programs.filter(({ name }) => names.includes(name)),
    repeat,
    json: values.json,
  };
}

type Sessions = Map<Engine, SessionResult[]>;

/** Runs the set `repeat` times on each engine, engines in turn, so that a noisy minute hits all alike. */
async function measure(engines: readonly Engine[], width: Width, files: RunFiles, names: readonly string[], repeat: number): Promise<Sessions> {
  const sessions: Sessions = new Map(engines.map((engine) => [engine, []]));
  for (let round = 0; round < repeat; round++) {
    for (const engine of engines) {
      const note = `${width}-bit ${engine} ${round + 1}/${repeat}`;
      const result = await runSession(commandLine(engine, width, files), GUEST_MEMORY_MIB << 20, (line) => process.stderr.write(`${note}: ${line}\n`));
      const failures = [...result.failures];
      const missing = names.filter((name) => !result.programs.some((program) => program.name === name));
      if (missing.length > 0) failures.push(`without a result: ${missing.join(', ')}`);
      if (engine === 'translator' || engine === 'interpreter') {
        const reported = reportedEngine(files.report);
        if (reported !== undefined && reported !== engine) failures.push(`asked for the ${engine}, but the report of the run names ${reported}`);
      }
      for (const failure of failures) process.stderr.write(`${note}: FAILED: ${failure}\n`);
      sessions.get(engine)!.push({ ...result, failures });
    }
  }
  return sessions;
}

function rowsOf(sessions: Sessions, names: readonly string[], key: 'guestSeconds' | 'hostSeconds' | 'cpuSeconds'): readonly Row[] {
  return names.map((name) => ({
    name,
    seconds: Object.fromEntries([...sessions].flatMap(([engine, results]) => {
      const values = results.flatMap((result) => result.programs.filter((program) => program.name === name).map((program) => program[key]));
      return values.length === 0 ? [] : [[engine, median(values)]];
    })),
  }));
}

/** Differences in checksums, between engines or runs; each is a failure. */
function checksumFailures(sessions: Sessions, names: readonly string[]): string[] {
  return names.flatMap((name) => {
    const seen = new Map<string, Set<Engine>>();
    for (const [engine, results] of sessions) {
      for (const program of results.flatMap((result) => result.programs)) {
        if (program.name === name) seen.set(program.checksum, (seen.get(program.checksum) ?? new Set()).add(engine));
      }
    }
    return seen.size < 2 ? [] : [`${name}: checksums differ: ${[...seen].map(([checksum, engines]) => `${checksum} on ${[...engines].join(' and ')}`).join(', ')}`];
  });
}

async function runWidth(width: Width, choice: Choice): Promise<{ failures: string[]; json: object }> {
  const guest = await catalogue.find(({ name }) => name === (width === 64 ? 'linux' : 'linux-i386'))!.fetch((line) => process.stderr.write(`${line}\n`));
  for (const name of ['init', ...choice.programs.flatMap((program) => (program.kind === 'compiled' ? [program.name] : []))]) await compile(name, width);
  const engines = choice.engines.filter((engine) => {
    const reason = unavailable(engine, width);
    if (reason !== undefined) console.log(`${width}-bit: engine ${engine}: not available: ${reason}`);
    return reason === undefined;
  });
  const folder = mkdtempSync(join(tmpdir(), 'polyvisor-bench-'));
  try {
    const names = choice.programs.map(({ name }) => name);
    const list = choice.programs.map((program) => `${program.name} ${commandOf(program, width).join(' ')}\n`).join('');
    const files = { kernel: guest.kernel, initrd: join(folder, 'initrd'), append: 'console=ttyS0 quiet', report: join(folder, 'report.json') };
    writeFileSync(files.initrd, buildInitramfs(width, list, names.map((name) => `bin/${name}`)));
    const sessions = await measure(engines, width, files, names, choice.repeat);
    const rows = rowsOf(sessions, names, 'guestSeconds');
    console.log(`\n${renderTable(width, 'program', engines, rows)}`);
    const failures = [...checksumFailures(sessions, names), ...[...sessions].flatMap(([engine, results]) => results.flatMap((result) => result.failures.map((failure) => `${engine}: ${failure}`)))].map((failure) => `${width}-bit: ${failure}`);
    for (const failure of failures) console.log(`FAILED: ${failure}`);
    const means = Object.fromEntries(pairs(engines).map(([peer, ours]) => [`${peer}/${ours}`, geometricMean(ratios(rows, peer, ours))]));
    return { failures, json: { width, engines: engines.map((engine) => ({ engine, version: version(engine, width) })), means, rows, sessions: Object.fromEntries(sessions), failures } };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function main(): Promise<number> {
  const choice = choose(process.argv.slice(2));
  const results = [];
  for (const width of choice.widths) results.push(await runWidth(width, choice));
  if (choice.json !== undefined) {
    const host = { cpu: cpus()[0]?.model, cpus: cpus().length, platform: process.platform, node: process.version };
    writeFileSync(choice.json, `${JSON.stringify({ date: new Date().toISOString(), host, repeat: choice.repeat, widths: results.map(({ json }) => json) }, null, 2)}\n`);
  }
  return results.some(({ failures }) => failures.length > 0) ? 1 : 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof UserError) && !(error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS')) throw error;
  console.error(`bench:guests: ${(error as Error).message}`);
  process.exitCode = 1;
}
