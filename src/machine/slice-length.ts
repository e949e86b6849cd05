/** A slice costs about as much as some hundred instructions besides. */
const SHORTEST = 1_000;
/** What a measurement changes of what is known. */
const WEIGHT = 1 / 8;

/**
 * How many instructions to execute until something is due: slices end by instructions alone, so the guest's speed, which
 * is measured from slice to slice, tells how many fit.
 */
export class SliceLength {
  readonly #longest: number;
  /** Slow at first: the first slices are cold. */
  #nsPerInstruction = 100;

  /** `longest`: in instructions. */
  constructor(longest: number) {
    this.#longest = longest;
  }

  /** For a slice that should take at most `ns`. */
  forTime(ns: number): number {
    return Math.max(SHORTEST, Math.min(this.#longest, Math.floor(ns / this.#nsPerInstruction)));
  }
  /** When a slice of so many instructions that begins now ends, as far as is known. */
  timeOf(instructions: number): number {
    return instructions * this.#nsPerInstruction;
  }
  /** A slice was executed whole. */
  measured(instructions: number, ns: number): void {
    // The host may have done something else meanwhile, so a slow one counts as twice as slow at most.
    const found = Math.min(ns / instructions, 2 * this.#nsPerInstruction);
    this.#nsPerInstruction += WEIGHT * (found - this.#nsPerInstruction);
  }
}
