import { expect, it } from 'vitest';
import { SliceLength } from './slice-length.ts';

it('slices end about when something is due, once the speed is known', () => {
  const slices = new SliceLength(30_000);
  for (let i = 0; i < 100; i++) slices.measured(10_000, 50_000); // 5 ns an instruction
  expect(slices.forTime(50_000) / 10_000).toBeCloseTo(1, 1);
  expect(slices.timeOf(slices.forTime(60_000)) / 60_000).toBeCloseTo(1, 1);
  expect([slices.forTime(1e9), slices.forTime(0), slices.forTime(-1), slices.forTime(Number.POSITIVE_INFINITY)]).toEqual([30_000, 1_000, 1_000, 30_000]);
});

it('a host that stalls once does not make slices short for long', () => {
  const slices = new SliceLength(30_000);
  for (let i = 0; i < 100; i++) slices.measured(10_000, 50_000);
  slices.measured(10_000, 5e9);
  expect(slices.forTime(50_000)).toBeGreaterThan(8_000);
});
