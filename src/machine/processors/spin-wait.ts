/** Slices of waiting in a row that are executed first, where the host has a processor for each of the machine's, and where not. Idle guests wait 0.2 ms so. */
const PATIENCE = 20;
const PATIENCE_CROWDED = 4;
/** Then the host's processor is given away for so many ns, and twice as many each time up to this. */
const FIRST = 50_000;
const LONGEST = 200_000;

/**
 * When a processor that waits in a loop (PAUSE) gives the host's away, and for how long: whoever it waits for may want it. Short slices
 * between tell whether it still waits. KVM does the same by hardware that counts PAUSE (SDM 3C, 26.1.3, PAUSE-loop exiting).
 */
export class SpinWait {
  readonly #patience: number;
  #slices = 0;
  #ns = 0;

  /** `crowded`: the host has fewer processors than the machine. */
  constructor(crowded: boolean) {
    this.#patience = crowded ? PATIENCE_CROWDED : PATIENCE;
  }

  /** It gave the host's processor away behind the last slice. */
  get waits(): boolean {
    return this.#ns > 0;
  }

  /** A slice has ended, all of which was such a loop or not: for how many ns to give the host's processor away. */
  after(spun: boolean): number {
    this.#slices = spun ? this.#slices + 1 : 0;
    this.#ns = this.#slices < this.#patience ? 0 : Math.min(LONGEST, Math.max(FIRST, 2 * this.#ns));
    return this.#ns;
  }
}
