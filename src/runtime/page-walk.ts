// Page walks of every paging mode (Intel SDM 3A, chapter 4).

import {
  CR0, CR3, CR4, EFER, PKRS, PKRU, PDPTES, PDPTES_LOADED, PHYSICAL_MASK, TLB_SET_KERNEL, TLB_SET_KERNEL_AC, TLB_SET_USER,
} from "../isa/x86/state/layout.ts";
import { raiseGeneralProtection, raisePageFault } from "./faults.ts";
import { loadPhysical32, loadPhysical64, markEntry } from "./physical.ts";

export const ACCESS_READ: i32 = 0;
export const ACCESS_WRITE: i32 = 1;
export const ACCESS_FETCH: i32 = 2;

const CR0_WP: u64 = 0x10000;
const CR0_PG: u64 = 0x80000000;
const CR4_PSE: u64 = 0x10;
const CR4_PAE: u64 = 0x20;
const CR4_PGE: u64 = 0x80;
const CR4_SMEP: u64 = 0x100000;
const CR4_SMAP: u64 = 0x200000;
const CR4_PKE: u64 = 0x400000;
const CR4_PKS: u64 = 0x1000000;
const EFER_LMA: u64 = 0x400;
const EFER_NXE: u64 = 0x800;

const P: u64 = 1;
const RW: u64 = 2;
const US: u64 = 4;
const A: u64 = 0x20;
const D: u64 = 0x40;
const PS: u64 = 0x80;
const G: u64 = 0x100;
const NX: u64 = 0x8000000000000000;
/** Address bits of a 64-bit entry. */
const FRAME: u64 = 0x000ffffffffff000;

const ERROR_PRESENT: u32 = 1;
const ERROR_WRITE: u32 = 2;
const ERROR_USER: u32 = 4;
const ERROR_RESERVED: u32 = 8;
const ERROR_FETCH: u32 = 16;
const ERROR_KEY: u32 = 32;

export const NO_TRANSLATION: u64 = u64.MAX_VALUE;

// What the last successful walk found besides the address: rights by all levels, flags of the entry that maps the page.
export let walkRights: u64 = 0;
export let walkNoExecute: bool = false;
/** What the page's protection key forbids: bit 0 data accesses, bit 1 writes; 0 where no key counts. */
let walkKeyRights: u32 = 0;
export let walkDirty: bool = false;
export let walkGlobal: bool = false;
/** log2 of the page's size. */
export let walkPageBits: u64 = 12;

/** Physical address of the table whose entry maps the page, and what the levels above it allow. */
export let walkTable: u64 = 0;
export let walkUpperRights: u64 = 0;
export let walkUpperNoExecute: bool = false;

let walkError: u32 = 0;
/** An accessed or dirty flag that the access sets was still clear. */
let walkUnmarked: bool = false;

/** Bits between MAXPHYADDR and 51 must be 0 in an entry. Bit 20 is missing from the mask while A20 is off. */
function reservedAddressBits(cpu: usize): u64 {
  return FRAME & ~(load<u64>(cpu, PHYSICAL_MASK) | 0x1fffff);
}

/**
 * Loads the PDPTE registers from where CR3 points (SDM 3A, 4.4.1): due when CR3 is loaded, and when CR0 or CR4 changes
 * CD, NW, PG, PAE, PGE, PSE or SMEP, while PAE paging is (being) used. LEAVE_FAULT with #GP(0) for reserved bits, the
 * registers unchanged.
 */
export function loadPdptes(cpu: usize): i32 {
  const mask = load<u64>(cpu, PHYSICAL_MASK);
  const table = load<u64>(cpu, CR3) & 0xffffffe0;
  const reserved: u64 = reservedAddressBits(cpu) | 0xfff00000000001e6;
  for (let i: u64 = 0; i < 4; i++) {
    const entry = loadPhysical64((table + (i << 3)) & mask);
    if ((entry & P) != 0 && (entry & reserved) != 0) return raiseGeneralProtection(cpu, 0);
  }
  for (let i: u64 = 0; i < 4; i++) store<u64>(cpu + <usize>(i << 3), loadPhysical64((table + (i << 3)) & mask), PDPTES);
  store<u32>(cpu, 1, PDPTES_LOADED);
  return 0;
}

/** PDPTE register i; when they were not loaded yet (a state put together from outside), from memory. */
function pdpte(cpu: usize, i: u64): u64 {
  if (load<u32>(cpu, PDPTES_LOADED) != 0) return load<u64>(cpu + <usize>(i << 3), PDPTES);
  const mask = load<u64>(cpu, PHYSICAL_MASK);
  const table = load<u64>(cpu, CR3) & 0xffffffe0;
  for (let k: u64 = 0; k < 4; k++) store<u64>(cpu + <usize>(k << 3), loadPhysical64((table + (k << 3)) & mask), PDPTES);
  store<u32>(cpu, 1, PDPTES_LOADED);
  return load<u64>(cpu + <usize>(i << 3), PDPTES);
}

/** A walk that only looks, or (`mark`) sets the flags on the way; with walkError when it fails. */
function descend(cpu: usize, linear: u64, write: bool, mark: bool): u64 {
  const mask = load<u64>(cpu, PHYSICAL_MASK);
  const cr4 = load<u64>(cpu, CR4);
  const efer = load<u64>(cpu, EFER);
  const wide = (cr4 & CR4_PAE) != 0;
  const long = (efer & EFER_LMA) != 0;
  const reservedHigh = reservedAddressBits(cpu);
  let reservedAlways: u64 = 0;
  let table: u64;
  let level: i32;
  let shift: u64;
  if (wide) {
    reservedAlways = reservedHigh | ((efer & EFER_NXE) != 0 ? 0 : NX) | (long ? 0 : 0x7ff0000000000000);
    table = load<u64>(cpu, CR3) & FRAME;
    level = 4;
    shift = 39;
    if (!long) {
      const top = pdpte(cpu, (linear >> 30) & 3);
      if ((top & P) == 0) {
        walkError = 0;
        return NO_TRANSLATION;
      }
      if ((top & (reservedHigh | 0xfff00000000001e6)) != 0) {
        walkError = ERROR_PRESENT | ERROR_RESERVED;
        return NO_TRANSLATION;
      }
      table = top & FRAME;
      level = 2;
      shift = 21;
    }
  } else {
    table = load<u64>(cpu, CR3) & 0xfffff000;
    level = 2;
    shift = 22;
  }
  walkRights = RW | US;
  walkNoExecute = false;
  walkUnmarked = false;
  for (;;) {
    const address = (table + (wide ? ((linear >> shift) & 0x1ff) << 3 : ((linear >> shift) & 0x3ff) << 2)) & mask;
    const entry: u64 = wide ? loadPhysical64(address) : <u64>loadPhysical32(address);
    if ((entry & P) == 0) {
      walkError = 0;
      return NO_TRANSLATION;
    }
    const large = (entry & PS) != 0 && (level == 3 || (level == 2 && (wide || (cr4 & CR4_PSE) != 0)));
    let reserved = entry & reservedAlways;
    if (level == 4) reserved |= entry & PS;
    let frame = entry & (wide ? FRAME : 0xfffff000);
    if (large) {
      if (wide) reserved |= entry & ((<u64>1 << shift) - 1) & ~0x1fff;
      else {
        // PSE-36: bits 13 to 20 are physical address bits 32 to 39; bit 21 is reserved.
        const high = (entry & 0x1fe000) << 19;
        reserved |= (entry & 0x200000) | (high & reservedHigh);
        frame |= high;
      }
      frame &= ~((<u64>1 << shift) - 1);
    }
    if (reserved != 0) {
      walkError = ERROR_PRESENT | ERROR_RESERVED;
      return NO_TRANSLATION;
    }
    const leaf = large || level == 1;
    if (leaf) {
      walkTable = table;
      walkUpperRights = walkRights;
      walkUpperNoExecute = walkNoExecute;
    }
    walkRights &= entry;
    if ((entry & NX) != 0) walkNoExecute = true;
    const flags = leaf && write ? A | D : A;
    if ((entry & flags) != flags) {
      if (mark) markEntry(address, entry, flags, wide);
      else walkUnmarked = true;
    }
    if (leaf) {
      walkDirty = (entry & D) != 0;
      walkGlobal = (entry & G) != 0 && (cr4 & CR4_PGE) != 0;
      walkPageBits = large ? shift : 12;
      walkKeyRights = long ? keyRights(cpu, cr4, entry) : 0;
      return (frame | (linear & ((<u64>1 << walkPageBits) - 1))) & mask;
    }
    table = frame;
    level--;
    shift -= wide ? 9 : 10;
  }
  return NO_TRANSLATION; // not reached: level 1 maps a page
}

/** User pages have keys under CR4.PKE, supervisor pages under CR4.PKS (SDM 3A, 4.6.2). */
function keyRights(cpu: usize, cr4: u64, entry: u64): u32 {
  const user = (walkRights & US) != 0;
  if ((cr4 & (user ? CR4_PKE : CR4_PKS)) == 0) return 0;
  return load<u32>(user ? cpu + PKRU : cpu + PKRS) >> (<u32>(entry >> 58) & 30);
}

/** Does the protection key forbid data accesses, or (`write`) writes? (SDM 3A, 4.6.2) */
function keyForbids(cpu: usize, set: u32, write: bool): bool {
  if ((walkKeyRights & 1) != 0) return true;
  return write && (walkKeyRights & 2) != 0 && (set == TLB_SET_USER || (load<u64>(cpu, CR0) & CR0_WP) != 0);
}

/** May the page that was walked to last be read under the rights of a TLB set? (SDM 3A, 4.6.1) */
export function mayRead(cpu: usize, set: u32): bool {
  const userPage = (walkRights & US) != 0;
  if (keyForbids(cpu, set, false)) return false;
  if (set == TLB_SET_USER) return userPage;
  return !userPage || set == TLB_SET_KERNEL_AC || (load<u64>(cpu, CR4) & CR4_SMAP) == 0;
}
export function mayWrite(cpu: usize, set: u32): bool {
  if (!mayRead(cpu, set) || keyForbids(cpu, set, true)) return false;
  return (walkRights & RW) != 0 || (set != TLB_SET_USER && (load<u64>(cpu, CR0) & CR0_WP) == 0);
}
export function mayFetch(cpu: usize, set: u32): bool {
  if (walkNoExecute) return false;
  const userPage = (walkRights & US) != 0;
  return set == TLB_SET_USER ? userPage : !userPage || (load<u64>(cpu, CR4) & CR4_SMEP) == 0;
}

/**
 * Physical address for one access with the rights of a TLB set: TLB_SET_USER; TLB_SET_KERNEL, which is also that of implicit
 * supervisor accesses; TLB_SET_KERNEL_AC where EFLAGS.AC lifts SMAP. Sets accessed and dirty flags (SDM 3A, 4.8) once
 * the access is known to be allowed. NO_TRANSLATION with a page fault pending (error code: SDM 3A, 4.7). The
 * linear address is canonical, or below 4 GiB outside long mode.
 */
export function walk(cpu: usize, linear: u64, access: i32, set: u32): u64 {
  if ((load<u64>(cpu, CR0) & CR0_PG) == 0) {
    walkRights = RW | US;
    walkNoExecute = walkGlobal = false;
    walkDirty = true;
    walkPageBits = 12;
    walkKeyRights = 0;
    // With CR0.PG clear neither SMEP nor SMAP apply; mayRead and mayFetch look at the user bit.
    if (set != TLB_SET_USER) walkRights = RW;
    return linear & 0xffffffff & load<u64>(cpu, PHYSICAL_MASK);
  }
  const write = access == ACCESS_WRITE;
  let physical: u64 = 0;
  // Again after setting flags, as another processor may have changed the entries; tables in ROM never take them.
  for (let tries = 0; tries < 4; tries++) {
    physical = descend(cpu, linear, write, false);
    if (physical == NO_TRANSLATION) break;
    const allowed = write ? mayWrite(cpu, set) : access == ACCESS_FETCH ? mayFetch(cpu, set) : mayRead(cpu, set);
    if (!allowed) {
      walkError = ERROR_PRESENT;
      if (access != ACCESS_FETCH && keyForbids(cpu, set, write)) walkError |= ERROR_KEY;
      physical = NO_TRANSLATION;
      break;
    }
    if (!walkUnmarked) return physical;
    descend(cpu, linear, write, true);
  }
  if (physical != NO_TRANSLATION) return physical;
  let error = walkError;
  if (write) error |= ERROR_WRITE;
  if (set == TLB_SET_USER) error |= ERROR_USER;
  const cr4 = load<u64>(cpu, CR4);
  if (access == ACCESS_FETCH && ((cr4 & CR4_SMEP) != 0 || ((cr4 & CR4_PAE) != 0 && (load<u64>(cpu, EFER) & EFER_NXE) != 0))) error |= ERROR_FETCH;
  raisePageFault(cpu, linear, error);
  return NO_TRANSLATION;
}
