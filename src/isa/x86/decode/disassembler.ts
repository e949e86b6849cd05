import { Decoder } from './decoder.ts';
import { BASE_RIP, NO_REGISTER, createInstruction } from './instruction.ts';
import type { Instruction } from './instruction.ts';
import { byteRegister, immediateInName, prefixWords, printedName, registerName, segmentNames, sizeName } from './names.ts';

export interface Disassembled {
  readonly text: string;
  /** Bytes the instruction takes; 1 for what is none. */
  readonly length: number;
}

const decoder = new Decoder();
const instruction = createInstruction();

/**
 * The instruction at the start of `bytes` in Intel syntax, in the manner of GNU objdump. `address`: its linear address,
 * for relative targets. Bytes that are no instruction, or not all of one, give `(bad)` and length 1.
 */
export function disassemble(bytes: Uint8Array, address: bigint, codeSize: 16 | 32 | 64): Disassembled {
  if (decoder.decode(bytes, 0, bytes.length, codeSize, instruction) !== 'ok') return { text: '(bad)', length: 1 };
  const i = instruction;
  // The accumulator exchanged with itself, to fill up space.
  const filler = i.row.encoding === '90' && i.operandSize !== (codeSize === 64 ? 32 : codeSize) && i.operandSize !== 64;
  const notations = filler ? ['rAX', 'rAX'] : i.row.name === 'xlat' ? ['XLAT'] : i.row.operands;
  const operands = notations.filter((notation) => notation !== 'Ib' || !immediateInName(i)).map((notation) => operandText(i, notation, address));
  const name = filler ? 'xchg' : printedName(i);
  let text = [...prefixWords(i, bytes), name].join(' ');
  if (operands.length > 0) text = `${text.padEnd(6)} ${operands.join(',')}`;
  if (i.base === BASE_RIP) text += `        # 0x${hex(ripTarget(i, address))}`;
  return { text, length: i.length };
}

function hex(value: number | bigint): string {
  return value.toString(16);
}

function ripTarget(i: Instruction, address: bigint): bigint {
  return BigInt.asUintN(i.addressSize, address + BigInt(i.length) + BigInt(i.displacement));
}

/** Width in bits of a scalar operand by its size letters. */
function widthOf(i: Instruction, size: string): number {
  switch (size) {
    case 'b': case 'bs': return 8;
    case 'w': return 16;
    case 'd': return 32;
    case 'q': return 64;
    case 'z': return i.operandSize === 16 ? 16 : 32;
    case 'y': return i.operandSize === 64 ? 64 : 32;
    case 'db': case 'dw': return 32;
    default: return i.operandSize;
  }
}

/** Bytes a memory operand is said to have; 0 when nothing is said. */
function memoryBytes(i: Instruction, size: string): number {
  switch (size) {
    case '': return 0;
    case 'ss': case 'ssdq': case 'dv': return 4;
    case 'sd': case 'sddq': case 'qv': return 8;
    case 'x': case 'dq': return 16;
    case 'qq': return 32;
    case 't': return 10;
    case 'db': return 1;
    case 'dw': return 2;
    case 'p': return 2 + i.operandSize / 8; // far pointer
    case 'a': return i.operandSize / 4; // BOUND's pair
    default: return widthOf(i, size) / 8;
  }
}

function operandText(i: Instruction, notation: string, address: bigint): string {
  const letter = notation[0]!;
  const size = notation.slice(1);
  switch (notation) {
    case '1': return '1';
    case 'AL': case 'CL': case 'AX': case 'DX': return notation.toLowerCase();
    case 'eAX': return registerName(0, i.operandSize === 64 ? 32 : i.operandSize);
    case 'rAX': return registerName(0, i.operandSize);
    case 'ES': case 'CS': case 'SS': case 'DS': case 'FS': case 'GS': return notation.toLowerCase();
    case 'ST0': return 'st';
    case 'xmm0': return notation;
    case 'XLAT': return `BYTE PTR ${segmentNames[i.segment]}:[${registerName(3, i.addressSize)}]`;
    case 'STi': return `st(${i.rm})`;
    case 'Ap': return `0x${hex(i.immediate2)}:0x${hex(i.immediate >>> 0)}`;
    default:
  }
  switch (letter) {
    case 'I': return immediateText(i, size);
    case 'J': return `0x${hex(branchTarget(i, address))}`;
    case 'O': return `${segmentNames[i.segment]}:0x${hex(unsigned64(i))}`;
    case 'B': return registerName(i.vvvv, widthOf(i, size));
    case 'H': return vectorName(i.vvvv, size);
    case 'L': return vectorName((i.immediate >> 4) & (i.codeSize === 64 ? 15 : 7), size);
    case 'X': return `${stringSize(i, size)}${segmentNames[i.segment]}:[${registerName(6, i.addressSize)}]`;
    case 'Y': return `${stringSize(i, size)}es:[${registerName(7, i.addressSize)}]`;
    case 'G': return size === 'b' ? byteRegister(i.reg, i.rex) : registerName(i.reg, widthOf(i, size));
    case 'Z': return size === 'b' ? byteRegister(i.opcodeRegister, i.rex) : registerName(i.opcodeRegister, widthOf(i, size));
    case 'S': return segmentNames[i.reg] ?? '?';
    case 'C': return `cr${i.reg}`;
    case 'D': return `dr${i.reg}`;
    case 'V': return vectorName(i.reg, size);
    case 'P': return `mm${i.reg}`;
    case 'E': case 'M': case 'W': case 'Q':
      if (i.isMemory) return memoryText(i, selectorStore(i) ? 2 : memoryBytes(i, size));
      if (letter === 'W') return vectorName(i.rm, size);
      if (letter === 'Q') return `mm${i.rm}`;
      return size === 'b' ? byteRegister(i.rm, i.rex) : registerName(i.rm, widthOf(i, size));
    case 'U': return vectorName(i.rm, size);
    case 'N': return `mm${i.rm}`;
    case 'R': return registerName(i.rm, widthOf(i, size));
    default: return notation;
  }
}

/** By the operand's size letters. */
function vectorName(n: number, size: string): string {
  return `${size === 'qq' ? 'ymm' : 'xmm'}${n}`;
}

/** These write two bytes to memory whatever the operand size (SDM 2, SLDT, STR, SMSW, MOV). */
function selectorStore(i: Instruction): boolean {
  return ['sldt', 'str', 'smsw', 'movfromseg'].includes(i.row.semantics);
}

function stringSize(i: Instruction, size: string): string {
  // INS and OUTS know no 64-bit elements, and their rows say so.
  return sizeName(widthOf(i, size) / 8);
}

/** Low half and high half of the immediate, unsigned. */
function unsigned64(i: Instruction): bigint {
  return (BigInt(i.immediateHigh >>> 0) << 32n) | BigInt(i.immediate >>> 0);
}

function immediateText(i: Instruction, size: string): string {
  if (i.row.name === 'enter') return `0x${hex(size === 'w' ? i.immediate : i.immediate2)}`;
  // A sign-extended immediate is shown as wide as what it meets.
  const width = size === 'bs' || size === 'z' || size === 'v' ? i.operandSize : widthOf(i, size);
  return `0x${hex(BigInt.asUintN(width, unsigned64(i)))}`;
}

function branchTarget(i: Instruction, address: bigint): bigint {
  const target = address + BigInt(i.length) + BigInt(i.immediate);
  return BigInt.asUintN(i.codeSize === 64 ? 64 : i.operandSize, target);
}

function memoryText(i: Instruction, bytes: number): string {
  const size = sizeName(bytes);
  const is16 = i.addressSize === 16;
  if (i.base === NO_REGISTER && i.index === NO_REGISTER) {
    const mask = is16 ? 0xffff : i.addressSize === 64 ? -1 : 0xffffffff;
    const offset = mask === -1 ? BigInt.asUintN(64, BigInt(i.displacement)) : BigInt.asUintN(is16 ? 16 : 32, BigInt(i.displacement));
    return `${size}${segmentNames[i.segment]}:0x${hex(offset)}`;
  }
  let inner = '';
  if (i.base === BASE_RIP) inner = i.addressSize === 64 ? 'rip' : 'eip';
  else if (i.base !== NO_REGISTER) inner = registerName(i.base, i.addressSize);
  if (i.index !== NO_REGISTER) inner += `${inner === '' ? '' : '+'}${registerName(i.index, i.addressSize)}${is16 ? '' : `*${1 << i.scale}`}`;
  const d = i.displacement;
  // mod says whether there was a displacement; without a base there always is.
  if (i.mod !== 0 || i.base === NO_REGISTER || i.base === BASE_RIP) inner += d < 0 ? `-0x${hex(-d)}` : `+0x${hex(d)}`;
  const segment = i.segmentOverride ? `${segmentNames[i.segment]}:` : '';
  return `${size}${segment}[${inner}]`;
}
