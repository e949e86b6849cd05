/** Seeded generator of 32-bit words (xorshift32): the same seed, which must not be 0, gives the same cases. */
export function randomWords(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

/** A whole number below the one given. */
export type Random = (below: number) => number;

/** The same by any seed. */
export function random(seed: number): Random {
  const draw = randomWords((seed * 0x9e3779b1) >>> 0 || 1);
  return (below) => draw() % below;
}
