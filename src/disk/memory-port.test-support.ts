import { ByteRuns } from '../base/byte-runs.ts';
import type { BlockPort } from '../host/blocks.ts';

/** A disk in memory whose requests take turns of the event loop, and fail while `fail` is set. */
export class MemoryPort implements BlockPort {
  readonly contents: Uint8Array;
  readonly readOnly = false;
  readonly releases = false;
  fail = false;
  /** Has what is read at hand. */
  quick = false;
  closed = false;

  constructor(bytes: number, fill: (i: number) => number = () => 0) {
    this.contents = Uint8Array.from({ length: bytes }, (_, i) => fill(i));
  }
  get bytes(): number {
    return this.contents.length;
  }
  async #turn(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    if (this.fail) throw new Error('the medium is damaged');
  }
  readNow(offset: number, target: ByteRuns): boolean {
    if (!this.quick) return false;
    target.each(offset, (part, at) => part.set(this.contents.subarray(at, at + part.length)));
    return true;
  }
  async read(offset: number, target: Uint8Array): Promise<void> {
    await this.#turn();
    target.set(this.contents.subarray(offset, offset + target.length));
  }
  async write(offset: number, source: Uint8Array): Promise<void> {
    const bytes = source.slice();
    await this.#turn();
    this.contents.set(bytes, offset);
  }
  async zero(offset: number, bytes: number): Promise<void> {
    await this.#turn();
    this.contents.fill(0, offset, offset + bytes);
  }
  flush(): Promise<void> {
    return this.#turn();
  }
  async close(): Promise<void> {
    this.closed = true;
  }
}

/** Numbers from 0 up to below what is asked for, the same in each run. */
export function randomNumbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** Random reads, writes and zeroing of a disk, compared with an array; writes at the same place wait for each other. */
export async function exercise(disk: BlockPort, expected: Uint8Array, seed: number, steps: number): Promise<void> {
  const random = randomNumbers(seed);
  for (let step = 0; step < steps; step++) {
    const offset = random(disk.bytes);
    const bytes = 1 + random(Math.min(random(2) === 0 ? 700 : 200_000, disk.bytes - offset));
    const what = random(5);
    if (what === 0) {
      await disk.zero(offset, bytes);
      expected.fill(0, offset, offset + bytes);
    } else if (what < 3) {
      const source = Uint8Array.from({ length: bytes }, (_, i) => i * step + offset);
      await disk.write(offset, source);
      expected.set(source, offset);
    } else {
      const target = new Uint8Array(bytes).fill(0xee);
      await disk.read(offset, target);
      if (Buffer.compare(target, expected.subarray(offset, offset + bytes)) !== 0) throw new Error(`step ${step}: ${bytes} bytes at ${offset} differ`);
      const now = new Uint8Array(bytes);
      if (disk.readNow(offset, new ByteRuns(now, [0, bytes >> 1, bytes >> 1, bytes - (bytes >> 1)])) && Buffer.compare(now, target) !== 0) throw new Error(`step ${step}: readNow differs`);
    }
  }
}
