// Fused multiply-add and half precision (SDM 1, 14.5 and 14.4): exact products and sums, rounded once.

import {
  DENORMAL, INFINITE, QUIET, SIGNALLING, ZERO, aClass, aExponent, aSign, aSignificand, bClass, bExponent, bSign, bSignificand, invalid, noB, normalise, packDouble, packHalf, packSingle,
  propagateNan, raise, raiseDenormal, resultInfinite, resultIsA, resultZero, roundsDown, setResult, unpackDoubleA, unpackDoubleB, unpackHalfA, unpackSingleA, unpackSingleB,
  DE, IE, denormalsAreZero, resultIsNan,
} from "./softfloat.ts";
import { addWords, multiplyWords, shiftRightJam, subtractWords, wordHigh, wordLow } from "./softfloat-words.ts";
import { roundingOfImmediate, sseBegin, sseEnd, sseNextLane, treatsDenormalsAsZero } from "./sse.ts";

let cSign: u32 = 0;
let cExponent: i32 = 0;
let cSignificand: u64 = 0;
let cClass: u32 = 0;

/** C is what A holds. */
function takeC(): void {
  cSign = aSign;
  cExponent = aExponent;
  cSignificand = aSignificand;
  cClass = aClass == DENORMAL && treatsDenormalsAsZero() ? ZERO : aClass;
}

/** A * B + C with the signs of product and addend turned as told. */
function multiplyAdd(negateProduct: u32, negateAddend: u32): void {
  if (treatsDenormalsAsZero()) denormalsAreZero();
  // A NaN of the first factor goes before the second's and the addend's (SDM 1, table 14-17).
  if (aClass >= QUIET || bClass >= QUIET || cClass >= QUIET) {
    if (cClass == SIGNALLING) raise(IE);
    if (!propagateNan()) resultIsNan(cSign, cSignificand);
    return;
  }
  const sign = aSign ^ bSign ^ negateProduct;
  const addend = cSign ^ negateAddend;
  if ((aClass == INFINITE && bClass == ZERO) || (aClass == ZERO && bClass == INFINITE)) {
    invalid();
    return;
  }
  const infinite = aClass == INFINITE || bClass == INFINITE;
  if (infinite && cClass == INFINITE && sign != addend) {
    invalid();
    return;
  }
  raiseDenormal();
  if (cClass == DENORMAL) raise(DE);
  if (infinite) {
    resultInfinite(sign);
    return;
  }
  if (cClass == INFINITE) {
    resultInfinite(addend);
    return;
  }
  if (aClass == ZERO || bClass == ZERO) {
    if (cClass == ZERO) resultZero(sign == addend ? sign : <u32>roundsDown());
    else setResult(addend, cExponent, cSignificand, 0);
    return;
  }
  let exponent = aExponent + bExponent + 1;
  multiplyWords(aSignificand, bSignificand);
  if (<i64>wordHigh >= 0) {
    exponent--;
    addWords(wordHigh, wordLow, wordHigh, wordLow);
  }
  if (cClass == ZERO) {
    setResult(sign, exponent, wordHigh, wordLow);
    return;
  }
  sum(sign, exponent, wordHigh, wordLow, addend);
}

/** The product, 128 bits, plus C. At most 106 of them count, so what is jammed away never comes back by cancellation. */
function sum(sign: u32, exponent: i32, high: u64, low: u64, addend: u32): void {
  let distance = exponent - cExponent;
  let otherHigh = cSignificand, otherLow: u64 = 0, largerSign = sign;
  if (distance < 0 || (distance == 0 && high < cSignificand)) {
    distance = -distance;
    exponent = cExponent;
    otherHigh = high;
    otherLow = low;
    high = cSignificand;
    low = 0;
    largerSign = addend;
  }
  shiftRightJam(otherHigh, otherLow, distance);
  if (sign == addend) {
    const carry = addWords(high, low, wordHigh, wordLow);
    if (carry != 0) {
      shiftRightJam(wordHigh, wordLow, 1);
      setResult(largerSign, exponent + 1, wordHigh | 0x8000000000000000, wordLow);
    } else setResult(largerSign, exponent, wordHigh, wordLow);
    return;
  }
  subtractWords(high, low, wordHigh, wordLow);
  if ((wordHigh | wordLow) == 0) resultZero(<u32>roundsDown());
  else normalise(largerSign, exponent, wordHigh, wordLow);
}

function laneF64(a: u64, b: u64, c: u64, signs: u32): u64 {
  unpackDoubleA(c);
  takeC();
  unpackDoubleA(a);
  unpackDoubleB(b);
  multiplyAdd(signs & 1, (signs >> 1) & 1);
  return packDouble();
}
function laneF32(a: u32, b: u32, c: u32, signs: u32): u32 {
  unpackSingleA(c);
  takeC();
  unpackSingleA(a);
  unpackSingleB(b);
  multiplyAdd(signs & 1, (signs >> 1) & 1);
  return packSingle();
}
/** The signs of odd lanes: bit 2 instead of bit 1. */
// @ts-ignore: decorator
@inline function odd(signs: i32): i32 { return (signs & 1) | ((signs >> 1) & 2); }

/** signs: see isa/x86/routines/avx.ts. */
export function fmaF64(cpu: usize, a: i64, b: i64, c: i64, signs: i32): i64 {
  sseBegin(cpu);
  const result = laneF64(a, b, c, signs);
  sseEnd(cpu);
  return result;
}
export function fmaF32(cpu: usize, a: i32, b: i32, c: i32, signs: i32): i32 {
  sseBegin(cpu);
  const result = laneF32(a, b, c, signs);
  sseEnd(cpu);
  return result;
}
export function fmaF64x2(cpu: usize, a: v128, b: v128, c: v128, signs: i32): v128 {
  sseBegin(cpu);
  const low = laneF64(i64x2.extract_lane(a, 0), i64x2.extract_lane(b, 0), i64x2.extract_lane(c, 0), signs);
  sseNextLane();
  const high = laneF64(i64x2.extract_lane(a, 1), i64x2.extract_lane(b, 1), i64x2.extract_lane(c, 1), odd(signs));
  sseEnd(cpu);
  return i64x2.replace_lane(i64x2.splat(low), 1, high);
}
export function fmaF32x4(cpu: usize, a: v128, b: v128, c: v128, signs: i32): v128 {
  sseBegin(cpu);
  let r = i32x4.splat(laneF32(i32x4.extract_lane(a, 0), i32x4.extract_lane(b, 0), i32x4.extract_lane(c, 0), signs));
  sseNextLane();
  r = i32x4.replace_lane(r, 1, laneF32(i32x4.extract_lane(a, 1), i32x4.extract_lane(b, 1), i32x4.extract_lane(c, 1), odd(signs)));
  sseNextLane();
  r = i32x4.replace_lane(r, 2, laneF32(i32x4.extract_lane(a, 2), i32x4.extract_lane(b, 2), i32x4.extract_lane(c, 2), signs));
  sseNextLane();
  r = i32x4.replace_lane(r, 3, laneF32(i32x4.extract_lane(a, 3), i32x4.extract_lane(b, 3), i32x4.extract_lane(c, 3), odd(signs)));
  sseEnd(cpu);
  return r;
}

/** VCVTPH2PS: denormals are numbers here whatever MXCSR says, and raise nothing. */
function laneFromHalf(bits: u32): u32 {
  unpackHalfA(bits & 0xffff);
  noB();
  if (!propagateNan()) resultIsA();
  return packSingle();
}
export function halfToSingle(cpu: usize, source: v128): v128 {
  sseBegin(cpu);
  const bits = <u64>i64x2.extract_lane(source, 0);
  let r = i32x4.splat(laneFromHalf(<u32>bits));
  r = i32x4.replace_lane(r, 1, laneFromHalf(<u32>(bits >> 16)));
  r = i32x4.replace_lane(r, 2, laneFromHalf(<u32>(bits >> 32)));
  r = i32x4.replace_lane(r, 3, laneFromHalf(<u32>(bits >> 48)));
  sseEnd(cpu);
  return r;
}

/** VCVTPS2PH: imm bits 1:0 the mode, bit 2 MXCSR's instead; results are never flushed to zero. */
function laneToHalf(bits: u32): u64 {
  unpackSingleA(bits);
  noB();
  if (treatsDenormalsAsZero()) denormalsAreZero();
  if (!propagateNan()) {
    raiseDenormal();
    resultIsA();
  }
  return packHalf();
}
export function singleToHalf(cpu: usize, source: v128, imm: i32): i64 {
  sseBegin(cpu);
  roundingOfImmediate(imm);
  const x = laneToHalf(i32x4.extract_lane(source, 0));
  sseNextLane();
  const y = laneToHalf(i32x4.extract_lane(source, 1));
  sseNextLane();
  const z = laneToHalf(i32x4.extract_lane(source, 2));
  sseNextLane();
  const w = laneToHalf(i32x4.extract_lane(source, 3));
  sseEnd(cpu);
  return x | (y << 16) | (z << 32) | (w << 48);
}
