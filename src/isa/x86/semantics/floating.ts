import type { Value } from '../../../ir/ir.ts';
import type { Context, Semantics, SemanticsTable } from './context.ts';
import { requireSse } from './vector.ts';

// SSE and SSE2 floating point under the default rounding. MXCSR's sticky bits, other rounding modes, DAZ, FTZ and unmasked
// exceptions are not honoured yet: docs/progress.md, known differences.

type Float = 'f32' | 'f64';
const vectorOf = { f32: 'f32x4', f64: 'f64x2' } as const;
const bits = { f32: 32, f64: 64 } as const;

function asFloat(x: Context, type: Float, value: Value): Value {
  return x.b.op(type === 'f32' ? 'f32.reinterpret_i32' : 'f64.reinterpret_i64', [value]);
}
function asBits(x: Context, type: Float, value: Value): Value {
  return x.b.op(type === 'f32' ? 'i32.reinterpret_f32' : 'i64.reinterpret_f64', [value]);
}
function readScalar(x: Context, i: number, type: Float): Value {
  return asFloat(x, type, x.readLow(i, bits[type]));
}
function constant(x: Context, type: Float, value: number): Value {
  const view = new DataView(new ArrayBuffer(8));
  if (type === 'f32') {
    view.setFloat32(0, value);
    return asFloat(x, type, x.b.i32(view.getInt32(0)));
  }
  view.setFloat64(0, value);
  return asFloat(x, type, x.b.i64(view.getBigInt64(0)));
}

/** min and max return the second operand when either is a NaN or both are zero (SDM 2B, MINPS). */
function vectorOperation(x: Context, name: string, type: Float, a: Value, c: Value): Value {
  const lane = vectorOf[type];
  if (name === 'min') return x.b.op(`${lane}.pmin`, [c, a]);
  if (name === 'max') return x.b.op(`${lane}.pmax`, [c, a]);
  if (name === 'sqrt') return x.b.op(`${lane}.sqrt`, [c]);
  return x.b.op(`${lane}.${name}`, [a, c]);
}

function packed(name: string, type: Float): Semantics {
  return (x) => {
    requireSse(x);
    const source = x.readVector(1, true);
    x.writeVector(0, vectorOperation(x, name, type, x.readVector(0, true), source), true);
  };
}

function scalar(name: string, type: Float): Semantics {
  return (x) => {
    const { b } = x;
    requireSse(x);
    const c = readScalar(x, 1, type);
    const a = readScalar(x, 0, type);
    let r: Value;
    if (name === 'min') r = b.select(b.op(`${type}.lt`, [a, c]), a, c);
    else if (name === 'max') r = b.select(b.op(`${type}.gt`, [a, c]), a, c);
    else if (name === 'sqrt') r = b.op(`${type}.sqrt`, [c]);
    else r = b.op(`${type}.${name}`, [a, c]);
    x.writeLow(0, asBits(x, type, r), bits[type]);
  };
}

/** ZF PF CF: unordered 111, greater 000, less 001, equal 100 (SDM 2A, COMISD). */
function compareOrdered(type: Float): Semantics {
  return (x) => {
    const { b } = x;
    requireSse(x);
    const c = readScalar(x, 1, type);
    const a = readScalar(x, 0, type);
    const less = b.op(`${type}.lt`, [a, c]);
    const equal = b.op(`${type}.eq`, [a, c]);
    const ordered = b.and(b.op(`${type}.eq`, [a, a]), b.op(`${type}.eq`, [c, c]));
    x.flags.setAll(b.select(ordered, b.or(less, b.shlConst(equal, 6)), b.i32(0x45)));
  };
}

/** Predicates 0 to 7: EQ LT LE UNORD NEQ NLT NLE ORD. */
function comparePacked(x: Context, type: Float, a: Value, c: Value): Value {
  const { b } = x;
  const lane = vectorOf[type];
  const predicate = x.immediate(8);
  const both = (name: string): Value => b.op(`${lane}.${name}`, [a, c]);
  const unordered = b.op('v128.or', [b.op(`${lane}.ne`, [a, a]), b.op(`${lane}.ne`, [c, c])]);
  const low = b.andConst(predicate, 1);
  const first = b.select(low, both('lt'), both('eq'));
  const second = b.select(low, unordered, both('le'));
  const positive = b.select(b.andConst(predicate, 2), second, first);
  return b.select(b.andConst(predicate, 4), b.op('v128.not', [positive]), positive);
}

function compare(type: Float, isScalar: boolean): Semantics {
  return (x) => {
    const { b } = x;
    requireSse(x);
    if (!isScalar) {
      const source = x.readVector(1, true);
      x.writeVector(0, comparePacked(x, type, x.readVector(0, true), source), true);
      return;
    }
    const lift = (i: number): Value => b.op(type === 'f32' ? 'i32x4.splat' : 'i64x2.splat', [x.readLow(i, bits[type])]);
    const c = lift(1);
    const mask = comparePacked(x, type, lift(0), c);
    x.writeLow(0, b.op(type === 'f32' ? 'i32x4.extract_lane' : 'i64x2.extract_lane', [mask], 0), bits[type]);
  };
}

/** To a signed integer; out of range or NaN gives the integer indefinite, the most negative value. */
function toInteger(type: Float, truncate: boolean): Semantics {
  return (x) => {
    const { b } = x;
    requireSse(x);
    const width = x.width(0) === 64 ? 64 : 32;
    const source = readScalar(x, 1, type);
    const value = truncate ? source : b.op(`${type}.nearest`, [source]);
    const converted = b.op(`i${width}.trunc_sat_${type}_s`, [value]);
    const limit = width === 64 ? 2 ** 63 : 2 ** 31;
    // Between -limit - 1 and limit, exclusive, after truncation: for f64 to 32 bits the lower bound is -2^31 - 1.
    const low = type === 'f64' && width === 32 ? b.op('f64.gt', [value, constant(x, type, -limit - 1)]) : b.op(`${type}.ge`, [value, constant(x, type, -limit)]);
    const inRange = b.and(low, b.op(`${type}.lt`, [value, constant(x, type, limit)]));
    x.write(0, b.select(inRange, converted, width === 64 ? b.i64(-(1n << 63n)) : b.i32(-0x80000000)));
  };
}

function fromInteger(type: Float): Semantics {
  return (x) => {
    requireSse(x);
    const width = x.width(1) === 64 ? 64 : 32;
    x.writeLow(0, asBits(x, type, x.b.op(`${type}.convert_i${width}_s`, [x.read(1)])), bits[type]);
  };
}

/** Four singles to integers, with the indefinite value for what does not fit. */
function packedToDwords(truncate: boolean): Semantics {
  return (x) => {
    const { b } = x;
    requireSse(x);
    const source = x.readVector(1, true);
    let value = source;
    if (!truncate) {
      for (let k = 0; k < 4; k++) value = b.op('f32x4.replace_lane', [value, b.op('f32.nearest', [b.op('f32x4.extract_lane', [source], k)])], k);
    }
    const limit = b.op('f32x4.splat', [constant(x, 'f32', 2 ** 31)]);
    const inRange = b.op('v128.and', [b.op('f32x4.lt', [value, limit]), b.op('f32x4.ge', [value, b.op('f32x4.neg', [limit])])]);
    const converted = b.op('i32x4.trunc_sat_f32x4_s', [value]);
    x.writeVector(0, b.op('v128.bitselect', [converted, b.op('i32x4.splat', [b.i32(-0x80000000)]), inRange]), true);
  };
}

/** Two doubles to integers in the low half, upper half zero. */
function doublesToDwords(truncate: boolean): Semantics {
  return (x) => {
    const { b } = x;
    requireSse(x);
    const source = x.readVector(1, true);
    let result = b.v128(new Uint8Array(16));
    for (let k = 0; k < 2; k++) {
      const lane = b.op('f64x2.extract_lane', [source], k);
      const value = truncate ? lane : b.op('f64.nearest', [lane]);
      const inRange = b.and(b.op('f64.gt', [value, constant(x, 'f64', -(2 ** 31) - 1)]), b.op('f64.lt', [value, constant(x, 'f64', 2 ** 31)]));
      result = b.op('i32x4.replace_lane', [result, b.select(inRange, b.op('i32.trunc_sat_f64_s', [value]), b.i32(-0x80000000))], k);
    }
    x.writeVector(0, result, true);
  };
}

function lowHalf(x: Context): Value {
  return x.b.op('i64x2.splat', [x.readLow(1, 64)]);
}

const operations = ['sqrt', 'add', 'mul', 'sub', 'min', 'div', 'max'];

export const floating: SemanticsTable = {
  ...Object.fromEntries(operations.flatMap((name) => [[`${name}ps`, packed(name, 'f32')], [`${name}pd`, packed(name, 'f64')], [`${name}ss`, scalar(name, 'f32')], [`${name}sd`, scalar(name, 'f64')]])),
  ucomiss: compareOrdered('f32'),
  ucomisd: compareOrdered('f64'),
  comiss: compareOrdered('f32'),
  comisd: compareOrdered('f64'),
  cmpps: compare('f32', false),
  cmppd: compare('f64', false),
  cmpss: compare('f32', true),
  cmpsdx: compare('f64', true),
  cvttss2si: toInteger('f32', true),
  cvttsd2si: toInteger('f64', true),
  cvtss2si: toInteger('f32', false),
  cvtsd2si: toInteger('f64', false),
  cvtsi2ss: fromInteger('f32'),
  cvtsi2sd: fromInteger('f64'),
  cvtss2sd: (x) => {
    requireSse(x);
    x.writeLow(0, asBits(x, 'f64', x.b.op('f64.promote_f32', [readScalar(x, 1, 'f32')])), 64);
  },
  cvtsd2ss: (x) => {
    requireSse(x);
    x.writeLow(0, asBits(x, 'f32', x.b.op('f32.demote_f64', [readScalar(x, 1, 'f64')])), 32);
  },
  cvtps2pd: (x) => {
    requireSse(x);
    x.writeVector(0, x.b.op('f64x2.promote_low_f32x4', [lowHalf(x)]), true);
  },
  cvtpd2ps: (x) => {
    requireSse(x);
    x.writeVector(0, x.b.op('f32x4.demote_f64x2_zero', [x.readVector(1, true)]), true);
  },
  cvtdq2ps: (x) => {
    requireSse(x);
    x.writeVector(0, x.b.op('f32x4.convert_i32x4_s', [x.readVector(1, true)]), true);
  },
  cvtdq2pd: (x) => {
    requireSse(x);
    x.writeVector(0, x.b.op('f64x2.convert_low_i32x4_s', [lowHalf(x)]), true);
  },
  cvtps2dq: packedToDwords(false),
  cvttps2dq: packedToDwords(true),
  cvtpd2dq: doublesToDwords(false),
  cvttpd2dq: doublesToDwords(true),
};
