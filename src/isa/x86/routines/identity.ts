import type { RoutineTable } from './routine.ts';

/** CPUID, MSRs, time stamp, long arithmetic: src/runtime/cpuid.ts, msr.ts, control.ts, integer.ts. */
export const identityRoutines = {
  cpuid: { params: [], result: 'none', kind: 'state' },
  readMsr: { params: [], result: 'i32', kind: 'leaves' },
  hypercall: { params: [], result: 'i32', kind: 'leaves' },
  writeMsr: { params: [], result: 'i32', kind: 'leaves' },
  /** 1: RDTSCP. */
  readTimeStamp: { params: ['i32'], result: 'i32', kind: 'leaves' },
  randomBits: { params: [], result: 'i64', kind: 'state' },
  divideUnsigned64: { params: ['i64'], result: 'i32', kind: 'leaves' },
  divideSigned64: { params: ['i64'], result: 'i32', kind: 'leaves' },
  /** value, mask: PDEP, PEXT. */
  depositBits: { params: ['i64', 'i64'], result: 'i64', kind: 'pure' },
  extractBits: { params: ['i64', 'i64'], result: 'i64', kind: 'pure' },
  /** crc, value, bytes. */
  crc32Step: { params: ['i32', 'i64', 'i32'], result: 'i32', kind: 'pure' },
} as const satisfies RoutineTable;
