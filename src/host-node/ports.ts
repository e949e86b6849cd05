import { randomFillSync } from 'node:crypto';
import type { MonotonicClock, WallClock } from '../host/clock.ts';
import type { Entropy } from '../host/entropy.ts';
import type { Scheduler } from '../host/scheduler.ts';

/** Monotonic time since the clock was made, or since the origin of another thread's clock: they read the same then. */
export class NodeClock implements MonotonicClock {
  /** In ms, as `performance.timeOrigin` counts. */
  readonly origin: number;
  readonly #start: number;
  constructor(origin = performance.timeOrigin + performance.now()) {
    this.origin = origin;
    this.#start = origin - performance.timeOrigin;
  }
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

/**
 * Timers of the host have a grain of a millisecond. Up to here waiting is turns of the event loop, which cost processor
 * time; above it a sleep may end up to about a millisecond late, which guests with a clock of their own do not mind.
 */
const SHORTEST_SLEEP_NS = 100_000;
const LONGEST_SLEEP_MS = 1 << 30;

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
      const timer = setTimeout(done, ns === undefined ? LONGEST_SLEEP_MS : Math.max(1, Math.min(Math.round(ns / 1e6), LONGEST_SLEEP_MS)));
      this.#wake = done;
    });
  }

  wake(): void {
    if (this.#wake !== undefined) this.#wake();
    else this.#woken = true;
  }
}
