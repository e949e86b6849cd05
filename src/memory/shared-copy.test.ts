import { describe, expect, it } from 'vitest';
import { copyFromShared, copyToShared } from './shared-copy.ts';

const LENGTHS = [1, 255, 256, 257, 1514, 16384, 16385, 40001];
const PHASES = [0, 1, 3, 7];

describe('copies of shared memory', () => {
  const bytes = Uint8Array.from({ length: 50_000 }, (_, i) => (i * 31) ^ (i >>> 8));
  const shared = new Uint8Array(new SharedArrayBuffer(bytes.length));

  it('bring out the bytes that lie there, wherever in a word either side begins', () => {
    shared.set(bytes);
    for (const length of LENGTHS) for (const from of PHASES) for (const at of PHASES) {
      const target = new Uint8Array(at + length + 1);
      copyFromShared(shared, from, target, at, length);
      expect(Buffer.compare(target.subarray(at, at + length), bytes.subarray(from, from + length))).toBe(0);
      expect([target.subarray(0, at).every((byte) => byte === 0), target[at + length]]).toEqual([true, 0]);
    }
  });

  it('put bytes where they belong and touch nothing else', () => {
    for (const length of LENGTHS) for (const from of PHASES) for (const to of PHASES) {
      shared.fill(0xee);
      copyToShared(bytes.subarray(from, from + length), shared, to);
      expect(Buffer.compare(Uint8Array.from(shared.subarray(to, to + length)), bytes.subarray(from, from + length))).toBe(0);
      expect([shared.subarray(0, to).every((byte) => byte === 0xee), shared[to + length]]).toEqual([true, 0xee]);
    }
  });
});
