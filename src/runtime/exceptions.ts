// Delivery of exceptions and interrupts (Intel SDM 3A, chapter 6; real mode chapter 20).

import {
  CPL, CR2, EFLAGS, FAULT_ADDRESS, FAULT_ERROR, FAULT_HAS_ERROR, FAULT_PENDING, FAULT_VECTOR, HALTED, IDTR_BASE, IDTR_LIMIT, LEAVE_RESUME, LEAVE_SHUTDOWN, MSR_DEBUGCTL, NMI_BLOCKED, PENDING_DEBUG, DR6, DR7, RIP,
  RSP, SEG_ATTRIBUTES, SEG_BASE, SEG_CS, SEG_DS, SEG_ES, SEG_FS, SEG_GS, SEG_LIMIT, SEG_SELECTOR, SEG_SS, SEG_TR, SHADOW, STACK_MASK, STEP, STEP_DOES_NOT, VECTOR_DB,
  VECTOR_DF, VECTOR_FERR, VECTOR_GP, VECTOR_NMI, VECTOR_NP, VECTOR_PF, VECTOR_SS, VECTOR_TS,
} from "../isa/x86/state/layout.ts";
import { raiseFault } from "./faults.ts";
import { FLAG_AC, FLAG_IF, FLAG_IOPL, FLAG_NT, FLAG_RF, FLAG_TF, FLAG_VIF, FLAG_VM, readFlags } from "./flags.ts";
import { checkSegment, loadLinear, loadSystem, probeLinear, storeLinear, storeSupervisor } from "./memory.ts";
import {
  ATTR_DB, ATTR_L, ATTR_P, ATTR_S, ATTR_UNUSABLE, descriptorAttributes, descriptorBase, descriptorDpl, descriptorLimit, isLong, isReal, isV86,
  loadSegmentReal, markAccessed, readDescriptor, segment, setFromDescriptor, setSegment, updateMode,
} from "./segments.ts";
import { nextIp } from "./position.ts";
import { TASK_CALL, taskSwitch } from "./tasks.ts";
import { updateTlbBase } from "./paging.ts";
import { INT_FAULTS, INT_TO_8086, INT_TO_PROTECTED, isVirtual, softwareInterruptTarget } from "./virtual-interrupts.ts";

/** Where a delivery comes from: decides about privilege checks, EXT and the pushed RF. */
const SOURCE_FAULT: i32 = 0;
const SOURCE_EXTERNAL: i32 = 1;
const SOURCE_SOFTWARE: i32 = 2;

const DR6_GENERAL_DETECT: u64 = 0x2000;
const DR7_GENERAL_DETECT: u64 = 0x2000;
const DEBUGCTL_LBR_BTF: u64 = 3;
const ERROR_EXT: u32 = 1;
const ERROR_IDT: u32 = 2;

// @ts-ignore: decorator
@inline function faulted(cpu: usize): bool {
  return load<u32>(cpu, FAULT_PENDING) != 0;
}

/** Real-address mode: through the vector table, a far call with flags (SDM 3A, 20.1.4). */
function deliverReal(cpu: usize, vector: u32): i32 {
  if (vector * 4 + 3 > load<u32>(cpu, IDTR_LIMIT)) return raiseFault(cpu, VECTOR_GP, 0, 0);
  const entry = <u32>loadSystem(cpu, load<u64>(cpu, IDTR_BASE) + vector * 4, 4);
  if (faulted(cpu)) return 1;
  return enter8086(cpu, entry, readFlags(cpu), FLAG_IF | FLAG_TF | FLAG_AC | FLAG_RF);
}

/**
 * INT n of virtual-8086 mode by the vector table at linear 0, without leaving the mode (SDM 3B, table 20-2, methods 5 and 6): where
 * IOPL is below 3 the program sees VIF as IF.
 */
function deliverVirtual(cpu: usize, vector: u32): i32 {
  const entry = <u32>loadLinear(cpu, vector * 4, 4);
  if (faulted(cpu)) return 1;
  const flags = readFlags(cpu);
  if (!isVirtual(cpu)) return enter8086(cpu, entry, flags, FLAG_IF | FLAG_TF | FLAG_RF);
  const seen = (flags & ~FLAG_IF) | FLAG_IOPL | ((flags & FLAG_VIF) != 0 ? FLAG_IF : 0);
  return enter8086(cpu, entry, seen, FLAG_VIF | FLAG_TF | FLAG_RF);
}

/** To a handler of 8086 code, CS:IP in `entry`: pushes 16 bits of flags, CS and IP, and clears flags. */
function enter8086(cpu: usize, entry: u32, flags: u32, cleared: u32): i32 {
  const mask = load<u32>(cpu, STACK_MASK);
  const base = load<u64>(segment(cpu, SEG_SS), SEG_BASE);
  const sp = load<u32>(cpu, RSP);
  const cs = segment(cpu, SEG_CS);
  for (let down: u32 = 2; down <= 6; down += 2) if (checkSegment(cpu, SEG_SS, (sp - down) & mask, 2, 1) != 0) return 1;
  storeLinear(cpu, base + ((sp - 2) & mask), 2, flags & 0xffff);
  if (faulted(cpu)) return 1;
  storeLinear(cpu, base + ((sp - 4) & mask), 2, load<u32>(cs, SEG_SELECTOR));
  if (faulted(cpu)) return 1;
  storeLinear(cpu, base + ((sp - 6) & mask), 2, load<u64>(cpu, RIP) & 0xffff);
  if (faulted(cpu)) return 1;
  store<u32>(cpu, (sp & ~mask) | ((sp - 6) & mask), RSP);
  store<u32>(cpu, load<u32>(cpu, EFLAGS) & ~cleared, EFLAGS);
  loadSegmentReal(cpu, SEG_CS, entry >> 16);
  store<u64>(cpu, entry & 0xffff, RIP);
  updateMode(cpu);
  return 0;
}

/** Stack pointer for a privilege level or an interrupt stack, from the 64-bit TSS. */
export function stackFromTss64(cpu: usize, offset: u32): u64 {
  const tr = segment(cpu, SEG_TR);
  if (offset + 7 > load<u32>(tr, SEG_LIMIT)) {
    raiseFault(cpu, VECTOR_TS, 1, load<u32>(tr, SEG_SELECTOR) & 0xfffc);
    return 0;
  }
  return loadSystem(cpu, load<u64>(tr, SEG_BASE) + offset, 8);
}

function isCanonical(value: u64): bool {
  return <u64>((<i64>value << 16) >> 16) == value;
}

/** Adds EXT to the selector error code of the fault that is pending; 1. */
function noteExternal(cpu: usize, ext: u32): i32 {
  if (load<u32>(cpu, FAULT_VECTOR) != VECTOR_PF) store<u32>(cpu, load<u32>(cpu, FAULT_ERROR) | ext, FAULT_ERROR);
  return 1;
}

/** Do `bytes` bytes at an offset lie inside a data segment? */
export function hasRoom(attributes: u32, limit: u32, offset: u32, bytes: u32): bool {
  const last = <u64>offset + bytes - 1;
  if ((attributes & 4) != 0) return offset > limit && last <= ((attributes & ATTR_DB) != 0 ? <u64>0xffffffff : 0xffff);
  return last <= <u64>limit || limit == 0xffffffff;
}

function deliverLong(cpu: usize, vector: u32, source: i32, hasError: bool, error: u32): i32 {
  const ext: u32 = source == SOURCE_SOFTWARE ? 0 : ERROR_EXT;
  const gateError = (vector << 3) | ERROR_IDT | ext;
  if (vector * 16 + 15 > load<u32>(cpu, IDTR_LIMIT)) return raiseFault(cpu, VECTOR_GP, 1, gateError);
  const at = load<u64>(cpu, IDTR_BASE) + vector * 16;
  const low = loadSystem(cpu, at, 8);
  if (faulted(cpu)) return 1;
  const high = loadSystem(cpu, at + 8, 8);
  if (faulted(cpu)) return 1;
  const type = <u32>(low >> 40) & 0x1f;
  if (type != 14 && type != 15) return raiseFault(cpu, VECTOR_GP, 1, gateError);
  const cpl = load<u32>(cpu, CPL);
  if (source == SOURCE_SOFTWARE && (<u32>(low >> 45) & 3) < cpl) return raiseFault(cpu, VECTOR_GP, 1, gateError);
  if ((<u32>(low >> 47) & 1) == 0) return raiseFault(cpu, VECTOR_NP, 1, gateError);
  const selector = <u32>(low >> 16) & 0xffff;
  const offset = (low & 0xffff) | ((low >> 32) & 0xffff0000) | (high << 32);
  if ((selector & 0xfffc) == 0) return raiseFault(cpu, VECTOR_GP, 1, ext);
  if (readDescriptor(cpu, selector, VECTOR_GP) != 0) return noteExternal(cpu, ext);
  const attributes = descriptorAttributes();
  const dpl = descriptorDpl();
  const error1 = (selector & 0xfffc) | ext;
  if ((attributes & (ATTR_S | 8)) != (ATTR_S | 8) || dpl > cpl) return raiseFault(cpu, VECTOR_GP, 1, error1);
  if ((attributes & ATTR_P) == 0) return raiseFault(cpu, VECTOR_NP, 1, error1);
  if ((attributes & (ATTR_L | ATTR_DB)) != ATTR_L) return raiseFault(cpu, VECTOR_GP, 1, error1);
  const conforming = (attributes & 4) != 0;
  const newCpl = conforming ? cpl : dpl;
  const ist = <u32>(low >> 32) & 7;
  let rsp: u64;
  const change = newCpl < cpl;
  if (ist != 0) rsp = stackFromTss64(cpu, 28 + ist * 8);
  else if (change) rsp = stackFromTss64(cpu, 4 + newCpl * 8);
  else rsp = load<u64>(cpu, RSP);
  if (faulted(cpu)) return noteExternal(cpu, ext);
  if (!isCanonical(rsp)) return raiseFault(cpu, VECTOR_SS, 1, ext);
  rsp &= ~15;
  const bytes: u64 = hasError ? 48 : 40;
  const frame = rsp - bytes;
  if (probeLinear(cpu, frame, <i32>bytes, 1, <i32>(newCpl == 3)) != 0) return 1;
  if (!isCanonical(offset)) return raiseFault(cpu, VECTOR_GP, 1, ext);
  if (markAccessed(cpu) != 0) return 1;

  let flags = readFlags(cpu);
  flags |= resumeFlag(cpu, vector, source);
  const oldCs = load<u32>(segment(cpu, SEG_CS), SEG_SELECTOR);
  const oldSs = load<u32>(segment(cpu, SEG_SS), SEG_SELECTOR);
  const oldRsp = load<u64>(cpu, RSP);
  const oldRip = load<u64>(cpu, RIP);
  let p = frame;
  const user = newCpl == 3;
  if (hasError) {
    pushAt(cpu, p, error, user);
    p += 8;
  }
  pushAt(cpu, p, oldRip, user);
  pushAt(cpu, p + 8, oldCs, user);
  pushAt(cpu, p + 16, flags, user);
  pushAt(cpu, p + 24, oldRsp, user);
  pushAt(cpu, p + 32, oldSs, user);
  store<u64>(cpu, frame, RSP);
  setFromDescriptor(cpu, SEG_CS, (selector & 0xfffc) | newCpl);
  if (change) setSegment(cpu, SEG_SS, newCpl, 0, 0, ATTR_UNUSABLE | (newCpl << 5));
  store<u32>(cpu, newCpl, CPL);
  store<u32>(cpu, load<u32>(cpu, EFLAGS) & ~(FLAG_TF | FLAG_NT | FLAG_RF | FLAG_VM | (type == 14 ? FLAG_IF : 0)), EFLAGS);
  store<u64>(cpu, offset, RIP);
  updateMode(cpu);
  updateTlbBase(cpu);
  return 0;
}

/**
 * RF in the pushed flags: set for faults, but for instruction breakpoints, where the handler says whether to go on
 * (SDM 3B, 18.3.1.1). General detect is the other #DB that is a fault.
 */
function resumeFlag(cpu: usize, vector: u32, source: i32): u32 {
  if (source != SOURCE_FAULT) return 0;
  return vector != VECTOR_DB || (load<u64>(cpu, FAULT_ADDRESS) & DR6_GENERAL_DETECT) != 0 ? FLAG_RF : 0;
}

/** What every #DB does: B0 to B3 of DR6 are this one's, the other bits add up; DR7.GD, LBR and BTF are cleared (SDM 3B, 18.4.1 to 18.4.3). */
function noteDebug(cpu: usize, bits: u64): void {
  store<u64>(cpu, (load<u64>(cpu, DR6) & ~15) | bits, DR6);
  store<u64>(cpu, load<u64>(cpu, DR7) & ~DR7_GENERAL_DETECT, DR7);
  store<u64>(cpu, load<u64>(cpu, MSR_DEBUGCTL) & ~DEBUGCTL_LBR_BTF, MSR_DEBUGCTL);
}

function pushAt(cpu: usize, linear: u64, value: u64, user: bool): void {
  if (user) storeLinear(cpu, linear, 8, value);
  else storeSupervisor(cpu, linear, 8, value);
}

/** SS:ESP for a privilege level from a 32- or 16-bit TSS. */
let tssSs: u32 = 0;
let tssEsp: u32 = 0;
export function stackFromTss(cpu: usize, level: u32): i32 {
  const tr = segment(cpu, SEG_TR);
  const wide = (load<u32>(tr, SEG_ATTRIBUTES) & 8) != 0;
  const offset: u32 = wide ? level * 8 + 4 : level * 4 + 2;
  if (offset + (wide ? 5 : 3) > load<u32>(tr, SEG_LIMIT)) return raiseFault(cpu, VECTOR_TS, 1, load<u32>(tr, SEG_SELECTOR) & 0xfffc);
  const base = load<u64>(tr, SEG_BASE) + offset;
  tssEsp = <u32>loadSystem(cpu, base, wide ? 4 : 2);
  if (faulted(cpu)) return 1;
  tssSs = <u32>loadSystem(cpu, base + (wide ? 4 : 2), 2);
  return faulted(cpu) ? 1 : 0;
}
export function newStackSelector(): u32 { return tssSs; }
export function newStackPointer(): u32 { return tssEsp; }

function deliverProtected(cpu: usize, vector: u32, source: i32, hasError: bool, error: u32): i32 {
  const ext: u32 = source == SOURCE_SOFTWARE ? 0 : ERROR_EXT;
  const gateError = (vector << 3) | ERROR_IDT | ext;
  if (vector * 8 + 7 > load<u32>(cpu, IDTR_LIMIT)) return raiseFault(cpu, VECTOR_GP, 1, gateError);
  const gate = loadSystem(cpu, load<u64>(cpu, IDTR_BASE) + vector * 8, 8);
  if (faulted(cpu)) return 1;
  const type = <u32>(gate >> 40) & 0x1f;
  if (type != 5 && type != 6 && type != 7 && type != 14 && type != 15) return raiseFault(cpu, VECTOR_GP, 1, gateError);
  const cpl = load<u32>(cpu, CPL);
  if (source == SOURCE_SOFTWARE && (<u32>(gate >> 45) & 3) < cpl) return raiseFault(cpu, VECTOR_GP, 1, gateError);
  if ((<u32>(gate >> 47) & 1) == 0) return raiseFault(cpu, VECTOR_NP, 1, gateError);
  const selector = <u32>(gate >> 16) & 0xffff;
  if (type == 5) {
    if (taskSwitch(cpu, selector, TASK_CALL, source == SOURCE_SOFTWARE ? 0 : 1) != 0) return 1;
    if (hasError) {
      const mask = load<u32>(cpu, STACK_MASK);
      const wide = (load<u32>(segment(cpu, SEG_TR), SEG_ATTRIBUTES) & 8) != 0;
      const sp = load<u32>(cpu, RSP);
      const top = (sp - (wide ? 4 : 2)) & mask;
      storeLinear(cpu, load<u64>(segment(cpu, SEG_SS), SEG_BASE) + top, wide ? 4 : 2, error);
      if (faulted(cpu)) return 1;
      store<u32>(cpu, (sp & ~mask) | top, RSP);
    }
    return 0;
  }
  const wide = type >= 14;
  const trap = (type & 1) != 0;
  const offset = wide ? <u32>(gate & 0xffff) | <u32>((gate >> 32) & 0xffff0000) : <u32>(gate & 0xffff);
  if ((selector & 0xfffc) == 0) return raiseFault(cpu, VECTOR_GP, 1, ext);
  if (readDescriptor(cpu, selector, VECTOR_GP) != 0) return noteExternal(cpu, ext);
  const csAttributes = descriptorAttributes();
  const csBase = descriptorBase();
  const csLimit = descriptorLimit();
  const dpl = descriptorDpl();
  const csError = (selector & 0xfffc) | ext;
  if ((csAttributes & (ATTR_S | 8)) != (ATTR_S | 8) || dpl > cpl) return raiseFault(cpu, VECTOR_GP, 1, csError);
  if ((csAttributes & ATTR_P) == 0) return raiseFault(cpu, VECTOR_NP, 1, csError);
  const conforming = (csAttributes & 4) != 0;
  const v86 = isV86(cpu);
  const newCpl = conforming ? cpl : dpl;
  if (v86 && newCpl != 0) return raiseFault(cpu, VECTOR_GP, 1, csError);
  if (markAccessed(cpu) != 0) return 1;
  if (offset > csLimit) return raiseFault(cpu, VECTOR_GP, 1, ext);

  const word: u32 = wide ? 4 : 2;
  let flags = readFlags(cpu);
  flags |= resumeFlag(cpu, vector, source);
  const oldCs = load<u32>(segment(cpu, SEG_CS), SEG_SELECTOR);
  const oldSs = load<u32>(segment(cpu, SEG_SS), SEG_SELECTOR);
  const oldSp = load<u32>(cpu, RSP);
  const oldIp = <u32>load<u64>(cpu, RIP);
  const change = newCpl < cpl || v86;
  let mask = load<u32>(cpu, STACK_MASK);
  let base = load<u64>(segment(cpu, SEG_SS), SEG_BASE);
  let sp = oldSp;
  let ssSelector: u32 = 0;
  if (change) {
    if (stackFromTss(cpu, newCpl) != 0) return noteExternal(cpu, ext);
    ssSelector = tssSs;
    const ssError = (ssSelector & 0xfffc) | ext;
    if ((ssSelector & 0xfffc) == 0) return raiseFault(cpu, VECTOR_TS, 1, ext);
    if (readDescriptor(cpu, ssSelector, VECTOR_TS) != 0) return noteExternal(cpu, ext);
    const ssAttributes = descriptorAttributes();
    if ((ssSelector & 3) != newCpl || descriptorDpl() != newCpl || (ssAttributes & ATTR_S) == 0 || (ssAttributes & 0xa) != 2) return raiseFault(cpu, VECTOR_TS, 1, ssError);
    if ((ssAttributes & ATTR_P) == 0) return raiseFault(cpu, VECTOR_SS, 1, ssError);
    if (markAccessed(cpu) != 0) return 1;
    mask = (ssAttributes & ATTR_DB) != 0 ? 0xffffffff : 0xffff;
    base = descriptorBase();
    sp = tssEsp;
  }
  let words: u32 = 3;
  if (change) words += 2;
  if (v86) words += 4;
  if (hasError) words++;
  const top = (sp - words * word) & mask;
  const user = newCpl == 3;
  const ss = segment(cpu, SEG_SS);
  const room = change ? hasRoom(descriptorAttributes(), descriptorLimit(), top, words * word) : hasRoom(load<u32>(ss, SEG_ATTRIBUTES), load<u32>(ss, SEG_LIMIT), top, words * word);
  if (!room) return raiseFault(cpu, VECTOR_SS, 1, (ssSelector & 0xfffc) | ext);
  if (probeLinear(cpu, <u64>(<u32>base + top), words * word, 1, <i32>user) != 0) return 1;

  let p = <u64>(<u32>base + top);
  if (hasError) { put(cpu, p, word, error, user); p += word; }
  put(cpu, p, word, oldIp, user); p += word;
  put(cpu, p, word, oldCs, user); p += word;
  put(cpu, p, word, flags, user); p += word;
  if (change) {
    put(cpu, p, word, oldSp, user); p += word;
    put(cpu, p, word, oldSs, user); p += word;
    if (v86) {
      put(cpu, p, word, load<u32>(segment(cpu, SEG_ES), SEG_SELECTOR), user); p += word;
      put(cpu, p, word, load<u32>(segment(cpu, SEG_DS), SEG_SELECTOR), user); p += word;
      put(cpu, p, word, load<u32>(segment(cpu, SEG_FS), SEG_SELECTOR), user); p += word;
      put(cpu, p, word, load<u32>(segment(cpu, SEG_GS), SEG_SELECTOR), user);
    }
    setFromDescriptor(cpu, SEG_SS, ssSelector);
  }
  store<u32>(cpu, (sp & ~mask) | top, RSP);
  setSegment(cpu, SEG_CS, (selector & 0xfffc) | newCpl, csBase, csLimit, csAttributes | 1);
  if (v86) {
    setSegment(cpu, SEG_ES, 0, 0, 0, ATTR_UNUSABLE);
    setSegment(cpu, SEG_DS, 0, 0, 0, ATTR_UNUSABLE);
    setSegment(cpu, SEG_FS, 0, 0, 0, ATTR_UNUSABLE);
    setSegment(cpu, SEG_GS, 0, 0, 0, ATTR_UNUSABLE);
  }
  store<u32>(cpu, newCpl, CPL);
  store<u32>(cpu, load<u32>(cpu, EFLAGS) & ~(FLAG_TF | FLAG_NT | FLAG_RF | FLAG_VM | (trap ? 0 : FLAG_IF)), EFLAGS);
  store<u64>(cpu, offset, RIP);
  updateMode(cpu);
  updateTlbBase(cpu);
  return 0;
}

function put(cpu: usize, linear: u64, bytes: u32, value: u32, user: bool): void {
  if (user) storeLinear(cpu, linear, bytes, value);
  else storeSupervisor(cpu, linear, bytes, value);
}

function deliver(cpu: usize, vector: u32, source: i32, hasError: bool, error: u32): i32 {
  if (isReal(cpu)) return deliverReal(cpu, vector);
  return isLong(cpu) ? deliverLong(cpu, vector, source, hasError, error) : deliverProtected(cpu, vector, source, hasError, error);
}

function isContributory(vector: u32): bool {
  return vector == 0 || (vector >= <u32>VECTOR_TS && vector <= <u32>VECTOR_GP);
}

/** Delivers what is pending in FAULT_*, and what goes wrong meanwhile (SDM 3A, table 6-5). RIP is the instruction's. */
export function deliverFault(cpu: usize): i32 {
  let previous: u32 = 255;
  let vector = load<u32>(cpu, FAULT_VECTOR);
  if (vector == VECTOR_FERR) {
    // The instruction waits for the interrupt that FERR# leads to, and is tried again after it.
    store<u32>(cpu, 0, FAULT_PENDING);
    store<u32>(cpu, 1, HALTED);
    return LEAVE_RESUME;
  }
  while (true) {
    let hasError = load<u32>(cpu, FAULT_HAS_ERROR) != 0;
    let error = load<u32>(cpu, FAULT_ERROR);
    if (vector == VECTOR_PF) store<u64>(cpu, load<u64>(cpu, FAULT_ADDRESS), CR2);
    if (vector == VECTOR_DB) noteDebug(cpu, load<u64>(cpu, FAULT_ADDRESS));
    store<u32>(cpu, 0, FAULT_PENDING);
    store<u32>(cpu, 0, SHADOW);
    if (isReal(cpu)) hasError = false;
    if (deliver(cpu, vector, SOURCE_FAULT, hasError, error) == 0) return LEAVE_RESUME;
    const second = load<u32>(cpu, FAULT_VECTOR);
    if (vector == VECTOR_DF) {
      store<u32>(cpu, 0, FAULT_PENDING);
      return LEAVE_SHUTDOWN;
    }
    if ((isContributory(vector) && isContributory(second)) || (vector == VECTOR_PF && (second == VECTOR_PF || isContributory(second)))) {
      previous = vector;
      vector = VECTOR_DF;
      store<u32>(cpu, vector, FAULT_VECTOR);
      store<u32>(cpu, 1, FAULT_HAS_ERROR);
      store<u32>(cpu, 0, FAULT_ERROR);
    } else {
      if (previous != 255 && second == vector) return LEAVE_SHUTDOWN;
      previous = vector;
      vector = second;
    }
  }
}

/** A fault met while delivering an interrupt is delivered in its stead. */
function settle(cpu: usize, result: i32): i32 {
  return result == 0 ? LEAVE_RESUME : deliverFault(cpu);
}

export function deliverInterrupt(cpu: usize, vector: i32): i32 {
  return settle(cpu, deliver(cpu, <u32>vector, SOURCE_EXTERNAL, false, 0));
}

export function deliverNmi(cpu: usize): i32 {
  store<u32>(cpu, 1, NMI_BLOCKED);
  return settle(cpu, deliver(cpu, VECTOR_NMI, SOURCE_EXTERNAL, false, 0));
}

/** #DB after an instruction: `bits` of DR6 (BS for single step, B0 to B3 for data breakpoints, BT). It ends a halt. */
export function deliverTrap(cpu: usize, bits: i32): i32 {
  store<u32>(cpu, 0, HALTED);
  noteDebug(cpu, <u64>bits);
  return settle(cpu, deliver(cpu, VECTOR_DB, SOURCE_EXTERNAL, false, 0));
}

/**
 * INT n, INT3, INTO: `software` 0 for INT1, which is #DB without a privilege check and takes the breakpoints with it that waited
 * behind a load of SS. Returns a LEAVE_ code, never 0.
 */
export function interruptN(cpu: usize, vector: i32, software: i32): i32 {
  // INT3 and INTO always go to protected mode (SDM 2A, INT).
  const target = software == 2 && isV86(cpu) ? softwareInterruptTarget(cpu, vector) : INT_TO_PROTECTED;
  if (target == INT_FAULTS) return 1;
  const rip = load<u64>(cpu, RIP);
  store<u64>(cpu, nextIp(cpu), RIP);
  store<u32>(cpu, STEP_DOES_NOT, STEP);
  if (software == 0) {
    noteDebug(cpu, <u64>load<u32>(cpu, PENDING_DEBUG));
    store<u32>(cpu, 0, PENDING_DEBUG);
  }
  const result = target == INT_TO_8086 ? deliverVirtual(cpu, vector) : deliver(cpu, vector, software != 0 ? SOURCE_SOFTWARE : SOURCE_EXTERNAL, false, 0);
  if (result == 0) return LEAVE_RESUME;
  store<u64>(cpu, rip, RIP);
  return 1;
}
