const POLYNOMIAL = 0xedb88320;
const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = (value >>> 1) ^ (value & 1 ? POLYNOMIAL : 0);
  return value;
});

/** Ethernet's shortest frame, without check sequence; senders fill up to it. */
const SHORTEST = 60;
export const CHECK_BYTES = 4;

/** The frame as a network carries it: filled up, with its check sequence (IEEE 802.3, section 3.2.9) behind. */
export function onTheWire(frame: Uint8Array): Uint8Array {
  const length = Math.max(frame.length, SHORTEST);
  const whole = new Uint8Array(length + CHECK_BYTES);
  whole.set(frame);
  let check = 0xffffffff;
  for (let i = 0; i < length; i++) check = TABLE[(check ^ whole[i]!) & 0xff]! ^ (check >>> 8);
  new DataView(whole.buffer).setUint32(length, ~check >>> 0, true);
  return whole;
}
