import type { MonotonicClock } from './clock.ts';

/** What a thread tells the machine that started it. */
export interface ThreadEvents {
  /** It wants the machine to look. */
  wake(): void;
  /** A trace of what it does. */
  traced(kind: string, message: string): void;
  /** It has ended without having been asked to. */
  failed(reason: string): void;
}

export interface Thread {
  /** Ends it, whatever it does. */
  end(): void;
}

/** How the host makes threads. `Order`: what a thread is to do, as data that can be sent to one. */
export interface ThreadHost<Order> {
  /** The host's clock, which reads the same in each of the threads. */
  readonly clock: MonotonicClock;
  /** How many threads the host executes at once. */
  readonly processors: number;
  start(order: Order, events: ThreadEvents): Thread;
}
