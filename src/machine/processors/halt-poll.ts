/** It begins with so many ns, and gets no longer than this: what lies between two wake-ups, a kernel's way through its scheduler, takes 50 to 100 us. */
const FIRST = 10_000;
const LONGEST = 200_000;
/** Between two looks at the clock, each of which costs as much as some at the word. */
const LOOKS = 50;

/** Tells the processor that this is a loop that waits; not all JavaScript engines have it yet. */
const pause = (Atomics as { pause?: () => void }).pause ?? ((): void => {});

/**
 * How long a halted processor looks for its wake-up before its thread sleeps: longer while wake-ups come soon, not at all
 * while they do not (as halt_poll_ns does; Linux, Documentation/virt/kvm/halt-polling.rst).
 */
export class HaltPoll {
  #ns = 0;

  /** Looks until `woken`, or for as long as has been worth it, at most until `deadline`; that and `now` in ns of one clock. */
  look(woken: () => boolean, now: () => number, deadline: number): void {
    if (this.#ns === 0) return;
    const ends = Math.min(now() + this.#ns, deadline);
    do {
      for (let i = 0; i < LOOKS; i++) {
        if (woken()) return;
        pause();
      }
    } while (now() < ends);
  }
  /** The processor was halted for `ns` in all. */
  halted(ns: number): void {
    if (ns > LONGEST) this.#ns = 0;
    else if (ns > this.#ns) this.#ns = Math.min(LONGEST, Math.max(FIRST, 2 * this.#ns));
  }
}
