import type { Callee } from '../../../ir/builder.ts';
import { avxRoutines } from './avx.ts';
import { cryptoRoutines } from './crypto.ts';
import { memoryRoutines } from './memory.ts';
import { identityRoutines } from './identity.ts';
import { sseRoutines } from './sse.ts';
import { stringCompareRoutines } from './string-compare.ts';
import { stringRoutines } from './strings.ts';
import { systemRoutines } from './system.ts';
import { x87Routines } from './x87.ts';
import type { Routine, RoutineTable } from './routine.ts';

const faultRoutines = {
  raiseFault: { params: ['i32', 'i32', 'i32'], result: 'i32', kind: 'leaves' },
} as const satisfies RoutineTable;

export interface RoutineEntry {
  readonly name: string;
  readonly routine: Routine;
  readonly callee: Callee;
}

/** Every routine that generated code may call, in a fixed order: the index is the IR's call immediate. */
export const routines: readonly RoutineEntry[] = Object.entries<Routine>({
  ...faultRoutines, ...memoryRoutines, ...stringRoutines, ...identityRoutines, ...systemRoutines, ...x87Routines, ...sseRoutines, ...stringCompareRoutines, ...cryptoRoutines, ...avxRoutines,
}).map(([name, routine], index) => ({ name, routine, callee: { index, params: routine.params, result: routine.result } }));

const indexByName = new Map(routines.map((entry) => [entry.name, entry.callee.index]));

export function routineIndex(name: string): number {
  const index = indexByName.get(name);
  if (index === undefined) throw new Error(`no routine is called ${name}`);
  return index;
}
