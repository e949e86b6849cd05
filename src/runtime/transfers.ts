// Far transfers, returns from interrupts, fast system calls (Intel SDM 2, the instructions' pages; 3A, chapter 5).

import { interruptPending } from "./host.ts";
import {
  CPL, EFER, EFLAGS, EVENTS, FAULT_PENDING, GPR, LEAVE_RESUME, MSR_KERNEL_GS_BASE, MSR_LSTAR, MSR_SFMASK, MSR_STAR, MSR_SYSENTER_CS, MSR_SYSENTER_EIP,
  MSR_SYSENTER_ESP, NMI_BLOCKED, R11, RCX, RDX, RIP, RSP, SEG_ATTRIBUTES, SEG_BASE, SEG_CS, SEG_DS, SEG_ES, SEG_FS, SEG_GS, SEG_LIMIT, SEG_SELECTOR, SEG_SS, STACK_MASK, STEP, STEP_AS_TF_IS,
  VECTOR_GP, VECTOR_NP, VECTOR_SS, VECTOR_TS,
} from "../isa/x86/state/layout.ts";
import { deliverFault, hasRoom, newStackPointer, newStackSelector, stackFromTss, stackFromTss64 } from "./exceptions.ts";
import { raiseFault, raiseGeneralProtection, raiseUndefined } from "./faults.ts";
import { FLAG_AC, FLAG_ID, FLAG_IF, FLAG_IOPL, FLAG_NT, FLAG_RF, FLAG_TF, FLAG_VIF, FLAG_VIP, FLAG_VM, FLAG_DF, STATUS_FLAGS, readFlags, writeFlags } from "./flags.ts";
import { checkSegment, loadLinear, probeAligned, probeLinear, storeLinear, storeSupervisor } from "./memory.ts";
import { nextIp } from "./position.ts";
import {
  ATTR_DB, ATTR_L, ATTR_P, ATTR_S, ATTR_UNUSABLE, descriptorAttributes, descriptorBase, descriptorDpl, descriptorHigh, descriptorLimit, descriptorLow, descriptorUpper, isCode64,
  isLong, isProtected, isReal, loadSegmentReal, markAccessed, readDescriptor, readUpper, segment, setFromDescriptor, setSegment, updateMode,
} from "./segments.ts";
import { checkVirtualFlags, isVirtual, takeVirtualFlags, virtualInterruptDue } from "./virtual-interrupts.ts";
import { TASK_CALL, TASK_FAULTED, TASK_JUMP, taskReturn, taskSwitch } from "./tasks.ts";
import { updateTlbBase } from "./paging.ts";

const EFER_SCE: u64 = 1;

// @ts-ignore: decorator
@inline function faulted(cpu: usize): bool {
  return load<u32>(cpu, FAULT_PENDING) != 0;
}

function isCanonical(value: u64): bool {
  return <u64>((<i64>value << 16) >> 16) == value;
}

/**
 * Linear address of `offset` bytes above the stack pointer, its segment limit checked for an access of `bytes`: #SS(0) may be
 * pending afterwards, which the access that follows leaves so.
 */
function stackLinear(cpu: usize, offset: i32, bytes: i32, write: i32): u64 {
  return linearOnStack(cpu, load<u64>(cpu, RSP) + offset, bytes, write);
}
/** The same for another pointer into the stack. */
function linearOnStack(cpu: usize, whole: u64, bytes: i32, write: i32): u64 {
  if (isCode64(cpu)) return whole;
  const pointer = <u32>whole & load<u32>(cpu, STACK_MASK);
  checkSegment(cpu, SEG_SS, pointer, bytes, write);
  return <u64>(<u32>load<u64>(segment(cpu, SEG_SS), SEG_BASE) + pointer);
}

/** A word `offset` bytes above the stack pointer; 0 with a fault pending. */
function peek(cpu: usize, offset: i32, bytes: i32): u64 {
  const linear = stackLinear(cpu, offset, bytes, 0);
  return faulted(cpu) ? 0 : loadLinear(cpu, linear, bytes);
}

/** Checks that `bytes` bytes, aligned where that is asked for, at `offset` from the stack pointer can be written; their linear address. */
function reserve(cpu: usize, offset: i32, bytes: i32): u64 {
  const linear = stackLinear(cpu, offset, bytes, 1);
  if (!faulted(cpu)) probeAligned(cpu, linear, bytes, bytes, true);
  return linear;
}

export function moveStack(cpu: usize, delta: i32): void {
  if (isCode64(cpu)) store<u64>(cpu, load<u64>(cpu, RSP) + delta, RSP);
  else {
    const mask = load<u32>(cpu, STACK_MASK);
    store<u32>(cpu, (load<u32>(cpu, RSP) & ~mask) | ((load<u32>(cpu, RSP) + delta) & mask), RSP);
  }
}

/** Loads CS from the descriptor read last, with CPL as the selector's RPL, and RIP. */
function enterCode(cpu: usize, selector: u32, rip: u64): void {
  setFromDescriptor(cpu, SEG_CS, selector);
  store<u32>(cpu, selector & 3, CPL);
  store<u64>(cpu, rip, RIP);
  updateMode(cpu);
  updateTlbBase(cpu);
}

function cutOffset(offset: u64, size: i32): u64 {
  return size == 16 ? offset & 0xffff : size == 32 ? offset & 0xffffffff : offset;
}

/** The target must lie inside the new code segment, or be canonical in 64-bit code. */
function checkTarget(cpu: usize, offset: u64): i32 {
  if (isLong(cpu) && (descriptorAttributes() & ATTR_L) != 0) return isCanonical(offset) ? 0 : raiseGeneralProtection(cpu, 0);
  return offset > <u64>descriptorLimit() ? raiseGeneralProtection(cpu, 0) : 0;
}

/** Checks of a code segment reached by JMP or CALL without a gate. */
function checkDirectCode(cpu: usize, selector: u32): i32 {
  const attributes = descriptorAttributes();
  const cpl = load<u32>(cpu, CPL);
  const dpl = descriptorDpl();
  const error = selector & 0xfffc;
  if ((attributes & 4) != 0 ? dpl > cpl : (selector & 3) > cpl || dpl != cpl) return raiseGeneralProtection(cpu, error);
  if ((attributes & ATTR_P) == 0) return raiseFault(cpu, VECTOR_NP, 1, error);
  if (isLong(cpu) && (attributes & (ATTR_L | ATTR_DB)) == (ATTR_L | ATTR_DB)) return raiseGeneralProtection(cpu, error);
  return 0;
}

/** The limit of CS stays as it is in real-address and virtual-8086 mode. */
function checkRealTarget(cpu: usize, offset: u64): i32 {
  return offset > <u64>load<u32>(segment(cpu, SEG_CS), SEG_LIMIT) ? raiseGeneralProtection(cpu, 0) : 0;
}

function realTransfer(cpu: usize, selector: u32, offset: u64): i32 {
  loadSegmentReal(cpu, SEG_CS, selector);
  store<u64>(cpu, offset, RIP);
  updateMode(cpu);
  return LEAVE_RESUME;
}

export function farJump(cpu: usize, selectorArgument: i32, offsetArgument: i64, size: i32): i32 {
  const selector = <u32>selectorArgument & 0xffff;
  let offset = cutOffset(offsetArgument, size);
  if (!isProtected(cpu)) return checkRealTarget(cpu, offset) != 0 ? 1 : realTransfer(cpu, selector, offset);
  if ((selector & 0xfffc) == 0) return raiseGeneralProtection(cpu, 0);
  if (readDescriptor(cpu, selector, VECTOR_GP) != 0) return 1;
  const attributes = descriptorAttributes();
  const cpl = load<u32>(cpu, CPL);
  if ((attributes & ATTR_S) != 0) {
    if ((attributes & 8) == 0) return raiseGeneralProtection(cpu, selector & 0xfffc);
    if (checkDirectCode(cpu, selector) != 0) return 1;
    if (checkTarget(cpu, offset) != 0) return 1;
    if (markAccessed(cpu) != 0) return 1;
    enterCode(cpu, (selector & 0xfffc) | cpl, offset);
    return LEAVE_RESUME;
  }
  return systemTransfer(cpu, selector, false, size);
}

/** A fault behind the switch is the new task's: it is delivered with the new task's RIP. */
function settleTask(cpu: usize, result: i32): i32 {
  return result == 0 ? LEAVE_RESUME : result == TASK_FAULTED ? deliverFault(cpu) : result;
}

/** JMP or CALL to a gate or a task state segment; the descriptor is read. */
function systemTransfer(cpu: usize, selector: u32, call: bool, size: i32): i32 {
  const type = descriptorAttributes() & 15;
  const cpl = load<u32>(cpu, CPL);
  const dpl = descriptorDpl();
  const error = selector & 0xfffc;
  if (dpl < cpl || dpl < (selector & 3)) return raiseGeneralProtection(cpu, error);
  if (isLong(cpu) ? type != 12 : type != 1 && type != 4 && type != 5 && type != 9 && type != 12) return raiseGeneralProtection(cpu, error);
  if ((descriptorAttributes() & ATTR_P) == 0) return raiseFault(cpu, VECTOR_NP, 1, error);
  if (type == 1 || type == 9 || type == 5) {
    const target = type == 5 ? descriptorLow >> 16 : selector;
    store<u64>(cpu, nextIp(cpu), RIP);
    return settleTask(cpu, taskSwitch(cpu, target, call ? TASK_CALL : TASK_JUMP, 0));
  }
  // Call gate.
  const wide = type == 12;
  const parameters = descriptorHigh & 31;
  const target = descriptorLow >> 16;
  let offset: u64 = (descriptorLow & 0xffff) | (wide ? descriptorHigh & 0xffff0000 : 0);
  if (isLong(cpu)) {
    if (readUpper(cpu) != 0) return 1;
    offset |= <u64>descriptorUpper << 32;
  }
  if ((target & 0xfffc) == 0) return raiseGeneralProtection(cpu, 0);
  if (readDescriptor(cpu, target, VECTOR_GP) != 0) return 1;
  const attributes = descriptorAttributes();
  const codeDpl = descriptorDpl();
  const codeError = target & 0xfffc;
  if ((attributes & (ATTR_S | 8)) != (ATTR_S | 8) || codeDpl > cpl) return raiseGeneralProtection(cpu, codeError);
  if (isLong(cpu) && (attributes & (ATTR_L | ATTR_DB)) != ATTR_L) return raiseGeneralProtection(cpu, codeError);
  const conforming = (attributes & 4) != 0;
  if (!call && !conforming && codeDpl != cpl) return raiseGeneralProtection(cpu, codeError);
  if ((attributes & ATTR_P) == 0) return raiseFault(cpu, VECTOR_NP, 1, codeError);
  if (checkTarget(cpu, offset) != 0) return 1;
  if (markAccessed(cpu) != 0) return 1;
  if (!call) {
    enterCode(cpu, (target & 0xfffc) | cpl, offset);
    return LEAVE_RESUME;
  }
  const long = isLong(cpu);
  const word: i32 = long ? 8 : wide ? 4 : 2;
  const returnCs = load<u32>(segment(cpu, SEG_CS), SEG_SELECTOR);
  const returnIp = nextIp(cpu);
  const csBase = descriptorBase();
  const csLimit = descriptorLimit();
  const csAttributes = descriptorAttributes() | 1;
  if (conforming || codeDpl == cpl) {
    const high = reserve(cpu, -word, word);
    if (faulted(cpu)) return 1;
    const low = reserve(cpu, -2 * word, word);
    if (faulted(cpu)) return 1;
    storeLinear(cpu, high, word, returnCs);
    storeLinear(cpu, low, word, returnIp);
    moveStack(cpu, -2 * word);
    setSegment(cpu, SEG_CS, (target & 0xfffc) | cpl, csBase, csLimit, csAttributes);
    store<u64>(cpu, offset, RIP);
    updateMode(cpu);
    return LEAVE_RESUME;
  }
  // More privileged: a new stack, parameters copied.
  const oldSp = load<u64>(cpu, RSP);
  const oldSs = load<u32>(segment(cpu, SEG_SS), SEG_SELECTOR);
  if (long) {
    const rsp = stackFromTss64(cpu, 4 + codeDpl * 8);
    if (faulted(cpu)) return 1;
    const frame = rsp - 32;
    if (!isCanonical(rsp)) return raiseFault(cpu, VECTOR_SS, 1, 0);
    if (probeLinear(cpu, frame, 32, 1, 0) != 0) return 1;
    storeSupervisor(cpu, frame, 8, returnIp);
    storeSupervisor(cpu, frame + 8, 8, returnCs);
    storeSupervisor(cpu, frame + 16, 8, oldSp);
    storeSupervisor(cpu, frame + 24, 8, oldSs);
    store<u64>(cpu, frame, RSP);
    setSegment(cpu, SEG_SS, codeDpl, 0, 0, ATTR_UNUSABLE | (codeDpl << 5));
  } else {
    if (stackFromTss(cpu, codeDpl) != 0) return 1;
    const ss = newStackSelector();
    if ((ss & 0xfffc) == 0) return raiseFault(cpu, VECTOR_TS, 1, 0);
    if (readDescriptor(cpu, ss, VECTOR_TS) != 0) return 1;
    const ssAttributes = descriptorAttributes();
    if ((ss & 3) != codeDpl || descriptorDpl() != codeDpl || (ssAttributes & ATTR_S) == 0 || (ssAttributes & 0xa) != 2) return raiseFault(cpu, VECTOR_TS, 1, ss & 0xfffc);
    if ((ssAttributes & ATTR_P) == 0) return raiseFault(cpu, VECTOR_SS, 1, ss & 0xfffc);
    const mask: u32 = (ssAttributes & ATTR_DB) != 0 ? 0xffffffff : 0xffff;
    const words: i32 = 4 + <i32>parameters;
    const top = (newStackPointer() - words * word) & mask;
    const at = <u64>(descriptorBase() + top);
    if (!hasRoom(ssAttributes, descriptorLimit(), top, words * word)) return raiseFault(cpu, VECTOR_SS, 1, ss & 0xfffc);
    if (probeLinear(cpu, at, words * word, 1, <i32>(codeDpl == 3)) != 0) return 1;
    if (markAccessed(cpu) != 0) return 1;
    for (let i: u32 = 0; i < parameters; i++) {
      const value = peek(cpu, i * word, word);
      if (faulted(cpu)) return 1;
      storeSupervisor(cpu, at + (2 + i) * word, word, value);
    }
    storeSupervisor(cpu, at, word, returnIp);
    storeSupervisor(cpu, at + word, word, returnCs);
    storeSupervisor(cpu, at + (2 + parameters) * word, word, oldSp);
    storeSupervisor(cpu, at + (3 + parameters) * word, word, oldSs);
    setFromDescriptor(cpu, SEG_SS, ss);
    store<u32>(cpu, (<u32>oldSp & ~mask) | top, RSP);
  }
  setSegment(cpu, SEG_CS, (target & 0xfffc) | codeDpl, csBase, csLimit, csAttributes);
  store<u32>(cpu, codeDpl, CPL);
  store<u64>(cpu, offset, RIP);
  updateMode(cpu);
  updateTlbBase(cpu);
  return LEAVE_RESUME;
}

export function farCall(cpu: usize, selectorArgument: i32, offsetArgument: i64, size: i32): i32 {
  const selector = <u32>selectorArgument & 0xffff;
  const offset = cutOffset(offsetArgument, size);
  const word: i32 = size / 8;
  const cpl = load<u32>(cpu, CPL);
  if (isProtected(cpu)) {
    if ((selector & 0xfffc) == 0) return raiseGeneralProtection(cpu, 0);
    if (readDescriptor(cpu, selector, VECTOR_GP) != 0) return 1;
    const attributes = descriptorAttributes();
    if ((attributes & ATTR_S) == 0) return systemTransfer(cpu, selector, true, size);
    if ((attributes & 8) == 0) return raiseGeneralProtection(cpu, selector & 0xfffc);
    if (checkDirectCode(cpu, selector) != 0) return 1;
    if (checkTarget(cpu, offset) != 0) return 1;
    if (markAccessed(cpu) != 0) return 1;
  }
  else if (checkRealTarget(cpu, offset) != 0) return 1;
  const high = reserve(cpu, -word, word);
  if (faulted(cpu)) return 1;
  const low = reserve(cpu, -2 * word, word);
  if (faulted(cpu)) return 1;
  storeLinear(cpu, high, word, load<u32>(segment(cpu, SEG_CS), SEG_SELECTOR));
  storeLinear(cpu, low, word, nextIp(cpu));
  moveStack(cpu, -2 * word);
  if (!isProtected(cpu)) return realTransfer(cpu, selector, offset);
  enterCode(cpu, (selector & 0xfffc) | cpl, offset);
  return LEAVE_RESUME;
}

/** Data segments that the outer level may not use become null (SDM 2B, RET). */
function dropPrivilegedSegments(cpu: usize, cpl: u32): void {
  for (let index: u32 = 0; index < 6; index++) {
    if (index == SEG_CS || index == SEG_SS) continue;
    const attributes = load<u32>(segment(cpu, index), SEG_ATTRIBUTES);
    if ((attributes & ATTR_UNUSABLE) != 0) continue;
    const conforming = (attributes & 0xc) == 0xc;
    if (!conforming && ((attributes >> 5) & 3) < cpl) setSegment(cpu, index, 0, load<u64>(segment(cpu, index), SEG_BASE), 0, ATTR_UNUSABLE);
  }
}

/** Checks the code segment of a return; the descriptor stays read. */
function checkReturnCode(cpu: usize, selector: u32): i32 {
  const error = selector & 0xfffc;
  if (error == 0) return raiseGeneralProtection(cpu, 0);
  if (readDescriptor(cpu, selector, VECTOR_GP) != 0) return 1;
  const attributes = descriptorAttributes();
  const rpl = selector & 3;
  if ((attributes & (ATTR_S | 8)) != (ATTR_S | 8) || rpl < load<u32>(cpu, CPL)) return raiseGeneralProtection(cpu, error);
  if ((attributes & 4) != 0 ? descriptorDpl() > rpl : descriptorDpl() != rpl) return raiseGeneralProtection(cpu, error);
  if ((attributes & ATTR_P) == 0) return raiseFault(cpu, VECTOR_NP, 1, error);
  return isLong(cpu) && (attributes & (ATTR_L | ATTR_DB)) == (ATTR_L | ATTR_DB) ? raiseGeneralProtection(cpu, error) : 0;
}

/** Checks the stack segment of a return to an outer level (or any in IRETQ); the descriptor stays read unless null. */
function checkReturnStack(cpu: usize, selector: u32, rpl: u32, toCode64: bool): i32 {
  const error = selector & 0xfffc;
  if (error == 0) return toCode64 && rpl != 3 && (selector & 3) == rpl ? 0 : raiseGeneralProtection(cpu, 0);
  if (readDescriptor(cpu, selector, VECTOR_GP) != 0) return 1;
  const attributes = descriptorAttributes();
  if ((selector & 3) != rpl || descriptorDpl() != rpl || (attributes & ATTR_S) == 0 || (attributes & 0xa) != 2) return raiseGeneralProtection(cpu, error);
  return (attributes & ATTR_P) == 0 ? raiseFault(cpu, VECTOR_SS, 1, error) : 0;
}

function enterStack(cpu: usize, selector: u32, rpl: u32): i32 {
  if ((selector & 0xfffc) == 0) {
    setSegment(cpu, SEG_SS, selector, 0, 0, ATTR_UNUSABLE | (rpl << 5));
    return 0;
  }
  if (markAccessed(cpu) != 0) return 1;
  setFromDescriptor(cpu, SEG_SS, selector);
  return 0;
}

function setStackPointer(cpu: usize, value: u64, code64: bool): void {
  if (code64) store<u64>(cpu, value, RSP);
  else if (load<u32>(cpu, STACK_MASK) == 0xffff) store<u16>(cpu, <u16>value, RSP);
  else store<u64>(cpu, value & 0xffffffff, RSP);
}

export function farReturn(cpu: usize, size: i32, pop: i32): i32 {
  const word: i32 = size / 8;
  const ip = peek(cpu, 0, word);
  if (faulted(cpu)) return 1;
  const selector = <u32>peek(cpu, word, word) & 0xffff;
  if (faulted(cpu)) return 1;
  if (!isProtected(cpu)) {
    if (checkRealTarget(cpu, ip) != 0) return 1;
    moveStack(cpu, 2 * word + pop);
    return realTransfer(cpu, selector, ip);
  }
  if (checkReturnCode(cpu, selector) != 0) return 1;
  if (checkTarget(cpu, ip) != 0) return 1;
  const rpl = selector & 3;
  if (rpl == load<u32>(cpu, CPL)) {
    if (markAccessed(cpu) != 0) return 1;
    moveStack(cpu, 2 * word + pop);
    enterCode(cpu, selector, ip);
    return LEAVE_RESUME;
  }
  const toCode64 = isLong(cpu) && (descriptorAttributes() & ATTR_L) != 0;
  const newSp = peek(cpu, 2 * word + pop, word);
  if (faulted(cpu)) return 1;
  const newSs = <u32>peek(cpu, 3 * word + pop, word) & 0xffff;
  if (faulted(cpu)) return 1;
  if (checkReturnStack(cpu, newSs, rpl, toCode64) != 0) return 1;
  if (enterStack(cpu, newSs, rpl) != 0) return 1;
  if (readDescriptor(cpu, selector, VECTOR_GP) != 0 || markAccessed(cpu) != 0) return 1;
  enterCode(cpu, selector, ip);
  setStackPointer(cpu, newSp + pop, toCode64);
  dropPrivilegedSegments(cpu, rpl);
  return LEAVE_RESUME;
}

/** Flags that IRET and POPF may change at this privilege. */
export function writableFlags(cpu: usize, size: i32): u32 {
  const cpl = load<u32>(cpu, CPL);
  const iopl = (load<u32>(cpu, EFLAGS) & FLAG_IOPL) >> 12;
  let mask = STATUS_FLAGS | FLAG_TF | FLAG_DF | FLAG_NT;
  if (size != 16) mask |= FLAG_AC | FLAG_ID;
  if (cpl <= iopl) mask |= FLAG_IF;
  if (cpl == 0) mask |= FLAG_IOPL;
  return mask;
}

export function interruptReturn(cpu: usize, size: i32): i32 {
  const word: i32 = size / 8;
  const virtual = isVirtual(cpu);
  if (virtual && checkVirtualFlags(cpu, size) != 0) return 1;
  // NMIs are let through even when the return faults (SDM 3A, 6.7.1), and one may be waiting.
  if (load<u32>(cpu, NMI_BLOCKED) != 0) {
    store<u32>(cpu, 0, NMI_BLOCKED);
    store<u32>(cpu, 1, EVENTS);
  }
  if (isProtected(cpu) && (load<u32>(cpu, EFLAGS) & FLAG_NT) != 0) {
    if (isLong(cpu)) return raiseGeneralProtection(cpu, 0);
    store<u64>(cpu, nextIp(cpu), RIP);
    return settleTask(cpu, taskReturn(cpu));
  }
  const ip = peek(cpu, 0, word);
  if (faulted(cpu)) return 1;
  const selector = <u32>peek(cpu, word, word) & 0xffff;
  if (faulted(cpu)) return 1;
  let flags = <u32>peek(cpu, 2 * word, word);
  if (faulted(cpu)) return 1;
  if (!isProtected(cpu)) {
    if (virtual) flags = takeVirtualFlags(cpu, flags);
    if (faulted(cpu) || checkRealTarget(cpu, ip) != 0) return 1;
    moveStack(cpu, 3 * word);
    let mask = writableFlags(cpu, size) | (size != 16 ? FLAG_RF : 0) | (virtual ? FLAG_VIF : 0);
    if (isReal(cpu)) mask |= FLAG_IOPL | FLAG_IF;
    writeFlags(cpu, flags, mask);
    return realTransfer(cpu, selector, ip);
  }
  const cpl = load<u32>(cpu, CPL);
  if (size != 16 && (flags & FLAG_VM) != 0 && cpl == 0 && !isLong(cpu)) return returnToV86(cpu, <u32>ip, selector, flags);
  if (checkReturnCode(cpu, selector) != 0) return 1;
  if (checkTarget(cpu, ip) != 0) return 1;
  const rpl = selector & 3;
  let mask = writableFlags(cpu, size);
  if (size != 16) mask |= FLAG_RF;
  if (cpl == 0 && size != 16) mask |= FLAG_VIF | FLAG_VIP;
  const fromCode64 = isCode64(cpu);
  if (rpl == cpl && !fromCode64) {
    if (markAccessed(cpu) != 0) return 1;
    moveStack(cpu, 3 * word);
    writeFlags(cpu, flags, mask);
    enterCode(cpu, selector, ip);
    return LEAVE_RESUME;
  }
  const toCode64 = isLong(cpu) && (descriptorAttributes() & ATTR_L) != 0;
  const newSp = peek(cpu, 3 * word, word);
  if (faulted(cpu)) return 1;
  const newSs = <u32>peek(cpu, 4 * word, word) & 0xffff;
  if (faulted(cpu)) return 1;
  if (checkReturnStack(cpu, newSs, rpl, toCode64) != 0) return 1;
  if (enterStack(cpu, newSs, rpl) != 0) return 1;
  if (readDescriptor(cpu, selector, VECTOR_GP) != 0 || markAccessed(cpu) != 0) return 1;
  writeFlags(cpu, flags, mask);
  enterCode(cpu, selector, ip);
  setStackPointer(cpu, newSp, toCode64 || (fromCode64 && isLong(cpu) && size == 64));
  if (rpl > cpl) dropPrivilegedSegments(cpu, rpl);
  return resumeVirtual(cpu);
}

/** Behind a return to a less privileged program: it may have a virtual interrupt to take. */
function resumeVirtual(cpu: usize): i32 {
  if (!virtualInterruptDue(cpu)) return LEAVE_RESUME;
  raiseGeneralProtection(cpu, 0);
  return deliverFault(cpu);
}

function returnToV86(cpu: usize, ip: u32, cs: u32, flags: u32): i32 {
  // Where one word cannot be read the fault stays pending, whatever the others are.
  const esp = <u32>peek(cpu, 12, 4);
  const ss = <u32>peek(cpu, 16, 4);
  const es = <u32>peek(cpu, 20, 4);
  const ds = <u32>peek(cpu, 24, 4);
  const fs = <u32>peek(cpu, 28, 4);
  const gs = <u32>peek(cpu, 32, 4);
  if (faulted(cpu)) return 1;
  if (ip > 0xffff) return raiseGeneralProtection(cpu, 0);
  writeFlags(cpu, flags, 0x3fffff);
  store<u32>(cpu, 3, CPL);
  updateMode(cpu);
  loadSegmentReal(cpu, SEG_CS, cs & 0xffff);
  updateMode(cpu);
  loadSegmentReal(cpu, SEG_SS, ss & 0xffff);
  loadSegmentReal(cpu, SEG_ES, es & 0xffff);
  loadSegmentReal(cpu, SEG_DS, ds & 0xffff);
  loadSegmentReal(cpu, SEG_FS, fs & 0xffff);
  loadSegmentReal(cpu, SEG_GS, gs & 0xffff);
  store<u64>(cpu, esp, RSP);
  store<u64>(cpu, ip, RIP);
  updateTlbBase(cpu);
  return resumeVirtual(cpu);
}

/** A flat code or stack segment as the fast system calls load it. */
function flat(cpu: usize, index: u32, selector: u32, attributes: u32): void {
  setSegment(cpu, index, selector, 0, 0xffffffff, attributes);
}

export function systemCall(cpu: usize): i32 {
  // On Intel processors in 64-bit code only.
  if ((load<u64>(cpu, EFER) & EFER_SCE) == 0 || !isCode64(cpu)) return raiseUndefined(cpu);
  const selector = <u32>(load<u64>(cpu, MSR_STAR) >> 32) & 0xfffc;
  store<u64>(cpu, nextIp(cpu), RCX);
  store<u64>(cpu, readFlags(cpu) & ~FLAG_RF, R11);
  store<u64>(cpu, load<u64>(cpu, MSR_LSTAR), RIP);
  writeFlags(cpu, 0, <u32>load<u64>(cpu, MSR_SFMASK) | FLAG_RF);
  flat(cpu, SEG_CS, selector, 0xa09b);
  flat(cpu, SEG_SS, selector + 8, 0xc093);
  store<u32>(cpu, STEP_AS_TF_IS, STEP);
  store<u32>(cpu, 0, CPL);
  updateMode(cpu);
  updateTlbBase(cpu);
  return LEAVE_RESUME;
}

export function systemReturn(cpu: usize, size: i32): i32 {
  if ((load<u64>(cpu, EFER) & EFER_SCE) == 0 || !isCode64(cpu)) return raiseUndefined(cpu);
  if (load<u32>(cpu, CPL) != 0) return raiseGeneralProtection(cpu, 0);
  const base = <u32>(load<u64>(cpu, MSR_STAR) >> 48) & 0xffff;
  const rcx = load<u64>(cpu, RCX);
  if (size == 64 && !isCanonical(rcx)) return raiseGeneralProtection(cpu, 0);
  writeFlags(cpu, load<u32>(cpu, R11), 0x3c7fd7);
  if (size == 64) {
    flat(cpu, SEG_CS, (base + 16) | 3, 0xa0fb);
    store<u64>(cpu, rcx, RIP);
  } else {
    flat(cpu, SEG_CS, base | 3, 0xc0fb);
    store<u64>(cpu, rcx & 0xffffffff, RIP);
  }
  flat(cpu, SEG_SS, (base + 8) | 3, 0xc0f3);
  store<u32>(cpu, STEP_AS_TF_IS, STEP);
  store<u32>(cpu, 3, CPL);
  updateMode(cpu);
  updateTlbBase(cpu);
  return LEAVE_RESUME;
}

export function systemEnter(cpu: usize): i32 {
  const cs = <u32>load<u64>(cpu, MSR_SYSENTER_CS);
  if (isReal(cpu) || (cs & 0xfffc) == 0) return raiseGeneralProtection(cpu, 0);
  const long = isLong(cpu);
  writeFlags(cpu, 0, FLAG_IF | FLAG_VM | FLAG_RF);
  flat(cpu, SEG_CS, cs & 0xfffc, long ? 0xa09b : 0xc09b);
  flat(cpu, SEG_SS, (cs & 0xfffc) + 8, 0xc093);
  store<u32>(cpu, 0, CPL);
  store<u64>(cpu, long ? load<u64>(cpu, MSR_SYSENTER_ESP) : load<u64>(cpu, MSR_SYSENTER_ESP) & 0xffffffff, RSP);
  store<u64>(cpu, long ? load<u64>(cpu, MSR_SYSENTER_EIP) : load<u64>(cpu, MSR_SYSENTER_EIP) & 0xffffffff, RIP);
  updateMode(cpu);
  updateTlbBase(cpu);
  return LEAVE_RESUME;
}

export function systemExit(cpu: usize, size: i32): i32 {
  const cs = <u32>load<u64>(cpu, MSR_SYSENTER_CS) & 0xfffc;
  if (isReal(cpu) || cs == 0 || load<u32>(cpu, CPL) != 0) return raiseGeneralProtection(cpu, 0);
  const rip = load<u64>(cpu, RDX);
  const rsp = load<u64>(cpu, RCX);
  if (size == 64) {
    if (!isCanonical(rip) || !isCanonical(rsp)) return raiseGeneralProtection(cpu, 0);
    flat(cpu, SEG_CS, (cs + 32) | 3, 0xa0fb);
    flat(cpu, SEG_SS, (cs + 40) | 3, 0xc0f3);
  } else {
    flat(cpu, SEG_CS, (cs + 16) | 3, 0xc0fb);
    flat(cpu, SEG_SS, (cs + 24) | 3, 0xc0f3);
  }
  store<u64>(cpu, size == 64 ? rip : rip & 0xffffffff, RIP);
  store<u64>(cpu, size == 64 ? rsp : rsp & 0xffffffff, RSP);
  store<u32>(cpu, 3, CPL);
  updateMode(cpu);
  updateTlbBase(cpu);
  return LEAVE_RESUME;
}

export function swapGs(cpu: usize): i32 {
  if (!isCode64(cpu)) return raiseUndefined(cpu);
  if (load<u32>(cpu, CPL) != 0) return raiseGeneralProtection(cpu, 0);
  const gs = segment(cpu, SEG_GS);
  const base = load<u64>(gs, SEG_BASE);
  store<u64>(gs, load<u64>(cpu, MSR_KERNEL_GS_BASE), SEG_BASE);
  store<u64>(cpu, base, MSR_KERNEL_GS_BASE);
  return 0;
}

/** POPF: the new value, operand size. Leaves the block when interrupts or traps may have become possible. */
export function popFlags(cpu: usize, value: i32, size: i32): i32 {
  const before = load<u32>(cpu, EFLAGS);
  let mask = writableFlags(cpu, size);
  if (isVirtual(cpu)) {
    if (checkVirtualFlags(cpu, size) != 0) return 1;
    value = takeVirtualFlags(cpu, value);
    if (faulted(cpu)) return 1;
    mask |= FLAG_VIF;
  }
  writeFlags(cpu, <u32>value, mask);
  const after = load<u32>(cpu, EFLAGS) & ~FLAG_RF;
  store<u32>(cpu, after, EFLAGS);
  if (((before ^ after) & FLAG_AC) != 0) updateTlbBase(cpu);
  return 0;
}

/** Whether the block must be left after flags were popped: interrupts on, or single step. */
export function flagsNeedAttention(cpu: usize): i32 {
  const flags = load<u32>(cpu, EFLAGS);
  if ((flags & FLAG_TF) == 0 && ((flags & FLAG_IF) == 0 || interruptPending() == 0)) return 0;
  store<u32>(cpu, 1, EVENTS);
  return 7;
}

/** Stores at an offset from the stack pointer, which stays; false with a fault pending. */
function storeStack(cpu: usize, offset: i32, word: i32, value: u64): bool {
  const linear = stackLinear(cpu, offset, word, 1);
  if (!faulted(cpu)) storeLinear(cpu, linear, word, value);
  return !faulted(cpu);
}

/** ENTER, in the manual's order (SDM 2A): what was pushed stays when the new frame's end cannot be written. */
export function enterFrame(cpu: usize, bytes: i32, level: i32, width: i32): i32 {
  const word: i32 = width / 8;
  const code64 = isCode64(cpu);
  const total = (level > 0 ? level + 1 : 1) * word;
  const mask: u64 = code64 ? u64.MAX_VALUE : load<u32>(cpu, STACK_MASK);
  // All of ESP, also where the stack has 16 bits.
  const frame = (load<u64>(cpu, RSP) & ~mask) | ((load<u64>(cpu, RSP) - word) & mask);
  const rbp = load<u64>(cpu, GPR + 40);
  if (!storeStack(cpu, -word, word, rbp)) return 1;
  for (let i = 1; i < level; i++) {
    const at = linearOnStack(cpu, rbp - i * word, word, 0);
    if (faulted(cpu)) return 1;
    if (code64 && !isCanonical(at)) return raiseFault(cpu, VECTOR_SS, 1, 0);
    const link = loadLinear(cpu, at, word);
    if (faulted(cpu)) return 1;
    if (!storeStack(cpu, -(i + 1) * word, word, link)) return 1;
  }
  if (level > 0 && !storeStack(cpu, -total, word, frame)) return 1;
  const end = stackLinear(cpu, -total - bytes, word, 1);
  if (faulted(cpu) || !probeAligned(cpu, end, word, word, true)) return 1;
  moveStack(cpu, -total - bytes);
  if (word == 8) store<u64>(cpu, frame, GPR + 40);
  else if (word == 4) store<u64>(cpu, frame & 0xffffffff, GPR + 40);
  else store<u16>(cpu, <u16>frame, GPR + 40);
  return 0;
}
