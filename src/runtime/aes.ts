// AES rounds (SDM 1, 12.13; FIPS 197). A state is 16 bytes, column after column. And the carry-less product.

import { substitute, substituteInverse } from "./aes-tables.ts";

// @ts-ignore: decorator
@inline function shiftRows(v: v128): v128 {
  return i8x16.shuffle(v, v, 0, 5, 10, 15, 4, 9, 14, 3, 8, 13, 2, 7, 12, 1, 6, 11);
}
// @ts-ignore: decorator
@inline function shiftRowsBack(v: v128): v128 {
  return i8x16.shuffle(v, v, 0, 13, 10, 7, 4, 1, 14, 11, 8, 5, 2, 15, 12, 9, 6, 3);
}
/** Each column's bytes moved up by one, or by two. */
// @ts-ignore: decorator
@inline function turn1(v: v128): v128 {
  return i8x16.shuffle(v, v, 1, 2, 3, 0, 5, 6, 7, 4, 9, 10, 11, 8, 13, 14, 15, 12);
}
// @ts-ignore: decorator
@inline function turn2(v: v128): v128 {
  return i8x16.shuffle(v, v, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13);
}
/** Times x in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1. */
// @ts-ignore: decorator
@inline function timesX(v: v128): v128 {
  return v128.xor(i8x16.add(v, v), v128.and(i8x16.shr_s(v, 7), i8x16.splat(0x1b)));
}
/** Columns times 3x^3 + x^2 + x + 2: 2a + 3b + c + d = 2(a + b) + b + c + d. */
function mixColumns(v: v128): v128 {
  const next = turn1(v);
  const rest = v128.xor(next, turn2(v128.xor(v, next)));
  return v128.xor(timesX(v128.xor(v, next)), rest);
}
/** The inverse: first times 4x^2 + 5, then as above. */
function mixColumnsBack(v: v128): v128 {
  return mixColumns(v128.xor(v, timesX(timesX(v128.xor(v, turn2(v))))));
}

/** AESENC, AESENCLAST (`last` 1). */
export function aesEncrypt(cpu: usize, state: v128, key: v128, last: i32): v128 {
  const v = substitute(shiftRows(state));
  return v128.xor(last != 0 ? v : mixColumns(v), key);
}
/** AESDEC, AESDECLAST. */
export function aesDecrypt(cpu: usize, state: v128, key: v128, last: i32): v128 {
  const v = substituteInverse(shiftRowsBack(state));
  return v128.xor(last != 0 ? v : mixColumnsBack(v), key);
}
/** AESIMC. */
export function aesInverseMix(cpu: usize, key: v128): v128 {
  return mixColumnsBack(key);
}
/** AESKEYGENASSIST: words 1 and 3 substituted, and the same turned by a byte with the round constant. */
export function aesKeyAssist(cpu: usize, key: v128, constant: i32): v128 {
  const v = substitute(key);
  const words = i8x16.shuffle(v, v, 4, 5, 6, 7, 5, 6, 7, 4, 12, 13, 14, 15, 13, 14, 15, 12);
  return v128.xor(words, i64x2.splat(<i64>(<u64><u32>constant << 32)));
}

/** Lower half of the carry-less product, from ordinary ones whose carries fall into three empty bits each. */
function carrylessLow(a: u64, b: u64): u64 {
  const m: u64 = 0x1111111111111111;
  const a0 = a & m, a1 = a & (m << 1), a2 = a & (m << 2), a3 = a & (m << 3);
  const b0 = b & m, b1 = b & (m << 1), b2 = b & (m << 2), b3 = b & (m << 3);
  return (((a0 * b0) ^ (a1 * b3) ^ (a2 * b2) ^ (a3 * b1)) & m)
    | (((a0 * b1) ^ (a1 * b0) ^ (a2 * b3) ^ (a3 * b2)) & (m << 1))
    | (((a0 * b2) ^ (a1 * b1) ^ (a2 * b0) ^ (a3 * b3)) & (m << 2))
    | (((a0 * b3) ^ (a1 * b2) ^ (a2 * b1) ^ (a3 * b0)) & (m << 3));
}
function reverseBits(value: u64): u64 {
  let v = bswap<u64>(value);
  v = ((v >> 4) & 0x0f0f0f0f0f0f0f0f) | ((v & 0x0f0f0f0f0f0f0f0f) << 4);
  v = ((v >> 2) & 0x3333333333333333) | ((v & 0x3333333333333333) << 2);
  return ((v >> 1) & 0x5555555555555555) | ((v & 0x5555555555555555) << 1);
}

/** PCLMULQDQ: bit 0 of the immediate chooses the half of `a`, bit 4 that of `b`. */
export function carrylessMultiply(cpu: usize, a: v128, b: v128, imm: i32): v128 {
  const x = (imm & 1) != 0 ? i64x2.extract_lane(a, 1) : i64x2.extract_lane(a, 0);
  const y = (imm & 0x10) != 0 ? i64x2.extract_lane(b, 1) : i64x2.extract_lane(b, 0);
  // Reversed operands give the reversed upper half: the product has 127 bits.
  const high = reverseBits(carrylessLow(reverseBits(x), reverseBits(y))) >> 1;
  return i64x2.replace_lane(i64x2.splat(carrylessLow(x, y)), 1, high);
}
