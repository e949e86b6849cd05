import { inflateSync } from 'node:zlib';
import { expect, it } from 'vitest';
import { encodePng } from './png.ts';

it('writes the chunks that the specification wants', () => {
  const pixels = Uint8Array.of(1, 2, 3, 255, 4, 5, 6, 255, 7, 8, 9, 255, 10, 11, 12, 255);
  const file = Buffer.from(encodePng({ width: 2, height: 2, pixels }));
  expect(file.subarray(0, 8).toString('latin1')).toBe('\x89PNG\r\n\x1a\n');
  const chunks: Record<string, Buffer> = {};
  for (let at = 8; at < file.length; at += 12 + file.readUInt32BE(at)) chunks[file.toString('latin1', at + 4, at + 8)] = file.subarray(at + 8, at + 8 + file.readUInt32BE(at));
  expect(Object.keys(chunks)).toEqual(['IHDR', 'IDAT', 'IEND']);
  expect([...chunks['IHDR']!]).toEqual([0, 0, 0, 2, 0, 0, 0, 2, 8, 2, 0, 0, 0]);
  expect([...inflateSync(chunks['IDAT']!)]).toEqual([0, 1, 2, 3, 4, 5, 6, 0, 7, 8, 9, 10, 11, 12]);
  // The empty chunk's check value is in every PNG file.
  expect(file.subarray(-4).toString('hex')).toBe('ae426082');
});
