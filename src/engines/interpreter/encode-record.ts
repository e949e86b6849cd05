import type { Instruction } from '../../isa/x86/decode/instruction.ts';
import { BASE_RIP, NO_REGISTER } from '../../isa/x86/decode/instruction.ts';
import {
  REC_ADDRESS_SHIFT, REC_BASE, REC_COUNT, REC_DISPLACEMENT, REC_HANDLER, REC_IMMEDIATE, REC_INDEX, REC_LENGTH, REC_LINK, REC_PAGE_OFFSET, REC_REG, REC_REG3, REC_RM,
  REC_SCALE, REC_SEGMENT,
} from '../../isa/x86/decode/record.ts';
import { stackAccess } from '../../isa/x86/decode/stack-access.ts';
import { CONST_4G, GPR, IP_BASE, SEGMENTS, SEGMENT_BYTES, VECTOR, VECTOR_BYTES, X87, ZERO } from '../../isa/x86/state/layout.ts';
import type { OpcodeRow } from '../../isa/x86/opcodes/row.ts';
import type { RegisterSlot } from '../../isa/x86/semantics/context.ts';

/** How a register field becomes a state offset: by the operand's letter. */
function registerOffset(letter: string, byte: boolean, number: number, rex: boolean): number {
  switch (letter) {
    case 'E': case 'G': case 'R': case 'Z': case 'M': case 'B':
      // Without REX, byte registers 4 to 7 are AH, CH, DH, BH.
      return byte && !rex && number >= 4 && number < 8 ? GPR + (number - 4) * 8 + 1 : GPR + number * 8;
    case 'V': case 'W': case 'U': case 'H':
      return VECTOR + number * VECTOR_BYTES;
    case 'P': case 'Q': case 'N':
      return X87 + (number & 7) * 16;
    default:
      return number; // segment, control and debug registers, ST(i): the number itself
  }
}

interface RowFields {
  readonly reg: string;
  readonly regByte: boolean;
  readonly rm: string;
  readonly rmByte: boolean;
  readonly vvvv: string;
  readonly branch: boolean;
  readonly second: boolean;
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
  const reg = find(row.opcodeRegister ? 'Z' : 'GVPSCD');
  const rm = find('EWQRUNM');
  const vvvv = find('BH');
  return {
    reg: reg[0] ?? 'x', regByte: reg[1] === 'b', rm: rm[0] ?? 'x', rmByte: rm[1] === 'b', vvvv: vvvv[0] ?? 'x',
    branch: row.operands.some((operand) => operand[0] === 'J'),
    second: row.name === 'enter' || row.operands.includes('Ap'),
    fixedSegment: row.operands.length === 1 ? segmentNames.indexOf(row.operands[0]!) : -1,
  };
}

/** State offsets (or numbers) of the registers that an instruction's ModRM.reg, or opcode, ModRM.rm and VEX.vvvv name. */
export function registerPlaces(instruction: Instruction): Readonly<Record<RegisterSlot, number>> {
  const { row } = instruction;
  const fields = fieldsOf(instruction);
  return {
    reg: fields.fixedSegment >= 0 ? fields.fixedSegment : registerOffset(fields.reg, fields.regByte, row.opcodeRegister ? instruction.opcodeRegister : instruction.reg, instruction.rex),
    rm: registerOffset(fields.rm, fields.rmByte, instruction.rm, instruction.rex),
    vvvv: registerOffset(fields.vvvv, false, instruction.vvvv, true),
  };
}

/**
 * Writes the 32-byte record of a decoded instruction; see isa/x86/decode/record.ts. `plainHandler`: where of a memory operand only base
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
  view.setUint16(record + REC_RM, rm, true);

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
  view.setUint16(record + REC_BASE, base, true);
  view.setUint16(record + REC_INDEX, index, true);
  view.setUint16(record + REC_SEGMENT, segment, true);
  view.setUint8(record + REC_SCALE, scale | stackAccess(instruction));
  view.setUint8(record + REC_ADDRESS_SHIFT, addressShift);
  view.setInt32(record + REC_DISPLACEMENT, displacement | 0, true);
  view.setInt32(record + REC_IMMEDIATE, instruction.immediate, true);
  view.setInt32(record + REC_LINK, fields.branch ? 0 : fields.second ? instruction.immediate2 : instruction.immediateHigh, true);
}
