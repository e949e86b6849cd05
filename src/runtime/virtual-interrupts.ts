// Virtual interrupts: the extensions of virtual-8086 mode (CR4.VME; Intel SDM 3B, 20.3) and those of protected mode (CR4.PVI; 20.4).
// Where the privilege does not suffice for IF, VIF takes its place; with VIP set the monitor hears of it by #GP.

import { CPL, CR4, EFLAGS, FAULT_PENDING, SEG_ATTRIBUTES, SEG_BASE, SEG_LIMIT, SEG_TR } from "../isa/x86/state/layout.ts";
import { raiseGeneralProtection } from "./faults.ts";
import { FLAG_IF, FLAG_IOPL, FLAG_TF, FLAG_VIF, FLAG_VIP } from "./flags.ts";
import { loadSystem } from "./memory.ts";
import { isReal, isV86, segment } from "./segments.ts";

const CR4_VME: u64 = 1;
const CR4_PVI: u64 = 2;
/** 32-bit task state segment, available or busy, but for the busy bit. */
const TSS32: u32 = 9;

/** Virtual-8086 mode with IOPL below 3. */
export function isVirtual(cpu: usize): bool {
  return isV86(cpu) && (load<u32>(cpu, EFLAGS) & FLAG_IOPL) != FLAG_IOPL;
}

function hasVirtualMode(cpu: usize): bool {
  return (load<u64>(cpu, CR4) & CR4_VME) != 0;
}

/** What CLI and STI change: FLAG_IF, FLAG_VIF, or 0 where they are #GP(0) (SDM 2A, CLI, table 3-7). */
export function interruptFlag(cpu: usize): u32 {
  const cpl = load<u32>(cpu, CPL);
  if (isReal(cpu) || cpl <= (load<u32>(cpu, EFLAGS) & FLAG_IOPL) >> 12) return FLAG_IF;
  const extended = isV86(cpu) ? hasVirtualMode(cpu) : cpl == 3 && (load<u64>(cpu, CR4) & CR4_PVI) != 0;
  return extended ? FLAG_VIF : 0;
}

/** PUSHF, POPF and IRET of virtual-8086 mode with IOPL below 3: only those of 16 bits exist, and only under CR4.VME; else #GP(0). */
export function checkVirtualFlags(cpu: usize, size: i32): i32 {
  return size == 16 && hasVirtualMode(cpu) ? 0 : raiseGeneralProtection(cpu, 0);
}

/** Flags that POPF and IRET take there: IF is meant for VIF. #GP(0), which is pending then, for TF and for IF while VIP is set. */
export function takeVirtualFlags(cpu: usize, flags: u32): u32 {
  if ((flags & FLAG_TF) != 0 || ((flags & FLAG_IF) != 0 && (load<u32>(cpu, EFLAGS) & FLAG_VIP) != 0)) raiseGeneralProtection(cpu, 0);
  return (flags & FLAG_IF) != 0 ? flags | FLAG_VIF : flags & ~FLAG_VIF;
}

/** VIF and VIP are both set where the processor looks at them: #GP(0) before the next instruction (SDM 3B, 20.3.2). */
export function virtualInterruptDue(cpu: usize): bool {
  const flags = load<u32>(cpu, EFLAGS);
  if ((flags & (FLAG_VIF | FLAG_VIP)) != (FLAG_VIF | FLAG_VIP) || load<u32>(cpu, CPL) != 3) return false;
  return interruptFlag(cpu) == FLAG_VIF;
}

/** INT n of virtual-8086 mode. */
export const INT_TO_PROTECTED: i32 = 0;
export const INT_TO_8086: i32 = 1;
export const INT_FAULTS: i32 = 2;

/** Where INT n goes by CR4.VME, IOPL and the bitmap below the TSS' I/O bitmap (SDM 3B, table 20-2); INT_FAULTS with a fault pending. */
export function softwareInterruptTarget(cpu: usize, vector: u32): i32 {
  if (hasVirtualMode(cpu)) {
    const tr = segment(cpu, SEG_TR);
    const limit = load<u32>(tr, SEG_LIMIT);
    const base = load<u64>(tr, SEG_BASE);
    if ((load<u32>(tr, SEG_ATTRIBUTES) & 13) != TSS32 || limit < 103) return fails(cpu);
    const map = <u32>loadSystem(cpu, base + 102, 2);
    if (load<u32>(cpu, FAULT_PENDING) != 0) return INT_FAULTS;
    const at = map - 32 + (vector >> 3);
    if (map < 32 || at > limit) return fails(cpu);
    const bits = <u32>loadSystem(cpu, base + at, 1);
    if (load<u32>(cpu, FAULT_PENDING) != 0) return INT_FAULTS;
    if (((bits >> (vector & 7)) & 1) == 0) return INT_TO_8086;
  }
  return isVirtual(cpu) ? fails(cpu) : INT_TO_PROTECTED;
}

function fails(cpu: usize): i32 {
  raiseGeneralProtection(cpu, 0);
  return INT_FAULTS;
}
