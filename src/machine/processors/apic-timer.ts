import { TIMES_TIMER } from '../../interrupts/apic-store.ts';
import type { ApicStore } from '../../interrupts/apic-store.ts';
import type { Timer, Timers } from '../../host/timers.ts';

/** The one timer of a vCPU's own thread: its deadline lies with the local APIC's state. */
export class ApicTimer implements Timers, Timer {
  readonly #times: Float64Array;
  #callback: () => void = () => {};

  constructor(store: ApicStore) {
    this.#times = store.times;
  }

  create(_name: string, callback: () => void): Timer {
    this.#callback = callback;
    return this;
  }
  arm(deadline: number): void {
    this.#times[TIMES_TIMER] = deadline;
  }
  disarm(): void {
    this.#times[TIMES_TIMER] = Number.NaN;
  }
  get deadline(): number | undefined {
    const deadline = this.#times[TIMES_TIMER]!;
    return Number.isNaN(deadline) ? undefined : deadline;
  }
  runDue(now: number): void {
    if (!(this.#times[TIMES_TIMER]! <= now)) return;
    this.disarm();
    this.#callback();
  }
}
