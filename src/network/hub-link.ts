import { LONGEST_FRAME } from '../host/packets.ts';
import type { Frame, Offload } from '../host/packets.ts';

// Frames between the hubs of several processes, over a stream of bytes: length, offload, frame.

const HEADER_BYTES = 16;
const HAS_CHECKSUM = 1;
const VERIFIED = 2;
const HAS_SEGMENTS = 4;
const SEGMENTS_V6 = 8;
const SEGMENTS_ECN = 16;

export function encodeFrame({ bytes, offload }: Frame): Uint8Array {
  const record = new Uint8Array(HEADER_BYTES + bytes.length);
  const view = new DataView(record.buffer);
  const { checksum, segments, verified } = offload ?? {};
  const flags = (checksum === undefined ? 0 : HAS_CHECKSUM) | (verified === true ? VERIFIED : 0) |
    (segments === undefined ? 0 : HAS_SEGMENTS | (segments.kind === 'tcp6' ? SEGMENTS_V6 : 0) | (segments.ecn ? SEGMENTS_ECN : 0));
  view.setUint32(0, bytes.length);
  view.setUint16(4, flags);
  view.setUint16(6, checksum?.start ?? 0);
  view.setUint16(8, checksum?.offset ?? 0);
  view.setUint16(10, segments?.bytes ?? 0);
  record.set(bytes, HEADER_BYTES);
  return record;
}

function readOffload(view: DataView, at: number): { readonly offload?: Offload } {
  const flags = view.getUint16(at + 4);
  if (flags === 0) return {};
  return {
    offload: {
      ...((flags & HAS_CHECKSUM) === 0 ? {} : { checksum: { start: view.getUint16(at + 6), offset: view.getUint16(at + 8) } }),
      ...((flags & VERIFIED) === 0 ? {} : { verified: true }),
      ...((flags & HAS_SEGMENTS) === 0 ? {} : { segments: { kind: (flags & SEGMENTS_V6) === 0 ? 'tcp4' as const : 'tcp6' as const, bytes: view.getUint16(at + 10), ecn: (flags & SEGMENTS_ECN) !== 0 } }),
    },
  };
}

/** Puts frames together from a stream's chunks. */
export class FrameReader {
  #chunks: Uint8Array[] = [];
  #length = 0;

  /** The frames that are whole now. Throws RangeError for what is no such stream; then it is of no further use. */
  push(chunk: Uint8Array): readonly Frame[] {
    this.#chunks.push(chunk);
    this.#length += chunk.length;
    const frames: Frame[] = [];
    for (let frame = this.#next(); frame !== undefined; frame = this.#next()) frames.push(frame);
    return frames;
  }

  #next(): Frame | undefined {
    if (this.#length < HEADER_BYTES) return undefined;
    const first = this.#front(HEADER_BYTES);
    const length = new DataView(first.buffer, first.byteOffset).getUint32(0);
    if (length > LONGEST_FRAME) throw new RangeError(`a frame of ${length} bytes`);
    if (this.#length < HEADER_BYTES + length) return undefined;
    const record = this.#front(HEADER_BYTES + length);
    this.#chunks[0] = record.subarray(HEADER_BYTES + length);
    this.#length -= HEADER_BYTES + length;
    return { bytes: record.subarray(HEADER_BYTES, HEADER_BYTES + length), ...readOffload(new DataView(record.buffer, record.byteOffset), 0) };
  }

  /** The first chunk, which has at least `bytes` then. */
  #front(bytes: number): Uint8Array {
    if (this.#chunks[0]!.length < bytes) {
      const whole = new Uint8Array(this.#length);
      let at = 0;
      for (const chunk of this.#chunks) {
        whole.set(chunk, at);
        at += chunk.length;
      }
      this.#chunks = [whole];
    }
    return this.#chunks[0]!;
  }
}
