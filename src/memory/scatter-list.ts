import { ByteRuns, slicePlaces } from '../base/byte-runs.ts';
import type { PhysicalAddress } from '../base/addresses.ts';
import type { GuestMemory } from './guest-memory.ts';

/**
 * Guest memory in pieces, as a driver has listed them for a device: every piece was found to lie in RAM when the list
 * was made, and none can be added later. Offsets count through the pieces.
 */
export class ScatterList {
  /** Address and length of each piece, by turns. */
  readonly pieces: readonly number[];
  readonly bytes: number;
  readonly #memory: GuestMemory;

  private constructor(memory: GuestMemory, pieces: readonly number[], bytes: number) {
    this.#memory = memory;
    this.pieces = pieces;
    this.bytes = bytes;
  }

  /** Of addresses and lengths, by turns. Undefined when a piece is empty or does not lie wholly in RAM. */
  static check(memory: GuestMemory, pieces: readonly number[]): ScatterList | undefined {
    let bytes = 0;
    for (let i = 0; i < pieces.length; i += 2) {
      const length = pieces[i + 1]!;
      if (length <= 0 || !memory.contains(pieces[i]!, length)) return undefined;
      bytes += length;
    }
    return new ScatterList(memory, pieces, bytes);
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
  fillInPlace(use: (runs: ByteRuns) => boolean): boolean {
    const { pieces } = this;
    const places: number[] = [];
    for (let i = 0; i < pieces.length; i += 2) {
      const place = this.#memory.place(pieces[i]!, pieces[i + 1]!);
      if (place === undefined) return false;
      const last = places.length - 2;
      if (last >= 0 && places[last]! + places[last + 1]! === place) places[last + 1]! += pieces[i + 1]!;
      else places.push(place, pieces[i + 1]!);
    }
    const filled = use(new ByteRuns(this.#memory.storage, places));
    for (let i = 0; i < pieces.length; i += 2) this.#memory.wrote(pieces[i]!, pieces[i + 1]!);
    return filled;
  }

  /** The bytes `offset` to `offset + length`, as far as they exist. */
  slice(offset: number, length = this.bytes - offset): ScatterList {
    const pieces = slicePlaces(this.pieces, offset, length);
    return new ScatterList(this.#memory, pieces, Math.max(0, Math.min(length, this.bytes - offset)));
  }

  #walk(offset: number, length: number, visit: (address: PhysicalAddress, at: number, count: number) => void): number {
    const parts = slicePlaces(this.pieces, offset, length);
    let done = 0;
    for (let i = 0; i < parts.length; i += 2) {
      visit(parts[i]!, done, parts[i + 1]!);
      done += parts[i + 1]!;
    }
    return done;
  }
}
