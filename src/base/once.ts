/** Calls `make` when it is called for the first time, and returns that result ever after. */
export function once<T>(make: () => T): () => T {
  let made: T | undefined;
  return () => (made ??= make());
}
