import { readCapabilities } from '../../src/engines/kvm/capabilities.ts';
import type { KvmCapabilities } from '../../src/engines/kvm/capabilities.ts';
import { identify } from '../../src/engines/identity.ts';
import { tryKvm } from '../../src/engines/kvm/trial.ts';
import type { KvmFinding } from '../../src/engines/kvm/trial.ts';
import { KvmVcpu } from '../../src/engines/kvm/kvm-vcpu.ts';
import type { Interruptions } from '../../src/engines/hybrid/direct-vm.ts';
import { HybridVcpu } from '../../src/engines/hybrid/hybrid-vcpu.ts';
import { createLocalTranslator } from '../../src/engines/translator/local-translator.ts';
import { createInterpreter } from '../../src/engines/interpreter/interpreter.ts';
import { ticksAt } from '../../src/host/clock.ts';
import type { KvmParts } from '../../src/machine/engines.ts';
import type { Interpreter } from '../../src/engines/interpreter/interpreter.ts';
import type { Vcpu, VcpuStart } from '../../src/cpu/vcpu.ts';
import { whatIsKnown } from '../../src/host-node/engine-choice.ts';
import { loadEngineModules } from '../../src/host-node/engine-modules.ts';
import { LinuxKvm } from '../../src/host-node/kvm/linux-kvm.ts';
import { NodeClock } from '../../src/host-node/ports.ts';
import { LinearMemory } from '../../src/memory/linear-memory.ts';
import { FlatGuest, HANDLERS } from './flat-guest.ts';

interface OpenKvm {
  readonly host: LinuxKvm;
  readonly capabilities: KvmCapabilities;
  readonly finding: KvmFinding;
  readonly user: KvmParts['user'];
  readonly hostCounter: boolean;
  readonly losesSyscalls: boolean;
}

let opened: OpenKvm | string | undefined;

/** KVM of this host; a text says why there is none. */
export function openKvm(): OpenKvm | string {
  if (opened !== undefined) return opened;
  try {
    const host = new LinuxKvm();
    const capabilities = readCapabilities(host);
    const finding = tryKvm(host, capabilities, loadEngineModules(), new NodeClock());
    opened = { host, capabilities, finding, ...whatIsKnown(finding) };
  } catch (error) {
    opened = (error as Error).message;
  }
  return opened;
}

/** For `skipIf`: true where there is no KVM, which is said once a file. */
export function kvmIsMissing(): boolean {
  const kvm = openKvm();
  if (typeof kvm === 'string') console.warn(`tests of KVM are skipped: ${kvm}`);
  return typeof kvm === 'string';
}

/** For `skipIf`: true where this KVM is known to do wrong what a test is about, which is said. */
export function kvmLacks(what: 'cpuid' | 'syscall' | 'ring0' | 'compatible'): boolean {
  const kvm = openKvm();
  if (typeof kvm === 'string') return true;
  const lacks = what === 'ring0' || what === 'compatible' ? kvm.finding[what] < NATIVE : !kvm.finding[what];
  if (lacks) console.warn(`a test of KVM is skipped: ${{ cpuid: 'its guests see the host\'s CPUID', syscall: 'SYSCALL does not reach the guest\'s kernel', ring0: 'it emulates ring 0', compatible: 'it emulates 32-bit code' }[what]}`);
  return lacks;
}
const NATIVE = 5e7;

export { CODE, HANDLERS, STACK } from './flat-guest.ts';

/** One vCPU that is on KVM or on the interpreter, over the same memory and devices that write down what they see. */
export class KvmFixture {
  readonly memory = new LinearMemory(8 << 20, 0x10000);
  /** With user segments, 18h for code and 20h for data. */
  readonly guest = new FlatGuest(this.memory, 256, [{ access: 0xfb }, { access: 0xf3 }]);
  readonly interpreter: Interpreter;
  readonly kvm: KvmVcpu;
  readonly hybrid: HybridVcpu;
  readonly clock = { now: () => (performance.now() - this.#started) * 1e6 };
  /** What the guest asked of the bus, as text. */
  readonly accesses: string[] = [];
  /** Answers to port and memory reads. */
  answer = 0x87654321;
  /** Vectors that wait, the next one first. */
  readonly waiting: number[] = [];
  nmi = false;
  taskPriority = 0;
  onAccess: (text: string) => void = () => {};
  readonly #started = performance.now();

  /** `interruptions`: as if there were other processors, for the hybrid engine. */
  constructor(interruptions?: Interruptions) {
    const kvm = openKvm();
    if (typeof kvm === 'string') throw new Error(kvm);
    const note = (text: string): void => {
      this.accesses.push(text);
      this.onAccess(text);
    };
    const hex = (value: number): string => value.toString(16);
    const answer = (size: number): number => (size === 4 ? this.answer : this.answer & ((1 << (8 * size)) - 1)) >>> 0;
    const clock = this.clock;
    const parts = {
      modules: loadEngineModules(), memory: this.memory.wasm, index: 0, random32: () => 0, clock,
      tscKhz: () => kvm.capabilities.tscKhz,
      hostTsc: () => ticksAt(clock.now(), kvm.capabilities.tscKhz),
      bus: {
        readPort: (port: number, size: number) => (note(`in${size} ${hex(port)}`), answer(size)),
        writePort: (port: number, size: number, value: number) => note(`out${size} ${hex(port)} ${hex(value)}`),
        readMmio: (address: number, size: number) => (note(`read${size} ${hex(address)}`), answer(size)),
        writeMmio: (address: number, size: number, value: number) => note(`write${size} ${hex(address)} ${hex(value)}`),
      },
      interrupts: {
        pending: () => this.waiting.length > 0 && this.waiting[0]! >> 4 > this.taskPriority,
        acknowledge: () => this.waiting.shift() ?? -1,
        giveBackNmi: () => void (this.nmi = true),
        takeNmi: () => {
          const taken = this.nmi;
          this.nmi = false;
          return taken;
        },
        readTaskPriority: () => this.taskPriority,
        writeTaskPriority: (value: number) => void (this.taskPriority = value),
        readMsr: (index: number) => (index === 0x1b ? 0xfee00900n : undefined),
        writeMsr: () => false,
      },
    };
    this.interpreter = createInterpreter(parts);
    identify(this.memory.wasm, { index: 0, tscKhz: kvm.capabilities.tscKhz, hidden: kvm.capabilities.hidden });
    this.kvm = new KvmVcpu({ ...parts, ...kvm, home: this.interpreter });
    this.hybrid = new HybridVcpu({ ...parts, ...kvm, ...kvm.user, home: createLocalTranslator(parts), ...(interruptions === undefined ? {} : { interruptions }), policy: { note: () => {}, goesOn: () => true } });
  }

  poke64(address: number, value: bigint): void { this.guest.poke64(address, value); }
  handler(vector: number, ...code: number[]): void { this.guest.handler(vector, ...code); }
  /** Flat 32-bit code without paging, with HLT behind it. */
  load(vcpu: Vcpu, code: readonly number[], start: Partial<VcpuStart> = {}): void {
    this.accesses.length = 0;
    vcpu.reset();
    vcpu.start(this.guest.enter(code, start));
  }
  /** Runs until it halts; then 'end', or the vector whose handler it halted in. Anything else as the engine says it. */
  run(vcpu: Vcpu): string {
    const ends = performance.now() + 200_000;
    while (performance.now() < ends) {
      const exit = vcpu.run(10_000);
      if (exit === 'budget' || exit === 'time' || exit === 'requested') continue;
      if (exit !== 'halt') return exit;
      const rip = Number(vcpu.registers().rip);
      return rip > HANDLERS && rip < HANDLERS + 4096 ? `#${(rip - HANDLERS - 1) >> 4}` : 'end';
    }
    return 'no end';
  }
  close(): void {
    this.hybrid.close();
    this.kvm.close();
  }
}
