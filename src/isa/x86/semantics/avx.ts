import type { Value } from '../../../ir/ir.ts';
import { MXCSR, VECTOR, VECTOR_BYTES, VECTOR_UD } from '../state/layout.ts';
import type { Context, Semantics, SemanticsTable } from './context.ts';
import { readNarrow } from './vector-sse4.ts';
import { binary, requireAvx, shuffleDwordsBy } from './vector.ts';
import type { Lanes, Pair } from './vector.ts';

// What AVX, AVX2 and F16C have beyond VEX forms of SSE instructions (SDM 1, chapter 14).

const zeroVector = (x: Context): Value => x.b.v128(new Uint8Array(16));

function zeroRegisters(all: boolean): Semantics {
  return (x) => {
    requireAvx(x);
    const zero = zeroVector(x);
    for (let n = 0; n < (x.long ? 16 : 8); n++) {
      if (all) x.b.storeState('v128', VECTOR + n * VECTOR_BYTES, zero);
      x.b.storeState('v128', VECTOR + n * VECTOR_BYTES + 16, zero);
    }
  };
}

/** One element of memory, or the lowest of a register, to all places. */
function broadcast(bits: 8 | 16 | 32 | 64): Semantics {
  const lane = { 8: 'i8x16', 16: 'i16x8', 32: 'i32x4', 64: 'i64x2' }[bits];
  return (x) => {
    const { b } = x;
    requireAvx(x);
    let element: Value;
    if (x.isMemory(1)) element = x.read(1, bits);
    else element = b.op(bits < 32 ? `${lane}.extract_lane_u` : `${lane}.extract_lane`, [x.readHalves(1)[0]!], 0);
    const value = b.op(`${lane}.splat`, [element]);
    x.writeHalves(0, x.halves === 2 ? [value, value] : [value]);
  };
}

function broadcastHalf(x: Context): void {
  requireAvx(x);
  const value = x.readWhole(1);
  x.writeHalves(0, [value, value]);
}

/** The half that bit 0 of the immediate names. */
function insertHalf(x: Context): void {
  const { b } = x;
  requireAvx(x);
  const value = x.readWhole(2);
  const [low, high] = x.readHalves(1) as [Value, Value];
  const upper = b.andConst(x.immediate(8), 1);
  x.writeHalves(0, [b.select(upper, low, value), b.select(upper, value, high)]);
}
function extractHalf(x: Context): void {
  requireAvx(x);
  const [low, high] = x.readHalves(1) as [Value, Value];
  x.writeHalves(0, [x.b.select(x.b.andConst(x.immediate(8), 1), high, low)]);
}
/** Four bits for each half: which of the sources' four, or zero. */
function permuteHalves(x: Context): void {
  const { b } = x;
  requireAvx(x);
  const second = x.readHalves(2) as [Value, Value];
  const first = x.readHalves(1) as [Value, Value];
  const immediate = x.immediate(8);
  x.writeHalves(0, [0, 4].map((shift) => {
    const bit = (n: number): Value => b.andConst(b.shrUConst(immediate, shift + n), 1);
    const from = (halves: readonly [Value, Value]): Value => b.select(bit(0), halves[1], halves[0]);
    return b.select(bit(3), zeroVector(x), b.select(bit(1), from(second), from(first)));
  }));
}

/** VPERMILPS by the low two bits of each control word. */
const permuteSingles: Pair = (x, a, c) => {
  const { b } = x;
  const word = (value: number): Value => b.op('i32x4.splat', [b.i32(value)]);
  const index = b.op('i32x4.add', [b.op('i32x4.mul', [b.op('v128.and', [c, word(3)]), word(0x04040404)]), word(0x03020100)]);
  return b.op('i8x16.swizzle', [a, index]);
};
/** VPERMILPD by bit 1 of each control word, or two bits of the immediate for each half. */
function chooseDoubles(x: Context, a: Value, upper: (lane: number) => Value): Value {
  const { b } = x;
  const [first, second] = [0, 1].map((lane) => b.select(upper(lane), b.op('i64x2.extract_lane', [a], 1), b.op('i64x2.extract_lane', [a], 0)));
  return b.op('i64x2.replace_lane', [b.op('i64x2.splat', [first!]), second!], 1);
}
const permuteDoubles: Pair = (x, a, c) => chooseDoubles(x, a, (lane) => x.b.andConst(x.b.wrap(x.b.op('i64x2.extract_lane', [c], lane)), 2));
const permuteDoublesBy: Lanes = (x, _, c, half) => chooseDoubles(x, c, (lane) => x.b.andConst(x.b.shrUConst(x.immediate(8), 2 * half + lane), 1));

/** VPERMQ, VPERMPD: each of four from any of four. */
function permuteQuads(x: Context): void {
  const { b } = x;
  requireAvx(x);
  const [low, high] = x.readHalves(1) as [Value, Value];
  const immediate = x.immediate(8);
  const lane = (place: number): Value => {
    const bit = (n: number): Value => b.andConst(b.shrUConst(immediate, 2 * place + n), 1);
    const from = b.select(bit(1), high, low);
    return b.select(bit(0), b.op('i64x2.extract_lane', [from], 1), b.op('i64x2.extract_lane', [from], 0));
  };
  x.writeHalves(0, [0, 2].map((place) => b.op('i64x2.replace_lane', [b.op('i64x2.splat', [lane(place)]), lane(place + 1)], 1)));
}

/** VPERMD, VPERMPS: operand 1 has the places in operand 2. SWIZZLE gives zero outside its 16 bytes, so two make 32. */
function permuteWords(x: Context): void {
  const { b } = x;
  requireAvx(x);
  const [low, high] = x.readHalves(2) as [Value, Value];
  const word = (value: number): Value => b.op('i32x4.splat', [b.i32(value)]);
  x.writeHalves(0, x.readHalves(1).map((places) => {
    const index = b.op('i32x4.add', [b.op('i32x4.mul', [b.op('v128.and', [places, word(7)]), word(0x04040404)]), word(0x03020100)]);
    const above = b.op('i8x16.sub', [index, b.op('i8x16.splat', [b.i32(16)])]);
    return b.op('v128.or', [b.op('i8x16.swizzle', [low, index]), b.op('i8x16.swizzle', [high, above])]);
  }));
}

const shiftEach = (width: 32 | 64, kind: 0 | 1 | 2): Semantics => binary((x, a, c) => x.call(`shiftLanes${width}`, [a, c, x.b.i32(kind)]));

/** VMASKMOVPx, VPMASKMOVx: elements whose mask has its top bit set; the others are not touched in memory. */
function moveMasked(bits: 32 | 64): Semantics {
  const lane = bits === 32 ? 'i32x4' : 'i64x2';
  return (x) => {
    const { b } = x;
    requireAvx(x);
    const bytes = x.shape.operands.some((operand) => operand.endsWith('qq')) ? 32 : 16;
    const masks = x.readHalves(1);
    const address = x.isMemory(0) ? x.address('write', bytes) : x.address('read', bytes);
    if (!x.isMemory(0)) {
      x.writeHalves(0, masks.map((mask, half) => x.call('loadMasked', [b.addConst(address, 16 * half), mask, b.i32(bits / 8)])));
      return;
    }
    const values = x.readHalves(2);
    const spread = masks.map((mask) => b.op(`${lane}.shr_s`, [mask, b.i32(bits - 1)]));
    x.call('storeMaskedWide', [address, values[0]!, values[1] ?? zeroVector(x), spread[0]!, spread[1] ?? zeroVector(x), b.i32(bits / 8)]);
  };
}

/**
 * Gathers: the decoder puts the index register and the scale into the immediate (bits 3:0 and 5:4). Destination, index and
 * mask must be three registers.
 */
function gather(elementBytes: 4 | 8, indexBytes: 4 | 8): Semantics {
  return (x) => {
    const { b } = x;
    requireAvx(x);
    const number = b.andConst(x.immediate32(), 15);
    const indexOffset = b.shlConst(number, Math.log2(VECTOR_BYTES));
    const destination = x.registerNumber('reg');
    const maskPlace = x.registerNumber('vvvv');
    const indexPlace = b.addConst(indexOffset, VECTOR);
    const clash = b.or(b.eq(destination, maskPlace), b.or(b.eq(destination, indexPlace), b.eq(maskPlace, indexPlace)));
    b.ifSeldom(clash, () => x.fault(VECTOR_UD));
    const count = (16 * x.halves) / Math.max(elementBytes, indexBytes);
    const segmentNumber = x.long ? b.i32(0) : b.shlConst(x.segmentIndex(), 16);
    const scale = b.shlConst(b.shrUConst(x.immediate32(), 4), 8);
    const shape = b.or(b.or(scale, segmentNumber), b.i32(elementBytes | (indexBytes << 4) | (count << 12)));
    const shift = b.sub(b.i32(x.long ? 64 : 32), x.addressSize());
    const limit = x.long ? b.shrU(b.i64(-1), b.extendU(shift)) : b.extendU(b.shrU(b.i32(-1), shift));
    const segment = b.extendU(x.segmentLinear(x.long ? b.i64(0) : b.i32(0)));
    x.call('gather', [b.extendU(x.effectiveAddress()), segment, limit, destination, maskPlace, indexPlace, shape]);
  };
}

/** VMOVSS and VMOVSD between registers: the low bits of operand 2 in operand 1. */
function moveLow(width: 32 | 64): Semantics {
  return (x) => {
    requireAvx(x);
    x.writeHalves(0, [x.b.op(width === 32 ? 'i32x4.replace_lane' : 'i64x2.replace_lane', [x.readWhole(1), x.readLow(2, width)], 0)]);
  };
}

function loadControl(x: Context): void {
  requireAvx(x);
  x.call('loadMxcsr', [x.read(0, 32)]);
}
function storeControl(x: Context): void {
  requireAvx(x);
  x.write(0, x.b.loadState('32', MXCSR), 32);
}

/** Half precision to single: four for each half of the result. */
function fromHalf(x: Context): void {
  requireAvx(x);
  const sources = readNarrow(x, 64);
  if (sources.length === 2) x.call('sseFirstHalf', []);
  const halves = sources.map((source) => x.call('halfToSingle', [source]));
  if (sources.length === 2) x.call('sseBothHalves', []);
  x.writeHalves(0, halves);
}
function toHalf(x: Context): void {
  const { b } = x;
  requireAvx(x);
  const sources = x.readHalves(1);
  // Memory's exceptions come before those of the conversion.
  if (x.isMemory(0)) x.call('probeStore', [x.address('write', 8 * sources.length), b.i32(8 * sources.length)]);
  if (sources.length === 2) x.call('sseFirstHalf', []);
  const [low, high] = sources.map((source) => x.call('singleToHalf', [source, x.immediate(8)])) as [Value, Value | undefined];
  if (sources.length === 2) x.call('sseBothHalves', []);
  if (x.isMemory(0) && high === undefined) return x.writeLow(0, low, 64);
  x.writeHalves(0, [b.op('i64x2.replace_lane', [high === undefined ? zeroVector(x) : b.op('i64x2.splat', [high]), low], 0)]);
}

/** Which operand is which factor: 132 is first times third plus second, 213 second times first plus third, 231 second times third plus first. */
const orders = { 132: [0, 2, 1], 213: [1, 0, 2], 231: [1, 2, 0] } as const;
/** Bits: negate the product, negate the addend in even lanes, in odd lanes. */
const signs = { fmadd: 0, fmsub: 6, fnmadd: 1, fnmsub: 7, fmaddsub: 2, fmsubadd: 4 } as const;

function multiplyAdd(order: keyof typeof orders, sign: number, type: 'f32' | 'f64', isScalar: boolean): Semantics {
  return (x) => {
    const { b } = x;
    requireAvx(x);
    const width = type === 'f32' ? 32 : 64;
    if (isScalar) {
      const values = [2, 1, 0].map((i) => x.readLow(i, width)).reverse();
      const result = x.call(type === 'f32' ? 'fmaF32' : 'fmaF64', [...orders[order].map((i) => values[i]!), b.i32(sign)]);
      x.writeHalves(0, [b.op(width === 32 ? 'i32x4.replace_lane' : 'i64x2.replace_lane', [x.readWhole(0), result], 0)]);
      return;
    }
    const values = [2, 1, 0].map((i) => x.readHalves(i)).reverse();
    if (x.halves === 2) x.call('sseFirstHalf', []);
    const halves = values[0]!.map((_, half) => x.call(type === 'f32' ? 'fmaF32x4' : 'fmaF64x2', [...orders[order].map((i) => values[i]![half]!), b.i32(sign)]));
    if (x.halves === 2) x.call('sseBothHalves', []);
    x.writeHalves(0, halves);
  };
}

const fused: SemanticsTable = Object.fromEntries(Object.entries(signs).flatMap(([name, sign]) => ([132, 213, 231] as const).flatMap((order) => (['f32', 'f64'] as const).flatMap((type) => {
  const letter = type === 'f32' ? 's' : 'd';
  const packed: [string, Semantics] = [`v${name}${order}p${letter}`, multiplyAdd(order, sign, type, false)];
  return /addsub|subadd/.test(name) ? [packed] : [packed, [`v${name}${order}s${letter}`, multiplyAdd(order, sign, type, true)] as [string, Semantics]];
}))));

const gathers: SemanticsTable = {
  vpgatherdd: gather(4, 4), vpgatherdq: gather(8, 4), vpgatherqd: gather(4, 8), vpgatherqq: gather(8, 8),
};

export const avx: SemanticsTable = {
  vzeroall: zeroRegisters(true),
  vzeroupper: zeroRegisters(false),
  vldmxcsr: loadControl,
  vstmxcsr: storeControl,
  vbroadcast8: broadcast(8), vbroadcast16: broadcast(16), vbroadcast32: broadcast(32), vbroadcast64: broadcast(64),
  vbroadcast128: broadcastHalf,
  vinsert128: insertHalf, vextract128: extractHalf, vperm128: permuteHalves,
  vpermilps: binary(permuteSingles), vpermilps_imm: binary((x, _, c) => shuffleDwordsBy(x, c, x.immediate(8))),
  vpermilpd: binary(permuteDoubles), vpermilpd_imm: binary(permuteDoublesBy),
  vpermq: permuteQuads, vpermd: permuteWords,
  vpsllvd: shiftEach(32, 0), vpsrlvd: shiftEach(32, 1), vpsravd: shiftEach(32, 2), vpsllvq: shiftEach(64, 0), vpsrlvq: shiftEach(64, 1),
  vmaskmov32: moveMasked(32), vmaskmov64: moveMasked(64),
  vmovss_merge: moveLow(32), vmovsd_merge: moveLow(64),
  vcvtph2ps: fromHalf, vcvtps2ph: toHalf,
  ...gathers, ...fused,
};
