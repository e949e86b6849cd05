// AVX accesses whose elements are chosen by a mask or found one by one, and shifts by a count of their own for each lane.

import { FAULT_PENDING, LEAVE_FAULT, MODE, MODE_CODE64, MODE_CODE_MASK, SCRATCH, VECTOR_BYTES } from "../isa/x86/state/layout.ts";
import { checkSegment, loadUnaligned, probeAligned, storeLinear8, wrapped } from "./memory.ts";

/** 16 bytes, of which those with the mask's byte negative are read, the others zero (VMASKMOV, VPMASKMOV); elements of 4 or 8 bytes. */
export function loadMasked(cpu: usize, linear: i64, mask: v128, bytes: i32): v128 {
  const bits = i8x16.bitmask(mask);
  v128.store(cpu, i64x2.splat(0), SCRATCH);
  for (let at = 0; at < 16; at += bytes) {
    if (((bits >> (at + bytes - 1)) & 1) == 0) continue;
    const value = loadUnaligned(cpu, wrapped(cpu, linear + at), bytes);
    if (load<u32>(cpu, FAULT_PENDING) != 0) break;
    if (bytes == 8) store<u64>(cpu + at, value, SCRATCH);
    else store<u32>(cpu + at, <u32>value, SCRATCH);
  }
  return v128.load(cpu, SCRATCH);
}

/** Bytes of 32 whose mask is negative, in elements of 4 or 8 bytes; nothing is written unless all of it can be. */
export function storeMaskedWide(cpu: usize, linear: i64, low: v128, high: v128, lowMask: v128, highMask: v128, bytes: i32): void {
  const bits = <u32>i8x16.bitmask(lowMask) | (<u32>i8x16.bitmask(highMask) << 16);
  if (bits == 0) return;
  // Element by element, so that CR2 names one that is stored.
  for (let i = 0; i < 32; i += bytes) if (((bits >> i) & 1) != 0 && !probeAligned(cpu, wrapped(cpu, linear + i), bytes, 1, true)) return;
  v128.store(cpu, low, SCRATCH);
  v128.store(cpu, high, SCRATCH + 16);
  for (let i = 0; i < 32; i++) if (((bits >> i) & 1) != 0) storeLinear8(cpu, wrapped(cpu, linear + i), load<u8>(cpu + i, SCRATCH));
}

/**
 * VPGATHERxx, VGATHERxPx (SDM 2C, VPGATHERDD). Elements before one that faults are done, and their mask bits clear.
 * `limit`: ANDed to each offset; `destination`, `mask`, `index`: places of the registers in the state. `shape`: bytes of an element (4, 8),
 * of an index << 4, scale << 8, elements << 12, segment << 16.
 */
export function gather(cpu: usize, base: i64, segment: i64, limit: i64, destination: i32, mask: i32, index: i32, shape: i32): i32 {
  const bytes: u32 = shape & 15;
  const wide = ((shape >> 4) & 15) == 8;
  const scale: i64 = (shape >> 8) & 3;
  const count: u32 = (shape >> 12) & 15;
  const long = (load<u32>(cpu, MODE) & MODE_CODE_MASK) == MODE_CODE64;
  const to = cpu + destination, from = cpu + index, masks = cpu + mask;
  for (let i: u32 = 0; i < count; i++) {
    if (load<i8>(masks + i * bytes + bytes - 1) < 0) {
      const place: i64 = wide ? load<i64>(from + i * 8) : <i64>load<i32>(from + i * 4);
      const offset = (base + (place << scale)) & limit;
      if (!long && checkSegment(cpu, shape >> 16, <i32>offset, bytes, 0) != 0) return LEAVE_FAULT;
      const linear = long ? offset + segment : (offset + segment) & 0xffffffff;
      const value = loadUnaligned(cpu, <u64>linear, bytes);
      if (load<u32>(cpu, FAULT_PENDING) != 0) return LEAVE_FAULT;
      if (bytes == 8) store<u64>(to + i * 8, value);
      else store<u32>(to + i * 4, <u32>value);
    }
    if (bytes == 8) store<u64>(masks + i * 8, 0);
    else store<u32>(masks + i * 4, 0);
  }
  memory.fill(to + count * bytes, 0, VECTOR_BYTES - count * bytes);
  memory.fill(masks, 0, VECTOR_BYTES);
  return 0;
}

/** VPSLLV, VPSRLV, VPSRAV of one lane: counts beyond the width leave zero, or the sign. */
// @ts-ignore: decorator
@inline function shift32(value: i32, count: u32, kind: i32): i32 {
  if (kind == 2) return value >> <i32>min<u32>(count, 31);
  return count > 31 ? 0 : kind == 0 ? value << <i32>count : <i32>(<u32>value >> count);
}
// @ts-ignore: decorator
@inline function shift64(value: i64, count: u64, kind: i32): i64 {
  return count > 63 ? 0 : kind == 0 ? value << <i64>count : <i64>(<u64>value >> count);
}
/** kind: 0 left, 1 right, 2 right with sign. */
export function shiftLanes32(cpu: usize, a: v128, c: v128, kind: i32): v128 {
  let r = i32x4.splat(shift32(i32x4.extract_lane(a, 0), i32x4.extract_lane(c, 0), kind));
  r = i32x4.replace_lane(r, 1, shift32(i32x4.extract_lane(a, 1), i32x4.extract_lane(c, 1), kind));
  r = i32x4.replace_lane(r, 2, shift32(i32x4.extract_lane(a, 2), i32x4.extract_lane(c, 2), kind));
  return i32x4.replace_lane(r, 3, shift32(i32x4.extract_lane(a, 3), i32x4.extract_lane(c, 3), kind));
}
export function shiftLanes64(cpu: usize, a: v128, c: v128, kind: i32): v128 {
  const r = i64x2.splat(shift64(i64x2.extract_lane(a, 0), i64x2.extract_lane(c, 0), kind));
  return i64x2.replace_lane(r, 1, shift64(i64x2.extract_lane(a, 1), i64x2.extract_lane(c, 1), kind));
}
