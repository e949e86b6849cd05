import { StateError } from '../base/errors.ts';
import type { Plain } from '../base/plain.ts';

// Plain data as bytes: a tag, then what follows from it, little-endian. The same data give the same bytes.

const NULL = 0;
const FALSE = 1;
const TRUE = 2;
/** A double. */
const NUMBER = 3;
/** Sign, and the magnitude as a byte string. */
const BIGINT = 4;
/** Count of UTF-16 code units, and they. */
const TEXT = 5;
/** Count, and the bytes. */
const BYTES = 6;
/** Count, and each entry. */
const LIST = 7;
/** Count, and each key (as a text without tag) with its value. */
const RECORD = 8;

const DEEPEST = 64;
const LONGEST_BIGINT = 64;

export function encodePlain(value: Plain): Uint8Array {
  const writer = new PlainWriter();
  writer.value(value);
  return writer.bytes();
}

/** Throws StateError for bytes that `encodePlain` would not write. */
export function decodePlain(bytes: Uint8Array): Plain {
  const reader = new PlainReader(bytes);
  const value = reader.value(0);
  if (reader.left !== 0) throw new StateError('the stored data go on behind their end');
  return value;
}

class PlainWriter {
  #buffer = new Uint8Array(4096);
  #view = new DataView(this.#buffer.buffer);
  #length = 0;

  bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#length);
  }

  value(value: Plain): void {
    if (value === null) this.#byte(NULL);
    else if (typeof value === 'boolean') this.#byte(value ? TRUE : FALSE);
    else if (typeof value === 'number') {
      this.#byte(NUMBER);
      const at = this.#room(8);
      this.#view.setFloat64(at, value, true);
    } else if (typeof value === 'bigint') {
      this.#byte(BIGINT);
      this.#byte(value < 0n ? 1 : 0);
      this.#raw(magnitude(value < 0n ? -value : value));
    } else if (typeof value === 'string') {
      this.#byte(TEXT);
      this.#text(value);
    } else if (value instanceof Uint8Array) {
      this.#byte(BYTES);
      this.#raw(value);
    } else if (Array.isArray(value)) {
      this.#byte(LIST);
      this.#count(value.length);
      for (const entry of value) this.value(entry as Plain);
    } else {
      const entries = Object.entries(value);
      this.#byte(RECORD);
      this.#count(entries.length);
      for (const [key, entry] of entries) {
        this.#text(key);
        this.value(entry);
      }
    }
  }

  #byte(value: number): void {
    const at = this.#room(1);
    this.#buffer[at] = value;
  }
  #count(value: number): void {
    const at = this.#room(4);
    this.#view.setUint32(at, value, true);
  }
  #raw(bytes: Uint8Array): void {
    this.#count(bytes.length);
    const at = this.#room(bytes.length);
    this.#buffer.set(bytes, at);
  }
  #text(text: string): void {
    this.#count(text.length);
    const at = this.#room(2 * text.length);
    for (let i = 0; i < text.length; i++) this.#view.setUint16(at + 2 * i, text.charCodeAt(i), true);
  }
  #room(bytes: number): number {
    const at = this.#length;
    this.#length += bytes;
    if (this.#length > this.#buffer.length) {
      const larger = new Uint8Array(2 ** Math.ceil(Math.log2(this.#length)));
      larger.set(this.#buffer);
      this.#buffer = larger;
      this.#view = new DataView(larger.buffer);
    }
    return at;
  }
}

function magnitude(value: bigint): Uint8Array {
  const bytes: number[] = [];
  for (let rest = value; rest > 0n; rest >>= 8n) bytes.push(Number(rest & 0xffn));
  return Uint8Array.from(bytes);
}

class PlainReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  value(depth: number): Plain {
    if (depth > DEEPEST) throw new StateError('the stored data are nested too deeply');
    const tag = this.#bytes[this.#take(1)]!;
    switch (tag) {
      case NULL: return null;
      case FALSE: return false;
      case TRUE: return true;
      case NUMBER: return this.#view.getFloat64(this.#take(8), true);
      case BIGINT: {
        const negative = this.#bytes[this.#take(1)] === 1;
        const bytes = this.#raw();
        if (bytes.length > LONGEST_BIGINT) throw new StateError('the stored data have an integer that is too long');
        const value = bytes.reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
        return negative ? -value : value;
      }
      case TEXT: return this.#text();
      case BYTES: return this.#raw().slice();
      // An entry takes a byte at least, so a count can be held against what is left.
      case LIST: return Array.from({ length: this.#count(1) }, () => this.value(depth + 1));
      case RECORD: return Object.fromEntries(Array.from({ length: this.#count(5) }, () => [this.#text(), this.value(depth + 1)]));
      default: throw new StateError(`the stored data have an unknown tag, ${tag}`);
    }
  }

  #count(each: number): number {
    const count = this.#view.getUint32(this.#take(4), true);
    if (count * each > this.left) throw new StateError('the stored data end too soon');
    return count;
  }
  #raw(): Uint8Array {
    const count = this.#count(1);
    const at = this.#take(count);
    return this.#bytes.subarray(at, at + count);
  }
  #text(): string {
    const count = this.#count(2);
    const at = this.#take(2 * count);
    let text = '';
    for (let i = 0; i < count; i++) text += String.fromCharCode(this.#view.getUint16(at + 2 * i, true));
    return text;
  }
  #take(bytes: number): number {
    const at = this.#at;
    if (bytes > this.left) throw new StateError('the stored data end too soon');
    this.#at += bytes;
    return at;
  }
}
