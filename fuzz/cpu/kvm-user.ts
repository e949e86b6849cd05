import { UserError } from '../../src/base/errors.ts';
import type { SegmentState, VcpuExit, VcpuRegisters, VcpuStart } from '../../src/cpu/vcpu.ts';
import { createInterpreter } from '../../src/engines/interpreter/interpreter.ts';
import type { InterpreterOptions } from '../../src/engines/interpreter/interpreter.ts';
import { KvmVcpu } from '../../src/engines/kvm/kvm-vcpu.ts';
import { kvmHere } from '../../src/host-node/kvm/kvm-here.ts';
import { KvmUnavailable } from '../../src/host-node/kvm/linux-kvm.ts';
import { NodeClock } from '../../src/host-node/ports.ts';
import { DR6, EFLAGS, HALTED, SHADOW, STATE_BYTES } from '../../src/isa/x86/state/layout.ts';
import { VCPU_BASE } from '../../src/memory/layout.ts';

const FLAG_TF = 0x100;
const DR6_BS = 0x4000n;
/** Of the host's time, which others may use. */
const RUN_NS = 20e9;

/** What the kernel half finds in the frame of an exception, with the segments that its selectors stand for; undefined: no #DB. */
export type DebugFrame = () => { readonly rip: bigint; readonly cs: SegmentState; readonly rflags: bigint; readonly rsp: bigint; readonly ss: SegmentState } | undefined;

/** User code on KVM. One instruction, where the block asks for it as behind STI, is a step by the trap flag. */
export class KvmUser {
  readonly #home;
  readonly #kvm: KvmVcpu;
  readonly #block: DataView;
  readonly #clock = new NodeClock();
  readonly #debugFrame: DebugFrame;

  constructor(options: InterpreterOptions, debugFrame: DebugFrame) {
    const kvm = kvmHere();
    if (kvm instanceof KvmUnavailable) throw new UserError(`kvm is not possible: ${kvm.message}; ${kvm.remedy}`);
    const parts = { ...options, clock: this.#clock, tscKhz: () => kvm.capabilities.tscKhz };
    this.#home = createInterpreter(parts);
    this.#kvm = new KvmVcpu({ ...parts, ...kvm, home: this.#home });
    this.#block = new DataView(options.memory.buffer, VCPU_BASE, STATE_BYTES);
    this.#debugFrame = debugFrame;
  }

  reset(): void {
    this.#kvm.reset();
  }
  start(state: VcpuStart): void {
    this.#kvm.start(state);
  }
  registers(): VcpuRegisters {
    return this.#kvm.registers();
  }

  run(_budget: number): VcpuExit {
    const block = this.#block;
    const step = block.getUint32(SHADOW, true) !== 0;
    block.setUint32(SHADOW, 0, true);
    const flags = block.getUint32(EFLAGS, true);
    if (step) block.setUint32(EFLAGS, flags | FLAG_TF, true);
    const exit = this.#execute();
    const frame = exit === 'halt' && step && (block.getBigUint64(DR6, true) & DR6_BS) !== 0n ? this.#debugFrame() : undefined;
    if (frame === undefined) return exit;
    block.setUint32(HALTED, 0, true);
    block.setBigUint64(DR6, 0xffff0ff0n, true);
    const rflags = (flags & FLAG_TF) === 0 ? frame.rflags & ~BigInt(FLAG_TF) : frame.rflags;
    // The others are what the instruction has made of them.
    const segments = { ...this.#home.registers().segments, cs: frame.cs, ss: frame.ss };
    this.#home.start({ rip: frame.rip, rflags, gpr: { rsp: frame.rsp }, segments });
    return 'budget';
  }

  #execute(): VcpuExit {
    const ends = this.#clock.now() + RUN_NS;
    while (this.#clock.now() < ends) {
      const exit = this.#kvm.run(1, () => ends);
      // Whoever runs the code looks at the block.
      if (exit !== 'budget' && exit !== 'time' && exit !== 'requested') return this.#kvm.save(), exit;
    }
    throw new Error('the code does not end on KVM');
  }
}
