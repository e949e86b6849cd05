import { parentPort, workerData } from 'node:worker_threads';
import { runVcpuThread } from '../machine/processors/vcpu-thread.ts';
import { kvmHere } from './kvm/kvm-here.ts';
import { KvmUnavailable } from './kvm/linux-kvm.ts';
import { NodeClock, nodeEntropy } from './ports.ts';
import type { VcpuWorkerData } from './vcpu-threads.ts';
import { WorkerCompiler } from '../library/worker-compiler.ts';
import { useTranslationPort } from './translation-thread.ts';
import { waitingTime } from './waiting-time.ts';

// The thread of one processor of a machine.
const { order, origin, translation } = workerData as VcpuWorkerData;
const waitedNs = waitingTime();
const compiler = new WorkerCompiler(order.modules.handlers, (_, answered, failed) => useTranslationPort(translation, answered, failed));
await runVcpuThread(order, {
  clock: new NodeClock(origin),
  entropy: nodeEntropy,
  yield: () => new Promise((resolve) => setImmediate(resolve)),
  tellMachine: (message) => parentPort!.postMessage(message),
  compiler,
  ...(waitedNs === undefined ? {} : { waitedNs }),
  kvm: () => {
    const kvm = kvmHere();
    if (kvm instanceof KvmUnavailable) throw new Error(`KVM is not there: ${kvm.message}`);
    return kvm;
  },
});
compiler.close();
