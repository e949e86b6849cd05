import { expect, test } from 'vitest';
import type { CpuidEntry } from './cpuid-table.ts';
import { chooseMsrs } from './kept-msrs.ts';

/** EDX of leaf 7 and of its subleaf 2. */
const leaf7 = (edx: number, edx2: number): CpuidEntry[] => [{ leaf: 7, index: 0, values: [2, 0, 0, edx] }, { leaf: 7, index: 2, values: [0, 0, 0, edx2] }];
const SPEC_CTRL = 1 << 26;
const BHI_CTRL = 1 << 4;

test('what holds predictors back is KVM\'s where it has all of it', () => {
  const has = (saved: readonly number[], supported: readonly CpuidEntry[]): boolean[] => [0x48, 0x49].map((msr) => chooseMsrs(saved, supported).some(({ first, count }) => msr >= first && msr < first + count));
  expect(has([0x48], leaf7(SPEC_CTRL, BHI_CTRL))).toEqual([true, true]);
  // Not all that the model may say of it.
  expect(has([0x48], leaf7(SPEC_CTRL, 0))).toEqual([false, true]);
  expect(has([], leaf7(SPEC_CTRL, BHI_CTRL))).toEqual([false, true]);
  expect(has([0x48], leaf7(0, BHI_CTRL))).toEqual([false, false]);
  expect(has([0x48], [])).toEqual([false, false]);
});
