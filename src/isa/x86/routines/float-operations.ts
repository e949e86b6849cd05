// Operation numbers of the floating-point routines. Plain numeric constants: shared with src/runtime.

export const FLOAT_ADD = 0;
export const FLOAT_SUB = 1;
export const FLOAT_MUL = 2;
export const FLOAT_DIV = 3;
/** Of the second operand. */
export const FLOAT_SQRT = 4;
export const FLOAT_MIN = 5;
export const FLOAT_MAX = 6;
/** Packed only: even lanes subtract, odd lanes add (ADDSUBPS, ADDSUBPD). */
export const FLOAT_ADDSUB = 7;
/** FLOAT_COMPARE + predicate 0 to 31 (SDM 2A, CMPPD, table 3-1): all ones or all zeros. */
export const FLOAT_COMPARE = 8;

/** Kinds of `xsave` besides the plain one, 0. */
export const XSAVE_OPTIMIZED = 1;
export const XSAVE_COMPACT = 2;

/** x87 arithmetic: the digit of D8 /digit. SUB is destination - source, SUBR source - destination. */
export const X87_ADD = 0;
export const X87_MUL = 1;
export const X87_COM = 2;
export const X87_COMP = 3;
export const X87_SUB = 4;
export const X87_SUBR = 5;
export const X87_DIV = 6;
export const X87_DIVR = 7;
/** Of the quick routines' first parameter; where a sign is in a register's upper word. */
export const X87_REVERSED = 0x8000;

/** Operations on ST0 alone or ST0 and ST1: the ModRM byte of D9 E0..FF. */
export const X87_FCHS = 0xe0;
export const X87_FABS = 0xe1;
export const X87_FTST = 0xe4;
export const X87_FXAM = 0xe5;
export const X87_FLD1 = 0xe8;
export const X87_FLDL2T = 0xe9;
export const X87_FLDL2E = 0xea;
export const X87_FLDPI = 0xeb;
export const X87_FLDLG2 = 0xec;
export const X87_FLDLN2 = 0xed;
export const X87_FLDZ = 0xee;
export const X87_F2XM1 = 0xf0;
export const X87_FYL2X = 0xf1;
export const X87_FPTAN = 0xf2;
export const X87_FPATAN = 0xf3;
export const X87_FXTRACT = 0xf4;
export const X87_FPREM1 = 0xf5;
export const X87_FDECSTP = 0xf6;
export const X87_FINCSTP = 0xf7;
export const X87_FPREM = 0xf8;
export const X87_FYL2XP1 = 0xf9;
export const X87_FSQRT = 0xfa;
export const X87_FSINCOS = 0xfb;
export const X87_FRNDINT = 0xfc;
export const X87_FSCALE = 0xfd;
export const X87_FSIN = 0xfe;
export const X87_FCOS = 0xff;
