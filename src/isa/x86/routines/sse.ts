import type { RoutineTable } from './routine.ts';

/** Exact SSE arithmetic will be here; see docs/progress.md. */
export const sseRoutines = {} as const satisfies RoutineTable;
