// The paravirtual interface as KVM defines it (Linux, Documentation/virt/kvm/x86: cpuid.rst, msr.rst, hypercalls.rst): a clock that is
// read without an exit, stolen time, flushing the TLBs of processors that sleep, messages to many processors at once, interrupts that need no EOI.

import {
  CPL, LEAVE_NEXT, MODE, MODE_CODE64, MODE_CODE_MASK, PARAVIRT, PARAVIRT_EOI_COUNT, PARAVIRT_EOI_MSR, PARAVIRT_EOI_OFFER, PARAVIRT_STEAL_TIME_MSR, PARAVIRT_SYSTEM_TIME_MSR,
  PARAVIRT_WALL_CLOCK_MSR, RAX, RBX, RCX, RDX, RSI, TSC_OFFSET,
} from "../isa/x86/state/layout.ts";
import {
  FEATURE_CLOCK, FEATURE_CLOCK_OLD, FEATURE_EOI, FEATURE_IPI, FEATURE_STEAL_TIME, FEATURE_UNHALT, HYPERCALL_KICK, HYPERCALL_POLL_INTERRUPT, HYPERCALL_SEND_IPI, MSR_EOI,
  MSR_STEAL_TIME, MSR_SYSTEM_TIME, MSR_SYSTEM_TIME_OLD, MSR_WALL_CLOCK, MSR_WALL_CLOCK_OLD,
} from "../cpu/paravirt.ts";
import { tscKhz } from "./cpuid.ts";
import { raiseUndefined } from "./faults.ts";
import { bootTime, hypercallToHost } from "./host.ts";
import { REGION_KIND_RAM } from "../memory/layout.ts";
import { afterWrite, hostOfPhysical, regionKind } from "./physical.ts";
import { flushTlb } from "./paging.ts";

const ENABLED: u64 = 1;
const NS_PER_MS: u64 = 1000000;
const US_PER_S: u64 = 1000000;

// struct pvclock_vcpu_time_info
const TIME_BYTES: u32 = 32;
const TIME_TSC: usize = 8;
const TIME_SYSTEM: usize = 16;
const TIME_MULTIPLIER: usize = 24;
const TIME_SHIFT: usize = 28;
const TIME_FLAGS: usize = 29;
/** Time stamp counters of all processors agree. */
const TIME_STABLE: u8 = 1;
/** The host has held the guest back; the guest clears it when it has seen it. */
const TIME_STOPPED: u8 = 2;
// struct pvclock_wall_clock
const WALL_BYTES: u32 = 12;
const WALL_SECONDS: usize = 4;
const WALL_NANOSECONDS: usize = 8;
// struct kvm_steal_time
const STEAL_BYTES: u32 = 64;
const STEAL_RESERVED: u64 = 0x3e;
const STEAL_VERSION: usize = 8;
const STEAL_PREEMPTED: usize = 16;
const PREEMPTED: u8 = 1;
const PREEMPTED_FLUSH_TLB: u8 = 2;
// The word of MSR_EOI: four bytes at a multiple of four, of which one bit is used (msr.rst).
const EOI_BYTES: u32 = 4;
const EOI_RESERVED: u64 = 2;
const EOI_NOT_NEEDED: u8 = 1;
/** PARAVIRT_EOI_OFFER: the guest has made use of it, and its word lies elsewhere by now. */
const OFFER_TAKEN: u32 = 1;

// Linux's EPERM; KVM_ENOSYS.
const NOT_PERMITTED: u64 = -1;
const NO_SUCH_CALL: u64 = -1000;

/** Host address of so many bytes of RAM; 0 where they are not, or not all. */
function ramAt(physical: u64, bytes: u32): usize {
  const host = hostOfPhysical(physical);
  if (regionKind != REGION_KIND_RAM || hostOfPhysical(physical + bytes - 1) != host + bytes - 1) return 0;
  return regionKind == REGION_KIND_RAM ? host : 0;
}
/** Says that a structure has been written, page by page. */
function wrote(host: usize, bytes: u32): void {
  const first = min<u32>(bytes, 0x1000 - (<u32>host & 0xfff));
  afterWrite(host, first);
  if (first < bytes) afterWrite(host + first, bytes - first);
}

/** Readers try again while the version is odd, or when it has changed meanwhile. */
function beginChange(version: usize): void {
  atomic.store<u32>(version, (load<u32>(version) | 1) + (load<u32>(version) & 1) * 2);
}
function endChange(version: usize): void {
  atomic.store<u32>(version, load<u32>(version) + 1);
}

/**
 * What the guest's clock was at a time stamp, and how it goes on by the time stamp counter. That time is the clock's zero, whenever this is
 * called, so that all processors get the same from the same counter, to the last bit.
 */
export function writeSystemTime(cpu: usize): void {
  const where = load<u64>(cpu, PARAVIRT_SYSTEM_TIME_MSR);
  if ((where & ENABLED) == 0) return;
  const host = ramAt(where & ~ENABLED, TIME_BYTES);
  if (host == 0) return;
  const rate = <u64>tscKhz(cpu);
  // ns = (ticks << shift) * multiplier >> 32, the multiplier having its top bit set.
  let shift: i32 = 0;
  while ((NS_PER_MS << 32) / (rate << shift) >> 32 != 0) shift++;
  let multiplier = (NS_PER_MS << 32) / (rate << shift);
  for (; shift > -10 && multiplier >> 31 == 0; shift--) multiplier = (NS_PER_MS << (33 - shift)) / rate;
  beginChange(host);
  store<u64>(host, load<u64>(cpu, TSC_OFFSET), TIME_TSC);
  store<u64>(host, 0, TIME_SYSTEM);
  store<u32>(host, <u32>multiplier, TIME_MULTIPLIER);
  store<i8>(host, <i8>shift, TIME_SHIFT);
  store<u8>(host, TIME_STABLE | (load<u8>(host, TIME_FLAGS) & TIME_STOPPED), TIME_FLAGS);
  endChange(host);
  wrote(host, TIME_BYTES);
}

/**
 * The guest was held back for a time that its clock is about to show: its watchdogs need not bark. Only the flag changes, so that readers
 * that stand half-way get what they would have got. Returns 0 where the guest has no clock to be told by.
 */
export function heldBack(cpu: usize): i32 {
  const where = load<u64>(cpu, PARAVIRT_SYSTEM_TIME_MSR);
  const host = (where & ENABLED) == 0 ? 0 : ramAt(where & ~ENABLED, TIME_BYTES);
  if (host == 0) return 0;
  store<u8>(host, load<u8>(host, TIME_FLAGS) | TIME_STOPPED, TIME_FLAGS);
  wrote(host, TIME_BYTES);
  return 1;
}

/** The time of day when the guest's clock was zero. */
function writeWallClock(where: u64): void {
  const host = ramAt(where, WALL_BYTES);
  if (host == 0) return;
  const time = <u64>bootTime();
  beginChange(host);
  store<u32>(host, <u32>(time / US_PER_S), WALL_SECONDS);
  store<u32>(host, <u32>(time % US_PER_S * 1000), WALL_NANOSECONDS);
  endChange(host);
  wrote(host, WALL_BYTES);
}

function stealTime(cpu: usize): usize {
  const where = load<u64>(cpu, PARAVIRT_STEAL_TIME_MSR);
  return (where & ENABLED) == 0 ? 0 : ramAt(where & ~ENABLED, STEAL_BYTES);
}

/** Time in ns for which this processor wanted to execute and the host did not let it, since the last call. */
export function addStolenTime(cpu: usize, ns: f64): void {
  const host = stealTime(cpu);
  if (host == 0) return;
  beginChange(host + STEAL_VERSION);
  store<u64>(host, load<u64>(host) + <u64>ns);
  endChange(host + STEAL_VERSION);
  wrote(host, STEAL_BYTES);
}

/** The processor stops executing for a time: others need not wait for it to flush its TLB. */
export function leaveProcessor(cpu: usize): void {
  const host = stealTime(cpu);
  if (host == 0) return;
  atomic.store<u8>(host + STEAL_PREEMPTED, PREEMPTED);
  wrote(host, STEAL_BYTES);
}
/** It goes on, and does what others have left for it. */
export function enterProcessor(cpu: usize): void {
  const host = stealTime(cpu);
  if (host == 0) return;
  const left = atomic.xchg<u8>(host + STEAL_PREEMPTED, 0);
  if ((left & PREEMPTED_FLUSH_TLB) != 0) flushTlb(cpu);
  if (left != 0) wrote(host, STEAL_BYTES);
}

/** The guest need not write the EOI register for the interrupt that it gets, where it has given a word to say so. There is no other offer. */
export function offerEoi(cpu: usize): void {
  const where = load<u64>(cpu, PARAVIRT_EOI_MSR);
  const host = (where & ENABLED) == 0 ? 0 : ramAt(where & ~ENABLED, EOI_BYTES);
  if (host == 0) return;
  store<u8>(host, load<u8>(host) | EOI_NOT_NEEDED);
  wrote(host, EOI_BYTES);
  store<u32>(cpu, <u32>host, PARAVIRT_EOI_OFFER);
}

/** Takes back what was offered. True where the guest has made use of it before. */
function withdrawOffer(cpu: usize): bool {
  const host = load<u32>(cpu, PARAVIRT_EOI_OFFER);
  store<u32>(cpu, 0, PARAVIRT_EOI_OFFER);
  if (host <= OFFER_TAKEN) return host == OFFER_TAKEN;
  const word = load<u8>(host);
  if ((word & EOI_NOT_NEEDED) == 0) return true;
  store<u8>(host, word & ~EOI_NOT_NEEDED);
  wrote(host, EOI_BYTES);
  return false;
}
/** Takes the offer back. Returns 1 where the guest has ended its interrupt by it; else 0, and it will write the register. */
export function settleEoi(cpu: usize): i32 {
  if (!withdrawOffer(cpu)) return 0;
  store<u32>(cpu, load<u32>(cpu, PARAVIRT_EOI_COUNT) + 1, PARAVIRT_EOI_COUNT);
  return 1;
}
/** The word moves, and what it was is the guest's own again: `settleEoi` will say what had become of an offer there. False: reserved bits are set. */
function moveEoiWord(cpu: usize, where: u64): bool {
  if ((where & EOI_RESERVED) != 0) return false;
  store<u32>(cpu, withdrawOffer(cpu) ? OFFER_TAKEN : 0, PARAVIRT_EOI_OFFER);
  store<u64>(cpu, where, PARAVIRT_EOI_MSR);
  return true;
}

/** Is it a register of this interface, which the guest has been told of? */
export function isParavirtRegister(cpu: usize, index: u32): bool {
  const features = load<u32>(cpu, PARAVIRT);
  switch (index) {
    case MSR_WALL_CLOCK:
    case MSR_SYSTEM_TIME: return (features & FEATURE_CLOCK) != 0;
    case MSR_WALL_CLOCK_OLD:
    case MSR_SYSTEM_TIME_OLD: return (features & FEATURE_CLOCK_OLD) != 0;
    case MSR_STEAL_TIME: return (features & FEATURE_STEAL_TIME) != 0;
    case MSR_EOI: return (features & FEATURE_EOI) != 0;
  }
  return false;
}

export function readParavirtRegister(cpu: usize, index: u32): u64 {
  switch (index) {
    case MSR_WALL_CLOCK:
    case MSR_WALL_CLOCK_OLD: return load<u64>(cpu, PARAVIRT_WALL_CLOCK_MSR);
    case MSR_STEAL_TIME: return load<u64>(cpu, PARAVIRT_STEAL_TIME_MSR);
    case MSR_EOI: return load<u64>(cpu, PARAVIRT_EOI_MSR);
    default: return load<u64>(cpu, PARAVIRT_SYSTEM_TIME_MSR);
  }
}

/** False: reserved bits are set. */
export function writeParavirtRegister(cpu: usize, index: u32, value: u64): bool {
  switch (index) {
    case MSR_WALL_CLOCK:
    case MSR_WALL_CLOCK_OLD:
      store<u64>(cpu, value, PARAVIRT_WALL_CLOCK_MSR);
      writeWallClock(value);
      return true;
    case MSR_STEAL_TIME:
      if ((value & STEAL_RESERVED) != 0) return false;
      store<u64>(cpu, value, PARAVIRT_STEAL_TIME_MSR);
      return true;
    case MSR_EOI: return moveEoiWord(cpu, value);
    default:
      store<u64>(cpu, value, PARAVIRT_SYSTEM_TIME_MSR);
      writeSystemTime(cpu);
      return true;
  }
}

function hasCall(features: u32, number: u64): bool {
  switch (<u32>number) {
    case HYPERCALL_KICK: return (features & FEATURE_UNHALT) != 0;
    case HYPERCALL_SEND_IPI: return (features & FEATURE_IPI) != 0;
  }
  return false;
}

/** VMCALL and VMMCALL: RAX says what is wanted, of RBX, RCX, RDX and RSI; the answer is in RAX. #UD without the interface. */
export function hypercall(cpu: usize): i32 {
  const features = load<u32>(cpu, PARAVIRT);
  if (features == 0) return raiseUndefined(cpu);
  const mask = (load<u32>(cpu, MODE) & MODE_CODE_MASK) == MODE_CODE64 ? u64.MAX_VALUE : <u64>0xffffffff;
  const number = load<u64>(cpu, RAX) & mask;
  let answer = NO_SUCH_CALL;
  if (load<u32>(cpu, CPL) != 0) answer = NOT_PERMITTED;
  else if (number == HYPERCALL_POLL_INTERRUPT) answer = 0;
  else if (number >> 32 == 0 && hasCall(features, number)) {
    answer = hypercallToHost(<i32>number, load<u64>(cpu, RBX) & mask, load<u64>(cpu, RCX) & mask, load<u64>(cpu, RDX) & mask, load<u64>(cpu, RSI) & mask);
  }
  store<u64>(cpu, answer & mask, RAX);
  return LEAVE_NEXT;
}
