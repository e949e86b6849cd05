// Shadow page tables: what a guest's tables say of user pages, as tables that the host's processor can use (ADR 4). They
// are a large TLB and no more: filled when user code that runs directly faults, dropped where the guest drops its TLB. Each
// vCPU has its own, in an area that its block names; only its own thread changes them, others post what they want.

import { CR3, CR4, FAULT_PENDING, SCRATCH, SHADOW_AREA, TLB_SET_USER } from "../isa/x86/state/layout.ts";
import {
  MACHINE_THREADS, PAGE_FLAGS, PAGE_FLAG_COPIED, PAGE_FLAG_TRACK, RAM_BASE, REGION_KIND_RAM, SHADOW_END, SHADOW_HEADER, SHADOW_LINEAR, SHADOW_LINEAR_BASE, SHADOW_MONITOR_MAP, SHADOW_PATCHES, SHADOW_PATCHES_MAX, SHADOW_PHYSICAL,
  SHADOW_TABLES, SHADOW_WRITERS, VCPU_BASE, VCPU_SHADOW_POSTED, VCPU_SHADOW_POSTED_ALL, VCPU_STRIDE,
} from "../memory/layout.ts";
import { isOpen } from "./code-bytes.ts";
import {
  ACCESS_FETCH, ACCESS_READ, ACCESS_WRITE, NO_TRANSLATION, walk, walkDirty, walkNoExecute, walkPageBits, walkRights, walkTable, walkUpperNoExecute, walkUpperRights,
} from "./page-walk.ts";
import { foundHost, translate } from "./paging.ts";
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

// The header: address of the next table (u32); entries of SHADOW_PATCHES (u32); a counter for ages (u32); held by who posts (u32).
const NEXT: usize = SHADOW_HEADER;
const PATCHES: usize = SHADOW_HEADER + 4;
const TIME: usize = SHADOW_HEADER + 8;
const LOCK: usize = SHADOW_HEADER + 12;
/** Tables of the fourth level by address space: CR3 with its PCID + 1, 0: free (u64); address (u32); when it was used last (u32). */
const ROOTS: usize = SHADOW_HEADER + 64;
const ROOTS_MAX = 32;
const ROOT_BYTES = 16;
/** Numbers of pages of RAM that other vCPUs have posted (u32 each): VCPU_SHADOW_POSTED says how many. */
const POSTS: usize = SHADOW_HEADER + 0x400;
const POSTS_MAX = 768;
const SEVERAL: u32 = 1;

/** What fillShadow returns. */
const FAULT = 0;
const FILLED = 1;
const ELSEWHERE = 2;
const FULL = 3;
const SUSPECT = 4;

/** Code pages around one that is fetched from which are mapped with it. */
const CODE_AROUND: u32 = 16;

/** Address of a vCPU's area; 0: its tables are not in use. */
// @ts-ignore: decorator
@inline function areaOf(cpu: usize): usize {
  return load<u32>(cpu, SHADOW_AREA);
}

// @ts-ignore: decorator
@inline function physicalOf(area: usize, table: usize): u64 {
  return <u64>SHADOW_PHYSICAL + <u64>(table - area);
}
// @ts-ignore: decorator
@inline function tableAt(area: usize, entry: u64): usize {
  return <usize>((entry & FRAME) - <u64>SHADOW_PHYSICAL) + area;
}

/** Begins anew with no tables, in the area at that address; or (0) ends their use. No table may be known to KVM from before. */
export function resetShadows(cpu: usize, area: u32): void {
  store<u32>(cpu, area, SHADOW_AREA);
  if (area == 0) return;
  store<u32>(area, area + SHADOW_TABLES, NEXT);
  forgetRoots(area);
  memory.fill(<usize>area + SHADOW_WRITERS, 0, <usize>((memory.size() << 4) - (RAM_BASE >> 12)) << 2);
}

function forgetRoots(area: usize): void {
  memory.fill(area + ROOTS, 0, ROOTS_MAX * ROOT_BYTES);
  store<u32>(area, 0, PATCHES);
}

/** Everything is forgotten; the tables' room is used again only behind `resetShadows`. */
export function dropShadows(cpu: usize): void {
  const area = areaOf(cpu);
  if (area != 0) forgetRoots(area);
}

function takeLock(area: usize): void {
  while (atomic.cmpxchg<u32>(area + LOCK, 0, 1) != 0) {}
}
function releaseLock(area: usize): void {
  atomic.store<u32>(area + LOCK, 0);
}

/** Has a vCPU's own thread see to a page before it executes user code directly; VCPU_SHADOW_POSTED_ALL: to all it has. */
function post(cpu: usize, ramPage: u32): void {
  const area = areaOf(cpu);
  takeLock(area);
  const count = load<u32>(cpu, VCPU_SHADOW_POSTED);
  if (ramPage == <u32>VCPU_SHADOW_POSTED_ALL || count >= <u32>POSTS_MAX) atomic.store<u32>(cpu, VCPU_SHADOW_POSTED_ALL, VCPU_SHADOW_POSTED);
  else {
    store<u32>(area + <usize>(count << 2), ramPage, POSTS);
    atomic.store<u32>(cpu, count + 1, VCPU_SHADOW_POSTED);
  }
  releaseLock(area);
}

/** Does what other vCPUs have posted. */
export function takeShadowPosts(cpu: usize): void {
  const area = areaOf(cpu);
  if (area == 0 || atomic.load<u32>(cpu, VCPU_SHADOW_POSTED) == 0) return;
  takeLock(area);
  const count = load<u32>(cpu, VCPU_SHADOW_POSTED);
  if (count == <u32>VCPU_SHADOW_POSTED_ALL) forgetRoots(area);
  else for (let i: u32 = 0; i < count; i++) takeStores(area, load<u32>(area + <usize>(i << 2), POSTS));
  atomic.store<u32>(cpu, 0, VCPU_SHADOW_POSTED);
  releaseLock(area);
}

/** CR3 and PCID of an address space as roots are known by. */
function keyOf(cpu: usize): u64 {
  const cr3 = load<u64>(cpu, CR3);
  return ((load<u64>(cpu, CR4) & CR4_PCIDE) != 0 ? cr3 : cr3 & ~PCID | cr3 & 0xfe0) + 1;
}

/** What a load of CR3 or INVPCID forgets: one PCID, or all without PCIDs. */
export function dropShadowsOf(cpu: usize, cr3: u64): void {
  const area = areaOf(cpu);
  if (area == 0) return;
  if ((load<u64>(cpu, CR4) & CR4_PCIDE) == 0) {
    forgetRoots(area);
    return;
  }
  for (let i: u32 = 0; i < <u32>ROOTS_MAX; i++) {
    const root = area + ROOTS + <usize>(i * ROOT_BYTES);
    const key = load<u64>(root);
    if (key != 0 && (((key - 1) ^ cr3) & PCID) == 0) store<u64>(root, 0);
  }
}

/** INVLPG and INVPCID of one address. */
export function dropShadowPage(cpu: usize, cr3: u64, linear: u64): void {
  const area = areaOf(cpu);
  if (area == 0 || linear >> 47 != 0) return;
  const all = (load<u64>(cpu, CR4) & CR4_PCIDE) == 0;
  for (let i: u32 = 0; i < <u32>ROOTS_MAX; i++) {
    const root = area + ROOTS + <usize>(i * ROOT_BYTES);
    const key = load<u64>(root);
    if (key == 0 || (!all && (((key - 1) ^ cr3) & PCID) != 0)) continue;
    const entry = find(area, load<u32>(root, 8), linear);
    if (entry == 0 || load<u64>(entry) == 0) continue;
    if ((load<u64>(entry) & LARGE) != 0) {
      // How far the guest's page reaches is not kept.
      forgetRoots(area);
      return;
    }
    change(area, entry, 0, linear);
  }
}

/**
 * Stores of a vCPU to a RAM page have to be seen from now on: its page flags have changed. True: the vCPU may be at work in another
 * thread, which has to be told to look at its posts.
 */
export function protectShadow(cpu: usize, ramPage: u32): bool {
  const area = areaOf(cpu);
  if (area == 0 || atomic.load<u32>(area + SHADOW_WRITERS + (ramPage << 2)) == 0) return false;
  if (load<u32>(MACHINE_THREADS) == 0) {
    takeStores(area, ramPage);
    return false;
  }
  post(cpu, ramPage);
  return true;
}

/** No entry lets user code write to a RAM page any more. */
function takeStores(area: usize, ramPage: u32): void {
  const writer: usize = area + SHADOW_WRITERS + (ramPage << 2);
  const entry: usize = load<u32>(writer);
  if (entry == 0) return;
  if (entry == SEVERAL) forgetRoots(area);
  else change(area, entry, load<u64>(entry) & ~RW, linearOf(area, entry));
  store<u32>(writer, 0);
}

function linearOf(area: usize, entry: usize): u64 {
  return load<u64>(area + (((entry - area) >> 12) << 3), SHADOW_LINEAR) + (<u64>(entry & 0xff8) << 9);
}

/** Gives an entry another value; where KVM may have used the old one, it has to be told. */
function change(area: usize, entry: usize, value: u64, linear: u64): void {
  const old = load<u64>(entry);
  if (old == value) return;
  store<u64>(entry, value);
  if (old == 0) return;
  // Only what takes rights away: the processor looks again before it raises a fault.
  if (((old ^ value) & FRAME) == 0 && (old & ~value & RW) == 0 && (value & ~old & NX) == 0) return;
  patch(area, entry, linear);
}

function patch(area: usize, entry: usize, linear: u64): void {
  const count = load<u32>(area, PATCHES);
  if (count == SHADOW_PATCHES_MAX) {
    forgetRoots(area);
    return;
  }
  const place: usize = area + SHADOW_PATCHES + (count << 4);
  store<u64>(place, <u64>(<i64>SHADOW_LINEAR_BASE) + <u64>(entry - area));
  store<u64>(place, linear, 8);
  store<u32>(area, count + 1, PATCHES);
}

/** How many of SHADOW_PATCHES wait; none do from now on. */
export function takeShadowPatches(cpu: usize): i32 {
  const area = areaOf(cpu);
  const count = load<u32>(area, PATCHES);
  store<u32>(area, 0, PATCHES);
  return count;
}

/** Offset in the area of the current address space's table of the fourth level; 0: no room. */
export function shadowRoot(cpu: usize): i32 {
  const area = areaOf(cpu);
  const key = keyOf(cpu);
  const now = load<u32>(area, TIME) + 1;
  store<u32>(area, now, TIME);
  let oldest: usize = area + ROOTS;
  for (let i: u32 = 0; i < <u32>ROOTS_MAX; i++) {
    const root = area + ROOTS + <usize>(i * ROOT_BYTES);
    if (load<u64>(root) == key) {
      store<u32>(root, now, 12);
      return load<u32>(root, 8) - <u32>area;
    }
    if (load<u64>(root) == 0) oldest = root;
    else if (load<u64>(oldest) != 0 && load<u32>(root, 12) < load<u32>(oldest, 12)) oldest = root;
  }
  const table = newTable(area);
  if (table == 0) return 0;
  store<u64>(table, physicalOf(area, area + SHADOW_MONITOR_MAP) | P | RW | A, 511 * 8);
  store<u64>(oldest, key);
  store<u32>(oldest, <u32>table, 8);
  store<u32>(oldest, now, 12);
  return <i32>(table - area);
}

function newTable(area: usize): usize {
  const table: usize = load<u32>(area, NEXT);
  if (table >= area + SHADOW_END) return 0;
  store<u32>(area, <u32>table + 0x1000, NEXT);
  memory.fill(table, 0, 0x1000);
  return table;
}

/** Offset in the area of a page for a copy; 0: no room. */
export function newShadowPage(cpu: usize): i32 {
  const area = areaOf(cpu);
  const page = newTable(area);
  return page == 0 ? 0 : <i32>(page - area);
}

/** There is to be a copy of a page: `clearWriteTags` of all vCPUs is due. */
export function noteCopy(cpu: usize, ramPage: u32): void {
  atomic.or<u8>(PAGE_FLAGS + ramPage, PAGE_FLAG_COPIED);
}

/** A page of which there is a copy has been written to: all vCPUs may have one. */
export function dropCopy(ramPage: u32): void {
  atomic.and<u8>(PAGE_FLAGS + ramPage, ~PAGE_FLAG_COPIED);
  const threads = load<u32>(MACHINE_THREADS);
  if (threads == 0) {
    dropShadows(VCPU_BASE);
    return;
  }
  for (let i: u32 = 0; i < threads; i++) {
    const cpu: usize = VCPU_BASE + i * VCPU_STRIDE;
    if (areaOf(cpu) != 0) post(cpu, VCPU_SHADOW_POSTED_ALL);
  }
}

/** The same where a device has written. */
export function wroteCopied(cpu: usize, ramPage: u32): void {
  if ((load<u8>(PAGE_FLAGS + ramPage) & PAGE_FLAG_COPIED) != 0) dropCopy(ramPage);
}

/** The entry of the first level for an address, if there is one. */
function find(area: usize, root: usize, linear: u64): usize {
  let table = root;
  for (let shift: u64 = 39; shift > 12; shift -= 9) {
    const entry = load<u64>(table + <usize>(((linear >> shift) & 0x1ff) << 3));
    if (entry == 0) return 0;
    table = tableAt(area, entry);
  }
  return table + <usize>(((linear >> 12) & 0x1ff) << 3);
}

/** The same, with tables made where they are missing; 0: no room. */
function make(area: usize, root: usize, linear: u64): usize {
  let table = root;
  for (let shift: u64 = 39; shift > 12; shift -= 9) {
    const place: usize = table + <usize>(((linear >> shift) & 0x1ff) << 3);
    const entry = load<u64>(place);
    if (entry != 0) table = tableAt(area, entry);
    else {
      table = newTable(area);
      if (table == 0) return 0;
      if (shift == 21) store<u64>(area + (((table - area) >> 12) << 3), linear & ~0x1fffff, SHADOW_LINEAR);
      store<u64>(place, physicalOf(area, table) | TABLE);
    }
  }
  return table + <usize>(((linear >> 12) & 0x1ff) << 3);
}

/**
 * User code that runs directly has faulted at the linear address in SCRATCH. FAULT: so it would on the guest's own tables,
 * the fault is pending. FILLED: it may go on. ELSEWHERE: this access is for another engine. FULL: see `resetShadows`. SUSPECT: the
 * page of code whose host address is in SCRATCH has to be looked at; it is mapped all the same if `trusted`, or what
 * is at the offset `copy` in the area instead.
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
    atomic.and<u8>(PAGE_FLAGS + page, ~PAGE_FLAG_TRACK);
    if (load<u8>(PAGE_FLAGS + page) != 0) return ELSEWHERE;
  }
  if (access == ACCESS_FETCH && trusted == 0 && isOpen(host & ~0xfff)) {
    store<u64>(cpu, host & ~0xfff, SCRATCH);
    return SUSPECT;
  }
  const area = areaOf(cpu);
  const root = shadowRoot(cpu);
  const entry: usize = root == 0 ? 0 : make(area, area + <usize>root, linear);
  if (entry == 0) return FULL;
  const large: u64 = walkPageBits == 12 ? 0 : LARGE;
  const before = load<u64>(entry);
  const original = physical;
  if (copy != 0) physical = physicalOf(area, area + <usize>copy);
  const same = (before & FRAME) == (physical & FRAME);
  const writable = access != ACCESS_FETCH && walkDirty && (walkRights & RW) != 0;
  put(area, entry, linear, physical, page, large, writable && regionKind == REGION_KIND_RAM, access == ACCESS_FETCH || (same && access == ACCESS_READ && (before & NX) == 0));
  // A fault although the entry allows it: KVM knows another one.
  if (before == load<u64>(entry)) patch(area, entry, linear);
  fillAround(cpu, area, entry, linear, original, access);
  return FILLED;
}

/** Writes an entry. One that may be executed is not writable: what its page holds was looked at (code-bytes.ts). */
function put(area: usize, entry: usize, linear: u64, physical: u64, page: u32, flags: u64, writable: bool, executable: bool): void {
  const allowed = writable && !executable && load<u8>(PAGE_FLAGS + page) == 0;
  change(area, entry, (physical & FRAME) | P | US | A | D | flags | (allowed ? RW : 0) | (executable ? 0 : NX), linear);
  if (!allowed) return;
  const writer: usize = area + SHADOW_WRITERS + (page << 2);
  const known = load<u32>(writer);
  atomic.store<u32>(writer, known == 0 || known == <u32>entry ? <u32>entry : SEVERAL);
  // Another vCPU that has set a flag meanwhile then looks for writers: it sees this one, or the flag is seen here.
  if (atomic.load<u8>(PAGE_FLAGS + page) != 0) takeStores(area, page);
}

/**
 * Maps neighbours that the guest has used already: accessed, and for stores dirty. Those of one table of the first level;
 * what is executed only if it lies near.
 */
function fillAround(cpu: usize, area: usize, entry: usize, linear: u64, physical: u64, access: i32): void {
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
    put(area, place, first + (<u64>i << 12), frame, (host - RAM_BASE) >> 12, bits == 12 ? 0 : LARGE, writable && regionKind == REGION_KIND_RAM, access == ACCESS_FETCH);
  }
}

/** Host address of the byte at the linear address in SCRATCH that user code, or the kernel, may read; 0: there is none. */
export function lookAt(cpu: usize, user: u32): u32 {
  const found = translate(cpu, load<u64>(cpu, SCRATCH), ACCESS_READ, user != 0) ? foundHost : 0;
  store<u32>(cpu, 0, FAULT_PENDING);
  return found;
}
