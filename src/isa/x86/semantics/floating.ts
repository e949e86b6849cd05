import type { Value } from '../../../ir/ir.ts';
import { FLOAT_ADD, FLOAT_COMPARE, FLOAT_DIV, FLOAT_MAX, FLOAT_MIN, FLOAT_MUL, FLOAT_SQRT, FLOAT_SUB } from '../routines/float-operations.ts';
import { MXCSR } from '../state/layout.ts';
import type { Context, Semantics, SemanticsTable } from './context.ts';
import { readNarrow } from './vector-sse4.ts';
import { binaryFloat, requireSse, scalarSources, shuffle, sourceHalves, writeScalar } from './vector.ts';

// SSE and AVX floating point, exact to the bit, MXCSR included (DESIGN D6). Arithmetic, comparison and scalar conversion
// run inline while MXCSR cannot change and the result is an ordinary number; everything else is the business of the
// exact routines in src/runtime/sse.ts.

type Float = 'f32' | 'f64';
const bits = { f32: 32, f64: 64 } as const;

/**
 * MXCSR bits that must have these values for an inline result: all exceptions masked, round to nearest, neither DAZ nor
 * FTZ, and the sticky bit for precision already set, so that setting it again changes nothing.
 */
const MXCSR_INLINE_MASK = 0xffe0;
const MXCSR_INLINE = 0x1fa0;
const MXCSR_DE = 2;

const operationNumbers = { add: FLOAT_ADD, sub: FLOAT_SUB, mul: FLOAT_MUL, div: FLOAT_DIV, sqrt: FLOAT_SQRT, min: FLOAT_MIN, max: FLOAT_MAX } as const;
type OperationName = keyof typeof operationNumbers;

function mayInline(x: Context): Value {
  const { b } = x;
  return b.eq(b.andConst(b.loadState('32', MXCSR), MXCSR_INLINE_MASK), b.i32(MXCSR_INLINE));
}

/** The same, and no operand is denormal unless DE is set already. */
function mayInlineWith(x: Context, type: Float, operands: readonly Value[]): Value {
  const { b } = x;
  const normal = operands.map((value) => notDenormal(x, type, value)).reduce((all, one) => b.and(all, one));
  return b.and(mayInline(x), b.or(b.andConst(b.shrUConst(b.loadState('32', MXCSR), 1), MXCSR_DE >> 1), normal));
}

/** No lane of a vector, or not the scalar given as bits, is denormal. */
function notDenormal(x: Context, type: Float, value: Value): Value {
  const { b } = x;
  if (b.typeOf(value) !== 'v128') {
    const [magnitude, fraction] = type === 'f32' ? [0x7fffffffn, 0x7fffffn] : [0x7fffffffffffffffn, 0xfffffffffffffn];
    return b.geU(b.addConst(b.andConst(value, magnitude), -1), b.constant(b.typeOf(value), fraction));
  }
  const zero = b.v128(new Uint8Array(16));
  const lane = type === 'f32' ? 'i32x4' : 'i64x2';
  const exponent = b.op('v128.and', [value, exponentMask(x, type)]);
  const magnitude = b.op('v128.andnot', [value, b.v128(type === 'f32' ? repeat([0, 0, 0, 0x80]) : repeat([0, 0, 0, 0, 0, 0, 0, 0x80]))]);
  return b.eqz(b.op('v128.any_true', [b.op('v128.and', [b.op(`${lane}.eq`, [exponent, zero]), b.op(`${lane}.ne`, [magnitude, zero])])]));
}
function exponentMask(x: Context, type: Float): Value {
  return x.b.v128(type === 'f32' ? repeat([0, 0, 0x80, 0x7f]) : repeat([0, 0, 0, 0, 0, 0, 0xf0, 0x7f]));
}

/** Not zero, denormal, infinite or NaN: the biased exponent is neither 0 nor all ones. */
function isNormal(x: Context, type: Float, value: Value): Value {
  const { b } = x;
  if (type === 'f32') return b.ltU(b.addConst(b.andConst(b.shrUConst(value, 23), 0xff), -1), b.i32(0xfe));
  return b.ltU(b.addConst(b.andConst(b.wrap(b.shrUConst(value, 52)), 0x7ff), -1), b.i32(0x7fe));
}

function asFloat(x: Context, type: Float, value: Value): Value {
  return x.b.op(type === 'f32' ? 'f32.reinterpret_i32' : 'f64.reinterpret_i64', [value]);
}
function asBits(x: Context, type: Float, value: Value): Value {
  return x.b.op(type === 'f32' ? 'i32.reinterpret_f32' : 'i64.reinterpret_f64', [value]);
}

/** Both operands as bits: the exact routine. */
function exact(x: Context, type: Float, operation: Value, a: Value, c: Value): Value {
  return x.call(type === 'f32' ? 'sseF32' : 'sseF64', [operation, a, c]);
}

/** A value of `inline` when `simple`, else what `otherwise` makes. */
function inlineOr(x: Context, simple: Value, inline: Value, otherwise: () => Value): Value {
  const { b } = x;
  const result = b.variable(b.typeOf(inline));
  b.set(result, inline);
  b.if(b.eqz(simple), () => b.set(result, otherwise()));
  return b.get(result);
}

function scalar(name: OperationName, type: Float): Semantics {
  return (x) => {
    const { b } = x;
    requireSse(x);
    const { a, c } = scalarSources(x, bits[type]);
    const [first, second] = [asFloat(x, type, a), asFloat(x, type, c)];
    const otherwise = (): Value => exact(x, type, b.i32(operationNumbers[name]), a, c);
    if (name === 'min' || name === 'max') {
      const chosen = b.select(b.op(`${type}.${name === 'min' ? 'lt' : 'gt'}`, [first, second]), a, c);
      writeScalar(x, inlineOr(x, b.and(mayInlineWith(x, type, [a, c]), ordered(x, type, first, second)), chosen, otherwise), bits[type]);
      return;
    }
    const inline = asBits(x, type, b.op(`${type}.${name}`, name === 'sqrt' ? [second] : [first, second]));
    const simple = b.and(mayInlineWith(x, type, name === 'sqrt' ? [c] : [a, c]), isNormal(x, type, inline));
    writeScalar(x, inlineOr(x, simple, inline, otherwise), bits[type]);
  };
}

/** Neither of two scalars or lanes is a NaN. */
function ordered(x: Context, type: Float, a: Value, c: Value): Value {
  const { b } = x;
  if (b.typeOf(a) !== 'v128') return b.and(b.op(`${type}.eq`, [a, a]), b.op(`${type}.eq`, [c, c]));
  const [lanes, integers] = type === 'f32' ? ['f32x4', 'i32x4'] : ['f64x2', 'i64x2'];
  return b.op(`${integers}.all_true`, [b.op('v128.and', [b.op(`${lanes}.eq`, [a, a]), b.op(`${lanes}.eq`, [c, c])])]);
}

/** All lanes normal: no lane's exponent field is 0 or all ones. */
function allNormal(x: Context, type: Float, value: Value): Value {
  const { b } = x;
  const lane = type === 'f32' ? 'i32x4' : 'i64x2';
  const mask = exponentMask(x, type);
  const exponent = b.op('v128.and', [value, mask]);
  const notZero = b.op(`${lane}.ne`, [exponent, b.v128(new Uint8Array(16))]);
  const notAll = b.op(`${lane}.ne`, [exponent, mask]);
  return b.op(`${lane}.all_true`, [b.op('v128.and', [notZero, notAll])]);
}

function repeat(pattern: readonly number[]): number[] {
  return Array.from({ length: 16 }, (_, i) => pattern[i % pattern.length]!);
}

function exactPacked(x: Context, type: Float, operation: Value, a: Value, c: Value): Value {
  return x.call(type === 'f32' ? 'sseF32x4' : 'sseF64x2', [operation, a, c]);
}

function packed(name: OperationName, type: Float): Semantics {
  const lanes = type === 'f32' ? 'f32x4' : 'f64x2';
  // MINPS gives its second operand unless the first is less: wasm's pmin with its operands exchanged.
  const inlineOf = (x: Context, a: Value, c: Value): Value =>
    (name === 'min' || name === 'max' ? x.b.op(`${lanes}.p${name}`, [c, a]) : x.b.op(`${lanes}.${name}`, name === 'sqrt' ? [c] : [a, c]));
  return (x) => {
    const { b } = x;
    requireSse(x);
    const sources = sourceHalves(x);
    const operation = b.i32(operationNumbers[name]);
    const inline = sources.map(({ a, c }) => inlineOf(x, a, c));
    const results = inline.map((value) => {
      const result = b.variable('v128');
      b.set(result, value);
      return result;
    });
    const harmless = sources.map(({ a, c }, half) => (name === 'min' || name === 'max' ? ordered(x, type, a, c) : allNormal(x, type, inline[half]!)));
    const operands = sources.flatMap(({ a, c }) => (name === 'sqrt' ? [c] : [a, c]));
    const simple = harmless.reduce((all, one) => b.and(all, one), mayInlineWith(x, type, operands));
    b.if(b.eqz(simple), () => {
      if (sources.length === 2) x.call('sseFirstHalf', []);
      sources.forEach(({ a, c }, half) => b.set(results[half]!, exactPacked(x, type, operation, a, c)));
      if (sources.length === 2) x.call('sseBothHalves', []);
    });
    x.writeHalves(0, results.map((result) => b.get(result)));
  };
}

/** SSE has the predicates 0 to 7: EQ LT LE UNORD NEQ NLT NLE ORD; AVX 32 of them (SDM 2A, CMPPD, table 3-1). */
function predicate(x: Context): Value {
  return x.b.addConst(x.b.andConst(x.immediate(8), x.vex ? 31 : 7), FLOAT_COMPARE);
}
const comparePacked = (type: Float): Semantics => binaryFloat((x, a, c) => exactPacked(x, type, predicate(x), a, c));
function compareScalar(type: Float): Semantics {
  return (x) => {
    requireSse(x);
    const { a, c } = scalarSources(x, bits[type]);
    writeScalar(x, exact(x, type, predicate(x), a, c), bits[type]);
  };
}

/** COMISx (`signal` 1: quiet NaNs raise invalid) and UCOMISx. */
function compareFlags(type: Float, signal: number): Semantics {
  return (x) => {
    const { b } = x;
    requireSse(x);
    const c = x.readLow(1, bits[type]);
    const a = x.readLow(0, bits[type]);
    const [first, second] = [asFloat(x, type, a), asFloat(x, type, c)];
    // CF when less, ZF when equal.
    const inline = b.or(b.op(`${type}.lt`, [first, second]), b.shlConst(b.op(`${type}.eq`, [first, second]), 6));
    const simple = b.and(mayInlineWith(x, type, [a, c]), ordered(x, type, first, second));
    x.flags.setAll(inlineOr(x, simple, inline, () => x.call(type === 'f32' ? 'sseCompareF32' : 'sseCompareF64', [a, c, b.i32(signal)])));
  };
}

function toInteger(type: Float, truncate: number): Semantics {
  return (x) => {
    const { b } = x;
    requireSse(x);
    const width = x.width(0) === 64 ? 64 : 32;
    const source = x.readLow(1, bits[type]);
    const value = asFloat(x, type, source);
    const rounded = truncate === 1 ? value : b.op(`${type}.nearest`, [value]);
    // Below 2^30 or 2^62 nothing that rounding does goes beyond the range.
    const limit = type === 'f32' ? b.i32(width === 64 ? 0x5e800000 : 0x4e800000) : b.i64(width === 64 ? 0x43d0000000000000n : 0x41d0000000000000n);
    const small = b.ltU(b.andConst(source, type === 'f32' ? 0x7fffffffn : 0x7fffffffffffffffn), limit);
    const inline = b.op(`i${width}.trunc_sat_${type}_s`, [rounded]);
    x.write(0, inlineOr(x, b.and(mayInline(x), small), inline, () => x.call(`sse${type.toUpperCase()}ToI${width}`, [source, b.i32(truncate)])));
  };
}

function fromInteger(type: Float): Semantics {
  return (x) => {
    const { b } = x;
    requireSse(x);
    const operand = x.lastSource;
    const source = x.read(operand);
    // A 32-bit integer is a double exactly.
    const result = type === 'f64' && x.width(operand) !== 64
      ? asBits(x, 'f64', b.op('f64.convert_i32_s', [source]))
      : inlineOr(x, mayInline(x), asBits(x, type, b.op(`${type}.convert_i64_s`, [b.extendS(source)])), () => x.call(type === 'f32' ? 'sseI64ToF32' : 'sseI64ToF64', [b.extendS(source)]));
    writeScalar(x, result, bits[type]);
  };
}

/** Packed conversion of elements to others of their size. */
const convert = (routine: string, ...constants: readonly number[]): Semantics => binaryFloat((x, _, c) => x.call(routine, [c, ...constants.map((value) => x.b.i32(value))]));

/** To elements of half the size: the lower half of the result, of two sources both halves. */
function narrow(routine: string, ...constants: readonly number[]): Semantics {
  return (x) => {
    requireSse(x);
    const sources = x.readHalves(1);
    if (sources.length === 2) x.call('sseFirstHalf', []);
    const [low, high] = sources.map((value) => x.call(routine, [value, ...constants.map((constant) => x.b.i32(constant))]));
    if (sources.length === 2) x.call('sseBothHalves', []);
    x.writeHalves(0, [high === undefined ? low! : shuffle([0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23])(x, low!, high)]);
  };
}

/** To elements of twice the size. */
function widen(convertLow: (x: Context, source: Value) => Value): Semantics {
  return (x) => {
    requireSse(x);
    const sources = readNarrow(x, 64);
    if (sources.length === 2) x.call('sseFirstHalf', []);
    const halves = sources.map((value) => convertLow(x, value));
    if (sources.length === 2) x.call('sseBothHalves', []);
    x.writeHalves(0, halves);
  };
}

/** Integers to doubles: exact, so nothing is raised. */
function widenExactly(x: Context): void {
  requireSse(x);
  x.writeHalves(0, readNarrow(x, 64).map((source) => x.b.op('f64x2.convert_low_i32x4_s', [source])));
}

const operations = Object.keys(operationNumbers) as OperationName[];

export const floating: SemanticsTable = {
  ...Object.fromEntries(operations.flatMap((name) => [[`${name}ps`, packed(name, 'f32')], [`${name}pd`, packed(name, 'f64')], [`${name}ss`, scalar(name, 'f32')], [`${name}sd`, scalar(name, 'f64')]])),
  ucomiss: compareFlags('f32', 0),
  ucomisd: compareFlags('f64', 0),
  comiss: compareFlags('f32', 1),
  comisd: compareFlags('f64', 1),
  cmpps: comparePacked('f32'),
  cmppd: comparePacked('f64'),
  cmpss: compareScalar('f32'),
  cmpsdx: compareScalar('f64'),
  cvttss2si: toInteger('f32', 1),
  cvttsd2si: toInteger('f64', 1),
  cvtss2si: toInteger('f32', 0),
  cvtsd2si: toInteger('f64', 0),
  cvtsi2ss: fromInteger('f32'),
  cvtsi2sd: fromInteger('f64'),
  cvtss2sd: (x) => {
    requireSse(x);
    const source = x.readLow(x.lastSource, 32);
    const inline = asBits(x, 'f64', x.b.op('f64.promote_f32', [asFloat(x, 'f32', source)]));
    writeScalar(x, inlineOr(x, isNormal(x, 'f32', source), inline, () => x.call('sseF32ToF64', [source])), 64);
  },
  cvtsd2ss: (x) => {
    requireSse(x);
    const source = x.readLow(x.lastSource, 64);
    const inline = asBits(x, 'f32', x.b.op('f32.demote_f64', [asFloat(x, 'f64', source)]));
    writeScalar(x, inlineOr(x, x.b.and(mayInline(x), isNormal(x, 'f32', inline)), inline, () => x.call('sseF64ToF32', [source])), 32);
  },
  cvtps2pd: widen((x, source) => x.call('sseF32x2ToF64x2', [x.b.op('i64x2.extract_lane', [source], 0)])),
  cvtpd2ps: narrow('sseF64x2ToF32x2'),
  cvtdq2ps: convert('sseI32x4ToF32x4'),
  cvtdq2pd: widenExactly,
  cvtps2dq: convert('sseF32x4ToI32x4', 0),
  cvttps2dq: convert('sseF32x4ToI32x4', 1),
  cvtpd2dq: narrow('sseF64x2ToI32x2', 0),
  cvttpd2dq: narrow('sseF64x2ToI32x2', 1),
};
