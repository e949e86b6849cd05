import { operationNumber, operations } from './operations.ts';
import type { ValueType } from './operations.ts';

/** Handle of a value: the index of the IR instruction that computes it. */
export type Value = number & { readonly __brand: 'Value' };
/** A variable that control flow may set on several paths. */
export type Variable = number & { readonly __brand: 'Variable' };

/** "No operand" in the operand columns. */
export const NONE = -1;

/** A constant that is not used. */
const NOTHING = operationNumber('const.i32');

/**
 * A run of IR in typed arrays, indices for handles (DESIGN D2.7). `clear` makes it ready for the next block without
 * allocating. Operand columns a, b, c hold values; calls keep their arguments in `pool` at [b, b + c).
 */
export class Ir {
  op = new Uint16Array(256);
  a = new Int32Array(256);
  b = new Int32Array(256);
  c = new Int32Array(256);
  immediate = new BigInt64Array(256);
  /** The same, by halves, lower one first as on every host that V8 runs on: without a bigint for each small number. */
  #halves = new Int32Array(this.immediate.buffer);
  pool = new Int32Array(64);
  readonly constants: Uint8Array[] = [];
  readonly variables: ValueType[] = [];
  length = 0;
  poolLength = 0;

  clear(): void {
    this.length = 0;
    this.poolLength = 0;
    this.constants.length = 0;
    this.variables.length = 0;
  }

  /** A number as the immediate has 32 bits, signed. */
  append(op: number, a: number, b: number, c: number, immediate: bigint | number): Value {
    const index = this.length++;
    if (index === this.op.length) this.#grow();
    this.op[index] = op;
    this.a[index] = a;
    this.b[index] = b;
    this.c[index] = c;
    if (typeof immediate === 'bigint') this.immediate[index] = immediate;
    else {
      this.#halves[2 * index] = immediate;
      this.#halves[2 * index + 1] = immediate >> 31;
    }
    return index as Value;
  }

  /** Makes an operation without a result one that nobody needs. */
  erase(index: number): void {
    this.op[index] = NOTHING;
    this.a[index] = this.b[index] = this.c[index] = NONE;
  }

  /** The lower half of an immediate: all of it unless the value is a 64-bit constant. */
  small(value: number): number {
    return this.#halves[2 * value]!;
  }
  /** The immediate is its lower half sign-extended. */
  isSmall(value: number): boolean {
    return this.#halves[2 * value + 1] === this.#halves[2 * value]! >> 31;
  }

  appendPool(value: number): number {
    const index = this.poolLength++;
    if (index === this.pool.length) {
      const grown = new Int32Array(index * 2);
      grown.set(this.pool);
      this.pool = grown;
    }
    this.pool[index] = value;
    return index;
  }

  typeOf(value: Value): ValueType {
    const result = operations[this.op[value]!]!.result;
    if (result === 'none') throw new Error(`IR value ${value} (${operations[this.op[value]!]!.name}) has no result`);
    return result;
  }

  #grow(): void {
    const size = this.op.length * 2;
    const wide = <T extends Int32Array | Uint16Array | BigInt64Array>(from: T, to: T): T => {
      to.set(from as never);
      return to;
    };
    this.op = wide(this.op, new Uint16Array(size));
    this.a = wide(this.a, new Int32Array(size));
    this.b = wide(this.b, new Int32Array(size));
    this.c = wide(this.c, new Int32Array(size));
    this.immediate = wide(this.immediate, new BigInt64Array(size));
    this.#halves = new Int32Array(this.immediate.buffer);
  }
}
