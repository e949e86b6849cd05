import { opcodeRows } from '../opcodes/table.ts';
import type { OpcodeRow } from '../opcodes/row.ts';

/** No base or index register; RIP as the base. */
export const NO_REGISTER = -1;
export const BASE_RIP = 16;

/** A decoded instruction: plain numbers, reused from one decode to the next. */
export interface Instruction {
  row: OpcodeRow;
  rowIndex: number;
  length: number;
  codeSize: 16 | 32 | 64;
  /** Effective operand size in bits. */
  operandSize: 16 | 32 | 64;
  addressSize: 16 | 32 | 64;
  /** A REX prefix was there: SPL, BPL, SIL, DIL instead of AH, CH, DH, BH. */
  rex: boolean;
  lock: boolean;
  /** Last repeat prefix of an instruction that it repeats: 0xf2 or 0xf3; else 0. */
  rep: number;
  /** ModRM fields with their REX bits, as far as these count for the register file named; `rm` of a memory operand is not meaningful. */
  mod: number;
  reg: number;
  rm: number;
  /** Register in VEX.vvvv; 0 without VEX. */
  vvvv: number;
  /** Register in the opcode's low bits, with REX.B. */
  opcodeRegister: number;
  /** The instruction has a memory operand given by ModRM, by moffs or by its nature. */
  isMemory: boolean;
  /** Segment of the memory operand (0 ES .. 5 GS), override or default; and whether there was an override. */
  segment: number;
  segmentOverride: boolean;
  base: number;
  index: number;
  scale: number;
  displacement: number;
  /** Where in the instruction 32 bits of a displacement lie, and of an immediate (of one of 64 bits the lower half); 0: it has none. */
  displacement32At: number;
  immediate32At: number;
  /** Immediate as 64 bits in two halves, extended as the row says; direct branch: displacement. */
  immediate: number;
  immediateHigh: number;
  /** ENTER's level, a far pointer's selector. */
  immediate2: number;
}

const directBranches = Uint8Array.from(opcodeRows, ({ operands }) => (operands.some((operand) => operand[0] === 'J') ? 1 : 0));
/** It jumps, perhaps, to where its displacement says. */
export function isDirectBranch({ rowIndex }: Instruction): boolean {
  return directBranches[rowIndex] !== 0;
}

/** Its access to memory is a locked one. */
export function isLocked({ lock, row, isMemory }: Instruction): boolean {
  return lock || (row.locks && isMemory);
}

export function createInstruction(): Instruction {
  return {
    row: opcodeRows[0]!, rowIndex: 0, length: 0, codeSize: 64, operandSize: 32, addressSize: 64, rex: false, lock: false, rep: 0, mod: 0, reg: 0, rm: 0, vvvv: 0, opcodeRegister: 0,
    isMemory: false, segment: 3, segmentOverride: false, base: NO_REGISTER, index: NO_REGISTER, scale: 0, displacement: 0, displacement32At: 0, immediate32At: 0, immediate: 0, immediateHigh: 0, immediate2: 0,
  };
}
