import type { Builder } from '../../../ir/builder.ts';
import type { Value, Variable } from '../../../ir/ir.ts';
import { CR0, SEGMENTS, SEGMENT_BYTES, SEG_CS, SEG_SELECTOR, X87, X87_CONTROL, X87_IP, X87_IP_SELECTOR, X87_STATUS, X87_TAGS } from '../state/layout.ts';
import type { Context } from './context.ts';

// The register stack over several instructions of a block. How TOP and tags change is known when the code is made, so one
// question where a run of x87 instructions begins does for all of it: neither #NM nor #MF is due, the control word is the
// everyday one as far as it counts, all registers that the run takes from are in use and all that it pushes to are empty.
// While the answer is yes every instruction that is not in doubt about its operands is done without a routine that asks
// again. The state is complete behind each: nothing has to be written back when a region is left.
//
// With these exceptions masked a routine that is called in a run for the sake of its operands leaves TOP and tags where a
// quick instruction does (SDM 1, 8.5), so the run goes on behind it. Where the answer is no, all of the run are routines.

const [USED, EMPTY] = [0, 3];
const C1 = 0x200;
const TOP_FIELD = 0x3800;
const PRECISION_EXCEPTION = 0x20;
const CONDITION_CODES = 0x4500;
/** From a register's offset to TOP in the status word, and to twice its number. */
const [OFFSET_TO_TOP, OFFSET_TO_TAG] = [7, 3];
const LAST_OFFSET = 0x70;

/** What of the control word has to be as FNINIT leaves it. */
export const ANY_CONTROL = 0;
export const MASKED = 0x3f;
export const ROUNDS_TO_NEAREST = MASKED | 0xc00;
export const ROUNDS_TO_64_BITS = ROUNDS_TO_NEAREST | 0x300;
const INITIAL_CONTROL = 0x33f;

/** An instruction, by what it asks of the stack and does to it. */
export interface StackEffect {
  /** ST(i) that it takes from, replaces or pops, by their numbers before it. */
  readonly uses?: readonly number[];
  readonly pushes?: boolean;
  readonly pops?: number;
  /** ANY_CONTROL to ROUNDS_TO_64_BITS. */
  readonly control?: number;
}

/** How it is done quickly. */
export interface QuickWay {
  /**
   * Makes the result: PE and C1 as the rounding leaves them, or -1 when it is for the routine to decide, which it is where
   * `holds` is 0, and nothing has been written. Without it the instruction is never in doubt.
   */
  readonly compute?: (holds: Value) => Value;
  /** `compute` gives C3, C2 and C0. */
  readonly compares?: boolean;
  /** Stores that end it; guest memory first. */
  readonly store?: () => void;
}

interface Run {
  /** 1 while quick instructions may run. */
  readonly holds: Value;
  /** The status word without TOP and C1. */
  readonly status: Variable;
  /** Constants that are known when the run is over: what the tags have to be, and which bits of tags and control word count. */
  readonly tagsWanted: Value;
  readonly tagsMask: Value;
  readonly controlMask: Value;
  /** The tag word as it is after the last instruction. */
  tags: Value;
  /** ST0, counted from the register that it was where the run began. */
  top: number;
  /** By register, counted likewise: its tag, as far as it is known; its offset. */
  readonly known: (number | undefined)[];
  readonly offsets: (Value | undefined)[];
  wanted: number;
  mask: number;
  control: number;
  /** FCS is that of this code. */
  selectorNoted: boolean;
}

export class X87Stack {
  readonly #b: Builder;
  #run: Run | undefined;
  /** Its own stores and calls are being built. */
  #own = false;

  constructor(b: Builder) {
    this.#b = b;
  }

  get own(): boolean {
    return this.#own;
  }

  /** Somebody else may change registers, tags, status or control word, or CR0. */
  end(): void {
    const run = this.#run;
    if (run === undefined || this.#own) return;
    const { immediate } = this.#b.ir;
    immediate[run.tagsWanted] = BigInt(run.wanted);
    immediate[run.tagsMask] = BigInt(run.mask);
    immediate[run.controlMask] = BigInt(run.control);
    this.#run = undefined;
  }

  #start(): Run {
    const b = this.#b;
    const status = b.loadState('16u', X87_STATUS);
    const top = b.andConst(b.shrUConst(status, OFFSET_TO_TOP), LAST_OFFSET);
    const tags = b.loadState('16u', X87_TAGS);
    // Moved so that ST0's are the lowest.
    const moved = b.shrU(b.mul(tags, b.i32(0x10001)), b.shrUConst(top, OFFSET_TO_TAG));
    // Neither 0 nor all ones, with which there would be nothing to be done.
    const [tagsWanted, tagsMask, controlMask] = [b.i32(1), b.i32(1), b.i32(1)];
    const blocked = b.or(b.andConst(b.loadState('32', CR0), 12), b.andConst(status, 0x80));
    const control = b.and(b.xor(b.loadState('16u', X87_CONTROL), b.i32(INITIAL_CONTROL)), controlMask);
    const holds = b.eqz(b.or(b.or(blocked, control), b.and(b.xor(moved, tagsWanted), tagsMask)));
    const plain = b.variable('i32');
    b.set(plain, b.andConst(status, ~(TOP_FIELD | C1)));
    return { holds, status: plain, tagsWanted, tagsMask, controlMask, tags, top: 0, known: [], offsets: [top], wanted: 0, mask: 0, control: 0, selectorNoted: false };
  }

  /** Byte offset of ST(i) from X87; of the register that will be ST0 for -1. Not within a condition. */
  offset(i: number): Value {
    const run = this.#run!;
    const number = (run.top + i) & 7;
    return (run.offsets[number] ??= this.#b.andConst(this.#b.addConst(run.offsets[0]!, number << 4), LAST_OFFSET));
  }
  significand(offset: Value): Value {
    return this.#b.op('state.load64.at', [offset], X87);
  }
  /** Sign and exponent. */
  exponent(offset: Value): Value {
    return this.#b.op('state.load16u.at', [offset], X87 + 8);
  }
  write(offset: Value, significand: Value, exponent: Value): void {
    this.#b.op('state.store64.at', [offset, significand], X87);
    this.writeExponent(offset, exponent);
  }
  writeExponent(offset: Value, exponent: Value): void {
    this.#b.op('state.store16.at', [offset, exponent], X87 + 8);
  }

  /** Goes on with the run or begins one; false when the instruction asks for what cannot be. */
  #prepare({ uses = [], pushes = false, control = ANY_CONTROL }: StackEffect): boolean {
    const wanted: (readonly [number, number])[] = uses.map((i) => [i, USED]);
    if (pushes) wanted.push([-1, EMPTY]);
    const fits = (run: Run): boolean => wanted.every(([i, tag]) => (run.known[(run.top + i) & 7] ?? tag) === tag);
    if (this.#run !== undefined && !fits(this.#run)) this.end();
    const run = (this.#run ??= this.#start());
    for (const [i, tag] of wanted) {
      const number = (run.top + i) & 7;
      // FLD ST(7) asks for a register that is in use and empty.
      if (run.known[number] !== undefined && run.known[number] !== tag) return false;
      if (run.known[number] !== undefined) continue;
      run.known[number] = tag;
      run.mask |= 3 << (number * 2);
      run.wanted |= tag << (number * 2);
    }
    run.control |= control;
    return true;
  }

  /** An instruction: quickly, or by its routine. `quick` is told the stack as it is before. */
  perform(x: Context, effect: StackEffect, quick: () => QuickWay, routine: () => void): void {
    if (this.#prepare(effect)) this.#build(x, effect, quick(), routine);
    else routine();
  }
  #build(x: Context, { pushes = false, pops = 0 }: StackEffect, { compute, compares = false, store }: QuickWay, routine: () => void): void {
    const b = this.#b;
    const run = this.#run!;
    let { tags } = run;
    const change = (number: number, tag: number): void => {
      // From one to the other.
      tags = b.xor(tags, b.shl(b.i32(EMPTY), b.shrUConst(this.offset(number - run.top), OFFSET_TO_TAG)));
      run.known[number] = tag;
    };
    if (pushes) change((run.top + 7) & 7, USED);
    for (let i = 0; i < pops; i++) change((run.top + i) & 7, EMPTY);
    const moved = (pushes ? 7 : 0) + pops;
    const top = b.shlConst(this.offset(moved), OFFSET_TO_TOP);
    this.#own = true;
    const commit = (condition?: Value): void => {
      store?.();
      const status = b.or(b.get(run.status), top);
      b.storeState('16', X87_STATUS, condition === undefined ? status : b.or(status, condition));
      if (tags !== run.tags) b.storeState('16', X87_TAGS, tags);
      const ip = x.currentIp();
      b.storeState('64', X87_IP, x.long ? ip : b.andConst(ip, 0xffffffff));
      if (!run.selectorNoted) b.storeState('16', X87_IP_SELECTOR, b.loadState('16u', SEGMENTS + SEG_CS * SEGMENT_BYTES + SEG_SELECTOR));
    };
    if (compute === undefined) b.if(b.eqz(run.holds), routine, () => commit(), true);
    else {
      const found = compute(run.holds);
      b.if(b.ltS(found, b.i32(0)), () => {
        routine();
        b.set(run.status, b.andConst(b.loadState('16u', X87_STATUS), ~(TOP_FIELD | C1)));
      }, () => {
        if (compares) b.set(run.status, b.or(b.andConst(b.get(run.status), ~CONDITION_CODES), found));
        else b.set(run.status, b.or(b.get(run.status), b.andConst(found, PRECISION_EXCEPTION)));
        commit(compares ? undefined : found);
      }, true);
    }
    this.#own = false;
    run.tags = tags;
    run.top = (run.top + moved) & 7;
    run.selectorNoted = true;
  }
}
