import type { RoutineTable } from './routine.ts';

/** Numbers of `stringOperation`. */
export const STRING_OPERATIONS = { movs: 0, stos: 1, lods: 2, cmps: 3, scas: 4, ins: 5, outs: 6 } as const;

/** src/runtime/strings.ts. */
export const stringRoutines = {
  /** operation, bytes per element, address size, segment index of the source, repeat (0 none, 1 REP/REPE, 2 REPNE). */
  stringOperation: { params: ['i32', 'i32', 'i32', 'i32', 'i32'], result: 'i32', kind: 'leaves' },
} as const satisfies RoutineTable;
