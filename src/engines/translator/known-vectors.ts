import type { Builder } from '../../ir/builder.ts';
import type { Value } from '../../ir/ir.ts';
import { operationNumber } from '../../ir/operations.ts';
import { VECTOR, VECTOR_BYTES } from '../../isa/x86/state/layout.ts';

const REPLACE_64 = operationNumber('i64x2.replace_lane');
const REPLACE_F64 = operationNumber('f64x2.replace_lane');
/** log2 of a part's bytes. */
const [QUARTER, HALF, WHOLE] = [2, 3, 4];

const keyOf = (offset: number, log: number): number => offset * 8 + log;

/**
 * What the vector registers are known to hold at a point of a block, by parts of 16 bytes: the whole, 8 bytes, 4 bytes.
 * Stores still go to the state, so only loads are saved; and loads of a whole register behind a store to a part of it, for
 * which processors wait until the store has left their queue.
 */
export class KnownVectors {
  readonly #b: Builder;
  readonly #load: (suffix: '32' | '64' | 'v128', offset: number) => Value;
  #parts = new Map<number, Value>();

  /** `load`: from the state. */
  constructor(builder: Builder, load: (suffix: '32' | '64' | 'v128', offset: number) => Value) {
    this.#b = builder;
    this.#load = load;
  }

  static covers(offset: number): boolean {
    return offset >= VECTOR && offset < VECTOR + 16 * VECTOR_BYTES;
  }
  forget(): void {
    this.#parts.clear();
  }
  /** For `restore`. */
  save(): ReadonlyMap<number, Value> {
    return new Map(this.#parts);
  }
  restore(parts: ReadonlyMap<number, Value>): void {
    this.#parts = new Map(parts);
  }
  /** Behind two branches: what is known in either and was known before them. */
  join(before: ReadonlyMap<number, Value>, other: ReadonlyMap<number, Value>): void {
    const parts = this.#parts;
    this.#parts = new Map([...before].filter(([key, value]) => parts.get(key) === value && other.get(key) === value));
  }

  #get(offset: number, log: number): Value | undefined {
    return this.#parts.get(keyOf(offset, log));
  }
  #set(offset: number, log: number, value: Value): Value {
    this.#parts.set(keyOf(offset, log), value);
    return value;
  }

  /** The value, when it is known or better put together than loaded; else undefined. */
  load(suffix: string, offset: number): Value | undefined {
    if (suffix === '64') return this.#half(offset) ?? this.#set(offset, HALF, this.#load('64', offset));
    if (suffix === '32') return this.#quarter(offset) ?? this.#set(offset, QUARTER, this.#load('32', offset));
    if (suffix !== 'v128') return undefined;
    const known = this.#get(offset, WHOLE);
    if (known !== undefined) return known;
    const [low, high] = [this.#half(offset), this.#half(offset + 8)];
    if (low === undefined && high === undefined) return this.#set(offset, WHOLE, this.#load('v128', offset));
    const b = this.#b;
    const both = [low ?? this.#load('64', offset), high ?? this.#load('64', offset + 8)] as const;
    return this.#set(offset, WHOLE, b.op('i64x2.replace_lane', [b.op('i64x2.splat', [both[0]]), both[1]], 1));
  }

  #half(offset: number): Value | undefined {
    const known = this.#get(offset, HALF);
    if (known !== undefined) return known;
    const b = this.#b;
    const whole = this.#get(offset & ~15, WHOLE);
    if (whole !== undefined) return this.#set(offset, HALF, b.op('i64x2.extract_lane', [whole], (offset & 8) >> 3));
    const [low, high] = [this.#get(offset, QUARTER), this.#get(offset + 4, QUARTER)];
    if (low === undefined && high === undefined) return undefined;
    const wide = (value: Value | undefined, at: number): Value => b.extendU(value ?? this.#load('32', at));
    return this.#set(offset, HALF, b.or(wide(low, offset), b.shlConst(wide(high, offset + 4), 32)));
  }

  #quarter(offset: number): Value | undefined {
    const known = this.#get(offset, QUARTER);
    if (known !== undefined) return known;
    const b = this.#b;
    const whole = this.#get(offset & ~15, WHOLE);
    if (whole !== undefined) return this.#set(offset, QUARTER, b.op('i32x4.extract_lane', [whole], (offset & 15) >> 2));
    const half = this.#get(offset & ~7, HALF);
    return half === undefined ? undefined : this.#set(offset, QUARTER, b.wrap(b.shrUConst(half, (offset & 4) * 8)));
  }

  /** `value` is being stored there. */
  store(suffix: string, offset: number, value: Value): void {
    const b = this.#b;
    const slot = offset & ~15;
    const whole = this.#get(slot, WHOLE);
    const half = this.#get(offset & ~7, HALF);
    const other = this.#get(slot + (8 - (offset & 8)), HALF);
    for (let at = 0; at < 16; at += 4) {
      for (const log of [QUARTER, HALF, WHOLE]) if (at % (1 << log) === 0) this.#parts.delete(keyOf(slot + at, log));
    }
    if (suffix === 'v128') {
      this.#set(slot, WHOLE, value);
      // The number that a scalar load leaves in a register.
      const { ir } = b;
      if (ir.op[value] === REPLACE_64 && ir.immediate[value] === 0n) this.#set(slot, HALF, ir.b[value]! as Value);
      else if (ir.op[value] === REPLACE_F64 && ir.immediate[value] === 0n) this.#set(slot, HALF, b.op('i64.reinterpret_f64', [ir.b[value]! as Value]));
      return;
    }
    if (suffix !== '64' && suffix !== '32') return;
    if (other !== undefined) this.#set(slot + (8 - (offset & 8)), HALF, other);
    if (suffix === '64') {
      this.#set(offset, HALF, value);
      if (whole !== undefined) this.#set(slot, WHOLE, b.op('i64x2.replace_lane', [whole, value], (offset & 8) >> 3));
      return;
    }
    this.#set(offset, QUARTER, value);
    if (whole !== undefined) this.#set(slot, WHOLE, b.op('i32x4.replace_lane', [whole, value], (offset & 15) >> 2));
    else if (half !== undefined) {
      const shift = (offset & 4) * 8;
      this.#set(offset & ~7, HALF, b.or(b.andConst(half, ~(0xffffffffn << BigInt(shift))), b.shlConst(b.extendU(value), shift)));
    }
  }
}
