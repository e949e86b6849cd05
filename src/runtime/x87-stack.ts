// The x87 register stack, exceptions and pointers (Intel SDM 1, 8.1 and 8.4). X87_TAGS keeps 0 for any register in
// use and 3 for an empty one; the classes of the full tag word are made when it is stored.

import {
  CR0, FAULT_PENDING, LEAVE_FAULT, SEGMENTS, SEGMENT_BYTES, SEG_BASE, SEG_CS, SEG_SELECTOR, VECTOR_FERR, VECTOR_MF, VECTOR_NM, X87, X87_CONTROL, X87_IP, X87_IP_SELECTOR, X87_OPCODE,
  X87_STATUS, X87_TAGS,
} from "../isa/x86/state/layout.ts";
import { raiseFault } from "./faults.ts";
import { numericError } from "./host.ts";
import { loadLinear8 } from "./memory.ts";
import { currentIp } from "./position.ts";
import { IE, OE, UE, begin, flags, packExtended, packedExponent, roundedUp, unpackExtendedA, unpackExtendedB } from "./softfloat.ts";

export const STATUS_SF: u32 = 0x40;
export const STATUS_C0: u32 = 0x100;
export const STATUS_C1: u32 = 0x200;
export const STATUS_C2: u32 = 0x400;
export const STATUS_C3: u32 = 0x4000;
/** ES and B, which follow it. */
const STATUS_SUMMARY: u32 = 0x8080;
const STATUS_TOP: u32 = 0x3800;

const CR0_MP: u64 = 2;
const CR0_EM: u64 = 4;
const CR0_TS: u64 = 8;
const CR0_NE: u64 = 0x20;

export const NAN_SIGNIFICAND: u64 = 0xc000000000000000;
export const NAN_EXPONENT: u32 = 0xffff;

/** Before every waiting x87 instruction: #NM when CR0.EM or TS is set, #MF when an unmasked exception is pending. */
export function x87Check(cpu: usize): i32 {
  if ((load<u64>(cpu, CR0) & (CR0_EM | CR0_TS)) != 0) return raiseFault(cpu, VECTOR_NM, 0, 0);
  return (load<u32>(cpu, X87_STATUS) & 0x80) != 0 ? x87Pending(cpu) : 0;
}

/** A waiting instruction with an unmasked exception pending: #MF, or with CR0.NE clear FERR# (SDM 1, appendix D). */
export function x87Pending(cpu: usize): i32 {
  if ((load<u64>(cpu, CR0) & CR0_NE) != 0) return raiseFault(cpu, VECTOR_MF, 0, 0);
  const answer = numericError(1);
  return answer == 1 ? 0 : raiseFault(cpu, answer == 0 ? VECTOR_FERR : VECTOR_MF, 0, 0);
}

/** FWAIT: #NM only when CR0.MP and TS are both set. */
export function x87CheckWait(cpu: usize): i32 {
  if ((load<u64>(cpu, CR0) & (CR0_MP | CR0_TS)) == (CR0_MP | CR0_TS)) return raiseFault(cpu, VECTOR_NM, 0, 0);
  return (load<u32>(cpu, X87_STATUS) & 0x80) != 0 ? x87Pending(cpu) : 0;
}

/** What each instruction that is not a control instruction begins with: checks, pointer, rounding. */
export function x87Begin(cpu: usize): bool {
  if (x87Check(cpu) != 0) return false;
  store<u64>(cpu, currentIp(cpu), X87_IP);
  store<u16>(cpu, load<u16>(cpu + SEGMENTS + SEG_CS * SEGMENT_BYTES, SEG_SELECTOR), X87_IP_SELECTOR);
  const control = <u32>load<u16>(cpu, X87_CONTROL);
  begin((control >> 10) & 3, ~control & (OE | UE), false, true);
  return true;
}

// @ts-ignore: decorator
@inline export function x87Top(cpu: usize): u32 {
  return (<u32>load<u16>(cpu, X87_STATUS) >> 11) & 7;
}
/** Address of ST(i), to be used with offset X87. */
// @ts-ignore: decorator
@inline export function x87Register(cpu: usize, i: u32): usize {
  return cpu + ((x87Top(cpu) + i) & 7) * 16;
}
export function x87IsEmpty(cpu: usize, i: u32): bool {
  return ((<u32>load<u16>(cpu, X87_TAGS) >> (((x87Top(cpu) + i) & 7) << 1)) & 3) == 3;
}
export function x87SetTag(cpu: usize, i: u32, tag: u32): void {
  const shift = ((x87Top(cpu) + i) & 7) << 1;
  store<u16>(cpu, <u16>((<u32>load<u16>(cpu, X87_TAGS) & ~(3 << shift)) | (tag << shift)), X87_TAGS);
}
export function x87Write(cpu: usize, i: u32, significand: u64, se: u32): void {
  const register = x87Register(cpu, i);
  store<u64>(register, significand, X87);
  store<u16>(register, <u16>se, X87 + 8);
  x87SetTag(cpu, i, 0);
}
export function x87WriteIndefinite(cpu: usize, i: u32): void {
  x87Write(cpu, i, NAN_SIGNIFICAND, NAN_EXPONENT);
}
export function x87MoveTop(cpu: usize, by: u32): void {
  const status = <u32>load<u16>(cpu, X87_STATUS);
  store<u16>(cpu, <u16>((status & ~STATUS_TOP) | ((status + (by << 11)) & STATUS_TOP)), X87_STATUS);
}
export function x87Pop(cpu: usize): void {
  x87SetTag(cpu, 0, 3);
  x87MoveTop(cpu, 1);
}
export function x87Push(cpu: usize, significand: u64, se: u32): void {
  x87MoveTop(cpu, 7);
  x87Write(cpu, 0, significand, se);
}
export function unpackA(cpu: usize, i: u32): void {
  const register = x87Register(cpu, i);
  unpackExtendedA(load<u64>(register, X87), load<u16>(register, X87 + 8));
}
export function unpackB(cpu: usize, i: u32): void {
  const register = x87Register(cpu, i);
  unpackExtendedB(load<u64>(register, X87), load<u16>(register, X87 + 8));
}

/** Sets or clears bits of the status word. */
export function x87SetCondition(cpu: usize, mask: u32, bits: u32): void {
  store<u16>(cpu, <u16>((<u32>load<u16>(cpu, X87_STATUS) & ~mask) | bits), X87_STATUS);
}

/** FERR# falls when no unmasked exception is left. `status`: what it was. */
export function noteErrorGone(cpu: usize, status: u32): void {
  if ((status & 0x80) != 0 && (load<u64>(cpu, CR0) & CR0_NE) == 0) numericError(0);
}

/** ES and B from the exception flags and their masks. */
export function x87UpdateSummary(cpu: usize): void {
  const status = <u32>load<u16>(cpu, X87_STATUS);
  const open = status & ~<u32>load<u16>(cpu, X87_CONTROL) & 0x3f;
  store<u16>(cpu, <u16>(open != 0 ? status | STATUS_SUMMARY : status & ~STATUS_SUMMARY), X87_STATUS);
  if (open == 0) noteErrorGone(cpu, status);
}

/** Ors exceptions into the status word; returns those that are unmasked. */
export function x87Raise(cpu: usize, exceptions: u32): u32 {
  store<u16>(cpu, load<u16>(cpu, X87_STATUS) | <u16>exceptions, X87_STATUS);
  const open = exceptions & ~<u32>load<u16>(cpu, X87_CONTROL) & 0x3f;
  if (open != 0) {
    x87UpdateSummary(cpu);
    rememberOpcode(cpu);
  }
  return open;
}

/** FOP is kept for instructions with unmasked exceptions only (SDM 1, 8.1.9.1): read them again. */
function rememberOpcode(cpu: usize): void {
  let at = load<u64>(cpu + SEGMENTS + SEG_CS * SEGMENT_BYTES, SEG_BASE) + currentIp(cpu);
  for (let i = 0; i < 15; i++) {
    const byte = loadLinear8(cpu, at);
    if ((byte & 0xf8) == 0xd8) {
      store<u16>(cpu, <u16>(((byte & 7) << 8) | loadLinear8(cpu, at + 1)), X87_OPCODE);
      break;
    }
    at++;
  }
  // The bytes were just executed, so this is only a race with another processor's change of the page tables.
  store<u32>(cpu, 0, FAULT_PENDING);
}

/** Stack underflow (C1 = 0) or overflow (C1 = 1). True when masked: the default NaN is to be delivered. */
export function x87StackFault(cpu: usize, overflow: bool): bool {
  x87SetCondition(cpu, STATUS_C1, overflow ? STATUS_C1 : 0);
  return x87Raise(cpu, IE | STATUS_SF) == 0;
}

/**
 * Commits the exceptions that softfloat gathered, C1 = last rounding was up. Returns the unmasked ones: results are
 * not delivered when IE, DE or ZE is among them.
 */
export function x87Finish(cpu: usize): u32 {
  const control = <u32>load<u16>(cpu, X87_CONTROL);
  let raised = flags;
  let condition: u32 = roundedUp ? STATUS_C1 : 0;
  if ((raised & ~control & 7) != 0) {
    raised &= 7;
    condition = 0;
  }
  x87SetCondition(cpu, STATUS_C1, condition);
  return raised == 0 ? 0 : x87Raise(cpu, raised);
}

/** Significand bits of the precision control (SDM 1, 8.1.5.2). */
export function x87Precision(cpu: usize): i32 {
  const control = (<u32>load<u16>(cpu, X87_CONTROL) >> 8) & 3;
  return control == 0 ? 24 : control == 2 ? 53 : 64;
}

/** Rounds the result to `precision` bits, commits exceptions, writes ST(i). False when nothing was written. */
export function x87Deliver(cpu: usize, i: u32, precision: i32): bool {
  const significand = packExtended(precision);
  const se = packedExponent;
  if ((x87Finish(cpu) & 7) != 0) return false;
  x87Write(cpu, i, significand, se);
  return true;
}

export const FAULTED: i32 = LEAVE_FAULT;
