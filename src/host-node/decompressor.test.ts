import { describe, expect, it } from 'vitest';
import { unpackLz4 } from '../firmware/lz4.ts';
import { nodeDecompressor } from './decompressor.ts';

const PACKED = [0x1f, 0x78, 1, 0, 255, 2, 0x50, ...[...'hello'].map((letter) => letter.charCodeAt(0))];
const UNPACKED = 'x'.repeat(277) + 'hello';
const frame = (block: readonly number[]): Uint8Array => Uint8Array.from([2, 0x21, 0x4c, 0x18, block.length, 0, 0, 0, ...block]);

it.skipIf(process.platform !== 'linux')('the host has a library for LZ4, as every Debian does', () => {
  expect(nodeDecompressor.lz4Block).toBeTypeOf('function');
});
describe.each([['the host, where it can', nodeDecompressor.lz4Block], ['our own', undefined]] as const)('LZ4 by %s', (_, block) => {
  it('unpacks blocks', () => {
    expect(Buffer.from(unpackLz4(frame(PACKED), UNPACKED.length, block)!).toString()).toBe(UNPACKED);
  });
  it('refuses what is damaged, or too long for its place', () => {
    expect(unpackLz4(frame(PACKED), UNPACKED.length - 1, block)).toBeUndefined();
    expect(unpackLz4(frame(PACKED.slice(0, 5)), UNPACKED.length, block)).toBeUndefined();
    expect(unpackLz4(frame([0x14, 0x61, 2, 0, 0x10, 0]), 10, block)).toBeUndefined();
  });
});
