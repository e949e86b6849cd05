/** A whole number below the one given. */
export type Random = (below: number) => number;

/** Seeded generator (xorshift32): the same seed gives the same cases. */
export function random(seed: number): Random {
  let state = (seed * 0x9e3779b1) >>> 0 || 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}
