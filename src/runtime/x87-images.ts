// x87 environment and state images: FLDENV, FNSTENV, FRSTOR, FNSAVE (Intel SDM 1, 8.1.10), control word.

import {
  CR0, FAULT_PENDING, MODE, MODE_REAL, MODE_V86, VECTOR_NM, X87, X87_CONTROL, X87_DP, X87_DP_SELECTOR, X87_IP, X87_IP_SELECTOR, X87_OPCODE, X87_STATUS, X87_TAGS,
} from "../isa/x86/state/layout.ts";
import { raiseFault } from "./faults.ts";
import { loadLinear, loadLinear16, probeAligned, storeLinear, storeLinear16 } from "./memory.ts";
import { noteErrorGone, FAULTED, x87Check, x87Top, x87UpdateSummary } from "./x87-stack.ts";

/** #NM only: the instructions that do not wait. */
function available(cpu: usize): bool {
  if ((load<u64>(cpu, CR0) & 12) == 0) return true;
  raiseFault(cpu, VECTOR_NM, 0, 0);
  return false;
}

function isRealFormat(cpu: usize): bool {
  return (load<u32>(cpu, MODE) & (MODE_REAL | MODE_V86)) != 0;
}

/** The full tag word: the class of each register in use. */
export function x87TagWord(cpu: usize): u32 {
  const tags = <u32>load<u16>(cpu, X87_TAGS);
  let word: u32 = 0;
  for (let i: u32 = 0; i < 8; i++) {
    const shift = i << 1;
    let tag: u32 = 3;
    if (((tags >> shift) & 3) != 3) {
      const significand = load<u64>(cpu + i * 16, X87);
      const exponent = <u32>load<u16>(cpu + i * 16, X87 + 8) & 0x7fff;
      if (exponent == 0) tag = significand == 0 ? 1 : 2;
      else tag = exponent == 0x7fff || (significand >> 63) == 0 ? 2 : 0;
    }
    word |= tag << shift;
  }
  return word;
}
/** Only emptiness is taken from a loaded tag word. */
function setTagWord(cpu: usize, word: u32): void {
  let tags: u32 = 0;
  for (let shift: u32 = 0; shift < 16; shift += 2) if (((word >> shift) & 3) == 3) tags |= 3 << shift;
  store<u16>(cpu, <u16>tags, X87_TAGS);
}

/** All or nothing; aligned as one field is (SDM 3A, table 6-7). */
function probe(cpu: usize, linear: u64, bytes: u32, wide: i32, write: bool): bool {
  return probeAligned(cpu, linear, bytes, wide != 0 ? 4 : 2, write);
}

/** Field `index` of an environment image: 4 or 2 bytes; unused upper halves are all ones. */
function storeField(cpu: usize, linear: u64, wide: i32, index: u32, value: u32): void {
  const bytes: u32 = wide != 0 ? 4 : 2;
  storeLinear(cpu, linear + index * bytes, bytes, value);
}

function storeEnvironment(cpu: usize, linear: u64, wide: i32): void {
  const fill: u32 = 0xffff0000;
  storeField(cpu, linear, wide, 0, fill | load<u16>(cpu, X87_CONTROL));
  storeField(cpu, linear, wide, 1, fill | load<u16>(cpu, X87_STATUS));
  storeField(cpu, linear, wide, 2, fill | x87TagWord(cpu));
  let ip = load<u32>(cpu, X87_IP);
  let data = load<u32>(cpu, X87_DP);
  const code = <u32>load<u16>(cpu, X87_IP_SELECTOR);
  const segment = <u32>load<u16>(cpu, X87_DP_SELECTOR);
  const opcode = <u32>load<u16>(cpu, X87_OPCODE) & 0x7ff;
  if (!isRealFormat(cpu)) {
    storeField(cpu, linear, wide, 3, ip);
    storeField(cpu, linear, wide, 4, code | (opcode << 16));
    storeField(cpu, linear, wide, 5, data);
    storeField(cpu, linear, wide, 6, fill | segment);
    return;
  }
  // Linear addresses, their upper parts shifted to bit 12.
  ip += code << 4;
  data += segment << 4;
  storeField(cpu, linear, wide, 3, fill | (ip & 0xffff));
  storeField(cpu, linear, wide, 4, ((ip >> 16) << 12) | opcode);
  storeField(cpu, linear, wide, 5, fill | (data & 0xffff));
  storeField(cpu, linear, wide, 6, (data >> 16) << 12);
}

function loadField(cpu: usize, linear: u64, wide: i32, index: u32): u32 {
  const bytes: u32 = wide != 0 ? 4 : 2;
  return <u32>loadLinear(cpu, linear + index * bytes, bytes);
}

/** The whole image was probed. */
function loadEnvironment(cpu: usize, linear: u64, wide: i32): void {
  store<u16>(cpu, <u16>((loadField(cpu, linear, wide, 0) & 0x1f7f) | 0x40), X87_CONTROL);
  store<u16>(cpu, <u16>loadField(cpu, linear, wide, 1), X87_STATUS);
  setTagWord(cpu, loadField(cpu, linear, wide, 2));
  const a = loadField(cpu, linear, wide, 3);
  const b = loadField(cpu, linear, wide, 4);
  const c = loadField(cpu, linear, wide, 5);
  const d = loadField(cpu, linear, wide, 6);
  const real = isRealFormat(cpu);
  store<u64>(cpu, real ? (a & 0xffff) | ((b >> 12) << 16) : a, X87_IP);
  store<u64>(cpu, real ? (c & 0xffff) | ((d >> 12) << 16) : c, X87_DP);
  store<u16>(cpu, real ? 0 : <u16>b, X87_IP_SELECTOR);
  store<u16>(cpu, real ? 0 : <u16>d, X87_DP_SELECTOR);
  // The 16-bit protected format has no room for the opcode.
  if (real) store<u16>(cpu, <u16>(b & 0x7ff), X87_OPCODE);
  else if (wide != 0) store<u16>(cpu, <u16>((b >> 16) & 0x7ff), X87_OPCODE);
  x87UpdateSummary(cpu);
}

/** FNSTENV: 28 bytes when `wide`, else 14; then masks all exceptions. */
export function x87SaveEnvironment(cpu: usize, linear: i64, wide: i32): i32 {
  if (!available(cpu) || !probe(cpu, linear, wide != 0 ? 28 : 14, wide, true)) return FAULTED;
  storeEnvironment(cpu, linear, wide);
  if (load<u32>(cpu, FAULT_PENDING) != 0) return FAULTED;
  store<u16>(cpu, load<u16>(cpu, X87_CONTROL) | 0x3f, X87_CONTROL);
  x87UpdateSummary(cpu);
  return 0;
}

/** FLDENV. */
export function x87LoadEnvironment(cpu: usize, linear: i64, wide: i32): i32 {
  if (x87Check(cpu) != 0 || !probe(cpu, linear, wide != 0 ? 28 : 14, wide, false)) return FAULTED;
  loadEnvironment(cpu, linear, wide);
  return load<u32>(cpu, FAULT_PENDING) != 0 ? FAULTED : 0;
}

/** FNSAVE: environment and registers, 108 or 94 bytes; then as FNINIT. */
export function x87SaveState(cpu: usize, linear: i64, wide: i32): i32 {
  const head: u32 = wide != 0 ? 28 : 14;
  if (!available(cpu) || !probe(cpu, linear, head + 80, wide, true)) return FAULTED;
  storeEnvironment(cpu, linear, wide);
  const top = x87Top(cpu);
  for (let i: u32 = 0; i < 8; i++) {
    const register = cpu + ((top + i) & 7) * 16;
    const at = <u64>linear + head + i * 10;
    // In words, which is how far registers are aligned.
    for (let k: u32 = 0; k < 10; k += 2) storeLinear16(cpu, at + k, load<u16>(register + k, X87));
  }
  if (load<u32>(cpu, FAULT_PENDING) != 0) return FAULTED;
  x87Reset(cpu);
  return 0;
}

/** FRSTOR. */
export function x87RestoreState(cpu: usize, linear: i64, wide: i32): i32 {
  const head: u32 = wide != 0 ? 28 : 14;
  if (x87Check(cpu) != 0 || !probe(cpu, linear, head + 80, wide, false)) return FAULTED;
  loadEnvironment(cpu, linear, wide);
  const top = x87Top(cpu);
  for (let i: u32 = 0; i < 8; i++) {
    const register = cpu + ((top + i) & 7) * 16;
    const at = <u64>linear + head + i * 10;
    for (let k: u32 = 0; k < 10; k += 2) store<u16>(register + k, <u16>loadLinear16(cpu, at + k), X87);
  }
  return load<u32>(cpu, FAULT_PENDING) != 0 ? FAULTED : 0;
}

/** The state of FNINIT; register contents stay. */
function x87Reset(cpu: usize): void {
  store<u16>(cpu, 0x37f, X87_CONTROL);
  store<u16>(cpu, 0, X87_STATUS);
  store<u16>(cpu, 0xffff, X87_TAGS);
  store<u16>(cpu, 0, X87_OPCODE);
  store<u64>(cpu, 0, X87_IP);
  store<u64>(cpu, 0, X87_DP);
  store<u16>(cpu, 0, X87_IP_SELECTOR);
  store<u16>(cpu, 0, X87_DP_SELECTOR);
}

/** FNINIT. */
export function x87Init(cpu: usize): i32 {
  if (!available(cpu)) return FAULTED;
  noteErrorGone(cpu, load<u16>(cpu, X87_STATUS));
  x87Reset(cpu);
  return 0;
}

/** FNCLEX. */
export function x87Clear(cpu: usize): i32 {
  if (!available(cpu)) return FAULTED;
  noteErrorGone(cpu, load<u16>(cpu, X87_STATUS));
  store<u16>(cpu, load<u16>(cpu, X87_STATUS) & 0x7f00, X87_STATUS);
  return 0;
}

/** FLDCW: unmasking a flag that is set makes #MF pending. */
export function x87SetControl(cpu: usize, value: i32): i32 {
  if (x87Check(cpu) != 0) return FAULTED;
  store<u16>(cpu, <u16>((value & 0x1f7f) | 0x40), X87_CONTROL);
  x87UpdateSummary(cpu);
  return 0;
}
