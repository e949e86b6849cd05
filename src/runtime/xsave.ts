// The XSAVE family (Intel SDM 1, chapter 13): x87, SSE and AVX state and PKRU, standard and compacted format.

import {
  CPL, CR0, CR4, FAULT_PENDING, MODE, MODE_CODE64, MODE_CODE_MASK, MODE_REAL, MODE_V86, MXCSR, PKRU, RAX, RCX, RDX, VECTOR, VECTOR_BYTES, VECTOR_NM, VECTOR_UD, X87, X87_CONTROL, X87_DP,
  X87_DP_SELECTOR, X87_IP, X87_IP_SELECTOR, X87_OPCODE, X87_STATUS, X87_TAGS, XCR0,
} from "../isa/x86/state/layout.ts";
import { XSAVE_COMPACT } from "../isa/x86/routines/float-operations.ts";
import { supportedXcr0 } from "./cpuid.ts";
import { raiseFault, raiseGeneralProtection } from "./faults.ts";
import { MXCSR_MASK, restoreX87, restoreXmm, saveMxcsr, saveX87, saveXmm, x87EmptyTags } from "./fpu.ts";
import { loadLinear32, loadLinear64, probeLinear, storeLinear64 } from "./memory.ts";
import { flushAccessRights } from "./paging.ts";

const STATE_X87: u64 = 1;
const STATE_SSE: u64 = 2;
const STATE_AVX: u64 = 4;
const STATE_PKRU: u64 = 0x200;
const COMPACTED: u64 = 0x8000000000000000;
const CR4_OSXSAVE: u64 = 0x40000;

const HEADER: u64 = 512;
const HEADER_BYTES: u64 = 64;
/** The same place in both formats. */
const AVX_AREA: u64 = 576;
const AVX_BYTES: u32 = 256;

/** PKRU lies behind AVX state, in the compacted format only if that is there (SDM 1, 13.4.3). */
function keysArea(format: u64): u64 {
  return (format & COMPACTED) != 0 && (format & STATE_AVX) == 0 ? AVX_AREA : AVX_AREA + AVX_BYTES;
}

/** #UD without CR4.OSXSAVE, #NM with CR0.TS. */
export function xsaveAvailable(cpu: usize): i32 {
  if ((load<u64>(cpu, CR4) & CR4_OSXSAVE) == 0) return raiseFault(cpu, VECTOR_UD, 0, 0);
  return (load<u64>(cpu, CR0) & 8) != 0 ? raiseFault(cpu, VECTOR_NM, 0, 0) : 0;
}

/** #UD and #NM conditions of AVX (SDM 2A, table 2-17 and its like): the system must have switched on both SSE and AVX state. */
export function avxAvailable(cpu: usize): i32 {
  if ((load<u32>(cpu, MODE) & (MODE_REAL | MODE_V86)) != 0 || (load<u64>(cpu, CR4) & CR4_OSXSAVE) == 0) return raiseFault(cpu, VECTOR_UD, 0, 0);
  if ((load<u64>(cpu, XCR0) & (STATE_SSE | STATE_AVX)) != (STATE_SSE | STATE_AVX)) return raiseFault(cpu, VECTOR_UD, 0, 0);
  return (load<u64>(cpu, CR0) & 8) != 0 ? raiseFault(cpu, VECTOR_NM, 0, 0) : 0;
}

// @ts-ignore: decorator
@inline function vectors(cpu: usize): u32 {
  return (load<u32>(cpu, MODE) & MODE_CODE_MASK) == MODE_CODE64 ? 16 : 8;
}

/** XINUSE: components that are not in their initial configuration (SDM 1, 13.6). */
function inUse(cpu: usize): u64 {
  let found: u64 = 0;
  let rest: u64 = load<u64>(cpu, X87_IP) | load<u64>(cpu, X87_DP) | load<u16>(cpu, X87_IP_SELECTOR) | load<u16>(cpu, X87_DP_SELECTOR) | load<u16>(cpu, X87_OPCODE) | load<u16>(cpu, X87_STATUS);
  for (let i: u32 = 0; i < 8; i++) rest |= load<u64>(cpu + i * 16, X87) | load<u16>(cpu + i * 16, X87 + 8);
  if (rest != 0 || load<u16>(cpu, X87_CONTROL) != 0x37f || load<u16>(cpu, X87_TAGS) != 0xffff) found |= STATE_X87;
  let low: u64 = 0, high: u64 = 0;
  for (let i: u32 = 0; i < 16; i++) {
    const register = cpu + i * VECTOR_BYTES;
    low |= load<u64>(register, VECTOR) | load<u64>(register, VECTOR + 8);
    high |= load<u64>(register, VECTOR + 16) | load<u64>(register, VECTOR + 24);
  }
  if (low != 0) found |= STATE_SSE;
  if (high != 0) found |= STATE_AVX;
  if (load<u32>(cpu, PKRU) != 0) found |= STATE_PKRU;
  return found;
}

// @ts-ignore: decorator
@inline function requested(cpu: usize): u64 {
  return ((load<u64>(cpu, RDX) << 32) | <u64>load<u32>(cpu, RAX)) & load<u64>(cpu, XCR0);
}

function probe(cpu: usize, at: u64, bytes: u32, write: i32): bool {
  return probeLinear(cpu, at, bytes, write, load<u32>(cpu, CPL) == 3 ? 1 : 0) == 0;
}

/** XSAVE, XSAVEOPT, XSAVEC (`kind`: XSAVE_ constants); `wide` 1 with REX.W. */
export function xsave(cpu: usize, linear: i64, wide: i32, kind: i32): i32 {
  const at = <u64>linear;
  if ((at & 63) != 0) return raiseGeneralProtection(cpu, 0);
  const mask = requested(cpu);
  let used = inUse(cpu);
  // For XSAVEC MXCSR belongs to the SSE state.
  if (kind == XSAVE_COMPACT && load<u32>(cpu, MXCSR) != 0x1f80) used |= STATE_SSE;
  const saved = kind == 0 ? mask : mask & used;
  if (!probe(cpu, at, <u32>(HEADER + HEADER_BYTES), 1)) return 1;
  if ((saved & STATE_AVX) != 0 && !probe(cpu, at + AVX_AREA, AVX_BYTES, 1)) return 1;
  const keys = at + keysArea(kind == XSAVE_COMPACT ? mask | COMPACTED : 0);
  if ((saved & STATE_PKRU) != 0 && !probe(cpu, keys, 8, 1)) return 1;
  const header = kind == XSAVE_COMPACT ? mask & used : (loadLinear64(cpu, at + HEADER) & ~mask) | (mask & used);
  if ((saved & STATE_X87) != 0) saveX87(cpu, at, wide);
  if ((saved & STATE_SSE) != 0) saveXmm(cpu, at);
  if (kind == XSAVE_COMPACT ? (saved & STATE_SSE) != 0 : (mask & (STATE_SSE | STATE_AVX)) != 0) saveMxcsr(cpu, at);
  if ((saved & STATE_AVX) != 0) {
    const count = vectors(cpu);
    for (let i: u32 = 0; i < count; i++) {
      const register = cpu + i * VECTOR_BYTES;
      storeLinear64(cpu, at + AVX_AREA + i * 16, load<u64>(register, VECTOR + 16));
      storeLinear64(cpu, at + AVX_AREA + i * 16 + 8, load<u64>(register, VECTOR + 24));
    }
  }
  if ((saved & STATE_PKRU) != 0) storeLinear64(cpu, keys, load<u32>(cpu, PKRU));
  storeLinear64(cpu, at + HEADER, header);
  if (kind == XSAVE_COMPACT) storeLinear64(cpu, at + HEADER + 8, mask | COMPACTED);
  return load<u32>(cpu, FAULT_PENDING) != 0 ? 1 : 0;
}

/** XRSTOR (SDM 1, 13.8): everything is checked before anything is loaded. */
export function xrstor(cpu: usize, linear: i64, wide: i32): i32 {
  const at = <u64>linear;
  if ((at & 63) != 0) return raiseGeneralProtection(cpu, 0);
  if (!probe(cpu, at, <u32>(HEADER + HEADER_BYTES), 0)) return 1;
  const mask = requested(cpu);
  const present = loadLinear64(cpu, at + HEADER);
  const format = loadLinear64(cpu, at + HEADER + 8);
  const compacted = (format & COMPACTED) != 0;
  const enabled = load<u64>(cpu, XCR0);
  let reserved: u64 = compacted ? (format & ~COMPACTED & ~enabled) | (present & ~format) : (present & ~enabled) | format;
  const end: u64 = compacted ? HEADER_BYTES : 24;
  for (let offset: u64 = 16; offset < end; offset += 8) reserved |= loadLinear64(cpu, at + HEADER + offset);
  if (reserved != 0) return raiseGeneralProtection(cpu, 0);
  const loaded = mask & present;
  const takesMxcsr = compacted ? (loaded & STATE_SSE) != 0 : (mask & (STATE_SSE | STATE_AVX)) != 0;
  const mxcsr = loadLinear32(cpu, at + 24);
  if (takesMxcsr && (mxcsr & ~MXCSR_MASK) != 0) return raiseGeneralProtection(cpu, 0);
  if ((loaded & STATE_AVX) != 0 && !probe(cpu, at + AVX_AREA, AVX_BYTES, 0)) return 1;
  const keys = at + keysArea(format);
  if ((loaded & STATE_PKRU) != 0 && !probe(cpu, keys, 8, 0)) return 1;
  if (load<u32>(cpu, FAULT_PENDING) != 0) return 1;

  const count = vectors(cpu);
  if ((loaded & STATE_X87) != 0) restoreX87(cpu, at, wide);
  else if ((mask & STATE_X87) != 0) initX87(cpu);
  if ((loaded & STATE_SSE) != 0) restoreXmm(cpu, at);
  else if ((mask & STATE_SSE) != 0) clearHalves(cpu, count, 0);
  if (takesMxcsr) store<u32>(cpu, mxcsr, MXCSR);
  else if (compacted && (mask & STATE_SSE) != 0) store<u32>(cpu, 0x1f80, MXCSR);
  if ((loaded & STATE_AVX) != 0) {
    for (let i: u32 = 0; i < count; i++) {
      const register = cpu + i * VECTOR_BYTES;
      store<u64>(register, loadLinear64(cpu, at + AVX_AREA + i * 16), VECTOR + 16);
      store<u64>(register, loadLinear64(cpu, at + AVX_AREA + i * 16 + 8), VECTOR + 24);
    }
  } else if ((mask & STATE_AVX) != 0) clearHalves(cpu, count, 16);
  if ((mask & STATE_PKRU) != 0) {
    const rights = (loaded & STATE_PKRU) != 0 ? loadLinear32(cpu, keys) : 0;
    if (rights != load<u32>(cpu, PKRU)) {
      store<u32>(cpu, rights, PKRU);
      flushAccessRights(cpu);
    }
  }
  return load<u32>(cpu, FAULT_PENDING) != 0 ? 1 : 0;
}

function clearHalves(cpu: usize, count: u32, offset: usize): void {
  for (let i: u32 = 0; i < count; i++) {
    const register = cpu + i * VECTOR_BYTES + offset;
    store<u64>(register, 0, VECTOR);
    store<u64>(register, 0, VECTOR + 8);
  }
}

/** Registers included, unlike FNINIT (SDM 1, 13.6). */
function initX87(cpu: usize): void {
  store<u16>(cpu, 0x37f, X87_CONTROL);
  store<u16>(cpu, 0, X87_STATUS);
  x87EmptyTags(cpu);
  store<u16>(cpu, 0, X87_OPCODE);
  store<u64>(cpu, 0, X87_IP);
  store<u64>(cpu, 0, X87_DP);
  store<u16>(cpu, 0, X87_IP_SELECTOR);
  store<u16>(cpu, 0, X87_DP_SELECTOR);
  for (let i: u32 = 0; i < 8; i++) {
    store<u64>(cpu + i * 16, 0, X87);
    store<u16>(cpu + i * 16, 0, X87 + 8);
  }
}

/** XGETBV: register 0 is XCR0, register 1 the part of it that is in use. */
export function readExtendedControl(cpu: usize): i32 {
  if ((load<u64>(cpu, CR4) & CR4_OSXSAVE) == 0) return raiseFault(cpu, VECTOR_UD, 0, 0);
  const index = load<u32>(cpu, RCX);
  if (index > 1) return raiseGeneralProtection(cpu, 0);
  const value = index == 0 ? load<u64>(cpu, XCR0) : load<u64>(cpu, XCR0) & inUse(cpu);
  store<u64>(cpu, <u64><u32>value, RAX);
  store<u64>(cpu, value >> 32, RDX);
  return 0;
}

/** XSETBV: x87 state cannot be switched off, AVX not on without SSE. */
export function writeExtendedControl(cpu: usize): i32 {
  if ((load<u64>(cpu, CR4) & CR4_OSXSAVE) == 0) return raiseFault(cpu, VECTOR_UD, 0, 0);
  const value = (load<u64>(cpu, RDX) << 32) | <u64>load<u32>(cpu, RAX);
  const wrong = load<u32>(cpu, CPL) != 0 || load<u32>(cpu, RCX) != 0 || (value & ~supportedXcr0(cpu)) != 0 || (value & STATE_X87) == 0;
  if (wrong || (value & (STATE_SSE | STATE_AVX)) == STATE_AVX) return raiseGeneralProtection(cpu, 0);
  store<u64>(cpu, value, XCR0);
  return 0;
}
