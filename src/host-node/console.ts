import type { MonotonicClock } from '../host/clock.ts';

/** Text kept for `waitFor` and for the report of a guest that died. */
const KEPT = 1 << 20;

/**
 * The host's end of a guest's serial line: bytes out as events and as an async iterator, `waitFor` to look for text, `write`
 * to type.
 */
export class Console {
  readonly #clock: MonotonicClock;
  readonly #send: (bytes: Uint8Array) => void;
  readonly #listeners: ((bytes: Uint8Array) => void)[] = [];
  readonly #waiters = new Set<() => void>();
  #text = '';
  #dropped = 0;
  #closed = false;
  #firstByteAt: number | undefined;

  constructor(clock: MonotonicClock, send: (bytes: Uint8Array) => void) {
    this.#clock = clock;
    this.#send = send;
  }

  /** Time of the first byte on the machine's clock (ns). */
  get firstByteAt(): number | undefined {
    return this.#firstByteAt;
  }
  /** All the text of the guest that is kept, one character a byte (Latin-1). */
  get text(): string {
    return this.#text;
  }

  /** Types text (as UTF-8) or bytes. */
  write(input: string | Uint8Array): void {
    this.#send(typeof input === 'string' ? new TextEncoder().encode(input) : input);
  }

  /** Calls back with every batch of bytes that the guest writes. */
  onData(listener: (bytes: Uint8Array) => void): void {
    this.#listeners.push(listener);
  }

  /**
   * Settles with the match when the guest's text since the last match contains the pattern; rejects after `timeoutMs`, or when the
   * machine ends before.
   */
  waitFor(pattern: RegExp | string, timeoutMs = 60_000): Promise<string> {
    return new Promise((resolve, reject) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#waiters.delete(look);
      };
      const look = (): void => {
        const from = Math.max(0, this.#matched - this.#dropped);
        const rest = this.#text.slice(from);
        const match = typeof pattern === 'string' ? (rest.includes(pattern) ? { 0: pattern, index: rest.indexOf(pattern) } : null) : pattern.exec(rest);
        if (match !== null) {
          this.#matched = this.#dropped + from + match.index + match[0].length;
          done();
          resolve(match[0]);
        } else if (this.#closed) {
          done();
          reject(new Error(`the machine ended before its console showed ${String(pattern)}; its last words: ${JSON.stringify(rest.slice(-200))}`));
        }
      };
      const timer = setTimeout(() => {
        done();
        reject(new Error(`the console did not show ${String(pattern)} within ${timeoutMs} ms; its last words: ${JSON.stringify(this.#text.slice(-200))}`));
      }, timeoutMs);
      this.#waiters.add(look);
      look();
    });
  }
  #matched = 0;

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    const queue: Uint8Array[] = [];
    let wake = (): void => {};
    this.onData((bytes) => {
      queue.push(bytes);
      wake();
    });
    this.#waiters.add(() => wake());
    for (;;) {
      while (queue.length > 0) yield queue.shift()!;
      if (this.#closed) return;
      await new Promise<void>((resolve) => (wake = resolve));
    }
  }

  /** The guest wrote these bytes (called by the machine). */
  received(bytes: Uint8Array): void {
    this.#firstByteAt ??= this.#clock.now();
    const copy = bytes.slice();
    let text = '';
    for (const byte of copy) text += String.fromCharCode(byte);
    this.#text += text;
    if (this.#text.length > 2 * KEPT) {
      this.#dropped += this.#text.length - KEPT;
      this.#text = this.#text.slice(-KEPT);
    }
    for (const listener of this.#listeners) listener(copy);
    for (const look of [...this.#waiters]) look();
  }

  close(): void {
    this.#closed = true;
    for (const look of [...this.#waiters]) look();
  }
}
