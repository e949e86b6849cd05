// Guest memory by linear address for routines and for the slow paths of generated code: TLB hit, page walk,
// page-crossing accesses, device memory, pages with decoded code.

import {
  BREAKPOINTS_ARMED, CPL, CR0, EFER, EFLAGS, FAULT_PENDING, FLAT_SEGMENTS, LEAVE_FAULT, MODE, MODE_CODE64, MODE_CODE_MASK, MODE_REAL, MODE_V86, SEGMENTS, SEGMENT_BYTES,
  SEG_ATTRIBUTES, SEG_BASE, SEG_CS, SEG_DS, SEG_FAST_READ, SEG_FAST_WRITE, SEG_GS, SEG_LIMIT, SEG_SS, STACK_MASK, TLB, TLB_ADDEND, TLB_BASE, TLB_ENTRIES, TLB_ENTRY_BYTES, TLB_READ,
  TLB_SET_BYTES, TLB_SET_KERNEL, TLB_SET_USER, TLB_WRITE, VECTOR_AC, VECTOR_GP, VECTOR_SS,
} from "../isa/x86/state/layout.ts";
import { REGION_KIND_RAM } from "../memory/layout.ts";
import { noteAccess } from "./breakpoints.ts";
import { raiseFault } from "./faults.ts";
import { hostLoad, hostStore } from "./host-elements.ts";
import { readMmio, writeMmio } from "./host.ts";
import { ACCESS_READ, ACCESS_WRITE } from "./page-walk.ts";
import { currentSet, supervisorSet, foundHost, foundKind, foundPhysical, isCanonical, raiseNonCanonical, translateIn } from "./paging.ts";
import { afterWrite } from "./physical.ts";

const CR0_AM: u64 = 0x40000;
const EFER_LMA: u64 = 0x400;
const FLAG_AC: u32 = 0x40000;
const FLAG_VM: u32 = 0x20000;

/** Part of an access that the bus takes at once: naturally aligned, at most 4 bytes. */
function busPart(physical: u64, bytes: u32): u32 {
  const aligned: u32 = 1 << ctz<u32>(<u32>physical | 4);
  let part: u32 = aligned;
  while (part > bytes) part >>= 1;
  return part;
}

function readBus(physical: u64, bytes: u32): u64 {
  let value: u64 = 0;
  for (let done: u32 = 0; done < bytes; ) {
    const part = busPart(physical + done, bytes - done);
    const read = <u64><u32>readMmio(<f64>(physical + done), part) & (u64.MAX_VALUE >> (64 - (<u64>part << 3)));
    value |= read << (<u64>done << 3);
    done += part;
  }
  return value;
}

function writeBus(physical: u64, bytes: u32, value: u64): void {
  for (let done: u32 = 0; done < bytes; ) {
    const part = busPart(physical + done, bytes - done);
    const piece = (value >> (<u64>done << 3)) & (u64.MAX_VALUE >> (64 - (<u64>part << 3)));
    writeMmio(<f64>(physical + done), part, <i32>piece);
    done += part;
  }
}

/** Bytes inside one page, at its host address or on the bus (host 0). Any number up to 8. */
function readPart(host: usize, physical: u64, bytes: u32): u64 {
  if (host == 0) return readBus(physical, bytes);
  let value: u64 = 0;
  for (let i: u32 = 0; i < bytes; i++) value |= <u64>load<u8>(host + i) << (<u64>i << 3);
  return value;
}

function writePart(host: usize, kind: u32, physical: u64, bytes: u32, value: u64): void {
  if (kind != REGION_KIND_RAM) {
    writeBus(physical, bytes, value);
    return;
  }
  for (let i: u32 = 0; i < bytes; i++) store<u8>(host + i, <u8>(value >> (<u64>i << 3)));
  afterWrite(host, bytes);
}

/** Of an access that reaches to `next`, canonical addresses come before page faults; false with a fault pending. */
export function reachesCanonical(cpu: usize, next: u64, write: bool): bool {
  if ((load<u64>(cpu, EFER) & EFER_LMA) == 0 || isCanonical(next)) return true;
  raiseNonCanonical(cpu, write);
  return false;
}

/** Canonical addresses up to the last byte, then alignment of user code's accesses (SDM 3A, 6.15, #AC); false with a fault pending. */
export function inspect(cpu: usize, linear: u64, bytes: u32, alignment: u32, write: bool, set: u32): bool {
  if (bytes > 0x1000 - (<u32>linear & 0xfff) && !reachesCanonical(cpu, nextPage(cpu, linear), write)) return false;
  if (set == TLB_SET_USER && (<u32>linear & (alignment - 1)) != 0 && (load<u64>(cpu, CR0) & CR0_AM) != 0 && (load<u32>(cpu, EFLAGS) & FLAG_AC) != 0) {
    if (reachesCanonical(cpu, linear, write)) raiseFault(cpu, VECTOR_AC, 1, 0);
    return false;
  }
  return true;
}

/** No alignment is asked of more than 16 bytes (SDM 3A, table 6-7). */
export function probeStore(cpu: usize, linear: i64, bytes: i32): i32 {
  return probeAligned(cpu, linear, bytes, min(bytes, 16), true) ? 0 : LEAVE_FAULT;
}

/** Whether `bytes` bytes may be accessed at the current privilege, aligned to `alignment` where that is checked; else a fault is pending. */
export function probeAligned(cpu: usize, linear: u64, bytes: u32, alignment: u32, write: bool): bool {
  const set = currentSet(cpu);
  return inspect(cpu, linear, bytes, alignment, write, set) && probe(cpu, linear, bytes, write ? ACCESS_WRITE : ACCESS_READ, set) == 0;
}

/** Linear address of the next page's first byte; outside 64-bit code addresses wrap at 4 GiB. */
export function nextPage(cpu: usize, linear: u64): u64 {
  const next = (linear | 0xfff) + 1;
  return next == 0x100000000 && (load<u32>(cpu, MODE) & MODE_CODE_MASK) != MODE_CODE64 ? 0 : next;
}

/** Reads 1, 2, 4 or 8 bytes; 0 with a fault pending. `access` WRITE: the right to write is checked as well. */
export function readSlow(cpu: usize, linear: u64, bytes: u32, access: i32, set: u32): u64 {
  if (!inspect(cpu, linear, bytes, bytes, access == ACCESS_WRITE, set)) return 0;
  const inPage: u32 = 0x1000 - (<u32>linear & 0xfff);
  if (!translateIn(cpu, linear, access, set)) return 0;
  // What a write to ROM would go to is not what a read sees.
  if (access == ACCESS_WRITE && foundKind != REGION_KIND_RAM && !translateIn(cpu, linear, ACCESS_READ, set)) return 0;
  let value: u64;
  if (inPage >= bytes) value = foundHost == 0 ? readBus(foundPhysical, bytes) : hostLoad(foundHost, bytes);
  else {
    // Both pages are translated before either is read.
    const host = foundHost;
    const physical = foundPhysical;
    const next = nextPage(cpu, linear);
    if (!translateIn(cpu, next, access, set)) return 0;
    if (access == ACCESS_WRITE && foundKind != REGION_KIND_RAM && !translateIn(cpu, next, ACCESS_READ, set)) return 0;
    const nextHost = foundHost;
    const nextPhysical = foundPhysical;
    value = readPart(host, physical, inPage) | (readPart(nextHost, nextPhysical, bytes - inPage) << (<u64>inPage << 3));
  }
  if (load<u32>(cpu, BREAKPOINTS_ARMED) != 0) noteAccess(cpu, linear, bytes, false);
  return value;
}

export function writeSlow(cpu: usize, linear: u64, bytes: u32, value: u64, set: u32): void {
  if (!inspect(cpu, linear, bytes, bytes, true, set)) return;
  const inPage: u32 = 0x1000 - (<u32>linear & 0xfff);
  if (!translateIn(cpu, linear, ACCESS_WRITE, set)) return;
  if (inPage >= bytes) {
    if (foundKind != REGION_KIND_RAM) writeBus(foundPhysical, bytes, value);
    else {
      const host = foundHost;
      hostStore(host, value, bytes);
      afterWrite(host, bytes);
    }
  } else {
    const host = foundHost;
    const physical = foundPhysical;
    const kind = foundKind;
    if (!translateIn(cpu, nextPage(cpu, linear), ACCESS_WRITE, set)) return;
    const nextHost = foundHost;
    const nextPhysical = foundPhysical;
    const nextKind = foundKind;
    writePart(host, kind, physical, inPage, value);
    writePart(nextHost, nextKind, nextPhysical, bytes - inPage, value >> (<u64>inPage << 3));
  }
  if (load<u32>(cpu, BREAKPOINTS_ARMED) != 0) noteAccess(cpu, linear, bytes, true);
}

// Slow paths of generated code.
/** Part of an access at the end of 4 GiB, which wraps outside 64-bit code. */
// @ts-ignore: decorator
@inline export function wrapped(cpu: usize, linear: u64): u64 {
  return (load<u32>(cpu, MODE) & MODE_CODE_MASK) == MODE_CODE64 ? linear : linear & 0xffffffff;
}
export function slowLoad8(cpu: usize, linear: i64): i32 { return <i32>readSlow(cpu, linear, 1, ACCESS_READ, currentSet(cpu)); }
export function slowLoad16(cpu: usize, linear: i64): i32 { return <i32>readSlow(cpu, linear, 2, ACCESS_READ, currentSet(cpu)); }
export function slowLoad32(cpu: usize, linear: i64): i32 { return <i32>readSlow(cpu, linear, 4, ACCESS_READ, currentSet(cpu)); }
export function slowLoad64(cpu: usize, linear: i64): i64 { return readSlow(cpu, wrapped(cpu, linear), 8, ACCESS_READ, currentSet(cpu)); }
export function slowLoadLow128(cpu: usize, linear: i64): i64 { return loadFirst(cpu, linear, 16); }
export function slowLoadLow256(cpu: usize, linear: i64): i64 { return loadFirst(cpu, linear, 32); }
/** The first 8 bytes of an access that must be allowed as a whole. */
function loadFirst(cpu: usize, linear: u64, bytes: u32): u64 {
  return inspect(cpu, linear, bytes, 16, false, currentSet(cpu)) ? readSlow(cpu, linear, 8, ACCESS_READ, currentSet(cpu)) : 0;
}
export function slowLoadForWrite8(cpu: usize, linear: i64): i32 { return <i32>readSlow(cpu, linear, 1, ACCESS_WRITE, currentSet(cpu)); }
export function slowLoadForWrite16(cpu: usize, linear: i64): i32 { return <i32>readSlow(cpu, linear, 2, ACCESS_WRITE, currentSet(cpu)); }
export function slowLoadForWrite32(cpu: usize, linear: i64): i32 { return <i32>readSlow(cpu, linear, 4, ACCESS_WRITE, currentSet(cpu)); }
export function slowLoadForWrite64(cpu: usize, linear: i64): i64 { return readSlow(cpu, wrapped(cpu, linear), 8, ACCESS_WRITE, currentSet(cpu)); }
export function slowStore8(cpu: usize, linear: i64, value: i32): void { writeSlow(cpu, linear, 1, <u32>value, currentSet(cpu)); }
export function slowStore16(cpu: usize, linear: i64, value: i32): void { writeSlow(cpu, linear, 2, <u32>value, currentSet(cpu)); }
export function slowStore32(cpu: usize, linear: i64, value: i32): void { writeSlow(cpu, linear, 4, <u32>value, currentSet(cpu)); }
export function slowStore64(cpu: usize, linear: i64, value: i64): void { writeSlow(cpu, linear, 8, value, currentSet(cpu)); }
export function slowStore128(cpu: usize, linear: i64, low: i64, high: i64): void {
  // Both halves are checked before either is written.
  if (!probeAligned(cpu, linear, 16, 16, true)) return;
  writeSlow(cpu, linear, 8, low, currentSet(cpu));
  writeSlow(cpu, wrapped(cpu, <u64>linear + 8), 8, high, currentSet(cpu));
}

/** 1, 2, 4 or 8 bytes wherever they lie: no alignment is checked. */
export function loadUnaligned(cpu: usize, linear: u64, bytes: u32): u64 {
  if ((<u32>linear & (bytes - 1)) == 0) return loadLinear(cpu, linear, bytes);
  if (!inspect(cpu, linear, bytes, 1, false, currentSet(cpu))) return 0;
  let value: u64 = 0;
  for (let i: u32 = 0; i < bytes && load<u32>(cpu, FAULT_PENDING) == 0; i++) value |= <u64>loadLinear8(cpu, linear + i) << (<u64>i << 3);
  return value;
}

/** Host address when the access hits the TLB, else 0. */
// @ts-ignore: decorator
@inline export function hit(cpu: usize, linear: u64, bytes: u32, tag: usize): usize {
  const entry: usize = load<u32>(cpu, TLB_BASE) + (<u32>(linear >> 12) & (TLB_ENTRIES - 1)) * TLB_ENTRY_BYTES;
  return load<u64>(entry + tag) == ((linear + bytes - 1) & ~0xfff) ? <usize>(<u32>linear + load<u32>(entry, TLB_ADDEND)) : 0;
}

// With the current privilege's rights.
export function loadLinear8(cpu: usize, linear: u64): u32 {
  const host = hit(cpu, linear, 1, TLB_READ);
  return host != 0 ? load<u8>(host) : <u32>readSlow(cpu, linear, 1, ACCESS_READ, currentSet(cpu));
}
export function loadLinear16(cpu: usize, linear: u64): u32 {
  const host = hit(cpu, linear, 2, TLB_READ);
  return host != 0 ? load<u16>(host) : <u32>readSlow(cpu, linear, 2, ACCESS_READ, currentSet(cpu));
}
export function loadLinear32(cpu: usize, linear: u64): u32 {
  const host = hit(cpu, linear, 4, TLB_READ);
  return host != 0 ? load<u32>(host) : <u32>readSlow(cpu, linear, 4, ACCESS_READ, currentSet(cpu));
}
export function loadLinear64(cpu: usize, linear: u64): u64 {
  const host = hit(cpu, linear, 8, TLB_READ);
  return host != 0 ? load<u64>(host) : readSlow(cpu, linear, 8, ACCESS_READ, currentSet(cpu));
}
export function storeLinear8(cpu: usize, linear: u64, value: u32): void {
  const host = hit(cpu, linear, 1, TLB_WRITE);
  if (host != 0) store<u8>(host, <u8>value);
  else writeSlow(cpu, linear, 1, value, currentSet(cpu));
}
export function storeLinear16(cpu: usize, linear: u64, value: u32): void {
  const host = hit(cpu, linear, 2, TLB_WRITE);
  if (host != 0) store<u16>(host, <u16>value);
  else writeSlow(cpu, linear, 2, value, currentSet(cpu));
}
export function storeLinear32(cpu: usize, linear: u64, value: u32): void {
  const host = hit(cpu, linear, 4, TLB_WRITE);
  if (host != 0) store<u32>(host, value);
  else writeSlow(cpu, linear, 4, value, currentSet(cpu));
}
export function storeLinear64(cpu: usize, linear: u64, value: u64): void {
  const host = hit(cpu, linear, 8, TLB_WRITE);
  if (host != 0) store<u64>(host, value);
  else writeSlow(cpu, linear, 8, value, currentSet(cpu));
}
/** A value of 2, 4 or 8 bytes. */
export function loadLinear(cpu: usize, linear: u64, bytes: u32): u64 {
  return bytes == 8 ? loadLinear64(cpu, linear) : bytes == 4 ? loadLinear32(cpu, linear) : bytes == 2 ? loadLinear16(cpu, linear) : loadLinear8(cpu, linear);
}
export function storeLinear(cpu: usize, linear: u64, bytes: u32, value: u64): void {
  if (bytes == 8) storeLinear64(cpu, linear, value);
  else if (bytes == 4) storeLinear32(cpu, linear, <u32>value);
  else if (bytes == 2) storeLinear16(cpu, linear, <u32>value);
  else storeLinear8(cpu, linear, <u32>value);
}

// As supervisor whatever the privilege: descriptor tables and task state (SDM 3A, 4.6.1, implicit accesses).
// @ts-ignore: decorator
@inline function systemHit(cpu: usize, set: u32, linear: u64, bytes: u32, tag: usize): usize {
  const entry: usize = cpu + TLB + set * TLB_SET_BYTES + (<u32>(linear >> 12) & (TLB_ENTRIES - 1)) * TLB_ENTRY_BYTES;
  return load<u64>(entry + tag) == ((linear + bytes - 1) & ~0xfff) ? <usize>(<u32>linear + load<u32>(entry, TLB_ADDEND)) : 0;
}
/** 1, 2, 4 or 8 bytes. */
export function loadSystem(cpu: usize, linear: u64, bytes: u32): u64 {
  const host = systemHit(cpu, TLB_SET_KERNEL, linear, bytes, TLB_READ);
  return host != 0 ? hostLoad(host, bytes) : readSlow(cpu, linear, bytes, ACCESS_READ, TLB_SET_KERNEL);
}
export function storeSystem(cpu: usize, linear: u64, bytes: u32, value: u64): void {
  const host = systemHit(cpu, TLB_SET_KERNEL, linear, bytes, TLB_WRITE);
  if (host != 0) hostStore(host, value, bytes);
  else writeSlow(cpu, linear, bytes, value, TLB_SET_KERNEL);
}
export function loadSystem8(cpu: usize, linear: u64): u32 { return <u32>loadSystem(cpu, linear, 1); }
export function loadSystem16(cpu: usize, linear: u64): u32 { return <u32>loadSystem(cpu, linear, 2); }
export function loadSystem32(cpu: usize, linear: u64): u32 { return <u32>loadSystem(cpu, linear, 4); }
export function loadSystem64(cpu: usize, linear: u64): u64 { return loadSystem(cpu, linear, 8); }
export function storeSystem8(cpu: usize, linear: u64, value: u32): void { storeSystem(cpu, linear, 1, value); }
export function storeSystem16(cpu: usize, linear: u64, value: u32): void { storeSystem(cpu, linear, 2, value); }
export function storeSystem32(cpu: usize, linear: u64, value: u32): void { storeSystem(cpu, linear, 4, value); }
export function storeSystem64(cpu: usize, linear: u64, value: u64): void { storeSystem(cpu, linear, 8, value); }

/** A supervisor's store that is no implicit access, whatever the privilege still is: frames of events and call gates. */
export function storeSupervisor(cpu: usize, linear: u64, bytes: u32, value: u64): void {
  const set = supervisorSet(cpu);
  const host = systemHit(cpu, set, linear, bytes, TLB_WRITE);
  if (host != 0) hostStore(host, value, bytes);
  else writeSlow(cpu, linear, bytes, value, set);
}

function probe(cpu: usize, linear: u64, bytes: u32, access: i32, set: u32): i32 {
  let left: i64 = bytes;
  while (left > 0) {
    if (!translateIn(cpu, linear, access, set)) return LEAVE_FAULT;
    left -= 0x1000 - (<i64>linear & 0xfff);
    linear = nextPage(cpu, linear);
  }
  return 0;
}

/**
 * Checks that `bytes` bytes may be read or written, with user rights or the supervisor's (implicit ones when CPL is 3). 0, else
 * LEAVE_FAULT with the fault pending. Sets accessed and dirty flags as the access would.
 */
export function probeLinear(cpu: usize, linear: i64, bytes: i32, write: i32, user: i32): i32 {
  const set: u32 = user != 0 ? TLB_SET_USER : supervisorSet(cpu);
  return probe(cpu, linear, bytes, write != 0 ? ACCESS_WRITE : ACCESS_READ, set);
}

const ATTRIBUTE_UNUSABLE: u32 = 0x10000;

/**
 * Exact segment check outside 64-bit mode (SDM 3A, 5.3 and 5.4), for what the quick check could not allow. 0, or
 * LEAVE_FAULT with #GP(0), #SS(0) for the stack segment.
 */
export function checkSegment(cpu: usize, index: i32, offset: i32, bytes: i32, write: i32): i32 {
  const segment: usize = cpu + SEGMENTS + index * SEGMENT_BYTES;
  const attributes = load<u32>(segment, SEG_ATTRIBUTES);
  const limit: u64 = load<u32>(segment, SEG_LIMIT);
  const vector = index == SEG_SS ? VECTOR_SS : VECTOR_GP;
  const code = (attributes & 8) != 0;
  const first: u64 = <u32>offset;
  const last = first + <u32>bytes - 1;
  let allowed: bool;
  if (!code && (attributes & 4) != 0) allowed = first > limit && last <= ((attributes & 0x4000) != 0 ? <u64>0xffffffff : 0xffff);
  else allowed = last <= limit || limit == 0xffffffff; // in a flat segment addresses wrap
  // Types mean nothing in real-address and virtual-8086 mode.
  if ((load<u32>(cpu, MODE) & (MODE_REAL | MODE_V86)) == 0) {
    if ((attributes & ATTRIBUTE_UNUSABLE) != 0) allowed = false;
    if (write != 0 ? code || (attributes & 2) == 0 : code && (attributes & 2) == 0) allowed = false;
  }
  return allowed ? 0 : raiseFault(cpu, vector, 1, 0);
}

/** Recomputes the quick-check fields of a segment register, and for SS the stack mask. */
export function updateSegmentCache(cpu: usize, index: u32): void {
  const segment: usize = cpu + SEGMENTS + index * SEGMENT_BYTES;
  const attributes = load<u32>(segment, SEG_ATTRIBUTES);
  const limit = load<u32>(segment, SEG_LIMIT);
  const typed = (load<u64>(cpu, CR0) & 1) != 0 && (load<u32>(cpu, EFLAGS) & FLAG_VM) == 0;
  const code = (attributes & 8) != 0;
  let fast: u32 = 0;
  if ((code || (attributes & 4) == 0) && !(typed && (attributes & ATTRIBUTE_UNUSABLE) != 0)) fast = limit >= 15 ? limit - 15 : 0;
  store<u32>(segment, typed && code && (attributes & 2) == 0 ? 0 : fast, SEG_FAST_READ);
  store<u32>(segment, typed && (code || (attributes & 2) == 0) ? 0 : fast, SEG_FAST_WRITE);
  if (index == SEG_SS) store<u32>(cpu, (attributes & 0x4000) != 0 ? 0xffffffff : 0xffff, STACK_MASK);
  if (index <= <u32>SEG_DS) updateFlatSegments(cpu);
}

/** Of all six: what they are derived from may have changed for each. */
export function updateSegmentCaches(cpu: usize): void {
  for (let index: u32 = 0; index <= <u32>SEG_GS; index++) updateSegmentCache(cpu, index);
}

function updateFlatSegments(cpu: usize): void {
  let flat = load<u32>(cpu, STACK_MASK) == 0xffffffff;
  for (let index: u32 = 0; index <= <u32>SEG_DS; index++) {
    const segment: usize = cpu + SEGMENTS + index * SEGMENT_BYTES;
    const fast: u32 = index == SEG_CS ? load<u32>(segment, SEG_FAST_READ) : load<u32>(segment, SEG_FAST_WRITE);
    flat = flat && fast == 0xfffffff0 && load<u64>(segment, SEG_BASE) == 0;
  }
  store<u32>(cpu, flat ? 1 : 0, FLAT_SEGMENTS);
}
