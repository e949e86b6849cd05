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
export function narrowOf(ir: Ir, value: Value): Value | undefined {
  const op = ir.op[value]!;
  return op === EXTEND_U || op === EXTEND_S ? ir.a[value]! as Value : undefined;
}

/** The operand of a zero-extension. */
export function zeroExtended(ir: Ir, value: Value): Value | undefined {
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

const REINTERPRETED = Object.fromEntries((['i32 f32', 'i64 f64', 'f32 i32', 'f64 i64'] as const).map((pair) => {
  const [to, from] = pair.split(' ');
  return [`${to}.reinterpret_${from}`, operationNumber(`${from}.reinterpret_${to}`)];
}));
/** The operand of a conversion of bits that undoes another one. */
export function reinterpretedTwice(ir: Ir, name: string, value: Value): Value | undefined {
  const inverse = REINTERPRETED[name];
  return inverse !== undefined && ir.op[value] === inverse ? ir.a[value]! as Value : undefined;
}

/** What a numeric operation comes to when it need not be done: a constant (bigint) or a value that is there already. */
export function foldNumeric(ir: Ir, name: string, args: readonly Value[]): { constant: bigint } | { value: Value } | undefined {
  const dot = name.indexOf('.');
  const type = name.slice(0, dot);
  if (type !== 'i32' && type !== 'i64') return undefined;
  const bits = type === 'i32' ? 32 : 64;
  const operation = name.slice(dot + 1);
  const a = constantOf(ir, args[0]!);
  if (args.length === 1) return foldUnary(ir, operation, args[0]!, a);
  const b = constantOf(ir, args[1]!);
  if (b === undefined) return undefined;
  if (a !== undefined) {
    const compute = computations[operation];
    if (compute === undefined) return undefined;
    const result = compute(a, b, bits);
    return { constant: typeof result === 'boolean' ? BigInt(result) : BigInt.asIntN(bits, result) };
  }
  if (b === 0n && ZERO_IS_NEUTRAL.has(operation)) return { value: args[0]! };
  if (operation === 'and' && b === -1n) return { value: args[0]! };
  if ((operation === 'and' || operation === 'mul') && b === 0n) return { constant: 0n };
  if (operation === 'mul' && b === 1n) return { value: args[0]! };
  return undefined;
}

function foldUnary(ir: Ir, operation: string, x: Value, constant: bigint | undefined): { constant: bigint } | { value: Value } | undefined {
  switch (operation) {
    case 'wrap_i64': {
      if (constant !== undefined) return { constant: BigInt.asIntN(32, constant) };
      const narrow = narrowOf(ir, x);
      return narrow === undefined ? undefined : { value: narrow };
    }
    case 'extend_i32_u':
      return constant === undefined ? undefined : { constant: BigInt.asUintN(32, constant) };
    case 'extend_i32_s':
      return constant === undefined ? undefined : { constant };
    case 'extend8_s':
      return constant === undefined ? undefined : { constant: BigInt.asIntN(8, constant) };
    case 'extend16_s':
      return constant === undefined ? undefined : { constant: BigInt.asIntN(16, constant) };
    case 'eqz':
      return constant === undefined ? undefined : { constant: BigInt(constant === 0n) };
    default:
      return undefined;
  }
}

/** `x + c` or `x & c` as its parts, for joining it with another constant. */
export function withConstant(ir: Ir, value: Value, operation: 'add' | 'and'): { x: Value; constant: bigint } | undefined {
  const name = operations[ir.op[value]!]!.name;
  if (name !== `i32.${operation}` && name !== `i64.${operation}`) return undefined;
  const constant = constantOf(ir, ir.b[value]! as Value);
  return constant === undefined ? undefined : { x: ir.a[value]! as Value, constant };
}
