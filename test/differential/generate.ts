import type { OpcodeRow } from '../../src/isa/x86/opcodes/row.ts';
import { unimplementedSemantics } from '../../src/isa/x86/features.ts';
import { randomWords } from '../support/random.ts';
import { WINDOW, WINDOW_BYTES } from './native.ts';
import type { Case } from './native.ts';

/** Draws of all kinds: the same seed gives the same cases. */
export class Random {
  /** 32 bits. */
  readonly next: () => number;
  constructor(seed: number) {
    this.next = randomWords(seed | 1);
  }
  below(limit: number): number {
    return this.next() % limit;
  }
  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }
  /** 64 bits weighted to the edges. */
  edge(): bigint {
    const random = (BigInt(this.next()) << 32n) | BigInt(this.next());
    switch (this.below(8)) {
      case 0: return 0n;
      case 1: return 0xffffffffffffffffn;
      case 2: return 1n << BigInt(this.below(64));
      case 3: return BigInt.asUintN(64, -(1n << BigInt(this.below(64))));
      case 4: return BigInt(this.below(256));
      case 5: return random & 0xffffffffn;
      default: return random;
    }
  }
}

/** Prefixes and opcode; the operand size. */
function pushPrefixes(out: number[], row: OpcodeRow, random: Random, mode: 32 | 64, memory: boolean): number {
  const prefix66 = row.prefix === '66';
  let size = 32;
  if (!prefix66 && row.prefix === 'any' && random.below(3) === 0) {
    out.push(0x66);
    size = 16;
  }
  if (row.repeatable && random.below(2) === 0) out.push(random.pick([0xf2, 0xf3]));
  if (prefix66) out.push(0x66);
  if (row.prefix === 'f2') out.push(0xf2);
  if (row.prefix === 'f3') out.push(0xf3);
  let rex = 0;
  if (mode === 64 && random.below(2) === 0) rex = 0x40 | random.below(16);
  if (row.rexW === '1') rex |= 0x48;
  else if (row.rexW === '0') rex &= ~8;
  // The memory base stays RBX.
  if (memory) rex &= ~3;
  if (rex !== 0) out.push(rex);
  if ((rex & 8) !== 0) size = 64;
  if (row.map > 0) out.push(0x0f);
  if (row.map > 1) out.push(row.map === 2 ? 0x38 : 0x3a);
  out.push(row.opcode + (row.opcodeRegister ? random.below(8) : 0));
  return size;
}

/** VEX and opcode; the operand size. The memory base stays RBX. */
function pushVex(out: number[], row: OpcodeRow, random: Random, mode: 32 | 64, memory: boolean): number {
  const long = mode === 64;
  const registers = (long && random.below(2) === 0 ? 0 : 0x80) | (memory || !long || random.below(2) === 0 ? 0x60 : random.below(4) << 5);
  const w = row.rexW === 'any' ? random.below(2) : Number(row.rexW);
  // Outside 64-bit code the top bit of vvvv does not count in the three-byte form.
  const vvvv = row.operands.some((operand) => /^[BH][a-z]/.test(operand)) ? random.below(16) : 15;
  const last = (vvvv << 3) | ((row.vexL === 'any' ? random.below(2) : Number(row.vexL)) << 2) | ['none', '66', 'f3', 'f2'].indexOf(row.prefix);
  if (row.map === 1 && w === 0 && (registers & 0x60) === 0x60 && (long || vvvv >= 8) && random.below(2) === 0) out.push(0xc5, (registers & 0x80) | last);
  else out.push(0xc4, registers | row.map, (w << 7) | last);
  out.push(row.opcode);
  return long && w === 1 ? 64 : 32;
}

/** Bytes of an instruction of this row: register forms, or memory at [rbx] inside the window. */
export function encodeRow(row: OpcodeRow, random: Random, mode: 32 | 64): Uint8Array {
  const out: number[] = [];
  const memory = row.hasModrm && row.modes === 3 ? random.below(2) === 0 : row.modes === 1;
  const size = row.vex ? pushVex(out, row, random, mode, memory) : pushPrefixes(out, row, random, mode, memory);
  if (row.hasModrm) {
    const reg = row.digit >= 0 ? row.digit : random.below(8);
    if (!memory) out.push(0xc0 | (reg << 3) | (row.rm >= 0 ? row.rm : random.below(8)));
    else if (/gather/.test(row.name)) out.push((reg << 3) | 4, (random.below(4) << 6) | (random.below(8) << 3) | 3);
    else if (random.below(2) === 0) out.push((reg << 3) | 3);
    else out.push(0x40 | (reg << 3) | 3, (random.below(8) * 16 - 64) & 0xff);
  }
  const immediate = (bytes: number): void => {
    const value = random.edge();
    for (let i = 0; i < bytes; i++) out.push(Number((value >> BigInt(8 * i)) & 0xffn));
  };
  for (const operand of row.operands) {
    if (row.name === 'enter') out.push(...(operand === 'Iw' ? [random.below(16), 0] : [random.below(3)]));
    else if (operand === 'Ib' || operand === 'Ibs' || /^L[dq]/.test(operand)) immediate(1);
    else if (operand === 'Iw') immediate(2);
    else if (operand === 'Iz') immediate(size === 16 ? 2 : 4);
    else if (operand === 'Iv') immediate(size / 8);
  }
  return Uint8Array.from(out);
}

/** Rows on MMX registers: the x87 registers and tags are compared as well. */
export function isMmx(row: OpcodeRow): boolean {
  return row.operands.some((operand) => 'PQN'.includes(operand[0]!));
}

/** Rows that user code can execute here with a defined outcome; the others are tested by guests. */
export function isComparable(row: OpcodeRow): boolean {
  if (row.operands.some((operand) => 'JASCDO'.includes(operand[0]!) && operand.length > 1 && !['AL', 'AX', 'CL', 'DX'].includes(operand))) return false;
  const excluded = new Set([
    'callf', 'jmpf', 'call', 'jmp', 'ret', 'retf', 'iret', 'int', 'int1', 'int3', 'into', 'syscall', 'sysret', 'sysenter', 'sysexit', 'hlt', 'in', 'out', 'ins', 'insb', 'outs', 'outsb',
    'cli', 'sti', 'cpuid', 'rdtsc', 'rdtscp', 'rdmsr', 'wrmsr', 'rdpmc', 'invd', 'wbinvd', 'clts', 'lgdt', 'lidt', 'sgdt', 'sidt', 'lldt', 'ltr', 'sldt', 'str', 'lmsw', 'smsw', 'invlpg',
    'swapgs', 'rsm', 'vmcall', 'vmmcall', 'les', 'lds', 'lss', 'lfs', 'lgs', 'lar', 'lsl', 'verr', 'verw', 'arpl', 'popf', 'fxsave', 'fxrstor', 'ldmxcsr', 'stmxcsr', 'vldmxcsr',
    'rdrand', 'rdseed', 'rdpid', 'xsave', 'xsaveopt', 'xsavec', 'xrstor', 'xgetbv', 'xsetbv', 'invpcid', 'rdpkru', 'wrpkru', 'fldcw', 'fnstcw', 'fnstsw', 'fninit', 'fnclex', 'emms', 'fwait', 'bound', 'clac', 'stac', 'salc', 'xlat',
    'rdfsbase', 'rdgsbase', 'wrfsbase', 'wrgsbase',
    'nop', // 0F 0D with a register is a NOP on Intel's processors, #UD on AMD's
    'rcpps', 'rcpss', 'rsqrtps', 'rsqrtss', 'vrcpps', 'vrcpss', 'vrsqrtps', 'vrsqrtss', // approximations: each processor has its own
  ]);
  // Not announced: #UD here, while the host may know them. Not implemented: listed in isa/x86/features.ts.
  if (excluded.has(row.name) || row.semantics === 'ud2' || unimplementedSemantics.has(row.semantics)) return false;
  return row.operands.every((operand) => !/^[CDEFGS]S$/.test(operand));
}

/** Vector registers: integers at the edges, or floating-point numbers near one another and at the edges. */
function vectors(random: Random): Uint8Array {
  const out = new Uint8Array(256);
  const view = new DataView(out.buffer);
  const kind = random.below(3);
  const special = [0, -0, 1, -1.5, Infinity, -Infinity, NaN, 1e-310, 5e-324, 1.7e308, 1e-40, 3.4e38, 0.1, 2 ** 31, -(2 ** 31), 2 ** 63, 123456.789];
  for (let i = 0; i < 256; i += 8) {
    if (kind === 0) view.setBigUint64(i, random.edge(), true);
    else if (kind === 1) view.setFloat64(i, random.below(3) === 0 ? random.pick(special) : (random.next() / 65536 - 32768) * 2 ** (random.below(8) - 4), true);
    else for (const k of [0, 4]) view.setFloat32(i + k, random.below(3) === 0 ? random.pick(special) : (random.next() / 65536 - 32768) * 2 ** (random.below(8) - 4), true);
  }
  return out;
}

export function generateCase(row: OpcodeRow, random: Random, mode: 32 | 64): Case {
  const gpr = BigUint64Array.from({ length: 16 }, () => random.edge());
  if (mode === 32) for (let i = 0; i < 16; i++) gpr[i] = i < 8 ? gpr[i]! & 0xffffffffn : 0n;
  gpr[3] = BigInt(WINDOW);
  gpr[4] = BigInt(WINDOW);
  if (row.name === 'leave' || row.name === 'enter') gpr[5] = BigInt(WINDOW + random.below(32));
  if (row.operands.some((operand) => 'XY'.includes(operand[0]!))) {
    gpr[6] = BigInt(WINDOW - 32 + random.below(32));
    gpr[7] = BigInt(WINDOW - 32 + random.below(64));
    gpr[1] = BigInt(random.below(5));
  }
  if (/^v?maskmov(q|dqu)/.test(row.name)) gpr[7] = BigInt(WINDOW - 32 + random.below(64));
  // Bit offsets must stay in the window.
  if (/^bt/.test(row.name)) for (const i of [0, 1, 2, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]) gpr[i] = BigInt(random.below(512));
  const bytes = (count: number): Uint8Array => {
    const out = new Uint8Array(count);
    const view = new DataView(out.buffer);
    for (let i = 0; i < count; i += 8) view.setBigUint64(i, random.edge(), true);
    return out;
  };
  if (/^v?pcmp.str/.test(row.name)) {
    // Lengths inside the registers, of either sign.
    for (const i of [0, 2]) if (random.below(4) !== 0) gpr[i] = BigInt.asUintN(mode, BigInt(random.below(40) - 20));
  }
  const xmm = vectors(random);
  const high = vectors(random);
  // Few letters, so that strings and their parts are found, and end.
  if (/^v?pcmp.str/.test(row.name) && random.below(4) !== 0) for (let i = 0; i < 256; i++) xmm[i] = random.pick([0, 0x41, 0x42, 0x42, 0x41, 0xff, 0x41, 0x43]) * (random.below(16) === 0 ? 0 : 1);
  // Indices that stay in the window, of either width.
  if (/gather/.test(row.name)) for (const half of [xmm, high]) for (let i = 0; i < 256; i += 4) new DataView(half.buffer).setInt32(i, i % 8 === 4 && /gatherq/.test(row.name) ? half[i - 1]! >> 7 ? -1 : 0 : random.below(17) - 8, true);
  const x87 = new Uint8Array(81);
  if (isMmx(row)) for (let i = 0; i < 8; i++) x87.set(bytes(8), i * 10);
  const flags = 0x202 | (random.next() & 0x8d5) | (random.below(4) === 0 ? 0x400 : 0);
  return { code: encodeRow(row, random, mode), mode, before: { gpr, flags, mxcsr: random.below(2) === 0 ? random.pick([0x1fa0, 0x1fa2]) : 0x1f80 | (random.next() & 0xe07f), xmm, high, x87, window: bytes(WINDOW_BYTES), exception: '' } };
}
