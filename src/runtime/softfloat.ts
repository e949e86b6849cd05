// Exact binary floating point (IEEE 754 as Intel SDM 1, 4.8 and chapter 4.9 have it) for single, double and extended
// precision. Operands are unpacked into A and B, an operation leaves its exact result (128 bits, the last one sticky)
// in the result globals, and a pack function rounds it. All state is in globals: one instance of the module per vCPU.

import {
  FLOAT_ADD, FLOAT_DIV, FLOAT_MUL, FLOAT_SUB,
} from "../isa/x86/routines/float-operations.ts";
import { addWords, divideWords, multiplyWords, shiftRightJam, subtractWords, wordHigh, wordLow, wordRemainder } from "./softfloat-words.ts";

// Exception flags, as in MXCSR and the x87 status word.
export const IE: u32 = 1;
export const DE: u32 = 2;
export const ZE: u32 = 4;
export const OE: u32 = 8;
export const UE: u32 = 16;
export const PE: u32 = 32;

// Rounding modes, as in MXCSR.RC and the x87 control word's RC.
export const ROUND_NEAREST: u32 = 0;
export const ROUND_DOWN: u32 = 1;
export const ROUND_UP: u32 = 2;
export const ROUND_ZERO: u32 = 3;

export const ZERO: u32 = 0;
export const NORMAL: u32 = 1;
export const DENORMAL: u32 = 2;
export const INFINITE: u32 = 3;
export const QUIET: u32 = 4;
export const SIGNALLING: u32 = 5;
/** Extended encodings that the processor does not support (SDM 1, 8.2.2). */
export const UNSUPPORTED: u32 = 6;

export const QUIET_BIT: u64 = 0x4000000000000000;
const TOP_BIT: u64 = 0x8000000000000000;
const DEFAULT_NAN: u64 = 0xc000000000000000;

/** Raised so far by the operation under way. */
export let flags: u32 = 0;
/** The last rounding went away from zero. */
export let roundedUp: bool = false;
let rounding: u32 = ROUND_NEAREST;
/** Unmasked exceptions among OE and UE. */
let unmasked: u32 = 0;
/**
 * By how much the exponent is moved when OE or UE is unmasked (SDM 1, 8.5.4 and 8.5.5). Where no result is delivered
 * (SSE, stores) it still decides that PE tells of rounding as if the exponent had no limit.
 */
const WRAP_BIAS: i32 = 24576;
let flushTiny: bool = false;
let x87Rules: bool = false;

export function begin(roundingMode: u32, unmaskedExceptions: u32, flush: bool, x87: bool): void {
  flags = 0;
  roundedUp = false;
  rounding = roundingMode;
  unmasked = unmaskedExceptions;
  flushTiny = flush;
  x87Rules = x87;
}
export function raise(more: u32): void { flags |= more; }
export function clearRaised(): void {
  flags = 0;
  roundedUp = false;
}
export function roundsDown(): bool { return rounding == ROUND_DOWN; }
export function setRounding(mode: u32): void { rounding = mode; }
export function roundingMode(): u32 { return rounding; }
/** Where nothing is delivered, nothing is inexact. */
export function forgetRounding(): void {
  flags &= ~PE;
  roundedUp = false;
}
export function setRoundedUp(value: bool): void { roundedUp = value; }

// Operands: value = significand * 2^(exponent - 63) with the significand's top bit set unless zero.
export let aSign: u32 = 0;
export let aExponent: i32 = 0;
export let aSignificand: u64 = 0;
export let aClass: u32 = 0;
export let bSign: u32 = 0;
export let bExponent: i32 = 0;
export let bSignificand: u64 = 0;
export let bClass: u32 = 0;

// Result: like an operand, with 64 more bits below, the lowest sticky. NaNs carry their payload in the high word.
export let rSign: u32 = 0;
export let rExponent: i32 = 0;
export let rHigh: u64 = 0;
export let rLow: u64 = 0;
export let rClass: u32 = 0;

// Scratch of unpack, copied to A or B.
let uSign: u32 = 0;
let uExponent: i32 = 0;
let uSignificand: u64 = 0;
let uClass: u32 = 0;

function unpack(sign: u32, biased: u32, fraction: u64, maximum: u32, bias: i32): void {
  // fraction: left-aligned without the integer bit.
  uSign = sign;
  if (biased == maximum) {
    uExponent = 0;
    uSignificand = TOP_BIT | (fraction >> 1);
    uClass = fraction == 0 ? INFINITE : (fraction >> 63) != 0 ? QUIET : SIGNALLING;
  } else if (biased == 0) {
    if (fraction == 0) {
      uExponent = 0;
      uSignificand = 0;
      uClass = ZERO;
    } else {
      const shift = <i32>clz<u64>(fraction);
      uExponent = -bias - shift;
      uSignificand = fraction << shift;
      uClass = DENORMAL;
    }
  } else {
    uExponent = <i32>biased - bias;
    uSignificand = TOP_BIT | (fraction >> 1);
    uClass = NORMAL;
  }
}

function unpackExtended(significand: u64, se: u32): void {
  const biased = se & 0x7fff;
  uSign = (se >> 15) & 1;
  uSignificand = significand;
  if (biased == 0x7fff) {
    uExponent = 0;
    if ((significand & TOP_BIT) == 0) uClass = UNSUPPORTED;
    else if ((significand << 1) == 0) uClass = INFINITE;
    else uClass = (significand & QUIET_BIT) != 0 ? QUIET : SIGNALLING;
  } else if (biased == 0) {
    if (significand == 0) {
      uExponent = 0;
      uClass = ZERO;
    } else {
      // Pseudo-denormals (integer bit set) included.
      const shift = <i32>clz<u64>(significand);
      uExponent = -16382 - shift;
      uSignificand = significand << shift;
      uClass = DENORMAL;
    }
  } else {
    uExponent = <i32>biased - 16383;
    uClass = (significand & TOP_BIT) != 0 ? NORMAL : UNSUPPORTED;
  }
}

function takeA(): void {
  aSign = uSign;
  aExponent = uExponent;
  aSignificand = uSignificand;
  aClass = uClass;
}
function takeB(): void {
  bSign = uSign;
  bExponent = uExponent;
  bSignificand = uSignificand;
  bClass = uClass;
}

export function unpackSingleA(bits: u32): void {
  unpack(bits >> 31, (bits >> 23) & 0xff, <u64>bits << 41, 0xff, 127);
  takeA();
}
export function unpackSingleB(bits: u32): void {
  unpack(bits >> 31, (bits >> 23) & 0xff, <u64>bits << 41, 0xff, 127);
  takeB();
}
export function unpackHalfA(bits: u32): void {
  unpack(bits >> 15, (bits >> 10) & 0x1f, <u64>bits << 54, 0x1f, 15);
  takeA();
}
export function unpackDoubleA(bits: u64): void {
  unpack(<u32>(bits >> 63), <u32>(bits >> 52) & 0x7ff, bits << 12, 0x7ff, 1023);
  takeA();
}
export function unpackDoubleB(bits: u64): void {
  unpack(<u32>(bits >> 63), <u32>(bits >> 52) & 0x7ff, bits << 12, 0x7ff, 1023);
  takeB();
}
export function unpackExtendedA(significand: u64, se: u32): void {
  unpackExtended(significand, se);
  takeA();
}
export function unpackExtendedB(significand: u64, se: u32): void {
  unpackExtended(significand, se);
  takeB();
}
export function unpackIntegerA(value: i64): void {
  aSign = <u32>(value < 0);
  if (value == 0) {
    aClass = ZERO;
    aSignificand = 0;
    aExponent = 0;
    return;
  }
  const magnitude = value < 0 ? 0 - <u64>value : <u64>value;
  const shift = <i32>clz<u64>(magnitude);
  aClass = NORMAL;
  aExponent = 63 - shift;
  aSignificand = magnitude << shift;
}
export function unpackIntegerB(value: i64): void {
  unpackIntegerA(value);
  copyAToB();
}
export function copyAToB(): void {
  bSign = aSign;
  bExponent = aExponent;
  bSignificand = aSignificand;
  bClass = aClass;
}
export function swapOperands(): void {
  const sign = aSign, exponent = aExponent, significand = aSignificand, kind = aClass;
  aSign = bSign;
  aExponent = bExponent;
  aSignificand = bSignificand;
  aClass = bClass;
  bSign = sign;
  bExponent = exponent;
  bSignificand = significand;
  bClass = kind;
}
/** MXCSR.DAZ: denormal operands count as zero. */
export function denormalsAreZero(): void {
  if (aClass == DENORMAL) zeroA();
  if (bClass == DENORMAL) {
    bClass = ZERO;
    bSignificand = 0;
  }
}
function zeroA(): void {
  aClass = ZERO;
  aSignificand = 0;
}
export function noB(): void {
  bClass = ZERO;
  bSignificand = 0;
  bSign = 0;
}

export function setResult(sign: u32, exponent: i32, high: u64, low: u64): void {
  rClass = (high | low) == 0 ? ZERO : NORMAL;
  rSign = sign;
  rExponent = exponent;
  rHigh = high;
  rLow = low;
}
export function resultIsA(): void {
  rClass = aClass;
  rSign = aSign;
  rExponent = aExponent;
  rHigh = aSignificand;
  rLow = 0;
}
export function resultIsB(): void {
  rClass = bClass;
  rSign = bSign;
  rExponent = bExponent;
  rHigh = bSignificand;
  rLow = 0;
}
export function resultInfinite(sign: u32): void {
  rClass = INFINITE;
  rSign = sign;
  rHigh = TOP_BIT;
  rLow = 0;
}
export function resultZero(sign: u32): void {
  rClass = ZERO;
  rSign = sign;
  rHigh = 0;
  rLow = 0;
}
/** The default NaN ("real indefinite") with IE. */
export function invalid(): void {
  flags |= IE;
  rClass = QUIET;
  rSign = 1;
  rHigh = DEFAULT_NAN;
  rLow = 0;
}

/** A NaN made quiet, not of A or B. */
export function resultIsNan(sign: u32, significand: u64): void {
  rClass = QUIET;
  rSign = sign;
  rHigh = significand | QUIET_BIT;
  rLow = 0;
}

/** True when A or B is a NaN or unsupported: the result is then set (SDM 1, table 4-7). */
export function propagateNan(): bool {
  if (aClass < QUIET && bClass < QUIET) return false;
  if (aClass == UNSUPPORTED || bClass == UNSUPPORTED) {
    invalid();
    return true;
  }
  if (aClass == SIGNALLING || bClass == SIGNALLING) flags |= IE;
  let first: bool;
  if (aClass < QUIET) first = false;
  else if (bClass < QUIET) first = true;
  else if (!x87Rules) first = true;
  else if (aClass != bClass) first = aClass == QUIET;
  else if (aSignificand != bSignificand) first = aSignificand > bSignificand;
  else first = aSign <= bSign;
  if (first) resultIsA();
  else resultIsB();
  rClass = QUIET;
  rHigh |= QUIET_BIT;
  return true;
}

export function raiseDenormal(): void {
  if (aClass == DENORMAL || bClass == DENORMAL) flags |= DE;
}

/** ADD, SUB, MUL, DIV of A and B. */
export function arithmetic(operation: i32): void {
  if (propagateNan()) return;
  if (operation == FLOAT_ADD) add(bSign);
  else if (operation == FLOAT_SUB) add(bSign ^ 1);
  else if (operation == FLOAT_MUL) multiply();
  else divide();
}

function add(sign: u32): void {
  if (aClass == INFINITE) {
    if (bClass == INFINITE && aSign != sign) {
      invalid();
      return;
    }
    raiseDenormal();
    resultInfinite(aSign);
    return;
  }
  raiseDenormal();
  if (bClass == INFINITE) {
    resultInfinite(sign);
    return;
  }
  if (bClass == ZERO) {
    if (aClass == ZERO) resultZero(aSign == sign ? aSign : <u32>(rounding == ROUND_DOWN));
    else resultIsA();
    return;
  }
  if (aClass == ZERO) {
    resultIsB();
    rSign = sign;
    return;
  }
  let exponent = aExponent, high = aSignificand, otherHigh = bSignificand, distance = aExponent - bExponent;
  let resultSign = aSign;
  if (distance < 0 || (distance == 0 && high < otherHigh)) {
    distance = -distance;
    exponent = bExponent;
    high = bSignificand;
    otherHigh = aSignificand;
    resultSign = sign;
  }
  shiftRightJam(otherHigh, 0, distance);
  if (aSign == sign) {
    const carry = addWords(high, 0, wordHigh, wordLow);
    if (carry != 0) {
      shiftRightJam(wordHigh, wordLow, 1);
      setResult(resultSign, exponent + 1, wordHigh | TOP_BIT, wordLow);
    } else setResult(resultSign, exponent, wordHigh, wordLow);
    return;
  }
  subtractWords(high, 0, wordHigh, wordLow);
  if ((wordHigh | wordLow) == 0) {
    resultZero(<u32>(rounding == ROUND_DOWN));
    return;
  }
  normalise(resultSign, exponent, wordHigh, wordLow);
}

/** Sets the result from a non-zero significand of 128 bits that need not have its top bit set. */
export function normalise(sign: u32, exponent: i32, high: u64, low: u64): void {
  if (high == 0) {
    exponent -= 64;
    high = low;
    low = 0;
  }
  const shift = <i32>clz<u64>(high);
  if (shift != 0 && shift != 64) {
    high = (high << shift) | (low >> (64 - shift));
    low <<= shift;
  }
  setResult(sign, exponent - shift, high, low);
}

function multiply(): void {
  const sign = aSign ^ bSign;
  if (aClass == INFINITE || bClass == INFINITE) {
    if (aClass == ZERO || bClass == ZERO) invalid();
    else {
      raiseDenormal();
      resultInfinite(sign);
    }
    return;
  }
  raiseDenormal();
  if (aClass == ZERO || bClass == ZERO) {
    resultZero(sign);
    return;
  }
  multiplyWords(aSignificand, bSignificand);
  if ((wordHigh & TOP_BIT) != 0) setResult(sign, aExponent + bExponent + 1, wordHigh, wordLow);
  else setResult(sign, aExponent + bExponent, (wordHigh << 1) | (wordLow >> 63), wordLow << 1);
}

function divide(): void {
  const sign = aSign ^ bSign;
  if (aClass == INFINITE) {
    if (bClass == INFINITE) invalid();
    else {
      raiseDenormal();
      resultInfinite(sign);
    }
    return;
  }
  if (bClass == ZERO) {
    if (aClass == ZERO) invalid();
    else {
      flags |= ZE;
      resultInfinite(sign);
    }
    return;
  }
  raiseDenormal();
  if (bClass == INFINITE || aClass == ZERO) {
    resultZero(sign);
    return;
  }
  const larger = aSignificand >= bSignificand;
  const high = larger ? divideWords(aSignificand >> 1, aSignificand << 63, bSignificand) : divideWords(aSignificand, 0, bSignificand);
  const low = divideWords(wordRemainder, 0, bSignificand);
  setResult(sign, aExponent - bExponent - i32(!larger), high, low | u64(wordRemainder != 0));
}

/** Square root of B (SSE) or A copied there (x87). */
export function squareRoot(): void {
  aClass = ZERO;
  aSign = 0;
  if (propagateNan()) return;
  if (bClass == ZERO) {
    resultIsB();
    return;
  }
  if (bSign != 0) {
    invalid();
    return;
  }
  raiseDenormal();
  if (bClass == INFINITE) {
    resultIsB();
    return;
  }
  const odd = (bExponent & 1) != 0;
  const high = odd ? bSignificand : bSignificand >> 1;
  const low = odd ? 0 : bSignificand << 63;
  const root = integerRoot(high, low);
  // (root + 1/2)^2 = root^2 + root + 1/4: the remainder tells on which side of the middle the rest is, never on it.
  let rest: u64 = 0;
  if (wordHigh != 0 || wordLow > root) rest = 0xc000000000000000;
  else if (wordLow != 0) rest = 0x4000000000000000;
  setResult(0, bExponent >> 1, root, rest);
}

/** Floor of the root of a number from 2^126 up; wordHigh, wordLow: the remainder. */
function integerRoot(high: u64, low: u64): u64 {
  const estimate = sqrt<f64>(<f64>high * 18446744073709551616.0);
  let root: u64 = estimate >= 18446744073709549568.0 ? 0xfffffffffffff800 : <u64>estimate;
  // One Newton step from 53 to 64 bits, then exact correction.
  multiplyWords(root, root);
  subtractWords(high, low, wordHigh, wordLow);
  const error = <f64><i64>wordHigh * 18446744073709551616.0 + <f64>wordLow;
  const step = <i64>(error / (2.0 * <f64>root));
  const next = root + step;
  root = step > 0 && next < root ? u64.MAX_VALUE : next;
  multiplyWords(root, root);
  subtractWords(high, low, wordHigh, wordLow);
  while (<i64>wordHigh < 0) {
    root--;
    addWords(wordHigh, wordLow, root >> 63, (root << 1) | 1);
  }
  // remainder > 2 * root
  while (wordHigh > root >> 63 || (wordHigh == root >> 63 && wordLow > root << 1)) {
    subtractWords(wordHigh, wordLow, root >> 63, (root << 1) | 1);
    root++;
  }
  return root;
}

// Rounded result: significand aligned to the top, exponent, or infinity.
let outHigh: u64 = 0;
let outExponent: i32 = 0;
let outInfinite: bool = false;

/** True when a remainder `rest` (of 2^64) below a last bit `last` is rounded away from zero. */
// @ts-ignore: decorator
@inline export function roundsUp(rest: u64, last: u64, sign: u32): bool {
  if (rest == 0) return false;
  if (rounding == ROUND_NEAREST) return rest > TOP_BIT || (rest == TOP_BIT && (last & 1) != 0);
  if (rounding == ROUND_DOWN) return sign != 0;
  if (rounding == ROUND_UP) return sign == 0;
  return false;
}

/** What lies below the lowest of `precision` bits, as a fraction of 2^64 with a sticky last bit. */
// @ts-ignore: decorator
@inline function below(high: u64, low: u64, precision: i32): u64 {
  return precision == 64 ? low : (high << precision) | u64(low != 0);
}

/** Rounds the finite non-zero result to `precision` bits with exponents from `minimum` to `maximum`. */
function round(precision: i32, minimum: i32, maximum: i32): void {
  let high = rHigh, low = rLow, exponent = rExponent;
  const drop = 64 - precision;
  const unit: u64 = 1 << drop;
  outInfinite = false;
  roundedUp = false;
  let tiny = false, scaled = false;
  if (exponent < minimum) {
    // Tininess is looked for after rounding as if the exponent had no limit (SDM 1, 4.9.1.5).
    tiny = exponent < minimum - 1 || (high | (unit - 1)) != u64.MAX_VALUE || !roundsUp(below(high, low, precision), high >> drop, rSign);
    if (tiny && (unmasked & UE) != 0) {
      flags |= UE;
      // A number too small even then (FSCALE) becomes zero.
      if (x87Rules && minimum == -16382 && exponent + WRAP_BIAS < minimum) {
        flags |= PE;
        outHigh = 0;
        outExponent = minimum;
        return;
      }
      exponent += WRAP_BIAS;
      scaled = true;
      tiny = false;
    }
    if (exponent < minimum) {
      if (tiny && flushTiny) {
        flags |= UE | PE;
        outHigh = 0;
        outExponent = minimum;
        return;
      }
      shiftRightJam(high, low, minimum - exponent);
      high = wordHigh;
      low = wordLow;
      exponent = minimum;
    }
  }
  const rest = below(high, low, precision);
  high &= ~(unit - 1);
  if (roundsUp(rest, high >> drop, rSign)) {
    roundedUp = true;
    const before = high;
    high += unit;
    if (high < before) {
      high = TOP_BIT;
      exponent++;
    }
  }
  if (exponent > maximum && !scaled) {
    flags |= OE;
    // A number too large even then (FSCALE) becomes infinite.
    const far = (unmasked & OE) != 0 && x87Rules && maximum == 16383 && exponent - WRAP_BIAS > maximum;
    if ((unmasked & OE) != 0 && !far) {
      if (rest != 0) flags |= PE;
      outExponent = exponent - WRAP_BIAS;
      outHigh = high;
      return;
    }
    flags |= PE;
    const toInfinity = far || rounding == ROUND_NEAREST || (rounding == ROUND_DOWN && rSign != 0) || (rounding == ROUND_UP && rSign == 0);
    roundedUp = toInfinity;
    outInfinite = toInfinity;
    outExponent = maximum;
    outHigh = ~(unit - 1);
    return;
  }
  if (rest != 0) {
    flags |= PE;
    if (tiny) flags |= UE;
  }
  outHigh = high;
  outExponent = exponent;
}

/** Half precision, for which MXCSR.FTZ does not count. */
export function packHalf(): u64 {
  const sign = <u64>rSign << 15;
  if (rClass == ZERO) return sign;
  if (rClass >= QUIET) return sign | 0x7c00 | ((rHigh << 1) >> 54);
  if (rClass != INFINITE) {
    const flush = flushTiny;
    flushTiny = false;
    round(11, -14, 15);
    flushTiny = flush;
    if (!outInfinite) {
      const biased: u64 = (outHigh & TOP_BIT) != 0 ? <u64>(outExponent + 15) & 0x1f : 0;
      return sign | (biased << 10) | ((outHigh >> 53) & 0x3ff);
    }
  }
  return sign | 0x7c00;
}

export function packSingle(): u32 {
  const sign = rSign << 31;
  if (rClass == ZERO) return sign;
  if (rClass >= QUIET) return sign | 0x7f800000 | <u32>((rHigh << 1) >> 41);
  if (rClass != INFINITE) {
    round(24, -126, 127);
    if (!outInfinite) {
      const biased: u32 = (outHigh & TOP_BIT) != 0 ? <u32>(outExponent + 127) & 0xff : 0;
      return sign | (biased << 23) | (<u32>(outHigh >> 40) & 0x7fffff);
    }
  }
  return sign | 0x7f800000;
}

export function packDouble(): u64 {
  const sign = <u64>rSign << 63;
  if (rClass == ZERO) return sign;
  if (rClass >= QUIET) return sign | 0x7ff0000000000000 | ((rHigh << 1) >> 12);
  if (rClass != INFINITE) {
    round(53, -1022, 1023);
    if (!outInfinite) {
      const biased: u64 = (outHigh & TOP_BIT) != 0 ? <u64>(outExponent + 1023) & 0x7ff : 0;
      return sign | (biased << 52) | ((outHigh >> 11) & 0xfffffffffffff);
    }
  }
  return sign | 0x7ff0000000000000;
}

/** Extended result: the significand; packedExponent the sign and exponent. */
export let packedExponent: u32 = 0;
export function packExtended(precision: i32): u64 {
  const sign = rSign << 15;
  if (rClass == ZERO) {
    packedExponent = sign;
    return 0;
  }
  if (rClass >= QUIET) {
    packedExponent = sign | 0x7fff;
    return rHigh;
  }
  if (rClass != INFINITE) {
    round(precision, -16382, 16383);
    if (!outInfinite) {
      packedExponent = sign | ((outHigh & TOP_BIT) != 0 ? <u32>(outExponent + 16383) & 0x7fff : 0);
      return outHigh;
    }
  }
  packedExponent = sign | 0x7fff;
  return TOP_BIT;
}
export function packedPart(): u32 { return packedExponent; }

/**
 * A rounded to an integer by the current mode: magnitude, saturated to u64.MAX_VALUE with tooLarge set when it needs
 * more than 64 bits. Finite A only. integerInexact tells whether bits were lost.
 */
export let tooLarge: bool = false;
export let integerInexact: bool = false;
export function magnitudeOfA(): u64 {
  tooLarge = false;
  integerInexact = false;
  roundedUp = false;
  if (aClass == ZERO) return 0;
  if (aExponent > 63) {
    tooLarge = true;
    return u64.MAX_VALUE;
  }
  shiftRightJam(aSignificand, 0, 63 - aExponent);
  const rest = wordLow;
  let value = wordHigh;
  integerInexact = rest != 0;
  if (roundsUp(rest, value, aSign)) {
    roundedUp = true;
    value++;
    if (value == 0) {
      tooLarge = true;
      value = u64.MAX_VALUE;
    }
  }
  return value;
}

/**
 * A as a signed integer of `bits` bits; IE and the integer indefinite when it does not fit or is no number, PE when
 * rounded.
 */
export function integerOfA(bits: i32): i64 {
  const indefinite: i64 = <i64>(<u64>-1 << (bits - 1));
  if (aClass >= INFINITE) {
    flags |= IE;
    return indefinite;
  }
  const magnitude = magnitudeOfA();
  const limit: u64 = (<u64>1 << (bits - 1)) - (aSign != 0 ? 0 : 1);
  if (tooLarge || magnitude > limit) {
    flags |= IE;
    roundedUp = false;
    return indefinite;
  }
  if (integerInexact) flags |= PE;
  return aSign != 0 ? <i64>(0 - magnitude) : <i64>magnitude;
}

/** The result is A rounded to an integral value; PE when `exact` is false and it changed. */
export function roundA(quietly: bool): void {
  if (aClass == ZERO || aClass == INFINITE || aExponent >= 63) {
    resultIsA();
    return;
  }
  const value = magnitudeOfA();
  if (integerInexact && !quietly) flags |= PE;
  if (value == 0) resultZero(aSign);
  else if (tooLarge) setResult(aSign, 64, TOP_BIT, 0);
  else normalise(aSign, 63, value, 0);
}

// Comparison results as ZF, PF, CF of EFLAGS; the x87 condition codes C3, C2, C0 are the same bits elsewhere.
export const COMPARE_GREATER: u32 = 0;
export const COMPARE_LESS: u32 = 1;
export const COMPARE_EQUAL: u32 = 0x40;
export const COMPARE_UNORDERED: u32 = 0x45;

/** Compares A with B. `signalQuiet`: IE for quiet NaNs too. */
export function compare(signalQuiet: bool): u32 {
  if (aClass >= QUIET || bClass >= QUIET) {
    if (signalQuiet || aClass >= SIGNALLING || bClass >= SIGNALLING) flags |= IE;
    return COMPARE_UNORDERED;
  }
  raiseDenormal();
  if (aClass == ZERO && bClass == ZERO) return COMPARE_EQUAL;
  if (aClass == ZERO) return bSign != 0 ? COMPARE_GREATER : COMPARE_LESS;
  if (bClass == ZERO || aSign != bSign) return aSign != 0 ? COMPARE_LESS : COMPARE_GREATER;
  let less: bool;
  if (aClass == INFINITE || bClass == INFINITE) {
    if (aClass == bClass) return COMPARE_EQUAL;
    less = bClass == INFINITE;
  } else if (aExponent != bExponent) less = aExponent < bExponent;
  else if (aSignificand != bSignificand) less = aSignificand < bSignificand;
  else return COMPARE_EQUAL;
  return less != (aSign != 0) ? COMPARE_LESS : COMPARE_GREATER;
}
