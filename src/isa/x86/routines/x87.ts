import type { RoutineTable } from './routine.ts';

/** x87 and SSE control state: src/runtime/fpu.ts. */
export const x87Routines = {
  x87Available: { params: [], result: 'i32', kind: 'leaves' },
  x87Wait: { params: [], result: 'i32', kind: 'leaves' },
  sseAvailable: { params: [], result: 'i32', kind: 'leaves' },
  mmxAvailable: { params: [], result: 'i32', kind: 'leaves' },
  mmxEnter: { params: [], result: 'none', kind: 'state' },
  x87EmptyTags: { params: [], result: 'none', kind: 'state' },
  x87Initialise: { params: [], result: 'none', kind: 'state' },
  x87ClearExceptions: { params: [], result: 'none', kind: 'state' },
  x87LoadControl: { params: ['i32'], result: 'none', kind: 'state' },
  loadMxcsr: { params: ['i32'], result: 'i32', kind: 'leaves' },
  /** linear address, 1 with REX.W. */
  saveFx: { params: ['i64', 'i32'], result: 'i32', kind: 'leaves' },
  restoreFx: { params: ['i64', 'i32'], result: 'i32', kind: 'leaves' },
} as const satisfies RoutineTable;
