// 128 by 64 bit division and CRC32: too long for IR.

import { RAX, RDX, VECTOR_DE } from "../isa/x86/state/layout.ts";
import { raiseFault } from "./faults.ts";

let remainder: u64 = 0;

/** (high:low) / divisor with high < divisor, so that the quotient fits. */
function divideWide(high: u64, low: u64, divisor: u64): u64 {
  if (high == 0) {
    remainder = low % divisor;
    return low / divisor;
  }
  // Schoolbook division in base 2^32 (Knuth, TAOCP 2, 4.3.1, algorithm D, for two by one digits of 64 bits).
  const shift = clz<u64>(divisor);
  const d = divisor << shift;
  const d1 = d >> 32;
  const d0 = d & 0xffffffff;
  let n32 = shift == 0 ? high : (high << shift) | (low >> (64 - shift));
  const n10 = low << shift;
  const n1 = n10 >> 32;
  const n0 = n10 & 0xffffffff;
  let q1 = n32 / d1;
  let r = n32 - q1 * d1;
  while (q1 >= 0x100000000 || q1 * d0 > ((r << 32) | n1)) {
    q1--;
    r += d1;
    if (r >= 0x100000000) break;
  }
  const n21 = ((n32 << 32) | n1) - q1 * d;
  let q0 = n21 / d1;
  r = n21 - q0 * d1;
  while (q0 >= 0x100000000 || q0 * d0 > ((r << 32) | n0)) {
    q0--;
    r += d1;
    if (r >= 0x100000000) break;
  }
  remainder = (((n21 << 32) | n0) - q0 * d) >> shift;
  return (q1 << 32) + q0;
}

/** DIV r/m64: RDX:RAX by the divisor; #DE for zero or a quotient that does not fit. */
export function divideUnsigned64(cpu: usize, divisorArgument: i64): i32 {
  const divisor = <u64>divisorArgument;
  const high = load<u64>(cpu, RDX);
  if (high >= divisor) return raiseFault(cpu, VECTOR_DE, 0, 0);
  const quotient = divideWide(high, load<u64>(cpu, RAX), divisor);
  store<u64>(cpu, quotient, RAX);
  store<u64>(cpu, remainder, RDX);
  return 0;
}

export function divideSigned64(cpu: usize, divisor: i64): i32 {
  let high = load<u64>(cpu, RDX);
  let low = load<u64>(cpu, RAX);
  const negative = <i64>high < 0;
  if (negative) {
    low = -low;
    high = ~high + <u64>(low == 0);
  }
  const magnitude: u64 = divisor < 0 ? -(<u64>divisor) : <u64>divisor;
  if (high >= magnitude) return raiseFault(cpu, VECTOR_DE, 0, 0);
  let quotient = divideWide(high, low, magnitude);
  const opposite = negative != divisor < 0;
  if (opposite ? quotient > 0x8000000000000000 : quotient > 0x7fffffffffffffff) return raiseFault(cpu, VECTOR_DE, 0, 0);
  if (opposite) quotient = -quotient;
  store<u64>(cpu, quotient, RAX);
  store<u64>(cpu, negative ? -remainder : remainder, RDX);
  return 0;
}

/** CRC32 (polynomial 0x11EDC6F41, bit-reflected) of `bytes` bytes of the value (SDM 2A, CRC32). */
export function crc32Step(cpu: usize, crc: i32, value: i64, bytes: i32): i32 {
  let c = <u32>crc;
  for (let i = 0; i < bytes; i++) {
    c ^= <u32>(value >> (i * 8)) & 0xff;
    for (let k = 0; k < 8; k++) c = (c >> 1) ^ ((c & 1) != 0 ? 0x82f63b78 : 0);
  }
  return c;
}

/** PDEP: the value's low bits to the places where the mask has ones. */
export function depositBits(cpu: usize, value: i64, mask: i64): i64 {
  let result: u64 = 0;
  for (let left = <u64>mask, bits = <u64>value; left != 0 && bits != 0; bits >>= 1) {
    const lowest = left & (0 - left);
    if ((bits & 1) != 0) result |= lowest;
    left ^= lowest;
  }
  return result;
}

/** PEXT: bits from the places where the mask has ones, brought together at the low end. */
export function extractBits(cpu: usize, value: i64, mask: i64): i64 {
  let result: u64 = 0;
  let place: u64 = 1;
  for (let left = <u64>mask; left != 0; place <<= 1) {
    const lowest = left & (0 - left);
    if ((<u64>value & lowest) != 0) result |= place;
    left ^= lowest;
  }
  return result;
}
