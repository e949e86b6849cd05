import { CPUID_HIDDEN, CPU_COUNT, STATE_BYTES, TSC_KHZ } from '../isa/x86/state/layout.ts';
import { VCPU_BASE, VCPU_STRIDE } from '../memory/layout.ts';

/** What a processor says of itself where it is not as the model has it. */
export interface Identity {
  readonly index: number;
  /** Rate of its time stamp counter. */
  readonly tscKhz: number;
  /** Features that it has not, as words of CPUID_HIDDEN. */
  readonly hidden: readonly number[];
  /** Processors of the machine; missing: one. */
  readonly vcpus?: number;
}

/** Puts it into the block of a vCPU that exists already; it stays over resets. Legal before anything executes. */
export function identify(memory: WebAssembly.Memory, { index, tscKhz, hidden, vcpus = 1 }: Identity): void {
  const block = new DataView(memory.buffer, VCPU_BASE + index * VCPU_STRIDE, STATE_BYTES);
  block.setUint32(CPU_COUNT, vcpus, true);
  block.setUint32(TSC_KHZ, Math.round(tscKhz), true);
  hidden.forEach((word, i) => block.setUint32(CPUID_HIDDEN + 4 * i, (block.getUint32(CPUID_HIDDEN + 4 * i, true) | word) >>> 0, true));
}
