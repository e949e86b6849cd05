import type { Value } from '../../../ir/ir.ts';
import { MXCSR } from '../state/layout.ts';
import type { Context } from './context.ts';
import { allNonzero, asBits, asFloat, isOrdinary, isPlain, mayRound, packedFinite, packedPlain, vectorOf, zeros } from './float-inline.ts';
import type { Float, Inline } from './float-inline.ts';

// Conversions without the routines, as float-inline.ts has it for arithmetic. Those to and from integers and ROUNDSD
// raise neither UE nor DE (SDM 1, 11.5.2).

/** PE set and masked: an inexact result leaves MXCSR as it is. `nearest`: RC is that as well. */
function inexactIsFree(x: Context, nearest: boolean): Value {
  const { b } = x;
  return b.eq(b.andConst(b.loadState('32', MXCSR), nearest ? 0x7020 : 0x1020), b.i32(0x1020));
}

/** The top 32 bits of 2^(width - 1), less one where doubles might be rounded up to it. */
const limits = { f32: { 32: 0x4f000000, 64: 0x5f000000 }, f64: { 32: 0x41dfffff, 64: 0x43dfffff } } as const;

/** CVTSD2SI and the like; what is inexact while PE is clear, and what is out of range, is the routine's. */
export function toInteger(x: Context, type: Float, width: 32 | 64, truncate: boolean, source: Value): Inline {
  const { b } = x;
  const float = asFloat(x, type, source);
  const rounded = truncate ? float : b.op(`${type}.nearest`, [float]);
  const top = type === 'f32' ? source : b.wrap(b.shrUConst(source, 32));
  const inRange = b.ltU(b.andConst(top, 0x7fffffff), b.i32(limits[type][width]));
  return { value: b.op(`i${width}.trunc_sat_${type}_s`, [rounded]), holds: b.and(inRange, inexactIsFree(x, !truncate)) };
}

/** CVTSI2SD of 64 bits, CVTSI2SS: exact up to the width of the significand. */
export function fromInteger(x: Context, type: Float, source: Value): Inline {
  const { b } = x;
  const integer = b.typeOf(source);
  const limit = type === 'f32' ? 1n << 24n : 1n << 53n;
  const exact = b.leU(b.addConst(source, limit), b.constant(integer, 2n * limit));
  return { value: asBits(x, type, b.op(`${type}.convert_${integer}_s`, [source])), holds: b.or(exact, inexactIsFree(x, true)) };
}

/** CVTSS2SD. */
export function widen(x: Context, source: Value): Inline {
  return { value: asBits(x, 'f64', x.b.op('f64.promote_f32', [asFloat(x, 'f32', source)])), holds: isPlain(x, 'f32', source) };
}

/** CVTSD2SS. */
export function narrow(x: Context, source: Value): Inline {
  const { b } = x;
  const value = asBits(x, 'f32', b.op('f32.demote_f64', [asFloat(x, 'f64', source)]));
  const zero = b.eqz(b.shlConst(source, 1));
  return { value, holds: b.or(zero, b.and(isOrdinary(x, 'f32', value), mayRound(x))) };
}

/** CVTPS2PD of the lower two singles. */
export function packedWiden(x: Context, source: Value): Inline {
  const { b } = x;
  const both = b.op('i64x2.splat', [b.op('i64x2.extract_lane', [source], 0)]);
  return { value: b.op('f64x2.promote_low_f32x4', [both]), holds: packedPlain(x, 'f32', both, both) };
}

const splatF64 = (x: Context, value: number): Value => x.b.v128(new Uint8Array(Float64Array.of(value, value).buffer));
const splatF32 = (x: Context, value: number): Value => x.b.v128(new Uint8Array(new Float32Array(4).fill(value).buffer));

/** CVTPD2PS. */
export function packedNarrow(x: Context, source: Value): Inline {
  const { b } = x;
  const value = b.op('f32x4.demote_f64x2_zero', [source]);
  const back = b.op('f64x2.promote_low_f32x4', [value]);
  // As isOrdinary has it for singles: twice the smallest normal one.
  const large = b.op('f64x2.ge', [b.op('f64x2.abs', [back]), splatF64(x, 2 ** -125)]);
  const zero = b.op('f64x2.eq', [source, zeros(x)]);
  const holds = b.op('v128.and', [b.op('v128.or', [large, zero]), packedFinite(x, 'f64', back)]);
  return { value, holds: b.and(allNonzero(x, 'f64', holds), mayRound(x)) };
}

/** CVTDQ2PS. */
export function packedFromInteger(x: Context, source: Value): Inline {
  const { b } = x;
  const splat = (value: number): Value => b.op('i32x4.splat', [b.i32(value)]);
  const small = b.op('i32x4.le_u', [b.op('i32x4.add', [source, splat(1 << 24)]), splat(1 << 25)]);
  return { value: b.op('f32x4.convert_i32x4_s', [source]), holds: b.or(allNonzero(x, 'f32', small), inexactIsFree(x, true)) };
}

/** CVTPS2DQ and CVTPD2DQ, whose upper half becomes zero. */
export function packedToInteger(x: Context, type: Float, truncate: boolean, source: Value): Inline {
  const { b } = x;
  const vector = vectorOf[type];
  const rounded = truncate ? source : b.op(`${vector}.nearest`, [source]);
  const value = b.op(type === 'f32' ? 'i32x4.trunc_sat_f32x4_s' : 'i32x4.trunc_sat_f64x2_s_zero', [rounded]);
  const limit = type === 'f32' ? splatF32(x, 2 ** 31) : splatF64(x, 2 ** 31 - 1);
  const inRange = b.op(`${vector}.lt`, [b.op(`${vector}.abs`, [source]), limit]);
  return { value, holds: b.and(allNonzero(x, type, inRange), inexactIsFree(x, !truncate)) };
}

const roundings = ['nearest', 'floor', 'ceil', 'trunc'] as const;

/** ROUNDxx: bits 0-1 the mode, bit 2 MXCSR's mode instead, bit 3 no PE (SDM 2B, ROUNDPD). Of a NaN nothing holds. */
function round(x: Context, immediate: Value, operation: (name: string) => Value, isNumber: Value): Inline {
  const { b } = x;
  const mode = b.and(b.andConst(immediate, 3), b.addConst(b.shrUConst(b.andConst(immediate, 4), 2), -1));
  const first = operation(roundings[0]);
  const result = b.variable(b.typeOf(first));
  b.set(result, first);
  for (const [number, name] of roundings.entries()) if (number > 0) b.if(b.eq(mode, b.i32(number)), () => b.set(result, operation(name)));
  // DAZ clear; RC nearest where it counts; an inexact result free where it would be reported.
  const reported = b.mul(b.eqz(b.andConst(immediate, 8)), b.i32(0x1020));
  const looked = b.or(b.or(reported, b.i32(0x40)), b.mul(b.andConst(immediate, 4), b.i32(0x1800)));
  return { value: b.get(result), holds: b.and(isNumber, b.eq(b.and(b.loadState('32', MXCSR), looked), reported)) };
}
export function scalarRound(x: Context, type: Float, immediate: Value, source: Value): Inline {
  const { b } = x;
  const float = asFloat(x, type, source);
  return round(x, immediate, (name) => asBits(x, type, b.op(`${type}.${name}`, [float])), b.op(`${type}.eq`, [float, float]));
}
export function packedRound(x: Context, type: Float, immediate: Value, source: Value): Inline {
  const { b } = x;
  const vector = vectorOf[type];
  return round(x, immediate, (name) => b.op(`${vector}.${name}`, [source]), allNonzero(x, type, b.op(`${vector}.eq`, [source, source])));
}
