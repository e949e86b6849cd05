import { arithmetic } from './arithmetic.ts';
import { avx } from './avx.ts';
import { bmi } from './bmi.ts';
import type { SemanticsTable } from './context.ts';
import { control } from './control.ts';
import { crypto } from './crypto.ts';
import { floating } from './floating.ts';
import { moves } from './moves.ts';
import { shifts } from './shifts.ts';
import { system } from './system.ts';
import { vectorMmx } from './vector-mmx.ts';
import { vectorSse4 } from './vector-sse4.ts';
import { vectorSsse3 } from './vector-ssse3.ts';
import { vector } from './vector.ts';
import { x87 } from './x87.ts';

/** What each instruction does, by the semantics id of its opcode rows. */
export const semantics: SemanticsTable = { ...arithmetic, ...shifts, ...moves, ...control, ...system, ...vector, ...floating, ...x87, ...vectorSsse3, ...vectorSse4, ...vectorMmx, ...crypto, ...bmi, ...avx };
