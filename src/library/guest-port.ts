import type { MonotonicClock } from '../host/clock.ts';
import { Console } from './console.ts';
import type { ConsoleEnd } from './console.ts';

export interface PortEnd extends ConsoleEnd {
  guestOpen(): boolean;
  setHostOpen(open: boolean): void;
}

/** The host's end of a named console port. */
export class GuestPort extends Console {
  readonly #end: PortEnd;
  #connected = true;

  constructor(clock: MonotonicClock, end: PortEnd) {
    super(clock, end);
    this.#end = end;
  }

  /** A program in the guest has it open: what is written before that waits. */
  get guestOpen(): boolean {
    return this.#end.guestOpen();
  }
  /** Whether the guest is told that somebody is here (the default). What it writes while nobody is, is lost. */
  get connected(): boolean {
    return this.#connected;
  }
  set connected(connected: boolean) {
    this.#connected = connected;
    this.#end.setHostOpen(connected);
  }
}
