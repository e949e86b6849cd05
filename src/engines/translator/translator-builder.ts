import { Builder } from '../../ir/builder.ts';
import type { Ir, Value } from '../../ir/ir.ts';
import { CONST_4G, FLAGS_CARRY, FLAGS_RESULT, IP_BASE, SEGMENTS, SEGMENT_BYTES, SEG_BASE, STACK_MASK, ZERO } from '../../isa/x86/state/layout.ts';
import { UNKNOWN } from './flag-state.ts';
import type { FlagState } from './flag-state.ts';
import { constantOf, foldNumeric, reinterpretedTwice, withConstant, zeroExtended } from './fold.ts';
import { KnownVectors } from './known-vectors.ts';
import { FLAGS_MASK, FLAG_A, FLAG_B, IP_PAGE, variableTypes } from './variables.ts';

const GENERAL_END = 128;

/** What a region may take for granted; checked whenever it is entered. */
export interface Assumptions {
  /** 64-bit code; else 32-bit. */
  readonly long: boolean;
  /** 32-bit code with FLAT_SEGMENTS. */
  readonly flat: boolean;
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
  readonly #vectors = new KnownVectors(this, (suffix, offset) => super.op(`state.load${suffix}`, [], offset));
  /** Values and checks that hold until a routine may have changed what they are made of. */
  #lasting = new Map<string, Value | undefined>();
  /** What the flag variables mean here, as far as that is known when the code is made. */
  flags: FlagState = UNKNOWN;
  /** Variables read or written, written (bit masks). */
  touched = 0;
  written = 0;

  constructor(ir: Ir, assumptions: Assumptions) {
    super(ir);
    this.#long = assumptions.long;
    this.#flat = assumptions.flat;
    for (const type of variableTypes(assumptions.long)) this.variable(type);
  }

  getVariable(number: number): Value {
    let value = this.#known[number];
    if (value === undefined) {
      value = super.op(`variable.get.${this.ir.variables[number]!}`, [], number);
      this.#known[number] = value;
      this.touched |= 1 << number;
    }
    return value;
  }
  setVariable(number: number, value: Value): void {
    super.op(`variable.set.${this.ir.variables[number]!}`, [value], number);
    this.#known[number] = value;
    this.touched |= 1 << number;
    this.written |= 1 << number;
  }
  /** Takes FLAGS_RESULT and FLAGS_CARRY, which settleFlags has just written. */
  fetchSettledFlags(): void {
    this.setVariable(FLAG_A, super.op('state.load64', [], FLAGS_RESULT));
    this.setVariable(FLAG_B, super.op('state.load64', [], FLAGS_CARRY));
  }
  /** All variables may have changed: a routine has been at the state. */
  forget(): void {
    this.#known = [];
    this.forgetState();
  }
  /** Vector registers, MXCSR and the like may have changed. */
  forgetState(): void {
    this.#vectors.forget();
    this.#lasting.clear();
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

  override op(name: string, args: readonly Value[] = [], immediate: bigint | number = 0n): Value {
    if (name.startsWith('state.')) {
      const found = this.#state(name, args, immediate);
      if (found !== undefined) return found;
      return super.op(name, args, immediate);
    }
    if (args.length === 0) return super.op(name, args, immediate);
    const number = reinterpretedTwice(this.ir, name, args[0]!);
    if (number !== undefined) return number;
    const folded = foldNumeric(this.ir, name, args);
    if (folded !== undefined) return 'value' in folded ? folded.value : name.startsWith('i64') && !/eq|ne|lt|gt|le|ge/.test(name) ? this.i64(folded.constant) : this.i32(Number(folded.constant));
    return this.#combine(name, args) ?? super.op(name, args, immediate);
  }

  /** (x + c) + d and (x & c) & d. */
  #combine(name: string, args: readonly Value[]): Value | undefined {
    const operation = name === 'i64.add' || name === 'i32.add' ? 'add' : name === 'i64.and' || name === 'i32.and' ? 'and' : undefined;
    if (operation === undefined) {
      if (name !== 'i64.extend32_s') return undefined;
      const narrow = zeroExtended(this.ir, args[0]!);
      return narrow === undefined ? undefined : this.extendS(narrow);
    }
    const outer = constantOf(this.ir, args[1]!);
    if (outer === undefined) return undefined;
    const inner = withConstant(this.ir, args[0]!, operation);
    if (inner === undefined) return undefined;
    return operation === 'add' ? this.addConst(inner.x, inner.constant + outer) : this.andConst(inner.x, inner.constant & outer);
  }

  /** State operations on what is a variable or a constant here; undefined for the rest. */
  #state(name: string, args: readonly Value[], immediate: bigint | number): Value | undefined {
    let offset = Number(immediate);
    let rest = args;
    if (name.endsWith('.at')) {
      const constant = constantOf(this.ir, args[0]!);
      if (constant === undefined) {
        if (!name.startsWith('state.load')) this.#vectors.forget();
        return undefined;
      }
      offset += Number(constant);
      rest = args.slice(1);
    }
    const load = name.startsWith('state.load');
    const suffix = name.slice(load ? 10 : 11).replace('.at', '');
    if (offset < GENERAL_END) return load ? this.#loadPart(offset, suffix) : this.#storePart(offset, suffix, rest[0]!);
    if (offset === FLAGS_RESULT || offset === FLAGS_CARRY) {
      const number = offset === FLAGS_RESULT ? FLAG_A : FLAG_B;
      if (!load) {
        this.setVariable(number, rest[0]!);
        return rest[0]!;
      }
      const value = this.getVariable(number);
      return suffix === '32' ? this.wrap(value) : value;
    }
    if (load) {
      const constant = this.#constantState(offset);
      if (constant !== undefined) return suffix === '64' ? this.i64(constant) : this.i32(Number(BigInt.asIntN(32, constant)));
      if (offset === IP_BASE) return suffix === '64' ? this.getVariable(IP_PAGE) : this.wrap(this.getVariable(IP_PAGE));
    }
    if (KnownVectors.covers(offset)) {
      if (!load) this.#vectors.store(suffix, offset, rest[0]!);
      else {
        const known = this.#vectors.load(suffix, offset);
        if (known !== undefined) return known;
      }
    }
    if (name.endsWith('.at')) return super.op(name.slice(0, -3), rest, offset);
    return undefined;
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

  override if(condition: Value, then: () => void, otherwise?: () => void): void {
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
    }, otherwise);
    this.#vectors.join(vectors, vectorsThen);
    const lastingElse = this.#lasting;
    this.#lasting = new Map([...lasting].filter(([name]) => lastingThen.has(name) && lastingElse.has(name)));
    this.flags = this.flags === flagsThen ? flagsThen : UNKNOWN;
    const afterElse = this.#known;
    this.#known = before.map((value, i) => (known[i] === value && afterElse[i] === value ? value : undefined));
  }

  override loop(body: () => Value): void {
    this.forget();
    this.flags = UNKNOWN;
    super.loop(body);
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
    this.touched |= FLAGS_MASK;
    this.flags = flags;
  }
}
