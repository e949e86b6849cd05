import type { Value } from '../../../ir/ir.ts';
import { MODE, MODE_REAL, MODE_V86, VECTOR_UD } from '../state/layout.ts';
import { wideMultiply } from './arithmetic.ts';
import type { Context, Semantics, SemanticsTable } from './context.ts';

// BMI1 and BMI2 (SDM 2, the instructions' pages).

/** VEX on general registers: #UD in real-address and virtual-8086 mode (SDM 2A, table 2-29). */
function requireVex(x: Context): void {
  if (!x.long) x.b.ifSeldom(x.b.andConst(x.b.loadState('32', MODE), MODE_REAL | MODE_V86), () => x.fault(VECTOR_UD));
}

/** Result to operand 0, ZF and SF from it, OF cleared. */
function finish(x: Context, result: Value, carry: Value): void {
  x.write(0, result);
  x.flags.explicit(x.width(0), result, carry, x.b.i32(0));
}

const zero = (x: Context): Value => x.b.i32(0);

function andNot(x: Context): void {
  requireVex(x);
  const source = x.read(2);
  finish(x, x.b.and(x.b.not(x.read(1)), source), zero(x));
}

/** BLSR, BLSMSK, BLSI: with the operand less 1, or negated. CF: no bit was set, for BLSI one was. */
function lowestBit(combine: (x: Context, source: Value) => Value, carryWhenZero: boolean): Semantics {
  return (x) => {
    requireVex(x);
    const source = x.read(1);
    const none = x.b.eqz(source);
    finish(x, combine(x, source), carryWhenZero ? none : x.b.eqz(none));
  };
}

/** The lowest `count` bits; all of them when `count` is the width or more. */
function lowBits(x: Context, value: Value, count: Value): Value {
  const { b } = x;
  const width = b.typeOf(value) === 'i64' ? 64 : 32;
  const n = width === 64 ? b.extendU(count) : count;
  const mask = b.addConst(b.shl(b.constant(b.typeOf(value), 1), n), -1);
  return b.select(b.ltU(count, b.i32(width)), b.and(value, mask), value);
}

/** Start in bits 7:0 of the third operand, length in 15:8. */
function extractField(x: Context): void {
  const { b } = x;
  requireVex(x);
  const source = x.read(1);
  const control = b.wrap(x.read(2));
  const start = b.andConst(control, 0xff);
  const width = x.width(0);
  const n = width === 64 ? b.extendU(start) : start;
  const moved = b.select(b.ltU(start, b.i32(width)), b.shrU(source, n), b.constant(b.typeOf(source), 0));
  finish(x, lowBits(x, moved, b.andConst(b.shrUConst(control, 8), 0xff)), zero(x));
}

function zeroHigh(x: Context): void {
  const { b } = x;
  requireVex(x);
  const source = x.read(1);
  const count = b.andConst(b.wrap(x.read(2)), 0xff);
  finish(x, lowBits(x, source, count), b.geU(count, b.i32(x.width(0))));
}

/** rDX times the third operand: low half to the second, high half to the first, which wins when they are one. */
function multiplyWithoutFlags(x: Context): void {
  const { b } = x;
  requireVex(x);
  const source = x.read(2);
  const width = x.width(0);
  if (width === 64) {
    const { low, high } = wideMultiply(x, x.gpr(2, 64), source, false);
    x.write(1, low);
    x.write(0, high);
    return;
  }
  const product = b.mul(b.extendU(x.gpr(2, 32)), b.extendU(source));
  x.write(1, b.wrap(product));
  x.write(0, b.wrap(b.shrUConst(product, 32)));
}

/** PDEP and PEXT: the third operand is the mask. */
function scatter(routine: 'depositBits' | 'extractBits'): Semantics {
  return (x) => {
    const { b } = x;
    requireVex(x);
    const mask = x.read(2);
    const result = x.call(routine, [b.extendU(x.read(1)), b.extendU(mask)]);
    x.write(0, x.width(0) === 64 ? result : b.wrap(result));
  };
}

/** Shifts without flags, by the third operand; wasm takes counts modulo the width too. */
function shift(operation: 'shl' | 'shrU' | 'shrS' | 'rotr'): Semantics {
  return (x) => {
    requireVex(x);
    const source = x.read(1);
    const count = operation === 'rotr' ? x.immediate(8) : x.read(2);
    x.write(0, x.b[operation](source, x.width(0) === 64 ? x.b.extendU(count) : count));
  };
}

export const bmi: SemanticsTable = {
  andn: andNot,
  bextr: extractField,
  blsr: lowestBit((x, v) => x.b.and(x.b.addConst(v, -1), v), true),
  blsmsk: lowestBit((x, v) => x.b.xor(x.b.addConst(v, -1), v), true),
  blsi: lowestBit((x, v) => x.b.and(x.b.neg(v), v), false),
  bzhi: zeroHigh,
  mulx: multiplyWithoutFlags,
  pdep: scatter('depositBits'),
  pext: scatter('extractBits'),
  rorx: shift('rotr'),
  sarx: shift('shrS'),
  shlx: shift('shl'),
  shrx: shift('shrU'),
};
