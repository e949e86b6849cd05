import type { RoutineTable } from './routine.ts';

/**
 * Exact SSE arithmetic: src/runtime/sse.ts and sse-packed.ts. Every routine takes rounding, DAZ, FTZ and masks from
 * MXCSR, sets its sticky flags, and when one that it raised is unmasked leaves #XM (#UD without CR4.OSXMMEXCPT)
 * pending: the result must then not be used. Operation numbers: float-operations.ts. Doubles and singles travel as
 * bits; a is the destination's old value, b the source.
 *
 * Inlined fast path, equal to the bit: MXCSR & 0xffe0 == 0x1fa0 (all masked, nearest, no DAZ or FTZ, PE already set)
 * and, for add, sub, mul, div, the result a normal number, or an infinity or zero only where an operand was one; and
 * either DE set as well or no operand denormal. A result that is NaN, denormal or of a zero or infinity made by
 * rounding goes here. min, max and compare: inline when neither operand is NaN nor (DE clear) denormal.
 */
export const sseRoutines = {
  /** Before two calls for the halves of a 256-bit operation: the first raises nothing by itself. */
  sseFirstHalf: { params: [], result: 'none', kind: 'state' },
  sseBothHalves: { params: [], result: 'i32', kind: 'leaves' },
  /** operation, a, b: ADDSD .. MAXSD, SQRTSD (of b), CMPSD (FLOAT_COMPARE + predicate). */
  sseF64: { params: ['i32', 'i64', 'i64'], result: 'i64', kind: 'faults' },
  sseF32: { params: ['i32', 'i32', 'i32'], result: 'i32', kind: 'faults' },
  /** The same for both doubles, four singles; also FLOAT_ADDSUB. */
  sseF64x2: { params: ['i32', 'v128', 'v128'], result: 'v128', kind: 'faults' },
  sseF32x4: { params: ['i32', 'v128', 'v128'], result: 'v128', kind: 'faults' },
  /** a, b, 1 for COMISx or 0 for UCOMISx: ZF, PF, CF at their places in EFLAGS (the other status flags become 0). */
  sseCompareF64: { params: ['i64', 'i64', 'i32'], result: 'i32', kind: 'faults' },
  sseCompareF32: { params: ['i32', 'i32', 'i32'], result: 'i32', kind: 'faults' },
  /** source, 1 to truncate (CVTT..) or 0 for MXCSR's mode: to integers of 32 and 64 bits. */
  sseF64ToI32: { params: ['i64', 'i32'], result: 'i32', kind: 'faults' },
  sseF64ToI64: { params: ['i64', 'i32'], result: 'i64', kind: 'faults' },
  sseF32ToI32: { params: ['i32', 'i32'], result: 'i32', kind: 'faults' },
  sseF32ToI64: { params: ['i32', 'i32'], result: 'i64', kind: 'faults' },
  /** CVTSI2SD, CVTSI2SS of an integer sign-extended to 64 bits. (CVTSI2SD of 32 bits and CVTDQ2PD are exact: inline.) */
  sseI64ToF64: { params: ['i64'], result: 'i64', kind: 'faults' },
  sseI64ToF32: { params: ['i64'], result: 'i32', kind: 'faults' },
  /** CVTSS2SD, CVTSD2SS. */
  sseF32ToF64: { params: ['i32'], result: 'i64', kind: 'faults' },
  sseF64ToF32: { params: ['i64'], result: 'i32', kind: 'faults' },
  /** source, imm8: ROUNDSD, ROUNDSS, ROUNDPD, ROUNDPS. */
  sseRoundF64: { params: ['i64', 'i32'], result: 'i64', kind: 'faults' },
  sseRoundF32: { params: ['i32', 'i32'], result: 'i32', kind: 'faults' },
  sseRoundF64x2: { params: ['v128', 'i32'], result: 'v128', kind: 'faults' },
  sseRoundF32x4: { params: ['v128', 'i32'], result: 'v128', kind: 'faults' },
  /** CVTDQ2PS. */
  sseI32x4ToF32x4: { params: ['v128'], result: 'v128', kind: 'faults' },
  /** source, truncate: CVT(T)PS2DQ; CVT(T)PD2DQ (zeros above; low half for CVT(T)PD2PI). */
  sseF32x4ToI32x4: { params: ['v128', 'i32'], result: 'v128', kind: 'faults' },
  sseF64x2ToI32x2: { params: ['v128', 'i32'], result: 'v128', kind: 'faults' },
  /** CVTPS2PD of two singles; CVTPD2PS (zeros above). */
  sseF32x2ToF64x2: { params: ['i64'], result: 'v128', kind: 'faults' },
  sseF64x2ToF32x2: { params: ['v128'], result: 'v128', kind: 'faults' },
  /** CVTPI2PS; CVT(T)PS2PI with truncate. (CVTPI2PD is exact: inline.) */
  sseI32x2ToF32x2: { params: ['i64'], result: 'i64', kind: 'faults' },
  sseF32x2ToI32x2: { params: ['i64', 'i32'], result: 'i64', kind: 'faults' },
  /** a, b, imm8: DPPS, DPPD. */
  sseDotF32x4: { params: ['v128', 'v128', 'i32'], result: 'v128', kind: 'faults' },
  sseDotF64x2: { params: ['v128', 'v128', 'i32'], result: 'v128', kind: 'faults' },
} as const satisfies RoutineTable;
