import type { HandlerMap } from '../engines/modules.ts';
import type { Translated, TranslationThread } from '../library/worker-compiler.ts';

/** What the thread is sent: one more that it works for. */
export interface TranslationClient {
  readonly handlers: HandlerMap;
  readonly port: MessagePort;
}

/** A thread that translates for one machine: a worker of the machine's worker. */
export class BrowserTranslationThread {
  readonly #handlers: HandlerMap;
  readonly #worker = new Worker(new URL('./translation-worker.js', import.meta.url), { type: 'module' });

  constructor(handlers: HandlerMap, failed: () => void) {
    this.#handlers = handlers;
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#worker.terminate();
      failed();
    };
  }

  /** A way to it, for this thread or another one. */
  connect(): MessagePort {
    const { port1, port2 } = new MessageChannel();
    this.#worker.postMessage({ handlers: this.#handlers, port: port1 } satisfies TranslationClient, [port1]);
    return port2;
  }
  end(): void {
    this.#worker.terminate();
  }
}

/** Takes up a way to a thread. */
export function useTranslationPort(port: MessagePort, answered: (answer: Translated) => void): TranslationThread {
  port.onmessage = ({ data }: MessageEvent<Translated>) => answered(data);
  return { post: (order) => port.postMessage(order), end: () => port.close() };
}

/** Starts a thread for the calling one alone. */
export function startTranslationThread(handlers: HandlerMap, answered: (answer: Translated) => void, failed: () => void): TranslationThread {
  const thread = new BrowserTranslationThread(handlers, failed);
  const { post } = useTranslationPort(thread.connect(), answered);
  return { post, end: () => thread.end() };
}
