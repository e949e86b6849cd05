import type { Writable } from 'node:stream';
import type { ByteSink } from '../host/bytes.ts';

/** Bytes to a stream of Node's, unchanged; while its buffer is full, `ready` says when to go on. */
export class StreamSink implements ByteSink {
  readonly #stream: Writable;
  #blocked: Promise<void> | undefined;
  #unblock: (() => void) | undefined;
  #closed = false;

  constructor(stream: Writable) {
    this.#stream = stream;
  }

  write(bytes: Uint8Array): void {
    if (this.#closed || this.#stream.write(bytes) || this.#blocked !== undefined) return;
    this.#blocked = new Promise((resolve) => {
      this.#unblock = () => {
        this.#blocked = this.#unblock = undefined;
        resolve();
      };
      this.#stream.once('drain', this.#unblock);
    });
  }
  ready(): Promise<void> | undefined {
    return this.#blocked;
  }
  /** From now on bytes are dropped: nobody reads them. */
  close(): void {
    this.#closed = true;
    this.#unblock?.();
  }
}
