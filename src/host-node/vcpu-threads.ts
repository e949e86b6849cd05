import { availableParallelism } from 'node:os';
import type { MessagePort } from 'node:worker_threads';
import type { Thread, ThreadEvents, ThreadHost } from '../host/threads.ts';
import type { VcpuMessage, VcpuOrder } from '../machine/processors/vcpu-thread.ts';
import type { NodeClock } from './ports.ts';
import { startWorker } from './start-worker.ts';
import { NodeTranslationThread } from './translation-thread.ts';
import { smallYoungGeneration } from './young-generation.ts';

/** What a vCPU's thread starts with. */
export interface VcpuWorkerData {
  readonly order: VcpuOrder;
  /** Of the clock, see NodeClock. */
  readonly origin: number;
  /** To the thread that translates for the machine's processors. */
  readonly translation: MessagePort;
}

/** A thread that has not ended by then is ended. */
const END_MS = 2000;

/** Threads of Node for the processors of a machine. They do not keep the process alive. */
export class NodeVcpuThreads implements ThreadHost<VcpuOrder> {
  readonly clock: NodeClock;
  readonly processors = availableParallelism();
  readonly #keptRegions: string | undefined;
  #translation: NodeTranslationThread | undefined;
  #running = 0;

  /** `keptRegions`: see NodeTranslationThread. */
  constructor(clock: NodeClock, keptRegions: string | undefined) {
    this.clock = clock;
    this.#keptRegions = keptRegions;
  }

  start(order: VcpuOrder, { wake, traced, failed }: ThreadEvents): Thread {
    const translation = (this.#translation ??= NodeTranslationThread.take(order.modules.handlers, this.#keptRegions)).connect();
    const workerData: VcpuWorkerData = { order, origin: this.clock.origin, translation };
    const worker = startWorker('vcpu-worker', { workerData, transferList: [translation], resourceLimits: smallYoungGeneration() });
    this.#running++;
    let ended = false;
    worker.on('message', (message: VcpuMessage) => (message === null ? wake() : traced(...message)));
    worker.on('error', (error) => failed(error.message));
    worker.on('exit', (code) => {
      if (!ended) failed(`exit code ${code}`);
      if (--this.#running > 0) return;
      this.#translation?.giveBack();
      this.#translation = undefined;
    });
    return {
      end: () => {
        ended = true;
        // By itself first: it has something of the host's to give back.
        setTimeout(() => void worker.terminate(), END_MS).unref();
      },
    };
  }
}
