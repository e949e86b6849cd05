/** Time since some fixed origin in nanoseconds; never steps back. A double: exact for 104 days. */
export interface MonotonicClock {
  now(): number;
}

/** What a counter of so many kHz, zero at the clock's origin, shows at a time in nanoseconds. */
export function ticksAt(ns: number, khz: number): bigint {
  return BigInt(Math.floor((ns * khz) / 1e6));
}

/** Wall-clock time in milliseconds since 1970-01-01 UTC. */
export interface WallClock {
  now(): number;
}

/** The time of day when a clock was zero, in microseconds since 1970. */
export function timeOfOrigin(wall: WallClock, clock: MonotonicClock): number {
  return Math.round(wall.now() * 1000 - clock.now() / 1000);
}
