import type { Value } from '../../../ir/ir.ts';
import { MXCSR } from '../state/layout.ts';
import type { Context } from './context.ts';

// When SSE arithmetic can be done by the WebAssembly instruction of the same name (DESIGN D6): the result is the
// processor's to the bit and MXCSR stays as it is. WebAssembly rounds to nearest even and leaves only the bits of NaNs
// open, so: no NaN comes out, no flag that is still clear could be raised, and none that is unmasked.
//
// - DE: no operand is denormal. Zeros are none.
// - PE: set already and masked. Whether it would be set again is then all the same.
// - UE: tininess is detected after rounding as if the exponent had no limit (SDM 1, 4.9.1.5), so even the smallest normal
//   number may be a tiny result. Sums are never tiny and inexact at once; other results have to be twice that large.
// - OE, ZE, IE: the result is finite.
//
// Programs set PE with their first 1.0 / 3 and have it set from then on; until then the routines decide whether an
// operation is exact, without unpacking numbers (src/runtime/sse-quick.ts).

export type Float = 'f32' | 'f64';
export const bits = { f32: 32, f64: 64 } as const;
/** Bits of the significand, the hidden one included; above as many bits of a number without its sign lies the exponent. */
const precision = { f32: 24, f64: 53 } as const;
export const vectorOf = { f32: 'f32x4', f64: 'f64x2' } as const;
const lanesOf = { f32: 'i32x4', f64: 'i64x2' } as const;

/** A result without a routine: right where `holds` is 1, which else is 0, or where what `thorough` builds is 1. */
export interface Inline {
  /** Bits, or a number (f32, f64). */
  readonly value: Value;
  readonly holds: Value;
  readonly thorough?: () => Value;
}

/** Off: results are taken unchecked, wrong as they may be. For the benchmark that measures what exactness costs. */
export const exactness = { checked: true };

/** By routines, of one or two halves: both count before an exception is raised. */
export function exactHalves(x: Context, count: number, exact: (half: number) => Value): Value[] {
  if (count === 2) x.call('sseFirstHalf', []);
  const halves = Array.from({ length: count }, (_, half) => exact(half));
  if (count === 2) x.call('sseBothHalves', []);
  return halves;
}

/** The inline results of one or two halves, or the routines' of all, as bits. */
export function orExactHalves(x: Context, inlines: readonly Inline[], exact: (half: number) => Value): Value[] {
  const { b } = x;
  const isNumber = (value: Value): boolean => b.typeOf(value) === 'f32' || b.typeOf(value) === 'f64';
  const asResult = (value: Value): Value => (isNumber(value) ? asBits(x, b.typeOf(value) as Float, value) : value);
  if (!exactness.checked) return inlines.map(({ value }) => asResult(value));
  const results = inlines.map(({ value }) => {
    const result = b.variable(b.typeOf(value));
    b.set(result, value);
    return result;
  });
  const exactly = (): void => {
    exactHalves(x, results.length, exact).forEach((value, half) => {
      const inlined = inlines[half]!.value;
      b.set(results[half]!, isNumber(inlined) ? asFloat(x, b.typeOf(inlined) as Float, value) : value);
    });
  };
  const unless = (conditions: readonly Value[], then: () => void): void => b.ifSeldom(b.eqz(conditions.reduce((all, one) => b.and(all, one))), then);
  unless(inlines.map(({ holds }) => holds), () => {
    if (inlines[0]!.thorough === undefined) exactly();
    else unless(inlines.map(({ thorough }) => thorough!()), exactly);
  });
  return results.map((result) => asResult(b.get(result)));
}
export function orExact(x: Context, inline: Inline, exact: () => Value): Value {
  return orExactHalves(x, [inline], exact)[0]!;
}

/** MXCSR: all exceptions masked, rounding to nearest, neither DAZ nor FTZ, PE set. */
const ROUNDS = 0x1fa0;
const ROUNDS_MASK = 0xffe0;
export function mayRound(x: Context): Value {
  const { b } = x;
  return x.lasting('mayRound', () => b.eq(b.andConst(b.loadState('32', MXCSR), ROUNDS_MASK), b.i32(ROUNDS)));
}

export function asFloat(x: Context, type: Float, value: Value): Value {
  return x.b.op(type === 'f32' ? 'f32.reinterpret_i32' : 'f64.reinterpret_i64', [value]);
}
export function asBits(x: Context, type: Float, value: Value): Value {
  return x.b.op(type === 'f32' ? 'i32.reinterpret_f32' : 'i64.reinterpret_f64', [value]);
}

/** Sign, exponent and the top of the significand as i32. */
function head(x: Context, type: Float, value: Value): Value {
  return type === 'f32' ? value : x.b.wrap(x.b.shrUConst(value, 32));
}
const headOf = (type: Float, exponent: number): number => (type === 'f32' ? exponent << 24 : exponent << 21);

const largest = { f32: 0xff, f64: 0x7ff } as const;

function isFinite(x: Context, type: Float, value: Value): Value {
  const { b } = x;
  return b.ltU(b.shlConst(head(x, type, value), 1), b.i32(headOf(type, largest[type])));
}

/** Finite, and at least twice the smallest normal number. */
export function isOrdinary(x: Context, type: Float, value: Value): Value {
  const { b } = x;
  const lowest = headOf(type, 2);
  return b.ltU(b.addConst(b.shlConst(head(x, type, value), 1), -lowest), b.i32(headOf(type, largest[type]) - lowest));
}

/**
 * 0 for denormals (and the smallest normal number), not 0 for zeros and the rest: moved up by one bit, less one, the
 * exponent alone.
 */
function weight(x: Context, type: Float, value: Value): Value {
  const { b } = x;
  return b.shrUConst(b.addConst(b.shlConst(value, 1), -1), precision[type]);
}

/** Not 0 when neither is denormal: the product of two numbers of 11 bits at most. */
function noDenormal(x: Context, type: Float, a: Value, c: Value): Value {
  const { b } = x;
  return b.ne(b.mul(weight(x, type, a), weight(x, type, c)), b.constant(b.typeOf(a), 0));
}

/** Not 0 when the value is neither a NaN nor denormal. */
export function isPlain(x: Context, type: Float, value: Value): Value {
  const { b } = x;
  const float = asFloat(x, type, value);
  return b.and(b.op(`${type}.eq`, [float, float]), b.ne(weight(x, type, value), b.constant(b.typeOf(value), 0)));
}

export type Arithmetic = 'add' | 'sub' | 'mul' | 'div';
export type Extreme = 'min' | 'max';

/**
 * Numbers whose exponent lies in the middle quarter (f64: from 2**-255 to below 2**257, f32: from 2**-31 to below 2**33): their
 * sums, products and quotients need no look at the result. Programs calculate with hardly anything else, and this takes a
 * third of the time of the thorough test, which knows zeros and all the rest. With the quarter moved to 0 the exponent's
 * two top bits tell.
 */
const quarter = {
  f32: { start: 0x30000000n, outside: 0x60000000n },
  f64: { start: 0x3000000000000000n, outside: 0x6000000000000000n },
} as const;
/**
 * PE set and masked, rounding to nearest; 0 then. With everyday numbers and results nothing else of MXCSR counts: the other
 * exceptions do not arise, and there is nothing denormal for DAZ and FTZ.
 */
const INEXACT = 0x1020;
const INEXACT_MASK = 0x7020;
function mayNotBeInexact(x: Context): Value {
  const { b } = x;
  return x.lasting('mayNotBeInexact', () => b.xor(b.andConst(b.loadState('32', MXCSR), INEXACT_MASK), b.i32(INEXACT)));
}
/** 0 where mayNotBeInexact is, else all ones from bit 15 on. */
function barsInexact(x: Context, type: Float): Value {
  const { b } = x;
  return x.lasting(`barsInexact ${type}`, () => (type === 'f32' ? b.sub(b.i32(0), mayNotBeInexact(x)) : b.sub(b.i64(0n), b.extendU(mayNotBeInexact(x)))));
}

/** a and c are bits. */
export function scalarArithmetic(x: Context, type: Float, name: Arithmetic, a: Value, c: Value): Inline {
  const { b } = x;
  const value = b.op(`${type}.${name}`, [asFloat(x, type, a), asFloat(x, type, c)]);
  const isSum = name === 'add' || name === 'sub';
  const { start, outside } = quarter[type];
  const any = b.or(b.addConst(a, -start), b.or(b.addConst(c, -start), barsInexact(x, type)));
  return {
    value,
    holds: b.eqz(b.andConst(any, outside)),
    thorough: () => {
      const result = asBits(x, type, value);
      const fits = isSum ? isFinite(x, type, result) : isOrdinary(x, type, result);
      return b.and(b.and(fits, noDenormal(x, type, a, c)), mayRound(x));
    },
  };
}

/** Of positive normal numbers. */
export function scalarSquareRoot(x: Context, type: Float, c: Value): Inline {
  const { b } = x;
  const lowest = headOf(type, 1) >>> 1;
  const normal = b.ltU(b.addConst(head(x, type, c), -lowest), b.i32((headOf(type, largest[type]) >>> 1) - lowest));
  return { value: b.op(`${type}.sqrt`, [asFloat(x, type, c)]), holds: b.and(normal, mayRound(x)) };
}

/** How a and c compare, as i32 0 or 1. */
interface Order {
  readonly less: Value;
  readonly equal: Value;
  /** Nothing is raised: neither is a NaN or denormal. */
  readonly holds: Value;
}
export function scalarOrder(x: Context, type: Float, a: Value, c: Value): Order {
  const { b } = x;
  const [p, q] = [asFloat(x, type, a), asFloat(x, type, c)];
  const less = b.op(`${type}.lt`, [p, q]);
  const equal = b.op(`${type}.eq`, [p, q]);
  const ordered = b.or(b.or(less, equal), b.op(`${type}.gt`, [p, q]));
  return { less, equal, holds: b.and(ordered, noDenormal(x, type, a, c)) };
}

/** MIN and MAX: the second operand unless the first is truly less or greater (SDM 2B, MINSD). */
export function scalarExtreme(x: Context, type: Float, name: Extreme, a: Value, c: Value): Inline {
  const { b } = x;
  const [p, q] = [asFloat(x, type, a), asFloat(x, type, c)];
  const first = b.op(`${type}.${name === 'min' ? 'lt' : 'gt'}`, [p, q]);
  const ordered = b.or(b.op(`${type}.le`, [p, q]), b.op(`${type}.gt`, [p, q]));
  return { value: b.select(first, a, c), holds: b.and(ordered, noDenormal(x, type, a, c)) };
}

// Packed: the same by lanes.

const ones = (x: Context): Value => x.b.v128(new Uint8Array(16).fill(0xff));
export const zeros = (x: Context): Value => x.b.v128(new Uint8Array(16));

function packedWeight(x: Context, type: Float, value: Value): Value {
  const { b } = x;
  const lanes = lanesOf[type];
  return b.op(`${lanes}.shr_u`, [b.op(`${lanes}.add`, [b.op(`${lanes}.shl`, [value, b.i32(1)]), ones(x)]), b.i32(precision[type])]);
}
/** Lanes that are 0 when an operand's is denormal; the upper half of a lane is always 0. */
function packedNoDenormal(x: Context, type: Float, a: Value, c: Value): Value {
  return x.b.op('i32x4.min_u', [packedWeight(x, type, a), packedWeight(x, type, c)]);
}
/** All ones in the lanes that are finite. */
export function packedFinite(x: Context, type: Float, value: Value): Value {
  const difference = x.b.op(`${vectorOf[type]}.sub`, [value, value]);
  return x.b.op(`${vectorOf[type]}.eq`, [difference, difference]);
}
export const allNonzero = (x: Context, type: Float, value: Value): Value => x.b.op(`${lanesOf[type]}.all_true`, [value]);

/** Added, it moves the middle half of the exponents to where their top bit is 0. V8 makes it so in two instructions, as a constant in four. */
function packedStart(x: Context, type: Float): Value {
  return x.lasting(`packedStart ${type}`, () => x.b.op(`${lanesOf[type]}.shl`, [ones(x), x.b.i32(bits[type] - 3)]));
}

/**
 * Everyday numbers have the exponent in the middle half here (f64: from 2**-511 to below 2**513, f32: from 2**-63 to below 2**65),
 * and so must results that are no sums.
 */
export function packedArithmetic(x: Context, type: Float, name: Arithmetic, a: Value, c: Value): Inline {
  const { b } = x;
  const [vector, lanes] = [vectorOf[type], lanesOf[type]];
  const value = b.op(`${vector}.${name}`, [a, c]);
  const isSum = name === 'add' || name === 'sub';
  const shifted = (number: Value, by: number): Value => b.op(`${lanes}.shl`, [number, b.i32(by)]);
  const start = packedStart(x, type);
  const moved = (isSum ? [a, c] : [a, c, value]).map((number) => b.op(`${lanes}.add`, [number, start]));
  const outside = b.op(`${lanes}.bitmask`, [shifted(moved.reduce((all, one) => b.op('v128.or', [all, one])), 1)]);
  return {
    value,
    holds: b.eqz(b.or(outside, mayNotBeInexact(x))),
    thorough: () => {
      let holds = b.op('v128.and', [packedNoDenormal(x, type, a, c), packedFinite(x, type, value)]);
      if (!isSum) {
        const large = b.op(`${lanes}.shr_u`, [shifted(value, 1), b.i32(precision[type] + 1)]);
        // What is zero because of an operand is exact.
        let zero = b.op(`${vector}.eq`, [a, zeros(x)]);
        if (name === 'mul') zero = b.op('v128.or', [zero, b.op(`${vector}.eq`, [c, zeros(x)])]);
        const nonzero = b.op(`${lanes}.ne`, [b.op('v128.or', [large, zero]), zeros(x)]);
        holds = b.op('v128.and', [holds, nonzero]);
      }
      return b.and(allNonzero(x, type, holds), mayRound(x));
    },
  };
}

export function packedSquareRoot(x: Context, type: Float, c: Value): Inline {
  const { b } = x;
  const value = b.op(`${vectorOf[type]}.sqrt`, [c]);
  const holds = b.op('v128.and', [packedWeight(x, type, c), packedFinite(x, type, value)]);
  return { value, holds: b.and(allNonzero(x, type, holds), mayRound(x)) };
}

/** Not 0 when no lane of either is a NaN or denormal. */
export function packedPlain(x: Context, type: Float, a: Value, c: Value): Value {
  const { b } = x;
  const numbers = (value: Value): Value => b.op(`${vectorOf[type]}.eq`, [value, value]);
  return allNonzero(x, type, b.op('v128.and', [packedNoDenormal(x, type, a, c), b.op('v128.and', [numbers(a), numbers(c)])]));
}

export function packedExtreme(x: Context, type: Float, name: Extreme, a: Value, c: Value): Inline {
  return { value: x.b.op(`${vectorOf[type]}.p${name}`, [c, a]), holds: packedPlain(x, type, a, c) };
}

/**
 * Of operands that are neither NaN nor denormal: EQ, LT, LE, never, and their negations. AVX's predicates from 8 on differ
 * from these in what they say of NaNs (SDM 2A, CMPPD, table 3-1).
 */
function predicated(x: Context, predicate: Value, never: Value, test: (name: 'eq' | 'lt' | 'le') => Value, negate: (value: Value) => Value): Value {
  const { b } = x;
  const result = b.variable(b.typeOf(never));
  const kind = b.andConst(predicate, 3);
  const is = (number: number, value: () => Value, otherwise: () => void): void => b.if(b.eq(kind, b.i32(number)), () => b.set(result, value()), otherwise);
  is(0, () => test('eq'), () => is(1, () => test('lt'), () => is(2, () => test('le'), () => b.set(result, never))));
  b.if(b.andConst(predicate, 4), () => b.set(result, negate(b.get(result))));
  return b.get(result);
}

export function scalarCompare(x: Context, type: Float, predicate: Value, a: Value, c: Value): Inline {
  const { b } = x;
  const [p, q] = [asFloat(x, type, a), asFloat(x, type, c)];
  const mask = b.sub(b.i32(0), predicated(x, predicate, b.i32(0), (name) => b.op(`${type}.${name}`, [p, q]), (bit) => b.eqz(bit)));
  return { value: type === 'f32' ? mask : b.extendS(mask), holds: scalarOrder(x, type, a, c).holds };
}
export function packedCompare(x: Context, type: Float, predicate: Value, a: Value, c: Value): Inline {
  const { b } = x;
  const value = predicated(x, predicate, zeros(x), (name) => b.op(`${vectorOf[type]}.${name}`, [a, c]), (mask) => b.op('v128.not', [mask]));
  return { value, holds: packedPlain(x, type, a, c) };
}
