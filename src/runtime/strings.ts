// String instructions, single and repeated (Intel SDM 1, 7.3.9; 2, the instructions' pages).

import {
  BUDGET, EFLAGS, EVENTS, FAULT_PENDING, FLAGS_CARRY, FLAGS_RESULT, LEAVE_RESUME, RAX, RCX, RDI, RDX, RIP, RSI, SEG_BASE, SEG_ES, SEG_FAST_READ, SEG_FAST_WRITE,
  TLB_ADDEND, TLB_BASE, TLB_ENTRIES, TLB_ENTRY_BYTES, TLB_READ, TLB_WRITE,
} from "../isa/x86/state/layout.ts";
import { FLAG_DF } from "./flags.ts";
import { readPort, writePort } from "./host.ts";
import { checkSegment, loadLinear, probeLinear, storeLinear } from "./memory.ts";
import { checkPort } from "./ports.ts";
import { currentIp } from "./position.ts";
import { isCode64, segment } from "./segments.ts";
import { CPL } from "../isa/x86/state/layout.ts";

const MOVS: i32 = 0;
const STOS: i32 = 1;
const LODS: i32 = 2;
const CMPS: i32 = 3;
const SCAS: i32 = 4;
const INS: i32 = 5;
const OUTS: i32 = 6;

/** Iterations between two looks at the budget. */
const SLICE: u64 = 4096;

function addressMask(size: i32): u64 {
  return size == 64 ? u64.MAX_VALUE : size == 32 ? 0xffffffff : 0xffff;
}

/** Writes a register the way the address size does: 16 bits keep the rest, 32 clear the upper half. */
function setRegister(cpu: usize, offset: usize, value: u64, size: i32): void {
  if (size == 16) store<u16>(cpu + offset, <u16>value);
  else if (size == 32) store<u64>(cpu + offset, value & 0xffffffff);
  else store<u64>(cpu + offset, value);
}

/** Linear address of an element; checks the segment outside 64-bit code. Sets a fault when it may not be reached. */
function element(cpu: usize, index: u32, offset: u64, bytes: i32, write: i32): u64 {
  const at = segment(cpu, index);
  if (isCode64(cpu)) return index >= 4 ? load<u64>(at, SEG_BASE) + offset : offset;
  const fast = load<u32>(at + <usize>(write != 0 ? SEG_FAST_WRITE : SEG_FAST_READ));
  if (<u32>offset >= fast) checkSegment(cpu, index, <i32>offset, bytes, write);
  return <u64>(<u32>load<u64>(at, SEG_BASE) + <u32>offset);
}

/** Host address when the byte is in the TLB for this access, else 0. */
function hostOf(cpu: usize, linear: u64, tag: usize): usize {
  const entry: usize = load<u32>(cpu, TLB_BASE) + (<u32>(linear >> 12) & (TLB_ENTRIES - 1)) * TLB_ENTRY_BYTES;
  return load<u64>(entry + tag) == (linear & ~0xfff) ? <usize>(<u32>linear + load<u32>(entry, TLB_ADDEND)) : 0;
}

function compareFlags(cpu: usize, a: u64, b: u64, bytes: i32): void {
  const shift: u64 = 64 - bytes * 8;
  const r = a - b;
  const borrow = (~a & b) | ((~a | b) & r);
  store<u64>(cpu, <u64>(<i64>(r << shift) >> <i64>shift), FLAGS_RESULT);
  store<u64>(cpu, ((borrow << shift) & 0xc000000000000000) | (borrow & 8), FLAGS_CARRY);
}

/** Forward elements that are in both pages and need no further check: how many can be done at once. */
function run(offset: u64, linear: u64, count: u64, bytes: i32, mask: u64): u64 {
  let n = (0x1000 - (linear & 0xfff)) / bytes;
  const left = (mask - offset) / bytes; // before the offset wraps
  if (n > left) n = left;
  return n > count ? count : n;
}

/**
 * One string instruction. `op`: MOVS STOS LODS CMPS SCAS INS OUTS; `bytes` per element; address size in bits; segment of the
 * source (its index); `repeat`: 0 once, 1 REP / REPE, 2 REPNE. Registers follow every element done; when the budget runs out in the
 * middle, execution resumes at the instruction itself. 0 when it is finished.
 */
export function stringOperation(cpu: usize, op: i32, bytes: i32, addressSize: i32, source: i32, repeat: i32): i32 {
  const mask = addressMask(addressSize);
  const backward = (load<u32>(cpu, EFLAGS) & FLAG_DF) != 0;
  const step: u64 = backward ? -(<u64>bytes) : <u64>bytes;
  const sourceSegment = <u32>source;
  if (op >= INS && checkPort(cpu, load<u32>(cpu, RDX) & 0xffff, bytes) != 0) return 1;
  let budget: u64 = SLICE;
  while (true) {
    let count = load<u64>(cpu, RCX) & mask;
    if (repeat != 0 && count == 0) return 0;
    const si = load<u64>(cpu, RSI) & mask;
    const di = load<u64>(cpu, RDI) & mask;
    let a: u64 = 0;
    let b: u64 = 0;
    if (op == MOVS) {
      const from = element(cpu, sourceSegment, si, bytes, 0);
      const to = element(cpu, SEG_ES, di, bytes, 1);
      if (load<u32>(cpu, FAULT_PENDING) != 0) return 1;
      if (repeat != 0 && !backward) {
        const hostFrom = hostOf(cpu, from, TLB_READ);
        const hostTo = hostOf(cpu, to, TLB_WRITE);
        if (hostFrom != 0 && hostTo != 0) {
          let n = run(si, from, count, bytes, mask);
          n = run(di, to, n, bytes, mask);
          if (!isCode64(cpu) && n > 1) {
            // Segment limits hold for the whole run or it goes element by element.
            if (<u32>(si + n * bytes) > load<u32>(segment(cpu, sourceSegment), SEG_FAST_READ) || <u32>(di + n * bytes) > load<u32>(segment(cpu, SEG_ES), SEG_FAST_WRITE)) n = 0;
          }
          const length = <usize>(n * bytes);
          if (n > 1 && (hostTo <= hostFrom || hostTo >= hostFrom + length)) {
            memory.copy(hostTo, hostFrom, length);
            setRegister(cpu, RSI, si + length, addressSize);
            setRegister(cpu, RDI, di + length, addressSize);
            setRegister(cpu, RCX, count - n, addressSize);
            if (count == n) return 0;
            store<i32>(cpu, load<i32>(cpu, BUDGET) - <i32>(n >> 3), BUDGET);
            if (load<i32>(cpu, BUDGET) < 0) return resume(cpu);
            continue;
          }
        }
      }
      const value = loadLinear(cpu, from, bytes);
      if (load<u32>(cpu, FAULT_PENDING) != 0) return 1;
      storeLinear(cpu, to, bytes, value);
    } else if (op == STOS) {
      const to = element(cpu, SEG_ES, di, bytes, 1);
      if (load<u32>(cpu, FAULT_PENDING) != 0) return 1;
      const value = load<u64>(cpu, RAX);
      if (repeat != 0 && !backward) {
        const host = hostOf(cpu, to, TLB_WRITE);
        if (host != 0) {
          let n = run(di, to, count, bytes, mask);
          if (!isCode64(cpu) && <u32>(di + n * bytes) > load<u32>(segment(cpu, SEG_ES), SEG_FAST_WRITE)) n = 0;
          if (n > 1) {
            fill(host, value, n, bytes);
            setRegister(cpu, RDI, di + n * bytes, addressSize);
            setRegister(cpu, RCX, count - n, addressSize);
            if (count == n) return 0;
            store<i32>(cpu, load<i32>(cpu, BUDGET) - <i32>(n >> 3), BUDGET);
            if (load<i32>(cpu, BUDGET) < 0) return resume(cpu);
            continue;
          }
        }
      }
      storeLinear(cpu, to, bytes, value);
    } else if (op == LODS) {
      const from = element(cpu, sourceSegment, si, bytes, 0);
      if (load<u32>(cpu, FAULT_PENDING) != 0) return 1;
      a = loadLinear(cpu, from, bytes);
    } else if (op == CMPS) {
      const from = element(cpu, sourceSegment, si, bytes, 0);
      const to = element(cpu, SEG_ES, di, bytes, 0);
      if (load<u32>(cpu, FAULT_PENDING) != 0) return 1;
      a = loadLinear(cpu, from, bytes);
      if (load<u32>(cpu, FAULT_PENDING) != 0) return 1;
      b = loadLinear(cpu, to, bytes);
    } else if (op == SCAS) {
      const to = element(cpu, SEG_ES, di, bytes, 0);
      if (load<u32>(cpu, FAULT_PENDING) != 0) return 1;
      b = loadLinear(cpu, to, bytes);
      a = load<u64>(cpu, RAX);
      if (bytes < 8) a &= ((<u64>1 << (bytes * 8)) - 1);
    } else if (op == INS) {
      const to = element(cpu, SEG_ES, di, bytes, 1);
      if (load<u32>(cpu, FAULT_PENDING) != 0) return 1;
      // The destination is checked first: a port read has effects that cannot be taken back.
      if (probeLinear(cpu, to, bytes, 1, <i32>(load<u32>(cpu, CPL) == 3)) != 0) return 1;
      storeLinear(cpu, to, bytes, <u64><u32>readPort(load<u32>(cpu, RDX) & 0xffff, bytes));
    } else {
      const from = element(cpu, sourceSegment, si, bytes, 0);
      if (load<u32>(cpu, FAULT_PENDING) != 0) return 1;
      a = loadLinear(cpu, from, bytes);
      if (load<u32>(cpu, FAULT_PENDING) != 0) return 1;
      writePort(load<u32>(cpu, RDX) & 0xffff, bytes, <i32>a);
    }
    if (load<u32>(cpu, FAULT_PENDING) != 0) return 1;

    if (op == MOVS || op == LODS || op == CMPS || op == OUTS) setRegister(cpu, RSI, si + step, addressSize);
    if (op == MOVS || op == STOS || op == CMPS || op == SCAS || op == INS) setRegister(cpu, RDI, di + step, addressSize);
    if (op == LODS) {
      if (bytes == 1) store<u8>(cpu, <u8>a, RAX);
      else if (bytes == 2) store<u16>(cpu, <u16>a, RAX);
      else store<u64>(cpu, a, RAX);
    }
    if (op == CMPS || op == SCAS) compareFlags(cpu, a, b, bytes);
    if (repeat == 0) return 0;
    count--;
    setRegister(cpu, RCX, count, addressSize);
    if (count == 0) return 0;
    if ((op == CMPS || op == SCAS) && (a == b) != (repeat == 1)) return 0;
    if (--budget == 0) {
      budget = SLICE;
      store<i32>(cpu, load<i32>(cpu, BUDGET) - <i32>SLICE, BUDGET);
      if (load<i32>(cpu, BUDGET) < 0) return resume(cpu);
    }
    // Port transfers may have made an interrupt pending or asked for an exit.
    if (op >= INS && load<i32>(cpu, BUDGET) <= 0) return resume(cpu);
  }
}

function resume(cpu: usize): i32 {
  store<u64>(cpu, currentIp(cpu), RIP);
  store<u32>(cpu, 1, EVENTS);
  return LEAVE_RESUME;
}

function fill(host: usize, value: u64, count: u64, bytes: i32): void {
  if (bytes == 1) memory.fill(host, <u8>value, <usize>count);
  else if (value == 0) memory.fill(host, 0, <usize>(count * bytes));
  else {
    for (let i: usize = 0; i < <usize>count; i++) {
      if (bytes == 2) store<u16>(host + i * 2, <u16>value);
      else if (bytes == 4) store<u32>(host + i * 4, <u32>value);
      else store<u64>(host + i * 8, value);
    }
  }
}
