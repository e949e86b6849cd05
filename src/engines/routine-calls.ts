import type { Routine } from '../isa/x86/routines/routine.ts';
import type { LoweredRoutine } from '../lowering/lower.ts';
import type { WasmType } from '../wasm/module.ts';

/** A routine's type in wasm: the vCPU's address comes first. `more`: parameters behind its own. */
export function wasmTypeOf({ params, result }: Routine, more: readonly WasmType[] = []): { readonly params: readonly WasmType[]; readonly results: readonly WasmType[] } {
  return { params: ['i32', ...params, ...more], results: result === 'none' ? [] : [result] };
}

/** Type of a memory slow path as the interpreter exports it to translated code: position and budget come last; the budget, behind the result, comes back. */
export function accessType(routine: Routine): ReturnType<typeof wasmTypeOf> {
  const { params, results } = wasmTypeOf(routine, ['i32', 'i32']);
  return { params, results: [...results, 'i32'] };
}
/** In place of that budget: a fault is pending. No budget is as low, or as low as -8192: regions and blocks are shorter. */
export const ACCESS_FAULTS = -0x10000;

/** What has to happen around a call, by what the routine may do. */
export function callEffects({ kind }: Routine): Omit<LoweredRoutine, 'functionIndex'> {
  return { needsPosition: kind !== 'pure' && kind !== 'state', checksFault: kind === 'faults' };
}
