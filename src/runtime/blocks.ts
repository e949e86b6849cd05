// Entry to decoded blocks: where the code at RIP lies, and the jump caches that let blocks find one another.

import {
  BLOCKS, BUDGET, CODE_LEFT, COUNT_EXCEPTIONS, CPL, CR3, DR7, EFLAGS, EVENTS, FAULT_PENDING, HALTED, IP_BASE, JUMP_BASE, JUMP_CACHE_BITS, JUMP_CACHE_ENTRIES, JUMP_CACHE_ENTRY_BYTES, JUMP_CACHE_SET_BYTES, JUMP_HANDLER, JUMP_KEYS, JUMP_PAGE_OFFSET, JUMP_RECORD, MODE, MODE_CODE64, LEAVE_BUDGET, LEAVE_FAULT, LEAVE_JUMP, LEAVE_RESUME, MODE_CODE_MASK, PENDING_DEBUG, RECORD, RF_BUDGET, RF_NEXT, RF_TAKEN, RIP, SEGMENTS, SEGMENT_BYTES,
  SEG_BASE, SEG_CS, SEG_LIMIT, SHADOW, STEP, STEP_TRAPS, STI_DONE, STI_NEXT, USER_ENTERED, USER_ENTRIES, USER_LONG, USER_SLOT, USER_STAYS, USER_STAYS_SLOTS, USER_STOPS, USER_UNKNOWN, VECTOR_GP,
} from "../isa/x86/state/layout.ts";
import { REC_COUNT, REC_HANDLER, REC_PAGE_OFFSET } from "../isa/x86/decode/record.ts";
import { deliverFault } from "./exceptions.ts";
import { raiseFault } from "./faults.ts";
import { FLAG_RF, FLAG_TF } from "./flags.ts";
import { interruptPending } from "./host.ts";
import { BLOCK_SETS, BLOCK_SET_BYTES, BLOCK_SLOT_BYTES, RECORD_CHUNK_SHIFT, VCPU_ATTENTION } from "../memory/layout.ts";
import { translateFetch } from "./paging.ts";

const CS: usize = SEGMENTS + SEG_CS * SEGMENT_BYTES;

/** The mode and, outside 64-bit code, the code segment's limit in one word. */
// @ts-ignore: decorator
@inline function jumpKey(mode: u32, limit: u32): u32 {
  return (mode & MODE_CODE_MASK) == MODE_CODE64 ? mode : mode ^ rotl<u32>(limit, 8);
}

/**
 * Host address of the byte at RIP, with IP_BASE set for the block that begins there; 0 with a fault pending when it
 * cannot be fetched. Empties the jump cache when it was filled for another mode or code segment.
 */
export function fetchBlock(cpu: usize): u32 {
  const mode = load<u32>(cpu, MODE);
  const rip = load<u64>(cpu, RIP);
  const base = load<u64>(cpu + CS, SEG_BASE);
  const keys: usize = cpu + (load<u32>(cpu, CPL) == 3 ? 8 : 0);
  const limit = load<u32>(cpu + CS, SEG_LIMIT);
  const key = jumpKey(mode, limit);
  if (load<u32>(keys, JUMP_KEYS) != key || load<u32>(keys, JUMP_KEYS + 4) != <u32>base) {
    memory.fill(load<u32>(cpu, JUMP_BASE), 0xff, JUMP_CACHE_SET_BYTES);
    store<u32>(keys, key, JUMP_KEYS);
    store<u32>(keys, <u32>base, JUMP_KEYS + 4);
  }
  let linear = rip;
  store<u32>(cpu, 0, CODE_LEFT);
  if ((mode & MODE_CODE_MASK) != MODE_CODE64) {
    // Intel SDM 3A, 5.3: the fetch is checked against the code segment's limit.
    if (<u32>rip > limit || rip > 0xffffffff) {
      raiseFault(cpu, VECTOR_GP, 1, 0);
      return 0;
    }
    linear = <u64>(<u32>rip + <u32>base);
    const left = limit - <u32>rip;
    if (left < 0xfff - (<u32>linear & 0xfff)) store<u32>(cpu, left + 1, CODE_LEFT);
  }
  const host = translateFetch(cpu, linear);
  if (host == 0) return 0;
  store<u64>(cpu, rip - (linear & 0xfff), IP_BASE);
  return host;
}

/** Host address of the first byte of the page behind the one that RIP's linear address lies in, or 0 with a fault. */
export function fetchNextPage(cpu: usize): u32 {
  const rip = load<u64>(cpu, RIP);
  const code64 = (load<u32>(cpu, MODE) & MODE_CODE_MASK) == MODE_CODE64;
  const linear = code64 ? rip : <u64>(<u32>rip + <u32>load<u64>(cpu + CS, SEG_BASE));
  const next = (linear | 0xfff) + 1;
  const limit = load<u32>(cpu + CS, SEG_LIMIT);
  if (!code64 && limit != 0xffffffff && <u32>(rip + (next - linear)) > limit) {
    raiseFault(cpu, VECTOR_GP, 1, 0);
    return 0;
  }
  return translateFetch(cpu, code64 ? next : next & 0xffffffff);
}

/** Remembers the block at RIP for jumps. */
export function rememberBlock(cpu: usize, record: u32): void {
  remember(cpu, load<u64>(cpu, RIP), record);
}

function remember(cpu: usize, rip: u64, record: u32): void {
  if (rip == u64.MAX_VALUE) return; // the mark of an empty entry
  const slot = (<u32>rip ^ <u32>(rip >> JUMP_CACHE_BITS)) & (JUMP_CACHE_ENTRIES - 1);
  const entry: usize = load<u32>(cpu, JUMP_BASE) + slot * JUMP_CACHE_ENTRY_BYTES;
  store<u64>(entry, rip);
  store<u32>(entry, record, JUMP_RECORD);
  store<u16>(entry, load<u16>(record, REC_HANDLER), JUMP_HANDLER);
  store<u16>(entry, load<u16>(record, REC_PAGE_OFFSET), JUMP_PAGE_OFFSET);
  const arena: usize = load<u32>(cpu, BLOCKS) + BLOCK_SETS * BLOCK_SET_BYTES;
  store<u8>(arena + ((record - arena) >> RECORD_CHUNK_SHIFT), 1);
}

/** 1 when the jump cache in use was filled for the mode and code segment as they are; fetchBlock empties it else. */
export function jumpCacheHolds(cpu: usize): i32 {
  const keys: usize = cpu + (load<u32>(cpu, CPL) == 3 ? 8 : 0);
  const key = jumpKey(load<u32>(cpu, MODE), load<u32>(cpu + CS, SEG_LIMIT));
  return i32(load<u32>(keys, JUMP_KEYS) == key && load<u32>(keys, JUMP_KEYS + 4) == <u32>load<u64>(cpu + CS, SEG_BASE));
}

/**
 * First record of the block at an address that the jump cache does not have, when its page can be fetched from and the block is
 * decoded; else 0. Remembers it.
 */
export function findBlock(cpu: usize, rip: u64): u32 {
  if (jumpCacheHolds(cpu) == 0) return 0;
  const mode = load<u32>(cpu, MODE);
  const base = load<u64>(cpu + CS, SEG_BASE);
  let linear = rip;
  if ((mode & MODE_CODE_MASK) != MODE_CODE64) {
    if (load<u32>(cpu + CS, SEG_LIMIT) != 0xffffffff) return 0;
    linear = <u64>(<u32>rip + <u32>base);
  }
  const host = translateFetch(cpu, linear);
  if (host == 0) {
    // For the driver to raise, once RIP is there.
    store<u32>(cpu, 0, FAULT_PENDING);
    return 0;
  }
  let slot: usize = load<u32>(cpu, BLOCKS) + ((host ^ (host >> 12)) & (BLOCK_SETS - 1)) * BLOCK_SET_BYTES;
  const key = <u64>host | (<u64>(mode & MODE_CODE_MASK) << 32);
  if (load<u64>(slot) != key) {
    slot += BLOCK_SLOT_BYTES;
    if (load<u64>(slot) != key) return 0;
  }
  const record = load<u32>(slot, 8);
  remember(cpu, rip, record);
  return record;
}

/**
 * After a routine has set RIP (LEAVE_RESUME): counts the instruction at RECORD; 0 when execution may go on there at once, else
 * what to leave with for the driver to look at events, traps and breakpoints.
 */
export function mayResume(cpu: usize): i32 {
  const budget = load<i32>(cpu, BUDGET) - <i32>load<u8>(load<u32>(cpu, RECORD), REC_COUNT);
  store<i32>(cpu, budget, BUDGET);
  if (budget < 0) return LEAVE_BUDGET;
  const special = driverIsWanted(cpu) | <u32>interruptPending();
  // Whether this code is decoded is no matter to who executes it otherwise.
  if (load<u32>(cpu, USER_STOPS) != 0 && load<u32>(cpu, CPL) == 3 && enterUser(cpu) != 0) return LEAVE_JUMP;
  if (special != 0 || isBehindSti(cpu) || jumpCacheHolds(cpu) == 0) return LEAVE_JUMP;
  takeResumeFlag(cpu);
  store<u32>(cpu, STEP_TRAPS, STEP);
  return 0;
}

/**
 * RF, as IRET has it behind page faults, holds for one instruction (SDM 3B, 18.3.1.1): clears it for the one at RIP. Should that one
 * not be executed after all, for its block has to be decoded or the vCPU stops, giveResumeFlagBack follows.
 */
export function takeResumeFlag(cpu: usize): void {
  const flags = load<u32>(cpu, EFLAGS);
  if ((flags & FLAG_RF) == 0) return;
  store<u32>(cpu, flags & ~FLAG_RF, EFLAGS);
  store<u32>(cpu, 1, RF_TAKEN);
  store<i32>(cpu, load<i32>(cpu, BUDGET), RF_BUDGET);
  store<u64>(cpu, load<u64>(cpu, RIP), RF_NEXT);
}

/** Between two blocks, with RF_TAKEN set. */
export function giveResumeFlagBack(cpu: usize): void {
  store<u32>(cpu, 0, RF_TAKEN);
  if (load<i32>(cpu, BUDGET) == load<i32>(cpu, RF_BUDGET) && load<u64>(cpu, RIP) == load<u64>(cpu, RF_NEXT)) store<u32>(cpu, load<u32>(cpu, EFLAGS) | FLAG_RF, EFLAGS);
}

/** Not 0 while traps, breakpoints, shadows or events have to be looked at between two instructions. */
// @ts-ignore: decorator
@inline function driverIsWanted(cpu: usize): u32 {
  return (load<u32>(cpu, EFLAGS) & FLAG_TF) | (load<u32>(cpu, DR7) & 0xff) | load<u32>(cpu, SHADOW) | load<u32>(cpu, EVENTS) | load<u32>(cpu, PENDING_DEBUG)
    | load<u32>(cpu, VCPU_ATTENTION);
}

/** Is the instruction at RIP the one for which interrupts wait behind STI? Of an STI that others have followed nothing stays. */
// @ts-ignore: decorator
@inline function isBehindSti(cpu: usize): bool {
  if (load<u32>(cpu, STI_DONE) == 0) return false;
  if (load<u64>(cpu, RIP) == load<u64>(cpu, STI_NEXT)) return true;
  store<u32>(cpu, 0, STI_DONE);
  store<u64>(cpu, 0, STI_NEXT);
  return false;
}

/**
 * After a fault of the instruction at RECORD (LEAVE_FAULT): delivers it as the driver would; 0 when execution may go on at once with
 * the handler, else what to leave with. LEAVE_FAULT: nothing is done yet.
 */
export function resumeAfterFault(cpu: usize): i32 {
  const budget = load<i32>(cpu, BUDGET);
  if (budget <= 0 || driverIsWanted(cpu) != 0) return LEAVE_FAULT;
  const record: usize = load<u32>(cpu, RECORD);
  const rip = load<u64>(cpu, IP_BASE) + load<u16>(record, REC_PAGE_OFFSET);
  store<u64>(cpu, (load<u32>(cpu, MODE) & MODE_CODE_MASK) == MODE_CODE64 ? rip : rip & 0xffffffff, RIP);
  store<i32>(cpu, budget + 1 - <i32>load<u8>(record, REC_COUNT), BUDGET);
  store<u64>(cpu, load<u64>(cpu, COUNT_EXCEPTIONS) + 1, COUNT_EXCEPTIONS);
  store<u32>(cpu, STEP_TRAPS, STEP);
  const left = deliverFault(cpu);
  if (left != LEAVE_RESUME) return left;
  const stays = load<i32>(cpu, BUDGET) > 0 && load<u32>(cpu, HALTED) == 0 && driverIsWanted(cpu) == 0 && !isBehindSti(cpu) && jumpCacheHolds(cpu) != 0 && interruptPending() == 0;
  return stays ? 0 : LEAVE_JUMP;
}

/** User mode is about to go on at RIP: 0 when it stays with this engine, else LEAVE_JUMP, and USER_ENTERED says why. */
export function enterUser(cpu: usize): i32 {
  const slot = ((<u32>(load<u64>(cpu, RIP) >> 12) * 0x9e3779b1) >> 16 ^ <u32>(load<u64>(cpu, CR3) >> 12)) & (USER_STAYS_SLOTS - 1);
  const stays: usize = cpu + (slot << 1);
  const left = load<u16>(stays, USER_STAYS);
  store<u32>(cpu, slot, USER_SLOT);
  store<u32>(cpu, load<u32>(cpu, USER_ENTRIES) + 1, USER_ENTRIES);
  if (left == USER_UNKNOWN) {
    if (load<u64>(cpu, CR3) != load<u64>(cpu, USER_LONG)) return 0;
  } else if (left != 0) {
    store<u16>(stays, left == 1 ? USER_UNKNOWN : left - 1, USER_STAYS);
    return 0;
  }
  store<u32>(cpu, 1, USER_ENTERED);
  return LEAVE_JUMP;
}
