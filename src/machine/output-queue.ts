import type { ByteSink } from '../host/bytes.ts';

/** Bytes that may wait to be handed on; a device that has more is told to wait. */
const MUCH = 1 << 20;

/** What devices have put out while the guest executes: it is handed on between slices only, for listeners may call back into the machine. */
export class OutputQueue {
  readonly #waiting: { readonly sink: ByteSink; readonly bytes: Uint8Array }[] = [];
  #bytes = 0;
  #handedOn: { readonly promise: Promise<void>; readonly resolve: () => void } | undefined;

  /** In front of a sink; missing: bytes are lost. `wrote` is told of each write. */
  before(sink: ByteSink | undefined, wrote: () => void): ByteSink {
    return {
      write: (bytes) => {
        if (sink !== undefined) {
          this.#waiting.push({ sink, bytes });
          this.#bytes += bytes.length;
        }
        wrote();
      },
      ready: () => (this.#bytes > MUCH ? this.#later() : sink?.ready?.()),
    };
  }

  #later(): Promise<void> {
    if (this.#handedOn === undefined) {
      let resolve = (): void => {};
      const promise = new Promise<void>((settle) => (resolve = settle));
      this.#handedOn = { promise, resolve };
    }
    return this.#handedOn.promise;
  }

  handOn(): void {
    this.#bytes = 0;
    for (const { sink, bytes } of this.#waiting.splice(0)) sink.write(bytes);
    this.#handedOn?.resolve();
    this.#handedOn = undefined;
  }
}
