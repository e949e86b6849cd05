import { RAM_BASE } from '../../memory/layout.ts';
import { Code } from '../../wasm/code.ts';
import { ModuleBuilder } from '../../wasm/module.ts';
import type { WasmType } from '../../wasm/module.ts';
import { importOf, link } from './region-code.ts';
import type { RegionCode } from './region-code.ts';

/** One WebAssembly module of several regions; what they call is imported when first used. */
export class RegionModule {
  readonly #imports: number[] = [];
  readonly #importIndex = new Map<number, number>();
  readonly #regions: { readonly locals: readonly WasmType[]; readonly body: Code }[] = [];
  #calleeRecords = 0;

  /** `valueAt`: the four bytes at a place of its guest code. Returns its globals, by inlined call; none where nothing verifies the call. */
  add(code: RegionCode, valueAt: (place: number) => number): readonly (number | undefined)[] {
    const globals: (number | undefined)[] = [];
    const body = new Code().bytes(link(code, (number) => this.#import(number), (call) => (globals[call] ??= this.#calleeRecords++), valueAt));
    body.hints.push(...code.hints);
    this.#regions.push({ locals: code.locals, body });
    return globals;
  }

  /** The regions are exported as r0, r1, ... in the order in which they were added. */
  toBytes(): Uint8Array<ArrayBuffer> {
    const module = new ModuleBuilder();
    module.importMemory('env', 'memory', RAM_BASE >> 16, 65_536, true);
    for (const number of this.#imports) {
      const { module: from, name, params, results } = importOf(number);
      module.importFunction(from, name, params, results);
    }
    for (let k = 0; k < this.#calleeRecords; k++) module.importGlobal('callees', `${k}`, 'i32');
    const type = module.type(['i32', 'i32'], ['i32']);
    this.#regions.forEach(({ locals, body }, i) => module.exportFunction(`r${i}`, module.addFunction(type, locals, body)));
    return module.toBytes() as Uint8Array<ArrayBuffer>;
  }

  #import(number: number): number {
    let index = this.#importIndex.get(number);
    if (index === undefined) {
      index = this.#imports.length;
      this.#imports.push(number);
      this.#importIndex.set(number, index);
    }
    return index;
  }
  /** Globals that an instance is given: records of inlined functions. */
  get calleeRecords(): number {
    return this.#calleeRecords;
  }
}
