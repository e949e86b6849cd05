import type { Thread, ThreadEvents, ThreadHost } from '../host/threads.ts';
import type { VcpuMessage, VcpuOrder } from '../machine/processors/vcpu-thread.ts';
import type { BrowserClock } from './ports.ts';

/** What a vCPU's worker starts with. */
export interface VcpuStart {
  readonly order: VcpuOrder;
  /** Of the clock, see BrowserClock. */
  readonly origin: number;
}

/** Workers of the machine's worker for its processors. The page must be isolated: the memory is sent to them. */
export class BrowserVcpuThreads implements ThreadHost<VcpuOrder> {
  /** As the threads' own read. */
  readonly clock: BrowserClock;
  readonly processors = navigator.hardwareConcurrency;

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
    worker.postMessage({ order, origin: this.clock.origin } satisfies VcpuStart);
    return { end: () => worker.terminate() };
  }
}
