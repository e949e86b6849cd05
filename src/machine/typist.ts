import type { MonotonicClock } from '../host/clock.ts';
import type { Timer, Timers } from '../host/timers.ts';

/** Between two keys, pressed or released: slower than a BIOS, whose buffer holds 16 keys, and faster than people. */
const PAUSE_NS = 8e6;

/** Presses keys for the host, no faster than guests take them. What waits is no part of a saved machine. */
export class Typist {
  readonly #timer: Timer;
  readonly #clock: MonotonicClock;
  readonly #press: (scancodes: Uint8Array) => void;
  #waiting: Uint8Array[] = [];

  /** `press` gets set 2 scan codes, each key's code whole. */
  constructor(timers: Timers, clock: MonotonicClock, press: (scancodes: Uint8Array) => void) {
    this.#timer = timers.create('typist', () => this.#next());
    this.#clock = clock;
    this.#press = press;
  }

  /** Each entry is one key pressed or released. */
  type(keys: readonly Uint8Array[]): void {
    this.#waiting.push(...keys);
    if (this.#timer.deadline === undefined) this.#next();
  }

  #next(): void {
    const key = this.#waiting.shift();
    if (key === undefined) return;
    this.#press(key);
    this.#timer.arm(this.#clock.now() + PAUSE_NS);
  }
}
