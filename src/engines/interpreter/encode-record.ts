import type { Instruction } from '../../isa/x86/decode/instruction.ts';
import { BASE_RIP, NO_REGISTER, isDirectBranch } from '../../isa/x86/decode/instruction.ts';
import {
  REC_ADDRESSING, REC_BASE, REC_COUNT, REC_DISPLACEMENT, REC_HANDLER, REC_IMMEDIATE, REC_INDEX, REC_INDEX_SHIFT, REC_LENGTH, REC_PAGE_OFFSET, REC_REG, REC_REG3, REC_SEGMENT,
} from '../../isa/x86/decode/record.ts';
import { stackAccess } from '../../isa/x86/decode/stack-access.ts';
import { CONST_4G, GPR, IP_BASE, SEGMENTS, SEGMENT_BYTES, VECTOR, VECTOR_BYTES, X87, ZERO } from '../../isa/x86/state/layout.ts';
import type { OpcodeRow } from '../../isa/x86/opcodes/row.ts';
import { isMoffs } from '../../isa/x86/semantics/context.ts';
import type { RegisterSlot } from '../../isa/x86/semantics/context.ts';

/** Where the registers that a field may name lie in the state: from `base` on, `stride` bytes apart. */
interface RegisterFile {
  readonly base: number;
  readonly stride: number;
  readonly mask: number;
  /** Without REX, byte registers 4 to 7 are AH, CH, DH, BH. */
  readonly high: boolean;
}

const GENERAL: RegisterFile = { base: GPR, stride: 8, mask: 15, high: false };
const BYTES: RegisterFile = { ...GENERAL, high: true };
const VECTORS: RegisterFile = { base: VECTOR, stride: VECTOR_BYTES, mask: 15, high: false };
const MMX: RegisterFile = { base: X87, stride: 16, mask: 7, high: false };
/** Segment, control and debug registers, ST(i): the number itself is what counts. */
const NUMBERS: RegisterFile = { base: 0, stride: 1, mask: 15, high: false };

/** By the operand: its letter, and b for bytes. */
function registerFile([letter, size]: string): RegisterFile {
  switch (letter) {
    case 'E': case 'G': case 'R': case 'Z': case 'M': case 'B':
      return size === 'b' ? BYTES : GENERAL;
    case 'V': case 'W': case 'U': case 'H':
      return VECTORS;
    case 'P': case 'Q': case 'N':
      return MMX;
    default:
      return NUMBERS;
  }
}

function registerOffset({ base, stride, mask, high }: RegisterFile, number: number, rex: boolean): number {
  return high && !rex && number >= 4 && number < 8 ? base + (number - 4) * stride + 1 : base + (number & mask) * stride;
}

interface RowFields {
  readonly reg: RegisterFile;
  readonly rm: RegisterFile;
  readonly vvvv: RegisterFile;
  /** There are two immediates. */
  readonly second: boolean;
  /** The immediate is an address (isMoffs). */
  readonly moffs: boolean;
  /** Number of the segment register that a fixed operand names. */
  readonly fixedSegment: number;
}

const segmentNames = ['ES', 'CS', 'SS', 'DS', 'FS', 'GS'];
/** By the row's index. */
const fieldsOfRows: RowFields[] = [];

function fieldsOf({ row, rowIndex }: Instruction): RowFields {
  return (fieldsOfRows[rowIndex] ??= findFields(row));
}

function findFields(row: OpcodeRow): RowFields {
  const find = (letters: string): string => row.operands.find((operand) => letters.includes(operand[0]!) && operand.length > 1 && operand === operand.replace(/^[A-Z]{2,}$/, '')) ?? '';
  return {
    reg: registerFile(find(row.opcodeRegister ? 'Z' : 'GVPSCD')), rm: registerFile(find('EWQRUNM')), vvvv: registerFile(find('BH')),
    second: row.name === 'enter' || row.operands.includes('Ap'), moffs: isMoffs(row.operands),
    fixedSegment: row.operands.length === 1 ? segmentNames.indexOf(row.operands[0]!) : -1,
  };
}

/** State offsets (or numbers) of the registers that an instruction's ModRM.reg, or opcode, ModRM.rm and VEX.vvvv name. */
export function registerPlaces(instruction: Instruction): Readonly<Record<RegisterSlot, number>> {
  const { row } = instruction;
  const fields = fieldsOf(instruction);
  return {
    reg: fields.fixedSegment >= 0 ? fields.fixedSegment : registerOffset(fields.reg, row.opcodeRegister ? instruction.opcodeRegister : instruction.reg, instruction.rex),
    rm: registerOffset(fields.rm, instruction.rm, instruction.rex),
    vvvv: registerOffset(fields.vvvv, instruction.vvvv, true),
  };
}

/**
 * Writes the record of a decoded instruction; see isa/x86/decode/record.ts. `plainHandler`: where of a memory operand only base
 * and displacement count (in 64-bit code no segment does but FS and GS).
 */
export function encodeRecord(view: DataView, record: number, instruction: Instruction, pageOffset: number, count: number, handler: number, plainHandler = handler): void {
  const fields = fieldsOf(instruction);
  view.setUint16(record + REC_PAGE_OFFSET, pageOffset, true);
  view.setUint8(record + REC_LENGTH, instruction.length);
  view.setUint8(record + REC_COUNT, count);
  const { reg, rm, vvvv } = registerPlaces(instruction);
  view.setUint16(record + REC_REG3, vvvv, true);
  view.setUint16(record + REC_REG, reg, true);

  let displacement = instruction.displacement;
  let base = instruction.base === NO_REGISTER ? ZERO : GPR + instruction.base * 8;
  let index = instruction.index === NO_REGISTER ? ZERO : GPR + instruction.index * 8;
  let scale = instruction.scale;
  if (instruction.base === BASE_RIP) {
    base = IP_BASE;
    displacement += pageOffset + instruction.length;
    if (displacement > 0x7fffffff) {
      index = CONST_4G;
      scale = 0;
    }
  }
  const long = instruction.codeSize === 64;
  const addressShift = (long ? 64 : 32) - instruction.addressSize;
  const segment = long && instruction.segment < 4 ? ZERO : SEGMENTS + instruction.segment * SEGMENT_BYTES;
  const isPlain = index === ZERO && addressShift === 0 && (!long || segment === ZERO);
  view.setUint16(record + REC_HANDLER, isPlain ? plainHandler : handler, true);
  view.setUint16(record + REC_BASE, instruction.isMemory ? base : rm, true);
  view.setUint8(record + REC_INDEX, index >> REC_INDEX_SHIFT);
  view.setUint16(record + REC_SEGMENT, segment, true);
  view.setUint8(record + REC_ADDRESSING, scale | addressShift | stackAccess(instruction));
  view.setInt32(record + REC_IMMEDIATE, instruction.immediate, true);
  // Also the link of a direct branch, to which none is known yet.
  const second = isDirectBranch(instruction) ? 0 : fields.second ? instruction.immediate2 : instruction.isMemory && !fields.moffs ? displacement | 0 : instruction.immediateHigh;
  view.setInt32(record + REC_DISPLACEMENT, second, true);
}
