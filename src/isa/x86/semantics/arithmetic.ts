import type { Value } from '../../../ir/ir.ts';
import { RAX, RDX, SCRATCH, VECTOR_DE } from '../state/layout.ts';
import type { Context, SemanticsTable } from './context.ts';
import type { Width } from './flags.ts';

// Binary integer arithmetic and logic (Intel SDM 2, the instructions' own pages).

type Binary = (x: Context, a: Value, b: Value) => Value;

type BinaryFlags = (x: Context, width: Width, a: Value, b: Value, r: Value) => void;

/**
 * dest = dest op source, with the flags that `flags` stores from (a, b, result). `atomic`: what a locked one does to memory, with
 * compute(0, source) as its operand where that is an addition.
 */
function binary(compute: Binary, flags: BinaryFlags, atomic: 'add' | 'and' | 'or' | 'xor') {
  return (x: Context): void => {
    const width = x.width(0);
    const source = x.read(1, width);
    if (!x.locked) {
      const a = x.readForWrite(0);
      const r = compute(x, a, source);
      x.write(0, r);
      flags(x, width, a, source, r);
      return;
    }
    const operand = atomic === 'add' ? compute(x, x.b.constant(x.b.typeOf(source), 0), source) : source;
    const a = x.modify(x.address('write', width / 8), width, atomic, operand);
    flags(x, width, a, source, compute(x, a, source));
  };
}

/** The same without a result. */
function comparison(compute: Binary, flags: BinaryFlags) {
  return (x: Context): void => {
    const width = x.width(0);
    const source = x.read(1, width);
    const a = x.read(0);
    flags(x, width, a, source, compute(x, a, source));
  };
}

const add: Binary = (x, a, b) => x.b.add(a, b);
const sub: Binary = (x, a, b) => x.b.sub(a, b);
const addFlags = (x: Context, w: Width, a: Value, b: Value, r: Value): void => x.flags.add(w, a, b, r);
const subFlags = (x: Context, w: Width, a: Value, b: Value, r: Value): void => x.flags.sub(w, a, b, r);
const carryFlags = (x: Context, w: Width, a: Value, b: Value, r: Value): void => x.flags.addWithCarry(w, a, b, r);
const borrowFlags = (x: Context, w: Width, a: Value, b: Value, r: Value): void => x.flags.subWithBorrow(w, a, b, r);
const logicFlags = (x: Context, w: Width, _a: Value, _b: Value, r: Value): void => x.flags.logic(w, r);

/** CF as a value of the width's type. */
function carryIn(x: Context, width: Width): Value {
  return width === 64 ? x.b.extendU(x.flags.carry()) : x.flags.carry();
}

/** INC and DEC: `step` is 1 or -1. */
function stepBy(step: number) {
  return (x: Context): void => {
    const { b } = x;
    const width = x.width(0);
    const a = x.locked ? x.modify(x.address('write', width / 8), width, 'add', b.constant(width === 64 ? 'i64' : 'i32', step)) : x.readForWrite(0);
    const r = b.addConst(a, step);
    if (!x.locked) x.write(0, r);
    if (step > 0) x.flags.increment(width, a, r);
    else x.flags.decrement(width, a, r);
  };
}

function negate(x: Context): void {
  const { b } = x;
  const width = x.width(0);
  const a = x.locked ? negateLocked(x, width) : x.readForWrite(0);
  const r = b.neg(a);
  if (!x.locked) x.write(0, r);
  x.flags.sub(width, b.constant(b.typeOf(a), 0), a, r);
}

/** There is no atomic negation: tried until nobody came between. Gives what was there. */
function negateLocked(x: Context, width: Width): Value {
  const { b } = x;
  const address = x.address('write', width / 8);
  const found = b.variable(width === 64 ? 'i64' : 'i32');
  b.loop(() => {
    const a = b.op(`memory.load${width}.write`, [address]);
    b.set(found, a);
    return b.ne(x.compareExchange(address, width, a, b.neg(a)), a);
  });
  return b.get(found);
}

function exchangeAdd(x: Context): void {
  const width = x.width(0);
  const source = x.read(1);
  const a = x.locked ? x.modify(x.address('write', width / 8), width, 'add', source) : x.readForWrite(0);
  const r = x.b.add(a, source);
  // With both operands one register the destination's value wins: it is written last.
  if (x.isMemory(0)) {
    if (!x.locked) x.write(0, r);
    x.write(1, a);
  } else {
    x.write(1, a);
    x.write(0, r);
  }
  x.flags.add(width, a, source, r);
}

function compareExchange(x: Context): void {
  const { b } = x;
  const width = x.width(0);
  const source = x.read(1);
  const accumulator = x.gpr(0, width);
  const destination = x.locked ? x.compareExchange(x.address('write', width / 8), width, accumulator, source) : x.readForWrite(0);
  const compared = b.sub(accumulator, destination);
  const equal = b.eq(accumulator, destination);
  // The destination is written in either case, as the bus sees it (SDM 2A, CMPXCHG). A 32-bit register destination is
  // zero-extended only when it is really written with the source.
  if (x.isMemory(0)) {
    if (!x.locked) x.write(0, b.select(equal, source, destination));
    b.if(b.eqz(equal), () => x.setGpr(0, width, destination));
  } else b.if(equal, () => x.write(0, source), () => x.setGpr(0, width, destination));
  x.flags.sub(width, accumulator, destination, compared);
}

/** MUL and one-operand IMUL: the double-width product goes to AX, or to rDX:rAX. */
function multiply(signed: boolean) {
  return (x: Context): void => {
    const { b } = x;
    const width = x.width(0);
    const source = x.read(0);
    const accumulator = x.gpr(0, width);
    if (width === 64) {
      const { low, high } = wideMultiply(x, accumulator, source, signed);
      b.storeState('64', RAX, low);
      b.storeState('64', RDX, high);
      multiplyFlags(x, 64, low, signed ? b.ne(high, b.shrSConst(low, 63)) : b.ne(high, b.i64(0)));
      return;
    }
    const extend = (v: Value): Value => (signed ? b.extendS(b.signExtend(v, width)) : b.extendU(v));
    const product = b.mul(extend(accumulator), extend(source));
    const low = b.wrap(product);
    if (width === 8) x.setGpr(0, 16, low);
    else {
      x.setGpr(0, width, low);
      x.setGpr(2, width, b.wrap(b.shrUConst(product, width)));
    }
    const fits = signed ? b.signExtend(product, width) : b.andConst(product, width === 32 ? 0xffffffffn : width === 16 ? 0xffffn : 0xffn);
    multiplyFlags(x, width, low, b.ne(product, fits));
  };
}

/** CF = OF = the upper half matters; SF, ZF, PF follow the low half (undefined in the manual), AF 0. */
function multiplyFlags(x: Context, width: Width, low: Value, overflow: Value): void {
  x.flags.explicit(width, low, overflow, overflow);
}

/** 64 by 64 bits to 128, from 32-bit halves. */
export function wideMultiply(x: Context, a: Value, c: Value, signed: boolean): { low: Value; high: Value } {
  const { b } = x;
  const low32 = (v: Value): Value => b.andConst(v, 0xffffffffn);
  const high32 = (v: Value): Value => b.shrUConst(v, 32);
  const [al, ah, cl, ch] = [low32(a), high32(a), low32(c), high32(c)];
  // Neither sum exceeds 64 bits.
  const cross = b.add(b.mul(ah, cl), high32(b.mul(al, cl)));
  const middle = b.add(b.mul(al, ch), low32(cross));
  let high = b.add(b.add(b.mul(ah, ch), high32(cross)), high32(middle));
  if (signed) {
    high = b.sub(high, b.and(b.shrSConst(a, 63), c));
    high = b.sub(high, b.and(b.shrSConst(c, 63), a));
  }
  return { low: b.mul(a, c), high };
}

/** IMUL with two or three operands: the product is cut to the operand size. */
function multiplyTruncated(x: Context): void {
  if (!x.has(1)) return multiply(true)(x);
  const { b } = x;
  const width = x.width(0);
  const first = x.has(2) ? x.read(1) : x.read(0);
  const second = x.has(2) ? x.read(2, width) : x.read(1);
  if (width === 64) {
    const { low, high } = wideMultiply(x, first, second, true);
    x.write(0, low);
    multiplyFlags(x, 64, low, b.ne(high, b.shrSConst(low, 63)));
    return;
  }
  const extend = (v: Value): Value => b.extendS(b.signExtend(v, width));
  const product = b.mul(extend(first), extend(second));
  const low = b.wrap(product);
  x.write(0, low);
  multiplyFlags(x, width, low, b.ne(product, b.signExtend(product, width)));
}

/** DIV and IDIV. Quotient out of range or divisor zero: #DE. Flags stay as they were (undefined in the manual). */
function divide(signed: boolean) {
  return (x: Context): void => {
    const { b } = x;
    const width = x.width(0);
    const divisor = x.read(0);
    if (width === 64) {
      divide64(x, divisor, signed);
      return;
    }
    b.ifSeldom(b.eqz(divisor), () => x.fault(VECTOR_DE));
    const wide = signed ? b.extendS(b.signExtend(divisor, width)) : b.extendU(divisor);
    let dividend: Value;
    if (width === 8) dividend = signed ? b.extendS(b.signExtend(x.gpr(0, 16), 16)) : b.extendU(x.gpr(0, 16));
    else {
      const joined = b.or(b.shlConst(b.extendU(x.gpr(2, width)), width), b.extendU(x.gpr(0, width)));
      dividend = width === 16 && signed ? b.op('i64.extend32_s', [joined]) : joined;
    }
    // -2^63 / -1 would trap in wasm; its quotient is out of range anyway.
    if (signed && width === 32) {
      b.ifSeldom(b.and(b.eq(dividend, b.i64(-(1n << 63n))), b.eq(wide, b.i64(-1))), () => x.fault(VECTOR_DE));
    }
    const quotient = signed ? b.divS(dividend, wide) : b.divU(dividend, wide);
    const remainder = b.sub(dividend, b.mul(quotient, wide)); // cheaper than a second division
    const mask = width === 8 ? 0xffn : width === 16 ? 0xffffn : 0xffffffffn;
    const fits = signed ? b.signExtend(quotient, width) : b.andConst(quotient, mask);
    b.ifSeldom(b.ne(quotient, fits), () => x.fault(VECTOR_DE));
    if (width === 8) x.setGpr(0, 16, b.or(b.andConst(b.wrap(quotient), 0xff), b.shlConst(b.andConst(b.wrap(remainder), 0xff), 8)));
    else {
      x.setGpr(0, width, b.wrap(quotient));
      x.setGpr(2, width, b.wrap(remainder));
    }
  };
}

/** 128 by 64 bits; inline when the dividend fits 64 bits, as nearly always. */
function divide64(x: Context, divisor: Value, signed: boolean): void {
  const { b } = x;
  const low = x.gpr(0, 64);
  const high = x.gpr(2, 64);
  let narrow = b.and(b.eq(high, signed ? b.shrSConst(low, 63) : b.i64(0)), b.ne(divisor, b.i64(0)));
  // -2^63 / -1 has no quotient of 64 bits: the routine raises #DE.
  if (signed) narrow = b.and(narrow, b.ne(divisor, b.i64(-1)));
  b.if(narrow, () => {
    const quotient = signed ? b.divS(low, divisor) : b.divU(low, divisor);
    x.setGpr(0, 64, quotient);
    x.setGpr(2, 64, b.sub(low, b.mul(quotient, divisor)));
  }, () => void x.call(signed ? 'divideSigned64' : 'divideUnsigned64', [divisor]));
}

function complement(x: Context): void {
  const width = x.width(0);
  if (x.locked) x.modify(x.address('write', width / 8), width, 'xor', x.b.constant(width === 64 ? 'i64' : 'i32', -1));
  else x.write(0, x.b.not(x.readForWrite(0)));
}

/** ADCX and ADOX: add with CF or OF as the only carry, in and out. */
function addWithFlag(flag: 'carry' | 'overflow') {
  return (x: Context): void => {
    const { b } = x;
    const width = x.width(0);
    const a = x.read(0);
    const source = x.read(1);
    const into = flag === 'carry' ? x.flags.carry() : x.flags.overflow();
    const r = b.add(b.add(a, source), width === 64 ? b.extendU(into) : into);
    const out = b.or(b.and(a, source), b.and(b.or(a, source), b.not(r)));
    const carry = b.wrap(b.shrUConst(out, width - 1));
    x.write(0, r);
    if (flag === 'carry') x.flags.setCarryOverflow(carry, x.flags.overflow());
    else x.flags.setCarryOverflow(x.flags.carry(), carry);
  };
}

/** BCD instructions; not in 64-bit mode. */
function decimalAdjust(subtract: boolean) {
  return (x: Context): void => {
    const { b, flags } = x;
    const al = x.gpr(0, 8);
    const carry = flags.carry();
    const low = b.or(b.gtU(b.andConst(al, 15), b.i32(9)), flags.adjust());
    const high = b.or(b.gtU(al, b.i32(0x99)), carry);
    const change = b.add(b.select(low, b.i32(6), b.i32(0)), b.select(high, b.i32(0x60), b.i32(0)));
    const r = b.andConst(subtract ? b.sub(al, change) : b.add(al, change), 0xff);
    // A borrow or carry out of the low correction alone sets CF too (SDM 2A, DAA and DAS).
    const lowCarry = subtract ? b.and(low, b.ltU(al, b.i32(6))) : b.and(low, b.gtU(al, b.i32(0xf9)));
    x.setGpr(0, 8, r);
    flags.explicit(8, r, b.or(high, lowCarry), b.i32(0), low);
  };
}

function asciiAdjust(subtract: boolean) {
  return (x: Context): void => {
    const { b, flags } = x;
    const ax = x.gpr(0, 16);
    const adjust = b.or(b.gtU(b.andConst(ax, 15), b.i32(9)), flags.adjust());
    const change = b.select(adjust, b.i32(0x106), b.i32(0));
    const r = subtract ? b.sub(ax, change) : b.add(ax, change);
    const masked = b.andConst(r, 0xff0f);
    x.setGpr(0, 16, masked);
    flags.explicit(8, b.andConst(masked, 0xff), adjust, b.i32(0), adjust);
  };
}

function aam(x: Context): void {
  const { b } = x;
  const base = x.immediate(8);
  b.ifSeldom(b.eqz(base), () => x.fault(VECTOR_DE));
  const al = x.gpr(0, 8);
  const low = b.remU(al, base);
  x.setGpr(0, 16, b.or(b.shlConst(b.divU(al, base), 8), low));
  x.flags.logic(8, low);
}

function aad(x: Context): void {
  const { b } = x;
  const ax = x.gpr(0, 16);
  const r = b.andConst(b.add(b.andConst(ax, 0xff), b.mul(b.shrUConst(ax, 8), x.immediate(8))), 0xff);
  x.setGpr(0, 16, r);
  x.flags.logic(8, r);
}

/** CMPXCHG8B and CMPXCHG16B: operand size 64 means 16 bytes. */
function compareExchangePair(x: Context): void {
  const { b } = x;
  if (x.size === 64) {
    const address = x.address('write', 16);
    x.requireAlignment(address, 16);
    if (x.locked) {
      const equal = x.call('compareExchange128', [address, x.gpr(0, 64), x.gpr(2, 64), x.gpr(3, 64), x.gpr(1, 64)]);
      b.if(b.eqz(equal), () => {
        x.setGpr(0, 64, b.loadState('64', SCRATCH));
        x.setGpr(2, 64, b.loadState('64', SCRATCH + 8));
      });
      x.flags.setZero(equal);
      return;
    }
    const highAddress = b.addConst(address, 8);
    const low = b.op('memory.load64.write', [address]);
    const high = b.op('memory.load64.write', [highAddress]);
    const equal = b.and(b.eq(low, x.gpr(0, 64)), b.eq(high, x.gpr(2, 64)));
    x.store(address, 64, b.select(equal, x.gpr(3, 64), low));
    x.store(highAddress, 64, b.select(equal, x.gpr(1, 64), high));
    b.if(b.eqz(equal), () => {
      x.setGpr(0, 64, low);
      x.setGpr(2, 64, high);
    });
    x.flags.setZero(equal);
    return;
  }
  const address = x.address('write', 8);
  const pair = (high: number, low: number): Value => b.or(b.shlConst(b.extendU(x.gpr(high, 32)), 32), b.extendU(x.gpr(low, 32)));
  const expected = pair(2, 0);
  const old = x.locked ? x.compareExchange(address, 64, expected, pair(1, 3)) : b.op('memory.load64.write', [address]);
  const equal = b.eq(old, expected);
  if (!x.locked) x.store(address, 64, b.select(equal, pair(1, 3), old));
  b.if(b.eqz(equal), () => {
    x.setGpr(0, 32, b.wrap(old));
    x.setGpr(2, 32, b.wrap(b.shrUConst(old, 32)));
  });
  x.flags.setZero(equal);
}

export const arithmetic: SemanticsTable = {
  add: binary(add, addFlags, 'add'),
  or: binary((x, a, b) => x.b.or(a, b), logicFlags, 'or'),
  adc: binary((x, a, b) => x.b.add(x.b.add(a, b), carryIn(x, x.width(0))), carryFlags, 'add'),
  sbb: binary((x, a, b) => x.b.sub(x.b.sub(a, b), carryIn(x, x.width(0))), borrowFlags, 'add'),
  and: binary((x, a, b) => x.b.and(a, b), logicFlags, 'and'),
  sub: binary(sub, subFlags, 'add'),
  xor: binary((x, a, b) => x.b.xor(a, b), logicFlags, 'xor'),
  cmp: comparison(sub, subFlags),
  test: comparison((x, a, b) => x.b.and(a, b), logicFlags),
  inc: stepBy(1),
  dec: stepBy(-1),
  neg: negate,
  not: complement,
  xadd: exchangeAdd,
  cmpxchg: compareExchange,
  cmpxchg8b: compareExchangePair,
  cmpxchg16b: compareExchangePair,
  mul: multiply(false),
  imul: multiplyTruncated,
  div: divide(false),
  idiv: divide(true),
  adcx: addWithFlag('carry'),
  adox: addWithFlag('overflow'),
  daa: decimalAdjust(false),
  das: decimalAdjust(true),
  aaa: asciiAdjust(false),
  aas: asciiAdjust(true),
  aam,
  aad,
};
