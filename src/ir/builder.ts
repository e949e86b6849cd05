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
  op(name: string, args: readonly Value[] = [], immediate: bigint | number = 0n): Value {
    const code = number(name);
    const operation = operations[code]!;
    if (args.length !== operation.params.length) throw new Error(`${name} takes ${operation.params.length} operands, got ${args.length}`);
    for (let i = 0; i < args.length; i++) {
      const type = this.ir.typeOf(args[i]!);
      if (type !== operation.params[i]) throw new Error(`${name}: operand ${i} is ${type}, must be ${operation.params[i]}`);
    }
    return this.ir.append(code, args[0] ?? NONE, args[1] ?? NONE, args[2] ?? NONE, BigInt(immediate));
  }

  typeOf(value: Value): ValueType {
    return this.ir.typeOf(value);
  }

  i32(value: number): Value {
    return this.ir.append(number('const.i32'), NONE, NONE, NONE, BigInt(value | 0));
  }
  i64(value: bigint | number): Value {
    return this.ir.append(number('const.i64'), NONE, NONE, NONE, BigInt.asIntN(64, BigInt(value)));
  }
  /** 16 bytes, lowest first. */
  v128(bytes: readonly number[] | Uint8Array): Value {
    if (bytes.length !== 16) throw new Error('a v128 constant has 16 bytes');
    this.ir.constants.push(Uint8Array.from(bytes));
    return this.ir.append(number('const.v128'), NONE, NONE, NONE, BigInt(this.ir.constants.length - 1));
  }
  /** A constant of the type of `like`. */
  constant(type: ValueType, value: bigint | number): Value {
    return type === 'i64' ? this.i64(value) : this.i32(Number(BigInt.asIntN(32, BigInt(value))));
  }

  #binary(name: string, x: Value, y: Value): Value {
    return this.op(`${this.ir.typeOf(x)}.${name}`, [x, y]);
  }
  add(x: Value, y: Value): Value { return this.#binary('add', x, y); }
  sub(x: Value, y: Value): Value { return this.#binary('sub', x, y); }
  mul(x: Value, y: Value): Value { return this.#binary('mul', x, y); }
  divS(x: Value, y: Value): Value { return this.#binary('div_s', x, y); }
  divU(x: Value, y: Value): Value { return this.#binary('div_u', x, y); }
  remS(x: Value, y: Value): Value { return this.#binary('rem_s', x, y); }
  remU(x: Value, y: Value): Value { return this.#binary('rem_u', x, y); }
  and(x: Value, y: Value): Value { return this.#binary('and', x, y); }
  or(x: Value, y: Value): Value { return this.#binary('or', x, y); }
  xor(x: Value, y: Value): Value { return this.#binary('xor', x, y); }
  /** Shift counts are taken modulo the width, as in wasm. */
  shl(x: Value, count: Value): Value { return this.#binary('shl', x, count); }
  shrU(x: Value, count: Value): Value { return this.#binary('shr_u', x, count); }
  shrS(x: Value, count: Value): Value { return this.#binary('shr_s', x, count); }
  rotl(x: Value, count: Value): Value { return this.#binary('rotl', x, count); }
  rotr(x: Value, count: Value): Value { return this.#binary('rotr', x, count); }
  eq(x: Value, y: Value): Value { return this.#binary('eq', x, y); }
  ne(x: Value, y: Value): Value { return this.#binary('ne', x, y); }
  ltS(x: Value, y: Value): Value { return this.#binary('lt_s', x, y); }
  ltU(x: Value, y: Value): Value { return this.#binary('lt_u', x, y); }
  gtS(x: Value, y: Value): Value { return this.#binary('gt_s', x, y); }
  gtU(x: Value, y: Value): Value { return this.#binary('gt_u', x, y); }
  leS(x: Value, y: Value): Value { return this.#binary('le_s', x, y); }
  leU(x: Value, y: Value): Value { return this.#binary('le_u', x, y); }
  geS(x: Value, y: Value): Value { return this.#binary('ge_s', x, y); }
  geU(x: Value, y: Value): Value { return this.#binary('ge_u', x, y); }
  eqz(x: Value): Value { return this.op(`${this.ir.typeOf(x)}.eqz`, [x]); }
  clz(x: Value): Value { return this.op(`${this.ir.typeOf(x)}.clz`, [x]); }
  ctz(x: Value): Value { return this.op(`${this.ir.typeOf(x)}.ctz`, [x]); }
  popcnt(x: Value): Value { return this.op(`${this.ir.typeOf(x)}.popcnt`, [x]); }
  /** Bitwise complement. */
  not(x: Value): Value { return this.xor(x, this.constant(this.ir.typeOf(x), -1)); }
  neg(x: Value): Value { return this.sub(this.constant(this.ir.typeOf(x), 0), x); }
  /** With a constant, of x's type. */
  addConst(x: Value, value: bigint | number): Value { return this.add(x, this.constant(this.ir.typeOf(x), value)); }
  andConst(x: Value, value: bigint | number): Value { return this.and(x, this.constant(this.ir.typeOf(x), value)); }
  shlConst(x: Value, value: number): Value { return this.shl(x, this.constant(this.ir.typeOf(x), value)); }
  shrUConst(x: Value, value: number): Value { return this.shrU(x, this.constant(this.ir.typeOf(x), value)); }
  shrSConst(x: Value, value: number): Value { return this.shrS(x, this.constant(this.ir.typeOf(x), value)); }

  wrap(x: Value): Value { return this.ir.typeOf(x) === 'i32' ? x : this.op('i32.wrap_i64', [x]); }
  extendU(x: Value): Value { return this.ir.typeOf(x) === 'i64' ? x : this.op('i64.extend_i32_u', [x]); }
  extendS(x: Value): Value { return this.ir.typeOf(x) === 'i64' ? x : this.op('i64.extend_i32_s', [x]); }
  /** Low `width` bits of x, sign-extended to x's type. */
  signExtend(x: Value, width: 8 | 16 | 32 | 64): Value {
    const type = this.ir.typeOf(x);
    if (type === 'i32') return width >= 32 ? x : this.op(width === 8 ? 'i32.extend8_s' : 'i32.extend16_s', [x]);
    return width === 64 ? x : this.op(`i64.extend${width}_s`, [x]);
  }
  /** a when the condition (i32) is not 0, else b; both are computed. */
  select(condition: Value, a: Value, b: Value): Value {
    return this.op(`select.${this.ir.typeOf(a)}`, [a, b, condition]);
  }

  /** Constant-offset access to guest processor state; width suffix as in the operation table. */
  loadState(suffix: '8u' | '8s' | '16u' | '16s' | '32' | '64' | 'f32' | 'f64' | 'v128', offset: number): Value {
    return this.op(`state.load${suffix}`, [], offset);
  }
  storeState(suffix: '8' | '16' | '32' | '64' | 'f32' | 'f64' | 'v128', offset: number, value: Value): void {
    this.op(`state.store${suffix}`, [value], offset);
  }

  call(callee: Callee, args: readonly Value[]): Value {
    if (args.length !== callee.params.length) throw new Error(`routine takes ${callee.params.length} arguments, got ${args.length}`);
    const start = this.ir.poolLength;
    args.forEach((arg, i) => {
      const type = this.ir.typeOf(arg);
      if (type !== callee.params[i]) throw new Error(`argument ${i} is ${type}, must be ${callee.params[i]}`);
      this.ir.appendPool(arg);
    });
    return this.ir.append(number(`call.${callee.result}`), NONE, start, args.length, BigInt(callee.index));
  }

  variable(type: ValueType): Variable {
    this.ir.variables.push(type);
    return (this.ir.variables.length - 1) as Variable;
  }
  get(variable: Variable): Value {
    return this.op(`variable.get.${this.ir.variables[variable]!}`, [], variable);
  }
  set(variable: Variable, value: Value): void {
    this.op(`variable.set.${this.ir.variables[variable]!}`, [value], variable);
  }

  if(condition: Value, then: () => void, otherwise?: () => void): void {
    this.op('if', [condition]);
    this.#scoped(then);
    if (otherwise !== undefined) {
      this.op('else');
      this.#scoped(otherwise);
    }
    this.op('end');
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
