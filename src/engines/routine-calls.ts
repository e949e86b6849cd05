import type { Routine } from '../isa/x86/routines/routine.ts';
import type { LoweredRoutine } from '../lowering/lower.ts';
import type { WasmType } from '../wasm/module.ts';

/** A routine's type in wasm: the vCPU's address comes first. */
export function wasmTypeOf({ params, result }: Routine): { readonly params: readonly WasmType[]; readonly results: readonly WasmType[] } {
  return { params: ['i32', ...params], results: result === 'none' ? [] : [result] };
}

/** What has to happen around a call, by what the routine may do. */
export function callEffects({ kind }: Routine): Omit<LoweredRoutine, 'functionIndex'> {
  return { needsPosition: kind !== 'pure' && kind !== 'state', checksFault: kind === 'faults' };
}
