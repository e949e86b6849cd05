import type { Value } from '../../../ir/ir.ts';
import { CR0, CR4, MODE, MODE_REAL, MODE_V86, X87_STATUS, XCR0 } from '../state/layout.ts';
import type { Context, Semantics, SemanticsTable } from './context.ts';
import { exactHalves, orExactHalves } from './float-inline.ts';
import type { Inline } from './float-inline.ts';

// MMX and SSE integer instructions and moves. 128-bit forms map to wasm SIMD; 64-bit MMX forms run the same operation on
// registers widened to 128 bits.

/** #UD and #NM conditions of SSE and AVX instructions, the checks inline, the exception in the routine. */
export function requireSse(x: Context): void {
  const { b } = x;
  if (x.vex) return requireAvx(x);
  x.checkOnce('sse', () => {
    const blocked = b.or(b.andConst(b.loadState('32', CR0), 12), b.eqz(b.andConst(b.loadState('32', CR4), 0x200)));
    b.ifSeldom(blocked, () => x.call('sseAvailable', []));
  });
}

/** CR4.OSXSAVE, SSE and AVX state in XCR0, neither real-address nor virtual-8086 mode; CR0.TS. */
export function requireAvx(x: Context): void {
  const { b } = x;
  const clear = (offset: number, bits: number): Value => b.andConst(b.xor(b.loadState('32', offset), b.i32(bits)), bits);
  x.checkOnce('avx', () => {
    const wrong = b.or(b.andConst(b.loadState('32', MODE), MODE_REAL | MODE_V86), b.andConst(b.loadState('32', CR0), 8));
    b.ifSeldom(b.or(wrong, b.or(clear(CR4, 0x40000), clear(XCR0, 6))), () => x.call('avxAvailable', []));
  });
}

/** The same of MMX and x87 instructions, which also deliver a pending x87 exception. */
export function requireMmx(x: Context): void {
  requireX87(x, 'mmxAvailable');
}
/** `check`: the routine that raises what is due when CR0.EM, CR0.TS or ES of the status word is set. */
export function requireX87(x: Context, check: 'mmxAvailable' | 'x87Check'): void {
  const { b } = x;
  const blocked = b.or(b.andConst(b.loadState('32', CR0), 12), b.andConst(b.loadState('16u', X87_STATUS), 0x80));
  b.ifSeldom(blocked, () => x.call(check, []));
}

/**
 * What an instruction does with 128 bits of its first and second source (one alone is both). SSE forms take the
 * destination as the first; 256-bit forms are it twice, `half` counting.
 */
export type Lanes = (x: Context, a: Value, c: Value, half: number) => Value;
/** The same where the half does not matter. */
export type Pair = (x: Context, a: Value, c: Value) => Value;
export const lanes = (name: string): Pair => (x, a, c) => x.b.op(name, [a, c]);
export const shuffle = (pattern: readonly number[]): Pair => (x, a, c) => {
  const b = x.b;
  b.ir.constants.push(Uint8Array.from(pattern));
  return b.op('i8x16.shuffle', [a, c], b.ir.constants.length - 1);
};

/** Interleaves `size`-byte elements of the lower (or upper) halves. */
function interleave(size: number, high: boolean): readonly number[] {
  const pattern: number[] = [];
  for (let i = 0; i < 8 / size; i++) {
    for (const from of [0, 16]) for (let k = 0; k < size; k++) pattern.push(from + (high ? 8 : 0) + i * size + k);
  }
  return pattern;
}

function mulHigh(signed: boolean): Lanes {
  return (x, a, c) => {
    const sign = signed ? 's' : 'u';
    const low = x.b.op(`i32x4.extmul_low_i16x8_${sign}`, [a, c]);
    const high = x.b.op(`i32x4.extmul_high_i16x8_${sign}`, [a, c]);
    return shuffle([2, 3, 6, 7, 10, 11, 14, 15, 18, 19, 22, 23, 26, 27, 30, 31])(x, low, high);
  };
}

/** Even 32-bit lanes multiplied to 64 bits. */
const multiplyEven: Lanes = (x, a, c) => {
  const { b } = x;
  const low = (v: Value): Value => b.op('v128.and', [v, b.v128([255, 255, 255, 255, 0, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0])]);
  return b.op('i64x2.mul', [low(a), low(c)]);
};

/** Sums of absolute byte differences, one for each half. */
const sumDifferences: Lanes = (x, a, c) => {
  const { b } = x;
  const difference = b.op('i8x16.sub', [b.op('i8x16.max_u', [a, c]), b.op('i8x16.min_u', [a, c])]);
  const words = b.op('i16x8.extadd_pairwise_i8x16_u', [difference]);
  const quads = b.op('i32x4.extadd_pairwise_i16x8_u', [words]);
  const odd = b.op('i64x2.shr_u', [quads, b.i32(32)]);
  const even = b.op('v128.and', [quads, b.v128([255, 255, 255, 255, 0, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0])]);
  return b.op('i64x2.add', [odd, even]);
};

const andNot: Lanes = (x, a, c) => x.b.op('v128.andnot', [c, a]);

/** Operations on both register files. */
const laneOperations: Readonly<Record<string, Lanes>> = {
  punpcklbw: shuffle(interleave(1, false)), punpcklwd: shuffle(interleave(2, false)), punpckldq: shuffle(interleave(4, false)),
  punpckhbw: shuffle(interleave(1, true)), punpckhwd: shuffle(interleave(2, true)), punpckhdq: shuffle(interleave(4, true)),
  packsswb: lanes('i8x16.narrow_i16x8_s'), packuswb: lanes('i8x16.narrow_i16x8_u'), packssdw: lanes('i16x8.narrow_i32x4_s'),
  pcmpgtb: lanes('i8x16.gt_s'), pcmpgtw: lanes('i16x8.gt_s'), pcmpgtd: lanes('i32x4.gt_s'), pcmpeqb: lanes('i8x16.eq'), pcmpeqw: lanes('i16x8.eq'), pcmpeqd: lanes('i32x4.eq'),
  paddb: lanes('i8x16.add'), paddw: lanes('i16x8.add'), paddd: lanes('i32x4.add'), paddq: lanes('i64x2.add'),
  psubb: lanes('i8x16.sub'), psubw: lanes('i16x8.sub'), psubd: lanes('i32x4.sub'), psubq: lanes('i64x2.sub'),
  paddsb: lanes('i8x16.add_sat_s'), paddsw: lanes('i16x8.add_sat_s'), paddusb: lanes('i8x16.add_sat_u'), paddusw: lanes('i16x8.add_sat_u'),
  psubsb: lanes('i8x16.sub_sat_s'), psubsw: lanes('i16x8.sub_sat_s'), psubusb: lanes('i8x16.sub_sat_u'), psubusw: lanes('i16x8.sub_sat_u'),
  pminub: lanes('i8x16.min_u'), pmaxub: lanes('i8x16.max_u'), pminsw: lanes('i16x8.min_s'), pmaxsw: lanes('i16x8.max_s'),
  pand: lanes('v128.and'), por: lanes('v128.or'), pxor: lanes('v128.xor'), pandn: andNot,
  pavgb: lanes('i8x16.avgr_u'), pavgw: lanes('i16x8.avgr_u'),
  pmullw: lanes('i16x8.mul'), pmulhw: mulHigh(true), pmulhuw: mulHigh(false), pmuludq: multiplyEven, pmaddwd: lanes('i32x4.dot_i16x8_s'), psadbw: sumDifferences,
};

/** 128-bit only. */
const wideOperations: Readonly<Record<string, Lanes>> = {
  punpcklqdq: shuffle([0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23]),
  punpckhqdq: shuffle([8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31]),
  unpcklps: shuffle(interleave(4, false)),
  unpckhps: shuffle(interleave(4, true)),
};

/** The sources of each half. */
export function sourceHalves(x: Context): { a: Value; c: Value }[] {
  const last = x.lastSource;
  const second = x.readHalves(last);
  const first = x.vex ? (last === 2 ? x.readHalves(1) : second) : x.readHalves(0);
  return second.map((c, half) => ({ a: first[half]!, c }));
}

export function binary(operation: Lanes): Semantics {
  return (x) => {
    requireSse(x);
    x.writeHalves(0, sourceHalves(x).map(({ a, c }, half) => operation(x, a, c, half)));
  };
}

/** The same of floating-point numbers: inline, where there is such a form and it is right for both halves, or by the routine. */
export function binaryFloat(operation: Lanes, inline?: (x: Context, a: Value, c: Value) => Inline): Semantics {
  return (x) => {
    requireSse(x);
    const sources = sourceHalves(x);
    const exact = (half: number): Value => operation(x, sources[half]!.a, sources[half]!.c, half);
    x.writeHalves(0, inline === undefined ? exactHalves(x, sources.length, exact) : orExactHalves(x, sources.map(({ a, c }) => inline(x, a, c)), exact));
  };
}

/** The first source of what has one source and an immediate: the destination itself, in a VEX form the operand behind it. */
const firstSource = (x: Context): number => (x.vex ? 1 : 0);

/** MMX operand as the low half of a vector; the high half repeats it. */
export function readMmx(x: Context, i: number): Value {
  return x.b.op('i64x2.splat', [x.readLow(i, 64)]);
}

/** Writes an MMX register: mantissa, all ones in sign and exponent (SDM 1, 9.2.2), and the tag word of MMX state. */
export function writeMmx(x: Context, i: number, value: Value): void {
  x.writeLow(i, value, 64);
  x.writeMmxExponent(i);
}

function binaryMmx(name: string, operation: Lanes): Semantics {
  return (x) => {
    const { b } = x;
    requireMmx(x);
    // The lower unpacks read 32 bits of memory (SDM 2B, PUNPCKLBW), the others 64.
    const source = x.shape.operands[1] === 'Qd' && x.isMemory(1) ? b.op('i32x4.splat', [x.readLow(1, 32)]) : readMmx(x, 1);
    const destination = readMmx(x, 0);
    let result: Value;
    if (name.startsWith('pack')) {
      const joined = shuffle([0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23])(x, destination, source);
      result = b.op('i64x2.extract_lane', [operation(x, joined, joined, 0)], 0);
    } else if (name.startsWith('punpckh')) {
      // The upper halves' elements are the second half of what the lower form makes.
      result = b.op('i64x2.extract_lane', [laneOperations[name.replace('punpckh', 'punpckl')]!(x, destination, source, 0)], 1);
    } else result = b.op('i64x2.extract_lane', [operation(x, destination, source, 0)], 0);
    x.call('mmxEnter', []);
    writeMmx(x, 0, result);
  };
}

interface Shift {
  readonly lane: 'i16x8' | 'i32x4' | 'i64x2';
  readonly kind: 'shl' | 'shr_u' | 'shr_s';
}
const shiftOperations: Readonly<Record<string, Shift>> = {
  psrlw: { lane: 'i16x8', kind: 'shr_u' }, psrld: { lane: 'i32x4', kind: 'shr_u' }, psrlq: { lane: 'i64x2', kind: 'shr_u' },
  psraw: { lane: 'i16x8', kind: 'shr_s' }, psrad: { lane: 'i32x4', kind: 'shr_s' },
  psllw: { lane: 'i16x8', kind: 'shl' }, pslld: { lane: 'i32x4', kind: 'shl' }, psllq: { lane: 'i64x2', kind: 'shl' },
};
const laneBits = { i16x8: 16, i32x4: 32, i64x2: 64 } as const;

/** Counts beyond the width give zero, or the sign for arithmetic shifts; the count is a 64-bit value. */
function shiftLanes(x: Context, shift: Shift, value: Value, count: Value): Value {
  const { b } = x;
  const bits = laneBits[shift.lane];
  const tooBig = b.gtU(count, b.i64(bits - 1));
  const n = b.wrap(count);
  if (shift.kind === 'shr_s') return b.op(`${shift.lane}.shr_s`, [value, b.select(tooBig, b.i32(bits - 1), n)]);
  return b.select(tooBig, b.v128(new Uint8Array(16)), b.op(`${shift.lane}.${shift.kind}`, [value, n]));
}

function shiftByRegister(shift: Shift, mmx: boolean): Semantics {
  return (x) => {
    const { b } = x;
    if (mmx) {
      requireMmx(x);
      const r = shiftLanes(x, shift, readMmx(x, 0), x.readLow(1, 64));
      x.call('mmxEnter', []);
      writeMmx(x, 0, b.op('i64x2.extract_lane', [r], 0));
      return;
    }
    requireSse(x);
    const count = b.op('i64x2.extract_lane', [x.readWhole(x.lastSource)], 0);
    x.writeHalves(0, x.readHalves(firstSource(x)).map((value) => shiftLanes(x, shift, value, count)));
  };
}

function shiftByImmediate(shift: Shift, mmx: boolean): Semantics {
  return (x) => {
    const { b } = x;
    const count = b.extendU(x.immediate(8));
    if (mmx) {
      requireMmx(x);
      const r = shiftLanes(x, shift, readMmx(x, 0), count);
      x.call('mmxEnter', []);
      writeMmx(x, 0, b.op('i64x2.extract_lane', [r], 0));
      return;
    }
    requireSse(x);
    x.writeHalves(0, x.readHalves(firstSource(x)).map((value) => shiftLanes(x, shift, value, count)));
  };
}

export const IOTA = Array.from({ length: 16 }, (_, i) => i);

/** Byte shift of the whole register by an immediate; 16 and more give zero. */
function shiftBytes(left: boolean): Semantics {
  return (x) => {
    const { b } = x;
    requireSse(x);
    const raw = x.immediate(8);
    const count = b.select(b.gtU(raw, b.i32(16)), b.i32(16), raw);
    const index = b.op(left ? 'i8x16.sub' : 'i8x16.add', [b.v128(IOTA), b.op('i8x16.splat', [count])]);
    x.writeHalves(0, x.readHalves(firstSource(x)).map((value) => b.op('i8x16.swizzle', [value, index])));
  };
}

/** Selector number k of two bits in an immediate. */
function selector(x: Context, immediate: Value, k: number): Value {
  return x.b.andConst(x.b.shrUConst(immediate, 2 * k), 3);
}

/** Swizzle index for four 32-bit lanes. */
function dwordIndex(x: Context, immediate: Value): Value {
  const { b } = x;
  let index = b.v128(new Uint8Array(16));
  for (let k = 0; k < 4; k++) index = b.op('i32x4.replace_lane', [index, b.addConst(b.mul(selector(x, immediate, k), b.i32(0x04040404)), 0x03020100)], k);
  return index;
}

/** Four 32-bit lanes, each from the place that two bits of the immediate name. */
export function shuffleDwordsBy(x: Context, value: Value, immediate: Value): Value {
  return x.b.op('i8x16.swizzle', [value, dwordIndex(x, immediate)]);
}

function shuffleWords(half: 'low' | 'high'): Semantics {
  return (x) => {
    const { b } = x;
    requireSse(x);
    const immediate = x.immediate(8);
    let index = b.v128(IOTA);
    const base = half === 'low' ? 0x0100 : 0x0908;
    for (let k = 0; k < 4; k++) index = b.op('i16x8.replace_lane', [index, b.addConst(b.mul(selector(x, immediate, k), b.i32(0x0202)), base)], half === 'low' ? k : k + 4);
    x.writeHalves(0, x.readHalves(1).map((value) => b.op('i8x16.swizzle', [value, index])));
  };
}

function shuffleWordsMmx(x: Context): void {
  const { b } = x;
  requireMmx(x);
  const immediate = x.immediate(8);
  let index = b.v128(IOTA);
  for (let k = 0; k < 4; k++) index = b.op('i16x8.replace_lane', [index, b.addConst(b.mul(selector(x, immediate, k), b.i32(0x0202)), 0x0100)], k);
  const r = b.op('i64x2.extract_lane', [b.op('i8x16.swizzle', [readMmx(x, 1), index])], 0);
  x.call('mmxEnter', []);
  writeMmx(x, 0, r);
}

const shufflePackedSingle: Lanes = (x, a, c) => {
  const { b } = x;
  const index = dwordIndex(x, x.immediate(8));
  const low = b.op('i8x16.swizzle', [a, index]);
  const high = b.op('i8x16.swizzle', [c, index]);
  return shuffle([0, 1, 2, 3, 4, 5, 6, 7, 24, 25, 26, 27, 28, 29, 30, 31])(x, low, high);
};

/** Two bits of the immediate for each half. */
const shufflePackedDouble: Lanes = (x, a, c, half) => {
  const { b } = x;
  const immediate = x.immediate(8);
  const lane = (v: Value, bit: number): Value =>
    b.select(b.andConst(b.shrUConst(immediate, 2 * half + bit), 1), b.op('i64x2.extract_lane', [v], 1), b.op('i64x2.extract_lane', [v], 0));
  return b.op('i64x2.replace_lane', [b.op('i64x2.splat', [lane(a, 0)]), lane(c, 1)], 1);
};

function insertWord(x: Context): void {
  const { b } = x;
  requireSse(x);
  const lane = b.andConst(x.immediate(8), 7);
  const mask = b.op('i16x8.eq', [b.v128([0, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 0]), b.op('i16x8.splat', [lane])]);
  const source = x.lastSource;
  const value = b.op('i16x8.splat', [x.isMemory(source) ? x.read(source, 16) : x.read(source, 32)]);
  x.writeHalves(0, [b.op('v128.bitselect', [value, x.readWhole(firstSource(x)), mask])]);
}

function extractWord(x: Context): void {
  const { b } = x;
  requireSse(x);
  const lane = b.andConst(x.immediate(8), 7);
  const first = b.op('i8x16.splat', [b.shlConst(lane, 1)]);
  const moved = b.op('i8x16.swizzle', [x.readWhole(1), b.op('i8x16.add', [b.v128(IOTA), first])]);
  x.write(0, b.op('i16x8.extract_lane_u', [moved], 0), 32);
}

function moveVector(aligned: boolean): Semantics {
  return (x) => {
    requireSse(x);
    x.writeHalves(0, x.readHalves(1, aligned), aligned);
  };
}

/** Scalar moves: a load clears the rest of the register, a register move keeps it. */
function moveScalar(width: 32 | 64): Semantics {
  return (x) => {
    const { b } = x;
    requireSse(x);
    const value = x.readLow(1, width);
    if (x.isMemory(1)) x.writeHalves(0, [b.op(width === 32 ? 'i32x4.replace_lane' : 'i64x2.replace_lane', [b.v128(new Uint8Array(16)), value], 0)]);
    else x.writeLow(0, value, width);
  };
}

/** One 64-bit lane of the result; the other is the destination's, in a VEX form the first source's. */
function writeLane(x: Context, value: Value, lane: 0 | 1): void {
  if (x.vex) x.writeHalves(0, [x.b.op('i64x2.replace_lane', [x.readWhole(1), value], lane)]);
  else x.writeLow(0, value, 64, lane);
}

/** Low bits of the result; the rest is the destination's, in a VEX form the first source's. */
export function writeScalar(x: Context, value: Value, width: 32 | 64): void {
  if (x.vex) x.writeHalves(0, [x.b.op(width === 32 ? 'i32x4.replace_lane' : 'i64x2.replace_lane', [x.readWhole(1), value], 0)]);
  else x.writeLow(0, value, width);
}

/** Low bits of both sources. */
export function scalarSources(x: Context, width: 32 | 64): { a: Value; c: Value } {
  const c = x.readLow(x.lastSource, width);
  return { a: x.readLow(firstSource(x), width), c };
}

/** One 64-bit half of a register to or from memory. */
function moveHalf(lane: 0 | 1): Semantics {
  return (x) => {
    requireSse(x);
    if (x.isMemory(0)) return x.writeLow(0, x.readLane(1, 64, lane), 64);
    const value = x.readLow(x.lastSource, 64);
    writeLane(x, value, lane);
  };
}

export function zeroExtended(x: Context, value: Value): Value {
  return x.b.op('i64x2.replace_lane', [x.b.v128(new Uint8Array(16)), x.b.extendU(value)], 0);
}

/** Top bits of the lanes to a general register. */
function signBits(x: Context, lane: string, count: number): void {
  const { b } = x;
  requireSse(x);
  const [low, high] = x.readHalves(1).map((value) => b.op(`${lane}.bitmask`, [value]));
  x.write(0, high === undefined ? low! : b.or(low!, b.shlConst(high, count)), 32);
}

export const vector: SemanticsTable = {
  ...Object.fromEntries(Object.entries(laneOperations).flatMap(([name, operation]) => [[name, binary(operation)], [`${name}_mmx`, binaryMmx(name, operation)]])),
  ...Object.fromEntries(Object.entries(wideOperations).map(([name, operation]) => [name, binary(operation)])),
  ...Object.fromEntries(Object.entries(shiftOperations).flatMap(([name, shift]) => [
    [name, shiftByRegister(shift, false)], [`${name}_mmx`, shiftByRegister(shift, true)],
    [`${name}_imm`, shiftByImmediate(shift, false)], [`${name}_imm_mmx`, shiftByImmediate(shift, true)],
  ])),
  psrldq: shiftBytes(false),
  pslldq: shiftBytes(true),
  pshufd: binary((x, _, c) => shuffleDwordsBy(x, c, x.immediate(8))),
  pshuflw: shuffleWords('low'),
  pshufhw: shuffleWords('high'),
  pshufw: shuffleWordsMmx,
  shufps: binary(shufflePackedSingle),
  shufpd: binary(shufflePackedDouble),
  pinsrw: insertWord,
  pextrw: extractWord,
  mova: moveVector(true),
  movu: moveVector(false),
  movss: moveScalar(32),
  movsdx: moveScalar(64),
  movlp: moveHalf(0),
  movhp: moveHalf(1),
  movhlps: (x) => {
    requireSse(x);
    writeLane(x, x.readLane(x.lastSource, 64, 1), 0);
  },
  movlhps: (x) => {
    requireSse(x);
    writeLane(x, x.readLane(x.lastSource, 64, 0), 1);
  },
  movd_load: (x) => {
    requireSse(x);
    x.writeHalves(0, [zeroExtended(x, x.read(1))]);
  },
  movd_store: (x) => {
    requireSse(x);
    x.write(0, x.readLane(1, x.width(0) === 64 ? 64 : 32, 0));
  },
  movd_load_mmx: (x) => {
    requireMmx(x);
    const value = x.b.extendU(x.read(1));
    x.call('mmxEnter', []);
    writeMmx(x, 0, value);
  },
  movd_store_mmx: (x) => {
    requireMmx(x);
    x.write(0, x.readLane(1, x.width(0) === 64 ? 64 : 32, 0));
    x.call('mmxEnter', []);
  },
  movq_mmx: (x) => {
    requireMmx(x);
    const value = x.readLow(1, 64);
    x.writeLow(0, value, 64);
    x.call('mmxEnter', []);
    if (!x.isMemory(0)) x.writeMmxExponent(0);
  },
  movq_load: (x) => {
    requireSse(x);
    x.writeHalves(0, [zeroExtended(x, x.readLow(1, 64))]);
  },
  movq_store: (x) => {
    requireSse(x);
    const value = x.readLane(1, 64, 0);
    if (x.isMemory(0)) x.writeLow(0, value, 64);
    else x.writeHalves(0, [zeroExtended(x, value)]);
  },
  pmovmskb: (x) => {
    signBits(x, 'i8x16', 16);
  },
  pmovmskb_mmx: (x) => {
    requireMmx(x);
    const mask = x.b.andConst(x.b.op('i8x16.bitmask', [readMmx(x, 1)]), 0xff);
    x.call('mmxEnter', []);
    x.write(0, mask, 32);
  },
  movmskps: (x) => {
    signBits(x, 'i32x4', 4);
  },
  movmskpd: (x) => {
    signBits(x, 'i64x2', 2);
  },
};
