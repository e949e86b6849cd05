// Shadow page tables: what a guest's tables say of user pages, as tables that the host's processor can use (ADR 4). They
// are a large TLB and no more: filled when user code that runs directly faults, dropped where the guest drops its TLB.

import { CR3, CR4, FAULT_PENDING, SCRATCH, TLB_SET_USER } from "../isa/x86/state/layout.ts";
import {
  PAGE_FLAGS, PAGE_FLAG_COPIED, PAGE_FLAG_TRACK, RAM_BASE, REGION_KIND_RAM, SHADOW_MEMORY, SHADOW_END, SHADOW_HEADER, SHADOW_LINEAR, SHADOW_LINEAR_BASE, SHADOW_MONITOR_MAP, SHADOW_PATCHES, SHADOW_PATCHES_MAX, SHADOW_PHYSICAL,
  SHADOW_TABLES, SHADOW_WRITERS,
} from "../memory/layout.ts";
import { isOpen } from "./code-bytes.ts";
import {
  ACCESS_FETCH, ACCESS_READ, ACCESS_WRITE, NO_TRANSLATION, walk, walkDirty, walkNoExecute, walkPageBits, walkRights, walkTable, walkUpperNoExecute, walkUpperRights,
} from "./page-walk.ts";
import { clearWriteTags, foundHost, translate } from "./paging.ts";
import { hostOfPhysical, loadPhysical32, loadPhysical64, regionKind } from "./physical.ts";

const CR4_PAE: u64 = 0x20;
const CR4_PCIDE: u64 = 0x20000;
const PCID: u64 = 0xfff;

const P: u64 = 1;
const RW: u64 = 2;
const US: u64 = 4;
const A: u64 = 0x20;
const D: u64 = 0x40;
const NX: u64 = 0x8000000000000000;
const FRAME: u64 = 0x000ffffffffff000;
/** Bits that the guest's entries may have besides: ignored by the processor, or cache control, which RAM has not. */
const HARMLESS: u64 = 0x7ff0000000000f98;
/** Of an entry of ours (ignored by processors): it maps a part of a larger page of the guest's. */
const LARGE: u64 = 0x200;
/** Tables of ours allow everything, entries of the first level decide. */
const TABLE: u64 = P | RW | US | A | D;

// The header: tables are in use (u32); address of the next one (u32); entries of SHADOW_PATCHES (u32); a counter for ages (u32).
const ACTIVE: usize = SHADOW_HEADER;
const NEXT: usize = SHADOW_HEADER + 4;
const PATCHES: usize = SHADOW_HEADER + 8;
const TIME: usize = SHADOW_HEADER + 12;
/** Tables of the fourth level by address space: CR3 with its PCID + 1, 0: free (u64); address (u32); when it was used last (u32). */
const ROOTS: usize = SHADOW_HEADER + 64;
const ROOTS_MAX = 32;
const ROOT_BYTES = 16;
const SEVERAL: u32 = 1;

/** What fillShadow returns. */
const FAULT = 0;
const FILLED = 1;
const ELSEWHERE = 2;
const FULL = 3;
const SUSPECT = 4;

/** Code pages around one that is fetched from which are mapped with it. */
const CODE_AROUND: u32 = 16;

// @ts-ignore: decorator
@inline function isActive(): bool {
  return load<u32>(ACTIVE) != 0;
}

// @ts-ignore: decorator
@inline function physicalOf(table: usize): u64 {
  return <u64>SHADOW_PHYSICAL + <u64>(table - SHADOW_MEMORY);
}
// @ts-ignore: decorator
@inline function tableAt(entry: u64): usize {
  return <usize>((entry & FRAME) - <u64>SHADOW_PHYSICAL) + SHADOW_MEMORY;
}

/** Begins anew with no tables; or (`active` 0) ends their use. No table may be known to KVM from before. */
export function resetShadows(cpu: usize, active: i32): void {
  store<u32>(ACTIVE, active);
  store<u32>(NEXT, SHADOW_TABLES);
  forgetRoots();
  memory.fill(SHADOW_WRITERS, 0, <usize>((memory.size() << 4) - (RAM_BASE >> 12)) << 2);
}

function forgetRoots(): void {
  memory.fill(ROOTS, 0, ROOTS_MAX * ROOT_BYTES);
  store<u32>(PATCHES, 0);
}

/** Everything is forgotten; the tables' room is used again only behind `resetShadows`. */
export function dropShadows(): void {
  if (isActive()) forgetRoots();
}

/** CR3 and PCID of an address space as roots are known by. */
function keyOf(cpu: usize): u64 {
  const cr3 = load<u64>(cpu, CR3);
  return ((load<u64>(cpu, CR4) & CR4_PCIDE) != 0 ? cr3 : cr3 & ~PCID | cr3 & 0xfe0) + 1;
}

/** What a load of CR3 or INVPCID forgets: one PCID, or all without PCIDs. */
export function dropShadowsOf(cpu: usize, cr3: u64): void {
  if (!isActive()) return;
  if ((load<u64>(cpu, CR4) & CR4_PCIDE) == 0) {
    forgetRoots();
    return;
  }
  for (let i: u32 = 0; i < <u32>ROOTS_MAX; i++) {
    const root = ROOTS + <usize>(i * ROOT_BYTES);
    const key = load<u64>(root);
    if (key != 0 && (((key - 1) ^ cr3) & PCID) == 0) store<u64>(root, 0);
  }
}

/** INVLPG and INVPCID of one address. */
export function dropShadowPage(cpu: usize, cr3: u64, linear: u64): void {
  if (!isActive() || linear >> 47 != 0) return;
  const all = (load<u64>(cpu, CR4) & CR4_PCIDE) == 0;
  for (let i: u32 = 0; i < <u32>ROOTS_MAX; i++) {
    const root = ROOTS + <usize>(i * ROOT_BYTES);
    const key = load<u64>(root);
    if (key == 0 || (!all && (((key - 1) ^ cr3) & PCID) != 0)) continue;
    const entry = find(load<u32>(root, 8), linear);
    if (entry == 0 || load<u64>(entry) == 0) continue;
    if ((load<u64>(entry) & LARGE) != 0) {
      // How far the guest's page reaches is not kept.
      forgetRoots();
      return;
    }
    change(entry, 0, linear);
  }
}

/** Stores to a RAM page have to be seen from now on: its page flags have changed. */
export function protectShadow(ramPage: u32): void {
  if (!isActive()) return;
  const writer: usize = SHADOW_WRITERS + (ramPage << 2);
  const entry: usize = load<u32>(writer);
  if (entry == 0) return;
  if (entry == SEVERAL) forgetRoots();
  else change(entry, load<u64>(entry) & ~RW, linearOf(entry));
  store<u32>(writer, 0);
}

function linearOf(entry: usize): u64 {
  return load<u64>(SHADOW_LINEAR + (((entry - SHADOW_MEMORY) >> 12) << 3)) + (<u64>(entry & 0xff8) << 9);
}

/** Gives an entry another value; where KVM may have used the old one, it has to be told. */
function change(entry: usize, value: u64, linear: u64): void {
  const old = load<u64>(entry);
  if (old == value) return;
  store<u64>(entry, value);
  if (old == 0) return;
  // Only what takes rights away: the processor looks again before it raises a fault.
  if (((old ^ value) & FRAME) == 0 && (old & ~value & RW) == 0 && (value & ~old & NX) == 0) return;
  patch(entry, linear);
}

function patch(entry: usize, linear: u64): void {
  const count = load<u32>(PATCHES);
  if (count == SHADOW_PATCHES_MAX) {
    forgetRoots();
    return;
  }
  const place: usize = SHADOW_PATCHES + (count << 4);
  store<u64>(place, <u64>(<i64>SHADOW_LINEAR_BASE) + <u64>(entry - SHADOW_MEMORY));
  store<u64>(place, linear, 8);
  store<u32>(PATCHES, count + 1);
}

/** How many of SHADOW_PATCHES wait; none do from now on. */
export function takeShadowPatches(cpu: usize): i32 {
  const count = load<u32>(PATCHES);
  store<u32>(PATCHES, 0);
  return count;
}

/** Offset in SHADOW_MEMORY of the current address space's table of the fourth level; 0: no room. */
export function shadowRoot(cpu: usize): i32 {
  const key = keyOf(cpu);
  const now = load<u32>(TIME) + 1;
  store<u32>(TIME, now);
  let oldest: usize = ROOTS;
  for (let i: u32 = 0; i < <u32>ROOTS_MAX; i++) {
    const root = ROOTS + <usize>(i * ROOT_BYTES);
    if (load<u64>(root) == key) {
      store<u32>(root, now, 12);
      return load<u32>(root, 8) - SHADOW_MEMORY;
    }
    if (load<u64>(root) == 0) oldest = root;
    else if (load<u64>(oldest) != 0 && load<u32>(root, 12) < load<u32>(oldest, 12)) oldest = root;
  }
  const table = newTable();
  if (table == 0) return 0;
  store<u64>(table, physicalOf(SHADOW_MONITOR_MAP) | P | RW | A, 511 * 8);
  store<u64>(oldest, key);
  store<u32>(oldest, <u32>table, 8);
  store<u32>(oldest, now, 12);
  return <i32>(table - SHADOW_MEMORY);
}

function newTable(): usize {
  const table: usize = load<u32>(NEXT);
  if (table >= <usize>SHADOW_END) return 0;
  store<u32>(NEXT, <u32>table + 0x1000);
  memory.fill(table, 0, 0x1000);
  return table;
}

/** Offset in SHADOW_MEMORY of a page for a copy; 0: no room. */
export function newShadowPage(cpu: usize): i32 {
  const page = newTable();
  return page == 0 ? 0 : <i32>(page - SHADOW_MEMORY);
}

/** Stores to a page have to be seen from now on, because there is a copy of it. */
export function noteCopy(cpu: usize, ramPage: u32): void {
  store<u8>(PAGE_FLAGS + ramPage, load<u8>(PAGE_FLAGS + ramPage) | PAGE_FLAG_COPIED);
  clearWriteTags(cpu, ramPage);
}

/** A page of which there is a copy has been written to. */
export function dropCopy(ramPage: u32): void {
  store<u8>(PAGE_FLAGS + ramPage, load<u8>(PAGE_FLAGS + ramPage) & ~PAGE_FLAG_COPIED);
  dropShadows();
}

/** The same where a device has written. */
export function wroteCopied(cpu: usize, ramPage: u32): void {
  if ((load<u8>(PAGE_FLAGS + ramPage) & PAGE_FLAG_COPIED) != 0) dropCopy(ramPage);
}

/** The entry of the first level for an address, if there is one. */
function find(root: usize, linear: u64): usize {
  let table = root;
  for (let shift: u64 = 39; shift > 12; shift -= 9) {
    const entry = load<u64>(table + <usize>(((linear >> shift) & 0x1ff) << 3));
    if (entry == 0) return 0;
    table = tableAt(entry);
  }
  return table + <usize>(((linear >> 12) & 0x1ff) << 3);
}

/** The same, with tables made where they are missing; 0: no room. */
function make(root: usize, linear: u64): usize {
  let table = root;
  for (let shift: u64 = 39; shift > 12; shift -= 9) {
    const place: usize = table + <usize>(((linear >> shift) & 0x1ff) << 3);
    const entry = load<u64>(place);
    if (entry != 0) table = tableAt(entry);
    else {
      table = newTable();
      if (table == 0) return 0;
      if (shift == 21) store<u64>(SHADOW_LINEAR + (((table - SHADOW_MEMORY) >> 12) << 3), linear & ~0x1fffff);
      store<u64>(place, physicalOf(table) | TABLE);
    }
  }
  return table + <usize>(((linear >> 12) & 0x1ff) << 3);
}

/**
 * User code that runs directly has faulted at the linear address in SCRATCH. FAULT: so it would on the guest's own tables,
 * the fault is pending. FILLED: it may go on. ELSEWHERE: this access is for another engine. FULL: see `resetShadows`. SUSPECT: the
 * page of code whose host address is in SCRATCH has to be looked at; it is mapped all the same if `trusted`, or what
 * is at the offset `copy` in SHADOW_MEMORY instead.
 */
export function fillShadow(cpu: usize, access: i32, trusted: i32, copy: i32): i32 {
  const linear = load<u64>(cpu, SCRATCH);
  if (linear >> 47 != 0) return ELSEWHERE;
  let physical = walk(cpu, linear, access, TLB_SET_USER);
  if (physical == NO_TRANSLATION) return FAULT;
  const host = hostOfPhysical(physical);
  if (host == 0 || (access == ACCESS_WRITE && regionKind != REGION_KIND_RAM)) return ELSEWHERE;
  const page: u32 = (host - RAM_BASE) >> 12;
  if (access == ACCESS_WRITE) {
    // The access is going to happen: a log of writes may have it at once.
    store<u8>(PAGE_FLAGS + page, load<u8>(PAGE_FLAGS + page) & ~PAGE_FLAG_TRACK);
    if (load<u8>(PAGE_FLAGS + page) != 0) return ELSEWHERE;
  }
  if (access == ACCESS_FETCH && trusted == 0 && isOpen(host & ~0xfff)) {
    store<u64>(cpu, host & ~0xfff, SCRATCH);
    return SUSPECT;
  }
  const root = shadowRoot(cpu);
  const entry: usize = root == 0 ? 0 : make(SHADOW_MEMORY + <usize>root, linear);
  if (entry == 0) return FULL;
  const large: u64 = walkPageBits == 12 ? 0 : LARGE;
  const before = load<u64>(entry);
  const original = physical;
  if (copy != 0) physical = physicalOf(SHADOW_MEMORY + <usize>copy);
  const same = (before & FRAME) == (physical & FRAME);
  const writable = access != ACCESS_FETCH && walkDirty && (walkRights & RW) != 0;
  put(entry, linear, physical, page, large, writable && regionKind == REGION_KIND_RAM, access == ACCESS_FETCH || (same && access == ACCESS_READ && (before & NX) == 0));
  // A fault although the entry allows it: KVM knows another one.
  if (before == load<u64>(entry)) patch(entry, linear);
  fillAround(cpu, entry, linear, original, access);
  return FILLED;
}

/** Writes an entry. One that may be executed is not writable: what its page holds was looked at (code-bytes.ts). */
function put(entry: usize, linear: u64, physical: u64, page: u32, flags: u64, writable: bool, executable: bool): void {
  const allowed = writable && !executable && load<u8>(PAGE_FLAGS + page) == 0;
  change(entry, (physical & FRAME) | P | US | A | D | flags | (allowed ? RW : 0) | (executable ? 0 : NX), linear);
  if (!allowed) return;
  const writer: usize = SHADOW_WRITERS + (page << 2);
  const known = load<u32>(writer);
  store<u32>(writer, known == 0 || known == <u32>entry ? <u32>entry : SEVERAL);
}

/**
 * Maps neighbours that the guest has used already: accessed, and for stores dirty. Those of one table of the first level;
 * what is executed only if it lies near.
 */
function fillAround(cpu: usize, entry: usize, linear: u64, physical: u64, access: i32): void {
  const wide = (load<u64>(cpu, CR4) & CR4_PAE) != 0;
  const first = linear & ~0x1fffff;
  const here = <u32>(linear >> 12) & 0x1ff;
  // What the walk has found, before anything walks again.
  const bits = walkPageBits;
  const table = walkTable;
  const upper = walkUpperRights;
  const upperNoExecute = walkUpperNoExecute;
  const rights = walkRights;
  const noExecute = walkNoExecute;
  const dirty = walkDirty;
  const start = access == ACCESS_FETCH ? here & ~(CODE_AROUND - 1) : 0;
  const end: u32 = access == ACCESS_FETCH ? start + CODE_AROUND : 512;
  for (let i = start; i < end; i++) {
    const place: usize = (entry & ~0xfff) + (i << 3);
    const old = load<u64>(place);
    if (i == here || (old != 0 && (access != ACCESS_FETCH || (old & RW) != 0 || (old & NX) == 0))) continue;
    let frame: u64;
    let writable: bool;
    let executable: bool;
    if (bits == 12) {
      const index = <u64>i + (wide ? 0 : (first >> 12) & 0x200);
      const mapped: u64 = wide ? loadPhysical64(table + (index << 3)) : <u64>loadPhysical32(table + (index << 2));
      if ((mapped & (P | A)) != (P | A) || (mapped & upper & US) == 0) continue;
      frame = mapped & (wide ? FRAME : 0xfffff000);
      if (wide && (mapped & ~(FRAME | HARMLESS | P | RW | US | A | D | NX)) != 0) continue;
      writable = (mapped & upper & RW) != 0 && (mapped & D) != 0;
      executable = !upperNoExecute && (!wide || (mapped & NX) == 0);
    } else {
      frame = (physical & FRAME) + (<u64>i << 12) - (<u64>here << 12);
      writable = dirty && (rights & RW) != 0;
      executable = !noExecute;
    }
    const host = hostOfPhysical(frame);
    if (host == 0 || (old != 0 && (old & FRAME) != frame)) continue;
    if (access == ACCESS_FETCH && (!executable || isOpen(host))) continue;
    put(place, first + (<u64>i << 12), frame, (host - RAM_BASE) >> 12, bits == 12 ? 0 : LARGE, writable && regionKind == REGION_KIND_RAM, access == ACCESS_FETCH);
  }
}

/** Host address of the byte at the linear address in SCRATCH that user code, or the kernel, may read; 0: there is none. */
export function lookAt(cpu: usize, user: u32): u32 {
  const found = translate(cpu, load<u64>(cpu, SCRATCH), ACCESS_READ, user != 0) ? foundHost : 0;
  store<u32>(cpu, 0, FAULT_PENDING);
  return found;
}
