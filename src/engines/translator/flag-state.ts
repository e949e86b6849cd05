import type { Width } from '../../isa/x86/semantics/flags.ts';

/**
 * What is known of the flag variables when code is made: how they came about. One object for each operation and width, so
 * that states are compared by identity. 'logic': raw with no carries.
 */
export interface FlagState {
  readonly operation: 'unknown' | 'raw' | 'logic' | 'sub' | 'add' | 'inc' | 'dec';
  readonly width: Width;
}

export const UNKNOWN: FlagState = { operation: 'unknown', width: 64 };
export const RAW: FlagState = { operation: 'raw', width: 64 };
export const LOGIC: FlagState = { operation: 'logic', width: 64 };

const states = new Map<string, FlagState>();
export function flagState(operation: 'sub' | 'add' | 'inc' | 'dec', width: Width): FlagState {
  const key = operation + width;
  let state = states.get(key);
  if (state === undefined) states.set(key, state = { operation, width });
  return state;
}
