// How the TypeScript side knows the routines of the runtime module (src/runtime): one table per area.

export type RoutineType = 'i32' | 'i64' | 'f64' | 'v128';

/**
 * What a routine may do besides computing its result:
 *  pure: nothing, result depends on the arguments only;
 *  state: reads or writes vCPU state, never faults;
 *  faults: returns a value, and FAULT_PENDING is set when it could not;
 *  leaves: returns 0 to carry on, or a LEAVE_* code to leave the block with.
 */
export type RoutineKind = 'pure' | 'state' | 'faults' | 'leaves';

export interface Routine {
  /** Parameter types after the leading vCPU address. */
  readonly params: readonly RoutineType[];
  readonly result: RoutineType | 'none';
  readonly kind: RoutineKind;
}

export type RoutineTable = Readonly<Record<string, Routine>>;
