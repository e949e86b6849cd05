import { MessageChannel, receiveMessageOnPort } from 'node:worker_threads';
import type { MessagePort } from 'node:worker_threads';
import type { HandlerMap } from '../engines/modules.ts';
import type { Translated, TranslationThread } from '../library/worker-compiler.ts';
import { startWorker } from './start-worker.ts';

/** What the thread is sent: one more that it works for. */
export interface TranslationClient {
  readonly handlers: HandlerMap;
  readonly port: MessagePort;
}

/** A thread that translates for one machine; it does not keep the process alive. */
export class NodeTranslationThread {
  readonly #handlers: HandlerMap;
  readonly #worker = startWorker('translation-worker');

  constructor(handlers: HandlerMap) {
    this.#handlers = handlers;
    // Whoever has a way to it sees that the way ends.
    this.#worker.on('error', () => {});
  }

  /** A way to it, for this thread or another one. */
  connect(): MessagePort {
    const { port1, port2 } = new MessageChannel();
    this.#worker.postMessage({ handlers: this.#handlers, port: port1 } satisfies TranslationClient, [port1]);
    return port2;
  }
  end(): void {
    void this.#worker.terminate();
  }
}

/** Takes up a way to a thread. */
export function useTranslationPort(port: MessagePort, answered: (answer: Translated) => void, failed: () => void): TranslationThread {
  let ended = false;
  port.on('message', answered);
  port.on('close', () => {
    if (!ended) failed();
  });
  port.unref();
  return {
    post: (order) => port.postMessage(order),
    poll: () => {
      for (let found = receiveMessageOnPort(port); found !== undefined; found = receiveMessageOnPort(port)) answered(found.message as Translated);
    },
    end: () => {
      ended = true;
      port.close();
    },
  };
}

/** Starts a thread for the calling one alone. */
export function startTranslationThread(handlers: HandlerMap, answered: (answer: Translated) => void, failed: () => void): TranslationThread {
  const thread = new NodeTranslationThread(handlers);
  const { end, ...way } = useTranslationPort(thread.connect(), answered, failed);
  return {
    ...way,
    end: () => {
      end();
      thread.end();
    },
  };
}
