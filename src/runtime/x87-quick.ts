// x87 instructions in the everyday case, without unpacking operands and gathering exceptions: all exceptions masked,
// 64 bits of precision, rounding to nearest, operands and results normal numbers (zeros where noted). The only exception
// then is PE. Whatever a function here does not decide, the routines of x87.ts do: until it is certain nothing is written.

import {
  CR0, FAULT_PENDING, SEGMENTS, SEGMENT_BYTES, SEG_CS, SEG_SELECTOR, X87, X87_CONTROL, X87_IP, X87_IP_SELECTOR, X87_STATUS, X87_TAGS,
} from "../isa/x86/state/layout.ts";
import { X87_DIV, X87_DIVR, X87_MUL, X87_SUB, X87_SUBR } from "../isa/x86/routines/float-operations.ts";
import { storeLinear } from "./memory.ts";
import { currentIp } from "./position.ts";
import { divideWords, multiplyWords, wordHigh, wordLow, wordRemainder } from "./softfloat-words.ts";

const TOP_BIT: u64 = 0x8000000000000000;
const BIAS: i32 = 16383;
const C1: u32 = 0x200;
const PE: u32 = 0x20;
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
  return !isBlocked(cpu) && (load<u16>(cpu, X87_CONTROL) & CONTROL_FIELDS) == CONTROL_PLAIN;
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
/** PE and C1 as a rounding leaves them. */
// @ts-ignore: decorator
@inline function noteRounding(cpu: usize, inexact: bool, up: bool): void {
  store<u16>(cpu, <u16>((<u32>load<u16>(cpu, X87_STATUS) & ~C1) | (inexact ? PE : 0) | (up ? C1 : 0)), X87_STATUS);
}
// @ts-ignore: decorator
@inline function isNormal(significand: u64, se: u32): bool {
  return (se & 0x7fff) - 1 < 0x7ffe && <i64>significand < 0;
}

/** Result of the functions below: biased exponent, 0 for a zero; 128 bits of which the last is sticky. */
let exponent: i32 = 0;
let high: u64 = 0;
let low: u64 = 0;
let sign: u32 = 0;

function add(a: u64, ae: u32, b: u64, be: u32): void {
  let e = <i32>(ae & 0x7fff);
  let distance = e - <i32>(be & 0x7fff);
  const same = ((ae ^ be) & 0x8000) == 0;
  sign = ae & 0x8000;
  if (distance < 0 || (distance == 0 && a < b)) {
    const other = a;
    a = b;
    b = other;
    e -= distance;
    distance = -distance;
    sign = be & 0x8000;
  }
  // b moved down, what falls out of 128 bits kept as the last one.
  let h: u64 = 0, l: u64 = 1;
  if (distance == 0) {
    h = b;
    l = 0;
  } else if (distance < 64) {
    h = b >> distance;
    l = b << (64 - distance);
  } else if (distance == 64) l = b;
  else if (distance < 128) l = (b >> (distance - 64)) | u64(b << (128 - distance) != 0);
  if (same) {
    h += a;
    if (h < a) {
      l = (h << 63) | (l >> 1) | (l & 1);
      h = (h >> 1) | TOP_BIT;
      e++;
    }
  } else {
    h = a - h - u64(l != 0);
    l = 0 - l;
    if (h == 0) {
      if (l == 0) {
        exponent = 0;
        high = 0;
        low = 0;
        sign = 0;
        return;
      }
      h = l;
      l = 0;
      e -= 64;
    }
    const shift = <i32>clz<u64>(h);
    if (shift != 0) {
      h = (h << shift) | (l >> (64 - shift));
      l <<= shift;
      e -= shift;
    }
  }
  exponent = e;
  high = h;
  low = l;
}

function multiply(a: u64, ae: u32, b: u64, be: u32): void {
  sign = (ae ^ be) & 0x8000;
  multiplyWords(a, b);
  exponent = <i32>((ae & 0x7fff) + (be & 0x7fff)) - BIAS + 1;
  high = wordHigh;
  low = wordLow;
  if (<i64>high < 0) return;
  high = (high << 1) | (low >> 63);
  low <<= 1;
  exponent--;
}

function divide(a: u64, ae: u32, b: u64, be: u32): void {
  sign = (ae ^ be) & 0x8000;
  const larger = a >= b;
  high = larger ? divideWords(a >> 1, a << 63, b) : divideWords(a, 0, b);
  exponent = <i32>(ae & 0x7fff) - <i32>(be & 0x7fff) + BIAS - i32(!larger);
  // All that counts of the rest is on which side of the middle it lies.
  const rest = wordRemainder;
  low = rest == 0 ? 0 : rest == b - rest ? TOP_BIT : rest > b - rest ? u64.MAX_VALUE : 1;
}

/** Rounds the result and writes it to a physical register in use; false when it is tiny or too large. */
function deliver(cpu: usize, register: u32): bool {
  let e = exponent;
  let significand = high;
  if (significand != 0) {
    if (e < 1) return false;
    const up = low > TOP_BIT || (low == TOP_BIT && (significand & 1) != 0);
    significand += u64(up);
    if (significand == 0) {
      significand = TOP_BIT;
      e++;
    }
    if (e > 0x7ffe) return false;
    noteRounding(cpu, low != 0, up);
  } else noteRounding(cpu, false, false);
  notePointer(cpu);
  store<u64>(cpu + (register << 4), significand, X87);
  store<u16>(cpu + (register << 4), <u16>(sign | <u32>e), X87 + 8);
  return true;
}

/** To a physical register in use: what it holds, operation, the operand given. */
function operate(cpu: usize, operation: i32, register: u32, b: u64, be: u32): bool {
  const a = load<u64>(cpu + (register << 4), X87);
  const ae = <u32>load<u16>(cpu + (register << 4), X87 + 8);
  if (!isNormal(a, ae) || !isNormal(b, be)) return false;
  switch (operation) {
    case X87_MUL: multiply(a, ae, b, be); break;
    case X87_SUB: add(a, ae, b, be ^ 0x8000); break;
    case X87_SUBR: add(b, be, a, ae ^ 0x8000); break;
    case X87_DIV: divide(a, ae, b, be); break;
    case X87_DIVR: divide(b, be, a, ae); break;
    default: add(a, ae, b, be);
  }
  return deliver(cpu, register);
}

/** ST(destination) operation ST(source), not a comparison. */
export function quickRegisters(cpu: usize, operation: i32, destination: u32, source: u32): bool {
  const to = physical(cpu, destination), from = physical(cpu, source);
  if (!isPlain(cpu) || !isUsed(cpu, to) || !isUsed(cpu, from)) return false;
  return operate(cpu, operation, to, load<u64>(cpu + (from << 4), X87), load<u16>(cpu + (from << 4), X87 + 8));
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
  const top = physical(cpu, 0);
  return isPlain(cpu) && isUsed(cpu, top) && operate(cpu, operation, top, significand, operandExponent);
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

/** After a store of ST0: pops it when `pop`. */
// @ts-ignore: decorator
@inline function finishStore(cpu: usize, inexact: bool, up: bool, pop: i32): void {
  noteRounding(cpu, inexact, up);
  if (pop == 0) return;
  const register = physical(cpu, 0);
  store<u16>(cpu, <u16>(<u32>load<u16>(cpu, X87_TAGS) | (3 << (register << 1))), X87_TAGS);
  store<u16>(cpu, <u16>((<u32>load<u16>(cpu, X87_STATUS) & ~0x3800) | (((register + 1) & 7) << 11)), X87_STATUS);
}

/** What a store came to. */
export const STORE_UNDECIDED: i32 = -1;

/** FST and FSTP m64 (`fraction` 52, `bias` 1023) and m32 (23, 127): 0, LEAVE_FAULT, or STORE_UNDECIDED. Zeros too. */
function storeShort(cpu: usize, linear: u64, bytes: u32, pop: i32, fraction: i32, bias: i32): i32 {
  const register = physical(cpu, 0);
  if (!isPlain(cpu) || !isUsed(cpu, register)) return STORE_UNDECIDED;
  const significand = load<u64>(cpu + (register << 4), X87);
  const se = <u32>load<u16>(cpu + (register << 4), X87 + 8);
  let value: u64 = 0;
  let inexact = false, up = false;
  if (isNormal(significand, se)) {
    const e = <i32>(se & 0x7fff) - BIAS + bias;
    if (e < 1) return STORE_UNDECIDED;
    const drop = <u64>(63 - fraction);
    const rest = significand << (fraction + 1);
    const kept = significand >> drop;
    up = rest > TOP_BIT || (rest == TOP_BIT && (kept & 1) != 0);
    inexact = rest != 0;
    // The integer bit adds one to the exponent.
    value = (<u64>(e - 1) << fraction) + kept + u64(up);
    if (value >= <u64>(2 * bias + 1) << fraction || e > 2 * bias) return STORE_UNDECIDED;
  } else if (significand != 0 || (se & 0x7fff) != 0) return STORE_UNDECIDED;
  value |= <u64>(se >> 15) << ((bytes << 3) - 1);
  notePointer(cpu);
  storeLinear(cpu, linear, bytes, value);
  if (load<u32>(cpu, FAULT_PENDING) != 0) return 1;
  finishStore(cpu, inexact, up, pop);
  return 0;
}
export function quickStoreDouble(cpu: usize, linear: u64, pop: i32): i32 { return storeShort(cpu, linear, 8, pop, 52, 1023); }
export function quickStoreSingle(cpu: usize, linear: u64, pop: i32): i32 { return storeShort(cpu, linear, 4, pop, 23, 127); }

/** FIST, FISTP to nearest or to zero, FISTTP: any precision. As above. */
export function quickStoreInteger(cpu: usize, linear: u64, bytes: u32, pop: i32, truncate: bool): i32 {
  const register = physical(cpu, 0);
  const control = <u32>load<u16>(cpu, X87_CONTROL);
  const rounding = control & CONTROL_ROUNDING;
  if (isBlocked(cpu) || (control & CONTROL_MASKS) != CONTROL_MASKS || !isUsed(cpu, register)) return STORE_UNDECIDED;
  if (rounding != 0 && rounding != CONTROL_ROUNDING && !truncate) return STORE_UNDECIDED;
  const significand = load<u64>(cpu + (register << 4), X87);
  const se = <u32>load<u16>(cpu + (register << 4), X87 + 8);
  let value: u64 = 0;
  let inexact = false, up = false;
  if (isNormal(significand, se)) {
    // Well below the largest: what is close to it may round beyond.
    const e = <i32>(se & 0x7fff) - BIAS;
    if (e < 0 || e > <i32>(bytes << 3) - 3) return STORE_UNDECIDED;
    const rest = significand << (e + 1);
    value = significand >> (63 - e);
    inexact = rest != 0;
    up = !truncate && rounding == 0 && (rest > TOP_BIT || (rest == TOP_BIT && (value & 1) != 0));
    value += u64(up);
    if (se >> 15 != 0) value = 0 - value;
  } else if (significand != 0 || (se & 0x7fff) != 0) return STORE_UNDECIDED;
  notePointer(cpu);
  storeLinear(cpu, linear, bytes, value);
  if (load<u32>(cpu, FAULT_PENDING) != 0) return 1;
  finishStore(cpu, inexact, up, pop);
  return 0;
}
