// Linear to physical to host addresses: page walks of every mode (Intel SDM 3A, chapter 4) and the software TLB.

import {
  BREAKPOINTS_ARMED, COUNT_TLB_MISSES, CPL, CR0, CR3, CR4, EFER, EFLAGS, JUMP_BASE, JUMP_CACHE, JUMP_CACHE_SETS, JUMP_CACHE_SET_BYTES, PHYSICAL_MASK, TLB, TLB_ADDEND, TLB_BASE,
  TLB_ENTRIES, TLB_ENTRY_BYTES, TLB_FETCH, TLB_INVALID, TLB_RAM_PAGE, TLB_READ, TLB_SETS, TLB_SET_BYTES, TLB_SET_KERNEL, TLB_SET_KERNEL_AC, TLB_SET_USER, TLB_WRITE,
} from "../isa/x86/state/layout.ts";
import {
  PAGE_FLAGS, RAM_BASE, REGIONS, REGION_BYTES, REGION_FIRST_PAGE, REGION_HOST, REGION_KIND, REGION_KIND_RAM, REGION_PAGES,
} from "../memory/layout.ts";
import { raiseGeneralProtection, raisePageFault } from "./faults.ts";

export const ACCESS_READ: i32 = 0;
export const ACCESS_WRITE: i32 = 1;
export const ACCESS_FETCH: i32 = 2;

const CR0_PG: u64 = 0x80000000;
const CR0_WP: u64 = 0x10000;
const CR0_AM: u64 = 0x40000;
const CR4_PSE: u64 = 0x10;
const CR4_PAE: u64 = 0x20;
const CR4_SMEP: u64 = 0x100000;
const CR4_SMAP: u64 = 0x200000;
const EFER_LMA: u64 = 0x400;
const EFER_NXE: u64 = 0x800;
const FLAG_AC: u32 = 0x40000;

const P: u64 = 1;
const RW: u64 = 2;
const US: u64 = 4;
const A: u64 = 0x20;
const D: u64 = 0x40;
const PS: u64 = 0x80;
const NX: u64 = 0x8000000000000000;

/** What a walk found besides the physical address. */
let walkWritable: bool = false;
let walkUser: bool = false;
let walkExecutable: bool = false;
let walkDirty: bool = false;

export const NO_TRANSLATION: u64 = u64.MAX_VALUE;

/** Host address of a physical page and its kind; 0 when nothing but the bus is there. */
let regionKind: u32 = 0;
function hostOfPhysical(physical: u64): u32 {
  const page = <u32>(physical >> 12);
  if (physical >> 44 != 0) return 0;
  const count = load<u32>(REGIONS);
  for (let i: u32 = 0; i < count; i++) {
    const region: usize = REGIONS + 16 + i * REGION_BYTES;
    const first = load<u32>(region, REGION_FIRST_PAGE);
    if (page - first < load<u32>(region, REGION_PAGES)) {
      regionKind = load<u32>(region, REGION_KIND);
      return load<u32>(region, REGION_HOST) + ((page - first) << 12) + (<u32>physical & 0xfff);
    }
  }
  return 0;
}

function loadPhysical32(physical: u64): u32 {
  const host: usize = hostOfPhysical(physical);
  return host == 0 ? 0xffffffff : load<u32>(host);
}
function loadPhysical64(physical: u64): u64 {
  const host: usize = hostOfPhysical(physical);
  return host == 0 ? u64.MAX_VALUE : load<u64>(host);
}
function storePhysical32(physical: u64, value: u32): void {
  const host: usize = hostOfPhysical(physical);
  if (host != 0 && regionKind == REGION_KIND_RAM) store<u32>(host, value);
}

function fail(cpu: usize, linear: u64, access: i32, user: bool, present: u32, reserved: u32): u64 {
  let error = present | (reserved << 3);
  if (access == ACCESS_WRITE) error |= 2;
  if (user) error |= 4;
  if (access == ACCESS_FETCH && ((load<u64>(cpu, EFER) & EFER_NXE) != 0 && (load<u64>(cpu, CR4) & CR4_PAE) != 0 || (load<u64>(cpu, CR4) & CR4_SMEP) != 0)) error |= 16;
  raisePageFault(cpu, linear, error);
  return NO_TRANSLATION;
}

/**
 * Walks the page tables for one access and checks its rights; sets accessed and dirty bits. Returns the physical
 * address, or NO_TRANSLATION with a page fault pending.
 */
function walk(cpu: usize, linear: u64, access: i32, user: bool): u64 {
  const cr0 = load<u64>(cpu, CR0);
  const mask = load<u64>(cpu, PHYSICAL_MASK);
  if ((cr0 & CR0_PG) == 0) {
    walkWritable = walkUser = walkExecutable = walkDirty = true;
    return linear & 0xffffffff & mask;
  }
  const cr4 = load<u64>(cpu, CR4);
  const efer = load<u64>(cpu, EFER);
  const pae = (cr4 & CR4_PAE) != 0;
  const long = (efer & EFER_LMA) != 0;
  const nxe = (efer & EFER_NXE) != 0;
  let table = load<u64>(cpu, CR3);
  let rights: u64 = RW | US;
  let noExecute: u64 = 0;
  let entry: u64 = 0;
  let address: u64 = 0;
  let pageBits: u64 = 12;
  let frame: u64 = 0;

  if (!pae) {
    address = (table & 0xfffff000) + (((linear >> 22) & 0x3ff) << 2);
    entry = loadPhysical32(address & mask);
    if ((entry & P) == 0) return fail(cpu, linear, access, user, 0, 0);
    if ((entry & PS) != 0 && (cr4 & CR4_PSE) != 0) {
      // PSE-36: bits 13 to 20 are physical bits 32 to 39; bit 21 is reserved.
      if ((entry & 0x200000) != 0) return fail(cpu, linear, access, user, 1, 1);
      frame = (entry & 0xffc00000) | (((entry >> 13) & 0xff) << 32);
      pageBits = 22;
      rights &= entry;
    } else {
      rights &= entry;
      if ((entry & A) == 0) storePhysical32(address & mask, <u32>(entry | A));
      address = (entry & 0xfffff000) + (((linear >> 12) & 0x3ff) << 2);
      entry = loadPhysical32(address & mask);
      if ((entry & P) == 0) return fail(cpu, linear, access, user, 0, 0);
      rights &= entry;
      frame = entry & 0xfffff000;
    }
  } else {
    const physicalBits: u64 = load<u64>(cpu, PHYSICAL_MASK) | 0xfffff; // A20 gates bit 20 only
    const reservedHigh: u64 = 0x000ffffffffff000 & ~(physicalBits | (1 << 20));
    let level: i32;
    let shift: u64;
    if (long) {
      level = 4;
      shift = 39;
      table &= 0x000ffffffffff000;
    } else {
      level = 3;
      shift = 30;
      table &= 0xffffffe0;
    }
    for (;;) {
      const indexMask: u64 = level == 3 && !long ? 3 : 0x1ff;
      address = table + (((linear >> shift) & indexMask) << 3);
      entry = loadPhysical64(address & mask);
      if ((entry & P) == 0) return fail(cpu, linear, access, user, 0, 0);
      const legacyTop = level == 3 && !long;
      let reserved = (entry & reservedHigh) | (nxe ? 0 : entry & NX);
      if (!long) reserved |= entry & 0x7ff0000000000000;
      if (level == 4) reserved |= entry & PS;
      const large = (entry & PS) != 0 && (level == 2 || (level == 3 && long));
      if (large) reserved |= entry & ((level == 2 ? 0x1fe000 : 0x3fffe000));
      if (legacyTop) reserved = entry & (reservedHigh | 0x1e6 | 0xfff0000000000000);
      if (reserved != 0) return fail(cpu, linear, access, user, 1, 1);
      if (!legacyTop) {
        rights &= entry;
        noExecute |= entry & NX;
      }
      if (large) {
        pageBits = shift;
        frame = entry & 0x000ffffffffff000 & ~((<u64>1 << shift) - 1);
        break;
      }
      if (level == 1) {
        frame = entry & 0x000ffffffffff000;
        break;
      }
      if (!legacyTop && (entry & A) == 0) storePhysical32(address & mask, <u32>(entry | A));
      table = entry & 0x000ffffffffff000;
      level--;
      shift -= 9;
    }
  }

  const userPage = (rights & US) != 0;
  const writable = (rights & RW) != 0;
  const wp = (cr0 & CR0_WP) != 0;
  let allowed = true;
  if (user) {
    allowed = userPage && (access != ACCESS_WRITE || writable) && (access != ACCESS_FETCH || noExecute == 0);
  } else {
    if (access == ACCESS_FETCH) allowed = noExecute == 0 && !(userPage && (cr4 & CR4_SMEP) != 0);
    else {
      if (userPage && (cr4 & CR4_SMAP) != 0 && (load<u32>(cpu, EFLAGS) & FLAG_AC) == 0) allowed = false;
      if (access == ACCESS_WRITE && !writable && wp) allowed = false;
    }
  }
  if (!allowed) return fail(cpu, linear, access, user, 1, 0);

  // Accessed always, dirty for a write, in the entry that maps the page (SDM 3A, 4.8).
  const set = A | (access == ACCESS_WRITE ? D : 0);
  if ((entry & set) != set) {
    entry |= set;
    storePhysical32(address & mask, <u32>entry);
  }
  walkDirty = (entry & D) != 0;
  walkUser = userPage;
  walkWritable = user ? userPage && writable : writable || !wp;
  walkExecutable = noExecute == 0 && (user ? userPage : !(userPage && (cr4 & CR4_SMEP) != 0));
  return (frame | (linear & ((<u64>1 << pageBits) - 1))) & mask;
}

function isCanonical(linear: u64): bool {
  return <u64>((<i64>linear << 16) >> 16) == linear;
}

/** Host address found by `translate` (0: MMIO), physical address, and whether writes must be reported. */
export let foundHost: u32 = 0;
export let foundPhysical: u64 = 0;
export let foundKind: u32 = 0;

/**
 * Translates one byte's address for an access with user or supervisor rights, and fills the TLB of the rights in use. True
 * with foundHost / foundPhysical set; false with a fault pending.
 */
export function translate(cpu: usize, linear: u64, access: i32, user: bool): bool {
  store<u64>(cpu, load<u64>(cpu, COUNT_TLB_MISSES) + 1, COUNT_TLB_MISSES);
  if (!isCanonical(linear) && (load<u64>(cpu, EFER) & EFER_LMA) != 0) {
    raiseGeneralProtection(cpu, 0);
    return false;
  }
  const physical = walk(cpu, linear, access, user);
  if (physical == NO_TRANSLATION) return false;
  foundPhysical = physical;
  const host = hostOfPhysical(physical);
  foundHost = host;
  foundKind = host == 0 ? 0 : regionKind;
  if (host == 0) return true;

  // Fill: each tag only when this entry's rights allow the access without another look.
  const isUserSet = load<u32>(cpu, CPL) == 3;
  if (user != isUserSet) return true; // a system access on behalf of user code: not for the user's TLB
  if (load<u32>(cpu, BREAKPOINTS_ARMED) != 0) return true;
  if (user && (load<u64>(cpu, CR0) & CR0_AM) != 0 && (load<u32>(cpu, EFLAGS) & FLAG_AC) != 0) return true; // alignment checks
  const page = linear & ~0xfff;
  const entry: usize = load<u32>(cpu, TLB_BASE) + (<u32>(linear >> 12) & (TLB_ENTRIES - 1)) * TLB_ENTRY_BYTES;
  const ramPage = (host - RAM_BASE) >> 12;
  const addend = (host & ~0xfff) - <u32>page;
  const flags = load<u8>(PAGE_FLAGS + ramPage);
  const same = load<u32>(entry, TLB_ADDEND) == addend;
  const readable = user ? walkUser : !(walkUser && (load<u64>(cpu, CR4) & CR4_SMAP) != 0 && (load<u32>(cpu, EFLAGS) & FLAG_AC) == 0);
  const writable = readable && walkWritable && walkDirty && flags == 0 && foundKind == REGION_KIND_RAM;
  // A fetch right is entered only by a fetch: pages that are never executed cost INVLPG nothing.
  const keepFetch = same && load<u64>(entry, TLB_FETCH) == page;
  store<u64>(entry, readable ? page : TLB_INVALID, TLB_READ);
  store<u64>(entry, writable ? page : TLB_INVALID, TLB_WRITE);
  store<u64>(entry, walkExecutable && (access == ACCESS_FETCH || keepFetch) ? page : TLB_INVALID, TLB_FETCH);
  store<u32>(entry, addend, TLB_ADDEND);
  store<u32>(entry, ramPage, TLB_RAM_PAGE);
  return true;
}

/** Host address of the code byte at a linear address, or 0 with a fault pending. */
export function translateFetch(cpu: usize, linear: u64): u32 {
  const entry: usize = load<u32>(cpu, TLB_BASE) + (<u32>(linear >> 12) & (TLB_ENTRIES - 1)) * TLB_ENTRY_BYTES;
  if (load<u64>(entry, TLB_FETCH) == (linear & ~0xfff)) return <u32>linear + load<u32>(entry, TLB_ADDEND);
  if (!translate(cpu, linear, ACCESS_FETCH, load<u32>(cpu, CPL) == 3)) return 0;
  if (foundHost == 0) {
    // Code in device memory or nowhere: a machine check on hardware at worst; here #GP, so that the guest sees it.
    raiseGeneralProtection(cpu, 0);
    return 0;
  }
  return foundHost;
}

/** Empties both jump caches. */
export function flushJumpCaches(cpu: usize): void {
  memory.fill(cpu + JUMP_CACHE, 0xff, JUMP_CACHE_SETS * JUMP_CACHE_SET_BYTES);
}

export function flushTlb(cpu: usize): void {
  const end: usize = cpu + TLB + TLB_SETS * TLB_SET_BYTES;
  for (let entry: usize = cpu + TLB; entry < end; entry += TLB_ENTRY_BYTES) {
    store<u64>(entry, TLB_INVALID, TLB_READ);
    store<u64>(entry, TLB_INVALID, TLB_WRITE);
    store<u64>(entry, TLB_INVALID, TLB_FETCH);
  }
  flushJumpCaches(cpu);
}

/** INVLPG: the page's entries of all sets. A large page's other parts are entered one by one, so they go too. */
export function flushPage(cpu: usize, linear: u64): void {
  for (let set: u32 = 0; set < <u32>TLB_SETS; set++) {
    const entry: usize = cpu + TLB + set * TLB_SET_BYTES + (<u32>(linear >> 12) & (TLB_ENTRIES - 1)) * TLB_ENTRY_BYTES;
    store<u64>(entry, TLB_INVALID, TLB_READ);
    store<u64>(entry, TLB_INVALID, TLB_WRITE);
    store<u64>(entry, TLB_INVALID, TLB_FETCH);
  }
  flushJumpCaches(cpu);
}

/** Chooses the TLB set and jump cache for the current privilege; call after CPL, CR4.SMAP or EFLAGS.AC changed. */
export function updateTlbBase(cpu: usize): void {
  const user = load<u32>(cpu, CPL) == 3;
  let set: u32 = user ? TLB_SET_USER : TLB_SET_KERNEL;
  if (!user && (load<u64>(cpu, CR4) & CR4_SMAP) != 0 && (load<u32>(cpu, EFLAGS) & FLAG_AC) != 0) set = TLB_SET_KERNEL_AC;
  store<u32>(cpu, <u32>cpu + TLB + set * TLB_SET_BYTES, TLB_BASE);
  store<u32>(cpu, <u32>cpu + JUMP_CACHE + (user ? JUMP_CACHE_SET_BYTES : 0), JUMP_BASE);
}

/** Stores to a RAM page must take the slow path from now on: its page flags have changed. */
export function clearWriteTags(cpu: usize, ramPage: u32): void {
  const end: usize = cpu + TLB + TLB_SETS * TLB_SET_BYTES;
  for (let entry: usize = cpu + TLB; entry < end; entry += TLB_ENTRY_BYTES) {
    if (load<u32>(entry, TLB_RAM_PAGE) == ramPage) store<u64>(entry, TLB_INVALID, TLB_WRITE);
  }
}
