// The software TLB: linear to host addresses, filled from page walks (isa/x86/state/layout.ts, TLB).

import {
  BREAKPOINTS_ARMED, CODE_PAGES, CODE_PAGES_BYTES, COUNT_TLB_MISSES, CPL, CR0, CR4, EFER, EFLAGS, JUMP_BASE, JUMP_CACHE, JUMP_CACHE_SETS, JUMP_CACHE_SET_BYTES,
  LOCAL_KERNEL_CODE, RECORD, TLB, TLB_ADDEND, TLB_BASE, TLB_ENTRIES, TLB_ENTRY_BYTES, TLB_FETCH, TLB_INVALID,
  TLB_GLOBAL_COUNT, TLB_GLOBAL_LIST, TLB_LOCAL_COUNT, TLB_LOCAL_LIST, TLB_PAGE_GLOBAL, TLB_PAGE_LARGE, TLB_PAGE_MASK, TLB_PAGE_NOT_GLOBAL, TLB_PAGE_NOT_LOCAL, TLB_PAGE_WRITABLE, TLB_RAM_PAGE, TLB_READ, TLB_READY, TLB_SETS, TLB_SET_BYTES, TLB_SET_KERNEL, TLB_SET_KERNEL_AC,
  TLB_SET_USER, TLB_WRITE, VECTOR_GP, VECTOR_SS, VECTOR_UD,
} from "../isa/x86/state/layout.ts";
import { REC_ADDRESSING, STACK_READS, STACK_WRITES } from "../isa/x86/decode/record.ts";
import { MACHINE_THREADS, PAGE_FLAGS, RAM_BASE, REGION_KIND_RAM, TLB_EMPTY } from "../memory/layout.ts";
import { raiseFault } from "./faults.ts";
import { ACCESS_FETCH, ACCESS_READ, ACCESS_WRITE, NO_TRANSLATION, mayFetch, mayRead, mayWrite, walk, walkDirty, walkGlobal, walkPageBits } from "./page-walk.ts";
import { hostOfPhysical, regionKind } from "./physical.ts";
import { dropShadows, protectShadow } from "./shadow.ts";

const CR0_AM: u64 = 0x40000;
const CR4_SMAP: u64 = 0x200000;
const EFER_LMA: u64 = 0x400;
const FLAG_AC: u32 = 0x40000;
const PAGE: u64 = ~0xfff;
/** No RAM page has this number. */
const ALL_PAGES: u32 = 0xffffffff;

/** Linear addresses that parts of large pages in the TLB span: INVLPG inside looks at all entries. */
let largeFirst: u64 = u64.MAX_VALUE;
let largeLast: u64 = 0;

// @ts-ignore: decorator
@inline function entryOf(cpu: usize, linear: u64, set: u32): usize {
  return cpu + TLB + set * TLB_SET_BYTES + (<u32>(linear >> 12) & (TLB_ENTRIES - 1)) * TLB_ENTRY_BYTES;
}

export function isCanonical(linear: u64): bool {
  return <u64>((<i64>linear << 16) >> 16) == linear;
}

/** TLB set with the rights of explicit accesses at the current privilege. */
// @ts-ignore: decorator
@inline export function currentSet(cpu: usize): u32 {
  return load<u32>(cpu, CPL) == 3 ? TLB_SET_USER : supervisorSet(cpu);
}

/** TLB set of supervisor accesses that are no implicit ones: where EFLAGS.AC lifts SMAP (SDM 3A, 4.6.1). */
// @ts-ignore: decorator
@inline export function supervisorSet(cpu: usize): u32 {
  return (load<u32>(cpu, EFLAGS) & FLAG_AC) != 0 && (load<u64>(cpu, CR4) & CR4_SMAP) != 0 ? TLB_SET_KERNEL_AC : TLB_SET_KERNEL;
}

/** Every access has to take the slow path: alignment checks are on (SDM 3A, 6.15, #AC) or data breakpoints are armed. */
export function looksAtEachAccess(cpu: usize): bool {
  return load<u32>(cpu, TLB_BASE) == <u32>TLB_EMPTY;
}

/** Host address found by `translate` (0: MMIO, its physical address is in foundPhysical), and REGION_KIND_*. */
export let foundHost: u32 = 0;
export let foundPhysical: u64 = 0;
export let foundKind: u32 = 0;

/** A non-canonical address is #SS(0) where the instruction's reads or writes go to the stack segment, else #GP(0) (SDM 3A, 6.15). */
export function raiseNonCanonical(cpu: usize, write: bool): void {
  const record: usize = load<u32>(cpu, RECORD);
  const stack = record != 0 && (load<u8>(record, REC_ADDRESSING) & <u8>(write ? STACK_WRITES : STACK_READS)) != 0;
  raiseFault(cpu, stack ? VECTOR_SS : VECTOR_GP, 1, 0);
}

/**
 * Translates one address for an access with the rights of a TLB set, and enters the page there. True with foundHost and the
 * like set; false with a fault pending.
 */
export function translateIn(cpu: usize, linear: u64, access: i32, set: u32): bool {
  if ((load<u64>(cpu, EFER) & EFER_LMA) == 0) linear &= 0xffffffff;
  const page = linear & PAGE;
  const entry = entryOf(cpu, linear, set);
  if (access == ACCESS_READ ? load<u64>(entry, TLB_READ) == page
    : access == ACCESS_WRITE && (load<u64>(entry, TLB_READ) == page && (load<u32>(entry, TLB_RAM_PAGE) & TLB_PAGE_WRITABLE) != 0)) {
    foundHost = <u32>linear + load<u32>(entry, TLB_ADDEND);
    foundKind = REGION_KIND_RAM;
    // The page may have lost the flags that made stores take this way.
    if (access == ACCESS_WRITE) allowStores(entry, page, load<u32>(entry, TLB_RAM_PAGE) & TLB_PAGE_MASK);
    return true;
  }
  store<u64>(cpu, load<u64>(cpu, COUNT_TLB_MISSES) + 1, COUNT_TLB_MISSES);
  if (!isCanonical(linear)) {
    raiseNonCanonical(cpu, access == ACCESS_WRITE);
    return false;
  }
  const physical = walk(cpu, linear, access, set);
  if (physical == NO_TRANSLATION) return false;
  foundPhysical = physical;
  const host = hostOfPhysical(physical);
  foundHost = host;
  foundKind = regionKind;
  if (host == 0) return true;

  let ramPage: u32 = ((host - RAM_BASE) >> 12) | list(cpu, entry, walkGlobal);
  const writable = foundKind == REGION_KIND_RAM && walkDirty && mayWrite(cpu, set);
  const number = ramPage & TLB_PAGE_MASK;
  if (writable) ramPage |= TLB_PAGE_WRITABLE;
  if (walkGlobal) ramPage |= TLB_PAGE_GLOBAL;
  if (walkPageBits != 12) {
    ramPage |= TLB_PAGE_LARGE;
    largeFirst = min<u64>(largeFirst, linear & ~((<u64>1 << walkPageBits) - 1));
    largeLast = max<u64>(largeLast, linear | ((<u64>1 << walkPageBits) - 1));
  }
  store<u64>(entry, mayRead(cpu, set) ? page : TLB_INVALID, TLB_READ);
  store<u64>(entry, TLB_INVALID, TLB_WRITE);
  store<u64>(entry, mayFetch(cpu, set) ? page : TLB_INVALID, TLB_FETCH);
  store<u32>(entry, (host & ~0xfff) - <u32>page, TLB_ADDEND);
  store<u32>(entry, ramPage, TLB_RAM_PAGE);
  if (writable) allowStores(entry, page, number);
  return true;
}

/** Has an entry that is about to be filled in a list; returns the flags that say in which it is. */
function list(cpu: usize, entry: usize, global: bool): u32 {
  const not = load<u32>(entry, TLB_RAM_PAGE) & (TLB_PAGE_NOT_LOCAL | TLB_PAGE_NOT_GLOBAL);
  if ((not & TLB_PAGE_NOT_LOCAL) == 0) return not; // goes sooner than a global one need: never wrong
  if (global && (not & TLB_PAGE_NOT_GLOBAL) == 0) return not;
  const count = load<u32>(counterOf(cpu, global));
  store<u16>(cpu + (global ? TLB_GLOBAL_LIST : TLB_LOCAL_LIST) + (count << 1), <u16>((entry - cpu - TLB) / TLB_ENTRY_BYTES));
  store<u32>(counterOf(cpu, global), count + 1);
  return not & ~notIn(global);
}

// The two lists: of entries that a load of CR3 empties, and of the others (`global`).
// @ts-ignore: decorator
@inline function counterOf(cpu: usize, global: bool): usize {
  return cpu + (global ? TLB_GLOBAL_COUNT : TLB_LOCAL_COUNT);
}
// @ts-ignore: decorator
@inline function notIn(global: bool): u32 {
  return global ? TLB_PAGE_NOT_GLOBAL : TLB_PAGE_NOT_LOCAL;
}
/** Entry by its place in a list. */
// @ts-ignore: decorator
@inline function listed(cpu: usize, global: bool, place: u32): usize {
  return cpu + TLB + <usize>load<u16>(cpu + (global ? TLB_GLOBAL_LIST : TLB_LOCAL_LIST) + (place << 1)) * TLB_ENTRY_BYTES;
}

/**
 * Lets stores to a page take the fast path, unless its flags forbid it. Another vCPU may set a flag meanwhile and then look for
 * entries to clear (`clearWriteTags`): it sees this one, or the flag is seen here.
 */
function allowStores(entry: usize, page: u64, ramPage: u32): void {
  if (load<u8>(PAGE_FLAGS + ramPage) != 0) return;
  if (load<u32>(MACHINE_THREADS) == 0) {
    store<u64>(entry, page, TLB_WRITE);
    return;
  }
  atomic.store<u64>(entry, page, TLB_WRITE);
  if (atomic.load<u8>(PAGE_FLAGS + ramPage) != 0) atomic.store<u64>(entry, TLB_INVALID, TLB_WRITE);
}

/** As translateIn, with user rights or with those of the supervisor (an implicit access when CPL is 3). */
export function translate(cpu: usize, linear: u64, access: i32, user: bool): bool {
  return translateIn(cpu, linear, access, user ? TLB_SET_USER : load<u32>(cpu, CPL) == 3 ? TLB_SET_KERNEL : currentSet(cpu));
}

/**
 * Host address of a byte with the current rights, for work inside its page; 0 when a fault is pending or when the page is on the
 * bus (for writes: or ROM). After writing, `afterWrite` is due.
 */
export function pageHost(cpu: usize, linear: u64, access: i32): usize {
  const entry: usize = load<u32>(cpu, TLB_BASE) + (<u32>(linear >> 12) & (TLB_ENTRIES - 1)) * TLB_ENTRY_BYTES;
  if (load<u64>(entry + <usize>(access == ACCESS_WRITE ? TLB_WRITE : TLB_READ)) == (linear & PAGE)) return <u32>linear + load<u32>(entry, TLB_ADDEND);
  if (!translateIn(cpu, linear, access, currentSet(cpu))) return 0;
  return access == ACCESS_WRITE && foundKind != REGION_KIND_RAM ? 0 : foundHost;
}

/**
 * Host address of the byte at a linear address, when the TLB has it for reads with the current rights, or (`fetch`) for code; else 0. Nothing
 * changes by it.
 */
export function peek(cpu: usize, linear: u64, fetch: i32): u32 {
  const set: u32 = load<u32>(cpu, CPL) == 3 ? TLB_SET_USER : TLB_SET_KERNEL;
  const entry = entryOf(cpu, linear, fetch != 0 ? set : currentSet(cpu));
  const tag = fetch != 0 ? load<u64>(entry, TLB_FETCH) : load<u64>(entry, TLB_READ);
  return tag == (linear & PAGE) ? <u32>linear + load<u32>(entry, TLB_ADDEND) : 0;
}

/** Host address of the code byte at a linear address, or 0 with a fault pending. */
export function translateFetch(cpu: usize, linear: u64): u32 {
  const user = load<u32>(cpu, CPL) == 3;
  const set: u32 = user ? TLB_SET_USER : TLB_SET_KERNEL;
  const entry = entryOf(cpu, linear, set);
  if (load<u64>(entry, TLB_FETCH) != (linear & PAGE)) {
    if (!translateIn(cpu, linear, ACCESS_FETCH, set)) return 0;
    if (foundHost == 0) {
      // Nobody answers there: all ones, FF FF, which is no instruction. Registers of devices are not executed either.
      raiseFault(cpu, VECTOR_UD, 0, 0);
      return 0;
    }
  }
  return noteFetch(cpu, linear, entry, user);
}

/** Host address by a TLB entry; what INVLPG and loads of CR3 have to know of code is noted. */
function noteFetch(cpu: usize, linear: u64, entry: usize, user: bool): u32 {
  const bit = <u32>(linear >> 12) & (CODE_PAGES_BYTES * 8 - 1);
  const byte: usize = cpu + (bit >> 3);
  store<u8>(byte, load<u8>(byte, CODE_PAGES) | (<u8>1 << <u8>(bit & 7)), CODE_PAGES);
  if (!user && (load<u32>(entry, TLB_RAM_PAGE) & TLB_PAGE_GLOBAL) == 0) store<u32>(cpu, 1, LOCAL_KERNEL_CODE);
  return <u32>linear + load<u32>(entry, TLB_ADDEND);
}

/** Empties both jump caches. */
export function flushJumpCaches(cpu: usize): void {
  memory.fill(cpu + JUMP_CACHE, 0xff, JUMP_CACHE_SETS * JUMP_CACHE_SET_BYTES);
  memory.fill(cpu + CODE_PAGES, 0, CODE_PAGES_BYTES);
  store<u32>(cpu, 0, LOCAL_KERNEL_CODE);
}

/** Forgets every translation: CR0, CR4, EFER, memory regions or everything changed. */
export function flushTlb(cpu: usize): void {
  emptyTlb(cpu);
  largeFirst = u64.MAX_VALUE;
  largeLast = 0;
  flushJumpCaches(cpu);
  updateTlbBase(cpu);
  dropShadows(cpu);
}

/** PKRU has changed: every page's rights may have. What code is where has not. */
export function flushAccessRights(cpu: usize): void {
  emptyTlb(cpu);
}

function emptyTlb(cpu: usize): void {
  if (load<u32>(cpu, TLB_READY) == 0) {
    // All ones is no page's address.
    memory.fill(cpu + TLB, 0xff, TLB_SETS * TLB_SET_BYTES);
    store<u32>(cpu, 1, TLB_READY);
  }
  emptyListed(cpu, false);
  emptyListed(cpu, true);
}

/** Empties the entries of a list, and the list. */
function emptyListed(cpu: usize, global: bool): void {
  const count = load<u32>(counterOf(cpu, global));
  for (let place: u32 = 0; place < count; place++) {
    const entry = listed(cpu, global, place);
    invalidate(entry);
    store<u32>(entry, load<u32>(entry, TLB_RAM_PAGE) | notIn(global), TLB_RAM_PAGE);
  }
  store<u32>(counterOf(cpu, global), 0);
}

/** Forgets what a load of CR3 makes invalid: pages that are not global (SDM 3A, 4.10.4.1). */
export function flushTlbNonGlobal(cpu: usize): void {
  emptyListed(cpu, false);
  // The kernel's own blocks stay when all of them lie in global pages.
  if (load<u32>(cpu, LOCAL_KERNEL_CODE) != 0) flushJumpCaches(cpu);
  else memory.fill(cpu + JUMP_CACHE + JUMP_CACHE_SET_BYTES, 0xff, JUMP_CACHE_SET_BYTES);
}

// @ts-ignore: decorator
@inline function invalidate(entry: usize): void {
  store<u64>(entry, TLB_INVALID, TLB_READ);
  store<u64>(entry, TLB_INVALID, TLB_WRITE);
  store<u64>(entry, TLB_INVALID, TLB_FETCH);
}

/** INVLPG: forgets the page that an address lies in, all of it when it is a large one (SDM 3A, 4.10.4.1). */
export function flushPage(cpu: usize, linear: u64): void {
  for (let set: u32 = 0; set < <u32>TLB_SETS; set++) invalidate(entryOf(cpu, linear, set));
  const bit = <u32>(linear >> 12) & (CODE_PAGES_BYTES * 8 - 1);
  let code = (<u32>load<u8>(cpu + (bit >> 3), CODE_PAGES) >> (bit & 7) & 1) != 0;
  if (linear >= largeFirst && linear <= largeLast) {
    // Which size the page has is not kept: everything within 1 GiB that came from a large page goes.
    forgetLarge(cpu, false, linear);
    forgetLarge(cpu, true, linear);
    code = true; // blocks of the large page may outlive its TLB entries
  }
  if (code) flushJumpCaches(cpu);
}

function forgetLarge(cpu: usize, global: bool, linear: u64): void {
  const count = load<u32>(counterOf(cpu, global));
  for (let place: u32 = 0; place < count; place++) {
    const entry = listed(cpu, global, place);
    if ((load<u32>(entry, TLB_RAM_PAGE) & TLB_PAGE_LARGE) != 0 && (near(entry, TLB_READ, linear) || near(entry, TLB_FETCH, linear))) invalidate(entry);
  }
}

// @ts-ignore: decorator
@inline function near(entry: usize, tag: usize, linear: u64): bool {
  return (load<u64>(entry + tag) ^ linear) >> 30 == 0;
}

/**
 * Chooses the TLB set and the jump cache in use: due after CPL, CR4.SMAP, EFLAGS.AC, CR0.AM or the data breakpoints changed.
 */
export function updateTlbBase(cpu: usize): void {
  const user = load<u32>(cpu, CPL) == 3;
  const aligned = user && (load<u64>(cpu, CR0) & CR0_AM) != 0 && (load<u32>(cpu, EFLAGS) & FLAG_AC) != 0;
  let base: u32 = <u32>cpu + TLB + currentSet(cpu) * TLB_SET_BYTES;
  if (aligned || load<u32>(cpu, BREAKPOINTS_ARMED) != 0) {
    base = TLB_EMPTY;
    // Never written but here, the first time; several threads at once write the same.
    if (load<u64>(TLB_EMPTY + TLB_SET_BYTES - 8) != u64.MAX_VALUE) memory.fill(TLB_EMPTY, 0xff, TLB_SET_BYTES);
  }
  store<u32>(cpu, base, TLB_BASE);
  store<u32>(cpu, <u32>cpu + JUMP_CACHE + (user ? JUMP_CACHE_SET_BYTES : 0), JUMP_BASE);
}

/** Stores of a vCPU, wherever to, must look at page flags again. */
export function clearAllWriteTags(cpu: usize): void {
  clearTagsOf(cpu, false, ALL_PAGES);
  clearTagsOf(cpu, true, ALL_PAGES);
  dropShadows(cpu);
}

/** Write tags of listed entries, those of one RAM page or ALL_PAGES. */
function clearTagsOf(cpu: usize, global: bool, ramPage: u32): void {
  const count = load<u32>(counterOf(cpu, global));
  for (let place: u32 = 0; place < count; place++) {
    const entry = listed(cpu, global, place);
    if (ramPage == ALL_PAGES || (load<u32>(entry, TLB_RAM_PAGE) & TLB_PAGE_MASK) == ramPage) store<u64>(entry, TLB_INVALID, TLB_WRITE);
  }
}

/**
 * Stores of a vCPU to a RAM page must take the slow path from now on: its page flags have changed. The vCPU may be at work in another thread;
 * non-zero: on user code that runs directly, in which it has to be interrupted.
 */
export function clearWriteTags(cpu: usize, ramPage: u32): i32 {
  clearTagsOf(cpu, false, ramPage);
  clearTagsOf(cpu, true, ramPage);
  return <i32>protectShadow(cpu, ramPage);
}
