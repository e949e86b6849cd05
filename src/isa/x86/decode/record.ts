// A decoded instruction as the interpreter keeps it: 32 bytes in linear memory. Operand fields are byte offsets into
// the vCPU block (see state/layout), so that a handler needs no table to find its operands.
// Plain numeric constants: shared with the AssemblyScript routines.

export const RECORD_BYTES = 32;
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
/** u16: state offset of the register named by ModRM.rm, when it is a register. */
export const REC_RM = 10;
/** u16: state offset of the base register (ZERO when absent, IP_BASE for RIP-relative). */
export const REC_BASE = 12;
/** u16: state offset of the index register (ZERO when absent). */
export const REC_INDEX = 14;
/** u16: state offset of the segment register whose base is added (in 64-bit mode ZERO unless FS or GS). */
export const REC_SEGMENT = 16;
/** u8: index shift 0 to 3; bits 6 and 7, which a shift's count does not see: STACK_READS and STACK_WRITES. */
export const REC_SCALE = 18;
/** Which of the instruction's accesses go to the stack segment (in REC_SCALE): a non-canonical address there is #SS, not #GP. */
export const STACK_READS = 0x40;
export const STACK_WRITES = 0x80;
/** u8: the effective address is ANDed with all ones shifted right by this (64-bit mode: of 64 bits; else of 32). */
export const REC_ADDRESS_SHIFT = 19;
/** i32: displacement (an RIP-relative one already includes page offset and length). */
export const REC_DISPLACEMENT = 20;
/** i64: immediate, sign- or zero-extended as the row says; for branches i32: displacement to the next RIP. */
export const REC_IMMEDIATE = 24;
/** u32 in the upper half of a direct branch's immediate: record of the target in the same page, 0 = unknown. */
export const REC_LINK = 28;
