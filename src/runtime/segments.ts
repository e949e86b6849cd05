// Segment registers, descriptors, descriptor-table registers (Intel SDM 3A, chapters 3 and 5).

import {
  CPL, CR0, EFER, EFLAGS, EVENTS, FAULT_PENDING, FAULT_VECTOR, GDTR_BASE, GDTR_LIMIT, IDTR_BASE, IDTR_LIMIT, MODE, MODE_CODE16, MODE_CODE32, MODE_CODE64, MODE_CODE_MASK, MODE_LONG,
  MODE_REAL, MODE_V86, SEGMENTS, SEGMENT_BYTES, SEG_ATTRIBUTES, SEG_BASE, SEG_CS, SEG_LDTR, SEG_LIMIT, SEG_SELECTOR, SEG_SS, SEG_TR, SHADOW,
  VECTOR_GP, VECTOR_NP, VECTOR_PF, VECTOR_SS,
} from "../isa/x86/state/layout.ts";
import { raiseFault, raiseGeneralProtection } from "./faults.ts";
import { FLAG_VM } from "./flags.ts";
import { setSystemBits } from "./locked.ts";
import { loadLinear, loadSystem, storeLinear, updateSegmentCache } from "./memory.ts";
import { isCanonical, updateTlbBase } from "./paging.ts";

export const ATTR_TYPE: u32 = 15;
/** Of a TSS. */
export const TYPE_BUSY: u32 = 2;
export const ATTR_S: u32 = 0x10;
export const ATTR_P: u32 = 0x80;
export const ATTR_L: u32 = 0x2000;
export const ATTR_DB: u32 = 0x4000;
export const ATTR_UNUSABLE: u32 = 0x10000;

const CR0_PE: u64 = 1;
const EFER_LMA: u64 = 0x400;

// @ts-ignore: decorator
@inline export function segment(cpu: usize, index: u32): usize {
  return cpu + SEGMENTS + index * SEGMENT_BYTES;
}
export function isReal(cpu: usize): bool {
  return (load<u32>(cpu, MODE) & MODE_REAL) != 0;
}
export function isV86(cpu: usize): bool {
  return (load<u32>(cpu, MODE) & MODE_V86) != 0;
}
export function isLong(cpu: usize): bool {
  return (load<u32>(cpu, MODE) & MODE_LONG) != 0;
}
export function isCode64(cpu: usize): bool {
  return (load<u32>(cpu, MODE) & MODE_CODE_MASK) == MODE_CODE64;
}
/** Neither real-address nor virtual-8086 mode. */
export function isProtected(cpu: usize): bool {
  return (load<u32>(cpu, MODE) & (MODE_REAL | MODE_V86)) == 0;
}

/** MODE from CS, CR0, EFER and VM. */
export function updateMode(cpu: usize): void {
  const attributes = load<u32>(segment(cpu, SEG_CS), SEG_ATTRIBUTES);
  const long = (load<u64>(cpu, EFER) & EFER_LMA) != 0;
  let mode: u32;
  if (long && (attributes & ATTR_L) != 0) mode = MODE_CODE64;
  else mode = (attributes & ATTR_DB) != 0 ? MODE_CODE32 : MODE_CODE16;
  if ((load<u64>(cpu, CR0) & CR0_PE) == 0) mode |= MODE_REAL;
  else if ((load<u32>(cpu, EFLAGS) & FLAG_VM) != 0) mode |= MODE_V86;
  if (long) mode |= MODE_LONG;
  store<u32>(cpu, mode, MODE);
}

export function setCpl(cpu: usize, cpl: u32): void {
  store<u32>(cpu, cpl, CPL);
  updateTlbBase(cpu);
}

/** Last descriptor read. */
export let descriptorLow: u32 = 0;
export let descriptorHigh: u32 = 0;
/** Upper half of a 16-byte system descriptor in long mode. */
export let descriptorUpper: u32 = 0;

/** Linear address of a selector's descriptor, or 0 when it lies outside its table. */
export let descriptorAddress: u64 = 0;

/**
 * Reads the descriptor of a selector into descriptorLow/High. 0; or LEAVE_FAULT with `vector`(selector) when the
 * selector is outside its table, or with the fault that reading met.
 */
export function readDescriptor(cpu: usize, selector: u32, vector: u32): i32 {
  let base: u64;
  let limit: u32;
  if ((selector & 4) != 0) {
    const ldt = segment(cpu, SEG_LDTR);
    if ((load<u32>(ldt, SEG_ATTRIBUTES) & ATTR_UNUSABLE) != 0) return raiseFault(cpu, vector, 1, selector & 0xfffc);
    base = load<u64>(ldt, SEG_BASE);
    limit = load<u32>(ldt, SEG_LIMIT);
  } else {
    base = load<u64>(cpu, GDTR_BASE);
    limit = load<u32>(cpu, GDTR_LIMIT);
  }
  const offset = selector & 0xfff8;
  if (offset + 7 > limit) return raiseFault(cpu, vector, 1, selector & 0xfffc);
  descriptorAddress = base + offset;
  const raw = loadSystem(cpu, descriptorAddress, 8);
  if (load<u32>(cpu, FAULT_PENDING) != 0) return 1;
  descriptorLow = <u32>raw;
  descriptorHigh = <u32>(raw >> 32);
  return 0;
}

/** The second half of a long-mode system descriptor. */
export function readUpper(cpu: usize): i32 {
  descriptorUpper = <u32>loadSystem(cpu, descriptorAddress + 8, 4);
  return load<u32>(cpu, FAULT_PENDING) != 0 ? 1 : 0;
}

export function descriptorBase(): u32 {
  return (descriptorLow >> 16) | ((descriptorHigh & 0xff) << 16) | (descriptorHigh & 0xff000000);
}
export function descriptorLimit(): u32 {
  const limit = (descriptorLow & 0xffff) | (descriptorHigh & 0xf0000);
  return (descriptorHigh & 0x800000) != 0 ? (limit << 12) | 0xfff : limit;
}
/** In the access-rights format: descriptor bits 8-15 and 20-23. */
export function descriptorAttributes(): u32 {
  return (descriptorHigh >> 8) & 0xf0ff;
}
export function descriptorDpl(): u32 {
  return (descriptorHigh >> 13) & 3;
}

/** Sets the accessed bit of the descriptor read last, in memory and here. */
export function markAccessed(cpu: usize): i32 {
  if ((descriptorHigh & 0x100) != 0) return 0;
  descriptorHigh |= 0x100;
  setSystemBits(cpu, descriptorAddress + 5, 1);
  return load<u32>(cpu, FAULT_PENDING) != 0 ? 1 : 0;
}

export function setSegment(cpu: usize, index: u32, selector: u32, base: u64, limit: u32, attributes: u32): void {
  const at = segment(cpu, index);
  store<u64>(at, base, SEG_BASE);
  store<u32>(at, limit, SEG_LIMIT);
  store<u32>(at, attributes, SEG_ATTRIBUTES);
  store<u32>(at, selector, SEG_SELECTOR);
  updateSegmentCache(cpu, index);
}

/** Into a segment register from the descriptor read last. */
export function setFromDescriptor(cpu: usize, index: u32, selector: u32): void {
  setSegment(cpu, index, selector, descriptorBase(), descriptorLimit(), descriptorAttributes());
}

/** Real-address and virtual-8086 mode: base = selector * 16. In real mode limit and attributes stay as they were. */
export function loadSegmentReal(cpu: usize, index: u32, selector: u32): void {
  const at = segment(cpu, index);
  if (isV86(cpu)) setSegment(cpu, index, selector, <u64>(selector << 4), 0xffff, 0xf3);
  else {
    store<u64>(at, <u64>(selector << 4), SEG_BASE);
    store<u32>(at, selector, SEG_SELECTOR);
    updateSegmentCache(cpu, index);
  }
}

/** MOV Sreg, POP Sreg and the like for ES, SS, DS, FS, GS (SDM 2B, MOV). 0 or LEAVE_FAULT. */
export function loadSegmentChecked(cpu: usize, index: u32, selector: u32): i32 {
  selector &= 0xffff;
  if (!isProtected(cpu)) {
    loadSegmentReal(cpu, index, selector);
    return 0;
  }
  const cpl = load<u32>(cpu, CPL);
  if ((selector & 0xfffc) == 0) {
    if (index == SEG_SS && !(isCode64(cpu) && cpl != 3 && (selector & 3) == cpl)) return raiseGeneralProtection(cpu, 0);
    setSegment(cpu, index, selector, 0, 0, ATTR_UNUSABLE | (index == SEG_SS ? cpl << 5 : 0));
    return 0;
  }
  if (readDescriptor(cpu, selector, VECTOR_GP) != 0) return 1;
  const attributes = descriptorAttributes();
  const dpl = descriptorDpl();
  const rpl = selector & 3;
  const error = selector & 0xfffc;
  if (index == SEG_SS) {
    if (rpl != cpl || (attributes & ATTR_S) == 0 || (attributes & 0xa) != 2 || dpl != cpl) return raiseGeneralProtection(cpu, error);
    if ((attributes & ATTR_P) == 0) return raiseFault(cpu, VECTOR_SS, 1, error);
  } else {
    if ((attributes & ATTR_S) == 0 || (attributes & 0xa) == 8) return raiseGeneralProtection(cpu, error);
    const conforming = (attributes & 0xc) == 0xc;
    if (!conforming && (rpl > dpl || cpl > dpl)) return raiseGeneralProtection(cpu, error);
    if ((attributes & ATTR_P) == 0) return raiseFault(cpu, VECTOR_NP, 1, error);
  }
  if (markAccessed(cpu) != 0) return 1;
  setFromDescriptor(cpu, index, selector);
  return 0;
}

/** MOV to and POP of a segment register: CS is #UD at decode time; SS opens an interrupt shadow. */
export function moveToSegment(cpu: usize, index: i32, selector: i32): i32 {
  const result = loadSegmentChecked(cpu, <u32>index, <u32>selector);
  if (result != 0) return result;
  if (index == SEG_SS) {
    store<u32>(cpu, 2, SHADOW);
    store<u32>(cpu, 1, EVENTS);
  }
  return 0;
}

export function readSelector(cpu: usize, index: i32): i32 {
  return load<u32>(segment(cpu, <u32>index), SEG_SELECTOR);
}

export function lldt(cpu: usize, selectorArgument: i32): i32 {
  const selector = <u32>selectorArgument & 0xffff;
  if ((selector & 0xfffc) == 0) {
    setSegment(cpu, SEG_LDTR, selector, 0, 0, ATTR_UNUSABLE);
    return 0;
  }
  if ((selector & 4) != 0) return raiseGeneralProtection(cpu, selector & 0xfffc);
  if (readDescriptor(cpu, selector, VECTOR_GP) != 0) return 1;
  if ((descriptorAttributes() & 0x1f) != 2) return raiseGeneralProtection(cpu, selector & 0xfffc);
  if ((descriptorAttributes() & ATTR_P) == 0) return raiseFault(cpu, VECTOR_NP, 1, selector & 0xfffc);
  let base: u64 = descriptorBase();
  if (isLong(cpu)) {
    if (readUpper(cpu) != 0) return 1;
    base |= <u64>descriptorUpper << 32;
    if (!isCanonical(base)) return raiseGeneralProtection(cpu, selector & 0xfffc);
  }
  setSegment(cpu, SEG_LDTR, selector, base, descriptorLimit(), descriptorAttributes());
  return 0;
}

export function ltr(cpu: usize, selectorArgument: i32): i32 {
  const selector = <u32>selectorArgument & 0xffff;
  if ((selector & 0xfffc) == 0) return raiseGeneralProtection(cpu, 0);
  if ((selector & 4) != 0) return raiseGeneralProtection(cpu, selector & 0xfffc);
  if (readDescriptor(cpu, selector, VECTOR_GP) != 0) return 1;
  const type = descriptorAttributes() & 0x1f;
  if (type != 9 && (type != 1 || isLong(cpu))) return raiseGeneralProtection(cpu, selector & 0xfffc);
  if ((descriptorAttributes() & ATTR_P) == 0) return raiseFault(cpu, VECTOR_NP, 1, selector & 0xfffc);
  let base: u64 = descriptorBase();
  if (isLong(cpu)) {
    if (readUpper(cpu) != 0) return 1;
    base |= <u64>descriptorUpper << 32;
    if (!isCanonical(base)) return raiseGeneralProtection(cpu, selector & 0xfffc);
  }
  const before = setSystemBits(cpu, descriptorAddress + 5, TYPE_BUSY);
  if (load<u32>(cpu, FAULT_PENDING) != 0) return 1;
  // Another processor was faster.
  if ((before & TYPE_BUSY) != 0) return raiseGeneralProtection(cpu, selector & 0xfffc);
  descriptorHigh |= TYPE_BUSY << 8;
  setSegment(cpu, SEG_TR, selector, base, descriptorLimit(), descriptorAttributes());
  return 0;
}

/** LGDT, LIDT: `which` 0 GDT, 1 IDT; operand size 16 (24-bit base), 32, 64. */
export function loadTable(cpu: usize, linear: i64, which: i32, size: i32): i32 {
  const limit = <u32>loadLinear(cpu, linear, 2);
  if (load<u32>(cpu, FAULT_PENDING) != 0) return 1;
  let base = loadLinear(cpu, <u64>linear + 2, size == 64 ? 8 : 4);
  if (load<u32>(cpu, FAULT_PENDING) != 0) return 1;
  if (size == 16) base &= 0xffffff;
  if (size == 64 && !isCanonical(base)) return raiseGeneralProtection(cpu, 0);
  store<u64>(cpu + (which == 0 ? GDTR_BASE : IDTR_BASE), base);
  store<u32>(cpu + (which == 0 ? GDTR_LIMIT : IDTR_LIMIT), limit);
  return 0;
}

/** SGDT, SIDT: 2 bytes of limit, then 4 or 8 of base. */
export function storeTable(cpu: usize, linear: i64, which: i32, size: i32): i32 {
  storeLinear(cpu, linear, 2, load<u32>(cpu + (which == 0 ? GDTR_LIMIT : IDTR_LIMIT)));
  if (load<u32>(cpu, FAULT_PENDING) != 0) return 1;
  storeLinear(cpu, <u64>linear + 2, size == 64 ? 8 : 4, load<u64>(cpu + (which == 0 ? GDTR_BASE : IDTR_BASE)));
  return load<u32>(cpu, FAULT_PENDING) != 0 ? 1 : 0;
}

/** Access check of LAR, LSL, VERR, VERW; true with the descriptor read. A page fault of the table read stays pending. */
function inspect(cpu: usize, selector: u32): bool {
  if ((selector & 0xfffc) == 0) return false;
  if (readDescriptor(cpu, selector, VECTOR_GP) != 0) {
    if (load<u32>(cpu, FAULT_VECTOR) != VECTOR_PF) store<u32>(cpu, 0, FAULT_PENDING);
    return false;
  }
  const attributes = descriptorAttributes();
  const conforming = (attributes & ATTR_S) != 0 && (attributes & 0xc) == 0xc;
  const rpl = selector & 3;
  const dpl = descriptorDpl();
  return conforming || (rpl <= dpl && load<u32>(cpu, CPL) <= dpl);
}

/** LAR: the access-rights word, bit 63 set when valid. */
export function loadAccessRights(cpu: usize, selector: i32): i64 {
  if (!inspect(cpu, <u32>selector & 0xffff)) return 0;
  const type = descriptorAttributes() & 0x1f;
  if ((type & 0x10) == 0) {
    const valid = isLong(cpu) ? type == 2 || type == 9 || type == 11 || type == 12 : type == 1 || type == 2 || type == 3 || type == 4 || type == 5 || type == 9 || type == 11 || type == 12;
    if (!valid) return 0;
  }
  return <i64>((<u64>1 << 63) | (descriptorHigh & 0xf0ff00));
}

/** LSL: the limit, bit 63 set when valid. */
export function loadSegmentLimit(cpu: usize, selector: i32): i64 {
  if (!inspect(cpu, <u32>selector & 0xffff)) return 0;
  const type = descriptorAttributes() & 0x1f;
  if ((type & 0x10) == 0) {
    const valid = isLong(cpu) ? type == 2 || type == 9 || type == 11 : type == 1 || type == 2 || type == 3 || type == 9 || type == 11;
    if (!valid) return 0;
  }
  return <i64>((<u64>1 << 63) | descriptorLimit());
}

/** VERR (write 0), VERW (write 1): 1 when the segment is readable or writable. */
export function verifySegment(cpu: usize, selector: i32, write: i32): i32 {
  if (!inspect(cpu, <u32>selector & 0xffff)) return 0;
  const attributes = descriptorAttributes();
  if ((attributes & ATTR_S) == 0) return 0;
  const code = (attributes & 8) != 0;
  const rw = (attributes & 2) != 0;
  return write != 0 ? <i32>(!code && rw) : <i32>(!code || rw);
}

