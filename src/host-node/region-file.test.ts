import { mkdtempSync, readFileSync, rmSync, statSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { KeptRegions } from '../engines/translator/kept-regions.ts';
import type { KeptRegion } from '../engines/translator/kept-regions.ts';
import { RegionBuilder } from '../engines/translator/region-builder.ts';
import { loopRequest } from '../engines/translator/region-request.test-support.ts';
import { loadEngineModules } from './engine-modules.ts';
import { RegionFile } from './region-file.ts';

const { handlers } = loadEngineModules();
let folder = '';
let path = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'regions-'));
  path = join(folder, 'kept', 'build');
});
afterEach(() => rmSync(folder, { recursive: true }));

let region: KeptRegion;
new RegionBuilder(handlers, undefined, new KeptRegions({ take: () => [], put: (_, made) => (region = made) })).build([loopRequest()], () => undefined);

/** As a process would, that then ends. */
function keep(...keys: number[]): void {
  const file = new RegionFile(path);
  for (const key of keys) file.put(key, { ...region, instructions: key });
  file.close();
}
function found(...keys: number[]): number[][] {
  const file = new RegionFile(path);
  const answer = keys.map((key) => [...file.take(key)].map(({ instructions }) => instructions));
  file.close();
  return answer;
}

test('has for later processes what earlier ones have put there', () => {
  keep(1, 2);
  keep(-3);
  const file = new RegionFile(path);
  expect([...file.take(1)]).toEqual([{ ...region, instructions: 1 }]);
  file.close();
  expect(found(2, -3, 4)).toEqual([[2], [-3], []]);
  expect(statSync(path).mode & 0o777).toBe(0o600);
});

test('writes by itself after a moment', async () => {
  const file = new RegionFile(path);
  file.put(1, region);
  await expect.poll(() => found(1)[0]!.length).toBe(1);
  file.close();
});

test('two processes at a time lose nothing', () => {
  const [one, other] = [new RegionFile(path), new RegionFile(path)];
  one.put(1, { ...region, instructions: 1 });
  other.put(2, { ...region, instructions: 2 });
  one.close();
  other.close();
  expect(found(1, 2)).toEqual([[1], [2]]);
});

test('what is made twice is written once', () => {
  const file = new RegionFile(path);
  file.put(1, region);
  file.write();
  const { size } = statSync(path);
  file.put(1, region);
  file.close();
  expect(statSync(path).size).toBe(size);
});

test('a damaged region is none, the others are', () => {
  keep(1, 2);
  const bytes = readFileSync(path);
  bytes[bytes.length - 1]! ^= 1;
  writeFileSync(path, bytes);
  expect(found(1, 2)).toEqual([[1], []]);
});

test('of a file that breaks off, what is before that can be had while it may still be written; then it is begun anew', () => {
  keep(1);
  keep(2);
  truncateSync(path, statSync(path).size - 1);
  expect(found(1, 2)).toEqual([[1], []]);
  const before = new Date(Date.now() - 60_000);
  utimesSync(path, before, before);
  expect(found(1, 2)).toEqual([[], []]);
  keep(3);
  expect(found(1, 3)).toEqual([[], [3]]);
});

test('something else is no region file', () => {
  keep(1);
  writeFileSync(path, 'something else, of some length');
  expect(found(1)).toEqual([[]]);
});

test('a full file takes no more, and is begun anew by the next process', () => {
  const file = new RegionFile(path, 1);
  file.put(1, region);
  file.write();
  const { size } = statSync(path);
  file.put(2, region);
  file.close();
  expect(statSync(path).size).toBe(size);
  const next = new RegionFile(path, 1);
  next.put(3, { ...region, instructions: 3 });
  next.close();
  expect(found(1, 3)).toEqual([[], [3]]);
});

test('files of versions that nobody has used for a month go', () => {
  keep(1);
  const old = join(folder, 'kept', 'older');
  writeFileSync(old, '');
  utimesSync(old, 0, 0);
  rmSync(path);
  keep(1);
  expect(() => statSync(old)).toThrow('ENOENT');
});

test('where nothing can be written, nothing is kept and nobody minds', () => {
  writeFileSync(join(folder, 'kept'), 'a file where the folder should be');
  keep(1);
  expect(found(1)).toEqual([[]]);
});
