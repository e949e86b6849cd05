import { expect, test } from 'vitest';
import { createEngineReference } from '../../fuzz/cpu/engine-reference.ts';
import { InterpreterEngine } from '../../fuzz/cpu/interpreter.ts';
import { report } from '../../fuzz/cpu/report.ts';
import { eligibleRows } from '../../fuzz/cpu/rows.ts';
import { dataImage, fuzz } from '../../fuzz/cpu/run.ts';

// The generated interpreter against the evaluator of the same IR: on any host, processor features or not.
const CASES = process.env['POLYVISOR_NIGHTLY'] === '1' ? 20_000 : 250;
const image = dataImage();
const reference = createEngineReference(new InterpreterEngine(image, 'evaluator'), image);

test.each([64, 32] as const)(`${CASES} sequences of %i-bit code on the interpreter and on the evaluator`, (width) => {
  const rows = eligibleRows(width, undefined);
  const result = fuzz({ width, seed: 0xe7a1, first: 0, cases: CASES, rows, reference, engine: new InterpreterEngine(image), limit: 5 }, image);
  expect(result.findings.map(({ entry, difference }) => report(entry, difference))).toEqual([]);
  expect(result.cases).toBe(CASES);
  expect(result.steps).toBeGreaterThan(2 * CASES);
}, 3_600_000);
