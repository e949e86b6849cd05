// The part of the WebAssembly JavaScript interface (W3C, WebAssembly JavaScript Interface 2.0) that the core uses:
// the core compiles without the DOM's types, and Node's do not have them.
declare namespace WebAssembly {
  class Module {
    constructor(bytes: ArrayBufferView | ArrayBuffer);
    readonly #brand: undefined;
  }
  class Memory {
    constructor(descriptor: { initial: number; maximum?: number; shared?: boolean });
    readonly buffer: ArrayBuffer | SharedArrayBuffer;
  }
  class Table {
    readonly length: number;
    grow(by: number): number;
    set(index: number, value: ExportedFunction | null): void;
  }
  type ExportedFunction = (...args: never[]) => unknown;
  type ImportValue = Memory | number | ((...args: never[]) => unknown);
  class Instance {
    constructor(module: Module, imports?: Record<string, Record<string, ImportValue>>);
    readonly exports: Readonly<Record<string, unknown>>;
  }
}

/** Empty without a host: the core does not ask where its modules lie. */
interface ImportMeta {}
