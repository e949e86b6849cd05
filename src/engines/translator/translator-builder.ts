import { Builder, LOAD_STATE } from '../../ir/builder.ts';
import type { Callee } from '../../ir/builder.ts';
import type { Ir, Value, Variable } from '../../ir/ir.ts';
import { operationNumber, operations } from '../../ir/operations.ts';
import { routines } from '../../isa/x86/routines/directory.ts';
import { CONST_4G, CR0, FLAGS_CARRY, FLAGS_RESULT, IP_BASE, SEGMENTS, SEGMENT_BYTES, SEG_BASE, STACK_MASK, X87, X87_IP, ZERO } from '../../isa/x86/state/layout.ts';
import { X87Stack } from '../../isa/x86/semantics/x87-stack.ts';
import { UNKNOWN } from './flag-state.ts';
import type { FlagState } from './flag-state.ts';
import { constantOf, fold } from './fold.ts';
import { KnownVectors } from './known-vectors.ts';
import { FLAG_A, FLAG_B, IP_PAGE, variableTypes } from './variables.ts';

const GENERAL = 16;
const GENERAL_END = 128;

interface StateOperation {
  readonly load: boolean;
  /** The first operand is added to the offset. */
  readonly at: boolean;
  readonly suffix: string;
  /** The same operation without that operand. */
  readonly plain: number;
}
const stateOperations = operations.map(({ name }): StateOperation | undefined => {
  const [, kind, suffix, at] = /^state\.(load|store)(\w+)(\.at)?$/.exec(name) ?? [];
  return kind === undefined ? undefined : { load: kind === 'load', at: at !== undefined, suffix: suffix!, plain: operationNumber(`state.${kind}${suffix}`) };
});

const STORE_64 = operationNumber('state.store64');
const POSITION = operationNumber('position');
/** By operation: the state has to have all registers, for the region may end there. */
const mayEnd = operations.map(({ effect }, code) => effect.endsWith('-memory') || effect === 'control' || (effect === 'transfer' && code !== POSITION));

/** What a region may take for granted; checked whenever it is entered. */
export interface Assumptions {
  /** 64-bit code; else 32-bit. */
  readonly long: boolean;
  /** 32-bit code with FLAT_SEGMENTS. */
  readonly flat: boolean;
  /** Address of the region's counters (engines/profile), when a profile is made. */
  readonly counters?: number | undefined;
}

/**
 * Builds the IR of one block of a region: general registers and status flags are variables, parts of registers are
 * masked out of whole ones, constants are folded. The value that a variable is known to have is used in its place.
 */
export class TranslatorBuilder extends Builder {
  readonly #long: boolean;
  readonly #flat: boolean;
  /** By variable: the value it has here. */
  #known: (Value | undefined)[] = [];
  readonly #vectors = new KnownVectors(this, (suffix, offset) => this.#loadState(suffix, offset));
  /** Values and checks that hold until a routine may have changed what they are made of. */
  #lasting = new Map<string, Value | undefined>();
  readonly x87 = new X87Stack(this);
  /** What the flag variables mean here, as far as that is known when the code is made. */
  flags: FlagState = UNKNOWN;
  /** Variables whose value at the start of the block or behind a routine counts; those that count at the start (bit masks). */
  read = 0;
  entering = 0;
  /** Written here or there; certain to be overwritten. */
  written = 0;
  killed = 0;
  /** General registers that the state does not have yet. */
  #unsaved = 0;
  /** Conditions and loops that are open here. */
  #depth = 0;

  constructor(ir: Ir, assumptions: Assumptions) {
    super(ir);
    this.#long = assumptions.long;
    this.#flat = assumptions.flat;
    for (const type of variableTypes(assumptions.long)) this.variable(type);
  }

  getVariable(number: number): Value {
    let value = this.#known[number];
    if (value === undefined) {
      value = super.get(number as Variable);
      this.#known[number] = value;
      this.read |= 1 << number;
      this.entering |= (1 << number) & ~this.killed;
    }
    return value;
  }
  setVariable(number: number, value: Value): void {
    super.set(number as Variable, value);
    this.#known[number] = value;
    this.written |= 1 << number;
    if (this.#depth === 0) this.killed |= 1 << number;
    if (number >= GENERAL) return;
    this.#unsaved |= 1 << number;
    if (this.#depth > 0) this.save();
  }
  /** General registers are stored as soon as somebody may look at the state: what ends a region has nothing left to do. */
  save(): void {
    for (let rest = this.#unsaved; rest !== 0; rest &= rest - 1) {
      const number = 31 - Math.clz32(rest & -rest);
      const value = this.#known[number]!;
      super.emit(STORE_64, this.#long ? value : this.extendU(value), undefined, undefined, number * 8);
    }
    this.#unsaved = 0;
  }
  /** From the state itself, whatever is known of it. */
  #loadState(suffix: string, offset: number): Value {
    return super.emit(LOAD_STATE[suffix]!, undefined, undefined, undefined, offset);
  }
  /** Takes FLAGS_RESULT and FLAGS_CARRY, which settleFlags has just written. */
  fetchSettledFlags(): void {
    this.setVariable(FLAG_A, this.#loadState('64', FLAGS_RESULT));
    this.setVariable(FLAG_B, this.#loadState('64', FLAGS_CARRY));
  }
  /** All variables may have changed: a routine has been at the state. */
  forget(): void {
    this.#known = [];
    this.forgetState();
  }
  /** Vector registers, MXCSR and the like may have changed. */
  forgetState(): void {
    this.x87.end();
    this.#vectors.forget();
    this.#lasting.clear();
  }
  /** What is built here need not happen. */
  get isConditional(): boolean {
    return this.#depth > 0;
  }
  /** Builds a value that holds until `forgetState`, once. */
  lasting(name: string, build: () => Value): Value {
    let value = this.#lasting.get(name);
    if (value === undefined) this.#lasting.set(name, value = build());
    return value;
  }
  /** Builds a check that need not be made again until `forgetState`. */
  checkOnce(name: string, check: () => void): void {
    if (this.#lasting.has(name)) return;
    check();
    this.#lasting.set(name, undefined);
  }

  override call(callee: Callee, args: readonly Value[]): Value {
    const { kind } = routines[callee.index]!.routine;
    if (kind !== 'pure' && kind !== 'state') this.save();
    return super.call(callee, args);
  }
  protected override emit(code: number, x?: Value, y?: Value, z?: Value, immediate = 0): Value {
    if (mayEnd[code]!) this.save();
    const state = stateOperations[code];
    if (state !== undefined) return this.#state(state, code, x, y, immediate);
    if (x === undefined) return super.emit(code, x, y, z, immediate);
    return fold(this, code, x, y) ?? super.emit(code, x, y, z, immediate);
  }

  /** What is a variable or a constant here does not come from the state. */
  #state({ load, at, suffix, plain }: StateOperation, code: number, x: Value | undefined, y: Value | undefined, immediate: number): Value {
    let offset = immediate;
    if (at) {
      const constant = constantOf(this.ir, x!);
      if (constant === undefined) {
        if (!load && !this.x87.own) this.forgetState();
        return super.emit(code, x, y, undefined, immediate);
      }
      offset += Number(constant);
    }
    const value = at ? y : x;
    if (!load && (offset === CR0 || (offset >= X87 && offset < X87_IP))) this.x87.end();
    if (offset < GENERAL_END) return load ? this.#loadPart(offset, suffix) : this.#storePart(offset, suffix, value!);
    if (offset === FLAGS_RESULT || offset === FLAGS_CARRY) {
      const number = offset === FLAGS_RESULT ? FLAG_A : FLAG_B;
      if (!load) {
        this.setVariable(number, value!);
        return value!;
      }
      const flags = this.getVariable(number);
      return suffix === '32' ? this.wrap(flags) : flags;
    }
    if (load) {
      const constant = this.#constantState(offset);
      if (constant !== undefined) return suffix === '64' ? this.i64(constant) : this.i32(Number(BigInt.asIntN(32, constant)));
      if (offset === IP_BASE) return suffix === '64' ? this.getVariable(IP_PAGE) : this.wrap(this.getVariable(IP_PAGE));
    }
    if (KnownVectors.covers(offset)) {
      if (!load) this.#vectors.store(suffix, offset, value!);
      else {
        const known = this.#vectors.load(suffix, offset);
        if (known !== undefined) return known;
      }
    }
    return super.emit(plain, value, undefined, undefined, offset);
  }

  #constantState(offset: number): bigint | undefined {
    if (offset === ZERO) return 0n;
    if (offset === CONST_4G) return 0x100000000n;
    if (!this.#flat) return undefined;
    if (offset === STACK_MASK) return -1n;
    const segment = (offset - SEGMENTS) / SEGMENT_BYTES;
    return segment >= 0 && segment < 4 && (offset - SEGMENTS) % SEGMENT_BYTES === SEG_BASE ? 0n : undefined;
  }

  #loadPart(offset: number, suffix: string): Value {
    const part = offset & 7;
    const whole = this.getVariable(offset >> 3);
    if (suffix === '64') return this.extendU(whole);
    if (suffix === 'f64' || suffix === 'f32' || part > 3) throw new Error(`no register part ${suffix} at ${offset}`);
    const low = this.wrap(whole);
    const shifted = part === 0 ? low : this.shrUConst(low, part * 8);
    switch (suffix) {
      case '32': return shifted;
      case '16u': return this.andConst(shifted, 0xffff);
      case '8u': return this.andConst(shifted, 0xff);
      case '16s': return this.signExtend(shifted, 16);
      case '8s': return this.signExtend(shifted, 8);
      default: throw new Error(`no register part ${suffix}`);
    }
  }

  #storePart(offset: number, suffix: string, value: Value): Value {
    const number = offset >> 3;
    const bits = Number(suffix);
    const whole = this.#long ? 64 : 32;
    const wide = this.#long ? this.extendU(value) : this.wrap(value);
    if (bits >= whole) {
      this.setVariable(number, wide);
      return value;
    }
    const shift = (offset & 7) * 8;
    const mask = ((1n << BigInt(bits)) - 1n) << BigInt(shift);
    const kept = this.andConst(this.getVariable(number), ~mask);
    const part = this.shlConst(this.andConst(wide, (1n << BigInt(bits)) - 1n), shift);
    this.setVariable(number, this.or(kept, part));
    return value;
  }

  override if(condition: Value, then: () => void, otherwise?: () => void, seldom = false): void {
    const constant = constantOf(this.ir, condition);
    if (constant !== undefined) {
      if (constant !== 0n) then();
      else otherwise?.();
      return;
    }
    const before = this.#known.slice();
    const vectors = this.#vectors.save();
    const lasting = new Map(this.#lasting);
    let vectorsThen = vectors;
    let lastingThen = lasting;
    const flags = this.flags;
    this.#depth++;
    let known = before;
    let flagsThen = flags;
    super.if(condition, () => {
      then();
      known = this.#known;
      flagsThen = this.flags;
      vectorsThen = this.#vectors.save();
      lastingThen = this.#lasting;
      this.#known = before.slice();
      this.flags = flags;
      this.#vectors.restore(vectors);
      this.#lasting = new Map(lasting);
    }, otherwise, seldom);
    this.#depth--;
    this.#vectors.join(vectors, vectorsThen);
    const lastingElse = this.#lasting;
    this.#lasting = new Map([...lasting].filter(([name]) => lastingThen.has(name) && lastingElse.has(name)));
    this.flags = this.flags === flagsThen ? flagsThen : UNKNOWN;
    const afterElse = this.#known;
    this.#known = before.map((value, i) => (known[i] === value && afterElse[i] === value ? value : undefined));
  }

  override loop(body: () => Value): void {
    this.save();
    this.forget();
    this.flags = UNKNOWN;
    this.#depth++;
    super.loop(body);
    this.#depth--;
    this.forget();
    this.flags = UNKNOWN;
  }

  /** Around a routine that looks at registers or changes them. */
  spill(): void {
    super.op('spill');
  }
  reload(flags: FlagState): void {
    super.op('reload');
    this.forget();
    if (this.#depth === 0) this.killed = -1;
    this.flags = flags;
  }
}
