// Runs the images of a built kvm-unit-tests tree (x86_64 or i386) on a machine of this project and compares the outcome with
// what kvm-unit-tests.json says of it. Nothing of the suite is part of this repository.
//   npm run suite:kvm-unit-tests -- DIR [NAME...]
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { VirtualMachine } from '../../src/index.ts';
import { parseUnittestsCfg } from './unittests-cfg.ts';
import type { SuiteTest } from './unittests-cfg.ts';

/** What is known of a test: `skip` says why it is not run, `fails` which lines fail, `ends` how the image ends unless well. */
interface Known {
  readonly skip?: string;
  readonly fails?: readonly string[];
  readonly ends?: string;
  readonly reason?: string;
  /** Seconds, where the suite's own are not enough. */
  readonly timeout?: number;
  /** Runs with one processor although the suite would give it more. */
  readonly oneProcessor?: true;
}

interface Outcome {
  readonly passed: number;
  readonly failed: readonly string[];
  readonly skipped: number;
  /** 'passed', 'failed', 'skipped' as the image says; else what became of the machine. */
  readonly end: string;
  readonly seconds: number;
}

const DEBUG_EXIT = 0xf4;
const MEMORY = '512M';
/** The suite's exit statuses on its test device: (value << 1) | 1. */
const VERDICTS: Readonly<Record<number, string>> = { 0: 'passed', 1: 'failed', 38: 'skipped' };

async function runImage(test: SuiteTest, known: Known, directory: string, scratch: string): Promise<Outcome> {
  const cpus = known.oneProcessor === undefined ? test.cpus : 1;
  // The suite's way to say what its firmware would: variables in the initial RAM disk.
  const environment = join(scratch, 'environment');
  writeFileSync(environment, `NR_CPUS=${cpus}\nTEST_DEVICE=0\nMEMSIZE=${Number.parseInt(MEMORY, 10)}\n`);
  const started = performance.now();
  const machine = await VirtualMachine.create({
    kernel: join(directory, 'x86', test.file), initrd: environment, append: test.append, memory: MEMORY, debugExitPort: DEBUG_EXIT, testDevice: true,
    cpus, overcommit: true,
    timeout: Math.max(known.timeout ?? 0, test.timeout ?? 90), noReboot: true,
  });
  let text = '';
  machine.on('console', (bytes) => (text += Buffer.from(bytes).toString('latin1')));
  const end = await machine.start();
  const lines = text.split('\n').map((line) => line.trim());
  const of = (word: string): string[] => lines.filter((line) => line === word || line.startsWith(`${word}:`));
  return {
    passed: of('PASS').length,
    failed: of('FAIL').map((line) => line.slice(5).trim()),
    skipped: of('SKIP').length,
    end: end.kind === 'debug-exit' ? VERDICTS[end.value] ?? `exit ${end.value}` : end.kind,
    seconds: (performance.now() - started) / 1000,
  };
}

/** Why a test is not run, or undefined. */
function excluded(test: SuiteTest, known: Known, named: boolean): string | undefined {
  if (named) return undefined;
  if (known.skip !== undefined) return known.skip;
  return test.accelerator === 'kvm' ? 'needs KVM underneath' : undefined;
}

/** Lines that fail though they should not, and the other way round. */
function surprises(outcome: Outcome, known: Known): string[] {
  const expected = new Set(known.fails ?? []);
  const end = known.ends ?? (expected.size > 0 ? 'failed' : 'passed');
  return [
    ...outcome.failed.filter((line) => !expected.has(line)).map((line) => `fails: ${line}`),
    ...[...expected].filter((line) => !outcome.failed.includes(line)).map((line) => `does not fail any more: ${line}`),
    ...(outcome.end === end ? [] : [`ended: ${outcome.end}, expected ${end}`]),
  ];
}

async function main(): Promise<number> {
  const [directory, ...names] = process.argv.slice(2);
  if (directory === undefined || !existsSync(join(directory, 'x86', 'unittests.cfg'))) {
    console.error('usage: npm run suite:kvm-unit-tests -- DIR [NAME...]\nDIR is a kvm-unit-tests tree, configured and built for x86_64 or i386');
    return 1;
  }
  const arch = /^ARCH=(.*)$/m.exec(readFileSync(join(directory, 'config.mak'), 'utf8'))?.[1] ?? 'x86_64';
  const list = JSON.parse(readFileSync('test/suites/kvm-unit-tests.json', 'utf8')) as Readonly<Record<string, Readonly<Record<string, Known>>>>;
  const tests = parseUnittestsCfg(readFileSync(join(directory, 'x86', 'unittests.cfg'), 'utf8')).filter((test) => (test.arch ?? arch) === arch);
  const unknown = names.filter((name) => !tests.some((test) => test.name === name));
  if (unknown.length > 0) {
    console.error(`no such test for ${arch}: ${unknown.join(', ')}`);
    return 1;
  }
  const scratch = mkdtempSync(join(tmpdir(), 'kvm-unit-tests-'));
  const counts = { passed: 0, failed: 0, skipped: 0, surprises: 0 };
  try {
    for (const test of tests) {
      if (names.length > 0 && !names.includes(test.name)) continue;
      const known = list[arch]?.[test.name] ?? {};
      const why = excluded(test, known, names.includes(test.name)) ?? (existsSync(join(directory, 'x86', test.file)) ? undefined : 'was not built');
      if (why !== undefined) {
        console.log(`${test.name.padEnd(36)} not run: ${why}`);
        continue;
      }
      const outcome = await runImage(test, known, directory, scratch);
      const wrong = surprises(outcome, known);
      counts.passed += outcome.passed;
      counts.failed += outcome.failed.length;
      counts.skipped += outcome.skipped;
      counts.surprises += wrong.length;
      const figures = `${String(outcome.passed).padStart(5)} pass ${String(outcome.failed.length).padStart(3)} fail ${String(outcome.skipped).padStart(3)} skip`;
      console.log(`${test.name.padEnd(36)} ${figures} ${outcome.seconds.toFixed(1).padStart(6)} s  ${outcome.end}`);
      for (const line of wrong) console.log(`    ${line}`);
    }
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
  console.log(`in all: ${counts.passed} pass, ${counts.failed} fail, ${counts.skipped} skip, ${counts.surprises} other than kvm-unit-tests.json says`);
  return counts.surprises === 0 ? 0 : 1;
}

process.exitCode = await main();
