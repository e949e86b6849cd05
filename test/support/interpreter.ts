import type { VcpuExit, VcpuStart } from '../../src/cpu/vcpu.ts';
import { createInterpreter } from '../../src/engines/interpreter/interpreter.ts';
import type { Interpreter } from '../../src/engines/interpreter/interpreter.ts';
import { loadEngineModules } from '../../src/host-node/engine-modules.ts';
import { VCPU_BASE } from '../../src/memory/layout.ts';
import { LinearMemory } from '../../src/memory/linear-memory.ts';
import type { InterruptInput } from '../../src/wiring/interrupt-input.ts';
import type { SegmentFields } from './descriptors.ts';
import { CODE, FlatGuest, HANDLERS } from './flat-guest.ts';

export { CODE, STACK } from './flat-guest.ts';

/**
 * The interpreter in flat 32-bit code without paging. The handler of each exception halts: `run` says which one, where it
 * came from and what it pushed.
 */
export class InterpreterFixture {
  readonly memory = new LinearMemory(8 << 20);
  readonly guest: FlatGuest;
  readonly cpu: Interpreter;
  readonly view: DataView;
  /** Port writes, and what reads give. */
  readonly written: [port: number, value: number][] = [];
  nmi = false;
  /** FERR# as it was driven; the answer is IGNNE#. */
  readonly errors: boolean[] = [];
  ignoreErrors = false;
  onPort: (port: number, value: number) => void = () => {};
  /** The host's time stamp counter, and the time of day at its zero, in microseconds. */
  tsc = 0;
  bootTime = 0;
  /** Calls for other processors; what they answer. */
  readonly calls: (number | bigint)[][] = [];
  callAnswer = 0n;
  /** Where interrupts come from; missing: there are none. */
  apic: InterruptInput | undefined;

  /** The processor looks for interrupts. */
  onLook: () => void = () => {};

  /** `more`: descriptors behind those of code and data. `vcpus`: how many there are, of which this is the first. */
  constructor(more: readonly SegmentFields[] = [], vcpus = 1) {
    this.guest = new FlatGuest(this.memory, 32, more);
    const bus = {
      readPort: () => 0xff,
      writePort: (port: number, _size: number, value: number) => {
        this.written.push([port, value]);
        this.onPort(port, value);
      },
      readMmio: () => 0xffffffff, writeMmio: () => {},
    };
    const interrupts = {
      pending: () => {
        this.onLook();
        return this.apic?.pending() === true;
      },
      acknowledge: () => this.apic?.acknowledge() ?? -1, offerEoi: (settle: () => boolean) => this.apic?.offerEoi?.(settle) === true, settleEoi: () => this.apic?.settleEoi?.(),
      readTaskPriority: () => 0, writeTaskPriority: () => {}, readMsr: () => undefined, writeMsr: () => false,
      giveBackNmi: () => void (this.nmi = true),
      takeNmi: () => {
        const taken = this.nmi;
        this.nmi = false;
        return taken;
      },
    };
    this.cpu = createInterpreter({ modules: loadEngineModules(), memory: this.memory.wasm, bus, interrupts, hostTsc: () => this.tsc, random32: () => 0, index: 0, vcpus, bootTime: () => this.bootTime,
      hypercall: (...call) => {
        this.calls.push(call);
        return this.callAnswer;
      },
      numericError: (pending) => {
        this.errors.push(pending);
        return this.ignoreErrors;
      },
    });
    this.view = new DataView(this.memory.wasm.buffer);
  }

  poke64(address: number, value: bigint): void { this.guest.poke64(address, value); }
  handler(vector: number, ...code: number[]): void { this.guest.handler(vector, ...code); }
  u32(offset: number): number { return this.view.getUint32(VCPU_BASE + offset, true); }
  setU32(offset: number, value: number): void { this.view.setUint32(VCPU_BASE + offset, value, true); }
  words(address: number, count: number): number[] {
    return Array.from({ length: count }, (_, i) => this.memory.readU32(address + 4 * i) >>> 0);
  }

  load(code: readonly number[], start: Partial<VcpuStart> & { readonly codeLimit?: number } = {}): void {
    this.cpu.reset();
    this.written.length = 0;
    this.cpu.start(this.guest.enter(code, start, start.codeLimit));
  }

  /** 'end' when the code's own HLT was reached; else `#vector at +offset`, with the error code for those that have one. */
  run(budget = 10_000): string {
    const exit: VcpuExit = this.cpu.run(budget);
    if (exit !== 'halt') return exit;
    const registers = this.cpu.registers();
    const rip = Number(registers.rip);
    if (rip < HANDLERS || rip >= HANDLERS + 512) return 'end';
    const vector = (rip - HANDLERS) >> 4;
    const frame = Number(registers.gpr[4]!);
    const hasError = [8, 10, 11, 12, 13, 14, 17].includes(vector);
    const [first, second] = this.words(frame, 2) as [number, number];
    return `#${vector}${hasError ? `(${first})` : ''} at +${(hasError ? second : first) - CODE}`;
  }
}
