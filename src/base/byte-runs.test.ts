import { expect, it } from 'vitest';
import { ByteRuns, slicePlaces } from './byte-runs.ts';

it('takes parts out of runs, as much as there is', () => {
  const places = [100, 4, 10, 1, 50, 8];
  expect(slicePlaces(places, 0, 13)).toEqual(places);
  expect(slicePlaces(places, 2, 4)).toEqual([102, 2, 10, 1, 50, 1]);
  expect(slicePlaces(places, 4, 1)).toEqual([10, 1]);
  expect(slicePlaces(places, 12, 100)).toEqual([57, 1]);
  expect(slicePlaces(places, 13, 1)).toEqual([]);
  expect(slicePlaces(places, 3, 0)).toEqual([]);
});

it('shows runs as parts of their memory', () => {
  const memory = Uint8Array.from({ length: 60 }, (_, i) => i);
  const runs = new ByteRuns(memory, [40, 2, 3, 3]);
  expect(runs.bytes).toBe(5);
  expect(runs.slice(1, 3).arrays().map((part) => [...part])).toEqual([[41], [3, 4]]);
  runs.slice(1, 1).arrays()[0]!.fill(9);
  expect(memory[41]).toBe(9);
  const found: [number, number[]][] = [];
  runs.each(100, (part, at) => found.push([at, [...part]]));
  expect(found).toEqual([[100, [40, 9]], [102, [3, 4, 5]]]);
});
