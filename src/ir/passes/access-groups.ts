import type { Ir } from '../ir.ts';
import { operationNumber, operations } from '../operations.ts';

/**
 * Accesses to guest memory that one lookup of the TLB does for (DESIGN D4). The first of a group, its leader, asks for
 * all bytes from its lowest to its highest at once; the others know where those lie. What a group of accesses within one
 * page cannot have at once is looked up, and is missed, as a whole.
 */
export interface AccessGroups {
  /** By operation: the leader of the group that it belongs to, itself for leaders; -1 for all else. */
  readonly leader: Int32Array;
  /** By operation: bytes from the group's lowest address. */
  readonly offset: Float64Array;
  /** By leader: the group's lowest address is the value `base` + `low`, cut to 32 bits where `narrow`; without a base (-1) it is `low`. */
  readonly base: Int32Array;
  readonly low: Float64Array;
  readonly narrow: Uint8Array;
  /** By leader: bytes from the lowest address to behind the highest; whether some are written; the group's last operation. */
  readonly span: Int32Array;
  readonly writes: Uint8Array;
  readonly last: Int32Array;
}

/** Bytes that a group spans at most: one that lies across a page's end is missed, so the more the likelier. */
const MAX_SPAN = 64;

interface Access {
  readonly bytes: number;
  readonly writes: boolean;
}
const accesses = operations.map(({ name }): Access | undefined => {
  const [, kind, bits, write] = /^memory\.(load|store)(v128|\d+)(\.write)?$/.exec(name) ?? [];
  return kind === undefined ? undefined : { bytes: bits === 'v128' ? 16 : Number(bits) / 8, writes: kind === 'store' || write !== undefined };
});
const [CONST_I32, CONST_I64, ADD_I32, ADD_I64, SUB_I32, SUB_I64, EXTEND_U, IF, LOOP, END] = [
  'const.i32', 'const.i64', 'i32.add', 'i64.add', 'i32.sub', 'i64.sub', 'i64.extend_i32_u', 'if', 'loop', 'end',
].map(operationNumber) as [number, number, number, number, number, number, number, number, number, number];
const isCall = operations.map(({ effect }) => effect === 'call');

interface Group {
  readonly leader: number;
  low: number;
  end: number;
}

/** Finds the groups of one block; one object serves any number of blocks, one after the other. */
export class AccessGrouping implements AccessGroups {
  leader = new Int32Array(0);
  offset = new Float64Array(0);
  base = new Int32Array(0);
  low = new Float64Array(0);
  narrow = new Uint8Array(0);
  span = new Int32Array(0);
  writes = new Uint8Array(0);
  last = new Int32Array(0);
  /** Open groups by base; -1: none. Accesses at constant addresses have base -1. */
  readonly #open = new Map<number, Group[]>();
  // Of the address looked at last.
  #base = -1;
  #displacement = 0;
  #narrow = false;

  /** `ends`: whether the routine with an index may change what the TLB holds. */
  find(ir: Ir, ends: (routine: number) => boolean): this {
    if (this.leader.length < ir.length) {
      const size = ir.length * 2;
      [this.leader, this.base, this.span, this.last] = Array.from({ length: 4 }, () => new Int32Array(size)) as [Int32Array<ArrayBuffer>, Int32Array<ArrayBuffer>, Int32Array<ArrayBuffer>, Int32Array<ArrayBuffer>];
      [this.low, this.offset] = [new Float64Array(size), new Float64Array(size)];
      [this.narrow, this.writes] = [new Uint8Array(size), new Uint8Array(size)];
    }
    this.leader.fill(-1, 0, ir.length);
    this.#open.clear();
    let depth = 0;
    for (let i = 0; i < ir.length; i++) {
      const op = ir.op[i]!;
      const access = accesses[op];
      if (access !== undefined) {
        // What is behind a condition may not happen: it is no reason to ask for more.
        if (depth === 0) this.#add(ir, i, access);
      } else if (op === IF || op === LOOP) depth++;
      else if (op === END) depth--;
      else if (isCall[op] && ends(ir.small(i))) this.#open.clear();
    }
    for (let i = 0; i < ir.length; i++) if (this.leader[i]! >= 0) this.offset[i]! -= this.low[this.leader[i]!]!;
    return this;
  }

  #add(ir: Ir, i: number, { bytes, writes }: Access): void {
    this.#address(ir, ir.a[i]!);
    const at = this.#displacement;
    const groups = this.#open.get(this.#base);
    const group = groups?.find((known) => Math.max(known.end, at + bytes) - Math.min(known.low, at) <= MAX_SPAN);
    this.offset[i] = at;
    if (group === undefined) {
      const made = { leader: i, low: at, end: at + bytes };
      if (groups === undefined) this.#open.set(this.#base, [made]);
      else groups.push(made);
      this.leader[i] = i;
      this.base[i] = this.#base;
      this.low[i] = at;
      this.narrow[i] = this.#narrow ? 1 : 0;
      this.span[i] = bytes;
      this.writes[i] = writes ? 1 : 0;
      this.last[i] = i;
      return;
    }
    group.low = Math.min(group.low, at);
    group.end = Math.max(group.end, at + bytes);
    this.leader[i] = group.leader;
    this.low[group.leader] = group.low;
    this.span[group.leader] = group.end - group.low;
    this.last[group.leader] = i;
    if (writes) this.writes[group.leader] = 1;
  }

  /** Takes an address apart: a value and a displacement. */
  #address(ir: Ir, address: number): void {
    let base = address;
    let displacement = 0;
    this.#narrow = ir.op[base] === EXTEND_U;
    if (this.#narrow) base = ir.a[base]!;
    const [add, sub] = this.#narrow ? [ADD_I32, SUB_I32] : [ADD_I64, SUB_I64];
    for (;;) {
      const op = ir.op[base]!;
      if (op !== add && op !== sub) break;
      const right = ir.b[base]!;
      if ((ir.op[right] !== CONST_I32 && ir.op[right] !== CONST_I64) || !ir.isSmall(right)) break;
      const sum = op === add ? displacement + ir.small(right) : displacement - ir.small(right);
      // In 32 bits it wraps as the address does.
      if (!this.#narrow && sum !== (sum | 0)) break;
      displacement = sum | 0;
      base = ir.a[base]!;
    }
    this.#base = base;
    this.#displacement = displacement;
    const constant = ir.op[address] === CONST_I64 ? Number(ir.immediate[address]!) : NaN;
    if (Number.isSafeInteger(constant)) {
      this.#base = -1;
      this.#displacement = constant;
    }
  }
}
