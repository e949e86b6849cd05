import type { RoutineTable } from './routine.ts';

/** src/runtime/memory.ts: slow paths of inlined accesses, and checks. Addresses are linear. */
export const memoryRoutines = {
  slowLoad8: { params: ['i64'], result: 'i32', kind: 'faults' },
  slowLoad16: { params: ['i64'], result: 'i32', kind: 'faults' },
  slowLoad32: { params: ['i64'], result: 'i32', kind: 'faults' },
  slowLoad64: { params: ['i64'], result: 'i64', kind: 'faults' },
  /** The low half of 16 bytes whose alignment is checked as one; the high half is slowLoad64's. */
  slowLoadLow128: { params: ['i64'], result: 'i64', kind: 'faults' },
  /** The same of 32 bytes: the rest is slowLoad64's, then another load's. */
  slowLoadLow256: { params: ['i64'], result: 'i64', kind: 'faults' },
  slowLoadForWrite8: { params: ['i64'], result: 'i32', kind: 'faults' },
  slowLoadForWrite16: { params: ['i64'], result: 'i32', kind: 'faults' },
  slowLoadForWrite32: { params: ['i64'], result: 'i32', kind: 'faults' },
  slowLoadForWrite64: { params: ['i64'], result: 'i64', kind: 'faults' },
  slowStore8: { params: ['i64', 'i32'], result: 'none', kind: 'faults' },
  slowStore16: { params: ['i64', 'i32'], result: 'none', kind: 'faults' },
  slowStore32: { params: ['i64', 'i32'], result: 'none', kind: 'faults' },
  slowStore64: { params: ['i64', 'i64'], result: 'none', kind: 'faults' },
  slowStore128: { params: ['i64', 'i64', 'i64'], result: 'none', kind: 'faults' },
  // src/runtime/locked.ts.
  /** linear, operand, bytes | operation << 4 (index in the IR's atomicOperations): a locked change; the value before, zero-extended. */
  slowModify: { params: ['i64', 'i64', 'i32'], result: 'i64', kind: 'faults' },
  /** linear, expected, replacement, bytes: a locked exchange; the value before, zero-extended. */
  slowCompareExchange: { params: ['i64', 'i64', 'i64', 'i32'], result: 'i64', kind: 'faults' },
  /** linear (aligned), expected low and high, replacement low and high: 1 when done; what was there is in SCRATCH. */
  compareExchange128: { params: ['i64', 'i64', 'i64', 'i64', 'i64'], result: 'i32', kind: 'faults' },
  /** linear, bytes (at most a page), write, user: all of it accessible? */
  probeLinear: { params: ['i64', 'i32', 'i32', 'i32'], result: 'i32', kind: 'leaves' },
  /** linear, bytes: may it be stored as one, alignment included? */
  probeStore: { params: ['i64', 'i32'], result: 'i32', kind: 'leaves' },
  /** segment index, offset, bytes, write: exact limit and type check outside 64-bit mode. */
  checkSegment: { params: ['i32', 'i32', 'i32', 'i32'], result: 'i32', kind: 'leaves' },
} as const satisfies RoutineTable;
