import { BLOCK_SETS, BLOCK_SET_BYTES, BLOCK_TABLE, DECODE_BASE, DECODE_END } from '../../memory/layout.ts';

/** Where a vCPU's decoded code lies: addresses in the linear memory. */
export interface CodeArea {
  readonly table: number;
  /** Arena of records: first byte, end. */
  readonly base: number;
  readonly end: number;
}

/** That of the first vCPU. */
export const FIRST_CODE_AREA: CodeArea = { table: BLOCK_TABLE, base: DECODE_BASE, end: DECODE_END };

export const TABLE_BYTES = BLOCK_SETS * BLOCK_SET_BYTES;
/** Room for those of the others, each. Pages that are not used cost nothing. */
export const CODE_AREA_BYTES = 16 << 20;

/** The area in memory set aside for it. */
export function codeAreaAt(host: number): CodeArea {
  return { table: host, base: host + TABLE_BYTES, end: host + CODE_AREA_BYTES };
}
