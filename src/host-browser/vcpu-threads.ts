import type { Thread, ThreadEvents, ThreadHost } from '../host/threads.ts';
import type { VcpuMessage, VcpuOrder } from '../machine/processors/vcpu-thread.ts';
import type { BrowserClock } from './ports.ts';
import { BrowserTranslationThread } from './translation-thread.ts';

/** What a vCPU's worker starts with. */
export interface VcpuStart {
  readonly order: VcpuOrder;
  /** Of the clock, see BrowserClock. */
  readonly origin: number;
  /** To the thread that translates for the machine's processors. */
  readonly translation: MessagePort;
}

/** What it is told later: the thread that translates is no more. */
export type VcpuNews = 'translation failed';

/** Workers of the machine's worker for its processors. The page must be isolated: the memory is sent to them. */
export class BrowserVcpuThreads implements ThreadHost<VcpuOrder> {
  /** As the threads' own read. */
  readonly clock: BrowserClock;
  readonly processors = navigator.hardwareConcurrency;
  #translation: BrowserTranslationThread | undefined;
  readonly #workers = new Set<Worker>();

  constructor(clock: BrowserClock) {
    this.clock = clock;
  }

  start(order: VcpuOrder, { wake, traced, failed }: ThreadEvents): Thread {
    const worker = new Worker(new URL('./vcpu-worker.js', import.meta.url), { type: 'module', name: `polyvisor vCPU ${order.index}` });
    worker.onmessage = ({ data }: MessageEvent<VcpuMessage>) => (data === null ? wake() : traced(...data));
    worker.onerror = (event) => {
      event.preventDefault();
      failed(event.message ?? 'its worker cannot be started');
    };
    this.#workers.add(worker);
    // A port does not say that the other end is gone.
    const tellAll = (): void => this.#workers.forEach((each) => each.postMessage('translation failed' satisfies VcpuNews));
    const translation = (this.#translation ??= new BrowserTranslationThread(order.modules.handlers, tellAll)).connect();
    worker.postMessage({ order, origin: this.clock.origin, translation } satisfies VcpuStart, [translation]);
    return {
      end: () => {
        worker.terminate();
        this.#workers.delete(worker);
        if (this.#workers.size > 0) return;
        this.#translation?.end();
        this.#translation = undefined;
      },
    };
  }
}
