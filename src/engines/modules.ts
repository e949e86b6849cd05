/** Compiled parts of the engines, loaded by the host (from files in Node, over HTTP in a page). */
export interface EngineModules {
  /** The routines of src/runtime. */
  readonly runtime: WebAssembly.Module;
  /** The interpreter's handlers, and where each instruction shape's handler is. */
  readonly interpreter: WebAssembly.Module;
  readonly handlers: HandlerMap;
}

/** Index: see `handlerIndex`. Places of handlers in the function table; 0 where a shape cannot occur. */
export interface HandlerMap {
  readonly places: Uint16Array;
  /** By place: 1 when nothing of the block follows. */
  readonly terminates: Uint8Array;
}

/** Shapes per opcode row: operand size (16, 32, 64) x memory or register x 64-bit code or not x rep, repne, none. */
export const SHAPES_PER_ROW = 36;

export function handlerIndex(row: number, size: number, memory: boolean, long: boolean, rep: number): number {
  const sizeIndex = size === 16 ? 0 : size === 32 ? 1 : 2;
  const repIndex = rep === 0 ? 0 : rep === 0xf3 ? 1 : 2;
  return row * SHAPES_PER_ROW + ((sizeIndex * 2 + (memory ? 1 : 0)) * 2 + (long ? 1 : 0)) * 3 + repIndex;
}
