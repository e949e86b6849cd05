import type { Value } from '../../../ir/ir.ts';
import { VECTOR } from '../state/layout.ts';
import type { Context, Semantics, SemanticsTable } from './context.ts';
import { packedRound, scalarRound } from './float-convert.ts';
import { orExact } from './float-inline.ts';
import { indexFrom } from './vector-ssse3.ts';
import { IOTA, binary, binaryFloat, lanes, requireSse, shuffle, writeScalar } from './vector.ts';
import type { Lanes, Pair } from './vector.ts';

// SSE4.1 and SSE4.2 (SDM 1, 12.10 and 12.11). CRC32 is with the general registers, in system.ts.

const zeroVector = (x: Context): Value => x.b.v128(new Uint8Array(16));

/** Even 32-bit lanes, signed, multiplied to 64 bits. */
const multiplyEvenSigned: Pair = (x, a, c) => {
  const { b } = x;
  const low = (v: Value): Value => b.op('i64x2.shr_s', [b.op('i64x2.shl', [v, b.i32(32)]), b.i32(32)]);
  return b.op('i64x2.mul', [low(a), low(c)]);
};

/** Smallest unsigned word and its place; each word and its number make one key, so the first of equals wins. */
const minimumPosition: Pair = (x, _, c) => {
  const { b } = x;
  let least: Value | undefined;
  for (let i = 0; i < 8; i++) {
    const key = b.or(b.shlConst(b.op('i16x8.extract_lane_u', [c], i), 3), b.i32(i));
    least = least === undefined ? key : b.select(b.ltU(key, least), key, least);
  }
  const packed = b.or(b.shrUConst(least!, 3), b.shlConst(b.andConst(least!, 7), 16));
  return b.op('i32x4.replace_lane', [zeroVector(x), packed], 0);
};

const laneOperations: Readonly<Record<string, Lanes>> = {
  pmuldq: multiplyEvenSigned, pmulld: lanes('i32x4.mul'), packusdw: lanes('i16x8.narrow_i32x4_u'), pcmpeqq: lanes('i64x2.eq'), pcmpgtq: lanes('i64x2.gt_s'),
  pminsb: lanes('i8x16.min_s'), pminsd: lanes('i32x4.min_s'), pminuw: lanes('i16x8.min_u'), pminud: lanes('i32x4.min_u'),
  pmaxsb: lanes('i8x16.max_s'), pmaxsd: lanes('i32x4.max_s'), pmaxuw: lanes('i16x8.max_u'), pmaxud: lanes('i32x4.max_u'),
  phminposuw: minimumPosition,
};

/** PMOVSX and PMOVZX from elements of `from` bytes to `to` bytes: memory of exactly the elements, no alignment. */
function extend(from: 1 | 2 | 4, to: 2 | 4 | 8, sign: 's' | 'u'): Semantics {
  const laneOf = { 1: 'i8x16', 2: 'i16x8', 4: 'i32x4', 8: 'i64x2' } as const;
  const extended = (x: Context, v: Value): Value => {
    for (let size = from as 1 | 2 | 4; size < to; size = (size * 2) as 2 | 4) v = x.b.op(`${laneOf[(size * 2) as 2 | 4 | 8]}.extend_low_${laneOf[size]}_${sign}`, [v]);
    return v;
  };
  return (x) => {
    requireSse(x);
    x.writeHalves(0, readNarrow(x, 128 * from / to as 16 | 32 | 64).map((v) => extended(x, v)));
  };
}

/** A source of `bits` bits for each half of the result, at the bottom of a vector. */
export function readNarrow(x: Context, bits: 16 | 32 | 64): Value[] {
  const { b } = x;
  const all = bits * x.halves;
  if (all === 128) {
    const whole = x.readWhole(1);
    return [whole, shuffle(IOTA.map((i) => 8 + (i & 7)))(x, whole, whole)];
  }
  const first = all === 64 ? b.op('i64x2.splat', [x.readLow(1, 64)]) : b.op('i32x4.splat', [all === 32 ? x.readLow(1, 32) : x.read(1, 16)]);
  return x.halves === 1 ? [first] : [first, b.op('i64x2.shr_u', [first, b.i32(bits)])];
}

/** Chooses by the top bit of each lane of XMM0, in a VEX form of the fourth operand. */
function blendVariable(lane: string, bits: number): Lanes {
  return (x, a, c, half) => {
    const mask = x.vex ? x.readHalves(3)[half]! : x.b.loadState('v128', VECTOR);
    return x.b.op('v128.bitselect', [c, a, x.b.op(`${lane}.shr_s`, [mask, x.b.i32(bits - 1)])]);
  };
}

/** All ones in lane i where bit i of `bits` (i32) is set. */
export function laneMask(x: Context, size: 2 | 4 | 8, bits: Value): Value {
  const { b } = x;
  const lane = { 2: 'i16x8', 4: 'i32x4', 8: 'i64x2' }[size];
  const one = b.v128(IOTA.map((i) => (i % size === 0 ? 1 << (i / size) : 0)));
  const chosen = b.op('v128.and', [b.op(`${lane}.splat`, [size === 8 ? b.extendU(bits) : bits]), one]);
  return b.op(`${lane}.eq`, [chosen, one]);
}
function blendImmediate(size: 2 | 4 | 8): Lanes {
  // PBLENDW uses the same eight bits for both halves, the others go on in the immediate.
  return (x, a, c, half) => x.b.op('v128.bitselect', [c, a, laneMask(x, size, x.b.shrUConst(x.immediate(8), size === 2 ? 0 : half * (16 / size)))]);
}

/** Sums of absolute differences of four neighbouring bytes, at eight places of the first operand. */
const multipleSums: Lanes = (x, a, c, half) => {
  const { b } = x;
  const immediate = b.shrUConst(x.immediate(8), 3 * half);
  const first = b.andConst(immediate, 4);
  const second = b.shlConst(b.andConst(immediate, 3), 2);
  let sum = zeroVector(x);
  for (let j = 0; j < 4; j++) {
    const left = b.op('i8x16.swizzle', [a, indexFrom(x, b.addConst(first, j))]);
    const right = b.op('i8x16.swizzle', [c, b.op('i8x16.splat', [b.addConst(second, j)])]);
    const difference = b.op('i8x16.sub', [b.op('i8x16.max_u', [left, right]), b.op('i8x16.min_u', [left, right])]);
    sum = b.op('i16x8.add', [sum, b.op('i16x8.extend_low_i8x16_u', [difference])]);
  }
  return sum;
};

/** By all bits, or by the lanes' top ones. ZF: no common bit; CF: no bit of the second operand outside the first. The other flags become 0. */
function testBits(lanes?: 'i32x4' | 'i64x2'): Semantics {
  return (x) => {
    const { b } = x;
    requireSse(x);
    const second = x.readHalves(1);
    const first = x.readHalves(0);
    const none = (combine: (a: Value, c: Value) => Value): Value => {
      const found = first.map((a, half) => b.op(lanes === undefined ? 'v128.any_true' : `${lanes}.bitmask`, [combine(a, second[half]!)]));
      return b.eqz(found.reduce((a, c) => b.or(a, c)));
    };
    x.flags.setAll(b.or(b.shlConst(none((a, c) => b.op('v128.and', [a, c])), 6), none((a, c) => b.op('v128.andnot', [c, a]))));
  };
}

/** Element number imm8 (as many low bits as there are elements) at the bottom of a vector. */
function elementDown(x: Context, size: number): Value {
  const { b } = x;
  const first = b.mul(b.andConst(x.immediate(8), 16 / size - 1), b.i32(size));
  return b.op('i8x16.swizzle', [x.readWhole(1), indexFrom(x, first)]);
}

/** A register destination gets the element zero-extended. */
function extractSmall(width: 8 | 16): Semantics {
  return (x) => {
    requireSse(x);
    const value = x.b.op(width === 8 ? 'i8x16.extract_lane_u' : 'i16x8.extract_lane_u', [elementDown(x, width / 8)], 0);
    x.write(0, value, x.isMemory(0) ? width : 32);
  };
}
function extract(x: Context): void {
  requireSse(x);
  const wide = x.width(0) === 64;
  x.write(0, x.b.op(wide ? 'i64x2.extract_lane' : 'i32x4.extract_lane', [elementDown(x, wide ? 8 : 4)], 0));
}

/** Replaces the element that imm8 numbers. */
function insertElement(x: Context, size: 1 | 4 | 8, value: Value): void {
  const { b } = x;
  const lane = { 1: 'i8x16', 4: 'i32x4', 8: 'i64x2' }[size];
  const element = b.andConst(x.immediate(8), 16 / size - 1);
  const mask = b.op('i8x16.eq', [b.v128(IOTA.map((i) => Math.floor(i / size))), b.op('i8x16.splat', [element])]);
  x.writeHalves(0, [b.op('v128.bitselect', [b.op(`${lane}.splat`, [value]), x.readWhole(x.vex ? 1 : 0), mask])]);
}
function insertByte(x: Context): void {
  requireSse(x);
  const source = x.lastSource;
  insertElement(x, 1, x.isMemory(source) ? x.read(source, 8) : x.read(source, 32));
}
function insert(x: Context): void {
  requireSse(x);
  const source = x.lastSource;
  insertElement(x, x.width(source) === 64 ? 8 : 4, x.read(source));
}

/** INSERTPS: source lane in bits 7:6 (registers only), destination lane in 5:4, lanes to clear in 3:0. */
function insertSingle(x: Context): void {
  const { b } = x;
  requireSse(x);
  const immediate = x.immediate(8);
  const source = x.lastSource;
  const value = x.isMemory(source)
    ? b.op('i32x4.splat', [x.readLow(source, 32)])
    : b.op('i8x16.swizzle', [x.readWhole(source), b.op('i32x4.splat', [b.addConst(b.mul(b.shrUConst(immediate, 6), b.i32(0x04040404)), 0x03020100)])]);
  const place = b.shl(b.i32(1), b.andConst(b.shrUConst(immediate, 4), 3));
  const inserted = b.op('v128.bitselect', [value, x.readWhole(x.vex ? 1 : 0), laneMask(x, 4, place)]);
  x.writeHalves(0, [b.op('v128.andnot', [inserted, laneMask(x, 4, b.andConst(immediate, 15))])]);
}

function roundScalar(width: 32 | 64): Semantics {
  return (x) => {
    requireSse(x);
    const source = x.readLow(x.lastSource, width);
    const immediate = x.immediate(8);
    writeScalar(x, orExact(x, scalarRound(x, `f${width}`, immediate, source), () => x.call(`sseRoundF${width}`, [source, immediate])), width);
  };
}

/**
 * PCMPESTRx and PCMPISTRx (SDM 2B, 4.1). The routine gives IntRes2 in bits 15:0 and the flags above; memory needs no
 * alignment. The index form puts its result in ECX, the mask form in XMM0.
 */
function compareStrings(explicit: boolean, form: 'index' | 'mask'): Semantics {
  return (x) => {
    const { b } = x;
    requireSse(x);
    const second = x.readVector(1, false);
    const first = x.readVector(0, false);
    const length = (register: number): Value => (x.size === 64 ? x.gpr(register, 64) : b.extendS(x.gpr(register, 32)));
    const control = x.immediate(8);
    const found = x.call(explicit ? 'compareStringsExplicit' : 'compareStringsImplicit', explicit ? [first, second, length(0), length(2), control] : [first, second, control]);
    const bits = b.andConst(found, 0xffff);
    const words = b.andConst(control, 1);
    const top = b.andConst(control, 0x40);
    if (form === 'index') {
      const count = b.shrU(b.i32(16), words);
      const index = b.select(top, b.sub(b.i32(31), b.clz(bits)), b.ctz(bits));
      x.setGpr(1, 32, b.select(b.eqz(bits), count, index));
    } else {
      const splat = b.op('i16x8.splat', [bits]);
      const byteOne = b.v128(IOTA.map((i) => 1 << (i & 7)));
      const spread = shuffle(IOTA.map((i) => i >> 3))(x, splat, splat);
      const bytes = b.op('i8x16.eq', [b.op('v128.and', [spread, byteOne]), byteOne]);
      const expanded = b.select(words, laneMask(x, 2, bits), bytes);
      if (x.vex) b.storeState('v128', VECTOR + 16, zeroVector(x));
      b.storeState('v128', VECTOR, b.select(top, expanded, b.op('i32x4.replace_lane', [zeroVector(x), bits], 0)));
    }
    x.flags.setAll(b.shrUConst(found, 16));
  };
}

const extensions = [['bw', 1, 2], ['bd', 1, 4], ['bq', 1, 8], ['wd', 2, 4], ['wq', 2, 8], ['dq', 4, 8]] as const;

export const vectorSse4: SemanticsTable = {
  ...Object.fromEntries(Object.entries(laneOperations).map(([name, operation]) => [name, binary(operation)])),
  ...Object.fromEntries(extensions.flatMap(([name, from, to]) => [[`pmovsx${name}`, extend(from, to, 's')], [`pmovzx${name}`, extend(from, to, 'u')]])),
  ptest: testBits(),
  vtestps: testBits('i32x4'),
  vtestpd: testBits('i64x2'),
  pblendvb: binary(blendVariable('i8x16', 8)),
  blendvps: binary(blendVariable('i32x4', 32)),
  blendvpd: binary(blendVariable('i64x2', 64)),
  pblendw: binary(blendImmediate(2)),
  blendps: binary(blendImmediate(4)),
  blendpd: binary(blendImmediate(8)),
  mpsadbw: binary(multipleSums),
  pextrb: extractSmall(8),
  pextrw_store: extractSmall(16),
  pextrd: extract,
  extractps: extract,
  pinsrb: insertByte,
  pinsrd: insert,
  insertps: insertSingle,
  roundss: roundScalar(32),
  roundsd: roundScalar(64),
  roundps: binaryFloat((x, _, c) => x.call('sseRoundF32x4', [c, x.immediate(8)]), (x, _, c) => packedRound(x, 'f32', x.immediate(8), c)),
  roundpd: binaryFloat((x, _, c) => x.call('sseRoundF64x2', [c, x.immediate(8)]), (x, _, c) => packedRound(x, 'f64', x.immediate(8), c)),
  dpps: binaryFloat((x, a, c) => x.call('sseDotF32x4', [a, c, x.immediate(8)])),
  dppd: binaryFloat((x, a, c) => x.call('sseDotF64x2', [a, c, x.immediate(8)])),
  pcmpestri: compareStrings(true, 'index'),
  pcmpestrm: compareStrings(true, 'mask'),
  pcmpistri: compareStrings(false, 'index'),
  pcmpistrm: compareStrings(false, 'mask'),
};
