/** Nanoseconds as seconds, to the microsecond. */
export function seconds(ns: number): number {
  return Math.round(ns / 1e3) / 1e6;
}

/** The same by name. */
export function secondsByName(ns: Readonly<Record<string, number>>): Readonly<Record<string, number>> {
  return Object.fromEntries(Object.entries(ns).map(([name, value]) => [name, seconds(value)]));
}
