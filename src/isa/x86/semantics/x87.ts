import type { Value } from '../../../ir/ir.ts';
import { MXCSR, X87_CONTROL, X87_DP, X87_DP_SELECTOR, X87_STATUS } from '../state/layout.ts';
import {
  X87_ADD, X87_COM, X87_COMP, X87_DIV, X87_DIVR, X87_F2XM1, X87_FABS, X87_FCHS, X87_FCOS, X87_FDECSTP, X87_FINCSTP, X87_FLD1, X87_FLDL2E, X87_FLDL2T, X87_FLDLG2, X87_FLDLN2, X87_FLDPI,
  X87_FLDZ, X87_FPATAN, X87_FPREM, X87_FPREM1, X87_FPTAN, X87_FRNDINT, X87_FSCALE, X87_FSIN, X87_FSINCOS, X87_FSQRT, X87_FTST, X87_FXAM, X87_FXTRACT, X87_FYL2X, X87_FYL2XP1, X87_MUL,
  X87_SUB, X87_SUBR,
} from '../routines/float-operations.ts';
import type { Context, Semantics, SemanticsTable } from './context.ts';
import type { Condition } from './flags.ts';
import { requireX87 } from './vector.ts';

// x87: operands are fetched here, the work is done by the routines of src/runtime/x87*.ts.

/** ST(i) of the ModRM byte. */
function stack(x: Context): Value {
  return x.registerNumber('rm');
}

function memoryWidth(x: Context): 16 | 32 | 64 | 80 {
  const size = x.shape.operands[0]![1];
  return size === 'w' ? 16 : size === 'd' ? 32 : size === 'q' ? 64 : 80;
}

/** A pending exception is delivered before the memory operand is looked at. */
function checked(x: Context): void {
  requireX87(x, 'x87Check');
}

function signedOperand(x: Context): Value {
  checked(x);
  const width = memoryWidth(x) as 16 | 32 | 64;
  return x.b.signExtend(x.read(0, width), width);
}

/** FADD and relatives: a memory operand, ST0 with ST(i), or ST(i) with ST0. */
function arithmetic(operation: number): Semantics {
  return (x) => {
    const { b } = x;
    if (x.memory) {
      checked(x);
      if (memoryWidth(x) === 32) x.call('x87ArithmeticF32', [b.i32(operation), x.read(0, 32)]);
      else x.call('x87ArithmeticF64', [b.i32(operation), x.read(0, 64)]);
    } else if (x.shape.operands[0] === 'STi' && x.shape.operands.length === 2) x.call('x87ArithmeticTo', [b.i32(operation), stack(x), b.i32(0)]);
    else x.call('x87Arithmetic', [b.i32(operation), stack(x)]);
  };
}

function arithmeticPop(operation: number): Semantics {
  return (x) => void x.call('x87ArithmeticTo', [x.b.i32(operation), stack(x), x.b.i32(1)]);
}

function arithmeticInteger(operation: number): Semantics {
  return (x) => void x.call('x87ArithmeticInteger', [x.b.i32(operation), signedOperand(x)]);
}

function compare(pops: number, quiet: number, second?: number): Semantics {
  return (x) => void x.call('x87Compare', [second === undefined ? stack(x) : x.b.i32(second), x.b.i32(pops), x.b.i32(quiet)]);
}

function compareFlags(pop: number, quiet: number): Semantics {
  return (x) => void x.call('x87CompareFlags', [stack(x), x.b.i32(pop), x.b.i32(quiet)]);
}

function operate(operation: number): Semantics {
  return (x) => void x.call('x87Operate', [x.b.i32(operation)]);
}

function loadFloat(x: Context): void {
  const { b } = x;
  if (!x.memory) {
    x.call('x87LoadRegister', [stack(x)]);
    return;
  }
  checked(x);
  if (memoryWidth(x) === 32) x.call('x87LoadF32', [x.read(0, 32)]);
  else if (memoryWidth(x) === 64) x.call('x87LoadF64', [x.read(0, 64)]);
  else {
    const address = x.address('read', 10);
    const significand = x.load(address, 64);
    x.call('x87LoadF80', [significand, x.load(b.addConst(address, 8), 16)]);
  }
}

function storeFloat(pop: number): Semantics {
  return (x) => {
    const { b } = x;
    if (!x.memory) {
      x.call('x87StoreRegister', [stack(x), b.i32(pop)]);
      return;
    }
    checked(x);
    if (memoryWidth(x) === 32) x.call('x87StoreF32', [x.address('write', 4), b.i32(pop)]);
    else if (memoryWidth(x) === 64) x.call('x87StoreF64', [x.address('write', 8), b.i32(pop)]);
    else x.call('x87StoreF80', [x.address('write', 10)]);
  };
}

function storeInteger(pop: number, truncate: number): Semantics {
  return (x) => {
    const bytes = memoryWidth(x) / 8;
    checked(x);
    x.call('x87StoreInteger', [x.address('write', bytes), x.b.i32(bytes), x.b.i32(pop), x.b.i32(truncate)]);
  };
}

function loadInteger(x: Context): void {
  x.call('x87LoadInteger', [x.b.extendS(signedOperand(x))]);
}

function image(routine: string, access: 'read' | 'write', bytes: readonly [number, number]): Semantics {
  return (x) => {
    const wide = x.size !== 16;
    // FNSTENV and FNSAVE do not wait.
    x.call(access === 'read' ? 'x87Check' : 'x87Available', []);
    x.call(routine, [x.address(access, bytes[wide ? 1 : 0]), x.b.i32(wide ? 1 : 0)]);
  };
}

function conditionalMove(condition: Condition): Semantics {
  return (x) => void x.call('x87Move', [stack(x), x.b.ne(x.flags.condition(condition), x.b.i32(0))]);
}

const operations: SemanticsTable = {
  fadd: arithmetic(X87_ADD),
  fmul: arithmetic(X87_MUL),
  fsub: arithmetic(X87_SUB),
  fsubr: arithmetic(X87_SUBR),
  fdiv: arithmetic(X87_DIV),
  fdivr: arithmetic(X87_DIVR),
  fcom: (x) => (x.memory ? arithmetic(X87_COM)(x) : compare(0, 0)(x)),
  fcomp: (x) => (x.memory ? arithmetic(X87_COMP)(x) : compare(1, 0)(x)),
  faddp: arithmeticPop(X87_ADD),
  fmulp: arithmeticPop(X87_MUL),
  fsubp: arithmeticPop(X87_SUB),
  fsubrp: arithmeticPop(X87_SUBR),
  fdivp: arithmeticPop(X87_DIV),
  fdivrp: arithmeticPop(X87_DIVR),
  fiadd: arithmeticInteger(X87_ADD),
  fimul: arithmeticInteger(X87_MUL),
  ficom: arithmeticInteger(X87_COM),
  ficomp: arithmeticInteger(X87_COMP),
  fisub: arithmeticInteger(X87_SUB),
  fisubr: arithmeticInteger(X87_SUBR),
  fidiv: arithmeticInteger(X87_DIV),
  fidivr: arithmeticInteger(X87_DIVR),
  fcompp: compare(2, 0, 1),
  fucom: compare(0, 1),
  fucomp: compare(1, 1),
  fucompp: compare(2, 1, 1),
  fcomi: compareFlags(0, 0),
  fcomip: compareFlags(1, 0),
  fucomi: compareFlags(0, 1),
  fucomip: compareFlags(1, 1),
  fld: loadFloat,
  fst: storeFloat(0),
  fstp: storeFloat(1),
  fstpnce: (x) => void x.call('x87StoreRegister', [stack(x), x.b.i32(2)]),
  fild: loadInteger,
  fist: storeInteger(0, 0),
  fistp: storeInteger(1, 0),
  fisttp: storeInteger(1, 1),
  fbld: (x) => {
    checked(x);
    const address = x.address('read', 10);
    const low = x.load(address, 64);
    x.call('x87LoadBcd', [low, x.load(x.b.addConst(address, 8), 16)]);
  },
  fbstp: (x) => {
    checked(x);
    x.call('x87StoreBcd', [x.address('write', 10)]);
  },
  fxch: (x) => void x.call('x87Exchange', [stack(x)]),
  ffree: (x) => void x.call('x87Free', [stack(x), x.b.i32(0)]),
  ffreep: (x) => void x.call('x87Free', [stack(x), x.b.i32(1)]),
  fcmovb: conditionalMove(2),
  fcmove: conditionalMove(4),
  fcmovbe: conditionalMove(6),
  fcmovu: conditionalMove(10),
  fcmovnb: conditionalMove(3),
  fcmovne: conditionalMove(5),
  fcmovnbe: conditionalMove(7),
  fcmovnu: conditionalMove(11),
  fchs: operate(X87_FCHS),
  fabs: operate(X87_FABS),
  ftst: operate(X87_FTST),
  fxam: operate(X87_FXAM),
  fld1: operate(X87_FLD1),
  fldl2t: operate(X87_FLDL2T),
  fldl2e: operate(X87_FLDL2E),
  fldpi: operate(X87_FLDPI),
  fldlg2: operate(X87_FLDLG2),
  fldln2: operate(X87_FLDLN2),
  fldz: operate(X87_FLDZ),
  f2xm1: operate(X87_F2XM1),
  fyl2x: operate(X87_FYL2X),
  fptan: operate(X87_FPTAN),
  fpatan: operate(X87_FPATAN),
  fxtract: operate(X87_FXTRACT),
  fprem1: operate(X87_FPREM1),
  fdecstp: operate(X87_FDECSTP),
  fincstp: operate(X87_FINCSTP),
  fprem: operate(X87_FPREM),
  fyl2xp1: operate(X87_FYL2XP1),
  fsqrt: operate(X87_FSQRT),
  fsincos: operate(X87_FSINCOS),
  frndint: operate(X87_FRNDINT),
  fscale: operate(X87_FSCALE),
  fsin: operate(X87_FSIN),
  fcos: operate(X87_FCOS),
  fnop: (x) => void x.call('x87Nop', []),
};

const control: SemanticsTable = {
  fwait: (x) => void x.call('x87CheckWait', []),
  fninit: (x) => void x.call('x87Init', []),
  fnclex: (x) => void x.call('x87Clear', []),
  fldcw: (x) => {
    checked(x);
    x.call('x87SetControl', [x.read(0, 16)]);
  },
  // The next two do not wait: a pending exception is not delivered, only #NM is.
  fnstcw: (x) => {
    x.call('x87Available', []);
    x.write(0, x.b.loadState('16u', X87_CONTROL), 16);
  },
  fnstsw: (x) => {
    x.call('x87Available', []);
    x.write(0, x.b.loadState('16u', X87_STATUS), 16);
  },
  fldenv: image('x87LoadEnvironment', 'read', [14, 28]),
  fnstenv: image('x87SaveEnvironment', 'write', [14, 28]),
  frstor: image('x87RestoreState', 'read', [94, 108]),
  fnsave: image('x87SaveState', 'write', [94, 108]),
  // Neither waits for a pending exception (SDM 1, 8.3.12): opcodes of the 8087 and 80287 without effect today.
  fneni: (x) => void x.call('x87Available', []),
  // TOP becomes 0 as well (SDM 3A, table 12-1).
  emms: (x) => {
    x.call('mmxAvailable', []);
    x.call('mmxEnter', []);
    x.call('x87EmptyTags', []);
  },
  ldmxcsr: (x) => {
    x.call('sseAvailable', []);
    x.call('loadMxcsr', [x.read(0, 32)]);
  },
  stmxcsr: (x) => {
    x.call('sseAvailable', []);
    x.write(0, x.b.loadState('32', MXCSR), 32);
  },
  fxsave: (x) => {
    x.call('x87Available', []);
    x.call('saveFx', [x.address('write', 512), x.b.i32(x.size === 64 ? 1 : 0)]);
  },
  fxrstor: (x) => {
    x.call('x87Available', []);
    x.call('restoreFx', [x.address('read', 512), x.b.i32(x.size === 64 ? 1 : 0)]);
  },
};

/** FDP and FDS, the last memory operand; control instructions leave them (SDM 1, 8.1.8). */
function withDataPointer(semantics: Semantics): Semantics {
  return (x) => {
    semantics(x);
    if (!x.shape.operands.some((_, i) => x.isMemory(i))) return;
    const offset = x.effectiveAddress();
    x.b.storeState('64', X87_DP, x.long ? offset : x.b.extendU(offset));
    x.b.storeState('16', X87_DP_SELECTOR, x.long ? x.b.i32(0) : x.call('readSelector', [x.segmentIndex()]));
  };
}

export const x87: SemanticsTable = {
  ...Object.fromEntries(Object.entries(operations).map(([name, semantics]) => [name, withDataPointer(semantics)])),
  ...control,
};
