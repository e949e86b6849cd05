import type { PhysicalAddress } from '../base/addresses.ts';
import type { GuestMemory } from './guest-memory.ts';

/** One run of guest memory. */
export interface Segment {
  readonly address: PhysicalAddress;
  readonly length: number;
}

/**
 * Guest memory in pieces, as a driver has listed them for a device: every piece was found to lie in RAM when the list
 * was made, and none can be added later. Offsets count through the pieces.
 */
export class ScatterList {
  readonly segments: readonly Segment[];
  readonly bytes: number;
  readonly #memory: GuestMemory;

  private constructor(memory: GuestMemory, segments: readonly Segment[], bytes: number) {
    this.#memory = memory;
    this.segments = segments;
    this.bytes = bytes;
  }

  /** Undefined when a piece is empty or does not lie wholly in RAM. */
  static check(memory: GuestMemory, segments: readonly Segment[]): ScatterList | undefined {
    let bytes = 0;
    for (const { address, length } of segments) {
      if (length <= 0 || !memory.contains(address, length)) return undefined;
      bytes += length;
    }
    return new ScatterList(memory, segments, bytes);
  }

  /** Copies from the guest; returns how many bytes there were from `offset` on, at most the target's length. */
  read(offset: number, target: Uint8Array): number {
    return this.#walk(offset, target.length, (address, at, count) => this.#memory.read(address, target.subarray(at, at + count)));
  }

  /** Copies to the guest; returns how many bytes found room. */
  write(offset: number, source: Uint8Array): number {
    return this.#walk(offset, source.length, (address, at, count) => this.#memory.write(address, source.subarray(at, at + count)));
  }

  /** Lets the host fill all of the list in place; what `use` says, or false when there is no such way. */
  fillInPlace(use: (pieces: readonly Uint8Array[]) => boolean): boolean {
    const pieces: Uint8Array[] = [];
    for (const { address, length } of this.segments) {
      const piece = this.#memory.ram(address, length);
      if (piece === undefined) return false;
      pieces.push(piece);
    }
    const filled = use(pieces);
    for (const { address, length } of this.segments) this.#memory.wrote(address, length);
    return filled;
  }

  /** The bytes `offset` to `offset + length`, as far as they exist. */
  slice(offset: number, length = this.bytes - offset): ScatterList {
    const segments: Segment[] = [];
    const bytes = this.#walk(offset, length, (address, _, count) => segments.push({ address, length: count }));
    return new ScatterList(this.#memory, segments, bytes);
  }

  #walk(offset: number, length: number, visit: (address: PhysicalAddress, at: number, count: number) => void): number {
    let skip = offset;
    let done = 0;
    for (const segment of this.segments) {
      if (skip >= segment.length) {
        skip -= segment.length;
        continue;
      }
      if (done === length) break;
      const count = Math.min(segment.length - skip, length - done);
      visit(segment.address + skip, done, count);
      done += count;
      skip = 0;
    }
    return done;
  }
}
