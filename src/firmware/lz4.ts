// LZ4: lz4_Block_format.md, and "Legacy frame" of lz4_Frame_format.md, which is how Linux kernels are packed. Our own: no
// kept library reads the legacy frame.

const FRAME_MAGIC_BYTES = 4;
const SHORTEST_MATCH = 4;
/** Up to here a loop is quicker than copying by a call. */
const SHORT = 32;

/** The contents of a legacy frame, which must be `size` bytes; undefined when they are not. */
export function unpackLz4(packed: Uint8Array, size: number): Uint8Array | undefined {
  const out = new Uint8Array(size);
  const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength);
  let end = 0;
  for (let at = FRAME_MAGIC_BYTES; at + 4 <= packed.length;) {
    const blockEnd = at + 4 + view.getUint32(at, true);
    if (blockEnd > packed.length) return undefined;
    end = unpackBlock(packed, at + 4, blockEnd, out, end);
    if (end > size) return undefined;
    at = blockEnd;
  }
  return end === size ? out : undefined;
}

/** Appends the sequences of a block to `out`; returns the new end, beyond the size of `out` when they do not fit. */
function unpackBlock(packed: Uint8Array, start: number, blockEnd: number, out: Uint8Array, outEnd: number): number {
  let at = start;
  let to = outEnd;
  while (at < blockEnd) {
    const token = packed[at++]!;
    let literals = token >> 4;
    if (literals === 15) {
      let more;
      do literals += more = packed[at++]!; while (more === 255);
    }
    if (to + literals > out.length) return Number.POSITIVE_INFINITY;
    if (literals > SHORT) out.set(packed.subarray(at, at + literals), to);
    else for (let i = 0; i < literals; i++) out[to + i] = packed[at + i]!;
    at += literals;
    to += literals;
    if (at >= blockEnd) break; // the last sequence has literals only
    const from = to - (packed[at]! | (packed[at + 1]! << 8));
    at += 2;
    let length = token & 15;
    if (length === 15) {
      let more;
      do length += more = packed[at++]!; while (more === 255);
    }
    length += SHORTEST_MATCH;
    if (from < 0 || to + length > out.length) return Number.POSITIVE_INFINITY;
    if (length > SHORT && from + length <= to) out.copyWithin(to, from, from + length);
    else for (let i = 0; i < length; i++) out[to + i] = out[from + i]!; // may overlap what it makes
    to += length;
  }
  return to;
}
