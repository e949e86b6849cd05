import { PAGE_SIZE } from '../../base/addresses.ts';
import { routineIndex, routines } from '../../isa/x86/routines/directory.ts';
import { LinkableCode, paddedS32, paddedU14 } from '../../wasm/code.ts';
import type { WasmType } from '../../wasm/module.ts';
import { wasmTypeOf } from '../routine-calls.ts';

/** A region's function before it is part of a module, as plain data: who has the same guest code can have it, in another module and elsewhere in memory. */
export interface RegionCode {
  readonly locals: readonly WasmType[];
  readonly bytes: Uint8Array;
  /** Branch hints, as in `Code`. */
  readonly hints: readonly number[];
  /** Where numbers of functions lie (see `importOf`), and of globals: there are as many as inlined calls, one for each. */
  readonly functions: readonly number[];
  readonly globals: readonly number[];
  /** Constants that guest code has: where each lies, and where its four bytes are there (see `placeOf`), in turn. */
  readonly values: readonly number[];
}

export function regionCode(locals: readonly WasmType[], code: LinkableCode): RegionCode {
  return { locals, bytes: code.toBytes(), hints: code.hints, functions: code.functions, globals: code.globals, values: code.values };
}

/** A place in the guest code that a region is made of: its own page, or from 1 the function of an inlined call, and the offset in that page. */
export function placeOf(inlined: number, offset: number): number {
  return inlined * PAGE_SIZE + offset;
}

export interface FunctionImport {
  readonly module: 'core' | 'runtime';
  readonly name: string;
  readonly params: readonly WasmType[];
  readonly results: readonly WasmType[];
}

/** What regions call besides routines, which are numbered first. */
const coreFunctions = [
  /** (cpu, rip): goes to the block at RIP, or leaves when the budget is used up. */
  { module: 'core', name: 'jump', params: ['i32', 'i64'], results: ['i32'] },
  /** (cpu, rip): interprets from RIP to the end of the block. */
  { module: 'core', name: 'missed', params: ['i32', 'i64'], results: ['i32'] },
  /** (LEAVE_ code, cpu): on to the block at RIP where a routine has set it and nothing else is due, else out. */
  { module: 'core', name: 'left', params: ['i32', 'i32'], results: ['i32'] },
  /** (cpu, record): interprets the block of the record. */
  { module: 'core', name: 'interpret', params: ['i32', 'i32'], results: ['i32'] },
] as const satisfies readonly FunctionImport[];

/** Numbers of functions in a region's code. */
export const [JUMP, MISSED, LEFT, INTERPRET] = coreFunctions.map((_, i) => routines.length + i) as [number, number, number, number];
export const SETTLE_FLAGS = routineIndex('settleFlags');

export function importOf(number: number): FunctionImport {
  if (number >= routines.length) return coreFunctions[number - routines.length]!;
  const { name, routine } = routines[number]!;
  return { module: 'runtime', name, ...wasmTypeOf(routine) };
}

/** Its bytes for a module: with the numbers that functions and globals have there, and guest code's constants. */
export function link(code: RegionCode, functionAt: (number: number) => number, globalAt: (call: number) => number, valueAt: (place: number) => number): Uint8Array {
  const bytes = code.bytes.slice();
  const number = (at: number): number => (bytes[at]! & 0x7f) | (bytes[at + 1]! << 7);
  for (const at of code.functions) bytes.set(paddedU14(functionAt(number(at))), at);
  for (const at of code.globals) bytes.set(paddedU14(globalAt(number(at))), at);
  for (let k = 0; k < code.values.length; k += 2) bytes.set(paddedS32(valueAt(code.values[k + 1]!)), code.values[k]!);
  return bytes;
}
