// x87 instructions without an operand but the stack: D9 E0 to D9 FF (Intel SDM 2A, F...).

import { X87, X87_CONTROL } from "../isa/x86/state/layout.ts";
import {
  X87_F2XM1, X87_FABS, X87_FCHS, X87_FCOS, X87_FDECSTP, X87_FINCSTP, X87_FLD1, X87_FLDL2T, X87_FLDZ, X87_FPATAN, X87_FPREM, X87_FPREM1, X87_FPTAN, X87_FRNDINT, X87_FSCALE, X87_FSIN,
  X87_FSINCOS, X87_FSQRT, X87_FTST, X87_FXAM, X87_FXTRACT, X87_FYL2X, X87_FYL2XP1,
} from "../isa/x86/routines/float-operations.ts";
import { divideWords, wordRemainder } from "./softfloat-words.ts";
import {
  COMPARE_UNORDERED, DENORMAL, INFINITE, NORMAL, QUIET, SIGNALLING, ZE, ZERO, aClass, aExponent, aSign, aSignificand, bClass, bExponent, bSign, bSignificand, compare, copyAToB, invalid,
  noB, normalise, packExtended, packedExponent, propagateNan, raise, raiseDenormal, resultInfinite, resultIsA, resultZero, roundA, roundedUp, setResult, setRoundedUp, squareRoot,
  unpackIntegerA,
} from "./softfloat.ts";
import { x87Transcendental } from "./x87-transcendental.ts";
import {
  FAULTED, NAN_EXPONENT, NAN_SIGNIFICAND, STATUS_C0, STATUS_C1, STATUS_C2, STATUS_C3, unpackA, unpackB, x87Begin, x87Deliver, x87Finish, x87IsEmpty, x87MoveTop, x87Precision, x87Push,
  x87Register, x87SetCondition, x87StackFault, x87Write, x87WriteIndefinite,
} from "./x87-stack.ts";

/** `operation`: the ModRM byte 0xe0 to 0xff. */
export function x87Operate(cpu: usize, operation: i32): i32 {
  if (!x87Begin(cpu)) return FAULTED;
  if (operation == X87_FINCSTP || operation == X87_FDECSTP) {
    x87MoveTop(cpu, operation == X87_FINCSTP ? 1 : 7);
    x87SetCondition(cpu, STATUS_C1, 0);
    return 0;
  }
  if (operation == X87_FXAM) {
    examine(cpu);
    return 0;
  }
  if (operation >= X87_FLD1 && operation <= X87_FLDZ) {
    loadConstant(cpu, operation);
    return 0;
  }
  if (operation == X87_F2XM1 || operation == X87_FYL2X || operation == X87_FPTAN || operation == X87_FPATAN || operation == X87_FYL2XP1 || operation == X87_FSINCOS || operation >= X87_FSIN) {
    x87Transcendental(cpu, operation);
    return 0;
  }
  if (operation == X87_FPREM || operation == X87_FPREM1 || operation == X87_FSCALE) {
    withSecond(cpu, operation);
    return 0;
  }
  if (x87IsEmpty(cpu, 0)) {
    const masked = x87StackFault(cpu, false);
    if (operation == X87_FTST) {
      x87SetCondition(cpu, STATUS_C0 | STATUS_C2 | STATUS_C3, COMPARE_UNORDERED << 8);
      return 0;
    }
    if (!masked) return 0;
    x87WriteIndefinite(cpu, 0);
    if (operation == X87_FXTRACT) x87Push(cpu, NAN_SIGNIFICAND, NAN_EXPONENT);
    return 0;
  }
  const register = x87Register(cpu, 0);
  if (operation == X87_FCHS || operation == X87_FABS) {
    const se = load<u16>(register, X87 + 8);
    store<u16>(register, operation == X87_FCHS ? se ^ 0x8000 : se & 0x7fff, X87 + 8);
    x87SetCondition(cpu, STATUS_C1, 0);
    return 0;
  }
  unpackA(cpu, 0);
  noB();
  if (operation == X87_FTST) {
    const order = compare(true);
    x87Finish(cpu);
    x87SetCondition(cpu, STATUS_C0 | STATUS_C1 | STATUS_C2 | STATUS_C3, order << 8);
  } else if (operation == X87_FSQRT) {
    copyAToB();
    squareRoot();
    x87Deliver(cpu, 0, x87Precision(cpu));
  } else if (operation == X87_FRNDINT) {
    if (!propagateNan()) {
      raiseDenormal();
      roundA(false);
    }
    roundedResult(cpu);
  } else if (operation == X87_FXTRACT) extract(cpu);
  return 0;
}

/** FRNDINT's result needs no more rounding, which would forget how the first one went. */
function roundedResult(cpu: usize): void {
  const up = roundedUp;
  const significand = packExtended(64);
  const se = packedExponent;
  setRoundedUp(up);
  if ((x87Finish(cpu) & 7) == 0) x87Write(cpu, 0, significand, se);
}

function examine(cpu: usize): void {
  unpackA(cpu, 0);
  let kind: u32 = 0;
  if (x87IsEmpty(cpu, 0)) kind = STATUS_C3 | STATUS_C0;
  else if (aClass == ZERO) kind = STATUS_C3;
  else if (aClass == NORMAL) kind = STATUS_C2;
  else if (aClass == DENORMAL) kind = STATUS_C3 | STATUS_C2;
  else if (aClass == INFINITE) kind = STATUS_C2 | STATUS_C0;
  else if (aClass == QUIET || aClass == SIGNALLING) kind = STATUS_C0;
  x87SetCondition(cpu, STATUS_C0 | STATUS_C1 | STATUS_C2 | STATUS_C3, kind | (aSign != 0 ? STATUS_C1 : 0));
}

/** The constants are kept longer than 64 bits and rounded as RC says (SDM 1, 8.3.8). */
function loadConstant(cpu: usize, operation: i32): void {
  let significand: u64 = 0;
  let exponent: u32 = 0;
  // All but log2(10) lie nearer to the next significand up.
  const mode = (<u32>load<u16>(cpu, X87_CONTROL) >> 10) & 3;
  let up: u64 = u64(mode == 0 || mode == 2);
  switch (operation) {
    case X87_FLD1: significand = 0x8000000000000000; exponent = 0x3fff; up = 0; break;
    case X87_FLDL2T: significand = 0xd49a784bcd1b8afe; exponent = 0x4000; up = u64(mode == 2); break;
    case X87_FLDL2T + 1: significand = 0xb8aa3b295c17f0bb; exponent = 0x3fff; break;
    case X87_FLDL2T + 2: significand = 0xc90fdaa22168c234; exponent = 0x4000; break;
    case X87_FLDL2T + 3: significand = 0x9a209a84fbcff798; exponent = 0x3ffd; break;
    case X87_FLDL2T + 4: significand = 0xb17217f7d1cf79ab; exponent = 0x3ffe; break;
    default: up = 0; break;
  }
  if (!x87IsEmpty(cpu, 7)) {
    if (x87StackFault(cpu, true)) x87Push(cpu, NAN_SIGNIFICAND, NAN_EXPONENT);
    return;
  }
  x87SetCondition(cpu, STATUS_C1, 0);
  x87Push(cpu, significand + up, exponent);
}

/** FXTRACT: the exponent replaces ST0, the significand is pushed. A is ST0. */
function extract(cpu: usize): void {
  if (!x87IsEmpty(cpu, 7)) {
    if (x87StackFault(cpu, true)) {
      x87WriteIndefinite(cpu, 0);
      x87Push(cpu, NAN_SIGNIFICAND, NAN_EXPONENT);
    }
    return;
  }
  const sign = aSign, exponent = aExponent, significand = aSignificand, kind = aClass;
  if (propagateNan()) {
    const high = packExtended(64);
    const se = packedExponent;
    if ((x87Finish(cpu) & 7) != 0) return;
    x87Write(cpu, 0, high, se);
    x87Push(cpu, high, se);
    return;
  }
  if (kind == ZERO) raise(ZE);
  raiseDenormal();
  if ((x87Finish(cpu) & 7) != 0) return;
  if (kind == ZERO) {
    x87Write(cpu, 0, 0x8000000000000000, 0xffff);
    x87Push(cpu, 0, sign << 15);
  } else if (kind == INFINITE) {
    x87Write(cpu, 0, 0x8000000000000000, 0x7fff);
    x87Push(cpu, 0x8000000000000000, (sign << 15) | 0x7fff);
  } else {
    unpackIntegerA(exponent);
    resultIsA();
    const high = packExtended(64);
    x87Write(cpu, 0, high, packedExponent);
    x87Push(cpu, significand, (sign << 15) | 0x3fff);
  }
}

/** FPREM, FPREM1, FSCALE: ST0 by ST1. */
function withSecond(cpu: usize, operation: i32): void {
  if (operation != X87_FSCALE) x87SetCondition(cpu, STATUS_C2, 0);
  if (x87IsEmpty(cpu, 0) || x87IsEmpty(cpu, 1)) {
    if (x87StackFault(cpu, false)) x87WriteIndefinite(cpu, 0);
    return;
  }
  unpackA(cpu, 0);
  unpackB(cpu, 1);
  if (operation == X87_FSCALE) {
    scale();
    x87Deliver(cpu, 0, 64);
    return;
  }
  // Without a quotient only C1 and C2 are cleared.
  let mask: u32 = STATUS_C1 | STATUS_C2;
  let condition: u32 = 0;
  if (!propagateNan()) {
    if (aClass == INFINITE || bClass == ZERO) invalid();
    else {
      raiseDenormal();
      mask |= STATUS_C0 | STATUS_C3;
      if (aClass == ZERO || bClass == INFINITE) resultIsA();
      else condition = remainder(operation == X87_FPREM1);
    }
  }
  if (x87Deliver(cpu, 0, 64)) x87SetCondition(cpu, mask, condition);
  else x87SetCondition(cpu, STATUS_C1 | STATUS_C2, 0);
}

/** Exact remainder of A by B; the condition codes: C2 when incomplete, else the quotient's low bits in C0, C3, C1. */
function remainder(nearest: bool): u32 {
  const distance = aExponent - bExponent;
  if (distance < -1 || (distance < 0 && !nearest)) {
    resultIsA();
    return 0;
  }
  let sign = aSign;
  if (distance < 0) {
    // A is between B/4 and B: nearer to B when above its half.
    if (aSignificand <= bSignificand) {
      resultIsA();
      return 0;
    }
    // B - A in units of A's last bit, of which B has twice its significand.
    normalise(sign ^ 1, aExponent, bSignificand - (aSignificand - bSignificand), 0);
    return STATUS_C1;
  }
  // Far apart exponents are reduced by 32 to 63 bits a time (SDM 2A, FPREM, leaves the number open).
  const partial = distance >= 64;
  const steps = partial ? 32 + (distance & 31) : distance;
  let quotient: u64 = u64(aSignificand >= bSignificand);
  let rest = quotient != 0 ? aSignificand - bSignificand : aSignificand;
  if (steps != 0) {
    quotient = (quotient << steps) + divideWords(rest >> (64 - steps), rest << steps, bSignificand);
    rest = wordRemainder;
  }
  const exponent = bExponent + distance - steps;
  if (!partial && nearest) {
    const beyond = bSignificand - rest;
    if (rest > beyond || (rest == beyond && (quotient & 1) != 0)) {
      rest = beyond;
      sign ^= 1;
      quotient++;
    }
  }
  if (rest == 0) resultZero(aSign);
  else normalise(sign, exponent, rest, 0);
  if (partial) return STATUS_C2;
  return ((quotient & 4) != 0 ? STATUS_C0 : 0) | ((quotient & 2) != 0 ? STATUS_C3 : 0) | ((quotient & 1) != 0 ? STATUS_C1 : 0);
}

/** A times two to the truncated B. */
function scale(): void {
  if (propagateNan()) return;
  if (bClass == INFINITE) {
    if (bSign != 0 ? aClass == INFINITE : aClass == ZERO) {
      invalid();
      return;
    }
    raiseDenormal();
    if (bSign != 0) resultZero(aSign);
    else resultInfinite(aSign);
    return;
  }
  raiseDenormal();
  if (aClass == ZERO || aClass == INFINITE || bClass == ZERO || bExponent < 0) {
    resultIsA();
    return;
  }
  const distance: i32 = bExponent > 16 ? 0x20000 : <i32>(bSignificand >> (63 - bExponent));
  setResult(aSign, aExponent + (bSign != 0 ? -distance : distance), aSignificand, 0);
}
