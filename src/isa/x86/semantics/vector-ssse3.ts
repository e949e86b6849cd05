import type { Value } from '../../../ir/ir.ts';
import { FLOAT_ADD, FLOAT_ADDSUB, FLOAT_SUB } from '../routines/float-operations.ts';
import type { Context, Semantics, SemanticsTable } from './context.ts';
import { bits, packedArithmetic } from './float-inline.ts';
import type { Float } from './float-inline.ts';
import { IOTA, binary, binaryFloat, readMmx, requireMmx, requireSse, shuffle, writeMmx } from './vector.ts';
import type { Pair } from './vector.ts';

// SSE3 and SSSE3 (SDM 1, 12.3 and 12.7). The integer ones exist on MMX registers as well.

/** Elements of `size` bytes at even (or odd) places of both operands, the first operand's in the lower half. */
function everyOther(size: number, odd: boolean): Pair {
  const pattern = Array.from({ length: 16 }, (_, i) => Math.floor(i / size) * 2 * size + (odd ? size : 0) + (i % size));
  return shuffle(pattern);
}

function horizontal(size: number, operation: string): Pair {
  const even = everyOther(size, false);
  const odd = everyOther(size, true);
  return (x, a, c) => x.b.op(operation, [even(x, a, c), odd(x, a, c)]);
}

const horizontalOperations: Readonly<Record<string, Pair>> = {
  phaddw: horizontal(2, 'i16x8.add'), phaddd: horizontal(4, 'i32x4.add'), phaddsw: horizontal(2, 'i16x8.add_sat_s'),
  phsubw: horizontal(2, 'i16x8.sub'), phsubd: horizontal(4, 'i32x4.sub'), phsubsw: horizontal(2, 'i16x8.sub_sat_s'),
};

/** Negates where the second operand is negative, clears where it is zero. */
function signOf(lane: string): Pair {
  return (x, a, c) => {
    const { b } = x;
    const zero = b.v128(new Uint8Array(16));
    const negative = b.op(`${lane}.lt_s`, [c, zero]);
    const negated = b.op(`${lane}.sub`, [b.op('v128.xor', [a, negative]), negative]);
    return b.op('v128.andnot', [negated, b.op(`${lane}.eq`, [c, zero])]);
  };
}

/** Unsigned bytes by signed bytes; neighbouring products, which fit 16 bits, added with saturation. */
const multiplyAddBytes: Pair = (x, a, c) => {
  const { b } = x;
  const eight = b.i32(8);
  const lowByte = b.op('i16x8.splat', [b.i32(0xff)]);
  const even = b.op('i16x8.mul', [b.op('v128.and', [a, lowByte]), b.op('i16x8.shr_s', [b.op('i16x8.shl', [c, eight]), eight])]);
  const odd = b.op('i16x8.mul', [b.op('i16x8.shr_u', [a, eight]), b.op('i16x8.shr_s', [c, eight])]);
  return b.op('i16x8.add_sat_s', [even, odd]);
};

/** As wasm's Q15 product, but -1 times -1 wraps to -1 instead of saturating. */
const multiplyRound: Pair = (x, a, c) => {
  const { b } = x;
  const lowest = b.op('i16x8.splat', [b.i32(0x8000)]);
  const wraps = b.op('v128.and', [b.op('i16x8.eq', [a, lowest]), b.op('i16x8.eq', [c, lowest])]);
  return b.op('v128.xor', [b.op('i16x8.q15mulr_sat_s', [a, c]), wraps]);
};

const absolute = (lane: string): Pair => (x, _, c) => x.b.op(`${lane}.abs`, [c]);

const laneOperations: Readonly<Record<string, Pair>> = {
  psignb: signOf('i8x16'), psignw: signOf('i16x8'), psignd: signOf('i32x4'),
  pabsb: absolute('i8x16'), pabsw: absolute('i16x8'), pabsd: absolute('i32x4'),
  pmaddubsw: multiplyAddBytes, pmulhrsw: multiplyRound,
};

/** Bit 7 of an index byte gives zero; wasm's swizzle does that for every index of 16 and more. */
function shuffleBytes(indexBits: number): Pair {
  return (x, a, c) => x.b.op('i8x16.swizzle', [a, x.b.op('v128.and', [c, x.b.op('i8x16.splat', [x.b.i32(0x80 | indexBits)])])]);
}

/** MMX form: `operation` on the operands in low halves. */
function onMmx(operation: Pair): Semantics {
  return (x) => {
    requireMmx(x);
    const source = readMmx(x, 1);
    const result = x.b.op('i64x2.extract_lane', [operation(x, readMmx(x, 0), source)], 0);
    x.call('mmxEnter', []);
    writeMmx(x, 0, result);
  };
}

/** Both 64-bit operands in one register: a horizontal operation's result is in its low half. */
function joined(operation: Pair): Pair {
  return (x, a, c) => {
    const both = shuffle([0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23])(x, a, c);
    return operation(x, both, both);
  };
}

/** The operands behind one another, the second one lowest, shifted right by bytes. */
const alignRight: Pair = (x, a, c) => {
  const { b } = x;
  const raw = x.immediate(8);
  const count = b.select(b.gtU(raw, b.i32(32)), b.i32(32), raw);
  const low = b.op('i8x16.swizzle', [c, indexFrom(x, count)]);
  const high = b.op('i8x16.swizzle', [a, indexFrom(x, b.addConst(count, -16))]);
  return b.op('v128.or', [low, high]);
};

/** Swizzle index that moves byte `first` (i32) to the bottom; what comes from outside 0 to 15 is zero. */
export function indexFrom(x: Context, first: Value): Value {
  return x.b.op('i8x16.add', [x.b.v128(IOTA), x.b.op('i8x16.splat', [first])]);
}

const alignRightMmx: Pair = (x, a, c) => {
  const { b } = x;
  const raw = x.immediate(8);
  const count = b.select(b.gtU(raw, b.i32(16)), b.i32(16), raw);
  const both = shuffle([0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23])(x, c, a);
  return b.op('i8x16.swizzle', [both, indexFrom(x, count)]);
};

/** HADDPx, HSUBPx: neighbours combined, the lower one as the first operand. */
function horizontalFloat(type: Float, operation: number): Semantics {
  const size = bits[type] / 8;
  const [even, odd] = [everyOther(size, false), everyOther(size, true)];
  return binaryFloat(
    (x, a, c) => x.call(type === 'f32' ? 'sseF32x4' : 'sseF64x2', [x.b.i32(operation), even(x, a, c), odd(x, a, c)]),
    (x, a, c) => packedArithmetic(x, type, operation === FLOAT_ADD ? 'add' : 'sub', even(x, a, c), odd(x, a, c)),
  );
}
/** Even lanes subtract: inline they add the number with its sign changed. */
function addSubtract(type: Float): Semantics {
  const signs = IOTA.map((i) => (i % (bits[type] / 4) === bits[type] / 8 - 1 ? 0x80 : 0));
  return binaryFloat(
    (x, a, c) => x.call(type === 'f32' ? 'sseF32x4' : 'sseF64x2', [x.b.i32(FLOAT_ADDSUB), a, c]),
    (x, a, c) => packedArithmetic(x, type, 'add', a, x.b.op('v128.xor', [c, x.b.v128(signs)])),
  );
}

/** MOVSLDUP, MOVSHDUP: every other single twice. */
function duplicate(odd: number): Pair {
  return (x, _, c) => shuffle(IOTA.map((i) => (i & 8) + odd + (i & 3)))(x, c, c);
}

export const vectorSsse3: SemanticsTable = {
  ...Object.fromEntries(Object.entries(laneOperations).flatMap(([name, operation]) => [[name, binary(operation)], [`${name}_mmx`, onMmx(operation)]])),
  ...Object.fromEntries(Object.entries(horizontalOperations).flatMap(([name, operation]) => [[name, binary(operation)], [`${name}_mmx`, onMmx(joined(operation))]])),
  pshufb: binary(shuffleBytes(15)),
  pshufb_mmx: onMmx(shuffleBytes(7)),
  palignr: binary(alignRight),
  palignr_mmx: onMmx(alignRightMmx),
  haddps: horizontalFloat('f32', FLOAT_ADD),
  haddpd: horizontalFloat('f64', FLOAT_ADD),
  hsubps: horizontalFloat('f32', FLOAT_SUB),
  hsubpd: horizontalFloat('f64', FLOAT_SUB),
  addsubps: addSubtract('f32'),
  addsubpd: addSubtract('f64'),
  movsldup: binary(duplicate(0)),
  movshdup: binary(duplicate(4)),
  movddup: (x) => {
    const { b } = x;
    requireSse(x);
    // 256 bits of memory, but only 64 for one half.
    const lows = x.halves === 2 ? x.readHalves(1).map((value) => b.op('i64x2.extract_lane', [value], 0)) : [x.readLow(1, 64)];
    x.writeHalves(0, lows.map((low) => b.op('i64x2.splat', [low])));
  },
};
