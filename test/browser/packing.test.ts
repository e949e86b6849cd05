import { crc32, deflateRawSync, inflateRawSync } from 'node:zlib';
import { expect, it } from 'vitest';
import { packing } from '../../src/host-browser/packing.ts';

const bytes = Uint8Array.from({ length: 100_003 }, (_, i) => (i * i) >>> 7);

it('has the checksum of Node\'s library, in one piece and continued', () => {
  for (const length of [0, 1, 3, 4, 5, 100_003]) expect(packing.checksum(bytes.subarray(0, length))).toBe(crc32(bytes.subarray(0, length)));
  expect(packing.checksum(bytes.subarray(77), packing.checksum(bytes.subarray(0, 77)))).toBe(crc32(bytes));
});

it('packs and unpacks what Node\'s library does', () => {
  expect(inflateRawSync(packing.deflate(bytes))).toEqual(Buffer.from(bytes));
  expect(packing.inflate(deflateRawSync(bytes), bytes.length)).toEqual(bytes);
});

it('refuses what unpacks to another length, or not at all', () => {
  expect(() => packing.inflate(deflateRawSync(bytes), bytes.length + 1)).toThrow();
  expect(() => packing.inflate(deflateRawSync(bytes), bytes.length - 1)).toThrow();
  expect(() => packing.inflate(Uint8Array.of(7, 7, 7), 10)).toThrow();
});
