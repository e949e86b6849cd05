import { Decoder } from '../decode/decoder.ts';
import { createInstruction } from '../decode/instruction.ts';
import { existsIn } from './row.ts';
import type { OpcodeRow } from './row.ts';
import { opcodeRows } from './table.ts';

/** A source of numbers: unsigned, 32 bits. Whoever calls seeds it. */
export type Random = () => number;

const MAX_ATTEMPTS = 200;

/**
 * Bytes of one instruction that decodes to the given row, all else drawn at random: prefixes, registers, addressing
 * form, displacement, immediate. `rowIndex` is the row's place in `opcodeRows`. Throws a RangeError when the row does not
 * exist in code of this size.
 */
export function generateInstruction(random: Random, codeSize: 16 | 32 | 64, rowIndex: number): Uint8Array {
  const row = opcodeRows[rowIndex];
  if (row === undefined) throw new RangeError(`no opcode row has number ${rowIndex}`);
  if (!existsIn(row, codeSize)) throw new RangeError(`${row.name} (${row.encoding}) does not exist in ${codeSize}-bit code`);
  const instruction = createInstruction();
  // A random prefix or register may lead to a more specific row, or beyond 15 bytes.
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const bytes = Uint8Array.from(encodeRow(row, codeSize, random));
    const status = allRows.decode(bytes, 0, bytes.length, codeSize, instruction);
    if (status === 'ok' && instruction.rowIndex === rowIndex && instruction.length === bytes.length) return bytes;
  }
  throw new Error(`${row.name} (${row.encoding}) cannot be reached in ${codeSize}-bit code`);
}

const allRows = new Decoder();
const segmentPrefixes = [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65];

/** Writes a row down with random contents. A source that always gives 0 draws the plainest form: no optional prefix, register 0. */
export function encodeRow(row: OpcodeRow, codeSize: 16 | 32 | 64, random: Random): number[] {
  const oneIn = (n: number): boolean => random() % n === n - 1;
  const pick = (n: number): number => random() % n;
  const long = codeSize === 64;
  const bytes: number[] = [];
  const isMemory = !row.ignoresMod && row.hasModrm && (row.modes === 1 || (row.modes === 3 && pick(2) === 1));

  const vsib = row.operands.some((operand) => operand === 'Mdv' || operand === 'Mqv');
  // A vector of indices needs addresses of 32 or 64 bits.
  const addressPrefix = vsib && !long ? codeSize === 16 : oneIn(12);
  if (addressPrefix) bytes.push(0x67);
  if (oneIn(12)) bytes.push(segmentPrefixes[pick(6)]!);
  let rex = 0;
  let small = false;
  if (row.vex) pushVex(bytes, row, long, random);
  else {
    if (row.lockable && isMemory && oneIn(6)) bytes.push(0xf0);
    if (row.repeatable && oneIn(2)) bytes.push(0xf2 + pick(2));
    small = row.prefix === '66' || (row.prefix !== 'none' && oneIn(5));
    if (small) bytes.push(0x66);
    if (row.prefix === 'f2') bytes.push(0xf2);
    if (row.prefix === 'f3') bytes.push(0xf3);
    rex = long && (row.rexW === '1' || oneIn(2)) ? 0x40 | pick(16) : 0;
    if (row.rexW === '1') rex |= 8;
    if (row.rexW === '0') rex &= ~8;
    if (rex !== 0) bytes.push(rex);
    if (row.map !== 0) bytes.push(0x0f);
    if (row.map > 1) bytes.push(row.map === 2 ? 0x38 : 0x3a);
    bytes.push(row.opcode + (row.opcodeRegister ? pick(8) : 0));
  }

  const addressSize = long ? (addressPrefix ? 32 : 64) : (codeSize === 32) !== addressPrefix ? 32 : 16;
  if (row.hasModrm) {
    const reg = row.digit >= 0 ? row.digit : row.operands.includes('Sw') ? pick(6) : pick(8);
    if (!isMemory) bytes.push(0xc0 | (reg << 3) | (row.rm >= 0 ? row.rm : pick(8)));
    else pushMemory(bytes, reg, addressSize, vsib, random);
  }
  const operandSize = long
    ? row.size64 === 'f64' || (rex & 8) !== 0 ? 64 : small && row.prefix !== '66' ? 16 : row.size64 === 'd64' ? 64 : 32
    : (codeSize === 32) !== (small && row.prefix !== '66') ? 32 : 16;
  for (let n = immediateBytes(row, operandSize, addressSize); n > 0; n--) bytes.push(random() & 0xff);
  return bytes;
}

const prefixNumbers: Readonly<Record<string, number>> = { none: 0, 66: 1, f3: 2, f2: 3 };

/** VEX prefix and opcode; the two-byte form where it can say the same. */
function pushVex(bytes: number[], row: OpcodeRow, long: boolean, random: Random): void {
  // Inverted, as they are written; outside 64-bit code R and X are what tells VEX from LES and LDS.
  const registers = long ? (random() % 8) << 5 ^ 0xe0 : 0xe0;
  const w = row.rexW === 'any' ? (random() % 2) << 7 : row.rexW === '1' ? 0x80 : 0;
  const vvvv = row.operands.some((operand) => /^[BH][a-z]/.test(operand)) ? (random() % (long ? 16 : 8)) << 3 ^ 0x78 : 0x78;
  const l = row.vexL === 'any' ? (random() % 2) << 2 : row.vexL === '1' ? 4 : 0;
  const last = vvvv | l | prefixNumbers[row.prefix]!;
  if (row.map === 1 && w === 0 && (registers & 0x60) === 0x60 && random() % 2 === 0) bytes.push(0xc5, (registers & 0x80) | last);
  else bytes.push(0xc4, registers | row.map, w | last);
  bytes.push(row.opcode);
}

function pushMemory(bytes: number[], reg: number, addressSize: number, vsib: boolean, random: Random): void {
  const mod = random() % 3;
  const rm = vsib ? 4 : random() & 7;
  bytes.push((mod << 6) | (reg << 3) | rm);
  let displacement = mod === 1 ? 1 : mod === 2 ? (addressSize === 16 ? 2 : 4) : 0;
  if (addressSize === 16) {
    if (mod === 0 && rm === 6) displacement = 2;
  } else {
    if (mod === 0 && rm === 5) displacement = 4;
    if (rm === 4) {
      const sib = random() & 0xff;
      bytes.push(sib);
      if (mod === 0 && (sib & 7) === 5) displacement = 4;
    }
  }
  for (; displacement > 0; displacement--) bytes.push(random() & 0xff);
}

/** Bytes behind the addressing form: immediates, displacements of branches, far pointers, offsets. */
export function immediateBytes(row: OpcodeRow, operandSize: number, addressSize: number): number {
  let bytes = 0;
  for (const operand of row.operands) {
    switch (operand) {
      case 'Ib': case 'Ibs': case 'Jb': case 'Ldq': case 'Lqq': bytes += 1; break;
      case 'Iw': bytes += 2; break;
      case 'Iz': case 'Jz': bytes += operandSize === 16 ? 2 : 4; break;
      case 'Iv': bytes += operandSize / 8; break;
      case 'Ob': case 'Ov': bytes += addressSize / 8; break;
      case 'Ap': bytes += operandSize === 16 ? 4 : 6; break;
    }
  }
  return bytes;
}
