import { expect, test } from 'vitest';
import { SpinWait } from './spin-wait.ts';

test('a processor that waits in a loop gives the host\'s away for longer and longer, and not once the loop is over', () => {
  const wait = new SpinWait(true);
  expect(wait.after(false)).toBe(0);
  expect([1, 2, 3, 4, 5, 6, 7].map(() => wait.after(true))).toEqual([0, 0, 0, 50_000, 100_000, 200_000, 200_000]);
  expect(wait.waits).toBe(true);
  expect(wait.after(false)).toBe(0);
  expect(wait.waits).toBe(false);
  expect(wait.after(true)).toBe(0);
});

test('where the host has a processor for each it goes on for a millisecond first', () => {
  const wait = new SpinWait(false);
  for (let slice = 1; slice < 20; slice++) expect(wait.after(true)).toBe(0);
  expect(wait.after(true)).toBe(50_000);
});
