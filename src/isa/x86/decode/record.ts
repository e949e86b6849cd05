// A decoded instruction as the interpreter keeps it: 24 bytes in linear memory, for it is misses of the data cache that records
// cost (with 64 bytes a Linux boot took 7 % longer than with 32). Operand fields are byte offsets into the vCPU block (see
// state/layout), so that a handler needs no table to find its operands. Fields that no instruction has both of share a place.
// Plain numeric constants: shared with the AssemblyScript routines.

export const RECORD_BYTES = 24;
/** u16: index of the handler in the interpreter's function table. */
export const REC_HANDLER = 0;
/** u16: state offset of the third register operand (VEX.vvvv; unused by legacy forms). */
export const REC_REG3 = 2;
/** u16: offset of the instruction's first byte in its page. */
export const REC_PAGE_OFFSET = 4;
/** u8: length in bytes. */
export const REC_LENGTH = 6;
/** u8: how many instructions of the block have begun with this one (1 for the first). */
export const REC_COUNT = 7;
/** u16: state offset of the register named by ModRM.reg or the opcode. */
export const REC_REG = 8;
/** Of a record that counts executions: 1 when its block has been looked at before it is hot (u16). */
export const REC_LOOKED_AT = REC_REG;
/** u16: state offset of the register named by ModRM.rm, when it is a register. */
export const REC_RM = 10;
/** u16 in its place: state offset of the base register (ZERO when absent, IP_BASE for RIP-relative). */
export const REC_BASE = REC_RM;
/** u16: state offset of the segment register whose base is added (in 64-bit mode ZERO unless FS or GS). */
export const REC_SEGMENT = 12;
/** u8: state offset of the index register (ZERO when absent), in units of 8. */
export const REC_INDEX = 14;
export const REC_INDEX_SHIFT = 3;
/** u8: SCALE_MASK, ADDRESS_SHIFT_MASK, STACK_READS and STACK_WRITES. */
export const REC_ADDRESSING = 15;
/** Index shift, 0 to 3. */
export const SCALE_MASK = 0x03;
/** The effective address is ANDed with all ones shifted right by this (0, 16, 32; 64-bit mode: of 64 bits; else of 32). */
export const ADDRESS_SHIFT_MASK = 0x30;
/** Which of the instruction's accesses go to the stack segment: a non-canonical address there is #SS, not #GP. */
export const STACK_READS = 0x40;
export const STACK_WRITES = 0x80;
/**
 * i32: immediate, sign- or zero-extended as the row says; for branches displacement to the next RIP. i64 with the word behind it
 * where there is no displacement.
 */
export const REC_IMMEDIATE = 16;
/** i32: displacement of a memory operand (an RIP-relative one already includes page offset and length). */
export const REC_DISPLACEMENT = 20;
/** u32 in its place, for direct branches: record of the target in the same page, 0 = unknown; the second immediate where there are two. */
export const REC_LINK = REC_DISPLACEMENT;
