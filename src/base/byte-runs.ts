/**
 * Runs of bytes of one memory, taken one behind the other. Numbers rather than arrays: a transfer may have hundreds, and the host
 * takes longer to make so many arrays than to copy what they hold.
 */
export class ByteRuns {
  readonly memory: Uint8Array;
  /** Where each run begins, and how long it is, by turns. */
  readonly places: readonly number[];
  readonly bytes: number;

  constructor(memory: Uint8Array, places: readonly number[]) {
    this.memory = memory;
    this.places = places;
    let bytes = 0;
    for (let i = 1; i < places.length; i += 2) bytes += places[i]!;
    this.bytes = bytes;
  }

  /** Each run as an array. */
  arrays(): Uint8Array[] {
    const arrays: Uint8Array[] = [];
    for (let i = 0; i < this.places.length; i += 2) arrays.push(this.memory.subarray(this.places[i]!, this.places[i]! + this.places[i + 1]!));
    return arrays;
  }

  /** The same one after the other, with where it begins in something of which the runs take the bytes from `at` on. */
  each(at: number, take: (part: Uint8Array, at: number) => void): void {
    for (const part of this.arrays()) {
      take(part, at);
      at += part.length;
    }
  }

  /** The bytes `from` to `from + count` of all. */
  slice(from: number, count: number): ByteRuns {
    return new ByteRuns(this.memory, slicePlaces(this.places, from, count));
  }
}

/** What lies `from` to `from + count` in runs that are given by begin and length; as much of it as there is. */
export function slicePlaces(places: readonly number[], from: number, count: number): number[] {
  const found: number[] = [];
  let skip = from;
  let left = count;
  for (let i = 0; i < places.length && left > 0; i += 2) {
    const length = places[i + 1]!;
    if (skip >= length) {
      skip -= length;
      continue;
    }
    const part = Math.min(length - skip, left);
    found.push(places[i]! + skip, part);
    left -= part;
    skip = 0;
  }
  return found;
}
