import { CORE_THREADS, CPUID_HIDDEN, PACKAGE_THREADS, PARAVIRT, STATE_BYTES, TSC_KHZ } from '../isa/x86/state/layout.ts';
import { VCPU_BASE, VCPU_STRIDE } from '../memory/layout.ts';

/** What a processor says of itself where it is not as the model has it. */
export interface Identity {
  readonly index: number;
  /** Rate of its time stamp counter. */
  readonly tscKhz: number;
  /** Features that it has not, as words of CPUID_HIDDEN. */
  readonly hidden: readonly number[];
  /** What of KVM's paravirtual interface it offers: bits of cpu/paravirt.ts; missing: nothing. */
  readonly paravirt?: number;
  /** Where it stands among its like; missing: it is the only one. */
  readonly topology?: { readonly cores: number; readonly threads: number };
}

/** Puts it into the block of a vCPU that exists already; it stays over resets. Legal before anything executes. */
export function identify(memory: WebAssembly.Memory, { index, tscKhz, hidden, paravirt = 0, topology: { cores, threads } = { cores: 1, threads: 1 } }: Identity): void {
  const block = new DataView(memory.buffer, VCPU_BASE + index * VCPU_STRIDE, STATE_BYTES);
  block.setUint32(PACKAGE_THREADS, cores * threads, true);
  block.setUint32(CORE_THREADS, threads, true);
  block.setUint32(PARAVIRT, paravirt, true);
  block.setUint32(TSC_KHZ, Math.round(tscKhz), true);
  hidden.forEach((word, i) => block.setUint32(CPUID_HIDDEN + 4 * i, (block.getUint32(CPUID_HIDDEN + 4 * i, true) | word) >>> 0, true));
}
