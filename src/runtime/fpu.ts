// x87 and SSE control state: initialisation, control and status words, FXSAVE images (Intel SDM 1, chapters 8 and 10).

import {
  CR0, CR4, FAULT_PENDING, MODE, MODE_CODE64, MODE_CODE_MASK, MXCSR, VECTOR, VECTOR_BYTES, VECTOR_NM, VECTOR_UD, X87, X87_CONTROL, X87_DP, X87_DP_SELECTOR, X87_IP,
  X87_IP_SELECTOR, X87_OPCODE, X87_STATUS, X87_TAGS,
} from "../isa/x86/state/layout.ts";
import { raiseFault, raiseGeneralProtection } from "./faults.ts";
import { loadLinear, probeAligned, reachesCanonical, storeLinear } from "./memory.ts";
import { x87Pending, x87UpdateSummary } from "./x87-stack.ts";
import { CPL } from "../isa/x86/state/layout.ts";

const CR0_EM: u64 = 4;
const CR0_TS: u64 = 8;
export const MXCSR_MASK: u32 = 0xffff;

/** #NM when CR0.EM or CR0.TS is set: before any x87 instruction. */
export function x87Available(cpu: usize): i32 {
  return (load<u64>(cpu, CR0) & (CR0_EM | CR0_TS)) != 0 ? raiseFault(cpu, VECTOR_NM, 0, 0) : 0;
}

/** #UD when CR0.EM is set or CR4.OSFXSR clear, #NM when CR0.TS is set (SDM 3A, table 13-1). */
export function sseAvailable(cpu: usize): i32 {
  const cr0 = load<u64>(cpu, CR0);
  if ((cr0 & CR0_EM) != 0 || (load<u64>(cpu, CR4) & 0x200) == 0) return raiseFault(cpu, VECTOR_UD, 0, 0);
  return (cr0 & CR0_TS) != 0 ? raiseFault(cpu, VECTOR_NM, 0, 0) : 0;
}

/** #UD when CR0.EM is set, #NM when CR0.TS is, #MF when an x87 exception is pending (SDM 3A, 12.1 to 12.3). */
export function mmxAvailable(cpu: usize): i32 {
  const cr0 = load<u64>(cpu, CR0);
  if ((cr0 & CR0_EM) != 0) return raiseFault(cpu, VECTOR_UD, 0, 0);
  if ((cr0 & CR0_TS) != 0) return raiseFault(cpu, VECTOR_NM, 0, 0);
  return (load<u16>(cpu, X87_STATUS) & 0x80) != 0 ? x87Pending(cpu) : 0;
}

/** Every MMX instruction: TOP becomes 0, all tags valid (SDM 1, 9.5). EMMS empties them. */
export function mmxEnter(cpu: usize): void {
  store<u16>(cpu, load<u16>(cpu, X87_STATUS) & ~0x3800, X87_STATUS);
  store<u16>(cpu, 0, X87_TAGS);
}

export function x87EmptyTags(cpu: usize): void {
  store<u16>(cpu, 0xffff, X87_TAGS);
}

export function loadMxcsr(cpu: usize, value: i32): i32 {
  if ((<u32>value & ~MXCSR_MASK) != 0) return raiseGeneralProtection(cpu, 0);
  store<u32>(cpu, value, MXCSR);
  return 0;
}

function abridgedTags(cpu: usize): u32 {
  const tags = <u32>load<u16>(cpu, X87_TAGS);
  let abridged: u32 = 0;
  for (let i: u32 = 0; i < 8; i++) if (((tags >> (i * 2)) & 3) != 3) abridged |= 1 << i;
  return abridged;
}

/** Full tag of a register from its contents. */
function tagOf(cpu: usize, physical: u32): u32 {
  const at = cpu + physical * 16;
  const mantissa = load<u64>(at, X87);
  const exponent = <u32>load<u16>(at, X87 + 8) & 0x7fff;
  if (exponent == 0x7fff) return 2;
  if (exponent == 0) return mantissa == 0 ? 1 : 2;
  return (mantissa >> 63) != 0 ? 0 : 2;
}

/** A misaligned image is #AC where alignment is checked, how far is up to the processor, else #GP (SDM 2A, FXSAVE). */
function isFxAligned(cpu: usize, linear: u64, write: bool): bool {
  if ((linear & 15) == 0) return true;
  if (!reachesCanonical(cpu, linear, write)) return false;
  if (probeAligned(cpu, linear, 0, 4, write)) raiseGeneralProtection(cpu, 0);
  return false;
}

// Parts of the FXSAVE image, which is XSAVE's legacy region too (SDM 1, 10.5.1 and 13.4.1). The area has been probed.
export function saveX87(cpu: usize, at: u64, wide: i32): void {
  storeLinear(cpu, at, 2, load<u16>(cpu, X87_CONTROL));
  storeLinear(cpu, at + 2, 2, load<u16>(cpu, X87_STATUS));
  storeLinear(cpu, at + 4, 2, abridgedTags(cpu));
  storeLinear(cpu, at + 6, 2, load<u16>(cpu, X87_OPCODE));
  if (wide != 0) {
    storeLinear(cpu, at + 8, 8, load<u64>(cpu, X87_IP));
    storeLinear(cpu, at + 16, 8, load<u64>(cpu, X87_DP));
  } else {
    storeLinear(cpu, at + 8, 4, load<u32>(cpu, X87_IP));
    storeLinear(cpu, at + 12, 4, load<u16>(cpu, X87_IP_SELECTOR));
    storeLinear(cpu, at + 16, 4, load<u32>(cpu, X87_DP));
    storeLinear(cpu, at + 20, 4, load<u16>(cpu, X87_DP_SELECTOR));
  }
  const top = (<u32>load<u16>(cpu, X87_STATUS) >> 11) & 7;
  for (let i: u32 = 0; i < 8; i++) {
    const register = cpu + ((top + i) & 7) * 16;
    storeLinear(cpu, at + 32 + i * 16, 8, load<u64>(register, X87));
    storeLinear(cpu, at + 40 + i * 16, 8, load<u16>(register, X87 + 8));
  }
}

export function restoreX87(cpu: usize, at: u64, wide: i32): void {
  const status = <u32>loadLinear(cpu, at + 2, 2);
  const abridged = <u32>loadLinear(cpu, at + 4, 1);
  store<u16>(cpu, <u16>((loadLinear(cpu, at, 2) & 0x1f7f) | 0x40), X87_CONTROL);
  store<u16>(cpu, <u16>status, X87_STATUS);
  x87UpdateSummary(cpu);
  store<u16>(cpu, <u16>(loadLinear(cpu, at + 6, 2) & 0x7ff), X87_OPCODE);
  if (wide != 0) {
    store<u64>(cpu, loadLinear(cpu, at + 8, 8), X87_IP);
    store<u64>(cpu, loadLinear(cpu, at + 16, 8), X87_DP);
  } else {
    store<u64>(cpu, loadLinear(cpu, at + 8, 4), X87_IP);
    store<u16>(cpu, <u16>loadLinear(cpu, at + 12, 2), X87_IP_SELECTOR);
    store<u64>(cpu, loadLinear(cpu, at + 16, 4), X87_DP);
    store<u16>(cpu, <u16>loadLinear(cpu, at + 20, 2), X87_DP_SELECTOR);
  }
  const top = (status >> 11) & 7;
  let tags: u32 = 0;
  for (let i: u32 = 0; i < 8; i++) {
    const physical = (top + i) & 7;
    const register = cpu + physical * 16;
    store<u64>(register, loadLinear(cpu, at + 32 + i * 16, 8), X87);
    store<u16>(register, <u16>loadLinear(cpu, at + 40 + i * 16, 2), X87 + 8);
  }
  for (let i: u32 = 0; i < 8; i++) tags |= ((abridged >> i) & 1) != 0 ? tagOf(cpu, i) << (i * 2) : 3 << (i * 2);
  store<u16>(cpu, <u16>tags, X87_TAGS);
}

export function saveMxcsr(cpu: usize, at: u64): void {
  storeLinear(cpu, at + 24, 4, load<u32>(cpu, MXCSR));
  storeLinear(cpu, at + 28, 4, MXCSR_MASK);
}

// @ts-ignore: decorator
@inline function vectors(cpu: usize): u32 {
  return (load<u32>(cpu, MODE) & MODE_CODE_MASK) == MODE_CODE64 ? 16 : 8;
}
export function saveXmm(cpu: usize, at: u64): void {
  const count = vectors(cpu);
  for (let i: u32 = 0; i < count; i++) {
    const register = cpu + i * VECTOR_BYTES;
    storeLinear(cpu, at + 160 + i * 16, 8, load<u64>(register, VECTOR));
    storeLinear(cpu, at + 168 + i * 16, 8, load<u64>(register, VECTOR + 8));
  }
}
export function restoreXmm(cpu: usize, at: u64): void {
  const count = vectors(cpu);
  for (let i: u32 = 0; i < count; i++) {
    const register = cpu + i * VECTOR_BYTES;
    store<u64>(register, loadLinear(cpu, at + 160 + i * 16, 8), VECTOR);
    store<u64>(register, loadLinear(cpu, at + 168 + i * 16, 8), VECTOR + 8);
  }
}

/** FXSAVE: 512 bytes at a 16-byte boundary; `wide` 1 with REX.W (SDM 1, 10.5.1). */
export function saveFx(cpu: usize, linear: i64, wide: i32): i32 {
  const at = <u64>linear;
  if (!isFxAligned(cpu, at, true) || !probeAligned(cpu, at, 512, 1, true)) return 1;
  saveX87(cpu, at, wide);
  saveMxcsr(cpu, at);
  saveXmm(cpu, at);
  return load<u32>(cpu, FAULT_PENDING) != 0 ? 1 : 0;
}

export function restoreFx(cpu: usize, linear: i64, wide: i32): i32 {
  const at = <u64>linear;
  if (!isFxAligned(cpu, at, false) || !probeAligned(cpu, at, 512, 1, false)) return 1;
  const mxcsr = <u32>loadLinear(cpu, at + 24, 4);
  if ((mxcsr & ~MXCSR_MASK) != 0) return raiseGeneralProtection(cpu, 0);
  restoreX87(cpu, at, wide);
  store<u32>(cpu, mxcsr, MXCSR);
  restoreXmm(cpu, at);
  return load<u32>(cpu, FAULT_PENDING) != 0 ? 1 : 0;
}
