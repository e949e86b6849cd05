import { runVcpuThread } from '../machine/processors/vcpu-thread.ts';
import { WorkerCompiler } from '../library/worker-compiler.ts';
import { BrowserClock, BrowserScheduler, browserEntropy } from './ports.ts';
import { useTranslationPort } from './translation-thread.ts';
import type { VcpuNews, VcpuStart } from './vcpu-threads.ts';

// The thread of one processor of a machine: one order, executed until the machine ends it.
const scope = self as DedicatedWorkerGlobalScope;
let translationFailed!: () => void;
const translationGone = new Promise<void>((resolve) => (translationFailed = resolve));
scope.onmessage = ({ data }: MessageEvent<VcpuStart | VcpuNews>) => {
  if (data === 'translation failed') {
    translationFailed();
    return;
  }
  const { order, origin, translation } = data;
  const clock = new BrowserClock(origin);
  const scheduler = new BrowserScheduler();
  const compiler = new WorkerCompiler(order.modules.handlers, (_, answered, failed) => {
    void translationGone.then(failed);
    return useTranslationPort(translation, answered);
  });
  void runVcpuThread(order, { clock, entropy: browserEntropy, yield: () => scheduler.yield(), tellMachine: (message) => scope.postMessage(message), compiler }).finally(() => compiler.close());
};
