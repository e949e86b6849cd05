import { USER_STAYS, USER_STAYS_SLOTS } from '../../isa/x86/state/layout.ts';

/** What a direct visit to user mode took. */
export interface Visit {
  /** Nanoseconds in KVM_RUN, and how often it was called. */
  readonly guestNs: number;
  readonly entries: number;
  readonly totalNs: number;
  /** It met a page of code that must not run directly. */
  readonly refused: boolean;
}

/** Decides which visits to user mode run directly; `slot` stands for where they begin (`enterUser` in runtime/blocks.ts). */
export interface VisitPolicy {
  note(slot: number, visit: Visit): void;
  /** Translated user code has run for a whole slice: is it worth going on directly, whatever earlier visits were like? */
  longRunning(slot: number): boolean;
}

/** Translated code is taken for as many times slower than the processor. */
const SLOWNESS = 4;
/** As powers of two: how many visits stay translated at most between two attempts. */
const LONGEST = 6;
/** After an attempt that met refused code. */
const REFUSED = 5;

/** Those run directly that begin where earlier ones were worth their way there and back. The runtime counts down how often others stay translated. */
export class MeasuringPolicy implements VisitPolicy {
  readonly #stays: Uint16Array;
  readonly #failures = new Uint8Array(USER_STAYS_SLOTS);
  readonly #refused = new Uint8Array(USER_STAYS_SLOTS);
  /** The least that KVM_RUN takes: a visit that does nothing. */
  #entryNs: number;

  /** `block`: a view of the vCPU's block. `entryNs`: a first guess of what an entry costs. */
  constructor(block: DataView, entryNs: number) {
    this.#stays = new Uint16Array(block.buffer, block.byteOffset + USER_STAYS, USER_STAYS_SLOTS);
    this.#entryNs = entryNs;
    this.#stays.fill(0);
  }

  note(slot: number, { guestNs, entries, totalNs, refused }: Visit): void {
    if (entries > 0) this.#entryNs = Math.min(this.#entryNs, guestNs / entries);
    const useful = Math.max(0, guestNs - entries * this.#entryNs);
    this.#refused[slot] = refused ? 1 : 0;
    if (useful * SLOWNESS >= totalNs) {
      this.#failures[slot] = 0;
      // A page that is refused now and then is no reason to give up what pays.
      this.#stays[slot] = 0;
      return;
    }
    const failures = Math.min(this.#failures[slot]! + 1, LONGEST);
    this.#failures[slot] = failures;
    this.#stays[slot] = (1 << Math.max(failures, refused ? REFUSED : 0)) - 1;
  }

  longRunning(slot: number): boolean {
    return this.#refused[slot] === 0;
  }
}
