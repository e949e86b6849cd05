import type { Value } from '../../../ir/ir.ts';
import { CPL, CR0, CR4, MODE, MODE_REAL, MODE_V86, MSR_TSC_AUX, RSP, SEGMENTS, SEGMENT_BYTES, SEG_BASE, SEG_FS, SEG_GS, SEG_SELECTOR, VECTOR_GP, VECTOR_UD } from '../state/layout.ts';
import { XSAVE_COMPACT, XSAVE_OPTIMIZED } from '../routines/float-operations.ts';
import { serializing } from './context.ts';
import type { Context, SemanticsTable } from './context.ts';

const CR4_UMIP = 0x800;

// System instructions: descriptor tables, control registers, machine-specific registers, fast system calls, FPU control.

/** #UD in real-address and virtual-8086 mode. */
function requireProtected(x: Context): void {
  if (!x.long) x.b.ifSeldom(x.b.andConst(x.b.loadState('32', MODE), MODE_REAL | MODE_V86), () => x.fault(VECTOR_UD));
}

/** A selector to a register (zero-extended to its size) or 16 bits of memory. */
function storeSelector(x: Context, selector: Value): void {
  if (x.isMemory(0)) x.write(0, selector, 16);
  else x.write(0, x.size === 64 ? x.b.extendU(selector) : selector, x.size);
}

function moveFromSegment(x: Context): void {
  storeSelector(x, x.call('readSelector', [x.registerNumber('reg')]));
}

function moveToSegment(x: Context): void {
  const { b } = x;
  const index = x.registerNumber('reg');
  // CS cannot be loaded, 6 and 7 are no registers.
  b.ifSeldom(b.or(b.eq(index, b.i32(1)), b.gtU(index, b.i32(5))), () => x.fault(VECTOR_UD));
  const selector = x.read(1, 16);
  x.call('moveToSegment', [index, selector]);
  b.if(b.eq(index, b.i32(2)), () => x.leaveNext());
}

function pushSegment(x: Context): void {
  const { b } = x;
  const width = x.long ? (x.size === 16 ? 16 : 64) : x.size === 16 ? 16 : 32;
  const selector = b.op('state.load32.at', [b.shlConst(x.registerNumber('reg'), Math.log2(SEGMENT_BYTES))], SEGMENTS + SEG_SELECTOR);
  // Only 16 bits are written even when the pointer moves by 4 (SDM 2B, PUSH).
  if (width === 32) {
    x.store(x.stackAddress(-4, 'write', 2), 16, selector);
    x.adjustStack(-4);
  } else x.push(width, width === 64 ? b.extendU(selector) : selector);
}

function popSegment(x: Context): void {
  const { b } = x;
  const width = x.long ? (x.size === 16 ? 16 : 64) : x.size === 16 ? 16 : 32;
  const value = x.load(x.stackAddress(0, 'read', 2), 16);
  const index = x.registerNumber('reg');
  // The pointer moves after the load succeeded, by the size of the stack it was popped from even when that was SS.
  const moved = x.movedStackPointer(width / 8);
  x.call('moveToSegment', [index, value]);
  b.storeState(x.long ? '64' : '32', RSP, moved);
  b.if(b.eq(index, b.i32(2)), () => x.leaveNext());
}

/** CR4.UMIP: #GP(0) unless CPL is 0 (SDM 3A, 2.5). */
function requireDescriptorRights(x: Context): void {
  const { b } = x;
  b.if(b.loadState('32', CPL), () => b.if(b.andConst(b.loadState('32', CR4), CR4_UMIP), () => x.fault(VECTOR_GP, 0)));
}

function tableRegister(name: 'loadTable' | 'storeTable', which: number) {
  return (x: Context): void => {
    if (name === 'loadTable') x.requirePrivileged();
    else requireDescriptorRights(x);
    const bytes = x.long ? 10 : 6;
    x.call(name, [x.address(name === 'loadTable' ? 'read' : 'write', bytes), x.b.i32(which), x.b.i32(x.long ? 64 : x.size)]);
  };
}

/** A register that does not exist is #UD even to user code: 1, 5 to 7, 9 and above; of debug registers 8 and above. */
function requireExisting(x: Context, exists: number): void {
  const { b } = x;
  b.ifSeldom(b.eqz(b.andConst(b.shrU(b.i32(exists), x.registerNumber('reg')), 1)), () => x.fault(VECTOR_UD));
}
const CONTROL_REGISTERS = 0x11d;
const DEBUG_REGISTERS = 0xff;

function controlFrom(x: Context): void {
  requireExisting(x, CONTROL_REGISTERS);
  x.requirePrivileged();
  writeWide(x, 0, x.call('readControl', [x.registerNumber('reg')]));
}

function controlTo(x: Context): void {
  requireExisting(x, CONTROL_REGISTERS);
  x.requirePrivileged();
  x.call('writeControl', [x.registerNumber('reg'), x.b.extendU(readWide(x, 1))]);
}

function invalidatePcid(x: Context): void {
  const { b } = x;
  x.requirePrivileged();
  const address = x.address('read', 16);
  const type = x.long ? x.read(0, 64) : b.extendU(x.read(0, 32));
  x.call('invalidatePcid', [type, x.load(address, 64), x.load(b.addConst(address, 8), 64)]);
}

function debugFrom(x: Context): void {
  requireExisting(x, DEBUG_REGISTERS);
  x.requirePrivileged();
  writeWide(x, 0, x.call('readDebug', [x.registerNumber('reg')]));
}

function debugTo(x: Context): void {
  requireExisting(x, DEBUG_REGISTERS);
  x.requirePrivileged();
  x.call('writeDebug', [x.registerNumber('reg'), x.b.extendU(readWide(x, 1))]);
}

/** Moves with control and debug registers are 64 bits wide in 64-bit code, 32 elsewhere, whatever the prefixes. */
function readWide(x: Context, i: number): Value {
  return x.read(i, x.long ? 64 : 32);
}
function writeWide(x: Context, i: number, value: Value): void {
  if (x.long) x.write(i, value, 64);
  else x.write(i, x.b.wrap(value), 32);
}

function storeMachineStatus(x: Context): void {
  const { b } = x;
  requireDescriptorRights(x);
  if (x.isMemory(0)) x.write(0, b.loadState('16u', CR0), 16);
  else if (x.size === 64) x.write(0, b.loadState('64', CR0), 64);
  else x.write(0, x.size === 16 ? b.loadState('16u', CR0) : b.loadState('32', CR0), x.size);
}

/** LMSW sets PE but cannot clear it; MP, EM, TS follow. */
function loadMachineStatus(x: Context): void {
  const { b } = x;
  x.requirePrivileged();
  const old = b.loadState('64', CR0);
  const value = b.extendU(b.andConst(x.read(0, 16), 15));
  x.call('setCr0', [b.or(b.andConst(old, ~14n), value)]);
}

function accessRights(x: Context): void {
  const { b } = x;
  requireProtected(x);
  const result = x.call('loadAccessRights', [x.read(1, 16)]);
  const valid = b.ltS(result, b.i64(0));
  b.if(valid, () => x.write(0, x.size === 64 ? b.andConst(result, 0xffffffffn) : b.wrap(result)));
  x.flags.setZero(valid);
}

function segmentLimit(x: Context): void {
  const { b } = x;
  requireProtected(x);
  const result = x.call('loadSegmentLimit', [x.read(1, 16)]);
  const valid = b.ltS(result, b.i64(0));
  b.if(valid, () => x.write(0, x.size === 64 ? b.andConst(result, 0xffffffffn) : b.wrap(result)));
  x.flags.setZero(valid);
}

function verify(write: number) {
  return (x: Context): void => {
    requireProtected(x);
    x.flags.setZero(x.call('verifySegment', [x.read(0, 16), x.b.i32(write)]));
  };
}

function adjustRequestedPrivilege(x: Context): void {
  const { b } = x;
  requireProtected(x);
  const source = b.andConst(x.read(1), 3);
  const destination = x.read(0);
  const lower = b.ltU(b.andConst(destination, 3), source);
  // Written only when it changes, so that a read-only operand will do otherwise.
  b.if(lower, () => x.write(0, b.or(b.andConst(destination, ~3), source)));
  x.flags.setZero(lower);
}

/** SLDT, STR; protected mode only. */
function storeSystemSelector(index: number) {
  return (x: Context): void => {
    requireProtected(x);
    requireDescriptorRights(x);
    storeSelector(x, x.b.loadState('32', SEGMENTS + index * SEGMENT_BYTES + SEG_SELECTOR));
  };
}

function loadSystemSelector(routine: 'lldt' | 'ltr') {
  return (x: Context): void => {
    requireProtected(x);
    x.requirePrivileged();
    x.call(routine, [x.read(0, 16)]);
  };
}

function segmentBase(index: number, write: boolean) {
  return (x: Context): void => {
    const { b } = x;
    b.ifSeldom(b.eqz(b.andConst(b.loadState('32', CR4), 0x10000)), () => x.fault(VECTOR_UD));
    const at = SEGMENTS + index * SEGMENT_BYTES + SEG_BASE;
    if (!write) {
      const base = b.loadState('64', at);
      x.write(0, x.width(0) === 64 ? base : b.wrap(base));
      return;
    }
    const base = b.extendU(x.read(0));
    b.ifSeldom(b.ne(b.shrSConst(b.shlConst(base, 16), 16), base), () => x.fault(VECTOR_GP, 0));
    b.storeState('64', at, base);
  };
}

function random(x: Context): void {
  const value = x.call('randomBits', []);
  x.write(0, x.size === 64 ? value : x.b.wrap(value));
  x.flags.setAll(x.b.i32(1));
}

/** Availability first, as no address counts where there is no instruction. */
function extendedState(transfer: (x: Context, address: Value, wide: Value) => void, access: 'read' | 'write'): (x: Context) => void {
  return (x) => {
    x.call('xsaveAvailable', []);
    transfer(x, x.address(access, 576), x.b.i32(x.size === 64 ? 1 : 0));
  };
}
const saveExtended = (kind: number) => extendedState((x, address, wide) => void x.call('xsave', [address, wide, x.b.i32(kind)]), 'write');

function crc32(x: Context): void {
  const { b } = x;
  const source = x.read(1);
  const r = x.call('crc32Step', [b.wrap(x.read(0)), b.extendU(source), b.i32(x.width(1) / 8)]);
  x.write(0, x.width(0) === 64 ? b.extendU(r) : r);
}

export const system: SemanticsTable = {
  movfromseg: moveFromSegment,
  movtoseg: moveToSegment,
  pushseg: pushSegment,
  popseg: popSegment,
  sgdt: tableRegister('storeTable', 0),
  sidt: tableRegister('storeTable', 1),
  lgdt: serializing(tableRegister('loadTable', 0)),
  lidt: serializing(tableRegister('loadTable', 1)),
  smsw: storeMachineStatus,
  lmsw: loadMachineStatus,
  movfromcr: controlFrom,
  movtocr: serializing(controlTo),
  movfromdr: debugFrom,
  movtodr: serializing(debugTo),
  clts: (x) => {
    x.requirePrivileged();
    x.b.storeState('32', CR0, x.b.andConst(x.b.loadState('32', CR0), ~8));
  },
  invlpg: serializing((x) => {
    x.requirePrivileged();
    const offset = x.effectiveAddress();
    x.call('invalidatePage', [x.b.extendU(x.segmentLinear(offset))]);
  }),
  invpcid: serializing(invalidatePcid),
  wbinvd: serializing((x) => x.requirePrivileged()),
  // Caches are not modelled: the address is checked as a byte read.
  clflush: (x) => void x.load(x.address('read', 1), 8),
  lar: accessRights,
  lsl: segmentLimit,
  verr: verify(0),
  verw: verify(1),
  arpl: adjustRequestedPrivilege,
  sldt: storeSystemSelector(6),
  str: storeSystemSelector(7),
  lldt: serializing(loadSystemSelector('lldt')),
  ltr: serializing(loadSystemSelector('ltr')),
  rdmsr: (x) => void x.call('readMsr', []),
  hypercall: (x) => x.callAndLeave('hypercall', []),
  wrmsr: serializing((x) => void x.call('writeMsr', [])),
  pause: (x) => void x.call('notePause', []),
  rdtsc: (x) => void x.call('readTimeStamp', [x.b.i32(0)]),
  rdtscp: (x) => void x.call('readTimeStamp', [x.b.i32(1)]),
  rdpmc: (x) => {
    x.fault(VECTOR_GP, 0);
    x.terminated = true;
  },
  cpuid: serializing((x) => void x.call('cpuid', [])),
  syscall: (x) => x.callAndLeave('systemCall', []),
  sysret: (x) => x.callAndLeave('systemReturn', [x.b.i32(x.size)]),
  sysenter: (x) => x.callAndLeave('systemEnter', []),
  sysexit: (x) => x.callAndLeave('systemExit', [x.b.i32(x.size)]),
  xsave: saveExtended(0),
  xsaveopt: saveExtended(XSAVE_OPTIMIZED),
  xsavec: saveExtended(XSAVE_COMPACT),
  xrstor: extendedState((x, address, wide) => void x.call('xrstor', [address, wide]), 'read'),
  xgetbv: (x) => void x.call('readExtendedControl', []),
  xsetbv: (x) => void x.call('writeExtendedControl', []),
  swapgs: (x) => void x.call('swapGs', []),
  stac: (x) => void x.call('setAlignmentFlag', [x.b.i32(1)]),
  clac: (x) => void x.call('setAlignmentFlag', [x.b.i32(0)]),
  rdpkru: (x) => void x.call('readProtectionKeys', []),
  wrpkru: (x) => void x.call('writeProtectionKeys', []),
  rdfsbase: segmentBase(SEG_FS, false),
  rdgsbase: segmentBase(SEG_GS, false),
  wrfsbase: segmentBase(SEG_FS, true),
  wrgsbase: segmentBase(SEG_GS, true),
  rdpid: (x) => x.write(0, x.long ? x.b.loadState('64', MSR_TSC_AUX) : x.b.loadState('32', MSR_TSC_AUX)),
  rdrand: random,
  rdseed: random,
  crc32,
};
