/** Time since some fixed origin in nanoseconds; never steps back. A double: exact for 104 days. */
export interface MonotonicClock {
  now(): number;
}

/** Wall-clock time in milliseconds since 1970-01-01 UTC. */
export interface WallClock {
  now(): number;
}
