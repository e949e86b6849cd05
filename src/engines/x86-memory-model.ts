import type { MemoryModel } from '../lowering/lower.ts';
import { FAULT_PENDING, LEAVE_FAULT, TLB_ADDEND, TLB_BASE, TLB_ENTRIES, TLB_ENTRY_BYTES, TLB_READ, TLB_WRITE } from '../isa/x86/state/layout.ts';

/** The software TLB of the x86 vCPU as lowering needs to know it. */
export const x86MemoryModel: MemoryModel = {
  tlbBase: TLB_BASE,
  tlbEntries: TLB_ENTRIES,
  tlbEntryBytes: TLB_ENTRY_BYTES,
  tagRead: TLB_READ,
  tagWrite: TLB_WRITE,
  addend: TLB_ADDEND,
  faultPending: FAULT_PENDING,
  leaveFault: LEAVE_FAULT,
};
