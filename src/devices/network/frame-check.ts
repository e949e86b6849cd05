import { crc32 } from '../../base/crc32.ts';

/** Ethernet's shortest frame, without check sequence; senders fill up to it. */
const SHORTEST = 60;
export const CHECK_BYTES = 4;

/** The frame as a network carries it, but for its check sequence: filled up. */
export function filledUp(frame: Uint8Array): Uint8Array {
  if (frame.length >= SHORTEST) return frame;
  const whole = new Uint8Array(SHORTEST);
  whole.set(frame);
  return whole;
}

/** With its check sequence (IEEE 802.3, section 3.2.9) behind. */
export function withCheck(frame: Uint8Array): Uint8Array {
  const whole = new Uint8Array(frame.length + CHECK_BYTES);
  whole.set(frame);
  new DataView(whole.buffer).setUint32(frame.length, crc32(frame), true);
  return whole;
}
