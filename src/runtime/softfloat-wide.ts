// Arithmetic with 128-bit significands for the transcendental instructions: enough beyond 64 bits that the result's
// error stays below one unit in the last place. "Fixed" numbers are fractions of 2^128 (or 2^127 where 1 must fit).

import { addWords, multiplyHigh, multiplyWords, wordHigh, wordLow } from "./softfloat-words.ts";

/** Result: wideHigh:wideLow with the top bit set, value = significand * 2^(wideExponent - 127); zero if no bit is. */
export let wideHigh: u64 = 0;
export let wideLow: u64 = 0;
export let wideExponent: i32 = 0;

const TOP_BIT: u64 = 0x8000000000000000;

export function wideSet(exponent: i32, high: u64, low: u64): void {
  if (high == 0) {
    if (low == 0) {
      wideHigh = 0;
      wideLow = 0;
      return;
    }
    high = low;
    low = 0;
    exponent -= 64;
  }
  const shift = clz<u64>(high);
  if (shift != 0) {
    high = (high << shift) | (low >> (64 - shift));
    low <<= shift;
  }
  wideHigh = high;
  wideLow = low;
  wideExponent = exponent - <i32>shift;
}

/** Upper 128 bits of the product, a few units short. In wordHigh, wordLow. */
export function multiplyFixed(aHigh: u64, aLow: u64, bHigh: u64, bLow: u64): void {
  const cross = multiplyHigh(aHigh, bLow);
  const other = multiplyHigh(aLow, bHigh);
  multiplyWords(aHigh, bHigh);
  addWords(wordHigh, wordLow, 0, cross);
  addWords(wordHigh, wordLow, 0, other);
}

/** Product of two normalised significands. */
export function wideMultiply(aExponent: i32, aHigh: u64, aLow: u64, bExponent: i32, bHigh: u64, bLow: u64): void {
  multiplyFixed(aHigh, aLow, bHigh, bLow);
  wideSet(aExponent + bExponent + 1, wordHigh, wordLow);
}

/** Quotient of two normalised significands, by shifting and subtracting; truncated. */
export function wideDivide(aExponent: i32, aHigh: u64, aLow: u64, bExponent: i32, bHigh: u64, bLow: u64): void {
  let high = aHigh, low = aLow, quotientHigh: u64 = 0, quotientLow: u64 = 0, carry = false;
  for (let i = 0; i < 129; i++) {
    quotientHigh = (quotientHigh << 1) | (quotientLow >> 63);
    quotientLow <<= 1;
    if (carry || high > bHigh || (high == bHigh && low >= bLow)) {
      high = high - bHigh - u64(low < bLow);
      low -= bLow;
      quotientLow |= 1;
    }
    carry = (high & TOP_BIT) != 0;
    high = (high << 1) | (low >> 63);
    low <<= 1;
    // 128 bits are there: one more step only when the first one gave no bit.
    if (i == 127 && (quotientHigh & TOP_BIT) != 0) {
      wideHigh = quotientHigh;
      wideLow = quotientLow;
      wideExponent = aExponent - bExponent;
      return;
    }
  }
  wideHigh = quotientHigh;
  wideLow = quotientLow;
  wideExponent = aExponent - bExponent - 1;
}

/** (high, low) / divisor, divisor below 2^32. In wordHigh, wordLow via addWords' globals. */
export function divideFixed(high: u64, low: u64, divisor: u64): void {
  const first = high / divisor;
  let rest = ((high - first * divisor) << 32) | (low >> 32);
  const second = rest / divisor;
  rest = ((rest - second * divisor) << 32) | (low & 0xffffffff);
  addWords(first, second << 32, 0, rest / divisor);
}

/** A normalised number below 1 as a fraction of 2^128, in wordHigh, wordLow. */
export function toFixed(exponent: i32, high: u64, low: u64): void {
  const shift = -1 - exponent;
  if (shift >= 128) addWords(0, 0, 0, 0);
  else if (shift >= 64) addWords(0, high >> (shift - 64), 0, 0);
  else if (shift == 0) addWords(high, low, 0, 0);
  else addWords(high >> shift, (high << (64 - shift)) | (low >> shift), 0, 0);
}

/** Series below work on fractions of 2^127. */
export const FIXED_ONE: u64 = TOP_BIT;

/** (e^y - 1) / y for a fraction y of 2^128 below 0.7, negated when `negative`. */
export function exponentialSeries(yHigh: u64, yLow: u64, negative: bool): void {
  let high = FIXED_ONE, low: u64 = 0;
  for (let n: u64 = 25; n >= 2; n--) {
    multiplyFixed(yHigh, yLow, high, low);
    divideFixed(wordHigh, wordLow, n);
    if (negative) {
      high = FIXED_ONE - wordHigh - u64(wordLow != 0);
      low = 0 - wordLow;
    } else {
      high = FIXED_ONE + wordHigh;
      low = wordLow;
    }
  }
  addWords(high, low, 0, 0);
}

/** Sum of (+-1)^k square^k / (2k + 1): atanh(z) / z, or atan(z) / z when `alternating`; square below 0.18. */
export function arcSeries(squareHigh: u64, squareLow: u64, alternating: bool): void {
  let high: u64 = 0, low: u64 = 0;
  for (let n: u64 = 69; n >= 1; n -= 2) {
    multiplyFixed(squareHigh, squareLow, high, low);
    const productHigh = wordHigh, productLow = wordLow;
    divideFixed(FIXED_ONE, 0, n);
    if (alternating) {
      high = wordHigh - productHigh - u64(wordLow < productLow);
      low = wordLow - productLow;
    } else {
      addWords(wordHigh, wordLow, productHigh, productLow);
      high = wordHigh;
      low = wordLow;
    }
    if (n == 1) break;
  }
  addWords(high, low, 0, 0);
}

/** sin(r) / r (`first` 2) or cos(r) (`first` 1) from the square of r, below 0.62. */
export function circularSeries(squareHigh: u64, squareLow: u64, first: u64): void {
  let high = FIXED_ONE, low: u64 = 0;
  for (let n: u64 = first + 28; ; n -= 2) {
    multiplyFixed(squareHigh, squareLow, high, low);
    divideFixed(wordHigh, wordLow, n * (n + 1));
    high = FIXED_ONE - wordHigh - u64(wordLow != 0);
    low = 0 - wordLow;
    if (n == first) break;
  }
  addWords(high, low, 0, 0);
}
