/** Seeded generator (xorshift128, after mixing): the same seed and index give the same numbers on every machine. */
export class Random {
  #a = 0;
  #b = 0;
  #c = 0;
  #d = 0;

  constructor(seed: number, index: number) {
    this.reset(seed, index);
  }

  /** Starts over as the generator of case `index` under `seed`. */
  reset(seed: number, index: number): void {
    let mixed = (seed ^ Math.imul(index + 1, 0x9e3779b9)) >>> 0;
    const next = (): number => {
      mixed = (mixed + 0x9e3779b9) >>> 0;
      let z = mixed;
      z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
      z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
      return (z ^ (z >>> 16)) >>> 0;
    };
    this.#a = next();
    this.#b = next() ^ Math.floor(index / 0x100000000);
    this.#c = next() ^ seed;
    this.#d = next() | 1;
  }

  /** 32 bits, unsigned. */
  readonly u32 = (): number => {
    let t = this.#d;
    const s = this.#a;
    this.#d = this.#c;
    this.#c = this.#b;
    this.#b = s;
    t ^= t << 11;
    t ^= t >>> 8;
    this.#a = t ^ s ^ (s >>> 19);
    return this.#a >>> 0;
  };
  below(limit: number): number {
    return this.u32() % limit;
  }
  chance(outOf: number): boolean {
    return this.u32() % outOf === 0;
  }
  pick<T>(list: readonly T[]): T {
    return list[this.u32() % list.length]!;
  }
}
