import type { MonotonicClock } from '../../host/clock.ts';
import type { KvmHost } from './kvm-host.ts';

/** Without a time from the caller: how long one run takes at most. */
const LONGEST_RUN_NS = 1_000_000;

/** The thread's alarm, which ends KVM_RUN: set anew only where the next time is earlier than the one that is set. */
export class Alarm {
  readonly #host: KvmHost;
  readonly #clock: MonotonicClock;
  /** Guest time at which it goes off; Infinity: not set. */
  #at = Number.POSITIVE_INFINITY;

  constructor(host: KvmHost, clock: MonotonicClock) {
    this.#host = host;
    this.#clock = clock;
  }

  /** When a run that begins now is to end. */
  deadline(until: (() => number) | undefined): () => number {
    const latest = this.#clock.now() + LONGEST_RUN_NS;
    return until ?? (() => latest);
  }

  /** False: that time has come. An alarm that is set for earlier only makes one run shorter. */
  set(at: number): boolean {
    if (at >= this.#at) return true;
    const wait = at - this.#clock.now();
    if (wait <= 0) return false;
    this.#host.setAlarm(wait);
    this.#at = at;
    return true;
  }
  /** It has gone off. */
  clear(): void {
    this.#host.clearAlarm();
    this.forget();
  }
  /** Whatever is set is not known. */
  forget(): void {
    this.#at = Number.POSITIVE_INFINITY;
  }
}
