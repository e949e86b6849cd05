import type { Value } from '../../../ir/ir.ts';
import { CPL, RBP, RSP, STACK_MASK } from '../state/layout.ts';
import type { Context, SemanticsTable } from './context.ts';
import type { Condition, Width } from './flags.ts';

// Data movement: MOV and relatives, the stack, conditional moves, string instructions' dispatch, address arithmetic.

function move(x: Context): void {
  x.write(0, x.read(1, x.width(0)));
}

/** Source of its own width, extended to the destination's. */
function moveExtended(signed: boolean) {
  return (x: Context): void => {
    const { b } = x;
    const from = x.width(1);
    const to = x.width(0);
    const value = x.read(1);
    if (!signed) {
      x.write(0, to === 64 ? b.extendU(value) : value);
      return;
    }
    const wide = from === 32 ? value : b.signExtend(value, from);
    if (to === 64) x.write(0, b.extendS(wide));
    else x.write(0, to === 16 ? b.andConst(wide, 0xffff) : wide);
  };
}

function loadAddress(x: Context): void {
  const { b } = x;
  const offset = x.effectiveAddress();
  const width = x.width(0);
  if (width === 64) x.write(0, offset);
  else x.write(0, width === 16 ? b.andConst(b.wrap(offset), 0xffff) : b.wrap(offset));
}

function exchange(x: Context): void {
  const source = x.read(1);
  if (x.locked) {
    const width = x.width(0);
    x.write(1, x.modify(x.address('write', width / 8), width, 'xchg', source));
    return;
  }
  const destination = x.readForWrite(0);
  x.write(0, source);
  x.write(1, destination);
}

/** Width of an implicit stack operand: 64 or 16 bits in 64-bit code, else the operand size. */
function stackWidth(x: Context): 16 | 32 | 64 {
  return x.long ? (x.size === 16 ? 16 : 64) : x.size === 16 ? 16 : 32;
}

function push(x: Context): void {
  const { b } = x;
  const width = stackWidth(x);
  const notation = x.shape.operands[0]!;
  let value: Value;
  if (notation[0] === 'I') value = x.immediate(width);
  else value = x.read(0, width);
  x.push(width, width === 64 ? b.extendU(value) : value);
}

function pop(x: Context): void {
  const width = stackWidth(x);
  const value = x.top(width);
  if (x.isMemory(0)) {
    // The address of a memory destination is computed after the pointer moved (SDM 2B, POP); a fault undoes the move.
    const before = x.b.loadState('64', RSP);
    x.adjustStack(width / 8);
    x.effectiveAddress();
    x.b.storeState('64', RSP, before);
    x.write(0, value, width);
    x.adjustStack(width / 8);
    return;
  }
  x.adjustStack(width / 8);
  x.write(0, value, width);
}

function pushAll(x: Context): void {
  const { b } = x;
  const width = x.size === 16 ? 16 : 32;
  const bytes = width / 8;
  // Everything is probed first: eight stores, one instruction.
  x.call('probeLinear', [x.stackAddress(-8 * bytes, 'write', 8 * bytes), b.i32(8 * bytes), b.i32(1), userAccess(x)]);
  const addresses = Array.from({ length: 8 }, (_, i) => x.stackAddress(-(i + 1) * bytes, 'write', bytes));
  for (let i = 0; i < 8; i++) x.store(addresses[i]!, width, x.gpr(i, width));
  x.adjustStack(-8 * bytes);
}

function popAll(x: Context): void {
  const width = x.size === 16 ? 16 : 32;
  const bytes = width / 8;
  const values = Array.from({ length: 8 }, (_, i) => x.load(x.stackAddress(i * bytes, 'read', bytes), width));
  for (let i = 0; i < 8; i++) if (7 - i !== 4) x.setGpr(7 - i, width, values[i]!);
  x.adjustStack(8 * bytes);
}

function userAccess(x: Context): Value {
  return x.b.eq(x.b.loadState('32', CPL), x.b.i32(3));
}

function enter(x: Context): void {
  const width = stackWidth(x);
  x.call('enterFrame', [x.b.andConst(x.immediate32(), 0xffff), x.b.andConst(x.secondImmediate(), 31), x.b.i32(width)]);
}

function leave(x: Context): void {
  const { b } = x;
  const width = stackWidth(x);
  if (x.long) {
    const frame = b.loadState('64', RBP);
    const value = x.load(frame, width);
    b.storeState('64', RSP, b.addConst(frame, width / 8));
    x.setGpr(5, width, value);
    return;
  }
  const frame = b.and(b.loadState('32', RBP), b.loadState('32', STACK_MASK));
  const value = x.load(x.stackLinear(frame, 'read', width / 8), width);
  x.setStackPointer(b.addConst(frame, width / 8));
  x.setGpr(5, width, value);
}

function moveConditional(code: Condition) {
  return (x: Context): void => {
    const { b } = x;
    const width = x.width(0);
    const source = x.read(1);
    const condition = x.flags.condition(code);
    // A 32-bit destination is zero-extended even when the condition is false.
    x.write(0, b.select(condition, source, x.read(0)), width);
  };
}

function setConditional(code: Condition) {
  return (x: Context): void => x.write(0, x.b.ne(x.flags.condition(code), x.b.i32(0)));
}

/** CBW, CWDE, CDQE: the accumulator's lower half sign-extended into the whole. */
function extendAccumulator(x: Context): void {
  const { b } = x;
  if (x.size === 16) x.setGpr(0, 16, b.signExtend(x.gpr(0, 8), 8));
  else if (x.size === 32) x.setGpr(0, 32, b.signExtend(x.gpr(0, 16), 16));
  else x.setGpr(0, 64, b.extendS(x.gpr(0, 32)));
}

/** CWD, CDQ, CQO: rDX filled with the accumulator's sign. */
function extendIntoData(x: Context): void {
  const { b } = x;
  const value = x.gpr(0, x.size);
  if (x.size === 64) x.setGpr(2, 64, b.shrSConst(value, 63));
  else x.setGpr(2, x.size, b.shrSConst(b.signExtend(value, x.size), 31));
}

function byteSwap(x: Context): void {
  const width = x.width(0);
  // The 16-bit form is undefined in the manual; processors give zero.
  x.write(0, width === 16 ? x.b.i32(0) : swapBytes(x, x.read(0), width));
}

function moveByteSwapped(x: Context): void {
  x.write(0, swapBytes(x, x.read(1), x.width(0)));
}

function swapBytes(x: Context, value: Value, width: Width): Value {
  const { b } = x;
  if (width === 16) return b.or(b.shrUConst(value, 8), b.andConst(b.shlConst(value, 8), 0xff00));
  if (width === 32) {
    const c = (v: number): Value => b.i32(v);
    return b.or(b.and(b.rotl(value, c(8)), c(0x00ff00ff)), b.and(b.rotr(value, c(8)), c(0xff00ff00 | 0)));
  }
  const low = swapBytes(x, b.wrap(value), 32);
  const high = swapBytes(x, b.wrap(b.shrUConst(value, 32)), 32);
  return b.or(b.shlConst(b.extendU(low), 32), b.extendU(high));
}

/** XLAT: AL = [rBX + AL], the address size cutting the sum. */
function translate(x: Context): void {
  const { b } = x;
  const shift = b.sub(b.i32(x.long ? 64 : 32), x.addressSize());
  const al = x.gpr(0, 8);
  const offset = x.long
    ? b.and(b.add(x.gpr(3, 64), b.extendU(al)), b.shrU(b.i64(-1), b.extendU(shift)))
    : b.and(b.add(x.gpr(3, 32), al), b.shrU(b.i32(-1), shift));
  x.setGpr(0, 8, x.load(x.addressAt(offset, 'read', 1), 8));
}

const conditionNames = ['o', 'no', 'b', 'ae', 'e', 'ne', 'be', 'a', 's', 'ns', 'p', 'np', 'l', 'ge', 'le', 'g'] as const;

function perCondition(prefix: string, make: (code: Condition) => (x: Context) => void): SemanticsTable {
  return Object.fromEntries(conditionNames.map((name, code) => [`${prefix}${name}`, make(code as Condition)]));
}

export const moves: SemanticsTable = {
  mov: move,
  movzx: moveExtended(false),
  movsx: moveExtended(true),
  movsxd: moveExtended(true),
  movbe: moveByteSwapped,
  movnti: move,
  lea: loadAddress,
  xchg: exchange,
  push,
  pop,
  pusha: pushAll,
  popa: popAll,
  enter,
  leave,
  cbw: extendAccumulator,
  cwd: extendIntoData,
  bswap: byteSwap,
  xlat: translate,
  ...perCondition('cmov', moveConditional),
  ...perCondition('set', setConditional),
  nop: () => {},
  // LFENCE and SFENCE are without effect: loads are not reordered with loads, nor stores with stores (SDM 3A, 9.2.2).
  mfence: (x) => void x.b.op('fence'),
};
