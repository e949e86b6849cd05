import type { Value } from '../../../ir/ir.ts';
import { EFLAGS, VECTOR_BR, VECTOR_GP, VECTOR_UD } from '../state/layout.ts';
import { STRING_OPERATIONS } from '../routines/strings.ts';
import { serializing } from './context.ts';
import type { Context, SemanticsTable } from './context.ts';
import type { Condition, Width } from './flags.ts';

// Control flow, flags, strings and ports.

/** Width that a near transfer pushes and pops: 64 bits in 64-bit code. */
function nearWidth(x: Context): 16 | 32 | 64 {
  return x.long ? 64 : x.size === 16 ? 16 : 32;
}

function sized(x: Context, value: Value): Value {
  return nearWidth(x) === 64 ? value : x.b.wrap(value);
}

function callRelative(x: Context): void {
  x.push(nearWidth(x), sized(x, x.nextIp()));
  x.jumpRelative();
}

function callIndirect(x: Context): void {
  const target = x.read(0, nearWidth(x));
  checkCanonical(x, target);
  x.push(nearWidth(x), sized(x, x.nextIp()));
  x.jumpTo(target);
}

function jumpIndirect(x: Context): void {
  const target = x.read(0, nearWidth(x));
  checkCanonical(x, target);
  x.jumpTo(target);
}

/** In 64-bit code a near target that is not canonical is #GP(0) at the branch. */
function checkCanonical(x: Context, target: Value): void {
  const { b } = x;
  if (!x.long) return;
  b.ifSeldom(b.ne(b.shrSConst(b.shlConst(target, 16), 16), target), () => x.fault(VECTOR_GP, 0));
}

function nearReturn(x: Context): void {
  const { b } = x;
  const width = nearWidth(x);
  const target = x.top(width);
  checkCanonical(x, target);
  if (x.has(0)) x.moveStack(b.add(b.andConst(x.immediate32(), 0xffff), b.i32(width / 8)));
  else x.adjustStack(width / 8);
  x.jumpTo(target);
}

/** LOOPcc and JCXZ count in CX, ECX or RCX as the address size says. */
function counter(x: Context): { value: Value; masked: Value; mask: Value } {
  const { b } = x;
  if (x.long) {
    const mask = b.shrU(b.i64(-1), b.extendU(b.sub(b.i32(64), x.addressSize())));
    const value = x.gpr(1, 64);
    return { value, masked: b.and(value, mask), mask };
  }
  const mask = b.shrU(b.i32(-1), b.sub(b.i32(32), x.addressSize()));
  const value = x.gpr(1, 32);
  return { value, masked: b.and(value, mask), mask };
}

function loop(kind: 'always' | 'zero' | 'notZero') {
  return (x: Context): void => {
    const { b } = x;
    const { value, mask } = counter(x);
    const count = b.and(b.addConst(value, -1), mask);
    // A 32-bit count clears the upper half; a 16-bit one keeps the rest.
    if (x.long) x.setGpr(1, 64, count);
    else x.b.storeState('32', 8, b.or(b.and(value, b.not(mask)), count));
    const more = b.eqz(b.eqz(count));
    const taken = kind === 'always' ? more : b.and(more, kind === 'zero' ? x.flags.zero() : b.eqz(x.flags.zero()));
    x.jumpRelativeIf(taken);
  };
}

function jumpIfCounterZero(x: Context): void {
  x.jumpRelativeIf(x.b.eqz(counter(x).masked));
}

function conditionalJump(code: Condition) {
  return (x: Context): void => x.jumpRelativeIf(x.flags.condition(code));
}

function farPointer(x: Context, name: 'farJump' | 'farCall', fromMemory: boolean): void {
  const { b } = x;
  if (!fromMemory) {
    x.callAndLeave(name, [x.secondImmediate(), b.extendU(x.immediate32()), b.i32(x.size)]);
    return;
  }
  const bytes = x.size / 8;
  const offset = x.load(x.address('read', bytes + 2), x.size);
  const selector = x.load(b.addConst(x.address('read', bytes + 2), bytes), 16);
  x.callAndLeave(name, [selector, b.extendU(offset), b.i32(x.size)]);
}

/** LES, LDS, LSS, LFS, LGS: the segment is known by the row's place. */
function loadFar(x: Context, segment: number): void {
  const { b } = x;
  const bytes = x.size / 8;
  const offset = x.load(x.address('read', bytes + 2), x.size);
  const selector = x.load(b.addConst(x.address('read', bytes + 2), bytes), 16);
  x.call('loadSegmentChecked', [b.i32(segment), selector]);
  x.write(0, offset);
}

function string(name: keyof typeof STRING_OPERATIONS, element: (x: Context) => Width) {
  return (x: Context): void => {
    const { b, shape } = x;
    const compares = name === 'cmps' || name === 'scas';
    const repeat = shape.rep === 'none' ? 0 : shape.rep === 'repne' && compares ? 2 : 1;
    x.call('stringOperation', [b.i32(STRING_OPERATIONS[name]), b.i32(element(x) / 8), x.addressSize(), x.sourceSegment(), b.i32(repeat)]);
  };
}

function elementWidth(x: Context): Width {
  const operand = x.shape.operands.find((notation) => 'XY'.includes(notation[0]!))!;
  return operand[1] === 'b' ? 8 : operand[1] === 'z' ? (x.size === 16 ? 16 : 32) : x.size;
}

function input(x: Context): void {
  const { b } = x;
  const width = x.width(0) === 64 ? 32 : x.width(0);
  const port = x.shape.operands[1] === 'DX' ? x.gpr(2, 16) : x.immediate(8);
  x.setGpr(0, width, x.call('portIn', [port, b.i32(width / 8)]));
  x.leaveIfBudgetSpent();
}

function output(x: Context): void {
  const { b } = x;
  const width = x.width(1) === 64 ? 32 : x.width(1);
  const port = x.shape.operands[0] === 'DX' ? x.gpr(2, 16) : x.immediate(8);
  x.call('portOut', [port, b.i32(width / 8), x.gpr(0, width)]);
  x.leaveIfBudgetSpent();
}

function pushFlags(x: Context): void {
  const { b } = x;
  const width = x.long ? (x.size === 16 ? 16 : 64) : x.size;
  // In virtual-8086 mode with IOPL below 3 a program sees VIF as IF, and IOPL 3, or #GP(0).
  const kept = b.loadState('32', EFLAGS);
  const virtual = b.and(b.shrUConst(kept, 17), b.ne(b.andConst(kept, 0x3000), b.i32(0x3000)));
  if (!x.long) b.if(virtual, () => void x.call('checkVirtualFlags', [b.i32(width)]));
  let flags = b.andConst(x.call('readFlags', []), 0xfcffff);
  if (!x.long && width === 16) {
    const seen = b.or(b.andConst(flags, ~0x200), b.or(b.andConst(b.shrUConst(kept, 10), 0x200), b.i32(0x3000)));
    flags = b.select(virtual, seen, flags);
  }
  x.push(width, width === 64 ? b.extendU(flags) : flags);
}

function popFlags(x: Context): void {
  const { b } = x;
  const width = x.long ? (x.size === 16 ? 16 : 64) : x.size;
  const value = x.top(width);
  x.call('popFlags', [b.wrap(value), b.i32(width)]);
  x.adjustStack(width / 8);
  x.call('flagsNeedAttention', []);
}

function bound(x: Context): void {
  const { b } = x;
  const width = x.size === 16 ? 16 : 32;
  const bytes = width / 8;
  const index = b.signExtend(x.read(0), width);
  const address = x.address('read', 2 * bytes);
  const low = b.signExtend(x.load(address, width), width);
  const high = b.signExtend(x.load(b.addConst(address, bytes), width), width);
  b.ifSeldom(b.or(b.ltS(index, low), b.gtS(index, high)), () => x.fault(VECTOR_BR));
}

const conditionNames = ['o', 'no', 'b', 'ae', 'e', 'ne', 'be', 'a', 's', 'ns', 'p', 'np', 'l', 'ge', 'le', 'g'] as const;

export const control: SemanticsTable = {
  calljz: callRelative,
  callev: callIndirect,
  jmpjz: (x) => x.jumpRelative(),
  jmpev: jumpIndirect,
  ret: nearReturn,
  ...Object.fromEntries(conditionNames.map((name, code) => [`j${name}`, conditionalJump(code as Condition)])),
  loop: loop('always'),
  loope: loop('zero'),
  loopne: loop('notZero'),
  jcxz: jumpIfCounterZero,
  jmpfar: (x) => farPointer(x, 'farJump', false),
  callfar: (x) => farPointer(x, 'farCall', false),
  jmpfarmem: (x) => farPointer(x, 'farJump', true),
  callfarmem: (x) => farPointer(x, 'farCall', true),
  retf: (x) => x.callAndLeave('farReturn', [x.b.i32(x.size), x.has(0) ? x.b.andConst(x.immediate32(), 0xffff) : x.b.i32(0)]),
  iret: serializing((x) => x.callAndLeave('interruptReturn', [x.b.i32(x.size)])),
  int: (x) => x.callAndLeave('interruptN', [x.immediate(8), x.b.i32(2)]),
  int3: (x) => x.callAndLeave('interruptN', [x.b.i32(3), x.b.i32(1)]),
  int1: (x) => x.callAndLeave('interruptN', [x.b.i32(1), x.b.i32(0)]),
  into: (x) => x.b.ifSeldom(x.flags.overflow(), () => x.call('interruptN', [x.b.i32(4), x.b.i32(1)])),
  les: (x) => loadFar(x, 0),
  lss: (x) => loadFar(x, 2),
  lds: (x) => loadFar(x, 3),
  lfs: (x) => loadFar(x, 4),
  lgs: (x) => loadFar(x, 5),
  movs: string('movs', elementWidth),
  cmps: string('cmps', elementWidth),
  stos: string('stos', elementWidth),
  lods: string('lods', elementWidth),
  scas: string('scas', elementWidth),
  ins: string('ins', elementWidth),
  outs: string('outs', elementWidth),
  in: input,
  out: output,
  pushf: pushFlags,
  popf: popFlags,
  bound,
  lahf: (x) => x.b.storeState('8', 1, x.b.or(x.b.andConst(x.flags.readAll(), 0xd5), x.b.i32(2))),
  sahf: (x) => {
    const kept = x.b.andConst(x.flags.readAll(), 0x800);
    x.flags.setAll(x.b.or(kept, x.b.andConst(x.b.loadState('8u', 1), 0xd5)));
  },
  salc: (x) => x.setGpr(0, 8, x.b.neg(x.flags.carry())),
  clc: (x) => x.flags.setCarry(x.b.i32(0)),
  stc: (x) => x.flags.setCarry(x.b.i32(1)),
  cmc: (x) => x.flags.setCarry(x.b.xor(x.flags.carry(), x.b.i32(1))),
  cld: (x) => x.b.storeState('32', EFLAGS, x.b.andConst(x.b.loadState('32', EFLAGS), ~0x400)),
  std: (x) => x.b.storeState('32', EFLAGS, x.b.or(x.b.loadState('32', EFLAGS), x.b.i32(0x400))),
  cli: (x) => void x.call('clearInterrupts', []),
  sti: (x) => void x.call('setInterrupts', []),
  hlt: (x) => x.callAndLeave('halt', []),
  ud2: (x) => {
    x.fault(VECTOR_UD);
    x.terminated = true;
  },
};
