import { StateError } from '../base/errors.ts';
import type { Plain } from '../base/plain.ts';

/** Checked reader over a device's stored state: every accessor throws a StateError that names component and field. */
export class StateFields {
  readonly #name: string;
  readonly #fields: { readonly [key: string]: Plain };

  /** Refuses a state that is no record, or whose version is not `expected`. */
  constructor(name: string, state: Plain, version: number, expected: number) {
    this.#name = name;
    if (version !== expected) throw new StateError(`${name}: state version ${version} is unknown, expected ${expected}`);
    if (state === null || typeof state !== 'object' || Array.isArray(state) || state instanceof Uint8Array) {
      throw new StateError(`${name}: state is not a record`);
    }
    this.#fields = state as { readonly [key: string]: Plain };
  }

  #field(key: string): Plain | undefined {
    return Object.hasOwn(this.#fields, key) ? this.#fields[key] : undefined;
  }

  has(key: string): boolean {
    return this.#field(key) !== undefined;
  }

  #refuse(key: string, wanted: string): never {
    throw new StateError(`${this.#name}: field ${key} must be ${wanted}`);
  }

  /** An integer in 0..max. */
  integer(key: string, max: number): number {
    const value = this.#field(key);
    if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > max) {
      this.#refuse(key, `an integer in 0..${max}`);
    }
    return value;
  }

  /** A set of bits out of `possible`. */
  bits(key: string, possible: bigint): bigint {
    const value = this.#field(key);
    if (typeof value !== 'bigint' || (value & ~possible) !== 0n) this.#refuse(key, `bits of 0x${possible.toString(16)}`);
    return value;
  }

  byte(key: string): number {
    return this.integer(key, 0xff);
  }

  boolean(key: string): boolean {
    const value = this.#field(key);
    if (typeof value !== 'boolean') this.#refuse(key, 'true or false');
    return value;
  }

  /** A text of at most `max` characters. */
  text(key: string, max: number): string {
    const value = this.#field(key);
    if (typeof value !== 'string' || value.length > max) this.#refuse(key, `a text of at most ${max} characters`);
    return value;
  }

  /** One of a few texts. */
  choice<T extends string>(key: string, choices: readonly T[]): T {
    const value = this.#field(key);
    if (!(choices as readonly unknown[]).includes(value)) this.#refuse(key, `one of ${choices.join(', ')}`);
    return value as T;
  }

  /** A copy of a byte string of at most `max` bytes. */
  bytes(key: string, max: number): Uint8Array {
    const value = this.#field(key);
    if (!(value instanceof Uint8Array) || value.length > max) this.#refuse(key, `at most ${max} bytes`);
    return value.slice();
  }

  /** A copy of a byte string of exactly `length` bytes. */
  exactBytes(key: string, length: number): Uint8Array {
    const value = this.bytes(key, length);
    if (value.length !== length) this.#refuse(key, `${length} bytes`);
    return value;
  }

  /** A list of `count` integers in -limit..limit. */
  signedIntegers(key: string, count: number, limit: number): readonly number[] {
    const value = this.#field(key);
    const good = (entry: Plain): entry is number => Number.isInteger(entry) && Math.abs(entry as number) <= limit;
    if (!Array.isArray(value) || value.length !== count || !value.every(good)) {
      this.#refuse(key, `${count} integers within ${limit}`);
    }
    return value.slice();
  }

  /** A list of at most `most` integers in 0..max. */
  integers(key: string, most: number, max: number): readonly number[] {
    const value = this.#field(key);
    const good = (entry: Plain): entry is number => Number.isInteger(entry) && (entry as number) >= 0 && (entry as number) <= max;
    if (!Array.isArray(value) || value.length > most || !value.every(good)) this.#refuse(key, `at most ${most} integers in 0..${max}`);
    return value.slice();
  }

  /** A list of at most `most` entries of whatever kind, each handed to who can check it. */
  list(key: string, most: number): readonly Plain[] {
    const value = this.#field(key);
    if (!Array.isArray(value) || value.length > most) this.#refuse(key, `a list of at most ${most} entries`);
    return value;
  }

  /** A nested record, handed to another StateFields or component. */
  nested(key: string): Plain {
    const value = this.#field(key);
    if (value === undefined) this.#refuse(key, 'present');
    return value;
  }
}
