import { existsSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import type { WorkerOptions } from 'node:worker_threads';
import { keepYoungGenerationAsItWas } from './young-generation.ts';

/** Starts a thread of ours, by its file's name; it does not keep the process alive. */
export function startWorker(name: string, options: WorkerOptions = {}): Worker {
  const worker = new Worker(workerUrl(name), options);
  worker.once('online', keepYoungGenerationAsItWas).unref();
  return worker;
}

/** Where its file lies: threads run what is built, beside who starts them, and from dist/src/host-node in tests. */
function workerUrl(name: string): URL {
  const url = [new URL(`./${name}.js`, import.meta.url), new URL(`../../dist/src/host-node/${name}.js`, import.meta.url)].find((candidate) => existsSync(candidate));
  if (url === undefined) throw new Error('dist is missing: run npm run build');
  return url;
}
