import { randomFillSync } from 'node:crypto';
import type { MonotonicClock, WallClock } from '../host/clock.ts';
import type { Entropy } from '../host/entropy.ts';
import type { Scheduler } from '../host/scheduler.ts';

/** Monotonic time since the clock was made. */
export class NodeClock implements MonotonicClock {
  readonly #start = performance.now();
  now(): number {
    return (performance.now() - this.#start) * 1e6;
  }
}

export const nodeWallClock: WallClock = { now: () => Date.now() };

export const nodeEntropy: Entropy = {
  fill: (bytes) => {
    randomFillSync(bytes);
  },
};

/** Sleeps below this are not worth a timer of the host, whose grain is a millisecond. */
const SHORTEST_SLEEP_NS = 500_000;

export class NodeScheduler implements Scheduler {
  #wake: (() => void) | undefined;
  #woken = false;

  yield(): Promise<void> {
    return new Promise((resolve) => setImmediate(resolve));
  }

  sleep(ns: number | undefined): Promise<void> {
    if (this.#woken || (ns !== undefined && ns < SHORTEST_SLEEP_NS)) {
      this.#woken = false;
      return this.yield();
    }
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#wake = undefined;
        this.#woken = false;
        resolve();
      };
      // Without a deadline the guest waits for input only; the timer keeps the process alive meanwhile.
      const timer = setTimeout(done, ns === undefined ? 1 << 30 : Math.min(ns / 1e6, 1 << 30));
      this.#wake = done;
    });
  }

  wake(): void {
    if (this.#wake !== undefined) this.#wake();
    else this.#woken = true;
  }
}
