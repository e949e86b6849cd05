import { NONE } from './ir.ts';
import type { Ir, Value, Variable } from './ir.ts';
import { operationNumber, operations } from './operations.ts';
import type { ValueType } from './operations.ts';

const numberOf = new Map<string, number>();
function number(name: string): number {
  let found = numberOf.get(name);
  if (found === undefined) {
    found = operationNumber(name);
    numberOf.set(name, found);
  }
  return found;
}

/** Numbers of an operation for i32 and for i64. */
interface Pair {
  readonly i32: number;
  readonly i64: number;
}
const pair = (name: string): Pair => ({ i32: operationNumber(`i32.${name}`), i64: operationNumber(`i64.${name}`) });
const [ADD, SUB, MUL, DIV_S, DIV_U, REM_S, REM_U, AND, OR, XOR, SHL, SHR_U, SHR_S, ROTL, ROTR] = ['add', 'sub', 'mul', 'div_s', 'div_u', 'rem_s', 'rem_u', 'and', 'or', 'xor', 'shl', 'shr_u', 'shr_s', 'rotl', 'rotr'].map(pair) as [Pair, Pair, Pair, Pair, Pair, Pair, Pair, Pair, Pair, Pair, Pair, Pair, Pair, Pair, Pair];
const [EQ, NE, LT_S, LT_U, GT_S, GT_U, LE_S, LE_U, GE_S, GE_U, EQZ, CLZ, CTZ, POPCNT] = ['eq', 'ne', 'lt_s', 'lt_u', 'gt_s', 'gt_u', 'le_s', 'le_u', 'ge_s', 'ge_u', 'eqz', 'clz', 'ctz', 'popcnt'].map(pair) as [Pair, Pair, Pair, Pair, Pair, Pair, Pair, Pair, Pair, Pair, Pair, Pair, Pair, Pair];
const [CONST_I32, CONST_I64, CONST_V128, WRAP, EXTEND_U, EXTEND_S] = ['const.i32', 'const.i64', 'const.v128', 'i32.wrap_i64', 'i64.extend_i32_u', 'i64.extend_i32_s'].map(operationNumber) as [number, number, number, number, number, number];
const byType = (name: string, types: readonly ValueType[]): Readonly<Record<string, number>> => Object.fromEntries(types.map((type) => [type, operationNumber(`${name}.${type}`)]));
const ALL: readonly ValueType[] = ['i32', 'i64', 'f32', 'f64', 'v128'];
const SELECT = byType('select', ALL);
const GET = byType('variable.get', ALL);
const SET = byType('variable.set', ALL);
/** Numbers of the loads from the state, by suffix. */
export const LOAD_STATE: Readonly<Record<string, number>> = Object.fromEntries(['8u', '8s', '16u', '16s', '32', '64', 'f32', 'f64', 'v128'].map((suffix) => [suffix, operationNumber(`state.load${suffix}`)]));
const STORE_STATE = Object.fromEntries(['8', '16', '32', '64', 'f32', 'f64', 'v128'].map((suffix) => [suffix, operationNumber(`state.store${suffix}`)]));

/** A routine to call, as the builder needs to know it. */
export interface Callee {
  readonly index: number;
  readonly params: readonly ValueType[];
  readonly result: ValueType | 'none';
}

/**
 * Appends IR. Guest values are opaque handles: a TypeScript `if` decides when the IR is built, `b.if()` is the guest's
 * own branch. Binary methods take two i32 or two i64 values and pick the operation by their type; operand types are
 * checked at once, so a mistake shows where it is made.
 */
export class Builder {
  readonly ir: Ir;
  /** Ids of the open control scopes, outermost first: a value made in one of them may be used here. */
  readonly #scopes: number[] = [0];
  #scopeCount = 0;

  constructor(ir: Ir) {
    this.ir = ir;
  }

  /** Any operation by its name; `lane` for lane operations, `offset` for state and field operations. */
  op(name: string, args: readonly Value[] = [], immediate = 0): Value {
    return this.emit(number(name), args[0], args[1], args[2], immediate);
  }

  /** Any operation by its number. */
  protected emit(code: number, x?: Value, y?: Value, z?: Value, immediate = 0): Value {
    const { name, params } = operations[code]!;
    const given = x === undefined ? 0 : y === undefined ? 1 : z === undefined ? 2 : 3;
    if (given !== params.length) throw new Error(`${name} takes ${params.length} operands, got ${given}`);
    if (given > 0) this.#check(code, 0, x!);
    if (given > 1) this.#check(code, 1, y!);
    if (given > 2) this.#check(code, 2, z!);
    return this.ir.append(code, x ?? NONE, y ?? NONE, z ?? NONE, immediate);
  }
  #check(code: number, i: number, value: Value): void {
    const type = this.ir.typeOf(value);
    const { name, params } = operations[code]!;
    if (type !== params[i]) throw new Error(`${name}: operand ${i} is ${type}, must be ${params[i]}`);
  }

  typeOf(value: Value): ValueType {
    return this.ir.typeOf(value);
  }

  i32(value: number): Value {
    return this.ir.append(CONST_I32, NONE, NONE, NONE, value | 0);
  }
  i64(value: bigint | number): Value {
    if (typeof value === 'number' && value === (value | 0)) return this.ir.append(CONST_I64, NONE, NONE, NONE, value);
    return this.ir.append(CONST_I64, NONE, NONE, NONE, BigInt.asIntN(64, BigInt(value)));
  }
  /** 16 bytes, lowest first. */
  v128(bytes: readonly number[] | Uint8Array): Value {
    if (bytes.length !== 16) throw new Error('a v128 constant has 16 bytes');
    this.ir.constants.push(Uint8Array.from(bytes));
    return this.ir.append(CONST_V128, NONE, NONE, NONE, this.ir.constants.length - 1);
  }
  /** A constant of the type of `like`. */
  constant(type: ValueType, value: bigint | number): Value {
    if (type === 'i64') return this.i64(value);
    return this.i32(typeof value === 'number' ? value : Number(BigInt.asIntN(32, value)));
  }

  #pair(codes: Pair, x: Value, y?: Value): Value {
    return this.emit(this.ir.typeOf(x) === 'i64' ? codes.i64 : codes.i32, x, y);
  }
  add(x: Value, y: Value): Value { return this.#pair(ADD, x, y); }
  sub(x: Value, y: Value): Value { return this.#pair(SUB, x, y); }
  mul(x: Value, y: Value): Value { return this.#pair(MUL, x, y); }
  divS(x: Value, y: Value): Value { return this.#pair(DIV_S, x, y); }
  divU(x: Value, y: Value): Value { return this.#pair(DIV_U, x, y); }
  remS(x: Value, y: Value): Value { return this.#pair(REM_S, x, y); }
  remU(x: Value, y: Value): Value { return this.#pair(REM_U, x, y); }
  and(x: Value, y: Value): Value { return this.#pair(AND, x, y); }
  or(x: Value, y: Value): Value { return this.#pair(OR, x, y); }
  xor(x: Value, y: Value): Value { return this.#pair(XOR, x, y); }
  /** Shift counts are taken modulo the width, as in wasm. */
  shl(x: Value, count: Value): Value { return this.#pair(SHL, x, count); }
  shrU(x: Value, count: Value): Value { return this.#pair(SHR_U, x, count); }
  shrS(x: Value, count: Value): Value { return this.#pair(SHR_S, x, count); }
  rotl(x: Value, count: Value): Value { return this.#pair(ROTL, x, count); }
  rotr(x: Value, count: Value): Value { return this.#pair(ROTR, x, count); }
  eq(x: Value, y: Value): Value { return this.#pair(EQ, x, y); }
  ne(x: Value, y: Value): Value { return this.#pair(NE, x, y); }
  ltS(x: Value, y: Value): Value { return this.#pair(LT_S, x, y); }
  ltU(x: Value, y: Value): Value { return this.#pair(LT_U, x, y); }
  gtS(x: Value, y: Value): Value { return this.#pair(GT_S, x, y); }
  gtU(x: Value, y: Value): Value { return this.#pair(GT_U, x, y); }
  leS(x: Value, y: Value): Value { return this.#pair(LE_S, x, y); }
  leU(x: Value, y: Value): Value { return this.#pair(LE_U, x, y); }
  geS(x: Value, y: Value): Value { return this.#pair(GE_S, x, y); }
  geU(x: Value, y: Value): Value { return this.#pair(GE_U, x, y); }
  eqz(x: Value): Value { return this.#pair(EQZ, x); }
  clz(x: Value): Value { return this.#pair(CLZ, x); }
  ctz(x: Value): Value { return this.#pair(CTZ, x); }
  popcnt(x: Value): Value { return this.#pair(POPCNT, x); }
  /** Bitwise complement. */
  not(x: Value): Value { return this.xor(x, this.constant(this.ir.typeOf(x), -1)); }
  neg(x: Value): Value { return this.sub(this.constant(this.ir.typeOf(x), 0), x); }
  /** With a constant, of x's type. */
  addConst(x: Value, value: bigint | number): Value { return this.add(x, this.constant(this.ir.typeOf(x), value)); }
  andConst(x: Value, value: bigint | number): Value { return this.and(x, this.constant(this.ir.typeOf(x), value)); }
  shlConst(x: Value, value: number): Value { return this.shl(x, this.constant(this.ir.typeOf(x), value)); }
  shrUConst(x: Value, value: number): Value { return this.shrU(x, this.constant(this.ir.typeOf(x), value)); }
  shrSConst(x: Value, value: number): Value { return this.shrS(x, this.constant(this.ir.typeOf(x), value)); }

  wrap(x: Value): Value { return this.ir.typeOf(x) === 'i32' ? x : this.emit(WRAP, x); }
  extendU(x: Value): Value { return this.ir.typeOf(x) === 'i64' ? x : this.emit(EXTEND_U, x); }
  extendS(x: Value): Value { return this.ir.typeOf(x) === 'i64' ? x : this.emit(EXTEND_S, x); }
  /** Low `width` bits of x, sign-extended to x's type. */
  signExtend(x: Value, width: 8 | 16 | 32 | 64): Value {
    const type = this.ir.typeOf(x);
    if (type === 'i32') return width >= 32 ? x : this.op(width === 8 ? 'i32.extend8_s' : 'i32.extend16_s', [x]);
    return width === 64 ? x : this.op(`i64.extend${width}_s`, [x]);
  }
  /** a when the condition (i32) is not 0, else b; both are computed. */
  select(condition: Value, a: Value, b: Value): Value {
    return this.emit(SELECT[this.ir.typeOf(a)]!, a, b, condition);
  }

  /** Constant-offset access to guest processor state; width suffix as in the operation table. */
  loadState(suffix: '8u' | '8s' | '16u' | '16s' | '32' | '64' | 'f32' | 'f64' | 'v128', offset: number): Value {
    return this.emit(LOAD_STATE[suffix]!, undefined, undefined, undefined, offset);
  }
  storeState(suffix: '8' | '16' | '32' | '64' | 'f32' | 'f64' | 'v128', offset: number, value: Value): void {
    this.emit(STORE_STATE[suffix]!, value, undefined, undefined, offset);
  }

  call(callee: Callee, args: readonly Value[]): Value {
    if (args.length !== callee.params.length) throw new Error(`routine takes ${callee.params.length} arguments, got ${args.length}`);
    const start = this.ir.poolLength;
    args.forEach((arg, i) => {
      const type = this.ir.typeOf(arg);
      if (type !== callee.params[i]) throw new Error(`argument ${i} is ${type}, must be ${callee.params[i]}`);
      this.ir.appendPool(arg);
    });
    return this.ir.append(number(`call.${callee.result}`), NONE, start, args.length, callee.index);
  }

  variable(type: ValueType): Variable {
    this.ir.variables.push(type);
    return (this.ir.variables.length - 1) as Variable;
  }
  get(variable: Variable): Value {
    return this.emit(GET[this.ir.variables[variable]!]!, undefined, undefined, undefined, variable);
  }
  set(variable: Variable, value: Value): void {
    this.emit(SET[this.ir.variables[variable]!]!, value, undefined, undefined, variable);
  }

  if(condition: Value, then: () => void, otherwise?: () => void, seldom = false): void {
    this.op('if', [condition], seldom ? 1 : 0);
    this.#scoped(then);
    if (otherwise !== undefined) {
      this.op('else');
      this.#scoped(otherwise);
    }
    this.op('end');
  }
  /** When the condition hardly ever holds: what happens then is kept out of the way of the rest. */
  ifSeldom(condition: Value, then: () => void): void {
    this.if(condition, then, undefined, true);
  }
  /** Id of the innermost open scope, to be remembered with a value that is kept for later use. */
  get scope(): number {
    return this.#scopes.at(-1)!;
  }
  /** Values made in that scope are defined here. */
  inScope(scope: number): boolean {
    return this.#scopes.includes(scope);
  }
  #scoped<T>(body: () => T): T {
    this.#scopes.push(++this.#scopeCount);
    const result = body();
    this.#scopes.pop();
    return result;
  }
  /** Repeats while the value that `body` returns is not 0. */
  loop(body: () => Value): void {
    this.op('loop');
    this.#scoped(() => this.op('again', [body()]));
    this.op('end');
  }
  leave(code: number): void {
    this.op('leave', [this.i32(code)]);
  }
  leaveNonzero(code: Value): void {
    this.op('leave.nonzero', [code]);
  }
}
