import type { ByteRuns } from '../base/byte-runs.ts';
import { StateError } from '../base/errors.ts';
import type { Plain, Stateful } from '../base/plain.ts';
import type { BlockPort } from '../host/blocks.ts';

const CHUNK = 1 << 16;

/**
 * A disk in the host's memory: empty, or over another one, whose contents it shows until they are written. The other one
 * is never written to. Takes memory only for what was written and is not zero.
 */
export class RamDisk implements BlockPort, Stateful {
  readonly stateName: string;
  readonly stateVersion = 1;
  readonly bytes: number;
  readonly readOnly = false;
  readonly releases = true;
  readonly #below: BlockPort | undefined;
  /** Chunks that differ from what is below; an empty one is all zeros. */
  readonly #chunks = new Map<number, Uint8Array>();
  /** Chunks on their way from below, as a write needs the rest of them. */
  readonly #coming = new Map<number, Promise<Uint8Array>>();

  /** `below` has the same size, and is closed with this one. `name`: in stored machines. */
  constructor(bytes: number, below?: BlockPort, name = 'ram-disk') {
    this.stateName = name;
    this.bytes = bytes;
    this.#below = below;
  }

  async read(offset: number, target: Uint8Array): Promise<void> {
    const below: Promise<void>[] = [];
    for (const { index, from, at, count } of this.#pieces(offset, target.length)) {
      const chunk = this.#chunks.get(index);
      const part = target.subarray(at, at + count);
      if (chunk !== undefined && chunk.length > 0) part.set(chunk.subarray(from, from + count));
      else if (chunk !== undefined || this.#below === undefined) part.fill(0);
      else below.push(this.#below.read(index * CHUNK + from, part));
    }
    await Promise.all(below);
  }

  readNow(offset: number, target: ByteRuns): boolean {
    const pieces = this.#pieces(offset, target.bytes);
    if (this.#below !== undefined && !pieces.every(({ index }) => this.#chunks.has(index))) return false;
    target.each(offset, (part, at) => void this.read(at, part)); // at once, as nothing below is asked
    return true;
  }

  async write(offset: number, source: Uint8Array): Promise<void> {
    await Promise.all(this.#pieces(offset, source.length).map(async ({ index, from, at, count }) => {
      const chunk = count === this.#size(index) && !this.#coming.has(index) ? this.#fresh(index) : await this.#writable(index);
      chunk.set(source.subarray(at, at + count), from);
    }));
  }

  async zero(offset: number, bytes: number): Promise<void> {
    await Promise.all(this.#pieces(offset, bytes).map(async ({ index, from, count }) => {
      if (count < this.#size(index) || this.#coming.has(index)) (await this.#writable(index)).fill(0, from, from + count);
      else if (this.#below === undefined) this.#chunks.delete(index);
      else this.#chunks.set(index, new Uint8Array(0));
    }));
  }

  async flush(): Promise<void> {}
  async close(): Promise<void> {
    await this.#below?.close();
  }

  /** What differs from the disk below: that one is to be there again. Writes under way are done anew by who has asked for them. */
  save(): Plain {
    return { bytes: this.bytes, chunks: [...this.#chunks].sort(([a], [b]) => a - b).map(([index, data]) => ({ index, data: data.slice() })) };
  }
  load(state: Plain, version: number): void {
    if (version !== this.stateVersion) throw new StateError(`${this.stateName}: state version ${version} is unknown, expected ${this.stateVersion}`);
    const { bytes, chunks } = (state ?? {}) as { readonly bytes?: Plain; readonly chunks?: Plain };
    if (bytes !== this.bytes) throw new StateError(`${this.stateName}: the stored disk has ${String(bytes)} bytes, this one ${this.bytes}`);
    if (!Array.isArray(chunks)) throw new StateError(`${this.stateName}: field chunks must be a list`);
    const loaded = chunks.map((chunk: Plain) => this.#checkChunk(chunk));
    this.#chunks.clear();
    for (const [index, data] of loaded) this.#chunks.set(index, data);
  }

  #checkChunk(chunk: Plain): readonly [number, Uint8Array] {
    const { index, data } = (chunk ?? {}) as { readonly index?: Plain; readonly data?: Plain };
    const there = typeof index === 'number' && Number.isInteger(index) && index >= 0 && index * CHUNK < this.bytes;
    if (!there || !(data instanceof Uint8Array) || (data.length !== 0 && data.length !== this.#size(index))) throw new StateError(`${this.stateName}: a stored piece does not lie on the disk`);
    return [index, new Uint8Array(data)];
  }

  #size(index: number): number {
    return Math.min(CHUNK, this.bytes - index * CHUNK);
  }

  #fresh(index: number): Uint8Array {
    const chunk = new Uint8Array(this.#size(index));
    this.#chunks.set(index, chunk);
    return chunk;
  }

  /** The chunk in memory, with its contents of before. */
  async #writable(index: number): Promise<Uint8Array> {
    const chunk = this.#chunks.get(index);
    if (chunk !== undefined && chunk.length > 0) return chunk;
    if (chunk !== undefined || this.#below === undefined) return this.#fresh(index);
    const coming = this.#coming.get(index) ?? this.#fetch(index, this.#below);
    this.#coming.set(index, coming);
    return coming;
  }

  async #fetch(index: number, below: BlockPort): Promise<Uint8Array> {
    try {
      const chunk = new Uint8Array(this.#size(index));
      await below.read(index * CHUNK, chunk);
      this.#chunks.set(index, chunk);
      return chunk;
    } finally {
      this.#coming.delete(index);
    }
  }

  /** The chunks that a range touches: where in the chunk, and where in the range. */
  #pieces(offset: number, length: number): { index: number; from: number; at: number; count: number }[] {
    const pieces = [];
    for (let at = 0; at < length;) {
      const index = Math.floor((offset + at) / CHUNK);
      const from = offset + at - index * CHUNK;
      const count = Math.min(CHUNK - from, length - at);
      pieces.push({ index, from, at, count });
      at += count;
    }
    return pieces;
  }
}
