import { Worker } from 'node:worker_threads';
import type { HandlerMap } from '../engines/modules.ts';
import type { Translated, TranslationThread } from '../library/worker-compiler.ts';
import { workerUrl } from './worker-url.ts';

/** Starts a thread that translates; it does not keep the process alive. */
export function startTranslationThread(handlers: HandlerMap, answered: (answer: Translated) => void, failed: () => void): TranslationThread {
  const worker = new Worker(workerUrl('translation-worker'), { workerData: handlers });
  worker.unref();
  worker.on('message', answered);
  worker.on('error', failed);
  return { post: (requests) => worker.postMessage(requests), end: () => void worker.terminate() };
}
