// 128-bit integer steps for the exact floating point. Results longer than a word are left in the globals below: the
// module is instantiated once per vCPU, so they are never shared.

/** High and low word of the last result. */
export let wordHigh: u64 = 0;
export let wordLow: u64 = 0;
/** Remainder of the last division. */
export let wordRemainder: u64 = 0;

/** 64 x 64 to 128 bits. */
export function multiplyWords(a: u64, b: u64): void {
  const al = a & 0xffffffff, ah = a >> 32, bl = b & 0xffffffff, bh = b >> 32;
  const low = al * bl;
  const cross = ah * bl + (low >> 32);
  const middle = al * bh + (cross & 0xffffffff);
  wordHigh = ah * bh + (cross >> 32) + (middle >> 32);
  wordLow = (middle << 32) | (low & 0xffffffff);
}

/** Upper half of the product. */
export function multiplyHigh(a: u64, b: u64): u64 {
  const al = a & 0xffffffff, ah = a >> 32, bl = b & 0xffffffff, bh = b >> 32;
  const cross = ah * bl + ((al * bl) >> 32);
  return ah * bh + (cross >> 32) + ((al * bh + (cross & 0xffffffff)) >> 32);
}

/** (high, low) / divisor with high < divisor and the divisor's top bit set: the quotient; wordRemainder the rest. */
export function divideWords(high: u64, low: u64, divisor: u64): u64 {
  // Knuth, TAOCP 2, 4.3.1, algorithm D with two digits of 32 bits.
  const dh = divisor >> 32, dl = divisor & 0xffffffff;
  let q1 = high / dh;
  let rest = high - q1 * dh;
  const l1 = low >> 32;
  while (q1 > 0xffffffff || q1 * dl > ((rest << 32) | l1)) {
    q1--;
    rest += dh;
    if (rest > 0xffffffff) break;
  }
  const middle = ((high << 32) | l1) - q1 * divisor;
  let q0 = middle / dh;
  rest = middle - q0 * dh;
  const l0 = low & 0xffffffff;
  while (q0 > 0xffffffff || q0 * dl > ((rest << 32) | l0)) {
    q0--;
    rest += dh;
    if (rest > 0xffffffff) break;
  }
  wordRemainder = ((middle << 32) | l0) - q0 * divisor;
  return (q1 << 32) + q0;
}

/** (high, low) >> distance, what falls out kept as the lowest bit ("jamming"). */
export function shiftRightJam(high: u64, low: u64, distance: i32): void {
  if (distance <= 0) {
    wordHigh = high;
    wordLow = low;
  } else if (distance < 64) {
    wordHigh = high >> distance;
    wordLow = (high << (64 - distance)) | (low >> distance) | u64(low << (64 - distance) != 0);
  } else if (distance == 64) {
    wordHigh = 0;
    wordLow = high | u64(low != 0);
  } else if (distance < 128) {
    wordHigh = 0;
    wordLow = (high >> (distance - 64)) | u64(((high << (128 - distance)) | low) != 0);
  } else {
    wordHigh = 0;
    wordLow = u64((high | low) != 0);
  }
}

/** (aHigh, aLow) + (bHigh, bLow); returns the carry. */
export function addWords(aHigh: u64, aLow: u64, bHigh: u64, bLow: u64): u64 {
  const low = aLow + bLow;
  const carry = u64(low < aLow);
  const part = aHigh + bHigh;
  const high = part + carry;
  wordHigh = high;
  wordLow = low;
  return u64(part < aHigh) | u64(high < part);
}

export function subtractWords(aHigh: u64, aLow: u64, bHigh: u64, bLow: u64): void {
  wordLow = aLow - bLow;
  wordHigh = aHigh - bHigh - u64(aLow < bLow);
}
