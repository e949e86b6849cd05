import { PAGE_SIZE } from '../../base/addresses.ts';
import type { RegionCode } from './region-code.ts';
import { placeOf } from './region-code.ts';
import type { RegionRequest } from './region-builder.ts';
import type { Callee } from './region.ts';

/** Guest code in one page that a region was made of: its bytes from `start` on, of which ranges (first, end, first, end, ...: offsets in the page) count. */
interface KeptPiece {
  readonly start: number;
  readonly bytes: Uint8Array;
  readonly ranges: readonly number[];
}

/** A region's translation and all that it depends on, as plain data: right for every guest, at every address, that has this code. */
export interface KeptRegion extends KeptPiece {
  /** Of its first block in its page. */
  readonly offset: number;
  readonly long: boolean;
  readonly flat: boolean;
  /** Of functions in other pages that it has in itself; `at`, `offset`: as in `Callee`. */
  readonly inlined: readonly (KeptPiece & Pick<Callee, 'at' | 'offset'>)[];
  /** Where its indirect calls were known to go when it was made (`guessedIn`): who knows more can have a better one. */
  readonly guessed: readonly string[];
  readonly instructions: number;
  readonly code: RegionCode;
}

/** Keeps regions by a number; several may have the same. */
export interface RegionShelf {
  /** Those last put there first. */
  take(key: number): Iterable<KeptRegion>;
  put(key: number, region: KeptRegion): void;
}

/** A region that fits, and the requester's own entries for its inlined calls. */
export interface FoundRegion {
  readonly region: KeptRegion;
  readonly callees: readonly Callee[];
}

/** Bytes of a region's first block that its key is made of, at most. */
const PREFIX = 16;
/** Regions with one key that are compared: more would be guest code made to have the same. */
const MOST_COMPARED = 8;

/**
 * Regions that were made before, in this process or an earlier one, for this guest or another one with the same code. They are found by
 * their first bytes, up to the first constant that is linked, and compared in full.
 */
export class KeptRegions {
  readonly #shelf: RegionShelf;

  constructor(shelf: RegionShelf) {
    this.#shelf = shelf;
  }

  find(request: RegionRequest): FoundRegion | undefined {
    // Counters are those of one vCPU.
    if (request.counters !== undefined) return undefined;
    const { bytes, offset } = request;
    let hash = startOfKey(request);
    for (let length = 1; length <= PREFIX && offset + length <= PAGE_SIZE; length++) {
      hash = mix(hash, bytes[offset + length - 1]!);
      let compared = 0;
      for (const region of this.#shelf.take(mix(hash, length))) {
        const callees = fits(region, request);
        if (callees !== undefined) return { region, callees };
        if (++compared === MOST_COMPARED) break;
      }
    }
    return undefined;
  }

  keep(request: RegionRequest, region: KeptRegion): void {
    if (request.counters !== undefined) return;
    const { offset, ranges, code } = region;
    let length = Math.min(PREFIX, ranges[1]! - offset);
    for (let k = 1; k < code.values.length; k += 2) {
      const distance = code.values[k]! - offset;
      if (distance >= 0 && distance < length) length = distance;
    }
    let hash = startOfKey(region);
    for (let k = 0; k < length; k++) hash = mix(hash, request.bytes[offset + k]!);
    this.#shelf.put(mix(hash, length), region);
  }
}

/** What a region needs of the code that it was made of: the piece's part of `bytes`, which begins at offset `from` of its page. */
export function pieceOf(bytes: Uint8Array, from: number, ranges: readonly number[]): KeptPiece {
  const start = Math.min(...ranges);
  return { start, bytes: bytes.slice(start - from, Math.max(...ranges) - from), ranges };
}

/** Where indirect calls that end a block of ranges are known to go, each with its place. */
export function guessedIn({ guesses }: Pick<RegionRequest, 'guesses'>, ranges: readonly number[]): string[] {
  const found: string[] = [];
  for (const [behind, targets] of guesses ?? []) {
    for (let k = 1; k < ranges.length; k += 2) if (ranges[k] === behind) found.push(...targets.map((target) => `${behind} ${target}`));
  }
  return found;
}

/** The requester's entries for the region's inlined calls when it has the same code. */
function fits(region: KeptRegion, request: RegionRequest): Callee[] | undefined {
  const { offset, long, flat, code } = region;
  if (offset !== request.offset || long !== request.long || (!long && flat !== request.flat)) return undefined;
  if (!isSame(region, request.bytes, 0, code, 0)) return undefined;
  if (!guessedIn(request, region.ranges).every((guess) => region.guessed.includes(guess))) return undefined;
  const callees: Callee[] = [];
  for (const [call, inlined] of region.inlined.entries()) {
    const own = request.callees.find((callee) => callee.at === inlined.at && callee.offset === inlined.offset);
    if (own === undefined || !isSame(inlined, own.bytes, own.offset, code, call + 1)) return undefined;
    callees.push(own);
  }
  return callees;
}

/** Whether ranges of a page of which `bytes` has what is from offset `from` on are those of a piece, but for what is linked. */
function isSame({ start, bytes: kept, ranges }: KeptPiece, bytes: Uint8Array, from: number, code: RegionCode, inlined: number): boolean {
  for (let k = 0; k < ranges.length; k += 2) {
    for (let offset = ranges[k]!; offset < ranges[k + 1]!; offset++) {
      if (bytes[offset - from] !== kept[offset - start] && !isLinked(code, placeOf(inlined, offset))) return false;
    }
  }
  return true;
}
function isLinked({ values }: RegionCode, place: number): boolean {
  for (let k = 1; k < values.length; k += 2) if (place >= values[k]! && place < values[k]! + 4) return true;
  return false;
}

function startOfKey({ offset, long, flat }: Pick<KeptRegion, 'offset' | 'long' | 'flat'>): number {
  return mix(mix(0, offset), long ? 2 : flat ? 1 : 0);
}
/** A step of a hash of 32 bits (the finalizer of MurmurHash3 has such constants). */
function mix(hash: number, value: number): number {
  const mixed = Math.imul(hash ^ value, 0x85ebca6b);
  return (mixed ^ (mixed >>> 13)) | 0;
}
