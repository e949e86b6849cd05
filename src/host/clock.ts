/** Time since some fixed origin in nanoseconds; never steps back. A double: exact for 104 days. */
export interface MonotonicClock {
  now(): number;
  /** How far it has yet to be put forward to show the right time, in ns; missing: it is right. */
  readonly behind?: number;
}

/** What a counter of so many kHz, zero at the clock's origin, shows at a time in nanoseconds: whole, and exact for a month at 3 GHz. */
export function ticksAt(ns: number, khz: number): number {
  return Math.floor((ns * khz) / 1e6);
}

/** Wall-clock time in milliseconds since 1970-01-01 UTC. */
export interface WallClock {
  now(): number;
}

/** The time of day when a clock was zero, in microseconds since 1970. One that is behind gives what will be right once it is not. */
export function timeOfOrigin(wall: WallClock, clock: MonotonicClock): number {
  return Math.round(wall.now() * 1000 - (clock.now() + (clock.behind ?? 0)) / 1000);
}
