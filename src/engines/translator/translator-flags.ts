import type { Value } from '../../ir/ir.ts';
import { Flags } from '../../isa/x86/semantics/flags.ts';
import type { Condition, Width } from '../../isa/x86/semantics/flags.ts';
import { KIND_ADD, KIND_DEC, KIND_INC, KIND_RAW, KIND_SUB } from '../../isa/x86/state/flag-kinds.ts';
import type { RoutineDirectory } from '../../isa/x86/semantics/context.ts';
import { LOGIC, RAW, flagState } from './flag-state.ts';
import type { TranslatorBuilder } from './translator-builder.ts';
import { FLAG_A, FLAG_B, FLAG_KIND } from './variables.ts';

const kindBase = { sub: KIND_SUB, add: KIND_ADD, inc: KIND_INC, dec: KIND_DEC } as const;

/**
 * Flags as the operands of the instruction that made them, so that a comparison and the branch behind it become one, and
 * flags that nobody reads cost nothing. The base class works on FLAGS_RESULT and FLAGS_CARRY, which the
 * builder maps to the same two variables: right while their state is raw.
 */
export class TranslatorFlags extends Flags {
  readonly #b: TranslatorBuilder;
  readonly #routines: RoutineDirectory;

  constructor(builder: TranslatorBuilder, routines: RoutineDirectory) {
    super(builder);
    this.#b = builder;
    this.#routines = routines;
  }

  #remember(operation: 'sub' | 'add' | 'inc' | 'dec', width: Width, x: Value, y: Value): void {
    const b = this.#b;
    b.setVariable(FLAG_A, b.extendU(x));
    b.setVariable(FLAG_B, b.extendU(y));
    b.setVariable(FLAG_KIND, b.i32(kindBase[operation] + Math.log2(width / 8)));
    b.flags = flagState(operation, width);
  }
  /** The value's own bits only. */
  #cut(width: Width, x: Value): Value {
    return width >= 32 ? x : this.#b.andConst(x, width === 8 ? 0xff : 0xffff);
  }

  override add(width: Width, x: Value, y: Value): void {
    this.#remember('add', width, this.#cut(width, x), this.#cut(width, y));
  }
  override sub(width: Width, x: Value, y: Value): void {
    this.#remember('sub', width, this.#cut(width, x), this.#cut(width, y));
  }
  override addWithCarry(width: Width, x: Value, y: Value, r: Value): void {
    this.#willBeRaw();
    super.add(width, x, y, r);
  }
  override subWithBorrow(width: Width, x: Value, y: Value, r: Value): void {
    this.#willBeRaw();
    super.sub(width, x, y, r);
  }
  override logic(width: Width, r: Value): void {
    this.#willBeRaw();
    super.logic(width, r);
    this.#b.flags = LOGIC;
  }
  override increment(width: Width, _x: Value, r: Value): void {
    this.#remember('inc', width, this.#cut(width, r), this.carry());
  }
  override decrement(width: Width, _x: Value, r: Value): void {
    this.#remember('dec', width, this.#cut(width, r), this.carry());
  }
  override storeCarryBits(carry: Value, overflow: Value, adjust?: Value): void {
    this.#willBeRaw();
    super.storeCarryBits(carry, overflow, adjust);
  }
  override setCarryOverflow(carry: Value, overflow: Value): void {
    this.toRaw();
    super.setCarryOverflow(carry, overflow);
    this.#b.flags = RAW;
  }
  override setAll(bits: Value): void {
    this.#willBeRaw();
    super.setAll(bits);
  }
  override setCompared(less: Value, equal: Value, unordered: Value): void {
    this.#willBeRaw();
    super.setCompared(less, equal, unordered);
  }
  override explicit(width: Width, r: Value, carry: Value, overflow: Value, adjust?: Value): void {
    this.#willBeRaw();
    super.explicit(width, r, carry, overflow, adjust);
  }

  /** Both values are about to be replaced. */
  #willBeRaw(): void {
    const b = this.#b;
    if (b.flags !== RAW && b.flags !== LOGIC) b.setVariable(FLAG_KIND, b.i32(KIND_RAW));
    b.flags = RAW;
  }

  /** Gives the variables the state's own form. */
  toRaw(): void {
    const b = this.#b;
    const { operation, width } = b.flags;
    switch (operation) {
      case 'raw':
      case 'logic':
        return;
      case 'unknown':
        b.call(this.#routines.find('settleFlags').callee, [b.getVariable(FLAG_KIND), b.getVariable(FLAG_A), b.getVariable(FLAG_B)]);
        b.fetchSettledFlags();
        break;
      case 'sub':
      case 'add': {
        const [x, y, r] = [this.#first(), this.#second(), this.#result()];
        if (operation === 'sub') super.sub(width, x, y, r);
        else super.add(width, x, y, r);
        break;
      }
      case 'inc':
      case 'dec': {
        const [r, carry, overflow, adjust] = [this.#first(), this.carry(), this.overflow(), this.adjust()];
        super.explicit(width, r, carry, overflow, adjust);
        break;
      }
    }
    b.setVariable(FLAG_KIND, b.i32(KIND_RAW));
    b.flags = RAW;
  }

  #narrow(value: Value): Value {
    return this.#b.flags.width === 64 ? value : this.#b.wrap(value);
  }
  #first(): Value { return this.#narrow(this.#b.getVariable(FLAG_A)); }
  #second(): Value { return this.#narrow(this.#b.getVariable(FLAG_B)); }
  /** The result, with anything above its width for additions and subtractions. */
  #result(): Value {
    const { operation } = this.#b.flags;
    if (operation === 'sub') return this.#b.sub(this.#first(), this.#second());
    return operation === 'add' ? this.#b.add(this.#first(), this.#second()) : this.#first();
  }
  #signed(x: Value): Value {
    return this.#b.signExtend(x, this.#b.flags.width);
  }
  #isNegative(x: Value): Value {
    const b = this.#b;
    return b.ltS(this.#signed(x), b.constant(b.typeOf(x), 0));
  }
  #equals(x: Value, constant: bigint): Value {
    return this.#b.eq(x, this.#b.constant(this.#b.typeOf(x), constant));
  }
  /** How the flags were made, raw when that is not known. */
  #operation(): 'raw' | 'logic' | 'sub' | 'add' | 'inc' | 'dec' {
    if (this.#b.flags.operation === 'unknown') this.toRaw();
    return this.#b.flags.operation as 'raw';
  }

  override carry(): Value {
    const b = this.#b;
    switch (this.#operation() as string) {
      case 'logic': return b.i32(0);
      case 'sub': return b.ltU(this.#first(), this.#second());
      case 'add': return b.ltU(this.#cut(b.flags.width, this.#result()), this.#first());
      case 'inc': case 'dec': return b.wrap(b.getVariable(FLAG_B));
      default: return super.carry();
    }
  }
  override zero(): Value {
    const b = this.#b;
    switch (this.#operation() as string) {
      case 'sub': return b.eq(this.#first(), this.#second());
      case 'add': case 'inc': case 'dec': return b.eqz(this.#cut(b.flags.width, this.#result()));
      default: return super.zero();
    }
  }
  override sign(): Value {
    switch (this.#operation() as string) {
      case 'logic': return this.#b.ltS(this.#b.getVariable(FLAG_A), this.#b.i64(0));
      case 'raw': return super.sign();
      default: return this.#isNegative(this.#result());
    }
  }
  override overflow(): Value {
    const b = this.#b;
    const top = 1n << BigInt(b.flags.width - 1);
    switch (this.#operation() as string) {
      case 'logic': return b.i32(0);
      case 'sub': return this.#isNegative(b.and(b.xor(this.#first(), this.#second()), b.xor(this.#first(), this.#result())));
      case 'add': return this.#isNegative(b.and(b.xor(this.#first(), this.#result()), b.xor(this.#second(), this.#result())));
      case 'inc': return this.#equals(this.#first(), b.flags.width >= 32 ? BigInt.asIntN(b.flags.width, top) : top);
      case 'dec': return this.#equals(this.#first(), top - 1n);
      default: return super.overflow();
    }
  }
  override adjust(): Value {
    const b = this.#b;
    const nibble = (x: Value): Value => b.andConst(b.wrap(x), 15);
    switch (this.#operation() as string) {
      case 'logic': return b.i32(0);
      case 'sub': return b.ltU(nibble(this.#first()), nibble(this.#second()));
      case 'add': return b.ltU(nibble(this.#result()), nibble(this.#first()));
      case 'inc': return b.eqz(nibble(this.#first()));
      case 'dec': return b.eq(nibble(this.#first()), b.i32(15));
      default: return super.adjust();
    }
  }
  override parity(): Value {
    const b = this.#b;
    switch (this.#operation() as string) {
      case 'raw': return super.parity();
      case 'logic': return b.eqz(b.andConst(b.popcnt(b.andConst(b.wrap(b.getVariable(FLAG_A)), 0xff)), 1));
      default: return b.eqz(b.andConst(b.popcnt(b.andConst(b.wrap(this.#result()), 0xff)), 1));
    }
  }

  override condition(code: Condition): Value {
    const b = this.#b;
    const operation = this.#operation() as string;
    const positive = ((): Value | undefined => {
      switch (code >> 1) {
        case 0: return this.overflow();
        case 1: return operation === 'raw' ? undefined : this.carry();
        case 2: return this.zero();
        case 3: return operation === 'sub' ? b.leU(this.#first(), this.#second()) : operation === 'raw' ? undefined : b.or(this.carry(), this.zero());
        case 4: return this.sign();
        case 5: return this.parity();
        case 6:
          if (operation === 'sub') return b.ltS(this.#signed(this.#first()), this.#signed(this.#second()));
          return operation === 'logic' ? this.sign() : operation === 'raw' ? undefined : b.xor(this.sign(), this.overflow());
        default:
          if (operation === 'sub') return b.leS(this.#signed(this.#first()), this.#signed(this.#second()));
          if (operation === 'logic') return b.leS(b.getVariable(FLAG_A), b.i64(0));
          return operation === 'raw' ? undefined : b.or(b.xor(this.sign(), this.overflow()), this.zero());
      }
    })();
    if (positive === undefined) return super.condition(code);
    return (code & 1) === 0 ? positive : b.eqz(positive);
  }
}
