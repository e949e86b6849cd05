import { expect, test } from 'vitest';
import { VCPU_BASE, VCPU_CHANNEL } from '../memory/layout.ts';
import { COMMAND_END, COMMAND_RUN, EVENT_REFRESH, HALTED, MachineWords, RUNNING, VcpuWords } from '../machine/processors/shared-words.ts';
import { CODE, InterpreterFixture } from '../../test/support/interpreter.ts';
import { loadEngineModules } from './engine-modules.ts';
import { NodeClock } from './ports.ts';
import { NodeVcpuThreads } from './vcpu-threads.ts';

const STATUS = (VCPU_BASE + VCPU_CHANNEL + 4) >> 2;

test('a thread leaves the block of its processor alone until that is handed over', async () => {
  const guest = new InterpreterFixture();
  // inc eax; hlt
  guest.load([0x40, 0xf4]);
  const memory = guest.memory.wasm;
  const machine = new MachineWords(memory);
  machine.threads = 1;
  machine.engine = 'translator';
  machine.tscKhz = 1_000_000;
  const words = new VcpuWords(memory, 0);
  words.postEvents(EVENT_REFRESH);
  words.alert();
  const failures: string[] = [];
  const until = async (done: () => boolean): Promise<void> => {
    while (!done()) {
      expect([...failures, words.failure]).toEqual(['']);
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  const threads = new NodeVcpuThreads(new NodeClock(), undefined);
  const thread = threads.start({
    memory, modules: loadEngineModules(), index: 0, apicIds: [0], engines: ['translator'], prepare: true, cacheBytes: 1 << 24, codeArea: undefined, looksBeforeSleep: false, kvm: undefined, traces: [],
  }, { wake: () => {}, traced: () => {}, failed: (reason) => failures.push(reason) });
  try {
    // It waits for the hand-over, whatever has been posted meanwhile.
    await until(() => Atomics.notify(machine.words, STATUS) > 0 || !words.attention);
    expect(words.attention).toBe(true);
    expect(guest.cpu.registers()).toMatchObject({ rip: BigInt(CODE) });

    words.command = COMMAND_RUN;
    words.status = RUNNING;
    await until(() => words.status === HALTED);
    expect(words.attention).toBe(false);
    expect(guest.cpu.registers()).toMatchObject({ rip: BigInt(CODE + 2) });
  } finally {
    words.command = COMMAND_END;
    words.alert();
    thread.end();
  }
});
