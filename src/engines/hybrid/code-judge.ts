import { PAGE_MASK, PAGE_SIZE } from '../../base/addresses.ts';
import { Decoder } from '../../isa/x86/decode/decoder.ts';
import { createInstruction } from '../../isa/x86/decode/instruction.ts';
import { implementedFeatures } from '../../isa/x86/features.ts';

/**
 * How far before a place reading begins, at each byte: by then most readings have found the instructions' real beginnings. Eight
 * stores of the same form in a row, as before an XSAVEC of glibc's, keep half of those out of step that begin among them.
 */
const BEFORE = 192;
const LATEST_BEFORE = 12;
const MAX_INSTRUCTION = 15;
/** Verdicts kept. */
const KEPT = 16384;

export interface Verdict {
  readonly hash: number;
  readonly long: boolean;
  /** Bytes behind the page's end, as far as they matter. */
  readonly next: number;
  /** Offsets in the page of what asks nobody. */
  readonly places: readonly number[];
}

/** Nobody knows what lies behind a page. */
export const UNKNOWN_NEXT = -1;

type Outcome = 'begins' | 'passes' | 'nonsense';

/**
 * Looks closer at pages that may hold instructions which ask nobody (runtime/code-bytes.ts): are the bytes an instruction's
 * beginning, or a part of others? Code read from a byte in the middle of an instruction soon falls into step, so what
 * most readings say is taken for true. Code that is made to be read in two ways can deceive this, and then sees
 * the host's answers.
 */
export class CodeJudge {
  readonly #bytes: Uint8Array;
  readonly #words: Int32Array;
  readonly #decoder = new Decoder(implementedFeatures);
  readonly #instruction = createInstruction();
  readonly #verdicts = new Map<number, Verdict>();

  constructor(memory: WebAssembly.Memory) {
    this.#bytes = new Uint8Array(memory.buffer);
    this.#words = new Int32Array(memory.buffer);
  }

  /**
   * Where in the page at a host address instructions are that ask nobody. `next`: the two bytes behind it (little endian), which
   * tell what an instruction across its end is, or UNKNOWN_NEXT, where such an instruction is taken for one that asks nobody.
   */
  judge(host: number, long: boolean, next: number): Verdict {
    const hash = this.#hash(host);
    const known = this.#verdicts.get(host);
    if (known?.hash === hash && known.long === long && known.next === next) return known;
    const verdict = { hash, long, next, places: this.#places(host, long, next) };
    if (this.#verdicts.size >= KEPT) this.#verdicts.clear();
    this.#verdicts.set(host, verdict);
    return verdict;
  }

  #hash(host: number): number {
    let hash = 0x811c9dc5;
    for (let i = host >> 2, end = i + PAGE_SIZE / 4; i < end; i++) hash = Math.imul(hash ^ this.#words[i]!, 0x01000193) ^ (hash >>> 15);
    return hash;
  }

  #places(page: number, long: boolean, next: number): readonly number[] {
    const bytes = this.#bytes;
    const end = page + PAGE_SIZE;
    const byteAt = (at: number): number => (at < end ? bytes[at]! : next === UNKNOWN_NEXT ? -1 : (next >> (8 * (at - end))) & 0xff);
    const places: number[] = [];
    for (let at = page; at < end; at++) {
      if (bytes[at] === 0x0f && asksNobody(byteAt, at) && this.#begins(page, at, long)) places.push(at - page);
    }
    return places;
  }

  /** Do most readings take the byte for an instruction's opcode? */
  #begins(page: number, at: number, long: boolean): boolean {
    const first = Math.max(page, at - BEFORE);
    const last = Math.max(page, at - LATEST_BEFORE);
    /** What reading from there comes to: it begins there, passes over it, or makes no sense. */
    const outcomes: Outcome[] = [];
    const counts = { begins: 0, passes: 0, nonsense: 0 };
    for (let start = at; start >= first; start--) {
      const outcome = (outcomes[at - start] = this.#read(start, at, long, outcomes));
      if (start <= last) counts[outcome]++;
    }
    return counts.begins >= counts.passes;
  }

  /** `outcomes`: of reading from each byte behind `place`, by its distance to `at`. */
  #read(place: number, at: number, long: boolean, outcomes: readonly Outcome[]): Outcome {
    if (onlyPrefixes(this.#bytes, place, at, long)) return 'begins';
    const room = PAGE_SIZE - (place & PAGE_MASK);
    if (this.#decoder.decode(this.#bytes, place, Math.min(room, MAX_INSTRUCTION), long ? 64 : 32, this.#instruction) !== 'ok') return 'nonsense';
    return outcomes[at - place - this.#instruction.length] ?? 'passes';
  }
}

function onlyPrefixes(bytes: Uint8Array, from: number, to: number, long: boolean): boolean {
  if (to - from > 4) return false;
  for (let at = from; at < to; at++) {
    const byte = bytes[at]!;
    if (!PREFIXES.has(byte) && !(long && (byte & 0xf0) === 0x40)) return false;
  }
  return true;
}
const PREFIXES = new Set([0x66, 0x67, 0xf2, 0xf3, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65]);

/** The bytes that runtime/code-bytes.ts looks for; -1: nobody knows. */
function asksNobody(byteAt: (at: number) => number, at: number): boolean {
  const second = byteAt(at + 1);
  if (second === -1 || second === 0xa2 || second === 0x31 || second === 0x03) return true;
  if (second !== 0x01 && second !== 0xae && second !== 0xc7) return false;
  const third = byteAt(at + 2);
  if (third === -1) return true;
  if (second === 0x01) return third === 0xc1 || third === 0xd0 || third === 0xd9 || third === 0xf9;
  const memory = third < 0xc0 ? (third >> 3) & 7 : -1;
  return second === 0xae ? memory === 4 || memory === 6 : memory === 4 || third >= 0xf8;
}
