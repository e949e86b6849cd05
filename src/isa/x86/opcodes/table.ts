import { avxRows } from './avx.ts';
import { bmiRows } from './bmi.ts';
import { integerRows } from './integer.ts';
import type { OpcodeRow } from './row.ts';
import { sseRows } from './sse.ts';
import { systemRows } from './system.ts';
import { x87Rows } from './x87.ts';

/** Every row; its place here is the row's number in decoded instructions and in the interpreter's handler table. */
export const opcodeRows: readonly OpcodeRow[] = [...integerRows, ...systemRows, ...x87Rows, ...sseRows, ...bmiRows, ...avxRows];
