import type { Operation } from './operations.ts';

// What the numeric operations compute, from their names (WebAssembly 2.0, section 4.3), slowly and plainly: for the reference
// evaluator. A value of any type is its bits as an unsigned bigint.

/** Arguments, the lane number of operations that have one (`i8x16.shuffle`: its sixteen, as one number). */
export type Numeric = (args: readonly bigint[], lane: bigint) => bigint;

const mask = (width: number): bigint => (1n << BigInt(width)) - 1n;
const signed = (width: number, value: bigint): bigint => BigInt.asIntN(width, value);
const unsigned = (width: number, value: bigint): bigint => BigInt.asUintN(width, value);
const bit = (condition: boolean): bigint => (condition ? 1n : 0n);
const clamp = (value: bigint, low: bigint, high: bigint): bigint => (value < low ? low : value > high ? high : value);
const saturateS = (width: number, value: bigint): bigint => unsigned(width, clamp(value, -(1n << BigInt(width - 1)), mask(width - 1)));
const saturateU = (width: number, value: bigint): bigint => clamp(value, 0n, mask(width));

const view = new DataView(new ArrayBuffer(8));
export function toFloat(width: number, bits: bigint): number {
  if (width === 64) view.setBigUint64(0, bits);
  else view.setUint32(0, Number(bits));
  return width === 64 ? view.getFloat64(0) : view.getFloat32(0);
}
/** Rounds to nearest even when the width is 32. */
export function fromFloat(width: number, value: number): bigint {
  if (width === 64) view.setFloat64(0, value);
  else view.setFloat32(0, value);
  return width === 64 ? view.getBigUint64(0) : BigInt(view.getUint32(0));
}
function roundEven(value: number): number {
  const down = Math.floor(value);
  const rest = value - down;
  const rounded = rest < 0.5 || (rest === 0.5 && down % 2 === 0) ? down : down + 1;
  return rounded === 0 ? (value < 0 || Object.is(value, -0) ? -0 : 0) : rounded;
}
function truncateSaturated(value: number, width: number): bigint {
  if (Number.isNaN(value)) return 0n;
  const limit = 2 ** (width - 1);
  return unsigned(width, value >= limit ? mask(width - 1) : value < -limit ? -(1n << BigInt(width - 1)) : BigInt(Math.trunc(value)));
}
/** A bigint as the nearest number of a width; a number of 53 bits is rounded twice where a 32-bit result wants it once. */
function convert(value: bigint, width: number): bigint {
  if (width === 64) return fromFloat(64, Number(value));
  const size = value < 0n ? -value : value;
  const extra = BigInt(Math.max(0, size.toString(2).length - 40));
  // Bits below are sticky: enough for one rounding to 24.
  const short = extra === 0n ? size : ((size >> extra) | bit((size & mask(Number(extra))) !== 0n)) << extra;
  return fromFloat(32, Number(value < 0n ? -short : short));
}

const comparisons: Readonly<Record<string, (a: bigint | number, b: bigint | number) => boolean>> = {
  eq: (a, b) => a === b, ne: (a, b) => a !== b, lt: (a, b) => a < b, gt: (a, b) => a > b, le: (a, b) => a <= b, ge: (a, b) => a >= b,
};
const floatUnary: Readonly<Record<string, (a: number) => number>> = { ceil: Math.ceil, floor: Math.floor, trunc: Math.trunc, nearest: roundEven, sqrt: Math.sqrt };
const floatBinary: Readonly<Record<string, (a: number, b: number) => number>> = {
  add: (a, b) => a + b, sub: (a, b) => a - b, mul: (a, b) => a * b, div: (a, b) => a / b, min: Math.min, max: Math.max, pmin: (a, b) => (b < a ? b : a), pmax: (a, b) => (a < b ? b : a),
};

/** An operation on integers of a width, by the name behind the dot; undefined when that is none. */
function integer(width: number, name: string): ((a: bigint, b: bigint) => bigint) | undefined {
  const by = BigInt(width);
  const [base, sign] = name.split(/_(?=[su]$)/) as [string, string | undefined];
  const of = (value: bigint): bigint => (sign === 's' ? signed(width, value) : value);
  const cut = (operation: (a: bigint, b: bigint) => bigint) => (a: bigint, b: bigint): bigint => unsigned(width, operation(a, b));
  const comparison = comparisons[base];
  if (comparison !== undefined) return (a, b) => bit(comparison(of(a), of(b)));
  switch (base) {
    case 'eqz': return (a) => bit(a === 0n);
    case 'clz': return (a) => by - BigInt(a === 0n ? 0 : a.toString(2).length);
    case 'ctz': return (a) => (a === 0n ? by : BigInt((a & -a).toString(2).length - 1));
    case 'popcnt': return (a) => BigInt(a.toString(2).replaceAll('0', '').length);
    case 'add': return cut((a, b) => a + b);
    case 'sub': return cut((a, b) => a - b);
    case 'mul': return cut((a, b) => a * b);
    case 'div': return cut((a, b) => of(a) / of(b));
    case 'rem': return cut((a, b) => of(a) % of(b));
    case 'and': return (a, b) => a & b;
    case 'or': return (a, b) => a | b;
    case 'xor': return (a, b) => a ^ b;
    case 'shl': return cut((a, b) => a << (b % by));
    case 'shr': return cut((a, b) => of(a) >> (b % by));
    case 'rotl': return cut((a, b) => (a << (b % by)) | (a >> (by - (b % by))));
    case 'rotr': return cut((a, b) => (a >> (b % by)) | (a << (by - (b % by))));
    case 'neg': return cut((a) => -a);
    case 'abs': return cut((a) => (signed(width, a) < 0n ? -a : a));
    case 'min': return (a, b) => (of(a) < of(b) ? a : b);
    case 'max': return (a, b) => (of(a) > of(b) ? a : b);
    case 'avgr': return (a, b) => (a + b + 1n) >> 1n;
    case 'add_sat': return (a, b) => (sign === 's' ? saturateS : saturateU)(width, of(a) + of(b));
    case 'sub_sat': return (a, b) => (sign === 's' ? saturateS : saturateU)(width, of(a) - of(b));
    case 'q15mulr_sat': return (a, b) => saturateS(width, (of(a) * of(b) + 0x4000n) >> 15n);
    default: return undefined;
  }
}

function float(width: number, name: string): ((a: bigint, b: bigint) => bigint) | undefined {
  const comparison = comparisons[name];
  if (comparison !== undefined) return (a, b) => bit(comparison(toFloat(width, a), toFloat(width, b)));
  const sign = 1n << BigInt(width - 1);
  if (name === 'neg') return (a) => a ^ sign;
  if (name === 'abs') return (a) => a & ~sign;
  if (name === 'copysign') return (a, b) => (a & ~sign) | (b & sign);
  const unary = floatUnary[name];
  if (unary !== undefined) return (a) => fromFloat(width, unary(toFloat(width, a)));
  const binary = floatBinary[name];
  return binary === undefined ? undefined : (a, b) => fromFloat(width, binary(toFloat(width, a), toFloat(width, b)));
}

function conversion(result: string, name: string): Numeric | undefined {
  const width = Number(result.slice(1));
  const extend = /^extend(\d+)_s$/.exec(name);
  if (extend !== null) return ([a]) => unsigned(width, signed(Number(extend[1]), a!));
  const [, verb, kind, from, sign] = /^(wrap|extend|convert|demote|promote|reinterpret|trunc_sat)_([if])(\d\d)(?:_([su]))?$/.exec(name) ?? [];
  const source = Number(from);
  const of = (value: bigint): bigint => (sign === 's' ? signed(source, value) : value);
  switch (verb) {
    case 'wrap': case 'extend': return ([a]) => unsigned(width, of(a!));
    case 'reinterpret': return ([a]) => a!;
    case 'convert': return ([a]) => convert(of(a!), width);
    case 'demote': case 'promote': return ([a]) => fromFloat(width, toFloat(source, a!));
    case 'trunc_sat': return kind === 'f' ? ([a]) => truncateSaturated(toFloat(source, a!), width) : undefined;
    default: return undefined;
  }
}

const split = (value: bigint, width: number): bigint[] => Array.from({ length: 128 / width }, (_, i) => (value >> BigInt(i * width)) & mask(width));
const join = (lanes: readonly bigint[], width: number): bigint => lanes.reduce((sum, lane, i) => sum | (lane << BigInt(i * width)), 0n);

/** Operations on 128 bits as a whole, and those that change the width of lanes. */
function vector(kind: string, width: number, name: string): Numeric | undefined {
  const all = mask(128);
  const half = (which: string, value: bigint, from: number): bigint[] => split(value, from).slice(...(which === 'low' ? [0, 64 / from] : [64 / from]));
  const of = (sign: string, from: number, value: bigint): bigint => (sign === 's' ? signed(from, value) : value);
  if (kind === 'v') {
    switch (name) {
      case 'not': return ([a]) => a! ^ all;
      case 'and': return ([a, b]) => a! & b!;
      case 'andnot': return ([a, b]) => a! & (b! ^ all);
      case 'or': return ([a, b]) => a! | b!;
      case 'xor': return ([a, b]) => a! ^ b!;
      case 'bitselect': return ([a, b, c]) => (a! & c!) | (b! & (c! ^ all));
      case 'any_true': return ([a]) => bit(a !== 0n);
      default: return undefined;
    }
  }
  if (name === 'splat') return ([a]) => join(split(0n, width).map(() => unsigned(width, a!)), width);
  if (name === 'all_true') return ([a]) => bit(split(a!, width).every((lane) => lane !== 0n));
  if (name === 'bitmask') return ([a]) => join(split(a!, width).map((lane) => lane >> BigInt(width - 1)), 1);
  if (name === 'replace_lane') return ([a, b], lane) => join(split(a!, width).map((old, i) => (i === Number(lane) ? unsigned(width, b!) : old)), width);
  if (name.startsWith('extract_lane')) return ([a], lane) => unsigned(32 > width ? 32 : width, of(name.slice(-1), width, split(a!, width)[Number(lane)]!));
  if (name === 'swizzle') return ([a, b]) => join(split(b!, 8).map((i) => (i < 16n ? split(a!, 8)[Number(i)]! : 0n)), 8);
  if (name === 'shuffle') return ([a, b], lanes) => join(split(lanes, 8).map((i) => [...split(a!, 8), ...split(b!, 8)][Number(i)]!), 8);
  if (name === 'demote_f64x2_zero') return ([a]) => join([...split(a!, 64).map((lane) => fromFloat(32, toFloat(64, lane))), 0n, 0n], 32);
  if (name === 'promote_low_f32x4') return ([a]) => join(half('low', a!, 32).map((lane) => fromFloat(64, toFloat(32, lane))), 64);
  if (name === 'convert_low_i32x4_s') return ([a]) => join(half('low', a!, 32).map((lane) => convert(signed(32, lane), 64)), 64);
  if (name === 'convert_i32x4_s') return ([a]) => join(split(a!, 32).map((lane) => convert(signed(32, lane), 32)), 32);
  if (name === 'trunc_sat_f32x4_s') return ([a]) => join(split(a!, 32).map((lane) => truncateSaturated(toFloat(32, lane), 32)), 32);
  if (name === 'trunc_sat_f64x2_s_zero') return ([a]) => join(split(a!, 64).map((lane) => truncateSaturated(toFloat(64, lane), 32)), 32);
  if (name === 'dot_i16x8_s') return ([a, b]) => join(pairs(split(a!, 16).map((lane, i) => signed(16, lane) * signed(16, split(b!, 16)[i]!))).map((sum) => unsigned(32, sum)), 32);
  const [, verb, which, from, sign] = /^(narrow|extend|extmul|extadd)_(?:(low|high|pairwise)_)?i(\d+)x\d+_([su])$/.exec(name) ?? [];
  const source = Number(from);
  const saturate = sign === 's' ? saturateS : saturateU;
  const wide = (lanes: readonly bigint[]): bigint => join(lanes.map((lane) => unsigned(width, lane)), width);
  switch (verb) {
    case 'narrow': return ([a, b]) => join([...split(a!, source), ...split(b!, source)].map((lane) => saturate(width, signed(source, lane))), width);
    case 'extend': return ([a]) => wide(half(which!, a!, source).map((lane) => of(sign!, source, lane)));
    case 'extmul': return ([a, b]) => wide(half(which!, a!, source).map((lane, i) => of(sign!, source, lane) * of(sign!, source, half(which!, b!, source)[i]!)));
    case 'extadd': return ([a]) => wide(pairs(split(a!, source).map((lane) => of(sign!, source, lane))));
    default: return undefined;
  }
}
const pairs = (values: readonly bigint[]): bigint[] => values.flatMap((value, i) => (i % 2 === 0 ? [value + values[i + 1]!] : []));

/** Throws on a numeric operation that it does not know: a test walks all of them. */
export function numericOf({ name }: Operation): Numeric {
  const [type, operation] = name.split('.') as [string, string];
  const [, kind, widthText, count] = /^([ifv])(\d+)(?:x(\d+))?$/.exec(type)!;
  const width = Number(widthText);
  const lanewise = kind === 'f' ? float(width, operation) : kind === 'i' ? integer(width, operation) : undefined;
  let numeric: Numeric | undefined;
  if (kind === 'v' || count !== undefined) {
    numeric = vector(kind!, width, operation);
    if (numeric === undefined && lanewise !== undefined) {
      const isComparison = comparisons[operation.replace(/_[su]$/, '')] !== undefined;
      const isShift = /^sh[lr]/.test(operation);
      numeric = ([a, b]) => join(split(a!, width).map((lane, i) => {
        const result = lanewise(lane, isShift ? b! : b === undefined ? 0n : split(b, width)[i]!);
        return isComparison ? result * mask(width) : result;
      }), width);
    }
  } else if (lanewise !== undefined) numeric = ([a, b]) => lanewise(a!, b ?? 0n);
  else numeric = conversion(type, operation);
  if (numeric === undefined) throw new Error(`the evaluator has no ${name}`);
  return numeric;
}
