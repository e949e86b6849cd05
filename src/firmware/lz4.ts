import type { Lz4Block } from '../host/decompressor.ts';

// LZ4: lz4_Block_format.md, and "Legacy frame" of lz4_Frame_format.md, which is how Linux kernels are packed. Our own: no
// kept library reads the legacy frame.

const FRAME_MAGIC_BYTES = 4;
const SHORTEST_MATCH = 4;
/** Up to here a loop is quicker than copying by a call. */
const SHORT = 32;

/** The contents of a legacy frame, which must be `size` bytes, as many as `out` has; undefined when they are not. */
export function unpackLz4(packed: Uint8Array, size: number, unpackBlock: Lz4Block = unpackBlockHere, out: Uint8Array = new Uint8Array(size)): Uint8Array | undefined {
  const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength);
  let end = 0;
  for (let at = FRAME_MAGIC_BYTES; at + 4 <= packed.length;) {
    const blockEnd = at + 4 + view.getUint32(at, true);
    if (blockEnd > packed.length) return undefined;
    const written = unpackBlock(packed.subarray(at + 4, blockEnd), out.subarray(end));
    if (written < 0) return undefined;
    end += written;
    at = blockEnd;
  }
  return end === size ? out : undefined;
}

/** Lz4Block. */
function unpackBlockHere(packed: Uint8Array, out: Uint8Array): number {
  let at = 0;
  let to = 0;
  while (at < packed.length) {
    const token = packed[at++]!;
    let literals = token >> 4;
    if (literals === 15) {
      let more;
      do literals += more = packed[at++]!; while (more === 255);
    }
    if (to + literals > out.length) return -1;
    if (literals > SHORT) out.set(packed.subarray(at, at + literals), to);
    else for (let i = 0; i < literals; i++) out[to + i] = packed[at + i]!;
    at += literals;
    to += literals;
    if (at >= packed.length) break; // the last sequence has literals only
    const from = to - (packed[at]! | (packed[at + 1]! << 8));
    at += 2;
    let length = token & 15;
    if (length === 15) {
      let more;
      do length += more = packed[at++]!; while (more === 255);
    }
    length += SHORTEST_MATCH;
    if (from < 0 || to + length > out.length) return -1;
    if (length > SHORT && from + length <= to) out.copyWithin(to, from, from + length);
    else for (let i = 0; i < length; i++) out[to + i] = out[from + i]!; // may overlap what it makes
    to += length;
  }
  return to;
}
