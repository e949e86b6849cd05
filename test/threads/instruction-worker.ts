import { parentPort, workerData } from 'node:worker_threads';
import { InstructionRunner } from './instruction-runner.ts';

/** What a processor is to do: code (hexadecimal), registers by number, how often. */
export interface Task {
  readonly code: string;
  readonly registers: readonly (readonly [number: number, value: bigint])[];
  readonly copies: number;
  readonly times: number;
}

/** A thread that is one processor. All begin when `gate`, counted down by each as it is ready, is 0; answers with the 16 registers. */
const { memory, index, gate } = workerData as { memory: WebAssembly.Memory; index: number; gate: Int32Array };
const runner = new InstructionRunner(memory, index);

parentPort!.on('message', ({ code, registers, copies, times }: Task) => {
  runner.load(code, copies);
  for (const [number, value] of registers) runner.setRegister(number, value);
  Atomics.sub(gate, 0, 1);
  while (Atomics.load(gate, 0) !== 0);
  runner.run(times);
  parentPort!.postMessage(Array.from({ length: 16 }, (_, n) => runner.register(n)));
});
