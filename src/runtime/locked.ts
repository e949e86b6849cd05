// Locked accesses that are no single atomic instruction: misaligned ones, 16 bytes, and all that miss the TLB's write tag
// (docs/adr/0006; Intel SDM 3A, 9.1.2).

import { BREAKPOINTS_ARMED, FAULT_PENDING, SCRATCH, TLB_SET_KERNEL } from "../isa/x86/state/layout.ts";
import { MACHINE_SPLIT_LOCK, REGION_KIND_RAM } from "../memory/layout.ts";
import { noteAccess } from "./breakpoints.ts";
import { inspect, nextPage, readSlow, writeSlow } from "./memory.ts";
import { ACCESS_WRITE } from "./page-walk.ts";
import { currentSet, foundHost, foundKind, translateIn } from "./paging.ts";
import { afterWrite } from "./physical.ts";

// As the IR numbers them (ir/operations.ts, atomicOperations).
const ADD: i32 = 0;
const SUB: i32 = 1;
const AND: i32 = 2;
const OR: i32 = 3;
const XOR: i32 = 4;
const EXCHANGE: i32 = 5;
const COMPARE_EXCHANGE: i32 = 6;

/** What is written over `old`. */
function changed(operation: i32, old: u64, operand: u64, replacement: u64): u64 {
  switch (operation) {
    case ADD: return old + operand;
    case SUB: return old - operand;
    case AND: return old & operand;
    case OR: return old | operand;
    case XOR: return old ^ operand;
    case EXCHANGE: return operand;
    default: return old == operand ? replacement : old;
  }
}

/** Host addresses of the access' first byte and of its first in the next 8 bytes of memory, on another page perhaps; 0: none there. */
let firstHost: usize = 0;
let secondHost: usize = 0;

/** Where an access lies; false with a fault pending, or (firstHost 0) where not all of it is RAM. */
function find(cpu: usize, linear: u64, bytes: u32, set: u32): bool {
  firstHost = secondHost = 0;
  if (!translateIn(cpu, linear, ACCESS_WRITE, set)) return false;
  const kind = foundKind;
  const host: usize = foundHost;
  const inPage: u32 = 0x1000 - (<u32>linear & 0xfff);
  const inWord: u32 = 8 - (<u32>linear & 7);
  if (bytes > inPage) {
    if (!translateIn(cpu, nextPage(cpu, linear), ACCESS_WRITE, set)) return false;
    if (foundKind != REGION_KIND_RAM) return false;
    secondHost = foundHost;
  } else if (bytes > inWord) secondHost = host + inWord;
  if (kind == REGION_KIND_RAM) firstHost = host;
  return firstHost != 0;
}

/** Bytes at `host`, which lie in 8 aligned ones. */
function piece(host: usize, bytes: u32): u64 {
  return (atomic.load<u64>(host & ~7) >> ((<u64>host & 7) << 3)) & (u64.MAX_VALUE >> (64 - (<u64>bytes << 3)));
}

/** Replaces such bytes, and no others, if they are `old` still. */
function replacePiece(host: usize, bytes: u32, old: u64, next: u64): bool {
  const shift = (<u64>host & 7) << 3;
  const mask = (u64.MAX_VALUE >> (64 - (<u64>bytes << 3))) << shift;
  let word = atomic.load<u64>(host & ~7);
  while ((word & mask) == old << shift) {
    const found = atomic.cmpxchg<u64>(host & ~7, word, (word & ~mask) | ((next << shift) & mask));
    if (found == word) return true;
    word = found;
  }
  return false;
}

// Short, without faults or calls of the host inside: nobody waits for long. One word for all memory.
function takeLock(): void {
  while (atomic.cmpxchg<u32>(MACHINE_SPLIT_LOCK, 0, 1) != 0) {}
}
function releaseLock(): void {
  atomic.store<u32>(MACHINE_SPLIT_LOCK, 0);
}

function modifyWord(bytes: u32, operation: i32, operand: u64, replacement: u64): u64 {
  let old: u64;
  let next: u64;
  do {
    old = piece(firstHost, bytes);
    next = changed(operation, old, operand, replacement);
  } while (!replacePiece(firstHost, bytes, old, next));
  return old;
}

/** Other locked accesses to two words are kept out; one of a single word, or a store, that comes between is never lost. */
function modifySplit(bytes: u32, operation: i32, operand: u64, replacement: u64): u64 {
  const low: u32 = 8 - (<u32>firstHost & 7);
  const high = bytes - low;
  const shift = <u64>low << 3;
  let old: u64;
  takeLock();
  for (;;) {
    const oldLow = piece(firstHost, low);
    const oldHigh = piece(secondHost, high);
    old = oldLow | (oldHigh << shift);
    const next = changed(operation, old, operand, replacement);
    if (next == old) break;
    const nextLow = next & (u64.MAX_VALUE >> (64 - shift));
    if (!replacePiece(firstHost, low, oldLow, nextLow)) continue;
    if (replacePiece(secondHost, high, oldHigh, next >> shift)) break;
    replacePiece(firstHost, low, nextLow, oldLow);
  }
  releaseLock();
  return old;
}

function locked(cpu: usize, linear: u64, bytes: u32, operation: i32, operand: u64, replacement: u64, set: u32): u64 {
  const mask = u64.MAX_VALUE >> (64 - (<u64>bytes << 3));
  if (!inspect(cpu, linear, bytes, bytes, true, set)) return 0;
  if (!find(cpu, linear, bytes, set)) {
    if (load<u32>(cpu, FAULT_PENDING) != 0) return 0;
    // Devices and ROM: a read and a write, which nothing keeps together but what drives the bus.
    const old = readSlow(cpu, linear, bytes, ACCESS_WRITE, set);
    if (load<u32>(cpu, FAULT_PENDING) == 0) writeSlow(cpu, linear, bytes, changed(operation, old, operand, replacement) & mask, set);
    return old;
  }
  // `changed` compares with what is zero-extended, and a sum's carry goes nowhere.
  const first = firstHost;
  const second = secondHost;
  const split = second != 0;
  const old = split ? modifySplit(bytes, operation, operand, replacement) : modifyWord(bytes, operation, operand, replacement);
  const inFirst: u32 = split ? 8 - (<u32>first & 7) : bytes;
  afterWrite(first, inFirst);
  if (split) afterWrite(second, bytes - inFirst);
  if (load<u32>(cpu, BREAKPOINTS_ARMED) != 0) noteAccess(cpu, linear, bytes, true);
  return old;
}

export function slowModify(cpu: usize, linear: i64, operand: i64, how: i32): i64 {
  return locked(cpu, linear, how & 15, how >> 4, operand, 0, currentSet(cpu));
}

export function slowCompareExchange(cpu: usize, linear: i64, expected: i64, replacement: i64, bytes: i32): i64 {
  return locked(cpu, linear, bytes, COMPARE_EXCHANGE, expected, replacement, currentSet(cpu));
}

/** Sets bits of a descriptor's byte, as supervisor whatever the privilege (SDM 3A, 9.1.2.1); the byte of before, or a fault is pending. */
export function setSystemBits(cpu: usize, linear: u64, bits: u32): u32 {
  return <u32>locked(cpu, linear, 1, OR, bits, 0, TLB_SET_KERNEL);
}
export function clearSystemBits(cpu: usize, linear: u64, bits: u32): void {
  locked(cpu, linear, 1, AND, ~bits & 0xff, 0, TLB_SET_KERNEL);
}

/** CMPXCHG16B with LOCK; the address is a multiple of 16. */
export function compareExchange128(cpu: usize, linear: i64, expectedLow: i64, expectedHigh: i64, low: i64, high: i64): i32 {
  const set = currentSet(cpu);
  if (!inspect(cpu, linear, 16, 16, true, set)) return 0;
  if (!find(cpu, linear, 8, set)) {
    if (load<u32>(cpu, FAULT_PENDING) != 0) return 0;
    const foundLow = readSlow(cpu, linear, 8, ACCESS_WRITE, set);
    const foundHigh = readSlow(cpu, linear + 8, 8, ACCESS_WRITE, set);
    const equal = foundLow == <u64>expectedLow && foundHigh == <u64>expectedHigh;
    store<u64>(cpu, foundLow, SCRATCH);
    store<u64>(cpu, foundHigh, SCRATCH + 8);
    writeSlow(cpu, linear, 8, equal ? low : foundLow, set);
    writeSlow(cpu, linear + 8, 8, equal ? high : foundHigh, set);
    return equal ? 1 : 0;
  }
  const host = firstHost;
  takeLock();
  const found = v128.load(host);
  const equal = i64x2.extract_lane(found, 0) == expectedLow && i64x2.extract_lane(found, 1) == expectedHigh;
  // One store, so that who reads without a lock sees both halves change at once (a processor with AVX does 16 aligned bytes so).
  if (equal) v128.store(host, i64x2.replace_lane(i64x2.splat(low), 1, high));
  releaseLock();
  v128.store(cpu, found, SCRATCH);
  if (equal) afterWrite(host, 16);
  if (load<u32>(cpu, BREAKPOINTS_ARMED) != 0) noteAccess(cpu, linear, 16, true);
  return equal ? 1 : 0;
}
