import { join } from 'node:path';
import { MessageChannel, receiveMessageOnPort } from 'node:worker_threads';
import type { MessagePort } from 'node:worker_threads';
import type { HandlerMap } from '../engines/modules.ts';
import type { ExecutionOptions } from '../library/hardware-options.ts';
import type { StartThread, Translated, TranslationThread } from '../library/worker-compiler.ts';
import { cacheFolder } from './cache-folder.ts';
import { buildId } from './engine-modules.ts';
import { startWorker } from './start-worker.ts';

/** What the thread is sent: one more that it works for; null: its machine has ended, and what was made for that is not for the next. */
export type TranslationMessage = TranslationClient | null;
export interface TranslationClient {
  readonly handlers: HandlerMap;
  /** The file that regions are kept in for other processes. */
  readonly kept: string | undefined;
  readonly port: MessagePort;
}

/** How long a thread waits for a next machine. */
const PATIENCE_MS = 30_000;
/** How long one that nobody waits for has to write what it keeps. */
const WRITING_MS = 1000;

/**
 * A thread that translates for one machine at a time; it does not keep the process alive. One that has no machine any more is kept for the
 * next for a while: a quarter of what a machine's start takes of all processors is for our translator, which V8 has to compile first.
 */
export class NodeTranslationThread {
  static #idle: NodeTranslationThread | undefined;
  readonly #handlers: HandlerMap;
  readonly #kept: string | undefined;
  readonly #worker = startWorker('translation-worker');
  #patience: NodeJS.Timeout | undefined;
  #ended = false;

  private constructor(handlers: HandlerMap, kept: string | undefined) {
    this.#handlers = handlers;
    this.#kept = kept;
    // Whoever has a way to it sees that the way ends.
    this.#worker.on('error', () => this.#end());
    this.#worker.on('exit', () => this.#end());
  }

  /** The one that waits, or a new one. `kept`: the file that regions are kept in for other processes. */
  static take(handlers: HandlerMap, kept?: string): NodeTranslationThread {
    const thread = NodeTranslationThread.#idle;
    if (thread === undefined || thread.#handlers !== handlers || thread.#kept !== kept) return new NodeTranslationThread(handlers, kept);
    thread.#leaveIdle();
    return thread;
  }

  /** A way to it, for this thread or another one. */
  connect(): MessagePort {
    const { port1, port2 } = new MessageChannel();
    this.#worker.postMessage({ handlers: this.#handlers, kept: this.#kept, port: port1 } satisfies TranslationMessage, [port1]);
    return port2;
  }

  /** The machine needs it no more, and has ended the ways to it. Legal once after `take`. */
  giveBack(): void {
    if (this.#ended) return;
    this.#worker.postMessage(null satisfies TranslationMessage);
    const isNext = NodeTranslationThread.#idle === undefined;
    if (isNext) NodeTranslationThread.#idle = this;
    this.#patience = setTimeout(() => this.#end(), isNext ? PATIENCE_MS : WRITING_MS).unref();
  }

  #leaveIdle(): void {
    clearTimeout(this.#patience);
    if (NodeTranslationThread.#idle === this) NodeTranslationThread.#idle = undefined;
  }
  #end(): void {
    this.#ended = true;
    this.#leaveIdle();
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

/** Starts threads that are for the calling one alone. `kept`: as for `take`. */
export function translationThreads(kept: string | undefined): StartThread {
  return (handlers, answered, failed) => {
    const thread = NodeTranslationThread.take(handlers, kept);
    const { end, ...way } = useTranslationPort(thread.connect(), answered, failed);
    return {
      ...way,
      end: () => {
        end();
        thread.giveBack();
      },
    };
  };
}

/** Where regions are kept, for all processes that run this build of ours on this version of Node; undefined: they are not to be. */
export function keptRegions({ keepTranslations = true }: Pick<ExecutionOptions, 'keepTranslations'>): string | undefined {
  return !keepTranslations ? undefined : join(cacheFolder(), 'regions', `${buildId()}-${process.versions.modules}`);
}
