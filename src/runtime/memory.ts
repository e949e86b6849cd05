// Guest memory by linear address for routines and for the slow paths of generated code: TLB hit, page walk,
// page-crossing accesses, device memory, pages with decoded code.

import {
  CPL, CR0, EFLAGS, FAULT_PENDING, SEGMENTS, SEGMENT_BYTES, SEG_ATTRIBUTES, SEG_FAST_READ, SEG_FAST_WRITE, SEG_LIMIT, SEG_SS, STACK_MASK,
  TLB_ADDEND, TLB_BASE, TLB_ENTRIES, TLB_ENTRY_BYTES, TLB_READ, TLB_WRITE, VECTOR_AC, VECTOR_GP, VECTOR_SS,
} from "../isa/x86/state/layout.ts";
import { PAGE_FLAGS, PAGE_FLAG_CODE, RAM_BASE, REGION_KIND_RAM } from "../memory/layout.ts";
import { raiseFault } from "./faults.ts";
import { codeWritten, readMmio, writeMmio } from "./host.ts";
import { ACCESS_READ, ACCESS_WRITE, foundHost, foundKind, foundPhysical, translate } from "./paging.ts";

const CR0_AM: u64 = 0x40000;
const FLAG_AC: u32 = 0x40000;

// @ts-ignore: decorator
@inline function isUser(cpu: usize): bool {
  return load<u32>(cpu, CPL) == 3;
}

function readBus(physical: u64, bytes: u32): u64 {
  if (bytes == 8) return <u64><u32>readMmio(<f64>physical, 4) | (<u64><u32>readMmio(<f64>(physical + 4), 4) << 32);
  return <u64><u32>readMmio(<f64>physical, bytes);
}

function writeBus(physical: u64, bytes: u32, value: u64): void {
  if (bytes == 8) {
    writeMmio(<f64>physical, 4, <i32>value);
    writeMmio(<f64>(physical + 4), 4, <i32>(value >> 32));
  } else writeMmio(<f64>physical, bytes, <i32>value);
}

function readHost(host: usize, bytes: u32): u64 {
  if (bytes == 1) return load<u8>(host);
  if (bytes == 2) return load<u16>(host);
  if (bytes == 4) return load<u32>(host);
  return load<u64>(host);
}

function writeHost(host: usize, bytes: u32, value: u64, kind: u32, physical: u64): void {
  if (kind != REGION_KIND_RAM) {
    writeBus(physical, bytes, value);
    return;
  }
  if (bytes == 1) store<u8>(host, <u8>value);
  else if (bytes == 2) store<u16>(host, <u16>value);
  else if (bytes == 4) store<u32>(host, <u32>value);
  else store<u64>(host, value);
  const page = (<u32>host - RAM_BASE) >> 12;
  if ((load<u8>(PAGE_FLAGS + page) & PAGE_FLAG_CODE) != 0) codeWritten(page, <u32>host & 0xfff, bytes);
}

/** Alignment check for user code (SDM 3A, 6.15, #AC). */
function misaligned(cpu: usize, linear: u64, bytes: u32): bool {
  if ((<u32>linear & (bytes - 1)) == 0 || !isUser(cpu)) return false;
  if ((load<u64>(cpu, CR0) & CR0_AM) == 0 || (load<u32>(cpu, EFLAGS) & FLAG_AC) == 0) return false;
  raiseFault(cpu, VECTOR_AC, 1, 0);
  return true;
}

/** Reads 1 to 8 bytes; 0 with a fault pending. `access` WRITE: the right to write is checked as well. */
function readSlow(cpu: usize, linear: u64, bytes: u32, access: i32, user: bool): u64 {
  if (user && misaligned(cpu, linear, bytes)) return 0;
  const inPage: u32 = 0x1000 - (<u32>linear & 0xfff);
  if (inPage >= bytes) {
    if (!translate(cpu, linear, access, user)) return 0;
    return foundHost == 0 ? readBus(foundPhysical, bytes) : readHost(foundHost, bytes);
  }
  // Both pages are translated before either is read.
  if (!translate(cpu, linear, access, user)) return 0;
  const firstHost = foundHost;
  const firstPhysical = foundPhysical;
  if (!translate(cpu, linear + inPage, access, user)) return 0;
  const secondHost = foundHost;
  const secondPhysical = foundPhysical;
  let value: u64 = 0;
  for (let i: u32 = 0; i < bytes; i++) {
    let byte: u64;
    if (i < inPage) byte = firstHost == 0 ? readBus(firstPhysical + i, 1) : load<u8>(firstHost + i);
    else byte = secondHost == 0 ? readBus(secondPhysical + i - inPage, 1) : load<u8>(secondHost + i - inPage);
    value |= byte << (i << 3);
  }
  return value;
}

function writeSlow(cpu: usize, linear: u64, bytes: u32, value: u64, user: bool): void {
  if (user && misaligned(cpu, linear, bytes)) return;
  const inPage: u32 = 0x1000 - (<u32>linear & 0xfff);
  if (!translate(cpu, linear, ACCESS_WRITE, user)) return;
  if (inPage >= bytes) {
    if (foundHost == 0) writeBus(foundPhysical, bytes, value);
    else writeHost(foundHost, bytes, value, foundKind, foundPhysical);
    return;
  }
  const firstHost = foundHost;
  const firstPhysical = foundPhysical;
  const firstKind = foundKind;
  if (!translate(cpu, linear + inPage, ACCESS_WRITE, user)) return;
  const secondHost = foundHost;
  const secondPhysical = foundPhysical;
  const secondKind = foundKind;
  for (let i: u32 = 0; i < bytes; i++) {
    const byte = (value >> (i << 3)) & 0xff;
    if (i < inPage) {
      if (firstHost == 0) writeBus(firstPhysical + i, 1, byte);
      else writeHost(firstHost + i, 1, byte, firstKind, firstPhysical + i);
    } else if (secondHost == 0) writeBus(secondPhysical + i - inPage, 1, byte);
    else writeHost(secondHost + i - inPage, 1, byte, secondKind, secondPhysical + i - inPage);
  }
}

// Slow paths of generated code.
export function slowLoad8(cpu: usize, linear: i64): i32 { return <i32>readSlow(cpu, linear, 1, ACCESS_READ, isUser(cpu)); }
export function slowLoad16(cpu: usize, linear: i64): i32 { return <i32>readSlow(cpu, linear, 2, ACCESS_READ, isUser(cpu)); }
export function slowLoad32(cpu: usize, linear: i64): i32 { return <i32>readSlow(cpu, linear, 4, ACCESS_READ, isUser(cpu)); }
export function slowLoad64(cpu: usize, linear: i64): i64 { return readSlow(cpu, linear, 8, ACCESS_READ, isUser(cpu)); }
export function slowLoadForWrite8(cpu: usize, linear: i64): i32 { return <i32>readSlow(cpu, linear, 1, ACCESS_WRITE, isUser(cpu)); }
export function slowLoadForWrite16(cpu: usize, linear: i64): i32 { return <i32>readSlow(cpu, linear, 2, ACCESS_WRITE, isUser(cpu)); }
export function slowLoadForWrite32(cpu: usize, linear: i64): i32 { return <i32>readSlow(cpu, linear, 4, ACCESS_WRITE, isUser(cpu)); }
export function slowLoadForWrite64(cpu: usize, linear: i64): i64 { return readSlow(cpu, linear, 8, ACCESS_WRITE, isUser(cpu)); }
export function slowStore8(cpu: usize, linear: i64, value: i32): void { writeSlow(cpu, linear, 1, <u32>value, isUser(cpu)); }
export function slowStore16(cpu: usize, linear: i64, value: i32): void { writeSlow(cpu, linear, 2, <u32>value, isUser(cpu)); }
export function slowStore32(cpu: usize, linear: i64, value: i32): void { writeSlow(cpu, linear, 4, <u32>value, isUser(cpu)); }
export function slowStore64(cpu: usize, linear: i64, value: i64): void { writeSlow(cpu, linear, 8, value, isUser(cpu)); }
export function slowStore128(cpu: usize, linear: i64, low: i64, high: i64): void {
  if (probeLinear(cpu, linear, 16, 1, <i32>isUser(cpu)) != 0) return;
  writeSlow(cpu, linear, 8, low, isUser(cpu));
  if (load<u32>(cpu, FAULT_PENDING) != 0) return;
  writeSlow(cpu, <u64>linear + 8, 8, high, isUser(cpu));
}

/** Host address when the access hits the TLB, else 0. */
// @ts-ignore: decorator
@inline function hit(cpu: usize, linear: u64, bytes: u32, tag: usize): usize {
  const entry: usize = load<u32>(cpu, TLB_BASE) + (<u32>(linear >> 12) & (TLB_ENTRIES - 1)) * TLB_ENTRY_BYTES;
  return load<u64>(entry + tag) == ((linear + bytes - 1) & ~0xfff) ? <usize>(<u32>linear + load<u32>(entry, TLB_ADDEND)) : 0;
}

// With the current privilege's rights.
export function loadLinear8(cpu: usize, linear: u64): u32 {
  const host = hit(cpu, linear, 1, TLB_READ);
  return host != 0 ? load<u8>(host) : <u32>readSlow(cpu, linear, 1, ACCESS_READ, isUser(cpu));
}
export function loadLinear16(cpu: usize, linear: u64): u32 {
  const host = hit(cpu, linear, 2, TLB_READ);
  return host != 0 ? load<u16>(host) : <u32>readSlow(cpu, linear, 2, ACCESS_READ, isUser(cpu));
}
export function loadLinear32(cpu: usize, linear: u64): u32 {
  const host = hit(cpu, linear, 4, TLB_READ);
  return host != 0 ? load<u32>(host) : <u32>readSlow(cpu, linear, 4, ACCESS_READ, isUser(cpu));
}
export function loadLinear64(cpu: usize, linear: u64): u64 {
  const host = hit(cpu, linear, 8, TLB_READ);
  return host != 0 ? load<u64>(host) : readSlow(cpu, linear, 8, ACCESS_READ, isUser(cpu));
}
export function storeLinear8(cpu: usize, linear: u64, value: u32): void {
  const host = hit(cpu, linear, 1, TLB_WRITE);
  if (host != 0) store<u8>(host, <u8>value);
  else writeSlow(cpu, linear, 1, value, isUser(cpu));
}
export function storeLinear16(cpu: usize, linear: u64, value: u32): void {
  const host = hit(cpu, linear, 2, TLB_WRITE);
  if (host != 0) store<u16>(host, <u16>value);
  else writeSlow(cpu, linear, 2, value, isUser(cpu));
}
export function storeLinear32(cpu: usize, linear: u64, value: u32): void {
  const host = hit(cpu, linear, 4, TLB_WRITE);
  if (host != 0) store<u32>(host, value);
  else writeSlow(cpu, linear, 4, value, isUser(cpu));
}
export function storeLinear64(cpu: usize, linear: u64, value: u64): void {
  const host = hit(cpu, linear, 8, TLB_WRITE);
  if (host != 0) store<u64>(host, value);
  else writeSlow(cpu, linear, 8, value, isUser(cpu));
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
export function loadSystem(cpu: usize, linear: u64, bytes: u32): u64 { return readSlow(cpu, linear, bytes, ACCESS_READ, false); }
export function storeSystem(cpu: usize, linear: u64, bytes: u32, value: u64): void { writeSlow(cpu, linear, bytes, value, false); }

/** Checks that `bytes` bytes may be read or written; 0, else LEAVE_FAULT with the fault pending. */
export function probeLinear(cpu: usize, linear: i64, bytes: i32, write: i32, user: i32): i32 {
  const access = write != 0 ? ACCESS_WRITE : ACCESS_READ;
  if (!translate(cpu, linear, access, user != 0)) return 1;
  const last = <u64>linear + bytes - 1;
  if ((last ^ <u64>linear) >> 12 != 0 && !translate(cpu, last, access, user != 0)) return 1;
  return 0;
}

const ATTRIBUTE_UNUSABLE: u32 = 0x10000;

/**
 * Exact segment check outside 64-bit mode (SDM 3A, 5.3 and 5.4), for what the quick check could not allow. 0, or
 * LEAVE_FAULT with #GP(0), #SS(0) for the stack segment.
 */
export function checkSegment(cpu: usize, index: i32, offset: i32, bytes: i32, write: i32): i32 {
  const segment: usize = cpu + SEGMENTS + index * SEGMENT_BYTES;
  const attributes = load<u32>(segment, SEG_ATTRIBUTES);
  const limit = load<u32>(segment, SEG_LIMIT);
  const vector = index == SEG_SS ? VECTOR_SS : VECTOR_GP;
  const type = attributes & 15;
  const code = (type & 8) != 0;
  if ((attributes & ATTRIBUTE_UNUSABLE) != 0) return raiseFault(cpu, vector, 1, 0);
  if (write != 0 ? code || (type & 2) == 0 : code && (type & 2) == 0) return raiseFault(cpu, vector, 1, 0);
  const first = <u32>offset;
  const last = first + <u32>bytes - 1;
  let inside: bool;
  if (!code && (type & 4) != 0) {
    const upper: u32 = (attributes & 0x4000) != 0 ? 0xffffffff : 0xffff;
    inside = first > limit && last <= upper && last >= first;
  } else inside = last <= limit && last >= first || limit == 0xffffffff;
  return inside ? 0 : raiseFault(cpu, vector, 1, 0);
}

/** Recomputes the quick-check fields of a segment register, and for SS the stack mask. */
export function updateSegmentCache(cpu: usize, index: u32): void {
  const segment: usize = cpu + SEGMENTS + index * SEGMENT_BYTES;
  const attributes = load<u32>(segment, SEG_ATTRIBUTES);
  const limit = load<u32>(segment, SEG_LIMIT);
  const type = attributes & 15;
  const code = (type & 8) != 0;
  let fast: u32 = 0;
  if ((attributes & ATTRIBUTE_UNUSABLE) == 0 && (code || (type & 4) == 0)) fast = limit >= 15 ? limit - 15 : 0;
  store<u32>(segment, code && (type & 2) == 0 ? 0 : fast, SEG_FAST_READ);
  store<u32>(segment, code || (type & 2) == 0 ? 0 : fast, SEG_FAST_WRITE);
  if (index == SEG_SS) store<u32>(cpu, (attributes & 0x4000) != 0 ? 0xffffffff : 0xffff, STACK_MASK);
}
