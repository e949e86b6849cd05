// Arithmetic that the wasm instruction does as the processor would, but which may be the one that sets PE: whether the
// result is exact is found from the operands. MXCSR masks everything and rounds to nearest without DAZ and FTZ. What
// generated code decides alone is in isa/x86/semantics/float-inline.ts, whose comment says what else has to hold.

import { FLOAT_MUL, FLOAT_SQRT, FLOAT_SUB } from "../isa/x86/routines/float-operations.ts";
import { PE } from "./softfloat.ts";

/** Not an operation or not operands for this file. */
export const UNDECIDED: u32 = 0xffffffff;
/** The result, when a function here returned flags: 0 or PE. */
export let quickResult: u64 = 0;

// @ts-ignore: decorator
@inline function isDenormal64(a: u64): bool { return (a << 1) - 1 < 0x1fffffffffffff; }
// @ts-ignore: decorator
@inline function isDenormal32(a: u32): bool { return (a << 1) - 1 < 0xffffff; }
/** Finite, and at least twice the smallest normal number: not tiny before rounding. */
// @ts-ignore: decorator
@inline function isOrdinary64(a: u64): bool { return (a << 1) - 0x40000000000000 < 0xffa0000000000000; }
// @ts-ignore: decorator
@inline function isOrdinary32(a: u32): bool { return (a << 1) - 0x2000000 < 0xfd000000; }

/** The significand of a normal number without its trailing zeros. */
function odd(a: u64): u64 {
  const significand = (a & 0xfffffffffffff) | 0x10000000000000;
  return significand >> ctz<u64>(significand);
}
/** Product of two odd numbers up to 2^53; of one that could be no such number, 0. */
function oddProduct(a: u64, b: u64): u64 {
  return clz<u64>(a) + clz<u64>(b) < 74 ? 0 : a * b;
}

function decide64(result: f64, inexact: bool): u32 {
  quickResult = reinterpret<u64>(result);
  return inexact ? PE : 0;
}

/** ADD, SUB, MUL, DIV of a and b, SQRT of b. */
export function quickF64(operation: i32, a: u64, b: u64): u32 {
  if (operation > FLOAT_SQRT || isDenormal64(b)) return UNDECIDED;
  const x = reinterpret<f64>(a);
  let y = reinterpret<f64>(b);
  if (operation == FLOAT_SQRT) {
    if (y == 0) return decide64(y, false);
    const root = sqrt<f64>(y);
    if (!isOrdinary64(reinterpret<u64>(root))) return UNDECIDED;
    const significand = odd(reinterpret<u64>(root));
    return decide64(root, oddProduct(significand, significand) != odd(b));
  }
  if (isDenormal64(a)) return UNDECIDED;
  if (operation <= FLOAT_SUB) {
    if (operation == FLOAT_SUB) y = -y;
    const sum = x + y;
    // The error of a sum is a number again (Knuth's two-sum); at the end of the range it may not come out.
    const part = sum - x;
    const error = (x - (sum - part)) + (y - part);
    return error - error == 0 ? decide64(sum, error != 0) : UNDECIDED;
  }
  if (operation == FLOAT_MUL) {
    const product = x * y;
    if (product == 0 && (x == 0 || y == 0)) return decide64(product, false);
    if (!isOrdinary64(reinterpret<u64>(product))) return UNDECIDED;
    const significand = oddProduct(odd(a), odd(b));
    return decide64(product, significand == 0 || significand >> 53 != 0);
  }
  const quotient = x / y;
  if (x == 0 && quotient == 0) return decide64(quotient, false);
  if (!isOrdinary64(reinterpret<u64>(quotient))) return UNDECIDED;
  return decide64(quotient, oddProduct(odd(reinterpret<u64>(quotient)), odd(b)) != odd(a));
}

function decide32(result: f32, inexact: bool): u32 {
  quickResult = reinterpret<u32>(result);
  return inexact ? PE : 0;
}

/** The same for singles, whose products are doubles. */
export function quickF32(operation: i32, a: u32, b: u32): u32 {
  if (operation > FLOAT_SQRT || isDenormal32(b)) return UNDECIDED;
  const x = reinterpret<f32>(a);
  let y = reinterpret<f32>(b);
  if (operation == FLOAT_SQRT) {
    if (y == 0) return decide32(y, false);
    const root = sqrt<f32>(y);
    return isOrdinary32(reinterpret<u32>(root)) ? decide32(root, <f64>root * <f64>root != <f64>y) : UNDECIDED;
  }
  if (isDenormal32(a)) return UNDECIDED;
  if (operation <= FLOAT_SUB) {
    if (operation == FLOAT_SUB) y = -y;
    const sum = x + y;
    const part = sum - x;
    const error = (x - (sum - part)) + (y - part);
    return error - error == 0 ? decide32(sum, error != 0) : UNDECIDED;
  }
  if (operation == FLOAT_MUL) {
    const product = x * y;
    if (!isOrdinary32(reinterpret<u32>(product)) && !(product == 0 && (x == 0 || y == 0))) return UNDECIDED;
    return decide32(product, <f64>product != <f64>x * <f64>y);
  }
  const quotient = x / y;
  if (x == 0 && quotient == 0) return decide32(quotient, false);
  return isOrdinary32(reinterpret<u32>(quotient)) ? decide32(quotient, <f64>quotient * <f64>y != <f64>x) : UNDECIDED;
}

/** To an integer of 32 or 64 bits. */
export function quickToInteger(x: f64, bits: i32, truncate: bool): u32 {
  const limit: f64 = bits == 32 ? 2147483647.0 : 9223372036854774784.0;
  if (!(abs<f64>(x) < limit)) return UNDECIDED;
  const rounded = truncate ? trunc<f64>(x) : nearest<f64>(x);
  quickResult = <u64><i64>rounded;
  return rounded != x ? PE : 0;
}

export function quickFromInteger64(a: i64): u32 {
  return decide64(<f64>a, isWider(a, 53));
}
export function quickFromInteger32(a: i64): u32 {
  return decide32(<f32>a, isWider(a, 24));
}
function isWider(a: i64, precision: u64): bool {
  const magnitude = a < 0 ? 0 - <u64>a : <u64>a;
  return a != 0 && (magnitude >> ctz<u64>(magnitude)) >> precision != 0;
}

/** CVTSD2SS. */
export function quickNarrow(a: u64): u32 {
  const x = reinterpret<f64>(a);
  const single = <f32>x;
  if (!isOrdinary32(reinterpret<u32>(single)) && x != 0) return UNDECIDED;
  return decide32(single, <f64>single != x);
}
