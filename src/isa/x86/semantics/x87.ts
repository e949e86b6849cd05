import type { Value } from '../../../ir/ir.ts';
import { MXCSR, SCRATCH, X87_CONTROL, X87_DP, X87_DP_SELECTOR, X87_STATUS } from '../state/layout.ts';
import {
  X87_ADD, X87_COM, X87_COMP, X87_DIV, X87_DIVR, X87_F2XM1, X87_FABS, X87_FCHS, X87_FCOS, X87_FDECSTP, X87_FINCSTP, X87_FLD1, X87_FLDL2E, X87_FLDL2T, X87_FLDLG2, X87_FLDLN2, X87_FLDPI,
  X87_FLDZ, X87_FPATAN, X87_FPREM, X87_FPREM1, X87_FPTAN, X87_FRNDINT, X87_FSCALE, X87_FSIN, X87_FSINCOS, X87_FSQRT, X87_FTST, X87_FXAM, X87_FXTRACT, X87_FYL2X, X87_FYL2XP1, X87_MUL,
  X87_REVERSED, X87_SUB, X87_SUBR,
} from '../routines/float-operations.ts';
import type { Context, Semantics, SemanticsTable } from './context.ts';
import type { Condition } from './flags.ts';
import { requireX87 } from './vector.ts';
import { MASKED, ROUNDS_TO_64_BITS, ROUNDS_TO_NEAREST } from './x87-stack.ts';
import type { QuickWay, StackEffect, X87Stack } from './x87-stack.ts';

// x87: operands are fetched here, the work is done by the routines of src/runtime/x87*.ts.

/** ST(i) of the ModRM byte. */
function stack(x: Context): Value {
  return x.registerNumber('rm');
}

function memoryWidth(x: Context): 16 | 32 | 64 | 80 {
  const size = x.shape.operands[0]![1];
  return size === 'w' ? 16 : size === 'd' ? 32 : size === 'q' ? 64 : 80;
}

/**
 * A pending exception is delivered before the memory operand is looked at. Where the stack is known over several instructions
 * looking can have no effect of its own, and the check comes later.
 */
function checked(x: Context): void {
  if (x.x87Stack() === undefined) requireX87(x, 'x87Check');
}

function signedOperand(x: Context): Value {
  checked(x);
  const width = memoryWidth(x) as 16 | 32 | 64;
  return x.b.signExtend(x.read(0, width), width);
}

/** By its routine, or where the engine knows the stack and nothing is out of the ordinary, quickly. */
function quickly(x: Context, effect: StackEffect, quick: (stack: X87Stack) => QuickWay, routine: () => void): void {
  const known = x.x87Stack();
  if (known === undefined) routine();
  else known.perform(x, effect, () => quick(known), routine);
}
/** ST(i) of the ModRM byte, as a number; only where the stack is known. */
function number(x: Context): number {
  return x.x87Stack() === undefined ? 0 : x.b.ir.small(stack(x));
}

const SIGN = 0x8000;
const INTEGER_BIT = 1n << 63n;

interface Extended {
  readonly significand: Value;
  /** With the sign. An exponent of 0 says that the routine has to look at it. */
  readonly exponent: Value;
}

/** A number from memory in the registers' format; exact. */
function extended(x: Context, bits: Value, width: 32 | 64): Extended {
  const { b } = x;
  const [fraction, bias, largest] = width === 32 ? [23, 127, 0xff] : [52, 1023, 0x7ff];
  const biased = b.andConst(b.wrap(b.shrUConst(bits, fraction)), largest);
  const ordinary = b.ltU(b.addConst(biased, -1), b.i32(largest - 1));
  const exponent = b.select(ordinary, b.addConst(biased, 16383 - bias), b.i32(0));
  const sign = b.andConst(b.wrap(b.shrUConst(bits, width - 16)), SIGN);
  return { significand: b.or(b.shlConst(b.extendU(bits), 63 - fraction), b.i64(INTEGER_BIT)), exponent: b.or(exponent, sign) };
}
function extendedInteger(x: Context, value: Value): Extended {
  const { b } = x;
  const sign = b.shrSConst(value, 31);
  const magnitude = b.sub(b.xor(value, sign), sign);
  const zeros = b.clz(magnitude);
  const exponent = b.select(value, b.sub(b.i32(16383 + 31), zeros), b.i32(0));
  return { significand: b.shlConst(b.extendU(b.shl(magnitude, zeros)), 32), exponent: b.or(exponent, b.andConst(sign, SIGN)) };
}

/** The register at an offset becomes itself operation the operand. */
function operation(x: Context, holds: Value, name: number, to: Value, { significand, exponent }: Extended): Value {
  const { b } = x;
  const mode = name === X87_SUBR || name === X87_DIVR ? b.or(holds, b.i32(X87_REVERSED)) : holds;
  switch (name) {
    case X87_MUL: return x.call('x87QuickProduct', [mode, to, significand, exponent]);
    case X87_DIV: case X87_DIVR: return x.call('x87QuickQuotient', [mode, to, significand, exponent]);
    case X87_SUB: return x.call('x87QuickSum', [mode, to, significand, b.xor(exponent, b.i32(SIGN))]);
    default: return x.call('x87QuickSum', [mode, to, significand, exponent]);
  }
}

/** ST(i) of the stack's registers. */
function registerAt(known: X87Stack, offset: Value): Extended {
  return { significand: known.significand(offset), exponent: known.exponent(offset) };
}

/** ST0 operation a number from memory. */
function withMemory(x: Context, name: number, operand: () => Extended, routine: () => void): void {
  if (name === X87_COM || name === X87_COMP) {
    const pops = name === X87_COMP ? 1 : 0;
    quickly(x, { uses: [0], pops, control: MASKED }, (known) => {
      const from = known.offset(0);
      return { compares: true, compute: (holds) => comparison(x, holds, known, from, operand()) };
    }, routine);
    return;
  }
  quickly(x, { uses: [0], control: ROUNDS_TO_64_BITS }, (known) => {
    const to = known.offset(0);
    return { compute: (holds) => operation(x, holds, name, to, operand()) };
  }, routine);
}

/** C3, C2 and C0, or -1. */
function comparison(x: Context, holds: Value, known: X87Stack, from: Value, { significand, exponent }: Extended): Value {
  return x.call('x87QuickCompare', [holds, known.significand(from), known.exponent(from), significand, exponent]);
}

/** FADD and relatives: a memory operand, ST0 with ST(i), or ST(i) with ST0. */
function arithmetic(name: number): Semantics {
  return (x) => {
    const { b } = x;
    if (x.memory) {
      checked(x);
      const width = memoryWidth(x) as 32 | 64;
      const [code, bits] = [b.i32(name), x.read(0, width)];
      withMemory(x, name, () => extended(x, bits, width), () => void x.call(width === 32 ? 'x87ArithmeticF32' : 'x87ArithmeticF64', [code, bits]));
    } else if (x.shape.operands[0] === 'STi' && x.shape.operands.length === 2) toRegister(x, name, 0);
    else betweenRegisters(x, name, [0, number(x)], 0, () => void x.call('x87Arithmetic', [b.i32(name), stack(x)]));
  };
}

function betweenRegisters(x: Context, name: number, uses: readonly [to: number, from: number], pops: number, routine: () => void): void {
  quickly(x, { uses, pops, control: ROUNDS_TO_64_BITS }, (known) => {
    const [to, from] = [known.offset(uses[0]), known.offset(uses[1])];
    return { compute: (holds) => operation(x, holds, name, to, registerAt(known, from)) };
  }, routine);
}
/** ST(i) with ST0. */
function toRegister(x: Context, name: number, pops: number): void {
  betweenRegisters(x, name, [number(x), 0], pops, () => void x.call('x87ArithmeticTo', [x.b.i32(name), stack(x), x.b.i32(pops)]));
}

function arithmeticPop(name: number): Semantics {
  return (x) => toRegister(x, name, 1);
}

function arithmeticInteger(name: number): Semantics {
  return (x) => {
    const [code, value] = [x.b.i32(name), signedOperand(x)];
    withMemory(x, name, () => extendedInteger(x, value), () => void x.call('x87ArithmeticInteger', [code, value]));
  };
}

function compare(pops: number, quiet: number, second?: number): Semantics {
  return (x) => {
    const { b } = x;
    const i = second ?? number(x);
    quickly(x, { uses: [0, i], pops, control: MASKED }, (known) => {
      const [first, from] = [known.offset(0), known.offset(i)];
      return { compares: true, compute: (holds) => comparison(x, holds, known, first, registerAt(known, from)) };
    }, () => void x.call('x87Compare', [second === undefined ? stack(x) : b.i32(second), b.i32(pops), b.i32(quiet)]));
  };
}

function compareFlags(pop: number, quiet: number): Semantics {
  return (x) => void x.call('x87CompareFlags', [stack(x), x.b.i32(pop), x.b.i32(quiet)]);
}

/** FLD1, FLDZ: significand, exponent. */
const CONSTANTS = new Map<number, readonly [bigint, number]>([[X87_FLD1, [INTEGER_BIT, 16383]], [X87_FLDZ, [0n, 0]]]);

function operate(name: number): Semantics {
  return (x) => {
    const { b } = x;
    const routine = (): void => void x.call('x87Operate', [b.i32(name)]);
    const constant = CONSTANTS.get(name);
    if (constant !== undefined) pushed(x, () => ({ significand: b.i64(constant[0]), exponent: b.i32(constant[1]) }), routine);
    else if (name === X87_FCHS || name === X87_FABS) {
      quickly(x, { uses: [0] }, (known) => {
        const to = known.offset(0);
        return { store: () => known.writeExponent(to, name === X87_FCHS ? b.xor(known.exponent(to), b.i32(SIGN)) : b.andConst(known.exponent(to), 0x7fff)) };
      }, routine);
    } else routine();
  };
}

/** Pushes what is exact in any case. */
function pushed(x: Context, value: (known: X87Stack) => Extended, routine: () => void, uses: readonly number[] = []): void {
  quickly(x, { uses, pushes: true }, (known) => {
    const to = known.offset(-1);
    const { significand, exponent } = value(known);
    return { store: () => known.write(to, significand, exponent) };
  }, routine);
}

function loadFloat(x: Context): void {
  const { b } = x;
  if (!x.memory) {
    const i = number(x);
    pushed(x, (known) => registerAt(known, known.offset(i)), () => void x.call('x87LoadRegister', [stack(x)]), [i]);
    return;
  }
  checked(x);
  const width = memoryWidth(x);
  if (width === 80) {
    const address = x.address('read', 10);
    const significand = x.load(address, 64);
    const exponent = x.load(b.addConst(address, 8), 16);
    pushed(x, () => ({ significand, exponent }), () => void x.call('x87LoadF80', [significand, exponent]));
    return;
  }
  const bits = x.read(0, width);
  quickly(x, { pushes: true, control: MASKED }, (known) => {
    const to = known.offset(-1);
    return { compute: (holds) => x.call(width === 32 ? 'x87QuickLoadF32' : 'x87QuickLoadF64', [holds, to, bits]) };
  }, () => void x.call(width === 32 ? 'x87LoadF32' : 'x87LoadF64', [bits]));
}

function storeFloat(pop: number): Semantics {
  return (x) => {
    const { b } = x;
    if (!x.memory) {
      storeRegister(x, pop);
      return;
    }
    checked(x);
    const width = memoryWidth(x);
    const address = x.address('write', width / 8);
    if (width === 80) {
      quickly(x, { uses: [0], pops: 1 }, (known) => {
        const from = known.offset(0);
        return {
          store: () => {
            // Both parts or none: the second is looked for first.
            const second = b.addConst(address, 8);
            b.op('memory.load16.write', [second]);
            x.store(address, 64, known.significand(from));
            x.store(second, 16, known.exponent(from));
          },
        };
      }, () => void x.call('x87StoreF80', [address]));
      return;
    }
    const convert = (holds: Value, from: Value): Value => x.call(width === 32 ? 'x87QuickToF32' : 'x87QuickToF64', [holds, from]);
    storeConverted(x, address, width, { uses: [0], pops: pop, control: ROUNDS_TO_NEAREST }, convert, () => void x.call(width === 32 ? 'x87StoreF32' : 'x87StoreF64', [address, b.i32(pop)]));
  };
}

/** ST0 in another format, which `convert` leaves at SCRATCH. */
function storeConverted(x: Context, address: Value, width: 16 | 32 | 64, effect: StackEffect, convert: (holds: Value, from: Value) => Value, routine: () => void): void {
  quickly(x, effect, (known) => {
    const from = known.offset(0);
    return { compute: (holds) => convert(holds, from), store: () => x.store(address, width, x.b.loadState(width === 64 ? '64' : '32', SCRATCH)) };
  }, routine);
}

/** FST ST(i), FSTP ST(i). */
function storeRegister(x: Context, pop: number): void {
  const i = number(x);
  quickly(x, { uses: i === 0 ? [0] : [0, i], pops: pop }, (known) => {
    const [from, to] = [known.offset(0), known.offset(i)];
    return { store: () => (i === 0 ? undefined : known.write(to, known.significand(from), known.exponent(from))) };
  }, () => void x.call('x87StoreRegister', [stack(x), x.b.i32(pop)]));
}

function exchange(x: Context): void {
  const i = number(x);
  quickly(x, { uses: i === 0 ? [0] : [0, i] }, (known) => {
    const [first, second] = [known.offset(0), known.offset(i)];
    return {
      store: () => {
        if (i === 0) return;
        const [a, c] = [registerAt(known, first), registerAt(known, second)];
        known.write(first, c.significand, c.exponent);
        known.write(second, a.significand, a.exponent);
      },
    };
  }, () => void x.call('x87Exchange', [stack(x)]));
}

function storeInteger(pop: number, truncate: number): Semantics {
  return (x) => {
    const { b } = x;
    const width = memoryWidth(x) as 16 | 32 | 64;
    checked(x);
    const address = x.address('write', width / 8);
    const convert = (holds: Value, from: Value): Value => x.call('x87QuickToInteger', [holds, from, b.i32(width / 8), b.i32(truncate)]);
    storeConverted(x, address, width, { uses: [0], pops: pop, control: MASKED }, convert, () => void x.call('x87StoreInteger', [address, b.i32(width / 8), b.i32(pop), b.i32(truncate)]));
  };
}

function loadInteger(x: Context): void {
  const value = x.b.extendS(signedOperand(x));
  quickly(x, { pushes: true }, (known) => {
    const to = known.offset(-1);
    return { store: () => void x.call('x87QuickLoadInteger', [to, value]) };
  }, () => void x.call('x87LoadInteger', [value]));
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
  fxch: exchange,
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
    requireX87(x, 'x87Check');
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
    x.b.storeState('16', X87_DP_SELECTOR, x.long ? x.b.i32(0) : x.dataSelector());
  };
}

export const x87: SemanticsTable = {
  ...Object.fromEntries(Object.entries(operations).map(([name, semantics]) => [name, withDataPointer(semantics)])),
  ...control,
};
