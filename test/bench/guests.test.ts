import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { compile } from '../../bench/guests/build.ts';
import type { Engine, EngineCommand } from '../../bench/guests/engines.ts';
import { checksumFailures, clockDoubts, medians, rowsOf } from '../../bench/guests/measure.ts';
import type { Measured } from '../../bench/guests/measure.ts';
import { fnv1a, runNative } from '../../bench/guests/native.ts';
import { generatedText } from '../../bench/guests/packages.ts';
import { programs } from '../../bench/guests/programs.ts';
import { runSession } from '../../bench/guests/session.ts';
import { geometricMean, median, ratioMeans, renderTable } from '../../bench/guests/table.ts';

/** A process that behaves as an engine whose guest prints these lines. */
function fakeEngine(script: string): EngineCommand {
  return { program: process.execPath, args: ['-e', script], ramOffset: 0, endsAtMarker: false };
}

const play = (lines: readonly string[], status = 0): EngineCommand => fakeEngine(`process.stdout.write(${JSON.stringify(lines.map((line) => `${line}\r\n`).join(''))}); setTimeout(() => process.exit(${status}), 50);`);

const GOOD = ['noise of the kernel', 'userland', 'begin a', 'bench a 1.500000 00000000000000aa', 'begin b', 'bench b 0.250000 00000000000000bb', 'end'];

describe('a session', () => {
  it('reads times and checksums from the console', async () => {
    const result = await runSession(play(GOOD), 1 << 20, () => {});
    expect(result.failures).toEqual([]);
    expect(result.programs.map(({ name, guestSeconds, checksum }) => [name, guestSeconds, checksum])).toEqual([['a', 1.5, '00000000000000aa'], ['b', 0.25, '00000000000000bb']]);
    expect(result.powerOffSeconds).toBeGreaterThanOrEqual(result.userlandSeconds!);
  });
  it('fails when the guest dies', async () => {
    const result = await runSession(play([...GOOD.slice(0, 5), 'Oops'], 2), 1 << 20, () => {});
    expect(result.failures).toEqual([expect.stringMatching(/ended early with status 2 in b: .*Oops/)]);
    expect([result.programs.length, result.powerOffSeconds]).toEqual([1, null]);
  });
  it('fails when a program fails', async () => {
    const result = await runSession(play([...GOOD.slice(0, 3), 'a: no such file', 'failed a 32512', 'end']), 1 << 20, () => {});
    expect(result.failures).toEqual(['a ended with status 32512 in the guest: noise of the kernel | a: no such file']);
  });
  it('fails when the engine cannot be started', async () => {
    const result = await runSession({ program: '/nowhere/engine', args: [], ramOffset: 0, endsAtMarker: false }, 1 << 20, () => {});
    expect(result.failures.join()).toContain('ENOENT');
  });
  it('ends an engine that does not notice power-off', async () => {
    const result = await runSession({ ...fakeEngine(`console.log(${JSON.stringify(GOOD.join('\n'))}); setInterval(() => {}, 1000)`), endsAtMarker: true }, 1 << 20, () => {});
    expect([result.failures, result.powerOffSeconds]).toEqual([[], null]);
  });
});

function measured(...runs: (readonly [name: string, seconds: number, checksum: string])[][]): Measured[] {
  return runs.map((run) => ({
    programs: run.map(([name, seconds, checksum]) => ({ name, guestSeconds: seconds, hostSeconds: seconds, cpuSeconds: NaN, checksum })), userlandSeconds: null, powerOffSeconds: null, memory: null, failures: [], report: null,
  }));
}

describe('figures', () => {
  const sessions = new Map<Engine, Measured[]>([
    ['translator', measured([['a', 1, 'x'], ['b', 1, 'y']], [['a', 2, 'x'], ['b', 4, 'y']], [['a', 9, 'x']])],
    ['qemu', measured([['a', 4, 'x'], ['b', 5, 'z']])],
  ]);
  it('are medians, ratios and geometric means of what both engines ran', () => {
    expect([median([3, 1, 2]), median([4, 1, 2, 3]), geometricMean([1, 4, 16])]).toEqual([2, 2.5, 4]);
    const rows = rowsOf(sessions, ['a', 'b', 'c'], 'guestSeconds');
    expect(rows).toEqual([{ name: 'a', seconds: { translator: 2, qemu: 4 } }, { name: 'b', seconds: { translator: 2.5, qemu: 5 } }, { name: 'c', seconds: {} }]);
    expect(ratioMeans(['translator', 'qemu'], rows)['qemu/translator']).toBeCloseTo(2, 12);
    expect(renderTable('64-bit', ['translator', 'qemu'], rows).split('\n').map((line) => line.replace(/ +/g, ' '))).toEqual([
      '64-bit translator s qemu s qemu/translator', expect.stringMatching(/^-+$/), 'a 2.000 4.000 2.00', 'b 2.500 5.000 2.00', 'c - - -', 'geometric mean 2.00',
    ]);
  });
  it('that the host does not give are left out', () => {
    expect(medians(sessions, (result) => [result.userlandSeconds])).toEqual({});
    expect(rowsOf(sessions, ['a'], 'cpuSeconds')).toEqual([{ name: 'a', seconds: {} }]);
  });
  it('count only when the clocks of guest and host agree', () => {
    expect(clockDoubts(sessions)).toEqual([]);
    const [run] = measured([['a', 10, 'x'], ['b', 20, 'x']]);
    const withHost = (...seconds: number[]): Measured => ({ ...run!, programs: run!.programs.map((program, i) => ({ ...program, hostSeconds: seconds[i]! })) });
    expect(clockDoubts(new Map([['translator', [withHost(9, 22.5), withHost(10, 24)]]]))).toEqual(["translator: the guest's clock says 30.0 s for its programs, the host's 34.0 s"]);
  });
  it('count only with the same checksum everywhere', () => {
    expect(checksumFailures(sessions, ['a', 'b'], new Map())).toEqual(['b: checksums differ: y on translator, z on qemu']);
    expect(checksumFailures(sessions, ['a'], new Map([['a', { seconds: 1, checksum: 'w' }]]))).toEqual(['a: checksums differ: x on translator and qemu, w on the host processor']);
  });
});

it('hashes and makes its data alike everywhere', () => {
  // Of the FNV authors' test vectors.
  expect([fnv1a(new Uint8Array()), fnv1a(Buffer.from('foobar'))]).toEqual(['cbf29ce484222325', '85944171f73967e8']);
  expect(generatedText(20_000)).toHaveLength(20_000);
  expect(generatedText(20_000)).toBe(generatedText(20_000));
});

const can = (...args: string[]): boolean => {
  try {
    execFileSync('gcc', [...args, '-static', '-x', 'c', '-o', '/dev/null', '-'], { input: '#include <stdio.h>\nint main(void) { return 0; }', stdio: ['pipe', 'ignore', 'ignore'] });
    return process.platform === 'linux' && process.arch === 'x64';
  } catch {
    return false;
  }
};

// Needs gcc with 32-bit libraries (gcc-multilib); skipped, and counted so, without.
describe.skipIf(!can('-m32') || !can('-m64'))('on the host processor', () => {
  it.each(programs.filter(({ kind }) => kind === 'compiled'))('$name gives the same in 64-bit and 32-bit code', async (program) => {
    await compile(program.name, 64);
    await compile(program.name, 32);
    const [wide, narrow] = [runNative(program, 64), runNative(program, 32)];
    expect(wide?.checksum).toMatch(/^[0-9a-f]{16}$/);
    expect(narrow?.checksum).toBe(wide!.checksum);
  });
});
