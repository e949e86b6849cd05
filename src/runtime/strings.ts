// String instructions (Intel SDM 2A/2B, MOVS, STOS, LODS, CMPS, SCAS, INS, OUTS, REP): element by element with
// everything checked, or the elements inside one page of source and destination at a time.

import {
  BREAKPOINTS_ARMED, BUDGET, BUDGET_START, CPL, EFLAGS, EVENTS, FAULT_PENDING, FLAGS_CARRY, FLAGS_RESULT, LEAVE_FAULT, LEAVE_RESUME, MODE, MODE_CODE64, MODE_CODE_MASK,
  RAX, RCX, RDI, RDX, RIP, RSI, SEGMENTS, SEGMENT_BYTES, SEG_BASE, SEG_FAST_READ, SEG_FAST_WRITE, SEG_FS, TLB_READ, TLB_WRITE, ZERO,
} from "../isa/x86/state/layout.ts";
import { notePort } from "./breakpoints.ts";
import { FLAG_DF, FLAG_RF, FLAG_TF } from "./flags.ts";
import { copyElements, fillElements, hostLoad } from "./host-elements.ts";
import { readPort, writePort } from "./host.ts";
import { checkSegment, hit, loadLinear, probeLinear, storeLinear } from "./memory.ts";
import { ACCESS_READ, ACCESS_WRITE } from "./page-walk.ts";
import { looksAtEachAccess, pageHost } from "./paging.ts";
import { afterWrite } from "./physical.ts";
import { checkPort } from "./ports.ts";
import { currentIp } from "./position.ts";

// STRING_OPERATIONS of isa/x86/routines/strings.ts.
const MOVS: i32 = 0;
const STOS: i32 = 1;
const LODS: i32 = 2;
const CMPS: i32 = 3;
const SCAS: i32 = 4;
const INS: i32 = 5;
const OUTS: i32 = 6;

const ONCE: i32 = 0;
/** REP, or REPE for CMPS and SCAS. */
const REP: i32 = 1;

/** Elements that take as much of the budget as one instruction: a page of bytes is 256. */
const ELEMENTS_PER_INSTRUCTION: u32 = 16;
/** As many elements as a page has at most. */
const MOST_AT_ONCE: u64 = 0x1000;

// Operands of the comparison made last.
let compareX: u64 = 0;
let compareY: u64 = 0;

// @ts-ignore: decorator
@inline function faulted(cpu: usize): bool {
  return load<u32>(cpu, FAULT_PENDING) != 0;
}

// @ts-ignore: decorator
@inline function isCode64(cpu: usize): bool {
  return (load<u32>(cpu, MODE) & MODE_CODE_MASK) == MODE_CODE64;
}

/** Linear address of an element, limits checked outside 64-bit code; may leave a fault pending. */
function linearOf(cpu: usize, segment: u32, offset: u64, size: u32, write: i32): u64 {
  const base = load<u64>(cpu + segment, SEG_BASE);
  if (isCode64(cpu)) return base + offset;
  const fast = write != 0 ? load<u32>(cpu + segment, SEG_FAST_WRITE) : load<u32>(cpu + segment, SEG_FAST_READ);
  if (<u32>offset >= fast) checkSegment(cpu, (segment - SEGMENTS) / SEGMENT_BYTES, <i32>offset, size, write);
  return <u64>(<u32>base + <u32>offset);
}

/** Adds to a register as the address size says: 16 bits keep the rest, 32 clear the upper half. */
function advance(cpu: usize, register: usize, mask: u64, delta: i64): void {
  const value = load<u64>(cpu + register) + delta;
  if (mask == 0xffff) store<u16>(cpu + register, <u16>value);
  else store<u64>(cpu + register, value & mask);
}

/** CMP's flags for compareX - compareY (state/layout.ts, FLAGS_RESULT). */
function setCompareFlags(cpu: usize, size: u32): void {
  const shift: u64 = 64 - (size << 3);
  const x = compareX;
  const y = compareY;
  const r = x - y;
  const borrows = (~x & y) | ((~x | y) & r);
  store<i64>(cpu, <i64>(r << shift) >> shift, FLAGS_RESULT);
  store<u64>(cpu, ((borrows << shift) & 0xc000000000000000) | (borrows & 8), FLAGS_CARRY);
}

function accumulator(cpu: usize, size: u32): u64 {
  return load<u64>(cpu, RAX) & (u64.MAX_VALUE >> (64 - (<u64>size << 3)));
}

/** Takes from the budget what counts as no instruction retired. */
// @ts-ignore: decorator
@inline function spend(cpu: usize, amount: i32): void {
  store<i32>(cpu, load<i32>(cpu, BUDGET) - amount, BUDGET);
  store<i32>(cpu, load<i32>(cpu, BUDGET_START) - amount, BUDGET_START);
}

/** One element: 0, or LEAVE_FAULT with nothing changed. */
function one(cpu: usize, operation: i32, size: u32, mask: u64, source: u32, destination: u32): i32 {
  const delta: i64 = (load<u32>(cpu, EFLAGS) & FLAG_DF) != 0 ? -(<i64>size) : <i64>size;
  const reads = operation == MOVS || operation == LODS || operation == CMPS || operation == OUTS;
  const port = load<u16>(cpu, RDX);
  if (operation >= INS) {
    const code = checkPort(cpu, port, size);
    if (code != 0) return code;
  }
  let value: u64 = 0;
  if (reads) {
    const linear = linearOf(cpu, source, load<u64>(cpu, RSI) & mask, size, 0);
    if (faulted(cpu)) return LEAVE_FAULT;
    value = loadLinear(cpu, linear, size);
    if (faulted(cpu)) return LEAVE_FAULT;
  }
  if (operation == MOVS || operation == STOS || operation == INS) {
    const linear = linearOf(cpu, destination, load<u64>(cpu, RDI) & mask, size, 1);
    if (faulted(cpu)) return LEAVE_FAULT;
    if (operation == STOS) value = load<u64>(cpu, RAX);
    else if (operation == INS) {
      // What a port gives is gone once read: the store must not fail after it.
      if (probeLinear(cpu, linear, size, 1, <i32>(load<u32>(cpu, CPL) == 3)) != 0) return LEAVE_FAULT;
      notePort(cpu, port, size);
      value = <u64><u32>readPort(port, size);
    }
    storeLinear(cpu, linear, size, value);
    if (faulted(cpu)) return LEAVE_FAULT;
  } else if (operation == CMPS || operation == SCAS) {
    const linear = linearOf(cpu, destination, load<u64>(cpu, RDI) & mask, size, 0);
    if (faulted(cpu)) return LEAVE_FAULT;
    const other = loadLinear(cpu, linear, size);
    if (faulted(cpu)) return LEAVE_FAULT;
    compareX = operation == CMPS ? value : accumulator(cpu, size);
    compareY = other;
    setCompareFlags(cpu, size);
  } else if (operation == OUTS) {
    notePort(cpu, port, size);
    writePort(port, size, <i32>value);
  } else if (size == 1) store<u8>(cpu, <u8>value, RAX);
  else if (size == 2) store<u16>(cpu, <u16>value, RAX);
  else store<u64>(cpu, value, RAX);

  if (reads) advance(cpu, RSI, mask, delta);
  if (operation != LODS && operation != OUTS) advance(cpu, RDI, mask, delta);
  return 0;
}

/**
 * Lowest host address of all elements from an offset on, `tail` bytes above the lowest one's, when they lie in one page that the TLB has and
 * within what needs no segment check; else 0.
 */
// @ts-ignore: decorator
@inline function span(cpu: usize, segment: u32, offset: u64, mask: u64, bytes: u64, tail: u64, write: bool): usize {
  const lowest = offset - tail;
  if (tail > offset || lowest + bytes - 1 > mask) return 0;
  let linear = load<u64>(cpu + segment, SEG_BASE) + lowest;
  if (!isCode64(cpu)) {
    if (lowest + bytes > <u64>(write ? load<u32>(cpu + segment, SEG_FAST_WRITE) : load<u32>(cpu + segment, SEG_FAST_READ))) return 0;
    linear = <u64><u32>linear;
  }
  return hit(cpu, linear, <u32>bytes, write ? TLB_WRITE : TLB_READ);
}

/** A repeated MOVS or STOS that `span` has both ends of, done as a whole; false: nothing is done. At most MOST_AT_ONCE elements. */
function whole(cpu: usize, operation: i32, size: u32, mask: u64, source: u32, destination: u32, count: u64): bool {
  const down = (load<u32>(cpu, EFLAGS) & FLAG_DF) != 0;
  const bytes = count << ctz<u64>(size);
  const tail = down ? bytes - size : 0;
  const to = span(cpu, destination, load<u64>(cpu, RDI) & mask, mask, bytes, tail, true);
  if (to == 0) return false;
  const delta = down ? -<i64>bytes : <i64>bytes;
  if (operation == MOVS) {
    const from = span(cpu, source, load<u64>(cpu, RSI) & mask, mask, bytes, tail, false);
    if (from == 0) return false;
    copyElements(to + <usize>tail, from + <usize>tail, <u32>count, size, down);
    advance(cpu, RSI, mask, delta);
  } else fillElements(to, load<u64>(cpu, RAX), <u32>count, size);
  afterWrite(to, <u32>bytes);
  advance(cpu, RDI, mask, delta);
  advance(cpu, RCX, mask, -<i64>count);
  return true;
}

/** How many elements from an offset on lie in its page, do not wrap and need no further segment check. */
function reach(cpu: usize, segment: u32, offset: u64, mask: u64, size: u32, write: bool, down: bool): u64 {
  const inPage = <u64>((<u32>load<u64>(cpu + segment, SEG_BASE) + <u32>offset) & 0xfff);
  if (inPage + size > 0x1000) return 0;
  let n: u64;
  const shift = ctz<u64>(size);
  if (down) n = (min<u64>(inPage, offset) >> shift) + 1;
  else n = min<u64>(0x1000 - inPage, mask - offset) >> shift;
  if (!isCode64(cpu)) {
    const fast: u64 = write ? load<u32>(cpu + segment, SEG_FAST_WRITE) : load<u32>(cpu + segment, SEG_FAST_READ);
    if (offset >= fast) return 0;
    if (!down) n = min<u64>(n, ((fast - 1 - offset) >> shift) + 1);
  }
  return n;
}

/**
 * As many elements of a repeated MOVS, STOS, CMPS, SCAS as can be done at host addresses, at most `count`. Returns how many
 * were done; 0 when the next one needs `one`, or when a fault is pending.
 */
function many(cpu: usize, operation: i32, size: u32, mask: u64, source: u32, destination: u32, count: u64, repeat: i32): u64 {
  const down = (load<u32>(cpu, EFLAGS) & FLAG_DF) != 0;
  const writes = operation == MOVS || operation == STOS;
  const reads = operation == MOVS || operation == CMPS;
  const to = load<u64>(cpu, RDI) & mask;
  const from = load<u64>(cpu, RSI) & mask;
  let n = min<u64>(count, reach(cpu, destination, to, mask, size, writes, down));
  if (reads) n = min<u64>(n, reach(cpu, source, from, mask, size, false, down));
  if (n < 2) return 0;
  let fromHost: usize = 0;
  if (reads) {
    fromHost = pageHost(cpu, linearOf(cpu, source, from, size, 0), ACCESS_READ);
    if (fromHost == 0) return 0;
  }
  const toHost = pageHost(cpu, linearOf(cpu, destination, to, size, writes ? 1 : 0), writes ? ACCESS_WRITE : ACCESS_READ);
  if (toHost == 0) return 0;
  const step: isize = down ? -<isize>size : <isize>size;
  if (writes) {
    const lowest = down ? toHost - (<usize>n - 1) * size : toHost;
    if (operation == MOVS) copyElements(toHost, fromHost, <u32>n, size, down);
    else fillElements(lowest, load<u64>(cpu, RAX), <u32>n, size);
    afterWrite(lowest, <u32>n * size);
  } else {
    const equalStops = repeat != REP;
    let x = accumulator(cpu, size);
    let y: u64 = 0;
    let done: u64 = 0;
    let a = fromHost;
    let b = toHost;
    do {
      if (reads) {
        x = hostLoad(a, size);
        a += step;
      }
      y = hostLoad(b, size);
      b += step;
      done++;
    } while (done < n && (x == y) != equalStops);
    compareX = x;
    compareY = y;
    n = done;
    setCompareFlags(cpu, size);
  }
  if (reads) advance(cpu, RSI, mask, <i64>n * step);
  advance(cpu, RDI, mask, <i64>n * step);
  return n;
}

/**
 * A string instruction (parameters: isa/x86/routines/strings.ts). A repeated one leaves with LEAVE_RESUME at its own RIP
 * when the budget is used up, an event waits or every element has to be looked at (single step, breakpoints), registers
 * as after the elements done so far; so it can be interrupted and goes on.
 */
export function stringOperation(cpu: usize, operation: i32, size: i32, addressSize: i32, sourceIndex: i32, repeat: i32): i32 {
  const mask: u64 = u64.MAX_VALUE >> (64 - <u64>addressSize);
  const code64 = isCode64(cpu);
  const destination: u32 = code64 ? ZERO : SEGMENTS; // ES:rDI, whatever the prefixes
  const source: u32 = code64 && sourceIndex < SEG_FS ? ZERO : SEGMENTS + sourceIndex * SEGMENT_BYTES;
  if (repeat == ONCE) return one(cpu, operation, size, mask, source, destination);

  // Permission to use the port counts even when nothing is moved.
  if (operation >= INS) {
    const code = checkPort(cpu, load<u16>(cpu, RDX), size);
    if (code != 0) return code;
  }
  let count = load<u64>(cpu, RCX) & mask;
  if (count == 0) return 0;
  const compares = operation == CMPS || operation == SCAS;
  const single = (load<u32>(cpu, EFLAGS) & FLAG_TF) != 0 || load<u32>(cpu, BREAKPOINTS_ARMED) != 0;
  const bulk = (compares || operation == MOVS || operation == STOS) && !single && !looksAtEachAccess(cpu);
  if (bulk && !compares && count <= MOST_AT_ONCE && whole(cpu, operation, size, mask, source, destination, count)) return 0;
  const flagsResult = load<u64>(cpu, FLAGS_RESULT);
  const flagsCarry = load<u64>(cpu, FLAGS_CARRY);
  let work: u32 = 0;
  do {
    let done: u64 = 0;
    if (bulk) done = many(cpu, operation, size, mask, source, destination, count, repeat);
    if (done == 0) {
      const code = faulted(cpu) ? LEAVE_FAULT : one(cpu, operation, size, mask, source, destination);
      if (code != 0) {
        // A fault leaves the flags as they were before the instruction (SDM 2B, REP).
        store<u64>(cpu, flagsResult, FLAGS_RESULT);
        store<u64>(cpu, flagsCarry, FLAGS_CARRY);
        return code;
      }
      done = 1;
    }
    count -= done;
    advance(cpu, RCX, mask, -<i64>done);
    if (count == 0 || (compares && (compareX == compareY) != (repeat == REP))) return 0;
    work += <u32>done;
    spend(cpu, <i32>(work / ELEMENTS_PER_INSTRUCTION));
    work %= ELEMENTS_PER_INSTRUCTION;
  } while (!single && load<i32>(cpu, BUDGET) > 0 && load<u32>(cpu, EVENTS) == 0);
  // Whatever is pushed before the last iteration shows RF set (SDM 3B, 18.3.1.1).
  store<u32>(cpu, load<u32>(cpu, EFLAGS) | FLAG_RF, EFLAGS);
  store<u64>(cpu, currentIp(cpu), RIP);
  // The driver counts an instruction, which has not completed.
  store<i32>(cpu, load<i32>(cpu, BUDGET_START) - 1, BUDGET_START);
  return LEAVE_RESUME;
}
