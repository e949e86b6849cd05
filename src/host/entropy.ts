/** Source of random bytes: the host's generator, or a seeded one for deterministic runs. */
export interface Entropy {
  fill(bytes: Uint8Array): void;
}
