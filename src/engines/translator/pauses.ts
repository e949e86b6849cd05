import type { PauseFigures } from '../../cpu/vcpu.ts';

/** Bucket n holds pauses up to 2^(n / STEPS) us; each reaches 19 % further than the one before. */
const STEPS = 4;
const BUCKETS = 28 * STEPS;

/** How long the guest stood still, by count of pauses: plain numbers, whatever the length of a run. */
export class Pauses {
  readonly #buckets = new Uint32Array(BUCKETS);
  #count = 0;
  #total = 0;
  #longest = 0;

  add(ns: number): void {
    const bucket = Math.ceil(Math.log2(Math.max(ns / 1000, 1)) * STEPS);
    this.#buckets[Math.min(bucket, BUCKETS - 1)]!++;
    this.#count++;
    this.#total += ns;
    this.#longest = Math.max(this.#longest, ns);
  }

  figures(): PauseFigures {
    const ms = (ns: number): number => Math.round(ns / 1e3) / 1e3;
    return { count: this.#count, totalMs: ms(this.#total), medianMs: ms(this.#percentile(0.5)), percentile99Ms: ms(this.#percentile(0.99)), longestMs: ms(this.#longest) };
  }

  /** In ns. */
  #percentile(share: number): number {
    let left = Math.ceil(this.#count * share);
    for (let bucket = 0; bucket < BUCKETS && this.#count > 0; bucket++) {
      left -= this.#buckets[bucket]!;
      if (left <= 0) return Math.min(1000 * 2 ** (bucket / STEPS), this.#longest);
    }
    return this.#longest;
  }
}
