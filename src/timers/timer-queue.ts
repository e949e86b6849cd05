import type { Timer, Timers } from '../host/timers.ts';

class QueuedTimer implements Timer {
  readonly name: string;
  readonly callback: () => void;
  deadline: number | undefined;
  readonly #changed: (deadline: number | undefined) => void;

  constructor(name: string, callback: () => void, changed: (deadline: number | undefined) => void) {
    this.name = name;
    this.callback = callback;
    this.#changed = changed;
  }
  arm(deadline: number): void {
    this.deadline = deadline;
    this.#changed(deadline);
  }
  disarm(): void {
    this.deadline = undefined;
    this.#changed(undefined);
  }
}

/** A machine's timers: a handful, so a scan beats a heap. Due ones run in order of deadline, then of creation. */
export class TimerQueue implements Timers {
  readonly #timers: QueuedTimer[] = [];
  /** Told of each deadline that is set. */
  onArmed: (deadline: number) => void = () => {};
  #next: number | undefined;
  #stale = false;

  create(name: string, callback: () => void): Timer {
    const timer = new QueuedTimer(name, callback, (deadline) => {
      this.#stale = true;
      if (deadline !== undefined) this.onArmed(deadline);
    });
    this.#timers.push(timer);
    return timer;
  }

  /** The earliest armed deadline in ns. */
  nextDeadline(): number | undefined {
    if (this.#stale) {
      this.#stale = false;
      this.#next = undefined;
      for (const timer of this.#timers) {
        if (timer.deadline !== undefined && (this.#next === undefined || timer.deadline < this.#next)) this.#next = timer.deadline;
      }
    }
    return this.#next;
  }

  /** Runs what is due at `now`; a callback that arms its timer again in the past waits for the next call. */
  runDue(now: number): void {
    const next = this.nextDeadline();
    if (next === undefined || next > now) return;
    const due = this.#timers.filter((timer) => timer.deadline !== undefined && timer.deadline <= now).sort((a, b) => a.deadline! - b.deadline!);
    for (const timer of due) {
      if (timer.deadline === undefined || timer.deadline > now) continue;
      timer.deadline = undefined;
      this.#stale = true;
      timer.callback();
    }
  }
}
