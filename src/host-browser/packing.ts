import { deflateSync, inflateSync } from 'fflate';
import { crc32 } from '../base/crc32.ts';
import type { Packing } from '../host/files.ts';

/** RAM compresses well at any level; the lowest takes a third of the time. */
const LEVEL = 1;

/** Pages have compression as streams only, which take turns of the event loop: so fflate, which is small and does it at once. */
export const packing: Packing = {
  checksum: crc32,
  deflate: (bytes) => deflateSync(bytes, { level: LEVEL }),
  inflate: (bytes, length) => {
    // It stops where the room ends: a byte more shows what is too long.
    const out = inflateSync(bytes, { out: new Uint8Array(length + 1) });
    if (out.length !== length) throw new Error('the length does not fit');
    return out;
  },
};
