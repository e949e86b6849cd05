import { Decoder } from '../../src/isa/x86/decode/decoder.ts';
import { BASE_RIP, NO_REGISTER, createInstruction } from '../../src/isa/x86/decode/instruction.ts';
import type { Instruction } from '../../src/isa/x86/decode/instruction.ts';
import { generateInstruction, immediateBytes } from '../../src/isa/x86/opcodes/generate.ts';
import type { OpcodeRow } from '../../src/isa/x86/opcodes/row.ts';
import { opcodeRows } from '../../src/isa/x86/opcodes/table.ts';
import type { Case, FuzzInstruction, Patch } from './executor.ts';
import type { Random } from './random.ts';
import { holdsTrapsBack, isIncomparableForm } from './rows.ts';
import { CODE, CODE_BYTES, CpuState, DATA, DATA_BYTES, FLAT_DATA, FS_BASE, GPR, GS_BASE, MXCSR, RFLAGS, RIP, VECTORS, X87, X87_CONTROL, X87_STATUS, X87_TAGS, SELECTORS, selectorNames } from './state.ts';
import { writeF80, writeF32, writeF64, writeInteger, writeOperands } from './values.ts';

const RAX = 0;
const RCX = 1;
const RDX = 2;
const RBX = 3;
const RSP = 4;
const RBP = 5;
const RSI = 6;
const RDI = 7;
const MAX_LENGTH = 120;
const MAX_INSTRUCTIONS = 8;
const PATCH_BYTES = 64;

/** x87, SSE and AVX state: what XCR0 has here. */
const COMPONENTS = 7;
/** Where an area of XSAVE has its header (SDM 1, 13.4.2). */
const XSAVE_HEADER = 512;

const isExtendedImage = (row: OpcodeRow): boolean => /^(xsave|xrstor)/.test(row.name);

/** Its operand is a selector, alone. */
const isSelector = (row: OpcodeRow): boolean => /^(movtoseg|verr|verw|lar|lsl)$/.test(row.semantics);
/** Pops selectors. */
const isFrame = (row: OpcodeRow): boolean => /^(retf|iret)$/.test(row.name) || row.semantics === 'popseg';

function integerBytes(value: number, bytes: number): Uint8Array {
  const out = Buffer.alloc(8);
  out.writeBigUInt64LE(BigInt(value));
  return out.subarray(0, bytes);
}

/** What rows have in common that keep company in a sequence. */
function familyOf(row: OpcodeRow): string {
  if (row.map === 0 && row.opcode >= 0xd8 && row.opcode <= 0xdf) return 'x87';
  if (row.operands.some((operand) => /^[PQN][a-z]/.test(operand))) return 'mmx';
  if (row.operands.some((operand) => /^[VWUH][a-z]/.test(operand))) return 'vector';
  return 'integer';
}

/** Makes cases of a width from rows. */
export class Generator {
  readonly #width: 32 | 64;
  readonly #rows: readonly number[];
  readonly #families = new Map<string, number[]>();
  readonly #decoder = new Decoder();
  readonly #instruction = createInstruction();

  constructor(width: 32 | 64, rows: readonly number[]) {
    this.#width = width;
    this.#rows = rows;
    for (const row of rows) {
      const family = familyOf(opcodeRows[row]!);
      const list = this.#families.get(family);
      if (list === undefined) this.#families.set(family, [row]);
      else list.push(row);
    }
  }

  generate(random: Random): Case {
    const instructions = this.#sequence(random);
    const size = instructions.reduce((sum, { bytes }) => sum + bytes.length, 0);
    const address = placeCode(random, instructions, size);
    const before = randomState(random, this.#width);
    const patches = new Patches(random);
    const setup = new Setup(random, this.#width, before, patches);
    const starts = [address];
    for (const { bytes } of instructions) starts.push(starts.at(-1)! + bytes.length);
    before.setU64(RIP, BigInt(address));
    setup.stack(starts);
    instructions.forEach(({ bytes, rowIndex }, i) => {
      if (this.#decoder.decode(bytes, 0, bytes.length, this.#width, this.#instruction) !== 'ok') return; // cut off at the end of a page
      setup.prepare(opcodeRows[rowIndex]!, this.#instruction, bytes, starts[i + 1]!, starts);
    });
    if (this.#width === 32) for (let i = 0; i < 16; i++) before.setU64(GPR + i * 8, i < 8 ? before.u64(GPR + i * 8) & 0xffffffffn : 0n);
    return { width: this.#width, address, instructions, before, patches: patches.list };
  }

  #sequence(random: Random): FuzzInstruction[] {
    const wanted = random.chance(3) ? 1 : 1 + random.below(MAX_INSTRUCTIONS);
    const list: FuzzInstruction[] = [];
    let rowIndex = random.pick(this.#rows);
    let size = 0;
    while (list.length < wanted) {
      const bytes = generateInstruction(random.u32, this.#width, rowIndex);
      if (isIncomparableForm(opcodeRows[rowIndex]!, this.#width, bytes)) continue;
      const instruction = { bytes, rowIndex };
      const last = list.at(-1);
      // Of several loads of SS in a row only the first holds back for certain (SDM 2B, MOV).
      const twice = last !== undefined && holdsTrapsBack(last) && holdsTrapsBack(instruction);
      if (size + bytes.length > MAX_LENGTH || twice) break;
      size += bytes.length;
      list.push(instruction);
      rowIndex = random.chance(3) ? random.pick(this.#rows) : random.pick(this.#families.get(familyOf(opcodeRows[rowIndex]!))!);
    }
    return list;
  }
}

/** Mostly inside a page; at times across the boundary, up to the end of what is mapped, or cut off there. */
function placeCode(random: Random, instructions: FuzzInstruction[], size: number): number {
  const choice = random.below(40);
  if (choice < 34) return CODE + 0x100 + random.below(64);
  if (choice < 38) return CODE + 4096 - random.below(size + 1);
  if (choice < 39) return CODE + CODE_BYTES - size;
  const last = instructions.pop()!;
  const cut = 1 + random.below(last.bytes.length);
  if (cut < last.bytes.length) instructions.push({ bytes: last.bytes.subarray(0, last.bytes.length - cut), rowIndex: last.rowIndex });
  else if (instructions.length === 0) instructions.push(last);
  return CODE + CODE_BYTES - instructions.reduce((sum, { bytes }) => sum + bytes.length, 0);
}

/** Contents of memory that a case begins with, besides the image. */
class Patches {
  readonly list: Patch[] = [];
  readonly #random: Random;
  constructor(random: Random) {
    this.#random = random;
  }
  /** Operands at a linear address, as far as it lies in the writable pages. */
  operands(address: number, length: number): void {
    const bytes = Buffer.alloc(PATCH_BYTES);
    writeOperands(this.#random, new DataView(bytes.buffer, bytes.byteOffset), 0, (length + 7) & ~7);
    this.put(address, bytes.subarray(0, length));
  }
  put(address: number, bytes: Uint8Array): void {
    const offset = address - DATA;
    const end = Math.min(offset + bytes.length, DATA_BYTES);
    if (offset >= 0 && end > offset) this.list.push({ offset, bytes: bytes.subarray(0, end - offset) });
  }
  putInteger(address: number, value: bigint): void {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64LE(BigInt.asUintN(64, value));
    this.put(address, bytes);
  }
}

function randomState(random: Random, width: 32 | 64): CpuState {
  const state = new CpuState();
  const { view } = state;
  for (let i = 0; i < 16; i++) writeInteger(random, view, GPR + i * 8);
  const flags = 0x202 | (random.u32() & 0x8d5) | (random.chance(6) ? 0x400 : 0) | (random.chance(16) ? 0x40000 : 0) | (random.chance(16) ? 0x200000 : 0) | (random.chance(64) ? 0x4000 : 0);
  state.setU64(RFLAGS, BigInt(flags));
  const sticky = random.chance(4) ? random.below(64) : 0;
  state.setU32(MXCSR, random.chance(2) ? 0x1f80 | sticky : (random.u32() & 0xffc0) | (random.chance(2) ? 0x1f80 : 0) | sticky);
  // Precision 1 is reserved.
  const control = random.chance(2) ? 0x37f : 0x40 | random.below(64) | (random.pick([0, 2, 3, 3]) << 8) | (random.below(4) << 10);
  const masks = control & 0x3f;
  const exceptions = random.chance(3) ? random.below(64) & (random.chance(12) ? 0x3f : masks) : 0;
  const summary = (exceptions & ~masks) !== 0 ? 0x8080 : 0;
  state.setU16(X87_CONTROL, control);
  state.setU16(X87_STATUS, (random.u32() & 0x4700) | (random.below(8) << 11) | exceptions | ((exceptions & 1) !== 0 && random.chance(2) ? 0x40 : 0) | summary);
  state.setU16(X87_TAGS, random.pick([0, 0xff, random.below(256), random.below(256) | random.below(256)]));
  const integers = random.chance(6);
  for (let i = 0; i < 8; i++) {
    if (!integers) writeF80(random, view, X87 + i * 16);
    else {
      writeInteger(random, view, X87 + i * 16);
      view.setUint16(X87 + i * 16 + 8, 0xffff, true);
    }
  }
  const kind = random.below(4);
  for (let i = 0; i < 16 * 32; i += 8) {
    const at = VECTORS + i;
    if (kind === 0) writeInteger(random, view, at);
    else if (kind === 1) writeF64(random, view, at);
    else if (kind === 2) for (const k of [0, 4]) writeF32(random, view, at + k);
    else if ((i & 31) === 0) writeOperands(random, view, at, 32);
  }
  for (const name of ['es', 'ss', 'ds'] as const) state.setU16(SELECTORS + selectorNames.indexOf(name) * 2, FLAT_DATA);
  if (width === 64) {
    state.setU64(FS_BASE, BigInt(DATA + 0x100));
    state.setU64(GS_BASE, BigInt(DATA + 0x1100));
  } else state.bytes.fill(0, VECTORS + 8 * 32, VECTORS + 16 * 32);
  return state;
}

/** Where an operand lies: aligned, unaligned, across a line or a page, at and over the ends of what may be accessed. */
function placeOperand(random: Random): number {
  const choice = random.below(64);
  if (choice < 34) return DATA + 0x200 + random.below(0xc0) * 16;
  if (choice < 44) return DATA + 0x200 + random.below(0xc00);
  if (choice < 48) return DATA + 0x200 + random.below(48) * 64 - random.below(32);
  if (choice < 54) return DATA + 4096 - random.below(34);
  if (choice < 58) return DATA + DATA_BYTES - random.below(34);
  if (choice < 60) return DATA + DATA_BYTES + random.below(4096);
  if (choice < 62) return DATA + DATA_BYTES + 4096 - random.below(34);
  return DATA - random.below(34);
}

/** Around the ends of what is canonical (SDM 1, 3.3.7.1), or beyond. */
function placeAtCanonicalEnd(random: Random): bigint {
  const end = random.pick([1n << 47n, 1n << 47n, -(1n << 47n), 1n << 64n, 1n << 60n]);
  return BigInt.asUintN(64, end - BigInt(random.below(80) - 40));
}

/** Gives registers, displacements and memory values that make a case's instructions meet something. */
class Setup {
  readonly #random: Random;
  readonly #width: 32 | 64;
  readonly #before: CpuState;
  readonly #patches: Patches;
  readonly #pinned = new Set<number>();

  constructor(random: Random, width: 32 | 64, before: CpuState, patches: Patches) {
    this.#random = random;
    this.#width = width;
    this.#before = before;
    this.#patches = patches;
  }

  stack(starts: readonly number[]): void {
    const random = this.#random;
    let at = placeOperand(random);
    if (!random.chance(4)) at &= ~7;
    this.#pin(RSP, this.#atCanonicalEnd() ?? BigInt(at));
    this.#patches.operands(at, 32);
    if (random.chance(3)) this.#patches.putInteger(at, BigInt(random.pick(starts)));
  }

  prepare(row: OpcodeRow, i: Instruction, bytes: Uint8Array, next: number, starts: readonly number[]): void {
    const random = this.#random;
    if (row.operands.some((operand) => operand === 'Jb' || operand === 'Jz')) this.#aim(i, bytes, random.pick(starts) - next);
    if (random.chance(12)) return; // wild
    this.#registers(row, i, bytes, starts);
    const offset = i.isMemory ? this.#memory(row, i, bytes, next) : undefined;
    if (offset !== undefined) this.#contents(row, i, offset, starts);
  }

  #aim(i: Instruction, bytes: Uint8Array, displacement: number): void {
    const size = immediateBytes(i.row, i.operandSize, i.addressSize);
    for (let k = 0; k < size; k++) bytes[bytes.length - size + k] = (displacement >> (8 * Math.min(k, 3))) & 0xff;
  }

  /** What the row wants of registers that it uses without naming them. */
  #registers(row: OpcodeRow, i: Instruction, bytes: Uint8Array, starts: readonly number[]): void {
    const random = this.#random;
    const uses = (letter: string): boolean => row.operands.some((operand) => operand[0] === letter && /^[A-Z][a-z]$/.test(operand));
    if (uses('X')) this.#pinPointer(RSI, i.segmentOverride ? i.segment : 3);
    if (uses('Y')) this.#pinPointer(RDI, 0);
    if (row.repeatable || /^(loop|jcxz)/.test(row.name)) this.#pin(RCX, BigInt(random.below(random.chance(16) ? 4000 : 24)));
    if (row.name.startsWith('maskmov')) this.#pinPointer(RDI, i.segmentOverride ? i.segment : 3);
    if (isExtendedImage(row)) {
      this.#pin(RAX, BigInt(random.below(COMPONENTS + 1)));
      this.#pin(RDX, 0n);
    }
    if (isSelector(row) && !i.isMemory && !random.chance(4)) this.#pin(i.rm, BigInt(this.#selector()));
    if (row.operands.includes('Ap')) this.#aimFar(row, i, bytes, starts);
    if (isFrame(row)) this.#frame(row, i, starts);
    if (row.name === 'xlat') this.#pinPointer(RBX, i.segment);
    if (row.name === 'leave' || row.name === 'enter') this.#pinPointer(RBP, 2);
    if (/^i?div$/.test(row.name) && !random.chance(3)) this.#pin(RDX, random.pick([0n, 0n, -1n, 1n]));
    if (/^pcmpestr/.test(row.name) && !random.chance(4)) for (const n of [0, RDX]) this.#pin(n, BigInt(random.below(40) - 20));
    if (/^bt[src]?$/.test(row.name) && i.isMemory && !random.chance(4)) this.#pin(i.reg, BigInt(random.below(1024) - 256));
    // Indirect jumps and calls.
    if (/^(call|jmp)$/.test(row.name) && row.operands[0] === 'Ev' && !i.isMemory && !random.chance(3)) this.#pin(i.rm, BigInt(random.pick(starts)));
    if (row.name === 'cmpxchg' && !i.isMemory && random.chance(2)) this.#before.setU64(GPR + i.rm * 8, this.#before.u64(GPR));
  }

  #pin(register: number, value: bigint): void {
    if (this.#pinned.has(register)) return;
    this.#pinned.add(register);
    this.#before.setU64(GPR + register * 8, value);
  }
  #pinPointer(register: number, segment: number): void {
    if (this.#pinned.has(register)) return;
    const end = this.#atCanonicalEnd();
    if (end !== undefined) return this.#pin(register, end);
    const address = placeOperand(this.#random);
    this.#patches.operands(address, 48);
    this.#pin(register, BigInt(address - this.#segmentBase(segment)));
  }
  #atCanonicalEnd(): bigint | undefined {
    return this.#width === 64 && this.#random.chance(64) ? placeAtCanonicalEnd(this.#random) : undefined;
  }
  #segmentBase(segment: number): number {
    return this.#width === 32 ? 0 : segment === 4 || segment === 5 ? Number(this.#before.u64(segment === 4 ? FS_BASE : GS_BASE)) : 0;
  }

  /** Leads the memory operand somewhere interesting; returns where, when that worked. */
  #memory(row: OpcodeRow, i: Instruction, bytes: Uint8Array, next: number): number | undefined {
    const random = this.#random;
    if (i.addressSize === 16 || (!row.hasModrm && !row.operands.some((operand) => operand[0] === 'O'))) return undefined;
    let address = placeOperand(random);
    if (isExtendedImage(row) && !random.chance(16)) address &= ~63;
    const target = address - this.#segmentBase(i.segment);
    const immediates = immediateBytes(row, i.operandSize, i.addressSize);
    if (!row.hasModrm) {
      for (let k = 0; k < immediates; k++) bytes[bytes.length - immediates + k] = k < 4 ? (target >> (8 * k)) & 0xff : 0;
      return address;
    }
    const size = i.mod === 1 ? 1 : i.mod === 2 || i.base === NO_REGISTER || i.base === BASE_RIP ? 4 : 0;
    const setDisplacement = (value: number): boolean => {
      if (size === 0 || (size === 1 && (value < -128 || value > 127))) return false;
      for (let k = 0; k < size; k++) bytes[bytes.length - immediates - size + k] = (value >> (8 * k)) & 0xff;
      return true;
    };
    if (i.base === BASE_RIP) return setDisplacement(target - next) ? address : undefined;
    let index = 0n;
    if (row.operands.some((operand) => operand === 'Mdv' || operand === 'Mqv')) this.#vectorIndex(row, i);
    else if (i.index !== NO_REGISTER && i.index !== i.base) {
      if (!random.chance(4)) this.#pin(i.index, BigInt(random.below(64) - 16));
      index = this.#before.u64(GPR + i.index * 8) << BigInt(i.scale);
    }
    const wanted = BigInt(target) - index;
    if (i.base === NO_REGISTER) return setDisplacement(Number(BigInt.asIntN(32, wanted))) ? address : undefined;
    if (!this.#pinned.has(i.base)) {
      const end = this.#atCanonicalEnd();
      if (end !== undefined) {
        this.#pin(i.base, end - index - BigInt(i.displacement));
        return undefined;
      }
      const divisor = i.index === i.base ? 1n + (1n << BigInt(i.scale)) : 1n;
      this.#pin(i.base, (wanted - BigInt(i.displacement)) / divisor);
      return address;
    }
    const base = this.#before.u64(GPR + i.base * 8) * (i.index === i.base ? 1n + (1n << BigInt(i.scale)) : 1n);
    return setDisplacement(Number(BigInt.asIntN(32, wanted - base))) ? address : undefined;
  }

  /** Small numbers in the vector that gathers index by. */
  #vectorIndex(row: OpcodeRow, i: Instruction): void {
    if (this.#random.chance(4)) return;
    const at = VECTORS + i.index * 32;
    const bytes = row.name.includes('gatherq') ? 8 : 4;
    this.#before.bytes.fill(0, at, at + 32);
    for (let k = 0; k < 32; k += bytes) this.#before.setU32(at + k, this.#random.below(100));
  }

  /** Null, Linux's of user code and data, some that user code may not use, others. */
  #selector(): number {
    const random = this.#random;
    return random.chance(3) ? random.below(4) : random.chance(4) ? random.pick([0x08, 0x10, 0x18, 0x40, 0x83, 0x07, 0x0f, 0xfffb]) : random.pick([0x20, 0x28, 0x28, 0x30]) | random.pick([3, 3, random.below(4)]);
  }
  /** That of the code itself, mostly. */
  #codeSelector(row: OpcodeRow): number {
    const own = this.#width === 64 ? 0x33 : 0x23;
    const selector = this.#random.chance(4) ? this.#selector() : own;
    // 32-bit code that calls 64-bit code with nothing mapped below its stack gets page faults without end from some hosts' kernels.
    return this.#width === 32 && row.name.startsWith('call') && (selector & ~3) === 0x30 ? own : selector;
  }
  /** The far pointer in the code. */
  #aimFar(row: OpcodeRow, i: Instruction, bytes: Uint8Array, starts: readonly number[]): void {
    const size = i.operandSize / 8;
    const tail = Buffer.from(bytes.buffer, bytes.byteOffset + bytes.length - size - 2, size + 2);
    tail.writeUIntLE(this.#random.pick(starts) & (size === 2 ? 0xffff : 0xffffffff), 0, size);
    tail.writeUInt16LE(this.#codeSelector(row), size);
  }
  /** What far returns, IRET and POP of a segment register find on the stack. */
  #frame(row: OpcodeRow, i: Instruction, starts: readonly number[]): void {
    const random = this.#random;
    const at = Number(BigInt.asUintN(32, this.#before.u64(GPR + RSP * 8)));
    const bytes = row.name === 'pop' && this.#width === 64 && i.operandSize === 32 ? 8 : i.operandSize / 8;
    const flags = (random.u32() & 0x244dd5) | 2;
    const words = row.name === 'pop' ? [this.#selector()] : [random.pick(starts), this.#codeSelector(row), flags, placeOperand(random), random.chance(4) ? this.#selector() : 0x2b];
    words.slice(0, row.name === 'iret' || row.name === 'pop' ? 5 : 2).forEach((word, n) => this.#patches.put(at + n * bytes, integerBytes(word, bytes)));
  }

  /** XSTATE_BV and XCOMP_BV of the standard or the compacted format, at times with a bit that must not be set. */
  #extendedHeader(): Uint8Array {
    const random = this.#random;
    const header = Buffer.alloc(64);
    const present = random.below(COMPONENTS + 1);
    header[0] = present;
    if (random.chance(2)) {
      header[8] = present | random.below(COMPONENTS + 1);
      header[15] = 0x80;
    }
    // Not in the bytes of components that the host may have and we do not.
    if (random.chance(10)) header[random.pick([2, 6, 10, 14, 16, 23])]! ^= 1 << random.below(7);
    return header;
  }

  #contents(row: OpcodeRow, i: Instruction, address: number, starts: readonly number[]): void {
    const random = this.#random;
    if (row.name === 'ldmxcsr') this.#patches.putInteger(address, BigInt(random.u32() & (random.chance(8) ? 0x1ffff : 0xffff)));
    else if (row.name === 'fxrstor') {
      this.#patches.operands(address, 24);
      this.#patches.putInteger(address + 24, BigInt(random.u32() & 0xffff));
    } else if (row.operands.includes('Mp') && !random.chance(4)) {
      this.#patches.putInteger(address, BigInt(random.pick(starts)));
      const bytes = i.operandSize / 8;
      this.#patches.putInteger(address + bytes, BigInt(/^l/.test(row.name) ? this.#selector() : this.#codeSelector(row)));
    } else if (isSelector(row) && !random.chance(4)) this.#patches.putInteger(address, BigInt(this.#selector()));
    else if (row.name === 'xrstor') {
      this.#patches.operands(address, 24);
      this.#patches.putInteger(address + 24, BigInt(random.u32() & (random.chance(8) ? 0x1ffff : 0xffff)));
      this.#patches.put(address + XSAVE_HEADER, this.#extendedHeader());
    } else if (/^(call|jmp)$/.test(row.name) && !random.chance(3)) this.#patches.putInteger(address, BigInt(random.pick(starts)));
    else if (/^cmpxchg/.test(row.name) && random.chance(2)) {
      const gpr = (n: number): bigint => this.#before.u64(GPR + n * 8);
      if (row.name === 'cmpxchg8b') this.#patches.putInteger(address, (gpr(0) & 0xffffffffn) | (gpr(RDX) << 32n));
      else this.#patches.putInteger(address, gpr(0));
      if (row.name === 'cmpxchg16b') this.#patches.putInteger(address + 8, gpr(RDX));
    } else this.#patches.operands(address, random.chance(3) ? 64 : 32);
  }
}
