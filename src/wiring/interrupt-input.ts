/**
 * The interrupt side of one vCPU, implemented by its local APIC (with the PIC behind LINT0 or ExtINT). The engine
 * asks between instructions, when the guest can take an interrupt.
 */
export interface InterruptInput {
  /** True when a maskable interrupt waits that the current task priority lets through. Cheap: called often. */
  pending(): boolean;
  /** Acknowledges the highest-priority one and returns its vector, or -1 when it went away (then spurious). */
  acknowledge(): number;
  /** True once for each non-maskable interrupt. */
  takeNmi(): boolean;
  /** One that was taken could not be delivered: the next `takeNmi` gives it again. */
  giveBackNmi(): void;
  /**
   * Asked behind `acknowledge`: may the guest leave out the EOI of what is in service, as nothing waits for it? True: `settle` will be
   * called once, before anybody looks what is in service, and says whether the guest has ended it. Missing: never.
   */
  offerEoi?(settle: () => boolean): boolean;
  /** Does so now, as the guest stands still; without an offer nothing. */
  settleEoi?(): void;
  /** Task priority, CR8 (0 to 15). */
  readTaskPriority(): number;
  writeTaskPriority(value: number): void;
  /** IA32_APIC_BASE and the x2APIC registers (MSR 0x800..0x8ff); undefined: no such register, the guest gets #GP. */
  readMsr(index: number): bigint | undefined;
  /** False: no such register or a reserved bit set, the guest gets #GP. */
  writeMsr(index: number, value: bigint): boolean;
}

/** How interrupt controllers tell the machine that a vCPU has something to look at: ends HLT, ends a slice early. */
export interface VcpuKick {
  kick(): void;
}
