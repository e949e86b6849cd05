import type { BlockPort } from '../../host/blocks.ts';
import type { ScatterList } from '../../memory/scatter-list.ts';

/** How a request ended. `abandoned`: the controller was reset meanwhile, nobody waits for the answer. */
export type Outcome = 'done' | 'failed' | 'abandoned';

/** Host memory that one request takes at a time. */
const CHUNK = 1 << 20;
/** The most that the guest waits for, about 0.2 ms of copying. */
const MOST_NOW = 2 << 20;
/** Requests that the host works on at a time; the others wait their turn. */
const AT_ONCE = 16;

/**
 * Carries requests of a controller to a disk, while the guest runs on. Data pass through buffers of our own, so a request
 * that a reset has overtaken touches no guest memory. Offsets and lengths may be anything a guest says.
 */
export class DiskRequests {
  readonly #block: BlockPort;
  readonly #running = new Set<Promise<Outcome>>();
  readonly #waiting: (() => void)[] = [];
  readonly #spare: Uint8Array[] = [];
  #busy = 0;
  #epoch = 0;
  /** Requests of before the last reset; what comes after it begins when they are over, as writes may still be on their way. */
  #before: Promise<unknown> | undefined;

  constructor(block: BlockPort) {
    this.#block = block;
  }

  get bytes(): number {
    return this.#block.bytes;
  }
  get readOnly(): boolean {
    return this.#block.readOnly;
  }

  /** From the disk to all of the list. */
  read(offset: number, target: ScatterList): Promise<Outcome> {
    if (this.readNow(offset, target)) return Promise.resolve('done');
    return this.#transfer(offset, target.bytes, (at, length, alive) => this.#buffered(length, async (buffer) => {
      await this.#block.read(offset + at, buffer);
      if (alive()) target.write(at, buffer);
    }));
  }

  /** As `read`, but at once and without a copy; false when that is not possible, and then nothing has been asked. */
  readNow(offset: number, target: ScatterList): boolean {
    if (this.#before !== undefined || target.bytes > MOST_NOW || !this.contains(offset, target.bytes)) return false;
    return target.fillInPlace((runs) => this.#block.readNow(offset, runs));
  }

  write(offset: number, source: ScatterList): Promise<Outcome> {
    return this.#transfer(offset, source.bytes, (at, length) => this.#buffered(length, async (buffer) => {
      source.read(at, buffer);
      await this.#block.write(offset + at, buffer);
    }));
  }

  /** Lends a buffer: new ones cost the host a page fault for every 4 KiB. */
  async #buffered(length: number, use: (buffer: Uint8Array) => Promise<void>): Promise<void> {
    const whole = this.#spare.pop() ?? new Uint8Array(CHUNK);
    try {
      await use(whole.subarray(0, length));
    } finally {
      this.#spare.push(whole);
    }
  }

  zero(offset: number, bytes: number): Promise<Outcome> {
    return this.contains(offset, bytes) ? this.#run(() => this.#block.zero(offset, bytes)) : Promise.resolve('failed');
  }

  /** The guest has no more use for these bytes. A hint: without effect on storage that cannot let them go. */
  discard(offset: number, bytes: number): Promise<Outcome> {
    return this.#block.releases || !this.contains(offset, bytes) ? this.zero(offset, bytes) : Promise.resolve('done');
  }

  flush(): Promise<Outcome> {
    return this.#run(() => this.#block.flush());
  }

  /** Waits for a write, then for stable storage if it is to go `through` the cache, which is asked once it is done. */
  async written(writing: Promise<Outcome>, through: () => boolean): Promise<Outcome> {
    const outcome = await writing;
    return outcome === 'done' && through() ? this.flush() : outcome;
  }

  /** Whether the disk has these bytes. */
  contains(offset: number, bytes: number): boolean {
    return Number.isSafeInteger(offset) && offset >= 0 && offset + bytes <= this.#block.bytes;
  }

  /** A reset: requests under way end as `abandoned`. */
  abandon(): void {
    this.#epoch++;
    const before = Promise.all([...this.#running]);
    this.#before = before;
    void before.then(() => {
      if (this.#before === before) this.#before = undefined;
    });
  }

  #transfer(offset: number, bytes: number, step: (at: number, length: number, alive: () => boolean) => Promise<void>): Promise<Outcome> {
    if (!this.contains(offset, bytes)) return Promise.resolve('failed');
    return this.#run(async (alive) => {
      for (let at = 0; at < bytes && alive(); at += CHUNK) await step(at, Math.min(CHUNK, bytes - at), alive);
    });
  }

  #run(work: (alive: () => boolean) => Promise<void>): Promise<Outcome> {
    const running = this.#attempt(work, this.#epoch);
    this.#running.add(running);
    void running.then(() => this.#running.delete(running));
    return running;
  }

  async #attempt(work: (alive: () => boolean) => Promise<void>, epoch: number): Promise<Outcome> {
    const alive = (): boolean => epoch === this.#epoch;
    if (this.#before !== undefined) await this.#before;
    if (this.#busy >= AT_ONCE) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#busy++;
    try {
      if (alive()) await work(alive);
      return alive() ? 'done' : 'abandoned';
    } catch {
      return alive() ? 'failed' : 'abandoned';
    } finally {
      this.#busy--;
      this.#waiting.shift()?.();
    }
  }
}
