// x87 arithmetic, comparison, loads, stores and moves (Intel SDM 2A, F...). Every routine checks for #NM and pending
// exceptions itself and returns 0 or LEAVE_FAULT; exceptions of its own wait for the next waiting instruction.

import { FAULT_PENDING, X87, X87_CONTROL } from "../isa/x86/state/layout.ts";
import { FLOAT_ADD, FLOAT_DIV, FLOAT_MUL, FLOAT_SUB, X87_ADD, X87_COM, X87_COMP, X87_DIV, X87_MUL, X87_SUB, X87_SUBR } from "../isa/x86/routines/float-operations.ts";
import { writeStatusFlags } from "./flags.ts";
import { storeLinear, storeLinear16, storeLinear64, probeAligned } from "./memory.ts";
import {
  COMPARE_UNORDERED, IE, INFINITE, OE, ROUND_ZERO, UE, aClass, aSign, arithmetic, compare, flags, forgetRounding, integerInexact, integerOfA, magnitudeOfA, noB, packDouble, packExtended, packSingle, PE,
  packedExponent, propagateNan, raise, raiseDenormal, resultIsA, setRoundedUp, setRounding, swapOperands, unpackDoubleA, unpackDoubleB, unpackIntegerA, unpackIntegerB,
  unpackSingleA, unpackSingleB,
} from "./softfloat.ts";
import {
  FAULTED, NAN_EXPONENT, NAN_SIGNIFICAND, STATUS_C0, STATUS_C1, STATUS_C2, STATUS_C3, unpackA, unpackB, x87Begin, x87Check, x87Deliver, x87Finish, x87IsEmpty, x87Pop, x87Precision,
  x87Push, x87Register, x87SetCondition, x87SetTag, x87StackFault, x87Write, x87WriteIndefinite,
} from "./x87-stack.ts";
import {
  STORE_UNDECIDED, quickPush, quickPushDouble, quickPushInteger, quickPushRegister, quickPushSingle, quickRegisters, quickStoreDouble, quickStoreInteger, quickStoreSingle, quickWithDouble,
  quickWithInteger, quickWithSingle,
} from "./x87-quick.ts";

/** A is the destination, B the source. */
function operate(operation: i32): void {
  if (operation == X87_SUBR || operation == 7) swapOperands();
  let number = FLOAT_ADD;
  if (operation == X87_MUL) number = FLOAT_MUL;
  else if (operation == X87_SUB || operation == X87_SUBR) number = FLOAT_SUB;
  else if (operation >= X87_DIV) number = FLOAT_DIV;
  arithmetic(number);
}

const CONDITIONS: u32 = STATUS_C0 | STATUS_C1 | STATUS_C2 | STATUS_C3;

/** Compares A and B into C3, C2, C0; pops. */
function compareOperands(cpu: usize, quiet: bool, pops: i32): void {
  const order = compare(!quiet);
  const open = x87Finish(cpu) & 7;
  // ZF, PF, CF lie eight bits below C3, C2, C0, which are set even when an unmasked exception keeps the operands.
  x87SetCondition(cpu, CONDITIONS, order << 8);
  if (open != 0) return;
  for (let i = 0; i < pops; i++) x87Pop(cpu);
}
/** Comparison with an empty register. */
function compareEmpty(cpu: usize, pops: i32): void {
  const masked = x87StackFault(cpu, false);
  x87SetCondition(cpu, CONDITIONS, COMPARE_UNORDERED << 8);
  if (!masked) return;
  for (let i = 0; i < pops; i++) x87Pop(cpu);
}

// @ts-ignore: decorator
@inline function isComparison(operation: i32): bool {
  return operation == X87_COM || operation == X87_COMP;
}

/** ST0 with ST(i): D8 C0+i to D8 F8+i. */
export function x87Arithmetic(cpu: usize, operation: i32, i: i32): i32 {
  const comparison = isComparison(operation);
  if (!comparison && quickRegisters(cpu, operation, 0, i, 0)) return 0;
  if (!x87Begin(cpu)) return FAULTED;
  if (comparison) return compareWith(cpu, i, operation - X87_COM, false);
  if (x87IsEmpty(cpu, 0) || x87IsEmpty(cpu, i)) {
    if (x87StackFault(cpu, false)) x87WriteIndefinite(cpu, 0);
    return 0;
  }
  unpackA(cpu, 0);
  unpackB(cpu, i);
  operate(operation);
  x87Deliver(cpu, 0, x87Precision(cpu));
  return 0;
}

/** ST(i) = ST(i) operation ST0, by the mnemonic's name; pops when `pop`. */
export function x87ArithmeticTo(cpu: usize, operation: i32, i: i32, pop: i32): i32 {
  if (quickRegisters(cpu, operation, i, 0, pop)) return 0;
  if (!x87Begin(cpu)) return FAULTED;
  let done: bool;
  if (x87IsEmpty(cpu, 0) || x87IsEmpty(cpu, i)) {
    done = x87StackFault(cpu, false);
    if (done) x87WriteIndefinite(cpu, i);
  } else {
    unpackA(cpu, i);
    unpackB(cpu, 0);
    operate(operation);
    done = x87Deliver(cpu, i, x87Precision(cpu));
  }
  if (done && pop != 0) x87Pop(cpu);
  return 0;
}

/** ST0 with B. */
function withOperand(cpu: usize, operation: i32): i32 {
  const comparison = isComparison(operation);
  if (x87IsEmpty(cpu, 0)) {
    if (comparison) compareEmpty(cpu, operation - X87_COM);
    else if (x87StackFault(cpu, false)) x87WriteIndefinite(cpu, 0);
    return 0;
  }
  unpackA(cpu, 0);
  if (comparison) compareOperands(cpu, false, operation - X87_COM);
  else {
    operate(operation);
    x87Deliver(cpu, 0, x87Precision(cpu));
  }
  return 0;
}
export function x87ArithmeticF32(cpu: usize, operation: i32, value: i32): i32 {
  if (!isComparison(operation) && quickWithSingle(cpu, operation, value)) return 0;
  if (!x87Begin(cpu)) return FAULTED;
  unpackSingleB(value);
  return withOperand(cpu, operation);
}
export function x87ArithmeticF64(cpu: usize, operation: i32, value: i64): i32 {
  if (!isComparison(operation) && quickWithDouble(cpu, operation, value)) return 0;
  if (!x87Begin(cpu)) return FAULTED;
  unpackDoubleB(value);
  return withOperand(cpu, operation);
}
export function x87ArithmeticInteger(cpu: usize, operation: i32, value: i32): i32 {
  if (!isComparison(operation) && quickWithInteger(cpu, operation, value)) return 0;
  if (!x87Begin(cpu)) return FAULTED;
  unpackIntegerB(value);
  return withOperand(cpu, operation);
}

function compareWith(cpu: usize, i: i32, pops: i32, quiet: bool): i32 {
  if (x87IsEmpty(cpu, 0) || x87IsEmpty(cpu, i)) {
    compareEmpty(cpu, pops);
    return 0;
  }
  unpackA(cpu, 0);
  unpackB(cpu, i);
  compareOperands(cpu, quiet, pops);
  return 0;
}

/** FCOM, FCOMP, FCOMPP, FUCOM, FUCOMP, FUCOMPP: `pops` 0 to 2, `quiet` 1 for FUCOM. */
export function x87Compare(cpu: usize, i: i32, pops: i32, quiet: i32): i32 {
  return x87Begin(cpu) ? compareWith(cpu, i, pops, quiet != 0) : FAULTED;
}

/** FCOMI, FCOMIP, FUCOMI, FUCOMIP: into EFLAGS. */
export function x87CompareFlags(cpu: usize, i: i32, pop: i32, quiet: i32): i32 {
  if (!x87Begin(cpu)) return FAULTED;
  let order = COMPARE_UNORDERED;
  let done: bool;
  if (x87IsEmpty(cpu, 0) || x87IsEmpty(cpu, i)) done = x87StackFault(cpu, false);
  else {
    unpackA(cpu, 0);
    unpackB(cpu, i);
    order = compare(quiet == 0);
    done = (x87Finish(cpu) & 7) == 0;
  }
  writeStatusFlags(cpu, order);
  if (done && pop != 0) x87Pop(cpu);
  return 0;
}

/** Pushes A, which came from a shorter format. */
function pushA(cpu: usize): i32 {
  if (!x87IsEmpty(cpu, 7)) {
    if (x87StackFault(cpu, true)) x87Push(cpu, NAN_SIGNIFICAND, NAN_EXPONENT);
    return 0;
  }
  noB();
  if (!propagateNan()) {
    raiseDenormal();
    resultIsA();
  }
  const significand = packExtended(64);
  const se = packedExponent;
  // An unmasked denormal operand is loaded all the same.
  if ((x87Finish(cpu) & IE) == 0) x87Push(cpu, significand, se);
  return 0;
}
export function x87LoadF32(cpu: usize, value: i32): i32 {
  if (quickPushSingle(cpu, value)) return 0;
  if (!x87Begin(cpu)) return FAULTED;
  unpackSingleA(value);
  return pushA(cpu);
}
export function x87LoadF64(cpu: usize, value: i64): i32 {
  if (quickPushDouble(cpu, value)) return 0;
  if (!x87Begin(cpu)) return FAULTED;
  unpackDoubleA(value);
  return pushA(cpu);
}
export function x87LoadInteger(cpu: usize, value: i64): i32 {
  if (quickPushInteger(cpu, value)) return 0;
  if (!x87Begin(cpu)) return FAULTED;
  unpackIntegerA(value);
  return pushA(cpu);
}
/** Pushes bits as they are, but for a full stack. */
function pushRaw(cpu: usize, significand: u64, se: u32): i32 {
  if (!x87IsEmpty(cpu, 7)) {
    if (x87StackFault(cpu, true)) x87Push(cpu, NAN_SIGNIFICAND, NAN_EXPONENT);
    return 0;
  }
  x87SetCondition(cpu, STATUS_C1, 0);
  x87Push(cpu, significand, se);
  return 0;
}
/** FLD m80: significand, sign and exponent. */
export function x87LoadF80(cpu: usize, significand: i64, se: i32): i32 {
  if (quickPush(cpu, significand, se)) return 0;
  return x87Begin(cpu) ? pushRaw(cpu, significand, se) : FAULTED;
}
/** FLD ST(i). */
export function x87LoadRegister(cpu: usize, i: i32): i32 {
  if (quickPushRegister(cpu, i)) return 0;
  if (!x87Begin(cpu)) return FAULTED;
  if (x87IsEmpty(cpu, i)) {
    // Underflow comes before overflow; the default NaN is pushed.
    if (x87StackFault(cpu, false)) x87Push(cpu, NAN_SIGNIFICAND, NAN_EXPONENT);
    return 0;
  }
  const register = x87Register(cpu, i);
  return pushRaw(cpu, load<u64>(register, X87), load<u16>(register, X87 + 8));
}
/** FBLD: 18 packed digits, sign in the top bit of the tenth byte. */
export function x87LoadBcd(cpu: usize, low: i64, high: i32): i32 {
  if (!x87Begin(cpu)) return FAULTED;
  let value: u64 = 0;
  for (let digit = 1; digit >= 0; digit--) value = value * 10 + ((<u32>high >> (digit << 2)) & 15);
  for (let digit = 15; digit >= 0; digit--) value = value * 10 + ((<u64>low >> (digit << 2)) & 15);
  unpackIntegerA(value);
  const significand = aSignificandOf(value);
  return pushRaw(cpu, significand, (significand == 0 ? 0 : 16383 + 63 - <u32>clz<u64>(value)) | (<u32>high & 0x8000));
}
// @ts-ignore: decorator
@inline function aSignificandOf(value: u64): u64 {
  return value == 0 ? 0 : value << clz<u64>(value);
}

// Stores: the value is made first, the exceptions are committed only once memory took it.

/** An exception of memory comes before one of the store that keeps it from happening. */
function probeStore(cpu: usize, linear: u64, bytes: u32): bool {
  return probeAligned(cpu, linear, bytes, bytes == 10 ? 8 : bytes, true);
}
/** Commits the exceptions of a store; pops. Unmasked IE, OE, UE: nothing is stored. */
function storeValue(cpu: usize, linear: u64, bytes: u32, value: u64, pop: i32): i32 {
  const blocked = (flags & ~<u32>load<u16>(cpu, X87_CONTROL) & (IE | OE | UE)) != 0;
  if (!blocked) {
    storeLinear(cpu, linear, bytes, value);
    if (load<u32>(cpu, FAULT_PENDING) != 0) return FAULTED;
  } else {
    if (!probeStore(cpu, linear, bytes)) return FAULTED;
    forgetRounding();
  }
  x87Finish(cpu);
  if (!blocked && pop != 0) x87Pop(cpu);
  return 0;
}
// @ts-ignore: decorator
@inline function invalidIsMasked(cpu: usize): bool {
  return (load<u16>(cpu, X87_CONTROL) & 1) != 0;
}
/** A store from an empty ST0: the format's default value when masked. */
function storeEmpty(cpu: usize, linear: u64, bytes: u32, value: u64, pop: i32): i32 {
  if (invalidIsMasked(cpu)) {
    storeLinear(cpu, linear, bytes, value);
    if (load<u32>(cpu, FAULT_PENDING) != 0) return FAULTED;
  } else if (!probeStore(cpu, linear, bytes)) return FAULTED;
  if (x87StackFault(cpu, false) && pop != 0) x87Pop(cpu);
  return 0;
}
function resultIsST0(cpu: usize): void {
  unpackA(cpu, 0);
  noB();
  if (!propagateNan()) resultIsA();
}
export function x87StoreF32(cpu: usize, linear: i64, pop: i32): i32 {
  const quick = quickStoreSingle(cpu, linear, pop);
  if (quick != STORE_UNDECIDED) return quick;
  if (!x87Begin(cpu)) return FAULTED;
  if (x87IsEmpty(cpu, 0)) return storeEmpty(cpu, linear, 4, 0xffc00000, pop);
  resultIsST0(cpu);
  return storeValue(cpu, linear, 4, packSingle(), pop);
}
export function x87StoreF64(cpu: usize, linear: i64, pop: i32): i32 {
  const quick = quickStoreDouble(cpu, linear, pop);
  if (quick != STORE_UNDECIDED) return quick;
  if (!x87Begin(cpu)) return FAULTED;
  if (x87IsEmpty(cpu, 0)) return storeEmpty(cpu, linear, 8, 0xfff8000000000000, pop);
  resultIsST0(cpu);
  return storeValue(cpu, linear, 8, packDouble(), pop);
}
/** Ten bytes in one go: false with a fault pending. */
function storeTen(cpu: usize, linear: u64, low: u64, high: u32): bool {
  if ((<u32>linear & 0xfff) > 0xff6 && !probeStore(cpu, linear, 10)) return false;
  storeLinear64(cpu, linear, low);
  if (load<u32>(cpu, FAULT_PENDING) != 0) return false;
  storeLinear16(cpu, linear + 8, high);
  return load<u32>(cpu, FAULT_PENDING) == 0;
}
function storeTenEmpty(cpu: usize, linear: u64): i32 {
  if (!(invalidIsMasked(cpu) ? storeTen(cpu, linear, NAN_SIGNIFICAND, NAN_EXPONENT) : probeStore(cpu, linear, 10))) return FAULTED;
  if (x87StackFault(cpu, false)) x87Pop(cpu);
  return 0;
}
/** FSTP m80. */
export function x87StoreF80(cpu: usize, linear: i64): i32 {
  if (!x87Begin(cpu)) return FAULTED;
  if (x87IsEmpty(cpu, 0)) return storeTenEmpty(cpu, linear);
  const register = x87Register(cpu, 0);
  if (!storeTen(cpu, linear, load<u64>(register, X87), load<u16>(register, X87 + 8))) return FAULTED;
  x87SetCondition(cpu, STATUS_C1, 0);
  x87Pop(cpu);
  return 0;
}
/** FIST, FISTP, FISTTP (truncate 1) of 2, 4 or 8 bytes. */
export function x87StoreInteger(cpu: usize, linear: i64, bytes: i32, pop: i32, truncate: i32): i32 {
  const quick = quickStoreInteger(cpu, linear, bytes, pop, truncate != 0);
  if (quick != STORE_UNDECIDED) return quick;
  if (!x87Begin(cpu)) return FAULTED;
  const bits = bytes << 3;
  if (x87IsEmpty(cpu, 0)) return storeEmpty(cpu, linear, bytes, <u64>1 << (bits - 1), pop);
  unpackA(cpu, 0);
  if (truncate != 0) setRounding(ROUND_ZERO);
  const value = integerOfA(bits);
  return storeValue(cpu, linear, bytes, value, pop);
}
/** FBSTP. */
export function x87StoreBcd(cpu: usize, linear: i64): i32 {
  if (!x87Begin(cpu)) return FAULTED;
  if (x87IsEmpty(cpu, 0)) return storeTenEmpty(cpu, linear);
  unpackA(cpu, 0);
  let low: u64 = NAN_SIGNIFICAND;
  let high: u32 = NAN_EXPONENT;
  let value: u64 = aClass < INFINITE ? magnitudeOfA() : u64.MAX_VALUE;
  if (value > 999999999999999999) {
    setRoundedUp(false);
    raise(IE);
  } else {
    if (integerInexact) raise(PE);
    low = 0;
    for (let digit = 0; digit < 16; digit++) {
      low |= (value % 10) << (digit << 2);
      value /= 10;
    }
    high = (aSign << 15) | <u32>(value % 10) | (<u32>(value / 10) << 4);
  }
  const blocked = (flags & IE) != 0 && !invalidIsMasked(cpu);
  if (!(blocked ? probeStore(cpu, linear, 10) : storeTen(cpu, linear, low, high))) return FAULTED;
  x87Finish(cpu);
  if (!blocked) x87Pop(cpu);
  return 0;
}

/** FST ST(i), FSTP ST(i); `pop` 2: an empty ST0 is popped without an exception, ST(i) unchanged. */
export function x87StoreRegister(cpu: usize, i: i32, pop: i32): i32 {
  if (!x87Begin(cpu)) return FAULTED;
  if (x87IsEmpty(cpu, 0)) {
    if (pop == 2) x87SetCondition(cpu, STATUS_C1, 0);
    else if (x87StackFault(cpu, false)) x87WriteIndefinite(cpu, i);
    else return 0;
  } else {
    const register = x87Register(cpu, 0);
    x87SetCondition(cpu, STATUS_C1, 0);
    x87Write(cpu, i, load<u64>(register, X87), load<u16>(register, X87 + 8));
  }
  if (pop != 0) x87Pop(cpu);
  return 0;
}

export function x87Exchange(cpu: usize, i: i32): i32 {
  if (!x87Begin(cpu)) return FAULTED;
  if (x87IsEmpty(cpu, 0) || x87IsEmpty(cpu, i)) {
    if (!x87StackFault(cpu, false)) return 0;
    if (x87IsEmpty(cpu, 0)) x87WriteIndefinite(cpu, 0);
    if (x87IsEmpty(cpu, i)) x87WriteIndefinite(cpu, i);
  } else x87SetCondition(cpu, STATUS_C1, 0);
  const first = x87Register(cpu, 0);
  const second = x87Register(cpu, i);
  const significand = load<u64>(first, X87);
  const se = load<u16>(first, X87 + 8);
  store<u64>(first, load<u64>(second, X87), X87);
  store<u16>(first, load<u16>(second, X87 + 8), X87 + 8);
  store<u64>(second, significand, X87);
  store<u16>(second, se, X87 + 8);
  return 0;
}

/** FCMOVcc ST0, ST(i): `condition` as the IR evaluated it. */
export function x87Move(cpu: usize, i: i32, condition: i32): i32 {
  if (!x87Begin(cpu)) return FAULTED;
  if (x87IsEmpty(cpu, 0) || x87IsEmpty(cpu, i)) {
    if (x87StackFault(cpu, false)) x87WriteIndefinite(cpu, 0);
    return 0;
  }
  if (condition != 0) {
    const register = x87Register(cpu, i);
    x87Write(cpu, 0, load<u64>(register, X87), load<u16>(register, X87 + 8));
  }
  return 0;
}

/** FFREE; FFREEP with `pop`. */
export function x87Free(cpu: usize, i: i32, pop: i32): i32 {
  if (!x87Begin(cpu)) return FAULTED;
  x87SetTag(cpu, i, 3);
  x87SetCondition(cpu, STATUS_C1, 0);
  if (pop != 0) x87Pop(cpu);
  return 0;
}

/** FNOP. */
export function x87Nop(cpu: usize): i32 {
  return x87Check(cpu);
}
