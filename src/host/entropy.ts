/** Source of random bytes: the host's generator, or a seeded one for deterministic runs. */
export interface Entropy {
  fill(bytes: Uint8Array): void;
}

/** Gives 32 random bits a call, as a signed number. */
export function randomWords(entropy: Entropy): () => number {
  const word = new Int32Array(1);
  const bytes = new Uint8Array(word.buffer);
  return () => {
    entropy.fill(bytes);
    return word[0]!;
  };
}
