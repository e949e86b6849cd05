import { afterAll, describe, expect, test } from 'vitest';
import { createHost, hostUnavailable } from '../../fuzz/cpu/host.ts';
import { InterpreterEngine } from '../../fuzz/cpu/interpreter.ts';
import { report } from '../../fuzz/cpu/report.ts';
import { eligibleRows, hostFeatures } from '../../fuzz/cpu/rows.ts';
import { dataImage, fuzz } from '../../fuzz/cpu/run.ts';

// A short run of `npm run fuzz:cpu` under a fixed seed; the nightly one is long.
const CASES = process.env['POLYVISOR_NIGHTLY'] === '1' ? 1_000_000 : 4000;
const why = hostUnavailable();

// Without a C compiler or on another processor there is nothing to compare with: the skip is counted and named.
describe.skipIf(why !== undefined)(`instruction sequences on the interpreter and on the host processor${why === undefined ? '' : ` (${why})`}`, () => {
  const image = dataImage();
  const reference = why === undefined ? createHost(image) : undefined;
  afterAll(() => reference?.close());

  test.each([64, 32] as const)(`${CASES} sequences of %i-bit code`, (width) => {
    const rows = eligibleRows(width, hostFeatures());
    expect(rows.length).toBeGreaterThan(700);
    const result = fuzz({ width, seed: 0x5eed, first: 0, cases: CASES, rows, reference: reference!, engine: new InterpreterEngine(image), limit: 5 }, image);
    expect(result.findings.map(({ entry, difference }) => report(entry, difference))).toEqual([]);
    expect(result.cases).toBe(CASES);
    expect(result.steps).toBeGreaterThan(2 * CASES);
  }, 3_600_000);
});
