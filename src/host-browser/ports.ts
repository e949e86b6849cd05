import type { MonotonicClock, WallClock } from '../host/clock.ts';
import type { Entropy } from '../host/entropy.ts';
import type { Scheduler } from '../host/scheduler.ts';

/** In Chromium reading the global takes longer than reading the clock (0.2 and 0.1 us), which guests do all the time. */
const { performance } = globalThis;

/** A step of the wall clock against the other one that only a device's sleep explains, in ms. */
const SLEPT_MS = 2000;

/**
 * Monotonic time since the clock was made, or since the origin of another worker's clock: they read the same then. While a
 * device sleeps `performance.now` may stand still; one clock of a machine asks the wall clock how long that was (`catchUp`), so
 * that the guest's time is right afterwards.
 */
export class BrowserClock implements MonotonicClock {
  /** In ms, as `performance.timeOrigin` counts. */
  readonly origin: number;
  readonly #start: number;
  /** Wall clock less monotonic time. */
  #apart = Date.now() - performance.now();
  #sleptMs = 0;

  constructor(origin = performance.timeOrigin + performance.now()) {
    this.origin = origin;
    this.#start = origin - performance.timeOrigin;
  }

  now(): number {
    return (performance.now() - this.#start + this.#sleptMs) * 1e6;
  }

  /** Looks whether the device has slept, and is right afterwards; true when it has. To be called now and then. */
  catchUp(): boolean {
    const apart = Date.now() - performance.now();
    const slept = apart - this.#apart > SLEPT_MS;
    if (slept) this.#sleptMs += apart - this.#apart;
    this.#apart = apart;
    return slept;
  }
}

export const browserWallClock: WallClock = { now: () => Date.now() };

/** Bytes that one call of the host gives at most. */
const MOST_RANDOM = 65536;

export const browserEntropy: Entropy = {
  fill: (bytes) => {
    for (let done = 0; done < bytes.length; done += MOST_RANDOM) {
      // The host refuses shared memory.
      const random = crypto.getRandomValues(new Uint8Array(Math.min(MOST_RANDOM, bytes.length - done)));
      bytes.set(random, done);
    }
  },
};

/** Below it, waiting is turns of the event loop: timers of the host have a grain of a millisecond. */
const SHORTEST_SLEEP_NS = 100_000;
/** So that a sleep of the device is seen soon after its end. */
const LONGEST_SLEEP_MS = 5000;

/** Gives way by messages to itself: they are neither delayed nor throttled as timers are. */
export class BrowserScheduler implements Scheduler {
  readonly #channel = new MessageChannel();
  readonly #awoke: () => void;
  readonly #turns: (() => void)[] = [];
  #wake: (() => void) | undefined;
  #woken = false;

  /** `awoke`: called at each turn, and around sleeps. */
  constructor(awoke: () => void = () => {}) {
    this.#awoke = awoke;
    this.#channel.port1.onmessage = () => this.#turns.shift()?.();
  }

  yield(): Promise<void> {
    this.#awoke();
    return new Promise((resolve) => {
      this.#turns.push(resolve);
      this.#channel.port2.postMessage(undefined);
    });
  }

  async sleep(ns: number | undefined): Promise<void> {
    if (this.#woken || (ns !== undefined && ns < SHORTEST_SLEEP_NS)) {
      this.#woken = false;
      return this.yield();
    }
    const woken = new Promise<void>((resolve) => (this.#wake = resolve));
    // Timers that are set in a timer's turn are delayed by 4 ms (HTML, timers): so not in that turn.
    await this.yield();
    const ms = ns === undefined ? LONGEST_SLEEP_MS : Math.max(1, Math.min(Math.round(ns / 1e6), LONGEST_SLEEP_MS));
    const timer = setTimeout(() => this.#wake?.(), ms);
    await woken;
    clearTimeout(timer);
    this.#wake = undefined;
    this.#woken = false;
    this.#awoke();
  }

  wake(): void {
    if (this.#wake !== undefined) this.#wake();
    else this.#woken = true;
  }

  /** Nothing is to be asked of it afterwards. */
  close(): void {
    this.#channel.port1.close();
  }
}
