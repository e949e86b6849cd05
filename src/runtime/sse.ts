// Exact SSE arithmetic (Intel SDM 1, chapter 11; SDM 2, the instructions' pages): scalar operations on bits. Each
// updates MXCSR's sticky flags; when a flag it raises is unmasked, #XM (or #UD without CR4.OSXMMEXCPT) is pending.

import { CR4, LEAVE_FAULT, MXCSR, VECTOR_UD, VECTOR_XM } from "../isa/x86/state/layout.ts";
import {
  FLOAT_COMPARE, FLOAT_DIV, FLOAT_MIN, FLOAT_SQRT,
} from "../isa/x86/routines/float-operations.ts";
import { raiseFault } from "./faults.ts";
import {
  COMPARE_EQUAL, COMPARE_GREATER, COMPARE_LESS, COMPARE_UNORDERED, OE, ROUND_ZERO, UE, aClass, arithmetic, bClass, begin, clearRaised,
  compare, denormalsAreZero, flags, integerOfA, noB, packDouble, packSingle, propagateNan, raise, raiseDenormal, resultIsA, roundA, roundingMode, setRounding, squareRoot,
  unpackDoubleA, unpackDoubleB, unpackIntegerA, unpackSingleA, unpackSingleB,
} from "./softfloat.ts";
import { UNDECIDED, quickF32, quickF64, quickFromInteger32, quickFromInteger64, quickNarrow, quickResult, quickToInteger } from "./sse-quick.ts";

const DAZ: u32 = 0x40;
const FTZ: u32 = 0x8000;
const CR4_OSXMMEXCPT: u64 = 0x400;

/** All masked, to nearest, neither DAZ nor FTZ: what sse-quick.ts is for. */
const QUICK_MASK: u32 = 0xffc0;
const QUICK: u32 = 0x1f80;

let daz: bool = false;
let mayBeQuick: bool = false;
/** Flags raised by the lanes so far. */
let laneFlags: u32 = 0;
/** What routines raise waits until both halves of an instruction are done: a byte for each of its stages. */
let waits: bool = false;
let waiting: u32 = 0;

/** Before the halves of a 256-bit operation: exceptions are those of all lanes (SDM 1, 11.5.3), sseBothHalves raises them. */
export function sseFirstHalf(cpu: usize): void {
  waits = true;
  waiting = 0;
}

/** Behind the halves, of which any number may have called a routine, and before their results are written. */
export function sseBothHalves(cpu: usize): i32 {
  waits = false;
  for (let left = waiting; left != 0; left >>= 8) if (!commit(cpu, left & 0xff)) return LEAVE_FAULT;
  return 0;
}

export function sseBegin(cpu: usize): void {
  const mxcsr = load<u32>(cpu, MXCSR);
  const masked = mxcsr >> 7;
  daz = (mxcsr & DAZ) != 0;
  mayBeQuick = (mxcsr & QUICK_MASK) == QUICK;
  // Flush to zero counts only while underflow is masked (SDM 1, 10.2.3.3).
  begin((mxcsr >> 13) & 3, ~masked & (OE | UE), (mxcsr & FTZ) != 0 && (masked & UE) != 0, false);
  laneFlags = 0;
}

export function treatsDenormalsAsZero(): bool { return daz; }

export function sseNextLane(): void {
  laneFlags |= flags;
  clearRaised();
}

/** Commits the flags of all lanes; false when one is unmasked: with a fault pending, unless the other half is waited for. */
export function sseEnd(cpu: usize, stage: u32 = 0): bool {
  const raised = laneFlags | flags;
  if (!waits) return commit(cpu, raised);
  waiting |= raised << (stage << 3);
  return (raised & ~(load<u32>(cpu, MXCSR) >> 7) & 0x3f) == 0;
}

function commit(cpu: usize, raised: u32): bool {
  if (raised == 0) return true;
  const mxcsr = load<u32>(cpu, MXCSR);
  const open = ~(mxcsr >> 7) & 0x3f;
  // Invalid, denormal and divide-by-zero are found before anything is computed (SDM 1, 11.5.3).
  if ((raised & open & 7) != 0) raised &= 7;
  store<u32>(cpu, mxcsr | raised, MXCSR);
  if ((raised & open) == 0) return true;
  raiseFault(cpu, (load<u64>(cpu, CR4) & CR4_OSXMMEXCPT) != 0 ? VECTOR_XM : VECTOR_UD, 0, 0);
  return false;
}

/** quickResult is the lane's. */
// @ts-ignore: decorator
@inline function decided(raised: u32): bool {
  if (raised == UNDECIDED) return false;
  raise(raised);
  return true;
}

/** Relations that make a predicate true, 4 bits each: less, equal, greater, unordered (SDM 2A, CMPPD, table 3-1). */
const RELATIONS: u64 = 0xf4650b9a7ced8312;

/** Predicates 0 to 31, the upper half like the lower with signalling turned around; A and B are set. */
function holds(predicate: i32): bool {
  // Those with an order in them signal quiet NaNs.
  const ordered = ((predicate + 1) & 2) != 0;
  const order = compare(ordered != predicate >= 16);
  const relation = order == COMPARE_LESS ? 0 : order == COMPARE_EQUAL ? 1 : order == COMPARE_GREATER ? 2 : 3;
  return ((RELATIONS >> (((predicate & 15) << 2) + relation)) & 1) != 0;
}

/** MIN, MAX of A and B: B when equal or unordered; any NaN is invalid (SDM 2B, MINPD). True when the result is A. */
function extremeIsA(operation: i32): bool {
  return compare(true) == (operation == FLOAT_MIN ? COMPARE_LESS : COMPARE_GREATER);
}

/** One lane of any operation of isa/x86/routines/float-operations.ts but ADDSUB. */
export function laneF64(operation: i32, a: u64, b: u64): u64 {
  return mayBeQuick && decided(quickF64(operation, a, b)) ? quickResult : exactF64(operation, a, b);
}
export function laneF32(operation: i32, a: u32, b: u32): u32 {
  return mayBeQuick && decided(quickF32(operation, a, b)) ? <u32>quickResult : exactF32(operation, a, b);
}

function exactF64(operation: i32, a: u64, b: u64): u64 {
  unpackDoubleB(b);
  if (operation == FLOAT_SQRT) {
    if (daz) denormalsAreZero();
    squareRoot();
    return packDouble();
  }
  unpackDoubleA(a);
  if (daz) denormalsAreZero();
  if (operation <= FLOAT_DIV) {
    arithmetic(operation);
    return packDouble();
  }
  if (operation >= FLOAT_COMPARE) return holds(operation - FLOAT_COMPARE) ? u64.MAX_VALUE : 0;
  if (extremeIsA(operation)) return daz && aClass == 0 ? a & 0x8000000000000000 : a;
  return daz && bClass == 0 ? b & 0x8000000000000000 : b;
}

function exactF32(operation: i32, a: u32, b: u32): u32 {
  unpackSingleB(b);
  if (operation == FLOAT_SQRT) {
    if (daz) denormalsAreZero();
    squareRoot();
    return packSingle();
  }
  unpackSingleA(a);
  if (daz) denormalsAreZero();
  if (operation <= FLOAT_DIV) {
    arithmetic(operation);
    return packSingle();
  }
  if (operation >= FLOAT_COMPARE) return holds(operation - FLOAT_COMPARE) ? u32.MAX_VALUE : 0;
  if (extremeIsA(operation)) return daz && aClass == 0 ? a & 0x80000000 : a;
  return daz && bClass == 0 ? b & 0x80000000 : b;
}

// Conversions of one lane. A NaN keeps the upper part of its payload and becomes quiet.
function convertA(): void {
  if (daz) denormalsAreZero();
  if (propagateNan()) return;
  raiseDenormal();
  resultIsA();
}
export function laneF32ToF64(a: u32): u64 {
  unpackSingleA(a);
  noB();
  convertA();
  return packDouble();
}
export function laneF64ToF32(a: u64): u32 {
  if (mayBeQuick && decided(quickNarrow(a))) return <u32>quickResult;
  unpackDoubleA(a);
  noB();
  convertA();
  return packSingle();
}
export function laneF32ToInteger(a: u32, bits: i32): i64 {
  if (mayBeQuick && decided(quickToInteger(<f64>reinterpret<f32>(a), bits, roundingMode() == ROUND_ZERO))) return quickResult;
  unpackSingleA(a);
  noB();
  if (daz) denormalsAreZero();
  return integerOfA(bits);
}
export function laneF64ToInteger(a: u64, bits: i32): i64 {
  if (mayBeQuick && decided(quickToInteger(reinterpret<f64>(a), bits, roundingMode() == ROUND_ZERO))) return quickResult;
  unpackDoubleA(a);
  noB();
  if (daz) denormalsAreZero();
  return integerOfA(bits);
}
export function laneIntegerToF32(a: i64): u32 {
  if (mayBeQuick && decided(quickFromInteger32(a))) return <u32>quickResult;
  unpackIntegerA(a);
  resultIsA();
  return packSingle();
}
export function laneIntegerToF64(a: i64): u64 {
  if (mayBeQuick && decided(quickFromInteger64(a))) return quickResult;
  unpackIntegerA(a);
  resultIsA();
  return packDouble();
}
/** imm: bits 0-1 the mode, bit 2 MXCSR's mode instead, bit 3 no PE (SDM 2B, ROUNDPD). */
function roundLane(imm: u32): void {
  noB();
  if (daz) denormalsAreZero();
  if (propagateNan()) return;
  roundA((imm & 8) != 0);
}
export function laneRoundF64(a: u64, imm: u32): u64 {
  unpackDoubleA(a);
  roundLane(imm);
  return packDouble();
}
export function laneRoundF32(a: u32, imm: u32): u32 {
  unpackSingleA(a);
  roundLane(imm);
  return packSingle();
}
export function roundingOfImmediate(imm: u32): void {
  if ((imm & 4) == 0) setRounding(imm & 3);
}

// Scalar routines. The result is meaningless when FAULT_PENDING is set.

// @ts-ignore: decorator
@inline function isQuick(cpu: usize): bool { return (load<u32>(cpu, MXCSR) & QUICK_MASK) == QUICK; }
/** As decided, for scalar operations, which need nothing else then. */
// @ts-ignore: decorator
@inline function settled(cpu: usize, raised: u32): bool {
  if (raised == UNDECIDED) return false;
  if (raised != 0) store<u32>(cpu, load<u32>(cpu, MXCSR) | raised, MXCSR);
  return true;
}

/** a is the destination's, b the source's double. */
export function sseF64(cpu: usize, operation: i32, a: i64, b: i64): i64 {
  if (isQuick(cpu) && settled(cpu, quickF64(operation, a, b))) return quickResult;
  sseBegin(cpu);
  const result = exactF64(operation, a, b);
  sseEnd(cpu);
  return result;
}

export function sseF32(cpu: usize, operation: i32, a: i32, b: i32): i32 {
  if (isQuick(cpu) && settled(cpu, quickF32(operation, a, b))) return <u32>quickResult;
  sseBegin(cpu);
  const result = exactF32(operation, a, b);
  sseEnd(cpu);
  return result;
}

/** COMISD (signalQuiet 1), UCOMISD (0): ZF, PF and CF at their places in EFLAGS; OF, AF, SF are to be cleared. */
export function sseCompareF64(cpu: usize, a: i64, b: i64, signalQuiet: i32): i32 {
  sseBegin(cpu);
  unpackDoubleA(a);
  unpackDoubleB(b);
  if (daz) denormalsAreZero();
  const result = compare(signalQuiet != 0);
  sseEnd(cpu);
  return result;
}

export function sseCompareF32(cpu: usize, a: i32, b: i32, signalQuiet: i32): i32 {
  sseBegin(cpu);
  unpackSingleA(a);
  unpackSingleB(b);
  if (daz) denormalsAreZero();
  const result = compare(signalQuiet != 0);
  sseEnd(cpu);
  return result;
}

/** CVTSD2SI, CVTTSD2SI (truncate 1) to 32 and 64 bits. */
export function sseF64ToI32(cpu: usize, a: i64, truncate: i32): i32 {
  sseBegin(cpu);
  if (truncate != 0) setRounding(3);
  const result = <i32>laneF64ToInteger(a, 32);
  sseEnd(cpu);
  return result;
}
export function sseF64ToI64(cpu: usize, a: i64, truncate: i32): i64 {
  sseBegin(cpu);
  if (truncate != 0) setRounding(3);
  const result = laneF64ToInteger(a, 64);
  sseEnd(cpu);
  return result;
}
export function sseF32ToI32(cpu: usize, a: i32, truncate: i32): i32 {
  sseBegin(cpu);
  if (truncate != 0) setRounding(3);
  const result = <i32>laneF32ToInteger(a, 32);
  sseEnd(cpu);
  return result;
}
export function sseF32ToI64(cpu: usize, a: i32, truncate: i32): i64 {
  sseBegin(cpu);
  if (truncate != 0) setRounding(3);
  const result = laneF32ToInteger(a, 64);
  sseEnd(cpu);
  return result;
}

/** CVTSI2SD, CVTSI2SS; a sign-extended from its operand size. */
export function sseI64ToF64(cpu: usize, a: i64): i64 {
  sseBegin(cpu);
  const result = laneIntegerToF64(a);
  sseEnd(cpu);
  return result;
}
export function sseI64ToF32(cpu: usize, a: i64): i32 {
  sseBegin(cpu);
  const result = laneIntegerToF32(a);
  sseEnd(cpu);
  return result;
}

export function sseF32ToF64(cpu: usize, a: i32): i64 {
  sseBegin(cpu);
  const result = laneF32ToF64(a);
  sseEnd(cpu);
  return result;
}
export function sseF64ToF32(cpu: usize, a: i64): i32 {
  sseBegin(cpu);
  const result = laneF64ToF32(a);
  sseEnd(cpu);
  return result;
}

/** ROUNDSD, ROUNDSS. */
export function sseRoundF64(cpu: usize, a: i64, imm: i32): i64 {
  sseBegin(cpu);
  roundingOfImmediate(imm);
  const result = laneRoundF64(a, imm);
  sseEnd(cpu);
  return result;
}
export function sseRoundF32(cpu: usize, a: i32, imm: i32): i32 {
  sseBegin(cpu);
  roundingOfImmediate(imm);
  const result = laneRoundF32(a, imm);
  sseEnd(cpu);
  return result;
}
