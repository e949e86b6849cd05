import type { Value, Variable } from '../../../ir/ir.ts';
import { FLOAT_ADD, FLOAT_COMPARE, FLOAT_DIV, FLOAT_MAX, FLOAT_MIN, FLOAT_MUL, FLOAT_SQRT, FLOAT_SUB } from '../routines/float-operations.ts';
import type { Context, Semantics, SemanticsTable } from './context.ts';
import * as inline from './float-convert.ts';
import {
  asBits, bits, orExact, orExactHalves, packedArithmetic, packedCompare, packedExtreme, packedSquareRoot, scalarArithmetic, scalarCompare, scalarExtreme, scalarOrder, scalarSquareRoot,
} from './float-inline.ts';
import type { Float, Inline } from './float-inline.ts';
import { readNarrow } from './vector-sse4.ts';
import { binaryFloat, requireSse, scalarSources, shuffle, writeScalar } from './vector.ts';

// SSE and SSE2 floating point, exact to the bit, MXCSR included (DESIGN D6): inline where float-inline.ts and
// float-convert.ts know the result, everything else is the business of the exact routines in src/runtime/sse.ts.

const operationNumbers = { add: FLOAT_ADD, sub: FLOAT_SUB, mul: FLOAT_MUL, div: FLOAT_DIV, sqrt: FLOAT_SQRT, min: FLOAT_MIN, max: FLOAT_MAX } as const;
type OperationName = keyof typeof operationNumbers;

/** Both operands as bits: the exact routine. */
function exact(x: Context, type: Float, operation: Value, a: Value, c: Value): Value {
  return x.call(type === 'f32' ? 'sseF32' : 'sseF64', [operation, a, c]);
}

function inlineScalar(x: Context, type: Float, name: OperationName, a: Value, c: Value): Inline {
  if (name === 'sqrt') return scalarSquareRoot(x, type, c);
  return name === 'min' || name === 'max' ? scalarExtreme(x, type, name, a, c) : scalarArithmetic(x, type, name, a, c);
}

function scalar(name: OperationName, type: Float): Semantics {
  return (x) => {
    requireSse(x);
    const { a, c } = scalarSources(x, bits[type]);
    writeScalar(x, orExact(x, inlineScalar(x, type, name, a, c), () => exact(x, type, x.b.i32(operationNumbers[name]), a, c)), bits[type]);
  };
}

function exactPacked(x: Context, type: Float, operation: Value, a: Value, c: Value): Value {
  return x.call(type === 'f32' ? 'sseF32x4' : 'sseF64x2', [operation, a, c]);
}

function inlinePacked(x: Context, type: Float, name: OperationName, a: Value, c: Value): Inline {
  if (name === 'sqrt') return packedSquareRoot(x, type, c);
  return name === 'min' || name === 'max' ? packedExtreme(x, type, name, a, c) : packedArithmetic(x, type, name, a, c);
}

const packed = (name: OperationName, type: Float): Semantics =>
  binaryFloat((x, a, c) => exactPacked(x, type, x.b.i32(operationNumbers[name]), a, c), (x, a, c) => inlinePacked(x, type, name, a, c));

/** SSE has the predicates 0 to 7: EQ LT LE UNORD NEQ NLT NLE ORD; AVX 32 of them (SDM 2A, CMPPD, table 3-1). */
function predicate(x: Context): Value {
  return x.b.addConst(x.b.andConst(x.immediate(8), x.vex ? 31 : 7), FLOAT_COMPARE);
}
const comparePacked = (type: Float): Semantics => binaryFloat((x, a, c) => exactPacked(x, type, predicate(x), a, c), (x, a, c) => packedCompare(x, type, x.immediate(8), a, c));
function compareScalar(type: Float): Semantics {
  return (x) => {
    requireSse(x);
    const { a, c } = scalarSources(x, bits[type]);
    writeScalar(x, orExact(x, scalarCompare(x, type, x.immediate(8), a, c), () => exact(x, type, predicate(x), a, c)), bits[type]);
  };
}

/** COMISx (`signal` 1: quiet NaNs raise invalid) and UCOMISx. */
function compareFlags(type: Float, signal: number): Semantics {
  return (x) => {
    const { b } = x;
    requireSse(x);
    const c = x.readLow(1, bits[type]);
    const a = x.readLow(0, bits[type]);
    const order = scalarOrder(x, type, a, c);
    const [less, equal, unordered] = [order.less, order.equal, b.i32(0)].map((value) => {
      const variable = b.variable('i32');
      b.set(variable, value);
      return variable;
    }) as [Variable, Variable, Variable];
    b.ifSeldom(b.eqz(order.holds), () => {
      const found = x.call(type === 'f32' ? 'sseCompareF32' : 'sseCompareF64', [a, c, b.i32(signal)]);
      for (const [variable, place] of [[less, 0], [unordered, 2], [equal, 6]] as const) b.set(variable, b.andConst(b.shrUConst(found, place), 1));
    });
    x.flags.setCompared(b.get(less), b.get(equal), b.get(unordered));
  };
}

function toInteger(type: Float, truncate: number): Semantics {
  return (x) => {
    requireSse(x);
    const width = x.width(0) === 64 ? 64 : 32;
    const source = x.readLow(1, bits[type]);
    x.write(0, orExact(x, inline.toInteger(x, type, width, truncate === 1, source), () => x.call(`sse${type.toUpperCase()}ToI${width}`, [source, x.b.i32(truncate)])));
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
      : orExact(x, inline.fromInteger(x, type, source), () => x.call(type === 'f32' ? 'sseI64ToF32' : 'sseI64ToF64', [b.extendS(source)]));
    writeScalar(x, result, bits[type]);
  };
}

/** Inline form, routine and constants for it: a conversion of 128 bits. */
interface Conversion {
  readonly inline: (x: Context, source: Value) => Inline;
  readonly exact: (x: Context, source: Value) => Value;
}
const conversion = (inlined: Conversion['inline'], routine: string, ...constants: readonly number[]): Conversion =>
  ({ inline: inlined, exact: (x, source) => x.call(routine, [source, ...constants.map((value) => x.b.i32(value))]) });
const toIntegers = (type: Float, truncate: number): Conversion =>
  conversion((x, source) => inline.packedToInteger(x, type, truncate === 1, source), type === 'f32' ? 'sseF32x4ToI32x4' : 'sseF64x2ToI32x2', truncate);

function convertHalves(x: Context, sources: readonly Value[], { inline: inlined, exact: exactly }: Conversion): Value[] {
  return orExactHalves(x, sources.map((source) => inlined(x, source)), (half) => exactly(x, sources[half]!));
}

/** Packed conversion of elements to others of their size. */
const convert = ({ inline: inlined, exact: exactly }: Conversion): Semantics => binaryFloat((x, _, c) => exactly(x, c), (x, _, c) => inlined(x, c));

/** To elements of half the size: the lower half of the result, of two sources both halves. */
function narrow(how: Conversion): Semantics {
  return (x) => {
    requireSse(x);
    const [low, high] = convertHalves(x, x.readHalves(1), how);
    x.writeHalves(0, [high === undefined ? low! : shuffle([0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23])(x, low!, high)]);
  };
}

/** To elements of twice the size. */
function widen(how: Conversion): Semantics {
  return (x) => {
    requireSse(x);
    x.writeHalves(0, convertHalves(x, readNarrow(x, 64), how));
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
    writeScalar(x, orExact(x, inline.widen(x, source), () => x.call('sseF32ToF64', [source])), 64);
  },
  cvtsd2ss: (x) => {
    requireSse(x);
    const source = x.readLow(x.lastSource, 64);
    writeScalar(x, orExact(x, inline.narrow(x, source), () => x.call('sseF64ToF32', [source])), 32);
  },
  cvtps2pd: widen({ inline: inline.packedWiden, exact: (x, source) => x.call('sseF32x2ToF64x2', [x.b.op('i64x2.extract_lane', [source], 0)]) }),
  cvtpd2ps: narrow(conversion(inline.packedNarrow, 'sseF64x2ToF32x2')),
  cvtdq2ps: convert(conversion(inline.packedFromInteger, 'sseI32x4ToF32x4')),
  cvtdq2pd: widenExactly,
  cvtps2dq: convert(toIntegers('f32', 0)),
  cvttps2dq: convert(toIntegers('f32', 1)),
  cvtpd2dq: narrow(toIntegers('f64', 0)),
  cvttpd2dq: narrow(toIntegers('f64', 1)),
};
