import { StateError } from '../base/errors.ts';
import type { Plain, Stateful } from '../base/plain.ts';
import type { MonotonicClock } from '../host/clock.ts';

/**
 * The one clock of a machine, from which every timer and the time stamp counter derive: the host's, counted from
 * power-on, standing still while the machine does not run, and continued where a stored machine left off.
 */
export class GuestClock implements MonotonicClock, Stateful {
  readonly stateName = 'guest-clock';
  readonly stateVersion = 1;
  readonly #host: MonotonicClock;
  #base = 0;
  /** The host's time when `#base` was right; undefined while the clock stands. */
  #since: number | undefined;

  constructor(host: MonotonicClock) {
    this.#host = host;
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
    return { now: this.now() };
  }
  load(state: Plain, version: number): void {
    if (version !== 1) throw new StateError(`guest-clock: state version ${version} is unknown, expected 1`);
    const now = (state as { readonly now?: Plain } | null)?.now;
    if (typeof now !== 'number' || !(now >= 0 && now <= Number.MAX_SAFE_INTEGER)) throw new StateError('guest-clock: field now must be a time in ns');
    this.#base = now;
    if (this.#since !== undefined) this.#since = this.#host.now();
  }
}
