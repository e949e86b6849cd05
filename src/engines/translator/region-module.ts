import { routineIndex, routines } from '../../isa/x86/routines/directory.ts';
import { RAM_BASE } from '../../memory/layout.ts';
import { ModuleBuilder } from '../../wasm/module.ts';
import type { WasmType } from '../../wasm/module.ts';
import type { LoweredRoutine } from '../../lowering/lower.ts';
import { callEffects, wasmTypeOf } from '../routine-calls.ts';
import { buildRegionFunction } from './region-function.ts';
import type { RegionFunction, RegionImports } from './region-function.ts';
import type { Region } from './region.ts';
import type { Scratch } from './scratch.ts';
import type { Assumptions } from './translator-builder.ts';

interface Import {
  readonly module: 'core' | 'runtime';
  readonly name: string;
  readonly params: readonly WasmType[];
  readonly results: readonly WasmType[];
}

/** One WebAssembly module of several regions; what they call is imported when first used. */
export class RegionModule implements RegionImports {
  readonly #imports: Import[] = [];
  readonly #importIndex = new Map<string, number>();
  readonly #regions: RegionFunction[] = [];
  readonly #scratch: Scratch;
  readonly #lowered: LoweredRoutine[] = [];
  #calleeRecords = 0;

  constructor(scratch: Scratch) {
    this.#scratch = scratch;
  }

  add(region: Region, assumptions: Assumptions): RegionFunction {
    const built = buildRegionFunction(region, assumptions, this, this.#scratch);
    this.#regions.push(built);
    return built;
  }

  /** The regions are exported as r0, r1, ... in the order in which they were added. */
  toBytes(): Uint8Array<ArrayBuffer> {
    const module = new ModuleBuilder();
    module.importMemory('env', 'memory', RAM_BASE >> 16, 65_536, true);
    for (const { module: from, name, params, results } of this.#imports) module.importFunction(from, name, params, results);
    for (let k = 0; k < this.#calleeRecords; k++) module.importGlobal('callees', `${k}`, 'i32');
    const type = module.type(['i32', 'i32'], ['i32']);
    this.#regions.forEach((region, i) => module.exportFunction(`r${i}`, module.addFunction(type, region.locals, region.body)));
    return module.toBytes() as Uint8Array<ArrayBuffer>;
  }

  #index(name: string, entry: () => Omit<Import, 'name'>): number {
    let index = this.#importIndex.get(name);
    if (index === undefined) {
      index = this.#imports.length;
      this.#imports.push({ name, ...entry() });
      this.#importIndex.set(name, index);
    }
    return index;
  }
  lowered(routine: number): LoweredRoutine {
    const { name, routine: declared } = routines[routine]!;
    return (this.#lowered[routine] ??= { ...callEffects(declared), functionIndex: this.routine(name) });
  }
  routine(name: string): number {
    return this.#index(name, () => ({ module: 'runtime', ...wasmTypeOf(routines[routineIndex(name)]!.routine) }));
  }
  jump(): number {
    return this.#index('jump', () => ({ module: 'core', params: ['i32', 'i64'], results: ['i32'] }));
  }
  missed(): number {
    return this.#index('missed', () => ({ module: 'core', params: ['i32', 'i64'], results: ['i32'] }));
  }
  left(): number {
    return this.#index('left', () => ({ module: 'core', params: ['i32', 'i32'], results: ['i32'] }));
  }
  /** Globals that an instance is given: records of inlined functions. */
  get calleeRecords(): number {
    return this.#calleeRecords;
  }
  calleeRecord(): number {
    return this.#calleeRecords++;
  }
  interpret(): number {
    return this.#index('interpret', () => ({ module: 'core', params: ['i32', 'i32'], results: ['i32'] }));
  }
}
