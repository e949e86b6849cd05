import type { RoutineTable } from './routine.ts';

/** Comparison of strings in vector registers and masked stores: src/runtime/string-compare.ts. */
export const stringCompareRoutines = {
  /** first, second, length of first, of second (signed), imm8: IntRes2, with EFLAGS bits from bit 16 on. */
  compareStringsExplicit: { params: ['v128', 'v128', 'i64', 'i64', 'i32'], result: 'i32', kind: 'state' },
  /** first, second, imm8. */
  compareStringsImplicit: { params: ['v128', 'v128', 'i32'], result: 'i32', kind: 'state' },
  /** linear address, bytes, mask, 16 or 8. */
  storeMasked: { params: ['i64', 'v128', 'v128', 'i32'], result: 'none', kind: 'faults' },
} as const satisfies RoutineTable;
