// Numbers as the Internet's protocols have them: the most significant byte first.

export function u16(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}
export function setU16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}
export function u32(bytes: Uint8Array, at: number): number {
  return u16(bytes, at) * 65536 + u16(bytes, at + 2);
}
export function setU32(bytes: Uint8Array, at: number, value: number): void {
  setU16(bytes, at, value >>> 16);
  setU16(bytes, at + 2, value);
}

/** One's complement sum of 16-bit words (RFC 1071), folded; `before` is such a sum of what stands in front, of even length. */
export function onesSum(bytes: Uint8Array, from: number, to: number, before = 0): number {
  let sum = before;
  const even = to - ((to - from) & 1);
  // A sum of 2^36 words stays exact.
  for (let at = from; at < even; at += 2) sum += (bytes[at]! << 8) | bytes[at + 1]!;
  if (even < to) sum += bytes[even]! << 8;
  while (sum > 0xffff) sum = (sum % 65536) + Math.floor(sum / 65536);
  return sum;
}
