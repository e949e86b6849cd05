import type { RoutineTable } from './routine.ts';

/** x87 and SSE control state: src/runtime/fpu.ts. */
export const x87Routines = {
  x87Available: { params: [], result: 'i32', kind: 'leaves' },
  sseAvailable: { params: [], result: 'i32', kind: 'leaves' },
  mmxAvailable: { params: [], result: 'i32', kind: 'leaves' },
  mmxEnter: { params: [], result: 'none', kind: 'state' },
  x87EmptyTags: { params: [], result: 'none', kind: 'state' },
  loadMxcsr: { params: ['i32'], result: 'i32', kind: 'leaves' },
  /** linear address, 1 with REX.W. */
  saveFx: { params: ['i64', 'i32'], result: 'i32', kind: 'leaves' },
  restoreFx: { params: ['i64', 'i32'], result: 'i32', kind: 'leaves' },

  // src/runtime/xsave.ts.
  xsaveAvailable: { params: [], result: 'i32', kind: 'leaves' },
  avxAvailable: { params: [], result: 'i32', kind: 'leaves' },

  // src/runtime/x87*.ts. All of them check for #NM and pending exceptions (#MF) themselves, note FIP and FCS, and
  // leave exceptions of their own for the next waiting instruction. Memory operands are loaded by the caller and
  // passed as bits; stores take the linear address, segment-checked by the caller. Operation numbers:
  // float-operations.ts. The caller may keep FDP: X87_DP = effective offset, X87_DP_SELECTOR = selector.

  /** Nothing but the checks: FNOP. */
  x87Nop: { params: [], result: 'i32', kind: 'leaves' },
  x87Check: { params: [], result: 'i32', kind: 'leaves' },
  /** FWAIT, with #MF. */
  x87CheckWait: { params: [], result: 'i32', kind: 'leaves' },
  /** operation X87_ADD .. X87_DIVR (FCOM, FCOMP among them), i: D8 forms ST0, ST(i). */
  x87Arithmetic: { params: ['i32', 'i32'], result: 'i32', kind: 'leaves' },
  /** operation by the mnemonic (SUB: ST(i) - ST0, SUBR: ST0 - ST(i)), i, pop: DC and DE forms ST(i), ST0. */
  x87ArithmeticTo: { params: ['i32', 'i32', 'i32'], result: 'i32', kind: 'leaves' },
  /** operation (FCOM, FCOMP among them), memory operand; integers of 16 and 32 bits sign-extended. */
  x87ArithmeticF32: { params: ['i32', 'i32'], result: 'i32', kind: 'leaves' },
  x87ArithmeticF64: { params: ['i32', 'i64'], result: 'i32', kind: 'leaves' },
  x87ArithmeticInteger: { params: ['i32', 'i32'], result: 'i32', kind: 'leaves' },
  /** i, pops 0 to 2, quiet: FCOM, FCOMP, FCOMPP (0), FUCOM, FUCOMP, FUCOMPP (1). The PP forms have i = 1. */
  x87Compare: { params: ['i32', 'i32', 'i32'], result: 'i32', kind: 'leaves' },
  /** i, pop, quiet: FCOMI, FCOMIP (0), FUCOMI, FUCOMIP (1). Writes the lazy status flags in the state itself. */
  x87CompareFlags: { params: ['i32', 'i32', 'i32'], result: 'i32', kind: 'leaves' },
  /** ModRM byte 0xe0 to 0xff: D9 E0 to D9 FF, X87_FCHS .. X87_FCOS. */
  x87Operate: { params: ['i32'], result: 'i32', kind: 'leaves' },
  /** FLD m32, m64, m80 (significand, sign and exponent), ST(i); FILD (sign-extended); FBLD (low 8 bytes, high 2). */
  x87LoadF32: { params: ['i32'], result: 'i32', kind: 'leaves' },
  x87LoadF64: { params: ['i64'], result: 'i32', kind: 'leaves' },
  x87LoadF80: { params: ['i64', 'i32'], result: 'i32', kind: 'leaves' },
  x87LoadRegister: { params: ['i32'], result: 'i32', kind: 'leaves' },
  x87LoadInteger: { params: ['i64'], result: 'i32', kind: 'leaves' },
  x87LoadBcd: { params: ['i64', 'i32'], result: 'i32', kind: 'leaves' },
  /** linear address, pop: FST, FSTP. FSTP m80 and FBSTP always pop. */
  x87StoreF32: { params: ['i64', 'i32'], result: 'i32', kind: 'leaves' },
  x87StoreF64: { params: ['i64', 'i32'], result: 'i32', kind: 'leaves' },
  x87StoreF80: { params: ['i64'], result: 'i32', kind: 'leaves' },
  x87StoreBcd: { params: ['i64'], result: 'i32', kind: 'leaves' },
  /** linear address, bytes 2, 4 or 8, pop, truncate: FIST, FISTP; FISTTP with pop and truncate. */
  x87StoreInteger: { params: ['i64', 'i32', 'i32', 'i32'], result: 'i32', kind: 'leaves' },
  /** i, pop: FST, FSTP ST(i). */
  x87StoreRegister: { params: ['i32', 'i32'], result: 'i32', kind: 'leaves' },
  x87Exchange: { params: ['i32'], result: 'i32', kind: 'leaves' },
  /** i, condition: FCMOVcc; the condition is evaluated by the caller. */
  x87Move: { params: ['i32', 'i32'], result: 'i32', kind: 'leaves' },
  /** i, pop: FFREE, FFREEP. */
  x87Free: { params: ['i32', 'i32'], result: 'i32', kind: 'leaves' },
  /** linear address, 1 for the 32-bit format (28 and 108 bytes), 0 for the 16-bit one (14 and 94). */
  x87SaveEnvironment: { params: ['i64', 'i32'], result: 'i32', kind: 'leaves' },
  x87LoadEnvironment: { params: ['i64', 'i32'], result: 'i32', kind: 'leaves' },
  x87SaveState: { params: ['i64', 'i32'], result: 'i32', kind: 'leaves' },
  x87RestoreState: { params: ['i64', 'i32'], result: 'i32', kind: 'leaves' },
  /** FNINIT; FNCLEX; FLDCW (unmasking a raised exception makes #MF pending): #NM is checked inside. */
  x87Init: { params: [], result: 'i32', kind: 'leaves' },
  x87Clear: { params: [], result: 'i32', kind: 'leaves' },
  x87SetControl: { params: ['i32'], result: 'i32', kind: 'leaves' },

  // src/runtime/x87-quick.ts: for code that knows how registers, tags and control word are (semantics/x87-stack.ts). Registers by
  // their byte offset from X87. With a result the first parameter is whether that knowledge holds; the result is, where nothing else is said,
  // PE and C1 as rounding leaves them, or -1: nothing has been written.

  /** With the first parameter X87_REVERSED for SUBR and DIVR; destination, operand's significand, its sign and exponent. */
  x87QuickSum: { params: ['i32', 'i32', 'i64', 'i32'], result: 'i32', kind: 'state' },
  x87QuickProduct: { params: ['i32', 'i32', 'i64', 'i32'], result: 'i32', kind: 'state' },
  x87QuickQuotient: { params: ['i32', 'i32', 'i64', 'i32'], result: 'i32', kind: 'state' },
  /** Two numbers: C3, C2 and C0, or -1. */
  x87QuickCompare: { params: ['i32', 'i64', 'i32', 'i64', 'i32'], result: 'i32', kind: 'pure' },
  /** destination, bits. */
  x87QuickLoadF32: { params: ['i32', 'i32', 'i32'], result: 'i32', kind: 'state' },
  x87QuickLoadF64: { params: ['i32', 'i32', 'i64'], result: 'i32', kind: 'state' },
  x87QuickLoadInteger: { params: ['i32', 'i64'], result: 'none', kind: 'state' },
  /** A register in another format, left at SCRATCH; of integers bytes and whether to truncate. */
  x87QuickToF32: { params: ['i32', 'i32'], result: 'i32', kind: 'state' },
  x87QuickToF64: { params: ['i32', 'i32'], result: 'i32', kind: 'state' },
  x87QuickToInteger: { params: ['i32', 'i32', 'i32', 'i32'], result: 'i32', kind: 'state' },
} as const satisfies RoutineTable;
