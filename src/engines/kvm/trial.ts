import type { VcpuStart } from '../../cpu/vcpu.ts';
import { ticksAt } from '../../host/clock.ts';
import type { MonotonicClock } from '../../host/clock.ts';
import { STATE_BYTES } from '../../isa/x86/state/layout.ts';
import { VCPU_BASE } from '../../memory/layout.ts';
import { LinearMemory } from '../../memory/linear-memory.ts';
import { identify } from '../identity.ts';
import { createInterpreter } from '../interpreter/interpreter.ts';
import type { EngineModules } from '../modules.ts';
import type { KvmCapabilities } from './capabilities.ts';
import { FEATURE_WORDS, modelCpuid } from './cpuid-table.ts';
import type { KvmHost } from './kvm-host.ts';
import { KvmVcpu } from './kvm-vcpu.ts';

/** What short guests have found out about a KVM: some run only user code natively, and some keep no promise there. */
export interface KvmFinding {
  /** Instructions a second of 64-bit code in ring 0 and in ring 3. */
  readonly ring0: number;
  readonly ring3: number;
  /** The same of 32-bit code in ring 3, under a 64-bit kernel. */
  readonly compatible: number;
  /** Nanoseconds from one port write to the next. */
  readonly exitNs: number;
  /** CPUID shows the guest what the monitor has said. */
  readonly cpuid: boolean;
  /** Feature words that CPUID shows in ring 3, in the order of CPUID_HIDDEN. */
  readonly user: readonly number[];
  /** SYSCALL enters the guest's kernel as it should. */
  readonly syscall: boolean;
  /** The time stamp counter starts where the monitor says. */
  readonly tscOffset: boolean;
  /** See KvmCapabilities. */
  readonly syncRegisters: boolean;
}

// Physical addresses of the guests' parts, below 64 KiB.
const TABLES = 0x1000;
const GDT = 0x4000;
const IDT = 0x5000;
const TSS = 0x6000;
const KERNEL = 0x7000;
const USER = 0x8000;
const COMPATIBLE = 0x8800;
const STACK = 0x9f00;
const VECTOR_UD = 6;
/** UD2: the way out of ring 3 that even KVMs without virtualization in hardware get right. */
const END = [0x0f, 0x0b] as const;

const HLT = 0xf4;
/** Loops that are over before a busy host is likely to turn to somebody else; the quickest counts. */
const SHORT_LOOP = 1000;
const SHORT_LOOPS = 8;
const EXITS = 100;
/** Slower than this in a short loop is emulated; else the way into the guest is most of it, and a long loop tells. */
const PERHAPS_NATIVE = 2e7;
const LONG_LOOP = 4_000_000;
const ATTEMPT_NS = 20_000_000;
const ATTEMPTS = 50;

/** Takes about 100 ms. Throws KvmError or KvmFailure. */
export function tryKvm(host: KvmHost, capabilities: KvmCapabilities, modules: EngineModules, clock: MonotonicClock): KvmFinding {
  const trial = new Trial(host, capabilities, modules, clock);
  try {
    const exitNs = Math.min(...Array.from({ length: SHORT_LOOPS }, () => trial.time(KERNEL, countedLoop(EXITS, [0xe6, 0x80])))) / EXITS; // out 80h,al
    return {
      ring0: trial.speed(KERNEL), ring3: trial.speed(USER), compatible: trial.speed(COMPATIBLE), exitNs,
      cpuid: trial.cpuid(), user: FEATURE_WORDS.map(([leaf, register]) => trial.userCpuid(leaf)[register]!), syscall: trial.syscall(), tscOffset: trial.tscOffset(), syncRegisters: capabilities.syncRegisters,
    };
  } finally {
    trial.close();
  }
}

/** `dec ecx; jnz` around `body`, two instructions more than it an iteration; ends in UD2. */
function countedLoop(iterations: number, body: readonly number[]): number[] {
  return [0xb9, ...bytesOf(iterations), ...body, 0xff, 0xc9, 0x75, 256 - body.length - 4, ...END];
}

class Trial {
  readonly #memory = new LinearMemory(2 << 20);
  readonly #vcpu: KvmVcpu;
  readonly #clock: MonotonicClock;
  readonly #cpuid: ReturnType<typeof modelCpuid>;

  constructor(host: KvmHost, capabilities: KvmCapabilities, modules: EngineModules, clock: MonotonicClock) {
    this.#clock = clock;
    const parts = {
      memory: this.#memory.wasm, index: 0, clock, modules,
      // The counter of the guest stands near zero at the start, far from the host's.
      hostTsc: () => ticksAt(clock.now(), capabilities.tscKhz), random32: () => 0, tscKhz: () => capabilities.tscKhz,
      bus: { readPort: () => 0, writePort: () => {}, readMmio: () => 0, writeMmio: () => {} },
      interrupts: {
        pending: () => false, acknowledge: () => -1, takeNmi: () => false, giveBackNmi: () => {}, readTaskPriority: () => 0, writeTaskPriority: () => {}, readMsr: () => undefined, writeMsr: () => false,
      },
    };
    const home = createInterpreter(parts);
    const block = new DataView(this.#memory.wasm.buffer, VCPU_BASE, STATE_BYTES);
    identify(this.#memory.wasm, { index: 0, tscKhz: capabilities.tscKhz, hidden: capabilities.hidden });
    this.#cpuid = modelCpuid(home.runtime, block);
    this.#vcpu = new KvmVcpu({ ...parts, host, capabilities, home });
    this.#layOut();
  }

  /** 2 MiB mapped one to one for all; a gate for #UD whose handler halts. */
  #layOut(): void {
    const words: readonly (readonly [address: number, value: bigint])[] = [
      [TABLES, 0x2007n], [TABLES + 0x1000, 0x3007n], [TABLES + 0x2000, 0x87n],
      [GDT + 0x08, 0xaf9b_000000_ffffn], [GDT + 0x10, 0xcf93_000000_ffffn], [GDT + 0x18, 0xcff3_000000_ffffn], [GDT + 0x20, 0xaffb_000000_ffffn], [GDT + 0x30, 0xcffb_000000_ffffn],
      [TSS + 4, BigInt(STACK)],
      [IDT + 16 * VECTOR_UD, BigInt(KERNEL + 0x800) | (8n << 16n) | (0x8e00n << 32n)],
    ];
    const cell = new Uint8Array(8);
    for (const [address, value] of words) {
      new DataView(cell.buffer).setBigUint64(0, value, true);
      this.#memory.write(address, cell);
    }
    this.#memory.write(KERNEL + 0x800, Uint8Array.of(HLT));
  }

  /** Runs code in ring 0 or ring 3, 64-bit or 32-bit, as its place says, until it halts. Returns the nanoseconds it took. */
  time(place: typeof KERNEL | typeof USER | typeof COMPATIBLE, code: readonly number[], start: Partial<VcpuStart> = {}): number {
    this.#memory.write(place, Uint8Array.from(code));
    const data = place === KERNEL ? { selector: 0x10, attributes: 0xc093 } : { selector: 0x1b, attributes: 0xc0f3 };
    const segment = (selector: number, attributes: number) => ({ selector, base: 0n, limit: 0xffffffff, attributes });
    const flat = segment(data.selector, data.attributes);
    this.#vcpu.reset();
    this.#vcpu.start({
      rip: BigInt(place), rflags: 2n, cr0: 0x80000033n, cr3: BigInt(TABLES), cr4: 0x20n, efer: 0x501n, gdtr: { base: BigInt(GDT), limit: 0x37 },
      idtr: { base: BigInt(IDT), limit: 4095 },
      segments: {
        cs: place === KERNEL ? segment(8, 0xa09b) : place === USER ? segment(0x23, 0xa0fb) : segment(0x33, 0xc0fb), ss: flat, ds: flat, es: flat, fs: flat, gs: flat,
        tr: { selector: 0x28, base: BigInt(TSS), limit: 103, attributes: 0x8b },
      },
      ...start, gpr: { rsp: BigInt(STACK - 0x800), ...start.gpr },
    });
    // The first entry moves the state.
    this.#vcpu.requestExit();
    this.#vcpu.run(1);
    const began = this.#clock.now();
    for (let i = 0; i < ATTEMPTS; i++) {
      const exit = this.#vcpu.run(1, () => this.#clock.now() + ATTEMPT_NS);
      if (exit === 'halt') return this.#clock.now() - began;
      if (exit === 'shutdown') break;
    }
    return Number.POSITIVE_INFINITY;
  }

  /** Instructions a second. */
  speed(place: typeof KERNEL | typeof USER | typeof COMPATIBLE): number {
    const loop = (iterations: number): number => (2 * iterations * 1e9) / this.time(place, countedLoop(iterations, []));
    const short = Math.max(...Array.from({ length: SHORT_LOOPS }, () => loop(SHORT_LOOP)));
    return short < PERHAPS_NATIVE ? short : loop(LONG_LOOP);
  }

  /** Is what feature leaf 7 says in ring 3 what was set? */
  cpuid(): boolean {
    return this.userCpuid(7)[1] === this.#cpuid.find((entry) => entry.leaf === 7)!.values[1];
  }
  /** What CPUID says in ring 3: EAX, EBX, ECX, EDX. */
  userCpuid(leaf: number): readonly number[] {
    const took = this.time(USER, [0xb8, ...bytesOf(leaf), 0x31, 0xc9, 0x0f, 0xa2, ...END]); // mov eax,leaf; xor ecx,ecx; cpuid
    const { gpr } = this.#vcpu.registers();
    return took === Number.POSITIVE_INFINITY ? [0, 0, 0, 0] : [0, 3, 1, 2].map((register) => Number(gpr[register]! & 0xffffffffn));
  }

  /** `syscall` in ring 3 must reach LSTAR with the kernel's selector and the flags in R11. */
  syscall(): boolean {
    const handler = KERNEL + 0x900;
    this.#memory.write(handler, Uint8Array.of(0x8c, 0xc8, HLT)); // mov eax,cs
    const setUp = [
      ...wrmsr(0xc0000081, 0, 0x00130008), ...wrmsr(0xc0000082, handler, 0), ...wrmsr(0xc0000084, 0x200, 0),
      0xb9, USER & 0xff, USER >> 8, 0, 0, 0x41, 0xbb, 2, 0, 0, 0, 0x48, 0x0f, 0x07, // mov ecx,USER; mov r11d,2; sysretq
    ];
    this.#memory.write(USER, Uint8Array.of(0x0f, 0x05)); // syscall
    if (this.time(KERNEL, setUp) === Number.POSITIVE_INFINITY) return false;
    const { gpr, rip } = this.#vcpu.registers();
    return rip === BigInt(handler + 3) && gpr[0] === 8n && gpr[1] === BigInt(USER + 2) && gpr[11] === 2n;
  }

  /** Is RDTSC in ring 3 near what the monitor's clock says? */
  tscOffset(): boolean {
    if (this.time(USER, [0x0f, 0x31, ...END]) === Number.POSITIVE_INFINITY) return false; // rdtsc
    const { gpr } = this.#vcpu.registers();
    const seconds = 100n * 1_000_000_000n;
    return ((gpr[2]! << 32n) | gpr[0]!) < BigInt(Math.floor(this.#clock.now())) * 10n + seconds;
  }

  close(): void {
    this.#vcpu.close();
  }
}

function wrmsr(index: number, low: number, high: number): number[] {
  return [0xb9, ...bytesOf(index), 0xb8, ...bytesOf(low), 0xba, ...bytesOf(high), 0x0f, 0x30];
}
function bytesOf(value: number): number[] {
  return [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff);
}
