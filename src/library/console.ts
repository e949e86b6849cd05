import type { MonotonicClock } from '../host/clock.ts';

/** Characters kept for `waitFor` and for the report of a guest that died. */
const KEPT = 1 << 19;
/** Bytes that an async iterator may be behind before the machine waits for it. */
const BACKLOG = 1 << 20;

/** What a console needs of its machine. */
export interface ConsoleEnd {
  /** Takes typed bytes. */
  send(bytes: Uint8Array): void;
  /** How many of them the guest has not read yet. */
  unread(): number;
  /** Whether the guest waits for them; missing: always. */
  listening?(): boolean;
}

/**
 * The host's end of a guest's serial line: bytes out to listeners and async iterators, `waitFor` to look for text,
 * `write` to type.
 */
export class Console implements AsyncIterable<Uint8Array> {
  readonly #clock: MonotonicClock;
  readonly #end: ConsoleEnd;
  readonly #listeners = new Set<(bytes: Uint8Array) => void>();
  readonly #waiters = new Set<() => void>();
  readonly #readers = new Set<Reader>();
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  #text = '';
  /** Position in `#text` behind the last match of `waitFor`. */
  #matched = 0;
  #closed = false;
  #firstByteAt: number | undefined;
  #bytesOut = 0;
  #bytesIn = 0;

  constructor(clock: MonotonicClock, end: ConsoleEnd) {
    this.#clock = clock;
    this.#end = end;
  }

  /** Host time of the guest's first byte in ns. */
  get firstByteAt(): number | undefined {
    return this.#firstByteAt;
  }
  /** Bytes the guest has written, and bytes written to it. */
  get bytesOut(): number {
    return this.#bytesOut;
  }
  get bytesIn(): number {
    return this.#bytesIn;
  }
  /** Typed bytes that the guest has not read yet. */
  get unread(): number {
    return this.#end.unread();
  }
  /** Whether the guest waits for input. Before, on a serial port, its driver may throw away what was typed. */
  get listening(): boolean {
    return this.#end.listening?.() ?? true;
  }
  /** The last half million characters of the guest's output (UTF-8; bytes that are none become U+FFFD). */
  get text(): string {
    return this.#text;
  }

  /** Types text (as UTF-8) or bytes. Never refused: what the guest cannot take yet waits. */
  write(input: string | Uint8Array): void {
    const bytes = typeof input === 'string' ? new TextEncoder().encode(input) : input;
    this.#bytesIn += bytes.length;
    this.#end.send(bytes);
  }

  /** Calls back with every batch of bytes that the guest writes. Returns what ends that. */
  onData(listener: (bytes: Uint8Array) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /**
   * Settles with the matched text when what the guest has written since the last match contains the pattern. Rejects
   * after `timeoutMs`, or when the machine ends before.
   *
   * Output comes in pieces of any size, so a pattern should include what follows: `/count: \d+/` may settle with the first of
   * several digits, `/count: \d+\r/` does not. What is typed is echoed: a pattern should not match the command itself.
   */
  waitFor(pattern: RegExp | string, timeoutMs = 60_000): Promise<string> {
    return new Promise((resolve, reject) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#waiters.delete(look);
      };
      const fail = (why: string): void => {
        done();
        reject(new Error(`${why} ${String(pattern)}; its last words: ${JSON.stringify(this.#text.slice(this.#matched).slice(-300))}`));
      };
      const look = (): void => {
        const found = this.#take(pattern);
        if (found !== undefined) {
          done();
          resolve(found);
        } else if (this.#closed) fail('the machine ended before its console showed');
      };
      const timer = setTimeout(() => fail(`within ${timeoutMs} ms the console did not show`), timeoutMs);
      this.#waiters.add(look);
      look();
    });
  }

  #take(pattern: RegExp | string): string | undefined {
    const rest = this.#text.slice(this.#matched);
    const index = typeof pattern === 'string' ? rest.indexOf(pattern) : rest.search(pattern);
    if (index < 0) return undefined;
    const found = typeof pattern === 'string' ? pattern : new RegExp(pattern.source, pattern.flags.replace(/[gy]/g, '')).exec(rest)![0];
    this.#matched += index + found.length;
    return found;
  }

  /** Output from now on, until the machine ends. A reader that falls far behind makes the machine wait. */
  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    const reader = new Reader(() => this.#readers.delete(reader));
    if (this.#closed) reader.end();
    else this.#readers.add(reader);
    return reader;
  }

  /** The guest wrote these bytes; `bytes` is not used again by the caller. Called by the machine. */
  received(bytes: Uint8Array): void {
    this.#firstByteAt ??= this.#clock.now();
    this.#bytesOut += bytes.length;
    this.#text += this.#decoder.decode(bytes, { stream: true });
    if (this.#text.length > 2 * KEPT) {
      const dropped = this.#text.length - KEPT;
      this.#text = this.#text.slice(dropped);
      this.#matched = Math.max(0, this.#matched - dropped);
    }
    for (const reader of this.#readers) reader.push(bytes);
    for (const listener of this.#listeners) listener(bytes);
    for (const look of [...this.#waiters]) look();
  }

  /** While a reader is far behind: settles when it has caught up. Called by the machine. */
  ready(): Promise<void> | undefined {
    for (const reader of this.#readers) if (reader.behind > BACKLOG) return reader.caughtUp();
    return undefined;
  }

  /** The machine has ended. */
  close(): void {
    this.#closed = true;
    for (const look of [...this.#waiters]) look();
    for (const reader of this.#readers) reader.end();
    this.#readers.clear();
  }
}

/** One iteration over the output. */
class Reader implements AsyncIterator<Uint8Array> {
  readonly #forget: () => void;
  readonly #queue: Uint8Array[] = [];
  readonly #hungry: ((result: IteratorResult<Uint8Array>) => void)[] = [];
  readonly #waiting: (() => void)[] = [];
  #ended = false;
  behind = 0;

  constructor(forget: () => void) {
    this.#forget = forget;
  }

  push(bytes: Uint8Array): void {
    const next = this.#hungry.shift();
    if (next !== undefined) {
      next({ done: false, value: bytes });
      return;
    }
    this.#queue.push(bytes);
    this.behind += bytes.length;
  }
  end(): void {
    this.#ended = true;
    for (const next of this.#hungry.splice(0)) next({ done: true, value: undefined });
  }
  caughtUp(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  next(): Promise<IteratorResult<Uint8Array>> {
    const bytes = this.#queue.shift();
    if (bytes !== undefined) {
      this.behind -= bytes.length;
      if (this.behind <= BACKLOG / 2) for (const resume of this.#waiting.splice(0)) resume();
      return Promise.resolve({ done: false, value: bytes });
    }
    if (this.#ended) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve) => this.#hungry.push(resolve));
  }
  return(): Promise<IteratorResult<Uint8Array>> {
    this.#forget();
    this.#queue.length = 0;
    this.behind = 0;
    for (const resume of this.#waiting.splice(0)) resume();
    this.end();
    return Promise.resolve({ done: true, value: undefined });
  }
}
