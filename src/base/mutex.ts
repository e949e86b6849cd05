const FREE = 0;
const TAKEN = 1;
/** Taken, and somebody may wait. */
const AWAITED = 2;

/** A lock of threads in one word of shared memory. Who waits sleeps: for threads that may (a page's own may not). */
export class Mutex {
  readonly #words: Int32Array;
  readonly #at: number;

  /** `at`: index of the word, which is 0 at first. */
  constructor(words: Int32Array, at: number) {
    this.#words = words;
    this.#at = at;
  }

  /** Does some work while no other thread does any under this lock. Not reentrant. */
  run<T>(work: () => T): T {
    this.#take();
    try {
      return work();
    } finally {
      if (Atomics.exchange(this.#words, this.#at, FREE) === AWAITED) Atomics.notify(this.#words, this.#at, 1);
    }
  }

  #take(): void {
    if (Atomics.compareExchange(this.#words, this.#at, FREE, TAKEN) === FREE) return;
    while (Atomics.exchange(this.#words, this.#at, AWAITED) !== FREE) Atomics.wait(this.#words, this.#at, AWAITED);
  }
}
