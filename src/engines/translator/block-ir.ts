import type { Ir } from '../../ir/ir.ts';
import type { Shape } from '../../isa/x86/semantics/context.ts';
import { stackAccess } from '../../isa/x86/decode/stack-access.ts';
import { semantics } from '../../isa/x86/semantics/table.ts';
import { isLocked } from '../../isa/x86/decode/instruction.ts';
import type { Instruction } from '../../isa/x86/decode/instruction.ts';
import { FLAT_SEGMENTS } from '../../isa/x86/state/layout.ts';
import { handlerIndexOf } from '../modules.ts';
import type { FlagState } from './flag-state.ts';
import type { RegionBlock } from './region.ts';
import type { Assumptions } from './translator-builder.ts';
import { TranslatorBuilder } from './translator-builder.ts';
import { TranslatorContext } from './translator-context.ts';
import type { Ending } from './translator-context.ts';

/** The part of a place that is REC_PAGE_OFFSET to REC_COUNT; above it, shifted to there, STACK_READS and STACK_WRITES. */
export const PLACE_MASK = 0x3fffffff;
export const PLACE_STACK_SHIFT = 24;

/** The IR of one block, and what the region's code has to know of it. */
export interface BlockIr {
  readonly ir: Ir;
  /** By instruction: offset in the page | length << 16 | number in the block, from 1, << 24 | how it uses the stack: see PLACE_MASK. */
  readonly places: readonly number[];
  /** Bit masks of variables: looked at; looked at as they are at its start; written; overwritten for certain. */
  readonly read: number;
  readonly entering: number;
  readonly written: number;
  readonly killed: number;
  /** What the flag variables mean at its end. */
  readonly flags: FlagState;
  readonly ending: Ending | 'next';
  /** Offset behind the last instruction: where it goes on when the ending is 'next' or a branch is not taken. */
  readonly next: number;
  /** A routine may overwrite code. */
  readonly writes: boolean;
}

/** Shapes by handlerIndex. */
const shapes: Shape[] = [];

function shapeOf(instruction: Instruction): Shape {
  return (shapes[handlerIndexOf(instruction)] ??= makeShape(instruction));
}
function makeShape(instruction: Instruction): Shape {
  const { row, operandSize, codeSize, isMemory, rep } = instruction;
  return { operands: row.operands, size: operandSize, long: codeSize === 64, memory: isMemory, rep: !row.repeatable || rep === 0 ? 'none' : rep === 0xf3 ? 'rep' : 'repne', locked: isLocked(instruction) };
}

/** `ir` is empty. `flags`: what the flag variables mean where the block begins. */
export function buildBlockIr(block: RegionBlock, assumptions: Assumptions, flags: FlagState, ir: Ir): BlockIr {
  const builder = new TranslatorBuilder(ir, assumptions);
  builder.flags = flags;
  const places: number[] = [];
  let next = block.offset;
  let ending: Ending | 'next' = 'next';
  let writes = false;
  for (const { instruction, offset } of block.instructions) {
    places.push(offset | (instruction.length << 16) | ((places.length + 1) << 24) | (stackAccess(instruction) << PLACE_STACK_SHIFT));
    builder.op('position', [], places.length - 1);
    const context = new TranslatorContext(builder, instruction, shapeOf(instruction), offset, block.inlined, assumptions);
    semantics[instruction.row.semantics]!(context);
    next = offset + instruction.length;
    writes ||= context.writes;
    if (context.ending !== undefined) {
      ending = context.ending;
      break;
    }
    if (context.terminated) {
      ending = 'left';
      break;
    }
    if (context.writes) builder.op('leave.stale');
    if (context.loadsFlatSegment) builder.if(builder.eqz(builder.loadState('32', FLAT_SEGMENTS)), () => context.leaveNext());
  }
  builder.save();
  builder.x87.end();
  const { read, entering, written, killed } = builder;
  return { ir, places, read, entering, written, killed, flags: builder.flags, ending, next, writes };
}
