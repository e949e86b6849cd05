import { Code } from './code.ts';

export type WasmType = 'i32' | 'i64' | 'f32' | 'f64' | 'v128';

const typeCode: Record<WasmType, number> = { i32: 0x7f, i64: 0x7e, f32: 0x7d, f64: 0x7c, v128: 0x7b };

interface FunctionType {
  readonly params: readonly WasmType[];
  readonly results: readonly WasmType[];
}

/** Assembles a module: imports first, then functions in the order of `addFunction`, one table filled at the end. */
export class ModuleBuilder {
  readonly #types: FunctionType[] = [];
  readonly #typeIndex = new Map<string, number>();
  readonly #imports: { module: string; name: string; type: number }[] = [];
  readonly #globals: { readonly module: string; readonly name: string; readonly type: WasmType }[] = [];
  readonly #functions: { type: number; locals: readonly WasmType[]; body: Code }[] = [];
  readonly #exports: { name: string; index: number }[] = [];
  #memory: { module: string; name: string; minimum: number; maximum: number; shared: boolean } | undefined;
  #elements: readonly number[] | undefined;

  type(params: readonly WasmType[], results: readonly WasmType[]): number {
    const key = `${params.join()}>${results.join()}`;
    let index = this.#typeIndex.get(key);
    if (index === undefined) {
      index = this.#types.length;
      this.#types.push({ params, results });
      this.#typeIndex.set(key, index);
    }
    return index;
  }
  importMemory(module: string, name: string, minimum: number, maximum: number, shared: boolean): void {
    this.#memory = { module, name, minimum, maximum, shared };
  }
  /** Legal only before the first `addFunction`: imported functions come first in the index space. */
  importFunction(module: string, name: string, params: readonly WasmType[], results: readonly WasmType[]): number {
    if (this.#functions.length > 0) throw new Error('imports come before functions');
    this.#imports.push({ module, name, type: this.type(params, results) });
    return this.#imports.length - 1;
  }
  /** A constant that each instance is given. Returns its index. */
  importGlobal(module: string, name: string, type: WasmType): number {
    this.#globals.push({ module, name, type });
    return this.#globals.length - 1;
  }
  /** `body` without the final `end`. Returns the function's index. */
  addFunction(type: number, locals: readonly WasmType[], body: Code): number {
    this.#functions.push({ type, locals, body });
    return this.#imports.length + this.#functions.length - 1;
  }
  exportFunction(name: string, index: number): void {
    this.#exports.push({ name, index });
  }
  /** The module's own table 0, exported as `table`, holds these functions, entry by entry; it may grow. */
  table(functions: readonly number[]): void {
    this.#elements = functions;
  }

  toBytes(): Uint8Array {
    const out = new Code();
    out.bytes([0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0]);
    const section = (id: number, fill: (code: Code) => void): void => {
      const code = new Code();
      fill(code);
      out.byte(id).u32(code.length).code(code);
    };
    section(1, (code) => {
      code.u32(this.#types.length);
      for (const type of this.#types) {
        code.byte(0x60).u32(type.params.length);
        for (const param of type.params) code.byte(typeCode[param]);
        code.u32(type.results.length);
        for (const result of type.results) code.byte(typeCode[result]);
      }
    });
    const memory = this.#memory;
    const elements = this.#elements;
    section(2, (code) => {
      code.u32(this.#imports.length + this.#globals.length + (memory === undefined ? 0 : 1));
      if (memory !== undefined) {
        code.name(memory.module).name(memory.name).byte(2).byte(memory.shared ? 3 : 1).u32(memory.minimum).u32(memory.maximum);
      }
      for (const entry of this.#imports) code.name(entry.module).name(entry.name).byte(0).u32(entry.type);
      for (const entry of this.#globals) code.name(entry.module).name(entry.name).byte(3).byte(typeCode[entry.type]).byte(0);
    });
    section(3, (code) => {
      code.u32(this.#functions.length);
      for (const entry of this.#functions) code.u32(entry.type);
    });
    if (elements !== undefined) section(4, (code) => code.u32(1).byte(0x70).byte(0).u32(elements.length));
    section(7, (code) => {
      code.u32(this.#exports.length + (elements === undefined ? 0 : 1));
      for (const entry of this.#exports) code.name(entry.name).byte(0).u32(entry.index);
      if (elements !== undefined) code.name('table').byte(1).u32(0);
    });
    if (elements !== undefined) {
      section(9, (code) => {
        code.u32(1).u32(0).i32Const(0).end().u32(elements.length);
        for (const index of elements) code.u32(index);
      });
    }
    const heads = this.#functions.map(({ locals }) => localsOf(locals));
    // Branch Hinting: by function, where the branch is behind the function's start, and which way it goes.
    const hinted = this.#functions.map(({ body: { hints } }, i) => ({ index: this.#imports.length + i, start: heads[i]!.length, hints })).filter(({ hints }) => hints.length > 0);
    if (hinted.length > 0) {
      section(0, (code) => {
        code.name('metadata.code.branch_hint').u32(hinted.length);
        for (const { index, start, hints } of hinted) {
          code.u32(index).u32(hints.length);
          for (const hint of hints) code.u32(start + (hint >>> 1)).byte(1).byte(hint & 1);
        }
      });
    }
    section(10, (code) => {
      code.u32(this.#functions.length);
      this.#functions.forEach(({ body }, i) => code.u32(heads[i]!.length + body.length + 1).code(heads[i]!).code(body).end());
    });
    return out.toBytes();
  }
}

function localsOf(types: readonly WasmType[]): Code {
  const runs: { type: WasmType; count: number }[] = [];
  for (const type of types) {
    const last = runs.at(-1);
    if (last !== undefined && last.type === type) last.count++;
    else runs.push({ type, count: 1 });
  }
  const code = new Code().u32(runs.length);
  for (const run of runs) code.u32(run.count).byte(typeCode[run.type]);
  return code;
}
