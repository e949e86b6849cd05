import { existsSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import type { HandlerMap } from '../engines/modules.ts';
import type { Translated, TranslationThread } from '../library/worker-compiler.ts';

/** Starts a thread that translates; it does not keep the process alive. */
export function startTranslationThread(handlers: HandlerMap, answered: (answer: Translated) => void, failed: () => void): TranslationThread {
  // Worker threads run what is built: from dist/src/host-node, and from src/host-node in tests.
  const url = [new URL('./translation-worker.js', import.meta.url), new URL('../../dist/src/host-node/translation-worker.js', import.meta.url)].find((candidate) => existsSync(candidate));
  if (url === undefined) throw new Error('dist/src is missing: run npm run build');
  const worker = new Worker(url, { workerData: handlers });
  worker.unref();
  worker.on('message', answered);
  worker.on('error', failed);
  return { post: (requests, transfer) => worker.postMessage(requests, transfer), end: () => void worker.terminate() };
}
