import { setU16, u16 } from '../../base/internet.ts';
import type { Offload } from '../../host/packets.ts';

// Tags of virtual networks (IEEE 802.1Q, section 9): four bytes behind the addresses.

export const TAG_BYTES = 4;
/** The type that says that a frame has a tag. */
export const TAG_TYPE = 0x8100;
const TAG_AT = 12;

/** Puts a tag into a frame of so many bytes, with room behind it for the tag; its new length. */
export function insertTag(buffer: Uint8Array, length: number, type: number, tag: number): number {
  buffer.copyWithin(TAG_AT + TAG_BYTES, TAG_AT, length);
  setU16(buffer, TAG_AT, type);
  setU16(buffer, TAG_AT + 2, tag);
  return length + TAG_BYTES;
}

/** The work left on a frame, once a tag has been put in. */
export function behindTag(offload: Offload | undefined): Offload | undefined {
  if (offload?.checksum === undefined) return offload;
  const { start, offset } = offload.checksum;
  return { ...offload, checksum: { start: start + TAG_BYTES, offset } };
}

/** Whether a frame has a tag, which has this type. */
export function isTagged(frame: Uint8Array, type = TAG_TYPE): boolean {
  return frame.length >= TAG_AT + TAG_BYTES + 2 && u16(frame, TAG_AT) === type;
}

export function withoutTag(frame: Uint8Array): Uint8Array {
  const bytes = frame.slice(TAG_BYTES);
  bytes.set(frame.subarray(0, TAG_AT));
  return bytes;
}
