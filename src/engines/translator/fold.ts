import type { Builder } from '../../ir/builder.ts';
import type { Ir, Value } from '../../ir/ir.ts';
import { operationNumber, operations } from '../../ir/operations.ts';

// Constant folding and the identities that address arithmetic and sub-registers give rise to.

const CONST_I32 = operationNumber('const.i32');
const CONST_I64 = operationNumber('const.i64');
const EXTEND_U = operationNumber('i64.extend_i32_u');
const EXTEND_S = operationNumber('i64.extend_i32_s');

/** The value of a constant, sign-extended; undefined for anything else. */
export function constantOf(ir: Ir, value: Value): bigint | undefined {
  const op = ir.op[value]!;
  return op === CONST_I32 || op === CONST_I64 ? ir.immediate[value]! : undefined;
}

/** The operand of a conversion from i32, whatever it does to the upper half. */
function narrowOf(ir: Ir, value: Value): Value | undefined {
  const op = ir.op[value]!;
  return op === EXTEND_U || op === EXTEND_S ? ir.a[value]! as Value : undefined;
}

/** The operand of a zero-extension. */
function zeroExtended(ir: Ir, value: Value): Value | undefined {
  return ir.op[value] === EXTEND_U ? ir.a[value]! as Value : undefined;
}

type Compute = (a: bigint, b: bigint, bits: number) => bigint | boolean;
const unsigned = (a: bigint, bits: number): bigint => BigInt.asUintN(bits, a);

const computations: Readonly<Record<string, Compute>> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  and: (a, b) => a & b,
  or: (a, b) => a | b,
  xor: (a, b) => a ^ b,
  shl: (a, b, bits) => a << (b & BigInt(bits - 1)),
  shr_u: (a, b, bits) => unsigned(a, bits) >> (b & BigInt(bits - 1)),
  shr_s: (a, b, bits) => a >> (b & BigInt(bits - 1)),
  eq: (a, b) => a === b,
  ne: (a, b) => a !== b,
  lt_s: (a, b) => a < b,
  lt_u: (a, b, bits) => unsigned(a, bits) < unsigned(b, bits),
  gt_s: (a, b) => a > b,
  gt_u: (a, b, bits) => unsigned(a, bits) > unsigned(b, bits),
  le_s: (a, b) => a <= b,
  le_u: (a, b, bits) => unsigned(a, bits) <= unsigned(b, bits),
  ge_s: (a, b) => a >= b,
  ge_u: (a, b, bits) => unsigned(a, bits) >= unsigned(b, bits),
};

/** Operations that a right operand of 0 leaves alone. */
const ZERO_IS_NEUTRAL = new Set(['add', 'sub', 'or', 'xor', 'shl', 'shr_u', 'shr_s', 'rotl', 'rotr']);
/** Operations whose operands may change places. */
const COMMUTES = new Set(['add', 'mul', 'and', 'or', 'xor']);
/** What undoes a conversion of bits. */
const REINTERPRETED: Readonly<Record<string, string>> = { 'i32.reinterpret_f32': 'f32.reinterpret_i32', 'i64.reinterpret_f64': 'f64.reinterpret_i64', 'f32.reinterpret_i32': 'i32.reinterpret_f32', 'f64.reinterpret_i64': 'i64.reinterpret_f64' };

/** How an operation of two operands folds. */
interface Rule {
  readonly name: string;
  readonly bits: 32 | 64;
  readonly wide: boolean;
  readonly compute: Compute | undefined;
  readonly zeroIsNeutral: boolean;
  readonly commutes: boolean;
}
const rules = operations.map(({ name, params, result }): Rule | undefined => {
  const operation = name.slice(4);
  if (params.length !== 2 || !/^i(32|64)\./.test(name)) return undefined;
  return { name: operation, bits: params[0] === 'i32' ? 32 : 64, wide: result === 'i64', compute: computations[operation], zeroIsNeutral: ZERO_IS_NEUTRAL.has(operation), commutes: COMMUTES.has(operation) };
});
const unary = operations.map(({ name, params }): string | undefined => (params.length === 1 && /^i(32|64)\./.test(name) ? name : undefined));
const inverse = operations.map(({ name }) => (REINTERPRETED[name] === undefined ? -1 : operationNumber(REINTERPRETED[name])));

/** The value of a numeric operation that need not be done: a constant, one that is there already, or a simpler one; else undefined. */
export function fold(b: Builder, code: number, x: Value, y: Value | undefined): Value | undefined {
  const { ir } = b;
  if (y === undefined) {
    if (inverse[code] === ir.op[x]) return ir.a[x]! as Value;
    const name = unary[code];
    return name === undefined ? undefined : foldUnary(b, name, x);
  }
  const rule = rules[code];
  if (rule === undefined) return undefined;
  const right = constantOf(ir, y);
  const left = constantOf(ir, x);
  // A constant on the left is looked at as one on the right.
  if (right === undefined) return left !== undefined && rule.commutes ? fold(b, code, y, x) : undefined;
  if (left !== undefined) {
    if (rule.compute === undefined) return undefined;
    const result = rule.compute(left, right, rule.bits);
    return typeof result === 'boolean' ? b.i32(result ? 1 : 0) : b.constant(rule.wide ? 'i64' : 'i32', BigInt.asIntN(rule.bits, result));
  }
  if (right === 0n && rule.zeroIsNeutral) return x;
  switch (rule.name) {
    case 'and':
      if (right === -1n) return x;
      if (right === 0n) return y;
      break;
    case 'mul':
      if (right === 1n) return x;
      return right === 0n ? y : undefined;
    case 'add':
      break;
    default:
      return undefined;
  }
  // (x + c) + d and (x & c) & d.
  if (ir.op[x] !== code) return undefined;
  const inner = constantOf(ir, ir.b[x]! as Value);
  if (inner === undefined) return undefined;
  return rule.name === 'add' ? b.addConst(ir.a[x]! as Value, inner + right) : b.andConst(ir.a[x]! as Value, inner & right);
}

function foldUnary(b: Builder, name: string, x: Value): Value | undefined {
  const constant = constantOf(b.ir, x);
  switch (name) {
    case 'i32.wrap_i64':
      return constant === undefined ? narrowOf(b.ir, x) : b.constant('i32', constant);
    case 'i64.extend_i32_u':
      return constant === undefined ? undefined : b.i64(BigInt.asUintN(32, constant));
    case 'i64.extend_i32_s':
      return constant === undefined ? undefined : b.i64(constant);
    case 'i32.extend8_s':
    case 'i64.extend8_s':
      return constant === undefined ? undefined : b.constant(name.slice(0, 3) as 'i32', BigInt.asIntN(8, constant));
    case 'i32.extend16_s':
    case 'i64.extend16_s':
      return constant === undefined ? undefined : b.constant(name.slice(0, 3) as 'i32', BigInt.asIntN(16, constant));
    case 'i64.extend32_s': {
      const narrow = zeroExtended(b.ir, x);
      return narrow === undefined ? undefined : b.extendS(narrow);
    }
    case 'i32.eqz':
    case 'i64.eqz':
      return constant === undefined ? undefined : b.i32(constant === 0n ? 1 : 0);
    default:
      return undefined;
  }
}
