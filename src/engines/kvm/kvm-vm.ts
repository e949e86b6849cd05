import { PHYSICAL_MASK } from '../../isa/x86/state/layout.ts';
import type { CpuidEntry } from './cpuid-table.ts';
import type { MsrRun } from './kept-msrs.ts';
import type { KvmHost } from './kvm-host.ts';
import { KvmMachine } from './kvm-machine.ts';
import { KvmProcessor } from './kvm-processor.ts';
import type { MemorySlots } from './memory-slots.ts';

/** In PHYSICAL_MASK: address line 20 is open. */
export const A20 = 0x100000n;

/** One VM of KVM with its one vCPU, over the machine's linear memory. Throws KvmError. */
export class KvmVm extends KvmProcessor {
  readonly #machine: KvmMachine;

  /** `kept`: see KvmMachine. */
  constructor(host: KvmHost, memory: WebAssembly.Memory, kept: readonly MsrRun[], cpuid: readonly CpuidEntry[]) {
    const machine = new KvmMachine(host, memory, kept);
    super(host, machine.createVcpu(0), cpuid);
    this.#machine = machine;
  }

  get slots(): MemorySlots {
    return this.#machine.slots;
  }

  /** Nothing is under way. */
  override updateSlots(block: DataView): void {
    this.slots.update((block.getBigUint64(PHYSICAL_MASK, true) & A20) !== 0n);
  }

  override forgetPageTables(): void {
    this.slots.clear();
  }

  override logWrites(on: boolean): void {
    this.slots.logWrites(on);
  }

  override close(): void {
    super.close();
    this.#machine.close();
  }
}
