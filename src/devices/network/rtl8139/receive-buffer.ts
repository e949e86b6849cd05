import type { GuestMemory } from '../../../memory/guest-memory.ts';

// The buffer into which a card without descriptors receives: frames one behind the other, each with a header of status and length.

const HEADER_BYTES = 4;
const STATUS_GOOD = 1;

/** Where the buffer is, and what of it is the driver's. */
export interface ReceiveBuffer {
  readonly address: number;
  /** A power of two. */
  readonly bytes: number;
  /** Frames run over the buffer's end instead of going on at its beginning. */
  readonly straight: boolean;
  /** Offset of the next frame. */
  readonly at: number;
  /** Offset up to which the driver has read. */
  readonly read: number;
}

/** Stores a frame with its check sequence; the offset of the next, or undefined: it has no room. */
export function store(memory: GuestMemory, buffer: ReceiveBuffer, bytes: Uint8Array, why: number): number | undefined {
  const needed = (HEADER_BYTES + bytes.length + 3) & ~3;
  const used = (buffer.at - buffer.read) & (buffer.bytes - 1);
  // A full buffer would look empty.
  if (needed >= buffer.bytes - used) return undefined;
  const stored = new Uint8Array(HEADER_BYTES + bytes.length);
  new DataView(stored.buffer).setUint32(0, ((bytes.length << 16) | why | STATUS_GOOD) >>> 0, true);
  stored.set(bytes, HEADER_BYTES);
  const first = buffer.straight ? stored.length : Math.min(stored.length, buffer.bytes - buffer.at);
  memory.write(buffer.address + buffer.at, stored.subarray(0, first));
  memory.write(buffer.address, stored.subarray(first));
  return (buffer.at + needed) & (buffer.bytes - 1);
}
