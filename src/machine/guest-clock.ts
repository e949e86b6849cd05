import { StateError } from '../base/errors.ts';
import type { Plain, Stateful } from '../base/plain.ts';
import type { MonotonicClock } from '../host/clock.ts';

/** 1 GHz: a tick is a nanosecond. */
const DEFAULT_TSC_KHZ = 1_000_000;
const MIN_TSC_KHZ = 10_000;
const MAX_TSC_KHZ = 100_000_000;

/**
 * The one clock of a machine, from which every timer and the time stamp counter derive: the host's, counted from
 * power-on, standing still while the machine does not run, and continued where a stored machine left off.
 */
export class GuestClock implements MonotonicClock, Stateful {
  readonly stateName = 'guest-clock';
  readonly stateVersion = 2;
  /** Rate of the time stamp counter, which derives from this clock too. */
  #tscKhz: number;
  readonly #host: MonotonicClock;
  #base = 0;
  /** The host's time when `#base` was right; undefined while the clock stands. */
  #since: number | undefined;

  constructor(host: MonotonicClock, tscKhz = DEFAULT_TSC_KHZ) {
    this.#host = host;
    this.#tscKhz = tscKhz;
  }

  get tscKhz(): number {
    return this.#tscKhz;
  }

  now(): number {
    return this.#since === undefined ? this.#base : this.#base + (this.#host.now() - this.#since);
  }
  start(): void {
    this.#since ??= this.#host.now();
  }
  stop(): void {
    this.#base = this.now();
    this.#since = undefined;
  }

  save(): Plain {
    return { now: this.now(), tscKhz: this.#tscKhz };
  }
  load(state: Plain, version: number): void {
    if (version !== 1 && version !== 2) throw new StateError(`guest-clock: state version ${version} is unknown, expected 1 or 2`);
    const { now, tscKhz = DEFAULT_TSC_KHZ } = (state ?? {}) as { readonly now?: Plain; readonly tscKhz?: Plain };
    if (typeof now !== 'number' || !(now >= 0 && now <= Number.MAX_SAFE_INTEGER)) throw new StateError('guest-clock: field now must be a time in ns');
    if (typeof tscKhz !== 'number' || !(tscKhz >= MIN_TSC_KHZ && tscKhz <= MAX_TSC_KHZ)) throw new StateError('guest-clock: field tscKhz must be a rate in kHz');
    this.#tscKhz = tscKhz;
    this.#base = now;
    if (this.#since !== undefined) this.#since = this.#host.now();
  }
}
