// x87 instructions in the everyday case, without unpacking operands and gathering exceptions: all exceptions masked,
// 64 bits of precision, rounding to nearest, operands and results normal numbers (zeros where noted). The only exception
// then is PE. Whatever a function here does not decide, the routines of x87.ts do: until it is certain nothing is written.

import {
  CR0, FAULT_PENDING, SCRATCH, SEGMENTS, SEGMENT_BYTES, SEG_CS, SEG_SELECTOR, X87, X87_CONTROL, X87_IP, X87_IP_SELECTOR, X87_STATUS, X87_TAGS,
} from "../isa/x86/state/layout.ts";
import { X87_DIV, X87_DIVR, X87_MUL, X87_REVERSED, X87_SUB, X87_SUBR } from "../isa/x86/routines/float-operations.ts";
import { storeLinear } from "./memory.ts";
import { currentIp } from "./position.ts";
import { divideWords, multiplyWords, wordHigh, wordLow, wordRemainder } from "./softfloat-words.ts";

const TOP_BIT: u64 = 0x8000000000000000;
const BIAS: i32 = 16383;
const C0: i32 = 0x100;
const C1: u32 = 0x200;
const C3: i32 = 0x4000;
/** Masks, precision and rounding of the control word, and what they are here. */
const CONTROL_MASKS: u32 = 0x3f;
const CONTROL_FIELDS: u32 = 0xf3f;
const CONTROL_PLAIN: u32 = 0x33f;
const CONTROL_ROUNDING: u32 = 0xc00;

/** #NM or a pending exception is due: x87Check decides which. */
// @ts-ignore: decorator
@inline function isBlocked(cpu: usize): bool {
  return ((load<u32>(cpu, CR0) & 12) | (load<u16>(cpu, X87_STATUS) & 0x80)) != 0;
}
// @ts-ignore: decorator
@inline function isPlain(cpu: usize): bool {
  return isPlainWith(cpu, load<u16>(cpu, X87_STATUS));
}
/** FIP and FCS. */
// @ts-ignore: decorator
@inline function notePointer(cpu: usize): void {
  store<u64>(cpu, currentIp(cpu), X87_IP);
  store<u16>(cpu, load<u16>(cpu + SEGMENTS + SEG_CS * SEGMENT_BYTES, SEG_SELECTOR), X87_IP_SELECTOR);
}
/** Number of the physical register that is ST(i). */
// @ts-ignore: decorator
@inline function physical(cpu: usize, i: u32): u32 {
  return ((<u32>load<u16>(cpu, X87_STATUS) >> 11) + i) & 7;
}
// @ts-ignore: decorator
@inline function isUsed(cpu: usize, register: u32): bool {
  return ((<u32>load<u16>(cpu, X87_TAGS) >> (register << 1)) & 3) != 3;
}
// @ts-ignore: decorator
@inline function isNormal(significand: u64, se: u32): bool {
  return (se & 0x7fff) - 1 < 0x7ffe && <i64>significand < 0;
}

/** PE and C1 of a rounding, or: it is not decided here. */
const UNDECIDED: i32 = -1;

/** Rounds a number, 128 bits of which the first is set and the last is sticky, into a physical register. */
// @ts-ignore: decorator
@inline function deliver(register: usize, sign: u32, exponent: i32, high: u64, low: u64): i32 {
  if (<u32>(exponent - 1) >= 0x7ffe) return UNDECIDED;
  const up = low > TOP_BIT - (high & 1);
  let e = exponent;
  let significand = high + u64(up);
  if (significand == 0) {
    if (e == 0x7ffe) return UNDECIDED;
    significand = TOP_BIT;
    e++;
  }
  store<u64>(register, significand, X87);
  store<u16>(register, <u16>(sign | <u32>e), X87 + 8);
  return (i32(low != 0) << 5) | (i32(up) << 9);
}
// @ts-ignore: decorator
@inline function deliverExact(register: usize, significand: u64, se: u32): i32 {
  store<u64>(register, significand, X87);
  store<u16>(register, <u16>se, X87 + 8);
  return 0;
}
// @ts-ignore: decorator
@inline function isZero(significand: u64, se: u32): bool {
  return (significand | <u64>(se & 0x7fff)) == 0;
}

/** Both are, and bit 0 of `mode` is set. */
// @ts-ignore: decorator
@inline function areNormal(mode: i32, a: u64, ae: u32, b: u64, be: u32): bool {
  const e = <i32>(ae & 0x7fff), other = <i32>(be & 0x7fff);
  return ((e - 1) | (0x7ffe - e) | (other - 1) | (0x7ffe - other) | ((mode & 1) - 1)) >= 0 && <i64>(a & b) < 0;
}

/**
 * The register at an offset from X87 becomes itself plus a number; its sign counts as the other one where `mode` has X87_REVERSED.
 * Without branches that depend on signs and sizes, which nobody can foretell.
 */
export function x87QuickSum(cpu: usize, mode: i32, to: i32, second: u64, secondSe: u32): i32 {
  const register = cpu + to;
  let a = load<u64>(register, X87), b = second;
  let ae = <u32>load<u16>(register, X87 + 8) ^ (mode & X87_REVERSED), be = secondSe;
  if (!areNormal(mode, a, ae, b, be)) return sumWithZero(mode, register, a, ae, b, be);
  // The larger one first.
  let distance = <i32>(ae & 0x7fff) - <i32>(be & 0x7fff);
  const swap = 0 - u64((distance < 0) | ((distance == 0) & (a < b)));
  const both = (a ^ b) & swap, bothSe = (ae ^ be) & <u32>swap;
  a ^= both;
  b ^= both;
  ae ^= bothSe;
  be ^= bothSe;
  distance = (distance ^ <i32>swap) - <i32>swap;
  let e = <i32>(ae & 0x7fff);
  // b moved down, what falls out of 128 bits kept as the last one.
  let h: u64 = 0, l: u64 = 1;
  if (distance < 64) {
    h = b >> distance;
    l = (b << 1) << (63 - distance);
  } else if (distance < 128) l = ((b >> (distance - 64))) | u64((b << 1) << (127 - distance) != 0);
  const differ = 0 - <u64>(((ae ^ be) >> 15) & 1);
  l = (l ^ differ) - differ;
  h = a + (h ^ differ) + (u64(l == 0) & differ);
  const carry = u64(h < a) & ~differ;
  l = (h & carry) << 63 | (l >> carry) | (l & carry);
  h = (h >> carry) | (carry << 63);
  e += <i32>carry;
  if (h == 0) {
    if (l == 0) return deliverExact(register, 0, 0);
    h = l;
    l = 0;
    e -= 64;
  }
  const shift = clz<u64>(h);
  h = (h << shift) | ((l >> 1) >> (63 - shift));
  l <<= shift;
  return deliver(register, ae & 0x8000, e - <i32>shift, h, l);
}
/** One of them is not normal. */
function sumWithZero(mode: i32, register: usize, a: u64, ae: u32, b: u64, be: u32): i32 {
  if ((mode & 1) == 0) return UNDECIDED;
  if (isZero(a, ae)) {
    if (isZero(b, be)) return deliverExact(register, 0, ae & be);
    return isNormal(b, be) ? deliverExact(register, b, be) : UNDECIDED;
  }
  return isZero(b, be) && isNormal(a, ae) ? deliverExact(register, a, ae) : UNDECIDED;
}

/** A zero and a number, of which at least one is not normal: their product, or a quotient with the zero above. */
function zeroOf(mode: i32, register: usize, zero: u64, zeroSe: u32, other: u64, otherSe: u32): i32 {
  return (mode & 1) != 0 && isZero(zero, zeroSe) && isNormal(other, otherSe) ? deliverExact(register, 0, (zeroSe ^ otherSe) & 0x8000) : UNDECIDED;
}

/** The register becomes its product with a number. */
export function x87QuickProduct(cpu: usize, holds: i32, to: i32, b: u64, be: u32): i32 {
  const register = cpu + to;
  const a = load<u64>(register, X87);
  const ae = <u32>load<u16>(register, X87 + 8);
  if (!areNormal(holds, a, ae, b, be)) return isZero(a, ae) ? zeroOf(holds, register, a, ae, b, be) : zeroOf(holds, register, b, be, a, ae);
  multiplyWords(a, b);
  const shift = ~wordHigh >> 63;
  const high = (wordHigh << shift) | ((wordLow >> 63) & shift);
  return deliver(register, (ae ^ be) & 0x8000, <i32>((ae & 0x7fff) + (be & 0x7fff)) - BIAS + 1 - <i32>shift, high, wordLow << shift);
}

/** The register becomes itself divided by a number, or with X87_REVERSED the number divided by it. */
export function x87QuickQuotient(cpu: usize, mode: i32, to: i32, second: u64, secondSe: u32): i32 {
  const register = cpu + to;
  let a = load<u64>(register, X87), b = second;
  let ae = <u32>load<u16>(register, X87 + 8), be = secondSe;
  if ((mode & X87_REVERSED) != 0) {
    const significand = a, se = ae;
    a = b;
    ae = be;
    b = significand;
    be = se;
  }
  if (!areNormal(mode, a, ae, b, be)) return zeroOf(mode, register, a, ae, b, be);
  const larger = u64(a >= b);
  const high = divideWords(a >> larger, (a & larger) << 63, b);
  // All that counts of the rest is on which side of the middle it lies.
  const rest = wordRemainder, other = b - rest;
  const low = rest == 0 ? 0 : TOP_BIT + u64(rest > other) - u64(rest < other);
  return deliver(register, (ae ^ be) & 0x8000, <i32>(ae & 0x7fff) - <i32>(be & 0x7fff) + BIAS - 1 + <i32>larger, high, low);
}

/** C3, C2 and C0 of a comparison of normal numbers and zeros. */
export function x87QuickCompare(_cpu: usize, holds: i32, a: u64, ae: u32, b: u64, be: u32): i32 {
  if (holds == 0 || !(isNormal(a, ae) || isZero(a, ae)) || !(isNormal(b, be) || isZero(b, be))) return UNDECIDED;
  if (a == b && (ae == be || a == 0)) return C3;
  // As integers that are ordered as the numbers are: of 80 bits with the sign in front.
  const negative = (ae & 0x8000) != 0;
  if (a == 0) return (be & 0x8000) != 0 ? 0 : C0;
  if (b == 0 || ((ae ^ be) & 0x8000) != 0) return negative ? C0 : 0;
  const below = (ae & 0x7fff) == (be & 0x7fff) ? a < b : (ae & 0x7fff) < (be & 0x7fff);
  return below != negative ? C0 : 0;
}

/** Notes PE and C1 as a rounding leaves them, pops when `pop`. */
// @ts-ignore: decorator
@inline function finish(cpu: usize, rounding: i32, pop: i32): void {
  const status = <u32>load<u16>(cpu, X87_STATUS);
  let after = (status & ~C1) | rounding;
  if (pop != 0) {
    store<u16>(cpu, <u16>(<u32>load<u16>(cpu, X87_TAGS) | (3 << ((status >> 10) & 14))), X87_TAGS);
    after = (after & ~0x3800) | ((after + 0x800) & 0x3800);
  }
  store<u16>(cpu, <u16>after, X87_STATUS);
}

/** To a physical register in use: what it holds, operation, the operand given; pops when `pop`. */
function operate(cpu: usize, operation: i32, register: u32, b: u64, be: u32, pop: i32): bool {
  const to = register << 4;
  let result: i32;
  switch (operation) {
    case X87_MUL: result = x87QuickProduct(cpu, 1, to, b, be); break;
    case X87_DIV: result = x87QuickQuotient(cpu, 1, to, b, be); break;
    case X87_DIVR: result = x87QuickQuotient(cpu, 1 | X87_REVERSED, to, b, be); break;
    default: result = x87QuickSum(cpu, operation == X87_SUBR ? 1 | X87_REVERSED : 1, to, b, operation == X87_SUB ? be ^ 0x8000 : be);
  }
  if (result < 0) return false;
  finish(cpu, result, pop);
  notePointer(cpu);
  return true;
}

/** Nothing is due that x87Check raises, and the control word is plain. `status`: the status word. */
// @ts-ignore: decorator
@inline function isPlainWith(cpu: usize, status: u32): bool {
  return ((load<u32>(cpu, CR0) & 12) | (status & 0x80) | ((<u32>load<u16>(cpu, X87_CONTROL) & CONTROL_FIELDS) ^ CONTROL_PLAIN)) == 0;
}

/** ST(destination) operation ST(source), not a comparison; pops when `pop`. */
export function quickRegisters(cpu: usize, operation: i32, destination: u32, source: u32, pop: i32): bool {
  const status = <u32>load<u16>(cpu, X87_STATUS);
  const top = status >> 11, to = (top + destination) & 7, from = (top + source) & 7;
  const tags = <u32>load<u16>(cpu, X87_TAGS);
  if (!isPlainWith(cpu, status) || ((tags >> (to << 1)) & 3) == 3 || ((tags >> (from << 1)) & 3) == 3) return false;
  return operate(cpu, operation, to, load<u64>(cpu + (from << 4), X87), load<u16>(cpu + (from << 4), X87 + 8), pop);
}

// Operands of other formats are exact in this one: the significand is returned, sign and exponent stand here, the exponent 0
// for what is no normal number.
let operandExponent: u32 = 0;
// @ts-ignore: decorator
@inline function fromDouble(bits: u64): u64 {
  const biased = <u32>(bits >> 52) & 0x7ff;
  operandExponent = (<u32>(bits >> 48) & 0x8000) | (biased - 1 < 0x7fe ? biased - 1023 + BIAS : 0);
  return TOP_BIT | (bits << 11);
}
// @ts-ignore: decorator
@inline function fromSingle(bits: u32): u64 {
  const biased = (bits >> 23) & 0xff;
  operandExponent = ((bits >> 16) & 0x8000) | (biased - 1 < 0xfe ? biased - 127 + BIAS : 0);
  return TOP_BIT | (<u64>bits << 40);
}
// @ts-ignore: decorator
@inline function fromInteger(value: i64): u64 {
  const magnitude = value < 0 ? 0 - <u64>value : <u64>value;
  const shift = <u32>clz<u64>(magnitude);
  operandExponent = value == 0 ? 0 : (value < 0 ? 0x8000 : 0) | (BIAS + 63 - shift);
  return magnitude << shift;
}

/** ST0 operation a number from memory, not a comparison. */
// @ts-ignore: decorator
@inline function withOperand(cpu: usize, operation: i32, significand: u64): bool {
  const status = <u32>load<u16>(cpu, X87_STATUS);
  const top = (status >> 11) & 7;
  return isPlainWith(cpu, status) && isUsed(cpu, top) && operate(cpu, operation, top, significand, operandExponent, 0);
}
export function quickWithDouble(cpu: usize, operation: i32, bits: u64): bool { return withOperand(cpu, operation, fromDouble(bits)); }
export function quickWithSingle(cpu: usize, operation: i32, bits: u32): bool { return withOperand(cpu, operation, fromSingle(bits)); }
export function quickWithInteger(cpu: usize, operation: i32, value: i64): bool { return withOperand(cpu, operation, fromInteger(value)); }

/** Pushes bits as they are. Whatever the control word says. */
export function quickPush(cpu: usize, significand: u64, se: u32): bool {
  const register = physical(cpu, 7);
  if (isBlocked(cpu) || isUsed(cpu, register)) return false;
  notePointer(cpu);
  store<u16>(cpu, <u16>((<u32>load<u16>(cpu, X87_STATUS) & ~(0x3800 | C1)) | (register << 11)), X87_STATUS);
  store<u16>(cpu, <u16>(<u32>load<u16>(cpu, X87_TAGS) & ~(3 << (register << 1))), X87_TAGS);
  store<u64>(cpu + (register << 4), significand, X87);
  store<u16>(cpu + (register << 4), <u16>se, X87 + 8);
  return true;
}
export function quickPushRegister(cpu: usize, i: u32): bool {
  const from = physical(cpu, i);
  return isUsed(cpu, from) && quickPush(cpu, load<u64>(cpu + (from << 4), X87), load<u16>(cpu + (from << 4), X87 + 8));
}
/** Zeros too. */
export function quickPushDouble(cpu: usize, bits: u64): bool {
  const significand = fromDouble(bits);
  if ((operandExponent & 0x7fff) != 0) return quickPush(cpu, significand, operandExponent);
  return bits << 1 == 0 && quickPush(cpu, 0, operandExponent);
}
export function quickPushSingle(cpu: usize, bits: u32): bool {
  const significand = fromSingle(bits);
  if ((operandExponent & 0x7fff) != 0) return quickPush(cpu, significand, operandExponent);
  return bits << 1 == 0 && quickPush(cpu, 0, operandExponent);
}
export function quickPushInteger(cpu: usize, value: i64): bool {
  return quickPush(cpu, fromInteger(value), operandExponent);
}

/** What a store came to. */
export const STORE_UNDECIDED: i32 = -1;

/** What makeShort and makeInteger made. */
let made: u64 = 0;

/** A register as a number of 52 (`bias` 1023) or 23 (127) bits of fraction: PE and C1. Zeros too. */
// @ts-ignore: decorator
@inline function makeShort(register: usize, bytes: u32, fraction: i32, bias: i32): i32 {
  const significand = load<u64>(register, X87);
  const se = <u32>load<u16>(register, X87 + 8);
  let value: u64 = 0;
  let inexact = false, up = false;
  if (isNormal(significand, se)) {
    const e = <i32>(se & 0x7fff) - BIAS + bias;
    if (e < 1) return UNDECIDED;
    const drop = <u64>(63 - fraction);
    const rest = significand << (fraction + 1);
    const kept = significand >> drop;
    up = rest > TOP_BIT - (kept & 1);
    inexact = rest != 0;
    // The integer bit adds one to the exponent.
    value = (<u64>(e - 1) << fraction) + kept + u64(up);
    if (value >= <u64>(2 * bias + 1) << fraction || e > 2 * bias) return UNDECIDED;
  } else if (!isZero(significand, se)) return UNDECIDED;
  made = value | <u64>(se >> 15) << ((bytes << 3) - 1);
  return (i32(inexact) << 5) | (i32(up) << 9);
}
function makeDouble(register: usize): i32 { return makeShort(register, 8, 52, 1023); }
function makeSingle(register: usize): i32 { return makeShort(register, 4, 23, 127); }

/** A register as an integer, rounded to nearest or to zero. */
function makeInteger(cpu: usize, register: usize, bytes: u32, truncate: bool): i32 {
  const rounding = <u32>load<u16>(cpu, X87_CONTROL) & CONTROL_ROUNDING;
  if (rounding != 0 && rounding != CONTROL_ROUNDING && !truncate) return UNDECIDED;
  const significand = load<u64>(register, X87);
  const se = <u32>load<u16>(register, X87 + 8);
  let value: u64 = 0;
  let inexact = false, up = false;
  if (isNormal(significand, se)) {
    // Well below the largest: what is close to it may round beyond.
    const e = <i32>(se & 0x7fff) - BIAS;
    if (e < 0 || e > <i32>(bytes << 3) - 3) return UNDECIDED;
    const rest = significand << (e + 1);
    value = significand >> (63 - e);
    inexact = rest != 0;
    up = !truncate && rounding == 0 && rest > TOP_BIT - (value & 1);
    value += u64(up);
    if (se >> 15 != 0) value = 0 - value;
  } else if (!isZero(significand, se)) return UNDECIDED;
  made = value;
  return (i32(inexact) << 5) | (i32(up) << 9);
}

/** Stores what was made of ST0: 0 or LEAVE_FAULT. */
function storeMade(cpu: usize, linear: u64, bytes: u32, pop: i32, rounding: i32): i32 {
  notePointer(cpu);
  storeLinear(cpu, linear, bytes, made);
  if (load<u32>(cpu, FAULT_PENDING) != 0) return 1;
  finish(cpu, rounding, pop);
  return 0;
}

/** FST and FSTP m64 and m32: 0, LEAVE_FAULT, or STORE_UNDECIDED. Zeros too. */
export function quickStoreDouble(cpu: usize, linear: u64, pop: i32): i32 {
  const register = physical(cpu, 0);
  if (!isPlain(cpu) || !isUsed(cpu, register)) return STORE_UNDECIDED;
  const rounding = makeDouble(cpu + (register << 4));
  return rounding < 0 ? STORE_UNDECIDED : storeMade(cpu, linear, 8, pop, rounding);
}
export function quickStoreSingle(cpu: usize, linear: u64, pop: i32): i32 {
  const register = physical(cpu, 0);
  if (!isPlain(cpu) || !isUsed(cpu, register)) return STORE_UNDECIDED;
  const rounding = makeSingle(cpu + (register << 4));
  return rounding < 0 ? STORE_UNDECIDED : storeMade(cpu, linear, 4, pop, rounding);
}

/** FIST, FISTP to nearest or to zero, FISTTP: any precision. As above. */
export function quickStoreInteger(cpu: usize, linear: u64, bytes: u32, pop: i32, truncate: bool): i32 {
  const register = physical(cpu, 0);
  if (isBlocked(cpu) || (<u32>load<u16>(cpu, X87_CONTROL) & CONTROL_MASKS) != CONTROL_MASKS || !isUsed(cpu, register)) return STORE_UNDECIDED;
  const rounding = makeInteger(cpu, cpu + (register << 4), bytes, truncate);
  return rounding < 0 ? STORE_UNDECIDED : storeMade(cpu, linear, bytes, pop, rounding);
}

// For code that has looked at registers, tags and control word itself (semantics/x87-stack.ts). Results stand at SCRATCH.

export function x87QuickToF64(cpu: usize, holds: i32, from: i32): i32 {
  if (holds == 0) return UNDECIDED;
  const rounding = makeDouble(cpu + from);
  store<u64>(cpu, made, SCRATCH);
  return rounding;
}
export function x87QuickToF32(cpu: usize, holds: i32, from: i32): i32 {
  if (holds == 0) return UNDECIDED;
  const rounding = makeSingle(cpu + from);
  store<u64>(cpu, made, SCRATCH);
  return rounding;
}
export function x87QuickToInteger(cpu: usize, holds: i32, from: i32, bytes: i32, truncate: i32): i32 {
  if (holds == 0) return UNDECIDED;
  const rounding = makeInteger(cpu, cpu + from, bytes, truncate != 0);
  store<u64>(cpu, made, SCRATCH);
  return rounding;
}
/** Into a register: zeros too. */
// @ts-ignore: decorator
@inline function loadShort(holds: i32, register: usize, significand: u64, zero: bool): i32 {
  if (holds == 0) return UNDECIDED;
  if ((operandExponent & 0x7fff) != 0) return deliverExact(register, significand, operandExponent);
  return zero ? deliverExact(register, 0, operandExponent) : UNDECIDED;
}
export function x87QuickLoadF64(cpu: usize, holds: i32, to: i32, bits: u64): i32 { return loadShort(holds, cpu + to, fromDouble(bits), bits << 1 == 0); }
export function x87QuickLoadF32(cpu: usize, holds: i32, to: i32, bits: u32): i32 { return loadShort(holds, cpu + to, fromSingle(bits), bits << 1 == 0); }
export function x87QuickLoadInteger(cpu: usize, to: i32, value: i64): void {
  const significand = fromInteger(value);
  deliverExact(cpu + to, significand, operandExponent);
}
