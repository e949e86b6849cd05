/** Nanoseconds as seconds, to the microsecond. */
export function seconds(ns: number): number {
  return Math.round(ns / 1e3) / 1e6;
}

/** The same by name. */
export function secondsByName(ns: Readonly<Record<string, number>>): Readonly<Record<string, number>> {
  return Object.fromEntries(Object.entries(ns).map(([name, value]) => [name, seconds(value)]));
}

const BILLION = 1_000_000_000n;

/** A time in ns as POSIX has it (struct timespec): seconds, negative before 1970, and ns of the second, never negative. */
export function timespec(ns: bigint): [seconds: bigint, nanoseconds: bigint] {
  const part = ((ns % BILLION) + BILLION) % BILLION;
  return [(ns - part) / BILLION, part];
}
/** The other way; of `nanoseconds` what does not make another second. */
export function fromTimespec(seconds: bigint, nanoseconds: bigint): bigint {
  return seconds * BILLION + (nanoseconds % BILLION);
}
