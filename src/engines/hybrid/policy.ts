import { CR3, USER_LONG, USER_STAYS, USER_STAYS_SLOTS, USER_UNKNOWN } from '../../isa/x86/state/layout.ts';
import type { VisitEnd } from './direct-vm.ts';

/** What a direct visit to user mode took. */
export interface Visit {
  /** Nanoseconds in KVM_RUN, and how often it was called. */
  readonly guestNs: number;
  readonly entries: number;
  readonly end: VisitEnd;
}

/** Decides which visits to user mode run directly; `slot` stands for where they begin (`enterUser` in runtime/blocks.ts). */
export interface VisitPolicy {
  note(slot: number, visit: Visit): void;
  /** User mode is being translated, and (`long`) has been for as much as the way costs: does it go on directly? */
  goesOn(slot: number, long: boolean): boolean;
}

/** A visit is long that does as much as an entry costs, divided by this: translated code is slower by about as much, and 1. */
const WORTH = 2;
/** How many visits that begin where a short one began stay translated. */
const STAYS = 1000;
/** How often such code stays translated where refused code was met. */
const REFUSED_SLICES = 32;
/** An entry's cost is a low quantile of what visits take, not more than so often the least. */
const QUANTILE = 0.25;
const STEP = 1 / 16;
const SPREAD = 2;

/**
 * User code that has run translated for long goes on directly, for then what the way into KVM costs has been spent
 * already. Where such long visits began, and elsewhere in the same address space, the next ones run directly at once,
 * until one is short.
 */
export class MeasuringPolicy implements VisitPolicy {
  readonly #block: DataView;
  readonly #stays: Uint16Array;
  readonly #refused = new Uint8Array(USER_STAYS_SLOTS);
  #leastNs = Number.POSITIVE_INFINITY;
  #entryNs: number;

  /** `block`: a view of the vCPU's block. `entryNs`: a first guess of what an entry costs. */
  constructor(block: DataView, entryNs: number) {
    this.#block = block;
    this.#stays = new Uint16Array(block.buffer, block.byteOffset + USER_STAYS, USER_STAYS_SLOTS);
    this.#stays.fill(USER_UNKNOWN);
    this.#entryNs = entryNs;
  }

  note(slot: number, { guestNs, entries, end }: Visit): void {
    const refused = end === 'refused';
    // An alarm that is due ends an entry before it has begun.
    if (end !== 'time') this.#learn(guestNs / Math.max(1, entries));
    const long = (guestNs - entries * this.#entryNs) * WORTH >= this.#entryNs;
    // Nobody knows how long it would have been.
    if (end === 'time' && !long) return;
    this.#refused[slot] = refused ? REFUSED_SLICES : 0;
    this.#stays[slot] = long ? 0 : STAYS;
    if (long) this.#block.setBigUint64(USER_LONG, this.#block.getBigUint64(CR3, true), true);
    else if (!refused && this.#block.getBigUint64(USER_LONG, true) === this.#block.getBigUint64(CR3, true)) this.#block.setBigUint64(USER_LONG, 1n, true);
  }

  #learn(ns: number): void {
    this.#leastNs = Math.min(this.#leastNs, ns);
    const step = this.#entryNs * STEP;
    this.#entryNs += ns < this.#entryNs ? -step * (1 - QUANTILE) : step * QUANTILE;
    this.#entryNs = Math.min(Math.max(this.#entryNs, this.#leastNs), this.#leastNs * SPREAD);
  }

  goesOn(slot: number, long: boolean): boolean {
    if (!long) return false;
    if (this.#refused[slot] === 0) return true;
    this.#refused[slot]!--;
    return false;
  }
}
