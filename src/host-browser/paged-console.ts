import type { Console } from '../library/console.ts';

/** Sent to the page and not seen there yet: more makes the machine wait. */
const MOST_UNSEEN = 1 << 20;

/** A console whose output goes to the page, no faster than it is taken there. */
export class PagedConsole {
  readonly console: Console;
  /** Settles when the machine has ended and all has been sent. */
  readonly sent: Promise<void>;
  #unseen = 0;
  #caughtUp: (() => void) | undefined;

  constructor(console: Console, send: (bytes: Uint8Array) => void) {
    this.console = console;
    this.sent = this.#run(send);
  }

  async #run(send: (bytes: Uint8Array) => void): Promise<void> {
    for await (const bytes of this.console) {
      this.#unseen += bytes.length;
      send(bytes);
      if (this.#unseen > MOST_UNSEEN) await new Promise<void>((resolve) => (this.#caughtUp = resolve));
    }
  }

  /** The page has taken so many bytes. */
  seen(bytes: number): void {
    this.#unseen -= bytes;
    if (this.#unseen <= MOST_UNSEEN / 2) this.#caughtUp?.();
  }
}
