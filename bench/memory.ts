// Resident memory of a guest that runs many different programs, over time: docs/benchmarks.md. A command, never a timed test.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { UserError } from '../src/base/errors.ts';
import { catalogue } from '../src/host-node/guests/catalogue.ts';
import { SOURCES, buildInitramfs, commandOf, compile } from './guests/build.ts';
import { GUEST_MEMORY_MIB, commandLine } from './guests/engines.ts';
import { installData, installPackaged } from './guests/packages.ts';
import { processMemory } from './guests/process-figures.ts';
import { programs } from './guests/programs.ts';
import type { GuestProgram, Width } from './guests/programs.ts';
import { readReport } from './guests/session.ts';

/** Programs that bring much code, or code that comes and goes. */
const MIXED = ['python', 'sqlite', 'compiler', 'gzip', 'forkexec', 'sort', 'float-vector'];
const generate: GuestProgram = { kind: 'compiled', name: 'generate', measures: 'code made at run time' };
const ROUNDS = 2000;
const SAMPLE_SECONDS = 15;
const MIB = 1 << 20;

interface Sample {
  readonly minutes: number;
  readonly runs: number;
  readonly residentMib: number;
  readonly beyondRamMib: number;
}

const log = (line: string): void => void process.stderr.write(`${line}\n`);

/** Least squares, in MiB an hour. */
function slope(samples: readonly Sample[]): number {
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [x, y] = [mean(samples.map(({ minutes }) => minutes)), mean(samples.map(({ beyondRamMib }) => beyondRamMib))];
  const over = samples.reduce((sum, sample) => sum + (sample.minutes - x) * (sample.beyondRamMib - y), 0);
  return (60 * over) / samples.reduce((sum, sample) => sum + (sample.minutes - x) ** 2, 0);
}

function line(label: string, samples: readonly Sample[]): string {
  const values = samples.map(({ beyondRamMib }) => beyondRamMib);
  return `${label}: ${Math.round(Math.min(...values))} to ${Math.round(Math.max(...values))} MiB beyond guest RAM, trend ${slope(samples).toFixed(0)} MiB an hour`;
}

async function main(): Promise<void> {
  const { values } = parseArgs({ args: process.argv.slice(2), options: { minutes: { type: 'string', default: '60' }, width: { type: 'string', default: '64' }, cache: { type: 'string', default: '128M' } } });
  const minutes = Number(values.minutes);
  if (!(minutes > 0)) throw new UserError(`--minutes ${values.minutes}: give a number above 0`);
  if (values.width !== '64' && values.width !== '32') throw new UserError(`--width ${values.width}: give 64 or 32`);
  const width: Width = values.width === '64' ? 64 : 32;
  const chosen = [...programs.filter(({ name }) => MIXED.includes(name)), generate];
  const guest = await catalogue.find(({ name }) => name === (width === 64 ? 'linux' : 'linux-i386'))!.fetch(log);
  const compiled = chosen.filter((program) => program.kind === 'compiled').map(({ name }) => name);
  for (const name of ['init', ...compiled]) await compile(name, width);
  const packaged = chosen.filter((program) => program.kind === 'packaged');
  const files = [...compiled.map((name) => `bin/${name}`), ...(await installPackaged(packaged, width, log)), ...installData(SOURCES, width)];
  const round = chosen.map((program) => `${program.name} ${commandOf(program, width).join(' ')}\n`).join('');
  const folder = mkdtempSync(join(tmpdir(), 'polyvisor-memory-'));
  try {
    const run = { kernel: guest.kernel, initrd: join(folder, 'initrd'), append: 'console=ttyS0 quiet', report: join(folder, 'report.json') };
    writeFileSync(run.initrd, buildInitramfs(width, round.repeat(ROUNDS), files));
    const command = commandLine('translator', width, run);
    const child = spawn(command.program, [...command.args, '--timeout', String(minutes * 60), '--translation-cache', values.cache], { stdio: ['ignore', 'pipe', 'inherit'] });
    process.once('exit', () => child.kill());
    let runs = 0;
    let failures = 0;
    child.stdout.on('data', (chunk: Buffer) => {
      runs += chunk.toString('latin1').split('bench ').length - 1;
      failures += chunk.toString('latin1').split('failed ').length - 1;
    });
    const samples: Sample[] = [];
    const start = performance.now();
    const sample = (): void => {
      const memory = processMemory(child.pid!, GUEST_MEMORY_MIB * MIB, command.ramOffset);
      if (memory === null) return;
      samples.push({ minutes: (performance.now() - start) / 60_000, runs, residentMib: memory.residentBytes / MIB, beyondRamMib: memory.beyondRamBytes / MIB });
      const last = samples.at(-1)!;
      console.log(`${last.minutes.toFixed(2).padStart(7)} min  ${String(runs).padStart(5)} programs  resident ${last.residentMib.toFixed(0).padStart(4)} MiB  beyond guest RAM ${last.beyondRamMib.toFixed(0).padStart(4)} MiB`);
    };
    const timer = setInterval(sample, SAMPLE_SECONDS * 1000);
    await new Promise((resolve) => child.on('close', resolve));
    clearInterval(timer);
    if (samples.length >= 8) {
      console.log(line('first quarter', samples.slice(0, samples.length >> 2)));
      console.log(line('after it', samples.slice(samples.length >> 2)));
    }
    console.log(JSON.stringify({ programs: runs, failures, translation: readReport(run.report)?.['translation'], exits: readReport(run.report)?.['exits'] }, null, 2));
    if (failures > 0) process.exitCode = 1;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

try {
  await main();
} catch (error) {
  if (!(error instanceof UserError) && !(error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS')) throw error;
  console.error(`bench:memory: ${(error as Error).message}`);
  process.exitCode = 1;
}
