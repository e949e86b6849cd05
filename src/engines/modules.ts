import { isLocked } from '../isa/x86/decode/instruction.ts';
import type { Instruction } from '../isa/x86/decode/instruction.ts';

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
  /** By place: ENDS_BLOCK, HAS_PLAIN. */
  readonly traits: Uint8Array;
}

/** Nothing of the block follows the handler. */
export const ENDS_BLOCK = 1;
/** The place behind is that of the same handler for memory operands of which only base and displacement count. */
export const HAS_PLAIN = 2;

/** Shapes per opcode row: operand size (16, 32, 64) x memory or register x 64-bit code or not x none, rep, repne, locked. */
export const SHAPES_PER_ROW = 48;

export function handlerIndex(row: number, size: number, memory: boolean, long: boolean, rep: number, locked: boolean): number {
  const sizeIndex = size === 16 ? 0 : size === 32 ? 1 : 2;
  // What may be locked does not repeat.
  const prefixIndex = locked ? 3 : rep === 0 ? 0 : rep === 0xf3 ? 1 : 2;
  return row * SHAPES_PER_ROW + ((sizeIndex * 2 + (memory ? 1 : 0)) * 2 + (long ? 1 : 0)) * 4 + prefixIndex;
}

/** The same of a decoded instruction. */
export function handlerIndexOf(instruction: Instruction): number {
  return handlerIndex(instruction.rowIndex, instruction.operandSize, instruction.isMemory, instruction.codeSize === 64, instruction.rep, isLocked(instruction));
}
