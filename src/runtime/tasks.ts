// Hardware task switches (Intel SDM 3A, chapter 8).

import {
  CPL, CR0, CR3, EFLAGS, FAULT_PENDING, GPR, PENDING_DEBUG, RIP, SEG_ATTRIBUTES, SEG_BASE, SEG_CS, SEG_LDTR, SEG_LIMIT, SEG_SELECTOR, SEG_SS, SEG_TR, STEP, STEP_DOES_NOT, VECTOR_GP, VECTOR_NP, VECTOR_SS, VECTOR_TS,
} from "../isa/x86/state/layout.ts";
import { raiseFault, raiseGeneralProtection } from "./faults.ts";
import { FLAG_NT, FLAG_VM, readFlags, writeFlags } from "./flags.ts";
import { virtualInterruptDue } from "./virtual-interrupts.ts";
import { clearSystemBits, setSystemBits } from "./locked.ts";
import { loadSystem, storeSystem } from "./memory.ts";
import {
  ATTR_P, ATTR_S, ATTR_UNUSABLE, TYPE_BUSY, descriptorAddress, descriptorAttributes, descriptorBase, descriptorDpl, descriptorLimit, loadSegmentReal, markAccessed,
  readDescriptor, segment, setFromDescriptor, setSegment, updateMode,
} from "./segments.ts";
import { usesPdptes } from "./control.ts";
import { loadPdptes } from "./page-walk.ts";
import { flushTlbNonGlobal, updateTlbBase } from "./paging.ts";
import { dropShadows } from "./shadow.ts";

// @ts-ignore: decorator
@inline function faulted(cpu: usize): bool {
  return load<u32>(cpu, FAULT_PENDING) != 0;
}

/** What switches: JMP; CALL, an exception or interrupt, which nest; IRET. */
export const TASK_JUMP: i32 = 0;
export const TASK_CALL: i32 = 1;
export const TASK_RETURN: i32 = 2;
/** A fault is pending that belongs to the new task. */
export const TASK_FAULTED: i32 = 2;
const DR6_TASK: u32 = 0x8000;

function setBusy(cpu: usize, selector: u32, busy: bool): i32 {
  if (readDescriptor(cpu, selector, VECTOR_TS) != 0) return 1;
  if (busy) setSystemBits(cpu, descriptorAddress + 5, TYPE_BUSY);
  else clearSystemBits(cpu, descriptorAddress + 5, TYPE_BUSY);
  return faulted(cpu) ? 1 : 0;
}

/** IRET with NT set: back to the task that the back link names. */
export function taskReturn(cpu: usize): i32 {
  const link = <u32>loadSystem(cpu, load<u64>(segment(cpu, SEG_TR), SEG_BASE), 2);
  if (faulted(cpu)) return 1;
  return taskSwitch(cpu, link, TASK_RETURN, 0);
}

/**
 * Switches to the task whose TSS the selector names. `external`: EXT bit for error codes. RIP holds the return address of
 * the old task. 0; LEAVE_FAULT where nothing has changed; TASK_FAULTED where the fault is the new task's.
 */
export function taskSwitch(cpu: usize, selector: u32, reason: i32, external: i32): i32 {
  const error = (selector & 0xfffc) | external;
  const missing = reason == TASK_RETURN ? VECTOR_TS : VECTOR_GP;
  if ((selector & 4) != 0 || (selector & 0xfffc) == 0) return raiseFault(cpu, missing, 1, error);
  if (readDescriptor(cpu, selector, missing) != 0) return 1;
  const attributes = descriptorAttributes();
  const type = attributes & 0x1f;
  const expected = reason == TASK_RETURN ? type == 3 || type == 11 : type == 1 || type == 9;
  if (!expected) return raiseFault(cpu, missing, 1, error);
  if ((attributes & ATTR_P) == 0) return raiseFault(cpu, VECTOR_NP, 1, error);
  const wide = (type & 8) != 0;
  const limit = descriptorLimit();
  if (limit < <u32>(wide ? 103 : 43)) return raiseFault(cpu, VECTOR_TS, 1, error);
  const base: u64 = descriptorBase();
  const newAttributes = attributes | 2;

  // The outgoing state.
  const tr = segment(cpu, SEG_TR);
  const oldBase = load<u64>(tr, SEG_BASE);
  const oldSelector = load<u32>(tr, SEG_SELECTOR);
  const oldWide = (load<u32>(tr, SEG_ATTRIBUTES) & 8) != 0;
  let flags = readFlags(cpu);
  if (reason == TASK_RETURN) flags &= ~FLAG_NT;
  const word: u32 = oldWide ? 4 : 2;
  let at = oldBase + (oldWide ? 32 : 14);
  storeSystem(cpu, at, word, load<u64>(cpu, RIP));
  storeSystem(cpu, at + word, word, flags);
  at += 2 * word;
  for (let i: u32 = 0; i < 8; i++) storeSystem(cpu, at + i * word, word, load<u64>(cpu + i * 8, GPR));
  at += 8 * word;
  const segments: u32 = oldWide ? 6 : 4;
  for (let i: u32 = 0; i < segments; i++) storeSystem(cpu, at + i * word, 2, load<u32>(segment(cpu, i), SEG_SELECTOR));
  if (faulted(cpu)) return 1;

  // The incoming state, all read before anything is changed.
  const newCr3 = wide ? loadSystem(cpu, base + 28, 4) : 0;
  const trap = wide ? <u32>loadSystem(cpu, base + 100, 2) : 0;
  const size: u32 = wide ? 4 : 2;
  let from = base + (wide ? 32 : 14);
  const ip = loadSystem(cpu, from, size);
  const newFlags = <u32>loadSystem(cpu, from + size, size);
  from += 2 * size;
  const selectorsAt = from + 8 * size;
  const ldt = <u32>loadSystem(cpu, selectorsAt + (wide ? 24 : 8), 2);
  if (faulted(cpu)) return 1;

  if (reason != TASK_CALL && setBusy(cpu, oldSelector, false) != 0) return 1;
  if (reason == TASK_CALL) storeSystem(cpu, base, 2, oldSelector);
  if (reason != TASK_RETURN && setBusy(cpu, selector, true) != 0) return 1;
  if (faulted(cpu)) return 1;
  for (let i: u32 = 0; i < 8; i++) {
    const value = loadSystem(cpu, from + i * size, size);
    store<u64>(cpu + i * 8, wide ? value : value | 0xffff0000, GPR);
  }
  const es = <u32>loadSystem(cpu, selectorsAt, 2);
  const cs = <u32>loadSystem(cpu, selectorsAt + size, 2);
  const ss = <u32>loadSystem(cpu, selectorsAt + 2 * size, 2);
  const ds = <u32>loadSystem(cpu, selectorsAt + 3 * size, 2);
  const fs = wide ? <u32>loadSystem(cpu, selectorsAt + 4 * size, 2) : 0;
  const gs = wide ? <u32>loadSystem(cpu, selectorsAt + 5 * size, 2) : 0;
  setSegment(cpu, SEG_TR, selector, base, limit, newAttributes);
  store<u64>(cpu, load<u64>(cpu, CR0) | 8, CR0); // TS
  if (wide && (load<u64>(cpu, CR0) & 0x80000000) != 0) {
    store<u64>(cpu, newCr3, CR3);
    flushTlbNonGlobal(cpu);
    dropShadows(cpu);
  }
  store<u64>(cpu, wide ? ip : ip & 0xffff, RIP);
  writeFlags(cpu, reason == TASK_CALL ? newFlags | FLAG_NT : newFlags, wide ? 0x3fffff : 0xffff);

  // The old task's single step is over; the new one's T flag traps before its first instruction (SDM 3B, 18.3.1.5).
  store<u32>(cpu, STEP_DOES_NOT, STEP);
  if (wide && (trap & 1) != 0) store<u32>(cpu, load<u32>(cpu, PENDING_DEBUG) | DR6_TASK, PENDING_DEBUG);
  return enterTask(cpu, ldt, es, cs, ss, ds, fs, gs, external) != 0 ? TASK_FAULTED : 0;
}

/** Loads the segments of the task switched to: faults are the new task's. */
function enterTask(cpu: usize, ldt: u32, es: u32, cs: u32, ss: u32, ds: u32, fs: u32, gs: u32, external: i32): i32 {
  if (usesPdptes(cpu) && loadPdptes(cpu) != 0) return 1;
  if ((ldt & 0xfffc) == 0) setSegment(cpu, SEG_LDTR, ldt, 0, 0, ATTR_UNUSABLE);
  else {
    if ((ldt & 4) != 0) return raiseFault(cpu, VECTOR_TS, 1, (ldt & 0xfffc) | external);
    if (readDescriptor(cpu, ldt, VECTOR_TS) != 0) return 1;
    if ((descriptorAttributes() & 0x1f) != 2 || (descriptorAttributes() & ATTR_P) == 0) return raiseFault(cpu, VECTOR_TS, 1, (ldt & 0xfffc) | external);
    setFromDescriptor(cpu, SEG_LDTR, ldt);
  }
  if ((load<u32>(cpu, EFLAGS) & FLAG_VM) != 0) {
    store<u32>(cpu, 3, CPL);
    updateMode(cpu);
    loadSegmentReal(cpu, 0, es);
    loadSegmentReal(cpu, SEG_CS, cs);
    loadSegmentReal(cpu, SEG_SS, ss);
    loadSegmentReal(cpu, 3, ds);
    loadSegmentReal(cpu, 4, fs);
    loadSegmentReal(cpu, 5, gs);
    updateMode(cpu);
    updateTlbBase(cpu);
    return load<u64>(cpu, RIP) > 0xffff || virtualInterruptDue(cpu) ? raiseGeneralProtection(cpu, 0) : 0;
  }
  const cpl = cs & 3;
  if ((cs & 0xfffc) == 0) return raiseFault(cpu, VECTOR_TS, 1, external);
  if (readDescriptor(cpu, cs, VECTOR_TS) != 0) return 1;
  const code = descriptorAttributes();
  if ((code & (ATTR_S | 8)) != (ATTR_S | 8) || ((code & 4) != 0 ? descriptorDpl() > cpl : descriptorDpl() != cpl)) return raiseFault(cpu, VECTOR_TS, 1, (cs & 0xfffc) | external);
  if ((code & ATTR_P) == 0) return raiseFault(cpu, VECTOR_NP, 1, (cs & 0xfffc) | external);
  if (markAccessed(cpu) != 0) return 1;
  setFromDescriptor(cpu, SEG_CS, cs);
  store<u32>(cpu, cpl, CPL);
  updateMode(cpu);
  updateTlbBase(cpu);
  if (readDescriptor(cpu, ss, VECTOR_TS) != 0) return 1;
  const stack = descriptorAttributes();
  if ((ss & 0xfffc) == 0 || (ss & 3) != cpl || descriptorDpl() != cpl || (stack & ATTR_S) == 0 || (stack & 0xa) != 2) return raiseFault(cpu, VECTOR_TS, 1, (ss & 0xfffc) | external);
  if ((stack & ATTR_P) == 0) return raiseFault(cpu, VECTOR_SS, 1, (ss & 0xfffc) | external);
  if (markAccessed(cpu) != 0) return 1;
  setFromDescriptor(cpu, SEG_SS, ss);
  if (loadTaskData(cpu, 0, es, external) != 0 || loadTaskData(cpu, 3, ds, external) != 0) return 1;
  if (loadTaskData(cpu, 4, fs, external) != 0 || loadTaskData(cpu, 5, gs, external) != 0) return 1;
  return load<u64>(cpu, RIP) > <u64>load<u32>(segment(cpu, SEG_CS), SEG_LIMIT) || virtualInterruptDue(cpu) ? raiseGeneralProtection(cpu, 0) : 0;
}

function loadTaskData(cpu: usize, index: u32, selector: u32, external: i32): i32 {
  if ((selector & 0xfffc) == 0) {
    setSegment(cpu, index, selector, 0, 0, ATTR_UNUSABLE);
    return 0;
  }
  if (readDescriptor(cpu, selector, VECTOR_TS) != 0) return 1;
  const attributes = descriptorAttributes();
  const error = (selector & 0xfffc) | external;
  const conforming = (attributes & 0xc) == 0xc;
  if ((attributes & ATTR_S) == 0 || (attributes & 0xa) == 8) return raiseFault(cpu, VECTOR_TS, 1, error);
  if (!conforming && (descriptorDpl() < load<u32>(cpu, CPL) || descriptorDpl() < (selector & 3))) return raiseFault(cpu, VECTOR_TS, 1, error);
  if ((attributes & ATTR_P) == 0) return raiseFault(cpu, VECTOR_NP, 1, error);
  if (markAccessed(cpu) != 0) return 1;
  setFromDescriptor(cpu, index, selector);
  return 0;
}
