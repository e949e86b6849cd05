import { PAGE_SIZE } from '../../base/addresses.ts';
import type { Decoder } from '../../isa/x86/decode/decoder.ts';
import { createInstruction } from '../../isa/x86/decode/instruction.ts';
import type { Instruction } from '../../isa/x86/decode/instruction.ts';
import { handlerIndexOf } from '../modules.ts';
import type { HandlerMap } from '../modules.ts';

/** Bounds of one region: the optimising compiler's time grows faster than a function's size (DESIGN D3). */
const MAX_INSTRUCTIONS = 400;
const MAX_BLOCK = 48;
/** Return addresses that a RET looks for inside the region. */
const MAX_RETURN_SITES = 8;
const MAX_INSTRUCTION_BYTES = 15;

export interface RegionInstruction {
  readonly instruction: Instruction;
  readonly offset: number;
}

/** A straight run of instructions; offsets count from the start of the page and may lie outside of it. */
export interface RegionBlock {
  readonly offset: number;
  readonly instructions: readonly RegionInstruction[];
  /** Where execution goes on when the last instruction does not branch. */
  readonly next: number;
  /** Target of the direct branch that ends it. */
  readonly target: number | undefined;
  readonly kind: 'next' | 'jump' | 'branch' | 'call' | 'indirect';
}

export interface Region {
  readonly blocks: readonly RegionBlock[];
  /** Offsets behind the calls in it whose target is in it too. */
  readonly returnSites: readonly number[];
}

/** A page of code as the translator sees it. */
export interface CodePageView {
  readonly bytes: Uint8Array;
  readonly codeSize: 32 | 64;
  /** The interpreter has begun a block at this offset: it has been executed. */
  executed(offset: number): boolean;
}

/** Collects the blocks that are reached from `head` by direct branches without leaving the page. */
export function formRegion(page: CodePageView, head: number, decoder: Decoder, handlers: HandlerMap, maxInstructions = MAX_INSTRUCTIONS): Region {
  const decoded = new Map<number, RegionInstruction | null>();
  const leaders = new Set([head]);
  const calls: { readonly target: number; readonly site: number }[] = [];
  const worklist = [head];
  let total = 0;
  const decode = (offset: number): RegionInstruction | null => {
    let found = decoded.get(offset);
    if (found === undefined) {
      found = decodeAt(page, offset, decoder, handlers);
      decoded.set(offset, found);
      if (found !== null) total++;
    }
    return found;
  };
  const visit = (offset: number): void => {
    if (offset < 0 || offset >= PAGE_SIZE || leaders.has(offset) || total >= maxInstructions) return;
    leaders.add(offset);
    worklist.push(offset);
  };
  for (let i = 0; i < worklist.length; i++) {
    let offset = worklist[i]!;
    for (let length = 0; length < MAX_BLOCK && total < maxInstructions; length++) {
      const found = decode(offset);
      if (found === null) break;
      offset += found.instruction.length;
      const end = endOf(found, handlers);
      if (end.kind === 'next') {
        if (length + 1 === MAX_BLOCK) visit(offset);
        continue;
      }
      if (end.kind === 'branch') {
        visit(offset);
        if (page.executed(end.target!)) visit(end.target!);
      } else if (end.kind === 'jump') visit(end.target!);
      else if (end.kind === 'call' && end.target! >= 0 && end.target! < PAGE_SIZE && page.executed(end.target!)) {
        visit(end.target!);
        calls.push({ target: end.target!, site: offset });
        if (page.executed(offset)) visit(offset);
      }
      break;
    }
  }

  const blocks: RegionBlock[] = [];
  for (const leader of worklist) {
    const instructions: RegionInstruction[] = [];
    let offset = leader;
    let kind: RegionBlock['kind'] = 'next';
    let target: number | undefined;
    while (instructions.length < MAX_BLOCK && (offset === leader || !leaders.has(offset))) {
      const found = decoded.get(offset);
      if (found === undefined || found === null) break;
      instructions.push(found);
      offset += found.instruction.length;
      ({ kind, target } = endOf(found, handlers));
      if (kind !== 'next') break;
    }
    if (instructions.length > 0) blocks.push({ offset: leader, instructions, next: offset, target, kind });
  }
  const returnSites = calls.filter(({ target, site }) => leaders.has(target) && leaders.has(site)).map(({ site }) => site).slice(0, MAX_RETURN_SITES);
  return { blocks, returnSites };
}

/** Null for what the translator leaves to the interpreter. */
function decodeAt(page: CodePageView, offset: number, decoder: Decoder, handlers: HandlerMap): RegionInstruction | null {
  if (offset < 0 || offset >= PAGE_SIZE) return null;
  const instruction = createInstruction();
  const status = decoder.decode(page.bytes, offset, Math.min(PAGE_SIZE - offset, MAX_INSTRUCTION_BYTES), page.codeSize, instruction);
  if (status !== 'ok') return null;
  const { row } = instruction;
  if (handlers.places[handlerIndexOf(instruction)] === 0) return null;
  // Near branches that cut the instruction pointer to 16 bits.
  if (page.codeSize === 32 && instruction.operandSize === 16 && (row.operands.some((operand) => operand[0] === 'J') || row.semantics === 'ret' || row.semantics === 'callev' || row.semantics === 'jmpev')) return null;
  return { instruction, offset };
}

function endOf({ instruction, offset }: RegionInstruction, handlers: HandlerMap): { kind: RegionBlock['kind']; target: number | undefined } {
  const terminates = handlers.terminates[handlers.places[handlerIndexOf(instruction)]!] !== 0;
  const direct = instruction.row.operands.some((operand) => operand[0] === 'J');
  if (direct) {
    const target = offset + instruction.length + instruction.immediate;
    return { kind: !terminates ? 'branch' : instruction.row.semantics === 'calljz' ? 'call' : 'jump', target };
  }
  return { kind: terminates ? 'indirect' : 'next', target: undefined };
}
