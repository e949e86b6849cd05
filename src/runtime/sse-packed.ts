// Exact packed SSE arithmetic: the lanes of sse.ts over 16 bytes. Results are meaningless when FAULT_PENDING is set.

import { FLOAT_ADD, FLOAT_ADDSUB, FLOAT_MUL, FLOAT_SUB } from "../isa/x86/routines/float-operations.ts";
import { setRounding } from "./softfloat.ts";
import {
  laneF32, laneF32ToF64, laneF32ToInteger, laneF64, laneF64ToF32, laneF64ToInteger, laneIntegerToF32, laneRoundF32, laneRoundF64, roundingOfImmediate, sseBegin, sseEnd, sseNextLane,
} from "./sse.ts";

/** a is the destination, b the source. */
export function sseF64x2(cpu: usize, operation: i32, a: v128, b: v128): v128 {
  sseBegin(cpu);
  const first = operation == FLOAT_ADDSUB ? FLOAT_SUB : operation;
  const second = operation == FLOAT_ADDSUB ? FLOAT_ADD : operation;
  const low = laneF64(first, i64x2.extract_lane(a, 0), i64x2.extract_lane(b, 0));
  sseNextLane();
  const high = laneF64(second, i64x2.extract_lane(a, 1), i64x2.extract_lane(b, 1));
  sseEnd(cpu);
  return i64x2.replace_lane(i64x2.splat(low), 1, high);
}

// @ts-ignore: decorator
@inline function fourWords(x: u32, y: u32, z: u32, w: u32): v128 {
  return i64x2.replace_lane(i64x2.splat(<u64>x | (<u64>y << 32)), 1, <u64>z | (<u64>w << 32));
}

export function sseF32x4(cpu: usize, operation: i32, a: v128, b: v128): v128 {
  sseBegin(cpu);
  const even = operation == FLOAT_ADDSUB ? FLOAT_SUB : operation;
  const odd = operation == FLOAT_ADDSUB ? FLOAT_ADD : operation;
  const x = laneF32(even, i32x4.extract_lane(a, 0), i32x4.extract_lane(b, 0));
  sseNextLane();
  const y = laneF32(odd, i32x4.extract_lane(a, 1), i32x4.extract_lane(b, 1));
  sseNextLane();
  const z = laneF32(even, i32x4.extract_lane(a, 2), i32x4.extract_lane(b, 2));
  sseNextLane();
  const w = laneF32(odd, i32x4.extract_lane(a, 3), i32x4.extract_lane(b, 3));
  sseEnd(cpu);
  return fourWords(x, y, z, w);
}

/** CVTDQ2PS. (CVTDQ2PD is exact and raises nothing: no routine.) */
export function sseI32x4ToF32x4(cpu: usize, a: v128): v128 {
  sseBegin(cpu);
  const x = laneIntegerToF32(<i64>i32x4.extract_lane(a, 0));
  const y = laneIntegerToF32(<i64>i32x4.extract_lane(a, 1));
  const z = laneIntegerToF32(<i64>i32x4.extract_lane(a, 2));
  const w = laneIntegerToF32(<i64>i32x4.extract_lane(a, 3));
  sseEnd(cpu);
  return fourWords(x, y, z, w);
}

/** CVTPS2DQ, CVTTPS2DQ (truncate 1). */
export function sseF32x4ToI32x4(cpu: usize, a: v128, truncate: i32): v128 {
  sseBegin(cpu);
  if (truncate != 0) setRounding(3);
  const x = <u32>laneF32ToInteger(i32x4.extract_lane(a, 0), 32);
  const y = <u32>laneF32ToInteger(i32x4.extract_lane(a, 1), 32);
  const z = <u32>laneF32ToInteger(i32x4.extract_lane(a, 2), 32);
  const w = <u32>laneF32ToInteger(i32x4.extract_lane(a, 3), 32);
  sseEnd(cpu);
  return fourWords(x, y, z, w);
}

/** CVTPD2DQ, CVTTPD2DQ; also CVTPD2PI, CVTTPD2PI: two integers in the low half, zero above. */
export function sseF64x2ToI32x2(cpu: usize, a: v128, truncate: i32): v128 {
  sseBegin(cpu);
  if (truncate != 0) setRounding(3);
  const x = <u32>laneF64ToInteger(i64x2.extract_lane(a, 0), 32);
  const y = <u32>laneF64ToInteger(i64x2.extract_lane(a, 1), 32);
  sseEnd(cpu);
  return fourWords(x, y, 0, 0);
}

/** CVTPS2PD of the two singles in a. */
export function sseF32x2ToF64x2(cpu: usize, a: i64): v128 {
  sseBegin(cpu);
  const low = laneF32ToF64(<u32>a);
  sseNextLane();
  const high = laneF32ToF64(<u32>(<u64>a >> 32));
  sseEnd(cpu);
  return i64x2.replace_lane(i64x2.splat(low), 1, high);
}

/** CVTPD2PS: two singles, zero above. */
export function sseF64x2ToF32x2(cpu: usize, a: v128): v128 {
  sseBegin(cpu);
  const x = laneF64ToF32(i64x2.extract_lane(a, 0));
  sseNextLane();
  const y = laneF64ToF32(i64x2.extract_lane(a, 1));
  sseEnd(cpu);
  return fourWords(x, y, 0, 0);
}

/** CVTPI2PS of the two integers in a: two singles. */
export function sseI32x2ToF32x2(cpu: usize, a: i64): i64 {
  sseBegin(cpu);
  const x = laneIntegerToF32(<i64><i32>a);
  const y = laneIntegerToF32(a >> 32);
  sseEnd(cpu);
  return <u64>x | (<u64>y << 32);
}

/** CVTPS2PI, CVTTPS2PI (truncate 1) of the two singles in a. */
export function sseF32x2ToI32x2(cpu: usize, a: i64, truncate: i32): i64 {
  sseBegin(cpu);
  if (truncate != 0) setRounding(3);
  const x = <u32>laneF32ToInteger(<u32>a, 32);
  const y = <u32>laneF32ToInteger(<u32>(<u64>a >> 32), 32);
  sseEnd(cpu);
  return <u64>x | (<u64>y << 32);
}

/** ROUNDPD, ROUNDPS. */
export function sseRoundF64x2(cpu: usize, a: v128, imm: i32): v128 {
  sseBegin(cpu);
  roundingOfImmediate(imm);
  const low = laneRoundF64(i64x2.extract_lane(a, 0), imm);
  const high = laneRoundF64(i64x2.extract_lane(a, 1), imm);
  sseEnd(cpu);
  return i64x2.replace_lane(i64x2.splat(low), 1, high);
}
export function sseRoundF32x4(cpu: usize, a: v128, imm: i32): v128 {
  sseBegin(cpu);
  roundingOfImmediate(imm);
  const x = laneRoundF32(i32x4.extract_lane(a, 0), imm);
  const y = laneRoundF32(i32x4.extract_lane(a, 1), imm);
  const z = laneRoundF32(i32x4.extract_lane(a, 2), imm);
  const w = laneRoundF32(i32x4.extract_lane(a, 3), imm);
  sseEnd(cpu);
  return fourWords(x, y, z, w);
}

/**
 * DPPS: products of the lanes in imm's upper half, summed as (0 + 1) + (2 + 3), to the lanes in its lower half
 * (SDM 2A, DPPS: each multiplication and addition rounds and raises on its own).
 */
export function sseDotF32x4(cpu: usize, a: v128, b: v128, imm: i32): v128 {
  sseBegin(cpu);
  const m = <u32>imm >> 4;
  let x: u32 = 0, y: u32 = 0, z: u32 = 0, w: u32 = 0;
  if ((m & 1) != 0) x = laneF32(FLOAT_MUL, i32x4.extract_lane(a, 0), i32x4.extract_lane(b, 0));
  if ((m & 2) != 0) y = laneF32(FLOAT_MUL, i32x4.extract_lane(a, 1), i32x4.extract_lane(b, 1));
  if ((m & 4) != 0) z = laneF32(FLOAT_MUL, i32x4.extract_lane(a, 2), i32x4.extract_lane(b, 2));
  if ((m & 8) != 0) w = laneF32(FLOAT_MUL, i32x4.extract_lane(a, 3), i32x4.extract_lane(b, 3));
  if (!sseEnd(cpu)) return a;
  sseBegin(cpu);
  const low = laneF32(FLOAT_ADD, x, y);
  const high = laneF32(FLOAT_ADD, z, w);
  if (!sseEnd(cpu, 1)) return a;
  sseBegin(cpu);
  const sum = laneF32(FLOAT_ADD, low, high);
  sseEnd(cpu, 2);
  return fourWords((imm & 1) != 0 ? sum : 0, (imm & 2) != 0 ? sum : 0, (imm & 4) != 0 ? sum : 0, (imm & 8) != 0 ? sum : 0);
}

/** DPPD. */
export function sseDotF64x2(cpu: usize, a: v128, b: v128, imm: i32): v128 {
  sseBegin(cpu);
  let low: u64 = 0, high: u64 = 0;
  if ((imm & 0x10) != 0) low = laneF64(FLOAT_MUL, i64x2.extract_lane(a, 0), i64x2.extract_lane(b, 0));
  if ((imm & 0x20) != 0) high = laneF64(FLOAT_MUL, i64x2.extract_lane(a, 1), i64x2.extract_lane(b, 1));
  if (!sseEnd(cpu)) return a;
  sseBegin(cpu);
  const sum = laneF64(FLOAT_ADD, low, high);
  sseEnd(cpu, 1);
  return i64x2.replace_lane(i64x2.splat((imm & 1) != 0 ? sum : 0), 1, (imm & 2) != 0 ? sum : 0);
}
