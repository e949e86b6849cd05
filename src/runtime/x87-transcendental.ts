// F2XM1, FYL2X, FYL2XP1, FPATAN, FSIN, FCOS, FSINCOS, FPTAN (Intel SDM 1, 8.3.7 and 8.3.8; SDM 2A). Computed with 128
// bits and rounded once. Trigonometric arguments are reduced by the processor's pi of 66 bits (SDM 1, 8.3.8).

import { X87_F2XM1, X87_FCOS, X87_FPATAN, X87_FPTAN, X87_FSIN, X87_FSINCOS, X87_FYL2X, X87_FYL2XP1 } from "../isa/x86/routines/float-operations.ts";
import { addWords, multiplyWords, shiftRightJam, subtractWords, wordHigh, wordLow } from "./softfloat-words.ts";
import {
  FIXED_ONE, arcSeries, circularSeries, exponentialSeries, multiplyFixed, toFixed, wideDivide, wideExponent, wideHigh, wideLow, wideMultiply, wideSet,
} from "./softfloat-wide.ts";
import {
  INFINITE, PE, UE, ZE, ZERO, aClass, aExponent, aSign, aSignificand, bClass, bExponent, bSign, bSignificand, invalid, noB, packExtended, packedExponent, propagateNan, raise, raiseDenormal,
  resultInfinite, resultIsA, resultZero, setResult,
} from "./softfloat.ts";
import {
  NAN_EXPONENT, NAN_SIGNIFICAND, STATUS_C1, STATUS_C2, unpackA, unpackB, x87Deliver, x87Finish, x87IsEmpty, x87Pop, x87Push, x87SetCondition, x87StackFault, x87Write, x87WriteIndefinite,
} from "./x87-stack.ts";

const TOP_BIT: u64 = 0x8000000000000000;
// Fractions of 2^128, truncated.
const QUARTER_PI_HIGH: u64 = 0xc90fdaa22168c234;
const QUARTER_PI_LOW: u64 = 0xc4c6628b80dc1cd1;
const LN2_HIGH: u64 = 0xb17217f7d1cf79ab;
const LN2_LOW: u64 = 0xc9e3b39803f2f6af;
/** 1 / (2 ln 2) */
const HALF_LOG2E_HIGH: u64 = 0xb8aa3b295c17f0bb;
const HALF_LOG2E_LOW: u64 = 0xbe87fed0691d3e88;
/** The processor's pi / 2 in units of 2^-65: 66 bits. */
const HALF_PI_HIGH: u64 = 3;
const HALF_PI_LOW: u64 = 0x243f6a8885a308d3;
/** 2^63 * sqrt(2) */
const ROOT_TWO: u64 = 0xb504f333f9de6484;
/** tan(pi / 8) as a fraction of 2^64. */
const TAN_EIGHTH_PI: u64 = 0x6a09e667f3bcc908;

export function x87Transcendental(cpu: usize, operation: i32): void {
  if (operation == X87_FYL2X || operation == X87_FYL2XP1 || operation == X87_FPATAN) {
    if (x87IsEmpty(cpu, 0) || x87IsEmpty(cpu, 1)) {
      if (!x87StackFault(cpu, false)) return;
      x87WriteIndefinite(cpu, 1);
      x87Pop(cpu);
      return;
    }
    unpackA(cpu, 0);
    unpackB(cpu, 1);
    if (!propagateNan()) {
      if (operation == X87_FYL2X) yLog2();
      else if (operation == X87_FYL2XP1) yLog2PlusOne();
      else arcTangent();
    }
    if (x87Deliver(cpu, 1, 64)) x87Pop(cpu);
    return;
  }
  if (operation != X87_F2XM1) x87SetCondition(cpu, STATUS_C2, 0);
  if (x87IsEmpty(cpu, 0)) {
    if (!x87StackFault(cpu, false)) return;
    x87WriteIndefinite(cpu, 0);
    if (operation == X87_FPTAN || operation == X87_FSINCOS) x87Push(cpu, NAN_SIGNIFICAND, NAN_EXPONENT);
    return;
  }
  unpackA(cpu, 0);
  noB();
  if (operation == X87_F2XM1) {
    if (!propagateNan()) powerMinusOne();
    x87Deliver(cpu, 0, 64);
  } else circular(cpu, operation);
}

/** The wide number, known not to be exact, times 2^0 with this sign becomes the result. */
function inexactResult(sign: u32): void {
  setResult(sign, wideExponent, wideHigh, wideLow | 1);
}

/** 2^A - 1 for -1 <= A <= 1. */
function powerMinusOne(): void {
  raiseDenormal();
  if (aClass == INFINITE) {
    if (aSign != 0) setResult(1, 0, TOP_BIT, 0);
    else resultInfinite(0);
    return;
  }
  if (aClass == ZERO) {
    resultIsA();
    return;
  }
  // Beyond 1 the result is undefined: the operand stays.
  if (aExponent > 0 || (aExponent == 0 && aSignificand != TOP_BIT)) {
    raise(PE);
    resultIsA();
    return;
  }
  if (aExponent == 0) {
    raise(PE);
    setResult(aSign, aSign != 0 ? -1 : 0, TOP_BIT, 0);
    return;
  }
  wideMultiply(aExponent, aSignificand, 0, -1, LN2_HIGH, LN2_LOW);
  const exponent = wideExponent, high = wideHigh, low = wideLow;
  toFixed(exponent, high, low);
  exponentialSeries(wordHigh, wordLow, aSign != 0);
  wideSet(0, wordHigh, wordLow);
  wideMultiply(exponent, high, low, wideExponent, wideHigh, wideLow);
  inexactResult(aSign);
}

/** log2((1 + z) / (1 - z)) = z * series * 2 / ln 2, for the wide number z; leaves the magnitude wide. */
function logarithmOfRatio(): void {
  const exponent = wideExponent, high = wideHigh, low = wideLow;
  toFixed(exponent, high, low);
  const fixedHigh = wordHigh, fixedLow = wordLow;
  multiplyFixed(fixedHigh, fixedLow, fixedHigh, fixedLow);
  arcSeries(wordHigh, wordLow, false);
  wideSet(0, wordHigh, wordLow);
  wideMultiply(exponent, high, low, wideExponent, wideHigh, wideLow);
  // 2 / ln 2 = 4 * HALF_LOG2E, which is a fraction with exponent -1.
  wideMultiply(wideExponent, wideHigh, wideLow, 1, HALF_LOG2E_HIGH, HALF_LOG2E_LOW);
}

/** B * log2(A). */
function yLog2(): void {
  const negative = aSign != 0 && aClass != ZERO;
  if (negative) {
    invalid();
    return;
  }
  if (aClass == ZERO) {
    if (bClass == ZERO) {
      invalid();
      return;
    }
    if (bClass == INFINITE) raiseDenormal();
    else raise(ZE);
    resultInfinite(bSign ^ 1);
    return;
  }
  const one = aClass != INFINITE && aExponent == 0 && aSignificand == TOP_BIT;
  const belowOne: u32 = aClass != INFINITE && aExponent < 0 ? 1 : 0;
  if (bClass == INFINITE ? one : aClass == INFINITE && bClass == ZERO) {
    invalid();
    return;
  }
  raiseDenormal();
  if (aClass == INFINITE || bClass == INFINITE) {
    resultInfinite(bSign ^ belowOne);
    return;
  }
  if (one || bClass == ZERO) {
    resultZero(bSign ^ belowOne);
    return;
  }
  let power = aExponent;
  let low: bool = false;
  if (aSignificand == TOP_BIT) {
    wideSet(0, 0, 0);
  } else {
    low = aSignificand > ROOT_TWO;
    if (low) {
      power++;
      wideSet(0, 0 - aSignificand, 0);
    } else wideSet(0, aSignificand - TOP_BIT, 0);
    // Numerator and denominator in units of aSignificand's last bit; exponents cancel but for the normalising shift.
    const exponent = wideExponent, high = wideHigh;
    const carried = low ? aSignificand : aSignificand + TOP_BIT;
    // A denominator of 65 bits: 2^64 + carried.
    wideDivide(exponent, high, 0, 1, TOP_BIT | (carried >> 1), carried << 63);
    logarithmOfRatio();
  }
  finishLogarithm(power, low);
}


/** B * (power +- the wide number). */
function finishLogarithm(power: i32, negative: bool): void {
  let sign: u32 = negative ? 1 : 0;
  const exact = (wideHigh | wideLow) == 0;
  if (power != 0) {
    // In units of 2^-111: 16 bits of integer.
    shiftRightJam(wideHigh, wideLow, exact ? 0 : 16 - wideExponent);
    let high = wordHigh, low = wordLow;
    const magnitude = <u64>(power < 0 ? -power : power) << 47;
    sign = power < 0 ? 1 : 0;
    if (negative != (power < 0)) subtractWords(magnitude, 0, high, low);
    else addWords(magnitude, 0, high, low);
    wideSet(16, wordHigh, wordLow);
  }
  wideMultiply(wideExponent, wideHigh, wideLow, bExponent, bSignificand, 0);
  setResult(sign ^ bSign, wideExponent, wideHigh, exact ? wideLow : wideLow | 1);
  // Even when the logarithm is an integer.
  raise(exact && wideExponent < -16382 ? PE | UE : PE);
}

/** B * log2(A + 1), A between sqrt(1/2) - 1 and sqrt(2) - 1; outside (undefined) as long as A > -1. */
function yLog2PlusOne(): void {
  if (aClass == ZERO) {
    if (bClass == INFINITE) {
      invalid();
      return;
    }
    raiseDenormal();
    resultZero(aSign ^ bSign);
    return;
  }
  if (aSign != 0 && aExponent >= 0 && aClass != INFINITE && bClass != INFINITE && bClass != ZERO) {
    // Far outside: the operand stays.
    raiseDenormal();
    raise(PE);
    resultIsA();
    return;
  }
  if (aClass == INFINITE || bClass == INFINITE) {
    if ((aSign != 0 && aClass == INFINITE) || (aClass == INFINITE && bClass == ZERO)) {
      invalid();
      return;
    }
    raiseDenormal();
    resultInfinite(aSign ^ bSign);
    return;
  }
  raiseDenormal();
  if (bClass == ZERO) {
    resultZero(aSign ^ bSign);
    return;
  }
  if (aExponent >= -1) {
    // 1 + A needs the general reduction: 128 bits hold it but for the lowest when A is large.
    sumWithOne();
    return;
  }
  // z = A / (2 + A)
  shiftRightJam(aSignificand, 0, 1 - aExponent);
  if (aSign != 0) {
    subtractWords(TOP_BIT, 0, wordHigh, wordLow);
    wideSet(1, wordHigh, wordLow);
  } else {
    addWords(TOP_BIT, 0, wordHigh, wordLow);
    wideSet(1, wordHigh, wordLow);
  }
  wideDivide(aExponent, aSignificand, 0, wideExponent, wideHigh, wideLow);
  logarithmOfRatio();
  finishLogarithm(0, aSign != 0);
}

/** B * log2 of the wide 1 + A. */
function sumWithOne(): void {
  const larger = aExponent > 0 ? aExponent : 0;
  shiftRightJam(aSignificand, 0, larger - aExponent + 1);
  const high = wordHigh, low = wordLow;
  shiftRightJam(TOP_BIT, 0, larger + 1);
  if (aSign != 0) subtractWords(wordHigh, wordLow, high, low);
  else addWords(wordHigh, wordLow, high, low);
  wideSet(larger + 1, wordHigh, wordLow);
  let power = wideExponent;
  const sumHigh = wideHigh, sumLow = wideLow;
  const negative = sumHigh > ROOT_TWO;
  if (sumHigh == TOP_BIT && sumLow == 0) {
    wideSet(0, 0, 0);
    finishLogarithm(power, false);
    return;
  }
  if (negative) {
    power++;
    subtractWords(0, 0, sumHigh, sumLow);
    wideSet(0, wordHigh, wordLow);
  } else wideSet(0, sumHigh - TOP_BIT, sumLow);
  const exponent = wideExponent, numeratorHigh = wideHigh, numeratorLow = wideLow;
  if (negative) addWords(TOP_BIT, 0, sumHigh >> 1, (sumLow >> 1) | (sumHigh << 63));
  else addWords(TOP_BIT >> 1, 0, sumHigh >> 1, (sumLow >> 1) | (sumHigh << 63));
  wideSet(1, wordHigh, wordLow);
  wideDivide(exponent, numeratorHigh, numeratorLow, wideExponent, wideHigh, wideLow);
  logarithmOfRatio();
  finishLogarithm(power, negative);
}

/** times quarter pi with this sign. */
function quarterPis(sign: u32, times: u64): void {
  multiplyWords(QUARTER_PI_LOW, times);
  const low = wordLow, carry = wordHigh;
  multiplyWords(QUARTER_PI_HIGH, times);
  addWords(wordHigh, wordLow, 0, carry);
  // wordHigh: bits above 2^64 of the high word.
  const over = wordHigh, high = wordLow;
  if (over == 0) wideSet(-1, high, low);
  else {
    const shift = 64 - clz<u64>(over);
    wideSet(-1 + <i32>shift, (over << (64 - shift)) | (high >> shift), (high << (64 - shift)) | (low >> shift));
  }
  inexactResult(sign);
}

/** The angle of (A, B): atan2(B, A). */
function arcTangent(): void {
  raiseDenormal();
  const left = aSign != 0;
  if (bClass == INFINITE) {
    quarterPis(bSign, aClass == INFINITE ? (left ? 3 : 1) : 2);
    return;
  }
  if (aClass == INFINITE || bClass == ZERO) {
    if (left) quarterPis(bSign, 4);
    else resultZero(bSign);
    return;
  }
  if (aClass == ZERO) {
    quarterPis(bSign, 2);
    return;
  }
  const steep = bExponent > aExponent || (bExponent == aExponent && bSignificand > aSignificand);
  if (steep) wideDivide(aExponent, aSignificand, 0, bExponent, bSignificand, 0);
  else wideDivide(bExponent, bSignificand, 0, aExponent, aSignificand, 0);
  let exponent = wideExponent, high = wideHigh, low = wideLow;
  if (exponent == 0) {
    // Both are equal.
    quarterPis(bSign, left ? 3 : 1);
    return;
  }
  if (!steep && !left && exponent < -60) {
    // atan(r) = r - r^3 / 3: below the rounding of 128 bits, but never equal to r.
    subtractWords(high, low, 0, 1);
    wideSet(exponent, wordHigh, wordLow);
    inexactResult(bSign);
    return;
  }
  toFixed(exponent, high, low);
  const reduced = wordHigh > TAN_EIGHTH_PI;
  if (reduced) {
    // atan(r) = pi / 4 - atan((1 - r) / (1 + r))
    const fixedHigh = wordHigh, fixedLow = wordLow;
    subtractWords(0, 0, fixedHigh, fixedLow);
    wideSet(-1, wordHigh, wordLow);
    exponent = wideExponent;
    high = wideHigh;
    low = wideLow;
    addWords(TOP_BIT, 0, fixedHigh >> 1, (fixedLow >> 1) | (fixedHigh << 63));
    wideDivide(exponent, high, low, 0, wordHigh, wordLow);
    exponent = wideExponent;
    high = wideHigh;
    low = wideLow;
    toFixed(exponent, high, low);
  }
  const zHigh = wordHigh, zLow = wordLow;
  multiplyFixed(zHigh, zLow, zHigh, zLow);
  arcSeries(wordHigh, wordLow, true);
  wideSet(0, wordHigh, wordLow);
  wideMultiply(exponent, high, low, wideExponent, wideHigh, wideLow);
  if (!reduced && !steep && !left) {
    inexactResult(bSign);
    return;
  }
  // Angle = base * pi / 4 +- the small angle, in units of 2^-126.
  shiftRightJam(wideHigh, wideLow, 1 - wideExponent);
  const smallHigh = wordHigh, smallLow = wordLow;
  let base: u64 = reduced ? 1 : 0;
  let add = !reduced;
  if (steep) {
    base = 2 - base;
    add = !add;
  }
  if (left) {
    base = 4 - base;
    add = !add;
  }
  // pi / 4 in units of 2^-126, times base (at most 4).
  multiplyWords((QUARTER_PI_LOW >> 2) | (QUARTER_PI_HIGH << 62), base);
  const carry = wordHigh, baseLow = wordLow;
  const baseHigh = (QUARTER_PI_HIGH >> 2) * base + carry;
  if (add) addWords(baseHigh, baseLow, smallHigh, smallLow);
  else subtractWords(baseHigh, baseLow, smallHigh, smallLow);
  wideSet(1, wordHigh, wordLow);
  inexactResult(bSign);
}

// The reduced angle: at most pi / 4.
let angleSign: u32 = 0;
let angleExponent: i32 = 0;
let angleHigh: u64 = 0;
let angleLow: u64 = 0;
let quadrant: u32 = 0;

/** A modulo half a pi of 66 bits, exactly. */
function reduceAngle(): void {
  quadrant = 0;
  angleSign = aSign;
  angleExponent = aExponent;
  angleHigh = aSignificand;
  angleLow = 0;
  // In units of 2^-65; below 2^-1 there is nothing to reduce.
  if (aExponent < -1) return;
  let restHigh: u64 = 0, restLow: u64 = 0;
  const steps = aExponent + 66;
  let bits = aSignificand;
  for (let i = 0; i < steps; i++) {
    restHigh = (restHigh << 1) | (restLow >> 63);
    restLow = (restLow << 1) | (bits >> 63);
    bits <<= 1;
    quadrant <<= 1;
    if (restHigh > HALF_PI_HIGH || (restHigh == HALF_PI_HIGH && restLow >= HALF_PI_LOW)) {
      subtractWords(restHigh, restLow, HALF_PI_HIGH, HALF_PI_LOW);
      restHigh = wordHigh;
      restLow = wordLow;
      quadrant |= 1;
    }
  }
  subtractWords(HALF_PI_HIGH, HALF_PI_LOW, restHigh, restLow);
  if (wordHigh < restHigh || (wordHigh == restHigh && wordLow < restLow)) {
    restHigh = wordHigh;
    restLow = wordLow;
    angleSign ^= 1;
    quadrant++;
  }
  wideSet(62, restHigh, restLow);
  angleExponent = wideExponent;
  angleHigh = wideHigh;
  angleLow = wideLow;
  // sin(-x) = -sin(x): the quadrant counts against the sign of A.
  if (aSign != 0) quadrant = 0 - quadrant;
  quadrant &= 3;
}

/** Sine or cosine of the reduced angle, wide and positive (the angle's sign is the sine's). */
function wideCircular(cosine: bool): void {
  const high = angleHigh, low = angleLow, exponent = angleExponent;
  toFixed(exponent, high, low);
  const fixedHigh = wordHigh, fixedLow = wordLow;
  multiplyFixed(fixedHigh, fixedLow, fixedHigh, fixedLow);
  circularSeries(wordHigh, wordLow, cosine ? 1 : 2);
  // Below 1 even when the square vanished.
  if (wordHigh == FIXED_ONE) subtractWords(wordHigh, wordLow, 0, 1);
  wideSet(0, wordHigh, wordLow);
  if (!cosine) wideMultiply(exponent, high, low, wideExponent, wideHigh, wideLow);
}

function sineResult(shifted: u32): void {
  const turn = (quadrant + shifted) & 3;
  const cosine = (turn & 1) != 0;
  wideCircular(cosine);
  inexactResult(((turn >> 1) & 1) ^ (cosine ? 0 : angleSign));
}

function circular(cpu: usize, operation: i32): void {
  const two = operation == X87_FPTAN || operation == X87_FSINCOS;
  if (two && !x87IsEmpty(cpu, 7)) {
    if (x87StackFault(cpu, true)) {
      x87WriteIndefinite(cpu, 0);
      x87Push(cpu, NAN_SIGNIFICAND, NAN_EXPONENT);
    }
    return;
  }
  const number = !propagateNan();
  if (!number || aClass == INFINITE) {
    if (number) invalid();
    const high = packExtended(64);
    const se = packedExponent;
    if ((x87Finish(cpu) & 7) != 0) return;
    x87Write(cpu, 0, high, se);
    if (two) x87Push(cpu, high, se);
    return;
  }
  raiseDenormal();
  if (aClass != ZERO && aExponent >= 63) {
    // Out of range: unchanged, C2 set.
    x87SetCondition(cpu, STATUS_C1 | STATUS_C2, STATUS_C2);
    return;
  }
  if (aClass == ZERO) {
    if (operation == X87_FCOS) setResult(0, 0, TOP_BIT, 0);
    else resultIsA();
    if (x87Deliver(cpu, 0, 64) && two) x87Push(cpu, TOP_BIT, 0x3fff);
    return;
  }
  reduceAngle();
  if (operation == X87_FPTAN) tangentResult();
  else sineResult(operation == X87_FCOS ? 1 : 0);
  const high = packExtended(64);
  const se = packedExponent;
  let second: u64 = TOP_BIT;
  let secondSe: u32 = 0x3fff;
  if (operation == X87_FSINCOS) {
    sineResult(1);
    second = packExtended(64);
    secondSe = packedExponent;
  }
  if ((x87Finish(cpu) & 7) != 0) return;
  x87Write(cpu, 0, high, se);
  if (two) x87Push(cpu, second, secondSe);
}

function tangentResult(): void {
  if ((quadrant & 1) == 0 && angleExponent < -60) {
    // tan(r) = r + r^3 / 3: above r, though not in 128 bits.
    setResult(angleSign, angleExponent, angleHigh, angleLow | 1);
    return;
  }
  wideCircular(false);
  const exponent = wideExponent, high = wideHigh, low = wideLow;
  wideCircular(true);
  if ((quadrant & 1) == 0) wideDivide(exponent, high, low, wideExponent, wideHigh, wideLow);
  else wideDivide(wideExponent, wideHigh, wideLow, exponent, high, low);
  inexactResult(angleSign ^ (quadrant & 1));
}
