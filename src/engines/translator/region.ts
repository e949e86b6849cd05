import { PAGE_SIZE } from '../../base/addresses.ts';
import type { Decoder } from '../../isa/x86/decode/decoder.ts';
import { createInstruction, isDirectBranch } from '../../isa/x86/decode/instruction.ts';
import type { Instruction } from '../../isa/x86/decode/instruction.ts';
import { ENDS_BLOCK, handlerIndexOf } from '../modules.ts';
import type { HandlerMap } from '../modules.ts';

/** Bounds of one region: the optimising compiler's time grows faster than a function's size (DESIGN D3). */
const MAX_INSTRUCTIONS = 400;
const MAX_BLOCK = 48;
/** Return addresses that a RET looks for inside the region. */
const MAX_RETURN_SITES = 8;
const MAX_INSTRUCTION_BYTES = 15;
/** Instructions of a function of another page that is called without leaving the region. */
const MAX_INLINED = 32;
/** Of all those together to which one indirect call goes. */
const MAX_GUESSED = 64;

export interface RegionInstruction {
  readonly instruction: Instruction;
  readonly offset: number;
}

/** A straight run of instructions; offsets count from the start of its page, and where it goes may lie outside of that. */
export interface RegionBlock {
  readonly offset: number;
  /** 0: in the region's own page; else the number of the call, from 1, whose function it is part of. */
  readonly inlined: number;
  readonly instructions: readonly RegionInstruction[];
  /** Where execution goes on when the last instruction does not branch. */
  readonly next: number;
  /** Target of the direct branch that ends it. */
  readonly target: number | undefined;
  /** Where the indirect call that ends it may go. */
  readonly guesses: readonly number[];
  readonly kind: 'next' | 'jump' | 'branch' | 'call' | 'indirect';
}

/** A call of, or jump to, a small function in another page that the region has in itself. */
export interface InlinedCall {
  readonly callee: Callee;
  /** Offset in the region's page behind the call or jump. */
  readonly from: number;
  /** A call: the function comes back to there. */
  readonly returns: boolean;
}

export interface Region {
  readonly blocks: readonly RegionBlock[];
  /** Offsets behind the calls in it whose target is in its page and in it too. */
  readonly returnSites: readonly number[];
  /** By `inlined` - 1. */
  readonly calls: readonly InlinedCall[];
}

/** A small function in another page, as it was found when its caller had become hot. */
export interface Callee {
  /** Its first instruction, counted from the start of the caller's page as addresses go. */
  readonly at: number;
  /** Its page (counted from the start of RAM), offset there, and record of its first block. */
  readonly page: number;
  readonly offset: number;
  readonly record: number;
  /** The first bytes of it, and offsets in its page where blocks have begun that were executed. */
  readonly bytes: Uint8Array;
  readonly executed: readonly number[];
}

/** A page of code as the translator sees it. */
export interface CodePageView {
  readonly bytes: Uint8Array;
  readonly codeSize: 32 | 64;
  /** The interpreter has begun a block at this offset: it has been executed. */
  executed(offset: number): boolean;
  readonly callees?: readonly Callee[];
  readonly guesses?: Guesses | undefined;
}

/** Where indirect calls have gone, by the offset behind them: offsets of targets, counted as addresses go. They are verified at each call. */
export type Guesses = ReadonlyMap<number, readonly number[]>;

/** Part of a page that a region's code comes from. */
interface Piece {
  readonly bytes: Uint8Array;
  /** Offset in the page of the first and behind the last of them. */
  readonly start: number;
  readonly end: number;
  readonly executed: (offset: number) => boolean;
  readonly guesses: Guesses;
}
const NO_GUESSES: Guesses = new Map();
const NO_TARGETS: readonly number[] = [];

/** Collects the blocks that are reached from `head` by direct branches without leaving the page, and the small functions that they call. */
export function formRegion(page: CodePageView, head: number, decoder: Decoder, handlers: HandlerMap, maxInstructions = MAX_INSTRUCTIONS): Region {
  const own: Piece = { bytes: page.bytes, start: 0, end: PAGE_SIZE, executed: page.executed, guesses: page.guesses ?? NO_GUESSES };
  const { codeSize } = page;
  const first = walk(own, head, codeSize, decoder, handlers, maxInstructions, page.callees ?? []);
  const blocks: RegionBlock[] = [];
  for (const leader of first.leaders) addBlock(blocks, first, leader, 0, handlers);
  first.calls.forEach(({ walked }, i) => {
    for (const leader of walked.leaders) addBlock(blocks, walked, leader, i + 1, handlers);
  });
  const returnSites = first.local.filter(({ target, site }) => first.leaders.has(target) && first.leaders.has(site)).map(({ site }) => site).slice(0, MAX_RETURN_SITES);
  return { blocks, returnSites, calls: first.calls };
}

interface Walked {
  /** Offsets where blocks begin, in the order in which they were found. */
  readonly leaders: ReadonlySet<number>;
  readonly decoded: ReadonlyMap<number, RegionInstruction | null>;
  /** Calls within the piece. */
  readonly local: readonly { readonly target: number; readonly site: number }[];
  readonly calls: readonly (InlinedCall & { readonly walked: Walked })[];
  /** Instructions, those of inlined functions too. */
  readonly total: number;
  /** There is a way to a near return. */
  readonly returns: boolean;
  readonly guesses: Guesses;
}

function walk(piece: Piece, head: number, codeSize: 32 | 64, decoder: Decoder, handlers: HandlerMap, maxInstructions: number, callees: readonly Callee[]): Walked {
  const decoded = new Map<number, RegionInstruction | null>();
  const leaders = new Set([head]);
  const local: { readonly target: number; readonly site: number }[] = [];
  const calls: (InlinedCall & { readonly walked: Walked })[] = [];
  const worklist = [head];
  let total = 0;
  let returns = false;
  const decode = (offset: number): RegionInstruction | null => {
    let found = decoded.get(offset);
    if (found === undefined) {
      found = decodeAt(piece, codeSize, offset, decoder, handlers);
      decoded.set(offset, found);
      if (found !== null) total++;
    }
    return found;
  };
  const isInside = (offset: number): boolean => offset >= piece.start && offset < piece.end;
  const visit = (offset: number): void => {
    if (!isInside(offset) || leaders.has(offset) || total >= maxInstructions) return;
    leaders.add(offset);
    worklist.push(offset);
  };
  /** Returns how many instructions that takes. */
  const inline = (target: number, from: number, returns: boolean, most = MAX_INLINED): number => {
    const callee = callees.find(({ at }) => at === target);
    if (callee === undefined || (returns && !piece.executed(from)) || calls.some((call) => call.from === from && call.callee === callee)) return 0;
    const { offset, bytes, executed } = callee;
    const walked = walk({ bytes, start: offset, end: offset + bytes.length, executed: (at) => executed.includes(at), guesses: NO_GUESSES }, offset, codeSize, decoder, handlers, MAX_INLINED + 1, []);
    if (!walked.returns || walked.total > most || total + walked.total > maxInstructions) return 0;
    total += walked.total;
    calls.push({ callee, from, returns, walked });
    if (returns) visit(from);
    return walked.total;
  };
  const callHere = (target: number, site: number): void => {
    if (!piece.executed(target)) return;
    visit(target);
    local.push({ target, site });
    if (piece.executed(site)) visit(site);
  };
  for (let i = 0; i < worklist.length; i++) {
    let offset = worklist[i]!;
    for (let length = 0; length < MAX_BLOCK && total < maxInstructions; length++) {
      const found = decode(offset);
      if (found === null) break;
      offset += found.instruction.length;
      const end = endOf(found, handlers, piece.guesses);
      if (end.kind === 'next') {
        if (length + 1 === MAX_BLOCK) visit(offset);
        continue;
      }
      const { target } = end;
      if (target === undefined) {
        returns ||= found.instruction.row.semantics === 'ret';
        let room = MAX_GUESSED;
        for (const guess of end.guesses) {
          if (isInside(guess)) callHere(guess, offset);
          else room -= inline(guess, offset, true, Math.min(MAX_INLINED, room));
        }
      } else if (end.kind === 'branch') {
        visit(offset);
        if (piece.executed(target)) visit(target);
      } else if (!isInside(target)) inline(target, offset, end.kind === 'call');
      else if (end.kind === 'jump') visit(target);
      else callHere(target, offset);
      break;
    }
  }
  return { leaders, decoded, local, calls, total, returns, guesses: piece.guesses };
}

function addBlock(blocks: RegionBlock[], { leaders, decoded, guesses }: Walked, leader: number, inlined: number, handlers: HandlerMap): void {
  const instructions: RegionInstruction[] = [];
  let offset = leader;
  let kind: RegionBlock['kind'] = 'next';
  let target: number | undefined;
  let guessed = NO_TARGETS;
  while (instructions.length < MAX_BLOCK && (offset === leader || !leaders.has(offset))) {
    const found = decoded.get(offset);
    if (found === undefined || found === null) break;
    instructions.push(found);
    offset += found.instruction.length;
    ({ kind, target, guesses: guessed } = endOf(found, handlers, guesses));
    if (kind !== 'next') break;
  }
  if (instructions.length > 0) blocks.push({ offset: leader, inlined, instructions, next: offset, target, guesses: guessed, kind });
}

/** Null for what the translator leaves to the interpreter. */
function decodeAt({ bytes, start, end }: Piece, codeSize: 32 | 64, offset: number, decoder: Decoder, handlers: HandlerMap): RegionInstruction | null {
  if (offset < start || offset >= end) return null;
  const instruction = createInstruction();
  const status = decoder.decode(bytes, offset - start, Math.min(end - offset, MAX_INSTRUCTION_BYTES), codeSize, instruction);
  if (status !== 'ok') return null;
  const { row } = instruction;
  if (handlers.places[handlerIndexOf(instruction)] === 0) return null;
  // Near branches that cut the instruction pointer to 16 bits.
  if (codeSize === 32 && instruction.operandSize === 16 && (isDirectBranch(instruction) || row.semantics === 'ret' || row.semantics === 'callev' || row.semantics === 'jmpev')) return null;
  return { instruction, offset };
}

function endOf({ instruction, offset }: RegionInstruction, handlers: HandlerMap, guesses: Guesses): Pick<RegionBlock, 'kind' | 'target' | 'guesses'> {
  const terminates = (handlers.traits[handlers.places[handlerIndexOf(instruction)]!]! & ENDS_BLOCK) !== 0;
  const direct = isDirectBranch(instruction);
  if (direct) {
    const target = offset + instruction.length + instruction.immediate;
    return { kind: !terminates ? 'branch' : instruction.row.semantics === 'calljz' ? 'call' : 'jump', target, guesses: NO_TARGETS };
  }
  return terminates ? { kind: 'indirect', target: undefined, guesses: guesses.get(offset + instruction.length) ?? NO_TARGETS } : { kind: 'next', target: undefined, guesses: NO_TARGETS };
}
