import type { HandlerMap } from '../engines/modules.ts';
import type { BuildResult, RegionCompiler, RegionRequest } from '../engines/translator/region-builder.ts';

/** What the thread is asked. */
export interface TranslationOrder {
  readonly requests: readonly RegionRequest[];
  /** Modules to release before. */
  readonly released: readonly number[];
}

/** What the thread answers. */
export interface Translated {
  readonly result: BuildResult;
  /** Time that it took. */
  readonly ns: number;
}

/** A way to a thread that translates: it answers orders in their sequence, of which it gets copies: for pages that is cheaper than handing them over. */
export interface TranslationThread {
  post(order: TranslationOrder): void;
  /** Takes the answers that have come; missing: the event loop alone brings them. */
  poll?(): void;
  /** Legal once. */
  end(): void;
}

/** Starts one, or takes up the way to one. `failed`: it is no more. */
export type StartThread = (handlers: HandlerMap, answered: (answer: Translated) => void, failed: () => void) => TranslationThread;

/**
 * Translates in a thread of its own, so that the guest goes on in the interpreter meanwhile. The thread starts with
 * `prepare` or the first request. Should it fail, translation goes on in the calling thread, which only then loads what that takes.
 */
export class WorkerCompiler implements RegionCompiler {
  readonly #handlers: HandlerMap;
  readonly #start: StartThread;
  readonly #orders: ((result: BuildResult) => void)[] = [];
  #released: number[] = [];
  #thread: TranslationThread | undefined;
  #here: Promise<RegionCompiler> | undefined;
  /** Time that the thread was at work. */
  busyNs = 0;

  constructor(handlers: HandlerMap, start: StartThread) {
    this.#handlers = handlers;
    this.#start = start;
  }

  /** Starts the thread, which takes a tenth of a second until it can translate. */
  prepare(): void {
    this.#thread ??= this.#start(this.#handlers, (answer) => this.#answered(answer), () => this.#failed());
  }

  build(requests: readonly RegionRequest[], done: (result: BuildResult) => void): void {
    if (this.#here !== undefined) {
      void this.#here.then((builder) => builder.build(requests, done));
      return;
    }
    this.prepare();
    this.#orders.push(done);
    this.#thread!.post({ requests, released: this.#released });
    this.#released = [];
  }

  poll(): void {
    this.#thread?.poll?.();
  }

  /** The thread is told with the next request. */
  release(id: number): void {
    if (this.#here === undefined) this.#released.push(id);
  }

  /** The thread is needed no more. Legal once. */
  close(): void {
    this.#orders.length = 0;
    this.#thread?.end();
  }

  #answered({ result, ns }: Translated): void {
    this.busyNs += ns;
    this.#orders.shift()?.(result);
  }

  #failed(): void {
    // What was under way is lost with the thread; its blocks stay interpreted.
    this.#here = import('../engines/translator/region-builder.ts').then(({ RegionBuilder }) => new RegionBuilder(this.#handlers));
    this.#released = [];
    for (const done of this.#orders.splice(0)) done({ modules: [], covered: [] });
  }
}

/** The thread's part: answers one order. */
export function translate(builder: RegionCompiler, { requests, released }: TranslationOrder, answer: (answer: Translated) => void): void {
  const began = performance.now();
  for (const id of released) builder.release?.(id);
  builder.build(requests, (result) => answer({ result, ns: (performance.now() - began) * 1e6 }));
}
