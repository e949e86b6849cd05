import { PAGE_SIZE } from '../../base/addresses.ts';
import { Locals } from '../../lowering/lower.ts';
import type { LoweredRoutine, Lowering, LoweringTarget, MissExit } from '../../lowering/lower.ts';
import {
  BUDGET, CODE_EPOCH, FLAGS_CARRY, FLAGS_KIND, FLAGS_RESULT, FLAT_SEGMENTS, IP_BASE, JUMP_BASE, JUMP_RECORD, LEAVE_BUDGET, LEAVE_NEXT, POSITION_RECORD, RECORD, RIP, TLB_BASE,
} from '../../isa/x86/state/layout.ts';
import { KIND_RAW } from '../../isa/x86/state/flag-kinds.ts';
import { REC_PAGE_OFFSET, REC_ADDRESSING } from '../../isa/x86/decode/record.ts';
import type { AccessGrouping } from '../../ir/passes/access-groups.ts';
import { eraseDeadStores } from '../../ir/passes/dead-stores.ts';
import { routines } from '../../isa/x86/routines/directory.ts';
import { LinkableCode, loadOpcode, storeOpcode } from '../../wasm/code.ts';
import type { Code } from '../../wasm/code.ts';
import { jumpCacheEntry } from '../jump-cache.ts';
import { callEffects } from '../routine-calls.ts';
import { x86MemoryModel } from '../x86-memory-model.ts';
import { PLACE_MASK, PLACE_STACK_SHIFT, buildBlockIr } from './block-ir.ts';
import type { BlockIr } from './block-ir.ts';
import { UNKNOWN } from './flag-state.ts';
import type { FlagState } from './flag-state.ts';
import type { InlinedCall, Region } from './region.ts';
import { INTERPRET, JUMP, LEFT, MISSED, SETTLE_FLAGS, regionCode } from './region-code.ts';
import type { RegionCode } from './region-code.ts';
import { mayChangeTranslations } from './routine-effects.ts';
import { structureOf } from './structure.ts';
import type { Structure } from './structure.ts';
import type { Scratch } from './scratch.ts';
import type { Assumptions } from './translator-builder.ts';
import { CONDITION, FLAGS_MASK, FLAG_A, FLAG_B, FLAG_KIND, IP_PAGE, TARGET, variableTypes } from './variables.ts';

const CPU = 0;
const REC = 1;
const I32 = 0x7f;
const I64 = 0x7e;
const EXIT = -1;
/** Where an access is: offset << this | instructions of its block before it (at most MAX_BLOCK). */
const MISS_OFFSET_SHIFT = 6;

const SEEN_AT_EXITS = { variables: FLAGS_MASK, registerBytes: 128 };

/** Routines as calls in the IR number them. */
const lowered: LoweredRoutine[] = [];

export interface RegionFunction {
  readonly code: RegionCode;
  readonly instructions: number;
  /** By block of the region: offset behind the last instruction that is part of it; undefined when nothing leads to the block. */
  readonly ends: readonly (number | undefined)[];
}

/** Where a block's control goes: block numbers or EXIT. */
interface Edges {
  readonly taken: number;
  readonly next: number;
  /** Targets of an indirect jump that are looked for; offsets count from the start of the block's own page. */
  readonly returns: readonly { readonly offset: number; readonly block: number }[];
}

/**
 * One function (cpu, record) -> LEAVE_ code for a region; it has the interpreter handler's type and place. All vCPUs of a machine can run it:
 * what is a vCPU's own it is told by parameters and by globals of its instance.
 */
export function buildRegionFunction(region: Region, assumptions: Assumptions, scratch: Scratch): RegionFunction {
  return new RegionWriter(region, assumptions, scratch).write();
}

class RegionWriter implements LoweringTarget {
  readonly memory = x86MemoryModel;
  readonly #lowering: Lowering;
  readonly #grouping: AccessGrouping;
  readonly #assumptions: Assumptions;
  readonly #code = new LinkableCode();
  readonly #locals = new Locals();
  readonly #variables: number[];
  readonly #budget: number;
  readonly #tlb: number;
  readonly #epoch: number;
  /** Offset of the direct branch's target, by block. */
  readonly #targets: readonly number[];
  readonly #blocks: BlockIr[];
  readonly #edges: Edges[];
  readonly #region: Region;
  /** By block: how far its page is from the region's own, in bytes. */
  readonly #distances: readonly number[];
  /** By block: those that its edges lead to. */
  readonly #successors: readonly (readonly number[])[];
  readonly #structure: Structure;
  /** By block: flags in the state may be out of date at its start. */
  readonly #flagsDirty: Uint8Array;
  /** Variables that are looked at somewhere; those of them that count at the entry (bit masks). */
  readonly #read: number;
  readonly #entering: number;
  readonly #writes: boolean;
  readonly #loopLabel = new Map<number, number>();
  readonly #blockLabel = new Map<number, number>();
  #exitLabel = 0;
  #jumpLabel = 0;
  #staleLabel = 0;
  #missLabel = 0;
  // While a block is lowered.
  #block!: BlockIr;
  #place = 0;
  #spilled = false;
  /** Where a call goes, and its entry in the jump cache; taken when first needed. */
  #callLocals: readonly [number, number] | undefined;

  constructor(region: Region, assumptions: Assumptions, scratch: Scratch) {
    scratch.release();
    this.#lowering = scratch.lowering;
    this.#grouping = scratch.grouping;
    this.#assumptions = assumptions;
    this.#variables = variableTypes(assumptions.long).map((type) => this.#locals.take(type));
    [this.#budget, this.#tlb, this.#epoch] = [0, 0, 0].map(() => this.#locals.take('i32')) as [number, number, number];
    this.#region = region;
    this.#targets = region.blocks.map((block) => block.target ?? 0);
    this.#distances = region.blocks.map(({ inlined }) => (inlined === 0 ? 0 : distanceOf(region.calls[inlined - 1]!)));
    const key = (inlined: number, offset: number): number => inlined * PAGE_SIZE + offset;
    const number = new Map(region.blocks.map(({ inlined, offset }, i) => [key(inlined, offset), i]));
    const find = (inlined: number, offset: number | undefined): number => (offset === undefined || offset < 0 || offset >= PAGE_SIZE ? EXIT : number.get(key(inlined, offset)) ?? EXIT);

    const edgesOf = (i: number): Edges => {
      const { inlined, kind, target, guesses, next } = region.blocks[i]!;
      const towards = (to: number | undefined): number => {
        const own = inlined === 0 && kind !== 'next' && kind !== 'branch' ? region.calls.findIndex(({ from, callee }) => from === next && callee.at === to) : -1;
        return own < 0 ? find(inlined, to) : find(own + 1, region.calls[own]!.callee.offset);
      };
      let sites: { readonly offset: number; readonly block: number }[] = [];
      if (kind === 'indirect') {
        const call = region.calls[inlined - 1];
        if (guesses.length > 0) sites = guesses.map((offset) => ({ offset, block: towards(offset) }));
        else if (call === undefined) sites = region.returnSites.map((offset) => ({ offset, block: find(0, offset) }));
        else if (call.returns) sites = [{ offset: call.from - this.#distances[i]!, block: find(0, call.from) }];
      }
      return {
        taken: kind === 'indirect' ? EXIT : towards(target),
        next: kind === 'next' || kind === 'branch' ? find(inlined, next) : EXIT,
        returns: sites.filter(({ block }) => block !== EXIT),
      };
    };
    // Flags flow along forward edges; where a loop closes, or from different instructions, nothing is known of them.
    const planned = region.blocks.map((_, i) => edgesOf(i));
    const plannedSuccessors = planned.map(listOf);
    const sketch = structureOf(plannedSuccessors);
    const ins = new Map<number, FlagState>([[0, UNKNOWN]]);
    this.#blocks = [];
    for (const i of sketch.nodes) {
      const built = buildBlockIr(region.blocks[i]!, assumptions, ins.get(i) ?? UNKNOWN, scratch.ir());
      this.#blocks[i] = built;
      for (const to of plannedSuccessors[i]!) {
        const known = ins.get(to);
        ins.set(to, sketch.isLoopHeader[to] !== 0 || (known !== undefined && known !== built.flags) ? UNKNOWN : built.flags);
      }
    }
    // What was built decides: a block may have been cut short.
    const edges = planned.map((plan, i): Edges => {
      const built = this.#blocks[i];
      if (built === undefined || built.ending === 'left') return { taken: EXIT, next: EXIT, returns: [] };
      return without(sketch, i, built.ending === 'indirect' ? plan : { ...plan, returns: [] });
    });
    // Mostly nothing was: of edges none is new, so as many are the same.
    const successors = edges.map(listOf);
    const asPlanned = sketch.nodes.every((i) => successors[i]!.length === plannedSuccessors[i]!.length);
    this.#structure = asPlanned ? sketch : structureOf(successors);
    this.#edges = asPlanned ? edges : edges.map((plan, i) => without(this.#structure, i, plan));
    this.#successors = asPlanned ? successors : this.#edges.map(listOf);
    this.#read = this.#structure.nodes.reduce((read, i) => read | this.#blocks[i]!.read, 0);
    this.#writes = this.#structure.nodes.some((i) => this.#blocks[i]!.writes);
    this.#flagsDirty = this.#flow();
    this.#entering = this.#live();
  }

  /** Whether any way that leads to each block has written flags. */
  #flow(): Uint8Array {
    const dirty = new Uint8Array(this.#blocks.length);
    for (let changed = true; changed; ) {
      changed = false;
      for (const i of this.#structure.nodes) {
        if (dirty[i] === 0 && (this.#blocks[i]!.written & FLAGS_MASK) === 0) continue;
        for (const to of this.#successors[i]!) {
          if (dirty[to] !== 0) continue;
          dirty[to] = 1;
          changed = true;
        }
      }
    }
    return dirty;
  }
  /** Variables whose value at the region's entry may be looked at. */
  #live(): number {
    const live = new Int32Array(this.#blocks.length);
    const { nodes } = this.#structure;
    for (let changed = true; changed; ) {
      changed = false;
      for (let k = nodes.length - 1; k >= 0; k--) {
        const i = nodes[k]!;
        const { entering, killed } = this.#blocks[i]!;
        let out = 0;
        for (const to of this.#successors[i]!) out |= live[to]!;
        const into = entering | (out & ~killed);
        if (into === live[i]) continue;
        live[i] = into;
        changed = true;
      }
    }
    return live[0]!;
  }

  write(): RegionFunction {
    const code = this.#code;
    this.#enter();
    code.block(I32);
    this.#exitLabel = code.depth;
    code.block(I64);
    this.#jumpLabel = code.depth;
    code.block(I32);
    this.#staleLabel = code.depth;
    code.block(I32);
    this.#missLabel = code.depth;
    this.#tree(0);
    code.byte(0x00).end();
    // At an instruction with an access that is not in the TLB: nothing of it has happened.
    const position = this.#locals.take('i32');
    code.set(position).get(this.#budget).get(position).i32Const((1 << MISS_OFFSET_SHIFT) - 1).byte(0x71).byte(0x6b).set(this.#budget);
    this.#handOn(true, UNKNOWN);
    code.get(CPU).get(this.#variables[IP_PAGE]!).get(position).i32Const(MISS_OFFSET_SHIFT).byte(0x75).byte(0xac).byte(0x7c);
    if (!this.#assumptions.long) code.i64Const(0xffffffffn).byte(0x83);
    code.returnCall(MISSED).end();
    // Behind an instruction that overwrote code; its position is on the stack.
    code.set(position).get(CPU).get(CPU).i32Const(POSITION_RECORD).byte(0x6a).memory(storeOpcode['32']!, RECORD);
    code.get(CPU).get(position).memory(storeOpcode['32']!, POSITION_RECORD + REC_PAGE_OFFSET);
    code.i32Const(LEAVE_NEXT).br(this.#exitLabel).end();
    // To an address that is hardly ever gone to; it is on the stack.
    const address = this.#locals.take('i64');
    code.set(address);
    this.#handOn(true, UNKNOWN);
    code.get(CPU).get(address).returnCall(JUMP).end();
    // Out, with a code for the driver.
    this.#writeBack();
    const instructions = this.#structure.nodes.reduce((sum, i) => sum + this.#blocks[i]!.places.length, 0);
    const reached = new Set(this.#structure.nodes);
    return { code: regionCode(this.#locals.types, code), instructions, ends: this.#region.blocks.map((_, i) => (reached.has(i) ? this.#blocks[i]!.next : undefined)) };
  }

  #enter(): void {
    const code = this.#code;
    if (this.#assumptions.flat) {
      code.get(CPU).memory(loadOpcode['32']!, FLAT_SEGMENTS).byte(0x45).if(undefined, 'unlikely');
      code.get(CPU).get(REC).returnCall(INTERPRET).end();
    }
    code.get(CPU).memory(loadOpcode['64']!, IP_BASE).set(this.#variables[IP_PAGE]!);
    if (this.#writes) code.get(CPU).memory(loadOpcode['32']!, CODE_EPOCH).set(this.#epoch);
    this.#fetch(this.#entering);
    code.get(CPU).memory(loadOpcode['32']!, FLAGS_KIND).set(this.#variables[FLAG_KIND]!);
    this.#count(0, 1);
  }
  /** Adds to one of the region's counters, when a profile is made. */
  #count(offset: number, amount: number): void {
    const { counters } = this.#assumptions;
    if (counters === undefined) return;
    this.#code.i32Const(counters).i32Const(counters).memory(loadOpcode['64']!, offset).i64Const(BigInt(amount)).byte(0x7c).memory(storeOpcode['64']!, offset);
  }
  /** Locals from the state: at the entry and behind routines that look at registers, those in `mask`. */
  #fetch(mask: number): void {
    const code = this.#code;
    const load = this.#assumptions.long ? loadOpcode['64']! : loadOpcode['32']!;
    code.get(CPU).memory(loadOpcode['32']!, TLB_BASE).set(this.#tlb);
    code.get(CPU).memory(loadOpcode['32']!, BUDGET).set(this.#budget);
    for (let n = 0; n < 16; n++) {
      if ((mask & (1 << n)) !== 0) code.get(CPU).memory(load, n * 8).set(this.#variables[n]!);
    }
    code.get(CPU).memory(loadOpcode['64']!, FLAGS_RESULT).set(this.#variables[FLAG_A]!);
    code.get(CPU).memory(loadOpcode['64']!, FLAGS_CARRY).set(this.#variables[FLAG_B]!);
  }
  /** Budget and flags into the state, which has the registers; flags settled, as everybody but a region wants them. */
  #writeBack(): void {
    this.#storeBudget();
    const [kind, a, b] = [FLAG_KIND, FLAG_A, FLAG_B].map((n) => this.#variables[n]!) as [number, number, number];
    this.#code.get(CPU).get(kind).get(a).get(b).call(SETTLE_FLAGS);
  }
  /** The same on the way to another block, which may be a region. `dirty`: flags may have been written. */
  #handOn(dirty: boolean, flags: FlagState): void {
    const code = this.#code;
    this.#storeBudget();
    if (!dirty) return;
    code.get(CPU).get(this.#variables[FLAG_A]!).memory(storeOpcode['64']!, FLAGS_RESULT);
    code.get(CPU).get(this.#variables[FLAG_B]!).memory(storeOpcode['64']!, FLAGS_CARRY);
    code.get(CPU);
    if (flags.operation === 'raw' || flags.operation === 'logic') code.i32Const(KIND_RAW);
    else code.get(this.#variables[FLAG_KIND]!);
    code.memory(storeOpcode['32']!, FLAGS_KIND);
  }
  #storeBudget(): void {
    this.#code.get(CPU).get(this.#budget).memory(storeOpcode['32']!, BUDGET);
  }

  /** A block with everything that it dominates. */
  #tree(i: number): void {
    const code = this.#code;
    const loop = this.#structure.isLoopHeader[i] !== 0;
    if (loop) {
      code.loop();
      this.#loopLabel.set(i, code.depth);
    }
    const joins = this.#structure.joins[i]!;
    for (let k = joins.length - 1; k >= 0; k--) {
      code.block();
      this.#blockLabel.set(joins[k]!, code.depth);
    }
    this.#body(i);
    for (const join of joins) {
      code.end();
      this.#tree(join);
    }
    if (loop) code.end();
  }

  #body(i: number): void {
    const code = this.#code;
    const block = this.#blocks[i]!;
    this.#block = block;
    this.#spilled = false;
    const groups = this.#grouping.find(block.ir, mayChangeTranslations);
    eraseDeadStores(block.ir, groups, SEEN_AT_EXITS);
    this.#lowering.run(code, this.#locals, block.ir, this, this.#variables, groups);
    code.get(this.#budget).i32Const(block.places.length).byte(0x6b).set(this.#budget);
    this.#count(8, block.places.length);
    const edges = this.#edges[i]!;
    switch (block.ending) {
      case 'left':
        code.byte(0x00);
        return;
      case 'next':
        this.#edge(i, edges.next, block.next);
        return;
      case 'jump': {
        this.#edge(i, edges.taken, this.#targets[i]!);
        return;
      }
      case 'branch':
        code.get(this.#variables[CONDITION]!).if();
        if (edges.taken === EXIT) {
          this.#address(this.#targets[i]!);
          code.br(this.#jumpLabel);
        } else this.#edge(i, edges.taken, this.#targets[i]!);
        code.end();
        this.#edge(i, edges.next, block.next);
        return;
      case 'indirect':
        for (const site of edges.returns) {
          code.get(this.#variables[TARGET]!);
          this.#address(site.offset);
          code.byte(0x51).if();
          this.#edge(i, site.block, site.offset);
          code.end();
        }
        this.#handOn(this.#flagsDirtyOut(i), block.flags);
        code.get(CPU).get(this.#variables[TARGET]!).returnCall(JUMP);
        return;
    }
  }
  #flagsDirtyOut(i: number): boolean {
    return this.#flagsDirty[i] !== 0 || (this.#blocks[i]!.written & FLAGS_MASK) !== 0;
  }
  /** Puts the address of an offset from the page's start on the stack. */
  #address(offset: number): void {
    this.#code.get(this.#variables[IP_PAGE]!).i64Const(BigInt(offset)).byte(0x7c);
    if (!this.#assumptions.long) this.#code.i64Const(0xffffffffn).byte(0x83);
  }
  #jump(i: number, offset: number): void {
    this.#handOn(this.#flagsDirtyOut(i), this.#blocks[i]!.flags);
    this.#code.get(CPU);
    this.#address(offset);
    this.#code.returnCall(JUMP);
  }

  /** `offset`: of the address to go to, from the start of the page of `from`. */
  #edge(from: number, to: number, offset: number): void {
    const code = this.#code;
    if (to === EXIT) {
      this.#jump(from, offset);
      return;
    }
    const distance = this.#distances[to]! - this.#distances[from]!;
    if (distance !== 0) {
      const { inlined } = this.#region.blocks[to]!;
      if (inlined !== 0) this.#verify(offset, inlined - 1);
      this.#address(distance);
      code.set(this.#variables[IP_PAGE]!);
      code.get(CPU).get(this.#variables[IP_PAGE]!).memory(storeOpcode['64']!, IP_BASE);
      offset -= distance;
    }
    if (this.#structure.order[to]! <= this.#structure.order[from]!) {
      code.get(this.#budget).i32Const(0).byte(0x48).if(undefined, 'unlikely');
      this.#writeBack();
      code.get(CPU);
      this.#address(offset);
      code.memory(storeOpcode['64']!, RIP).i32Const(LEAVE_BUDGET).return().end();
      code.br(this.#loopLabel.get(to)!);
    } else if (this.#structure.isJoin[to] !== 0) code.br(this.#blockLabel.get(to)!);
    else this.#tree(to);
  }

  /** Leaves for an address unless its block is still that of the call's record, which the jump cache says. */
  #verify(offset: number, call: number): void {
    const code = this.#code;
    const [address, entry] = (this.#callLocals ??= [this.#locals.take('i64'), this.#locals.take('i32')]);
    this.#address(offset);
    code.set(address).get(CPU).memory(loadOpcode['32']!, JUMP_BASE);
    jumpCacheEntry(code, address).tee(entry);
    code.memory(loadOpcode['64']!, 0).get(address).byte(0x52);
    code.get(entry).memory(loadOpcode['32']!, JUMP_RECORD);
    code.globalGet(call).byte(0x47).byte(0x72);
    code.if(undefined, 'unlikely').get(address).br(this.#jumpLabel).end();
  }

  // What lowering asks for.
  lowered(routine: number): LoweredRoutine {
    return (lowered[routine] ??= { ...callEffects(routines[routine]!.routine), functionIndex: routine });
  }
  readonly miss: MissExit = {
    kind: 'exit',
    before: (code) => {
      const offset = this.#block.places[this.#place]! & 0xffff;
      code.i32Const((offset << MISS_OFFSET_SHIFT) | this.#place);
    },
    leaveIf: (code) => void code.brIf(this.#missLabel, 'unlikely').byte(0x1a),
  };
  storePosition(code: Code): void {
    code.get(CPU).get(CPU).i32Const(POSITION_RECORD).byte(0x6a).memory(storeOpcode['32']!, RECORD);
    const place = this.#block.places[this.#place]!;
    code.get(CPU).i32Const(place & PLACE_MASK).memory(storeOpcode['32']!, POSITION_RECORD + REC_PAGE_OFFSET);
    code.get(CPU).i32Const((place & ~PLACE_MASK) >>> PLACE_STACK_SHIFT).memory(storeOpcode['8']!, POSITION_RECORD + REC_ADDRESSING);
  }
  linked(_code: Code, place: number): void {
    this.#code.linkedConst(place);
  }
  field(): void {
    throw new Error('translated code has no record');
  }
  tlbBase(code: Code): void {
    code.get(this.#tlb);
  }
  cpu(code: Code): void {
    code.get(CPU);
  }
  /** Leaves 1 on the stack when code has been overwritten since the region was entered. */
  #isStale(): Code {
    return this.#code.get(CPU).memory(loadOpcode['32']!, CODE_EPOCH).get(this.#epoch).byte(0x47);
  }
  leave(code: Code): void {
    // A routine that looks at registers has left them in the state.
    if (this.#spilled) code.get(CPU).returnCall(LEFT);
    else code.br(this.#exitLabel);
  }
  transfer(code: Code, name: string, immediate: number): void {
    switch (name) {
      case 'position':
        this.#place = immediate;
        return;
      case 'spill':
        this.#writeBack();
        this.#spilled = true;
        return;
      case 'reload':
        this.#fetch(this.#read);
        code.i32Const(KIND_RAW).set(this.#variables[FLAG_KIND]!);
        this.#spilled = false;
        return;
      case 'leave.stale':
        this.#isStale().if(undefined, 'unlikely').i32Const(this.#block.places[this.#place]! & PLACE_MASK).br(this.#staleLabel).end();
        return;
      default:
        throw new Error(`translated code has no ${name}`);
    }
  }
}

/** From the region's page to that of a function in another one. */
function distanceOf({ callee }: InlinedCall): number {
  return callee.at - callee.offset;
}

/** Cut edges leave the region. */
function without(structure: Structure, from: number, edges: Edges): Edges {
  const keep = (to: number): number => (to !== EXIT && !structure.isCut(from, to) ? to : EXIT);
  return { taken: keep(edges.taken), next: keep(edges.next), returns: edges.returns.filter((site) => keep(site.block) !== EXIT) };
}

function listOf({ taken, next, returns }: Edges): number[] {
  const list: number[] = [];
  if (taken !== EXIT) list.push(taken);
  if (next !== EXIT && next !== taken) list.push(next);
  for (const { block } of returns) if (!list.includes(block)) list.push(block);
  return list;
}
