import { existsSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import type { HandlerMap } from '../engines/modules.ts';
import { RegionBuilder } from '../engines/translator/region-builder.ts';
import type { BuildResult, RegionCompiler, RegionRequest } from '../engines/translator/region-builder.ts';

interface Order {
  readonly done: (result: BuildResult) => void;
}

/** What the thread answers. */
export interface Translated {
  readonly result: BuildResult;
  /** Time that it took. */
  readonly ns: number;
}

/**
 * Translates in a thread of its own, so that the guest goes on in the interpreter meanwhile. The thread starts with the
 * first request and does not keep the process alive. Should it fail, translation goes on in the calling thread.
 */
export class WorkerCompiler implements RegionCompiler {
  readonly #handlers: HandlerMap;
  readonly #orders: Order[] = [];
  #worker: Worker | undefined;
  #here: RegionBuilder | undefined;
  /** Time that the thread was at work. */
  busyNs = 0;

  constructor(handlers: HandlerMap) {
    this.#handlers = handlers;
  }

  build(requests: readonly RegionRequest[], done: (result: BuildResult) => void): void {
    if (this.#here !== undefined) {
      this.#here.build(requests, done);
      return;
    }
    this.#worker ??= this.#start();
    this.#orders.push({ done });
    this.#worker.postMessage(requests, [...new Set(requests.map(({ bytes }) => bytes.buffer as ArrayBuffer))]);
  }

  /** Ends the thread. */
  close(): void {
    this.#orders.length = 0;
    void this.#worker?.terminate();
  }

  #start(): Worker {
    // Worker threads run what is built: from dist/src/host-node, and from src/host-node in tests.
    const url = [new URL('./translation-worker.js', import.meta.url), new URL('../../dist/src/host-node/translation-worker.js', import.meta.url)].find((candidate) => existsSync(candidate));
    if (url === undefined) throw new Error('dist/src is missing: run npm run build');
    const worker = new Worker(url, { workerData: this.#handlers });
    worker.unref();
    worker.on('message', ({ result, ns }: Translated) => {
      this.busyNs += ns;
      this.#orders.shift()?.done(result);
    });
    worker.on('error', () => {
      // What was under way is lost with the thread; its blocks stay interpreted.
      this.#here = new RegionBuilder(this.#handlers);
      for (const { done } of this.#orders.splice(0)) done({ module: undefined, moduleBytes: 0, regions: [], covered: [] });
    });
    return worker;
  }
}
