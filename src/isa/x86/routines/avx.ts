import type { RoutineTable } from './routine.ts';

/** src/runtime/vector-memory.ts and fma.ts. */
export const avxRoutines = {
  /** linear address, mask, bytes of an element (4, 8). */
  loadMasked: { params: ['i64', 'v128', 'i32'], result: 'v128', kind: 'faults' },
  /** linear address, two halves, two masks. */
  storeMaskedWide: { params: ['i64', 'v128', 'v128', 'v128', 'v128', 'i32'], result: 'none', kind: 'faults' },
  /** offset, segment base, mask of offsets, places of destination, mask and indices in the state, shape. */
  gather: { params: ['i64', 'i64', 'i64', 'i32', 'i32', 'i32', 'i32'], result: 'i32', kind: 'leaves' },
  /** values, counts, 0 left, 1 right, 2 with sign. */
  shiftLanes32: { params: ['v128', 'v128', 'i32'], result: 'v128', kind: 'pure' },
  shiftLanes64: { params: ['v128', 'v128', 'i32'], result: 'v128', kind: 'pure' },
  /**
   * a * b + c, once rounded. Signs: bit 0 negates the product, bit 1 the addend (of even lanes), bit 2 that of odd lanes,
   * bit 1 alone both.
   */
  fmaF64: { params: ['i64', 'i64', 'i64', 'i32'], result: 'i64', kind: 'faults' },
  fmaF32: { params: ['i32', 'i32', 'i32', 'i32'], result: 'i32', kind: 'faults' },
  fmaF64x2: { params: ['v128', 'v128', 'v128', 'i32'], result: 'v128', kind: 'faults' },
  fmaF32x4: { params: ['v128', 'v128', 'v128', 'i32'], result: 'v128', kind: 'faults' },
  /** VCVTPH2PS of the four halves in the low 64 bits. */
  halfToSingle: { params: ['v128'], result: 'v128', kind: 'faults' },
  /** VCVTPS2PH: source, imm8. */
  singleToHalf: { params: ['v128', 'i32'], result: 'i64', kind: 'faults' },
} as const satisfies RoutineTable;
