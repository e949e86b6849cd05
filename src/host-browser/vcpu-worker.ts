import { runVcpuThread } from '../machine/processors/vcpu-thread.ts';
import { WorkerCompiler } from '../library/worker-compiler.ts';
import { BrowserClock, BrowserScheduler, browserEntropy } from './ports.ts';
import { startTranslationThread } from './translation-thread.ts';
import type { VcpuStart } from './vcpu-threads.ts';

// The thread of one processor of a machine: one order, executed until the machine ends it.
const scope = self as DedicatedWorkerGlobalScope;
scope.onmessage = ({ data: { order, origin } }: MessageEvent<VcpuStart>) => {
  const clock = new BrowserClock(origin);
  const scheduler = new BrowserScheduler();
  const compiler = new WorkerCompiler(order.modules.handlers, startTranslationThread);
  void runVcpuThread(order, { clock, entropy: browserEntropy, yield: () => scheduler.yield(), tellMachine: (message) => scope.postMessage(message), compiler }).finally(() => compiler.close());
};
