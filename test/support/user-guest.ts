import type { Vcpu } from '../../src/cpu/vcpu.ts';
import { loadEngineModules } from '../../src/host-node/engine-modules.ts';
import { engineFactory, tscKhzFor } from '../../src/machine/engines.ts';
import type { RunningEngine } from '../../src/machine/engines.ts';
import { RegionBuilder } from '../../src/engines/translator/region-builder.ts';
import type { KvmHost } from '../../src/engines/kvm/kvm-host.ts';
import { ticksAt } from '../../src/host/clock.ts';
import type { Log } from '../../src/host/log.ts';
import { silentLog } from '../../src/machine/trace.ts';
import { LinearMemory } from '../../src/memory/linear-memory.ts';
import { openKvm } from './kvm.ts';

// User code in long mode, and a kernel that is its handler of #UD: a vCPU that may be on all engines, without devices.

const TABLES = 0x1000;
const GDT = 0x4000;
const IDT = 0x5000;
const TSS = 0x6000;
const KERNEL = 0x7000;
/** Where user code begins; its stack ends behind it. */
const USER = 0x8000;
const USER_STACK = 0x9000;
const KERNEL_STACK = 0x9f00;
/** Pages that are written by the way: accessed and dirty bits, accessed descriptors, the kernel's stack; KVM names the page of user code, too. */
export const PAGES_BESIDES = [TABLES, TABLES + 0x1000, TABLES + 0x2000, GDT, USER, KERNEL_STACK].map((address) => address >> 12);

export const bytes32 = (value: number): number[] => [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff);
/** #UD: the end has 1234h in EAX; else it skips the UD2 and counts in R14. */
const kernel = [0x3d, ...bytes32(0x1234), 0x74, 0x0a, 0x48, 0x83, 0x04, 0x24, 0x02, 0x49, 0xff, 0xc6, 0x48, 0xcf, 0xf4];

export interface UserGuest {
  readonly vcpu: Vcpu;
  readonly memory: LinearMemory;
  /** From the first instruction on. */
  readonly begin: () => void;
}

/** `hook`: stands between the engines and KVM. */
export function userGuest(user: readonly number[], first: RunningEngine, hook: (host: KvmHost) => KvmHost = (host) => host, log: Log = silentLog): UserGuest {
  const kvm = openKvm();
  const parts = typeof kvm === 'string' ? undefined : { ...kvm, host: hook(kvm.host) };
  const modules = loadEngineModules();
  const factory = engineFactory({ first, modules, translation: { compiler: new RegionBuilder(modules.handlers) }, kvm: parts, switchable: true });
  const memory = new LinearMemory(2 << 20);
  const clock = { now: () => performance.now() * 1e6 };
  const tscKhz = tscKhzFor(parts) ?? 1e6;
  const vcpu = factory({
    memory: memory.wasm, ram: memory, index: 0, clock, log, random32: () => 0, hostTsc: () => ticksAt(clock.now(), tscKhz), tscKhz: () => tscKhz, numericError: () => false,
    bus: { readPort: () => 0, writePort: () => {}, readMmio: () => 0, writeMmio: () => {} },
    interrupts: {
      pending: () => false, acknowledge: () => -1, takeNmi: () => false, giveBackNmi: () => {}, readTaskPriority: () => 0, writeTaskPriority: () => {}, readMsr: () => undefined, writeMsr: () => false,
    },
  });
  memory.onLogged((on) => vcpu.logWrites(on));
  memory.onCodeWritten((page, offset, length) => vcpu.codeWritten(page, offset, length));
  for (const [address, value] of [
    [TABLES, 0x2007n], [TABLES + 0x1000, 0x3007n], [TABLES + 0x2000, 0x87n], [GDT + 0x08, 0xaf9b_000000_ffffn], [GDT + 0x18, 0xcff3_000000_ffffn], [GDT + 0x20, 0xaffb_000000_ffffn],
    [TSS + 4, BigInt(KERNEL_STACK)], [IDT + 16 * 6, BigInt(KERNEL) | (8n << 16n) | (0x8e00n << 32n)],
  ] as const) memory.write(address, new Uint8Array(BigUint64Array.of(value).buffer));
  memory.write(USER, Uint8Array.from(user));
  memory.write(KERNEL, Uint8Array.from(kernel));
  const segment = (selector: number, attributes: number) => ({ selector, base: 0n, limit: 0xffffffff, attributes });
  const data = segment(0x1b, 0xc0f3);
  // Code with other selectors there does not run directly.
  const none = segment(0, 0xc0f3);
  const begin = (): void => {
    vcpu.reset();
    vcpu.start({
      rip: BigInt(USER), rflags: 2n, cr0: 0x80000033n, cr3: BigInt(TABLES), cr4: 0x620n, efer: 0x501n, gpr: { rsp: BigInt(USER_STACK) }, gdtr: { base: BigInt(GDT), limit: 0x27 }, idtr: { base: BigInt(IDT), limit: 4095 },
      segments: { cs: segment(0x23, 0xa0fb), ss: data, ds: data, es: data, fs: none, gs: none, tr: { selector: 0x28, base: BigInt(TSS), limit: 103, attributes: 0x8b } },
    });
  };
  begin();
  return { vcpu, memory, begin };
}

/** Runs to the end in slices of so many ns; `between` is called each time the vCPU stands still. */
export function runToEnd(vcpu: Vcpu, slice: () => number, between: () => void): void {
  for (;;) {
    const ends = performance.now() * 1e6 + slice();
    const exit = vcpu.run(slice() / 10, () => ends);
    if (exit === 'halt') return;
    if (exit === 'shutdown') throw new Error('the guest has died');
    between();
  }
}
