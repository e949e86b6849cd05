import type { HandlerMap } from '../engines/modules.ts';
import type { Translated, TranslationThread } from '../library/worker-compiler.ts';

/** Starts a thread that translates: a worker of the machine's worker. */
export function startTranslationThread(handlers: HandlerMap, answered: (answer: Translated) => void, failed: () => void): TranslationThread {
  const worker = new Worker(new URL('./translation-worker.js', import.meta.url), { type: 'module' });
  worker.onmessage = ({ data }: MessageEvent<Translated>) => answered(data);
  worker.onerror = (event) => {
    event.preventDefault();
    worker.terminate();
    failed();
  };
  worker.postMessage(handlers);
  return { post: (requests) => worker.postMessage(requests), end: () => worker.terminate() };
}
