import { StateError } from '../base/errors.ts';
import type { Plain, Stateful } from '../base/plain.ts';
import type { MonotonicClock, WallClock } from '../host/clock.ts';

/** 1 GHz: a tick is a nanosecond. */
const DEFAULT_TSC_KHZ = 1_000_000;
const MIN_TSC_KHZ = 10_000;
const MAX_TSC_KHZ = 100_000_000;
const NS_PER_MS = 1e6;

/**
 * The one clock of a machine, from which every timer and the time stamp counter derive: the host's, counted from
 * power-on, standing still while the machine does not run, and continued where a stored machine left off. What has passed
 * meanwhile by the wall clock is `behind` then: whoever can tell the guest makes it up by leaps (ADR 7).
 */
export class GuestClock implements MonotonicClock, Stateful {
  readonly stateName = 'guest-clock';
  readonly stateVersion = 3;
  /** Rate of the time stamp counter, which derives from this clock too. */
  #tscKhz: number;
  readonly #host: MonotonicClock;
  readonly #wall: WallClock;
  #base = 0;
  /** The host's time when `#base` was right; undefined while the clock stands. */
  #since: number | undefined;
  #behind = 0;
  /** While the clock stands: the time of day in ms that it shows; undefined: it has not run yet. */
  #shows: number | undefined;

  constructor(host: MonotonicClock, wall: WallClock, tscKhz = DEFAULT_TSC_KHZ) {
    this.#host = host;
    this.#wall = wall;
    this.#tscKhz = tscKhz;
  }

  get tscKhz(): number {
    return this.#tscKhz;
  }

  now(): number {
    return this.#since === undefined ? this.#base : this.#base + (this.#host.now() - this.#since);
  }
  start(): void {
    if (this.#since !== undefined) return;
    this.#since = this.#host.now();
    this.#compare();
  }
  stop(): void {
    if (this.#since === undefined) return;
    this.#base = this.now();
    this.#since = undefined;
    this.#shows = this.#wall.now() - this.#behind / NS_PER_MS;
  }
  /** It goes on behind a time for which it has stood. A wall clock that was set back does not count, nor does what the clock cannot show. */
  #compare(): void {
    if (this.#shows === undefined) return;
    this.#behind = Math.max(0, Math.min((this.#wall.now() - this.#shows) * NS_PER_MS, Number.MAX_SAFE_INTEGER - this.#base));
    this.#shows = undefined;
  }

  /** How much later it would be, in ns, had the clock never stood still; 0 while it stands. */
  get behind(): number {
    return this.#behind;
  }
  /** Goes forward at once, by what it is behind, or by so many ns if that is less. */
  leap(most: number): void {
    const ns = Math.min(most, this.#behind);
    this.#base += ns;
    this.#behind -= ns;
  }
  /** What it is behind is not made up: the guest knows the time of day from elsewhere. */
  stayBehind(): void {
    this.#behind = 0;
  }

  save(): Plain {
    const shows = this.#since === undefined ? this.#shows : this.#wall.now() - this.#behind / NS_PER_MS;
    return { now: this.now(), tscKhz: this.#tscKhz, shows: shows ?? null };
  }
  load(state: Plain, version: number): void {
    if (version !== 1 && version !== 2 && version !== 3) throw new StateError(`guest-clock: state version ${version} is unknown, expected 1 to 3`);
    const { now, tscKhz = DEFAULT_TSC_KHZ, shows = null } = (state ?? {}) as { readonly now?: Plain; readonly tscKhz?: Plain; readonly shows?: Plain };
    if (typeof now !== 'number' || !(now >= 0 && now <= Number.MAX_SAFE_INTEGER)) throw new StateError('guest-clock: field now must be a time in ns');
    if (typeof tscKhz !== 'number' || !(tscKhz >= MIN_TSC_KHZ && tscKhz <= MAX_TSC_KHZ)) throw new StateError('guest-clock: field tscKhz must be a rate in kHz');
    if (shows !== null && (typeof shows !== 'number' || !Number.isFinite(shows))) throw new StateError('guest-clock: field shows must be a time of day in ms, or null');
    this.#tscKhz = tscKhz;
    this.#base = now;
    this.#behind = 0;
    this.#shows = shows ?? undefined;
    if (this.#since === undefined) return;
    this.#since = this.#host.now();
    this.#compare();
  }
}
