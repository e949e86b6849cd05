// Control and debug registers, interrupt flag, halt, time stamp; reset (Intel SDM 3A, 2.5, 10.1; 2, the instructions' pages).

import {
  CONST_4G, CPL, CR0, CR2, CR3, CR4, DR, DR6, DR7, EFER, EFLAGS, EVENTS, FAULT_ADDRESS, FLAGS_RESULT, GPR, IDTR_LIMIT, GDTR_LIMIT, LEAVE_HALT, LEAVE_NEXT, MSR_MISC_ENABLE,
  MSR_MTRR_DEF_TYPE, MSR_PAT, MXCSR, PARAVIRT_EOI_OFFER, PAUSES, PHYSICAL_MASK, PKRU, RAX, RCX, RDX, RIP, SEG_CS, SEG_LDTR, SEG_TR, SHADOW, STI_DONE, STI_NEXT, TSC_OFFSET, MSR_TSC_AUX, VECTOR_DB, X87_CONTROL, X87_TAGS, XCR0,
} from "../isa/x86/state/layout.ts";
import { raiseFault, raiseGeneralProtection, raiseUndefined } from "./faults.ts";
import { FLAG_AC, FLAG_IF, FLAG_VIF, FLAG_VIP } from "./flags.ts";
import { hostTsc, interruptPending, random32, readTaskPriority, writeTaskPriority } from "./host.ts";
import { isLong, setSegment, updateMode } from "./segments.ts";
import { updateBreakpoints } from "./breakpoints.ts";
import { nextIp } from "./position.ts";
import { interruptFlag } from "./virtual-interrupts.ts";
import { SIGNATURE } from "./cpuid.ts";
import { loadPdptes } from "./page-walk.ts";
import { flushAccessRights, flushPage, flushTlb, flushTlbNonGlobal, isCanonical, updateTlbBase } from "./paging.ts";
import { dropShadowPage, dropShadows, dropShadowsOf } from "./shadow.ts";
import { updateSegmentCaches } from "./memory.ts";
import { ATTR_L, segment } from "./segments.ts";
import { SEG_ATTRIBUTES } from "../isa/x86/state/layout.ts";

const CR0_PE: u64 = 1;
const CR0_PG: u64 = 0x80000000;
const CR0_NW: u64 = 0x20000000;
const CR0_CD: u64 = 0x40000000;
const CR4_PAE: u64 = 0x20;
const CR4_PSE: u64 = 0x10;
const CR4_PGE: u64 = 0x80;
const CR4_UMIP: u64 = 0x800;
const CR4_FSGSBASE: u64 = 0x10000;
const CR4_OSXSAVE: u64 = 0x40000;
const CR4_PCIDE: u64 = 0x20000;
const CR4_SMEP: u64 = 0x100000;
const CR4_SMAP: u64 = 0x200000;
const CR4_PKE: u64 = 0x400000;
const CR4_PKS: u64 = 0x1000000;
/** What CPUID announces: these, and VME, PVI, TSD, DE, PSE, PAE, MCE, PGE, PCE, OSFXSR, OSXMMEXCPT. */
const CR4_VALID: u64 = 0x7ff | CR4_UMIP | CR4_FSGSBASE | CR4_OSXSAVE | CR4_PCIDE | CR4_SMEP | CR4_SMAP | CR4_PKE | CR4_PKS;
/** Bits whose change loads the PDPTE registers anew (SDM 3A, 4.4.1). */
const CR0_PDPTE: u64 = CR0_PG | CR0_CD | CR0_NW;
const CR4_PDPTE: u64 = CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP;
/** MOV to CR3 while CR4.PCIDE is set: translations of the PCID stay (SDM 3A, 4.10.4.1). */
const CR3_NO_FLUSH: u64 = 0x8000000000000000;
const EFER_LME: u64 = 0x100;
const EFER_LMA: u64 = 0x400;

export function readControl(cpu: usize, index: i32): i64 {
  switch (index) {
    case 0: return load<u64>(cpu, CR0);
    case 2: return load<u64>(cpu, CR2);
    case 3: return load<u64>(cpu, CR3);
    case 4: return load<u64>(cpu, CR4);
    case 8: return readTaskPriority();
    default:
      raiseUndefined(cpu);
      return 0;
  }
}

/** MOV to a control register, at CPL 0. Returns LEAVE_NEXT where mode or translations may have changed. */
export function writeControl(cpu: usize, index: i32, value: i64): i32 {
  if (index == 0) return writeCr0(cpu, value);
  if (index == 2) {
    store<u64>(cpu, value, CR2);
    return 0;
  }
  if (index == 3) {
    return writeCr3(cpu, value);
  }
  if (index == 4) return writeCr4(cpu, value);
  if (index == 8) {
    if (<u64>value > 15) return raiseGeneralProtection(cpu, 0);
    writeTaskPriority(<i32>value);
    store<u32>(cpu, 1, EVENTS);
    return LEAVE_NEXT;
  }
  return raiseUndefined(cpu);
}

/** PAE paging outside long mode keeps its top level in registers. */
export function usesPdptes(cpu: usize): bool {
  return (load<u64>(cpu, CR0) & CR0_PG) != 0 && (load<u64>(cpu, CR4) & CR4_PAE) != 0 && (load<u64>(cpu, EFER) & EFER_LMA) == 0;
}

function writeCr3(cpu: usize, value: u64): i32 {
  const keeps = (load<u64>(cpu, CR4) & CR4_PCIDE) != 0 && (value & CR3_NO_FLUSH) != 0;
  if ((load<u64>(cpu, CR4) & CR4_PCIDE) != 0) value &= ~CR3_NO_FLUSH;
  // Bit 20 is missing from the mask while A20 is off.
  if ((value & ~(load<u64>(cpu, PHYSICAL_MASK) | 0x1fffff)) != 0) return raiseGeneralProtection(cpu, 0);
  const old = load<u64>(cpu, CR3);
  store<u64>(cpu, value, CR3);
  if (usesPdptes(cpu) && loadPdptes(cpu) != 0) {
    store<u64>(cpu, old, CR3);
    return 1;
  }
  // The TLB does not tell PCIDs apart: only what stays in one address space can be kept.
  if (!keeps || value != old) flushTlbNonGlobal(cpu);
  if (!keeps) dropShadowsOf(cpu, value);
  return LEAVE_NEXT;
}

/** INVPCID, at CPL 0 (SDM 2A, INVPCID). */
export function invalidatePcid(cpu: usize, type: i64, low: i64, linear: i64): i32 {
  const single = <u64>type < 2;
  if (<u64>type > 3 || (<u64>low >> 12) != 0) return raiseGeneralProtection(cpu, 0);
  if (single && low != 0 && (load<u64>(cpu, CR4) & CR4_PCIDE) == 0) return raiseGeneralProtection(cpu, 0);
  if (type == 0 && !isCanonical(linear)) return raiseGeneralProtection(cpu, 0);
  if (type == 2) flushTlb(cpu);
  else if (type == 0) {
    flushPage(cpu, linear);
    dropShadowPage(cpu, low, linear);
  } else {
    flushTlbNonGlobal(cpu);
    if (type == 1) dropShadowsOf(cpu, low);
    else dropShadows(cpu);
  }
  return LEAVE_NEXT;
}

/** RDPKRU, WRPKRU (SDM 2B): #UD unless CR4.PKE is set; ECX must be 0. */
export function readProtectionKeys(cpu: usize): i32 {
  if ((load<u64>(cpu, CR4) & CR4_PKE) == 0) return raiseUndefined(cpu);
  if (load<u32>(cpu, RCX) != 0) return raiseGeneralProtection(cpu, 0);
  store<u64>(cpu, load<u32>(cpu, PKRU), RAX);
  store<u64>(cpu, 0, RDX);
  return 0;
}

export function writeProtectionKeys(cpu: usize): i32 {
  if ((load<u64>(cpu, CR4) & CR4_PKE) == 0) return raiseUndefined(cpu);
  if ((load<u32>(cpu, RCX) | load<u32>(cpu, RDX)) != 0) return raiseGeneralProtection(cpu, 0);
  const value = load<u32>(cpu, RAX);
  if (value == load<u32>(cpu, PKRU)) return 0;
  store<u32>(cpu, value, PKRU);
  flushAccessRights(cpu);
  return 0;
}

function writeCr0(cpu: usize, value: u64): i32 {
  if ((value >> 32) != 0) return raiseGeneralProtection(cpu, 0);
  if ((value & CR0_PG) != 0 && (value & CR0_PE) == 0) return raiseGeneralProtection(cpu, 0);
  if ((value & CR0_NW) != 0 && (value & CR0_CD) == 0) return raiseGeneralProtection(cpu, 0);
  const old = load<u64>(cpu, CR0);
  let efer = load<u64>(cpu, EFER);
  // ET is always set; reserved bits read as written zero.
  value = (value & 0xe005003f) | 0x10;
  if ((value & CR0_PG) != 0 && (old & CR0_PG) == 0 && (efer & EFER_LME) != 0) {
    if ((load<u64>(cpu, CR4) & CR4_PAE) == 0) return raiseGeneralProtection(cpu, 0);
    if ((load<u32>(segment(cpu, SEG_CS), SEG_ATTRIBUTES) & ATTR_L) != 0) return raiseGeneralProtection(cpu, 0);
    // A 16-bit task state segment does not exist in long mode (SDM 3A, 10.8.5).
    if ((load<u32>(segment(cpu, SEG_TR), SEG_ATTRIBUTES) & 8) == 0) return raiseGeneralProtection(cpu, 0);
    efer |= EFER_LMA;
  } else if ((value & CR0_PG) == 0 && (old & CR0_PG) != 0) {
    if (isLong(cpu) && (load<u32>(segment(cpu, SEG_CS), SEG_ATTRIBUTES) & ATTR_L) != 0) return raiseGeneralProtection(cpu, 0);
    if ((load<u64>(cpu, CR4) & CR4_PCIDE) != 0) return raiseGeneralProtection(cpu, 0);
    efer &= ~EFER_LMA;
  }
  store<u64>(cpu, value, CR0);
  if (((old ^ value) & CR0_PDPTE) != 0 && (efer & EFER_LMA) == 0 && usesPdptes(cpu) && loadPdptes(cpu) != 0) {
    store<u64>(cpu, old, CR0);
    return 1;
  }
  store<u64>(cpu, efer, EFER);
  updateMode(cpu);
  // What a segment allows at once depends on whether its type counts.
  if (((old ^ value) & CR0_PE) != 0) updateSegmentCaches(cpu);
  if (((old ^ value) & (CR0_PG | CR0_PE | 0x10000 | 0x40000)) != 0) flushTlb(cpu);
  updateTlbBase(cpu);
  return LEAVE_NEXT;
}

export function setCr0(cpu: usize, value: i64): i32 {
  return writeCr0(cpu, value);
}

function writeCr4(cpu: usize, value: u64): i32 {
  if ((value & ~CR4_VALID) != 0) return raiseGeneralProtection(cpu, 0);
  const old = load<u64>(cpu, CR4);
  if (isLong(cpu) && (value & CR4_PAE) == 0) return raiseGeneralProtection(cpu, 0);
  if ((value & ~old & CR4_PCIDE) != 0 && (!isLong(cpu) || (load<u64>(cpu, CR3) & 0xfff) != 0)) return raiseGeneralProtection(cpu, 0);
  store<u64>(cpu, value, CR4);
  if (((old ^ value) & CR4_PDPTE) != 0 && usesPdptes(cpu) && loadPdptes(cpu) != 0) {
    store<u64>(cpu, old, CR4);
    return 1;
  }
  flushTlb(cpu);
  updateTlbBase(cpu);
  return LEAVE_NEXT;
}

/** DR4 and DR5 are DR6 and DR7 unless CR4.DE is set. */
function debugIndex(cpu: usize, index: i32): i32 {
  if (index == 4 || index == 5) return (load<u64>(cpu, CR4) & 8) != 0 ? -1 : index + 2;
  return index < 8 ? index : -1;
}

function debugAccess(cpu: usize): i32 {
  if ((load<u64>(cpu, DR7) & 0x2000) == 0) return 0;
  // General detect: #DB before the access (SDM 3B, 18.2.4). For #DB the address field holds bits of DR6.
  store<u64>(cpu, 0x2000, FAULT_ADDRESS);
  return raiseFault(cpu, VECTOR_DB, 0, 0);
}

export function readDebug(cpu: usize, index: i32): i64 {
  const n = debugIndex(cpu, index);
  if (n < 0) {
    raiseUndefined(cpu);
    return 0;
  }
  if (debugAccess(cpu) != 0) return 0;
  return load<u64>(cpu + n * 8, DR);
}

export function writeDebug(cpu: usize, index: i32, value: i64): i32 {
  const n = debugIndex(cpu, index);
  if (n < 0) return raiseUndefined(cpu);
  if (debugAccess(cpu) != 0) return 1;
  if (n >= 6 && (<u64>value >> 32) != 0) return raiseGeneralProtection(cpu, 0);
  if (n == 6) store<u64>(cpu, (<u64>value & 0xe00f) | 0xffff0ff0, DR6);
  else if (n == 7) {
    store<u64>(cpu, (<u64>value & 0xffff2bff) | 0x400, DR7);
  } else store<u64>(cpu + n * 8, value, DR);
  updateBreakpoints(cpu);
  flushTlb(cpu);
  return LEAVE_NEXT;
}

export function invalidatePage(cpu: usize, linear: i64): i32 {
  flushPage(cpu, linear);
  dropShadowPage(cpu, load<u64>(cpu, CR3), linear);
  return LEAVE_NEXT;
}

export function clearInterrupts(cpu: usize): i32 {
  const flag = interruptFlag(cpu);
  if (flag == 0) return raiseGeneralProtection(cpu, 0);
  store<u32>(cpu, load<u32>(cpu, EFLAGS) & ~flag, EFLAGS);
  return 0;
}

export function setInterrupts(cpu: usize): i32 {
  const flag = interruptFlag(cpu);
  const flags = load<u32>(cpu, EFLAGS);
  if (flag == 0 || (flag == FLAG_VIF && (flags & FLAG_VIP) != 0)) return raiseGeneralProtection(cpu, 0);
  if (flag == FLAG_VIF) {
    store<u32>(cpu, flags | FLAG_VIF, EFLAGS);
    return 0;
  }
  if ((flags & FLAG_IF) != 0) return 0;
  store<u32>(cpu, flags | FLAG_IF, EFLAGS);
  // What arrives from here on is looked at behind the block. Only an interrupt that waits already needs the block to be left;
  // whatever else ends it here, a miss or a kick from another thread, finds out by the address.
  if (interruptPending() == 0) {
    store<u32>(cpu, 1, STI_DONE);
    store<u64>(cpu, nextIp(cpu), STI_NEXT);
    return 0;
  }
  store<u32>(cpu, 1, SHADOW);
  return LEAVE_NEXT;
}

export function halt(cpu: usize): i32 {
  return load<u32>(cpu, CPL) != 0 ? raiseGeneralProtection(cpu, 0) : LEAVE_HALT;
}

/** STAC, CLAC: the flag decides which TLB set the kernel uses. */
export function setAlignmentFlag(cpu: usize, value: i32): i32 {
  if (load<u32>(cpu, CPL) != 0) return raiseUndefined(cpu);
  const flags = load<u32>(cpu, EFLAGS);
  store<u32>(cpu, value != 0 ? flags | FLAG_AC : flags & ~FLAG_AC, EFLAGS);
  updateTlbBase(cpu);
  return 0;
}

export function timeStamp(cpu: usize): u64 {
  return <u64><i64>hostTsc() + load<u64>(cpu, TSC_OFFSET);
}

/** RDTSC, RDTSCP (`aux` 1). */
export function readTimeStamp(cpu: usize, aux: i32): i32 {
  if (load<u32>(cpu, CPL) != 0 && (load<u64>(cpu, CR4) & 4) != 0) return raiseGeneralProtection(cpu, 0);
  const value = timeStamp(cpu);
  store<u64>(cpu, <u32>value, RAX);
  store<u64>(cpu, value >> 32, RDX);
  if (aux != 0) store<u64>(cpu, <u32>load<u64>(cpu, MSR_TSC_AUX), RCX);
  return 0;
}

export function randomBits(cpu: usize): i64 {
  return <i64>((<u64><u32>random32() << 32) | <u64><u32>random32());
}

/** PAUSE, the hint that a loop waits (SDM 2B, PAUSE), is counted for who runs the processor. */
export function notePause(cpu: usize): void {
  store<u32>(cpu, load<u32>(cpu, PAUSES) + 1, PAUSES);
}

/** Power-on state (Intel SDM 3A, table 10-1). The block is all zero but for what identifies the vCPU. */
export function resetVcpu(cpu: usize): void {
  store<u64>(cpu, 0x100000000, CONST_4G);
  store<u64>(cpu, u64.MAX_VALUE >> 24, PHYSICAL_MASK);
  store<u64>(cpu, 1, FLAGS_RESULT);
  // A result of 1 has PF clear, ZF clear: no status flag is set.
  store<u32>(cpu, 2, EFLAGS);
  store<u64>(cpu, 0xfff0, RIP);
  store<u64>(cpu, 0x60000010, CR0);
  store<u64>(cpu, SIGNATURE, GPR + 16);
  for (let index: u32 = 0; index < 6; index++) setSegment(cpu, index, 0, 0, 0xffff, 0x93);
  setSegment(cpu, SEG_CS, 0xf000, 0xffff0000, 0xffff, 0x9b);
  setSegment(cpu, SEG_LDTR, 0, 0, 0xffff, 0x82);
  setSegment(cpu, SEG_TR, 0, 0, 0xffff, 0x8b);
  store<u32>(cpu, 0xffff, GDTR_LIMIT);
  store<u32>(cpu, 0xffff, IDTR_LIMIT);
  store<u64>(cpu, 0xffff0ff0, DR6);
  store<u64>(cpu, 0x400, DR7);
  store<u64>(cpu, 0x0007040600070406, MSR_PAT);
  store<u64>(cpu, 1, MSR_MISC_ENABLE);
  store<u64>(cpu, 0, MSR_MTRR_DEF_TYPE);
  store<u16>(cpu, 0x40, X87_CONTROL);
  store<u16>(cpu, 0x5555, X87_TAGS);
  store<u32>(cpu, 0x1f80, MXCSR);
  store<u64>(cpu, 1, XCR0);
  updateMode(cpu);
  updateTlbBase(cpu);
  flushTlb(cpu);
}

/** After loading stored state: derived fields and fixed slots are made consistent whatever was stored. */
export function sanitizeState(cpu: usize): void {
  store<u64>(cpu, 0, 128);
  store<u64>(cpu, 0x100000000, CONST_4G);
  store<u32>(cpu, (load<u32>(cpu, EFLAGS) & 0x3f7700) | 2, EFLAGS);
  store<u64>(cpu, load<u64>(cpu, PHYSICAL_MASK) | 0xfffff, PHYSICAL_MASK);
  store<u32>(cpu, 0, PARAVIRT_EOI_OFFER);
  updateSegmentCaches(cpu);
  updateBreakpoints(cpu);
}
