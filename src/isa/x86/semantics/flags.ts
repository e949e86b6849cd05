import type { Builder } from '../../../ir/builder.ts';
import type { Value } from '../../../ir/ir.ts';
import { FLAGS_CARRY, FLAGS_RESULT } from '../state/layout.ts';

/** Operand width in bits. */
export type Width = 8 | 16 | 32 | 64;

/** Condition codes in encoding order (Intel SDM 1, appendix B): O NO B NB Z NZ BE NBE S NS P NP L NL LE NLE. */
export type Condition = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 10 | 11 | 12 | 13 | 14 | 15;

/** CF and the bit below it, which gives OF, in FLAGS_CARRY. */
const CARRY_BITS = -0x4000000000000000n; // 0xc000000000000000

/**
 * Status flags as lazily kept state (state/layout.ts, FLAGS_RESULT): every instruction stores its result and its
 * carries, nothing more; conditions are computed where they are asked for. Values of 8 to 32 bits come as i32,
 * zero-extended or with garbage above the width where the comment allows it; 64-bit ones as i64.
 */
export class Flags {
  readonly #b: Builder;

  constructor(builder: Builder) {
    this.#b = builder;
  }

  /** ZF, SF, PF from a result of the given width (upper bits are ignored). */
  #storeResult(width: Width, result: Value): void {
    const b = this.#b;
    b.storeState('64', FLAGS_RESULT, b.extendS(b.signExtend(result, width)));
  }

  /** CF, OF, AF from the vector of carries out of each bit. */
  #storeCarries(width: Width, carries: Value): void {
    const b = this.#b;
    const high = width === 64 ? b.andConst(carries, CARRY_BITS | 8n)
      : b.or(b.andConst(b.shlConst(b.extendU(carries), 64 - width), CARRY_BITS), b.extendU(b.andConst(carries, 8)));
    b.storeState('64', FLAGS_CARRY, high);
  }

  /** r = x + y (+ carry in). */
  add(width: Width, x: Value, y: Value, r: Value): void {
    const b = this.#b;
    this.#storeResult(width, r);
    this.#storeCarries(width, b.or(b.and(x, y), b.and(b.or(x, y), b.not(r))));
  }
  /** r = x - y (- borrow in). */
  sub(width: Width, x: Value, y: Value, r: Value): void {
    const b = this.#b;
    this.#storeResult(width, r);
    this.#storeCarries(width, b.or(b.and(b.not(x), y), b.and(b.or(b.not(x), y), r)));
  }
  /** r = x + y + CF and r = x - y - CF: what the result alone does not tell from the operands. */
  addWithCarry(width: Width, x: Value, y: Value, r: Value): void {
    this.add(width, x, y, r);
  }
  subWithBorrow(width: Width, x: Value, y: Value, r: Value): void {
    this.sub(width, x, y, r);
  }
  /** CF and OF cleared, AF cleared (the manual leaves it undefined). */
  logic(width: Width, r: Value): void {
    this.#storeResult(width, r);
    this.#b.storeState('64', FLAGS_CARRY, this.#b.i64(0));
  }
  /** r = x + 1: as add, CF unchanged. */
  increment(width: Width, x: Value, r: Value): void {
    const b = this.#b;
    const carry = this.carry();
    const overflow = b.eq(this.#top(width, r), b.constant(b.typeOf(x), this.#minimum(width)));
    this.explicit(width, r, carry, overflow, b.eqz(b.andConst(r, 15)));
  }
  /** r = x - 1: as sub, CF unchanged. */
  decrement(width: Width, x: Value, r: Value): void {
    const b = this.#b;
    const carry = this.carry();
    const overflow = b.eq(this.#top(width, x), b.constant(b.typeOf(x), this.#minimum(width)));
    const adjust = b.eqz(b.andConst(x, 15));
    this.explicit(width, r, carry, overflow, adjust);
  }
  /** ZF, SF, PF from r; CF, OF, AF given as i32 0 or 1 (AF undefined: leave out). */
  explicit(width: Width, r: Value, carry: Value, overflow: Value, adjust?: Value): void {
    this.#storeResult(width, r);
    this.storeCarryBits(carry, overflow, adjust);
  }
  /** CF, OF, AF from i32 0 or 1; SF and PF then follow FLAGS_RESULT unmodified. */
  storeCarryBits(carry: Value, overflow: Value, adjust?: Value): void {
    const b = this.#b;
    const pair = b.or(b.shlConst(carry, 1), b.xor(carry, overflow));
    let bits = b.shlConst(b.extendU(pair), 62);
    if (adjust !== undefined) bits = b.or(bits, b.extendU(b.shlConst(adjust, 3)));
    b.storeState('64', FLAGS_CARRY, bits);
  }
  /** CF and OF only, everything else unchanged (rotates, MUL keeps the rest as it was, STC, CLC, CMC, BT). */
  setCarryOverflow(carry: Value, overflow: Value): void {
    const b = this.#b;
    const pair = b.or(b.shlConst(carry, 1), b.xor(carry, overflow));
    const rest = b.andConst(b.loadState('64', FLAGS_CARRY), ~CARRY_BITS);
    b.storeState('64', FLAGS_CARRY, b.or(rest, b.shlConst(b.extendU(pair), 62)));
  }
  /** CF only, everything else (OF included) unchanged. */
  setCarry(carry: Value): void {
    this.setCarryOverflow(carry, this.overflow());
  }
  /** All six from i32 bits as in EFLAGS: CF 0, PF 2, AF 4, ZF 6, SF 7, OF 11 (SAHF, COMISD, BCD instructions). */
  setAll(bits: Value): void {
    const b = this.#b;
    const bit = (n: number): Value => b.andConst(b.shrUConst(bits, n), 1);
    // A result of 0 gives ZF, SF = 0, PF = 1; a result of 1 gives ZF = 0, SF = 0, PF = 0: the flips correct the rest.
    const zero = bit(6);
    b.storeState('64', FLAGS_RESULT, b.extendU(b.xor(zero, b.i32(1))));
    const parityFlip = b.xor(zero, bit(2)); // PF given by the result is ZF itself
    const pair = b.or(b.shlConst(bit(0), 1), b.xor(bit(0), bit(11)));
    let carries = b.shlConst(b.extendU(pair), 62);
    carries = b.or(carries, b.shlConst(b.extendU(bit(7)), 32));
    carries = b.or(carries, b.extendU(b.or(b.shlConst(parityFlip, 8), b.shlConst(bit(4), 3))));
    b.storeState('64', FLAGS_CARRY, carries);
  }
  /** ZF, PF, CF as COMISD gives them, the others cleared: CF less, ZF equal, all three unordered (each i32, 0 or 1). */
  setCompared(less: Value, equal: Value, unordered: Value): void {
    const b = this.#b;
    this.#b.storeState('64', FLAGS_RESULT, b.extendU(b.xor(equal, b.i32(1))));
    // OF clear: both of its bits are CF. PF is ZF by the result, which is flipped where they differ.
    const carries = b.shlConst(b.extendU(b.mul(less, b.i32(3))), 62);
    b.storeState('64', FLAGS_CARRY, b.or(carries, b.extendU(b.shlConst(b.xor(equal, unordered), 8))));
  }
  /** ZF only from i32 0 or 1, the five others unchanged (LAR, LSL, VERR, CMPXCHG8B, BSF and others). */
  setZero(zero: Value): void {
    this.setAll(this.#b.or(this.#b.andConst(this.readAll(), ~0x40), this.#b.shlConst(zero, 6)));
  }
  /** All six as i32 bits of EFLAGS. */
  readAll(): Value {
    const b = this.#b;
    let bits = this.carry();
    const put = (value: Value, n: number): void => {
      bits = b.or(bits, b.shlConst(value, n));
    };
    put(this.parity(), 2);
    put(this.adjust(), 4);
    put(this.zero(), 6);
    put(this.sign(), 7);
    put(this.overflow(), 11);
    return bits;
  }

  carry(): Value {
    const b = this.#b;
    return b.wrap(b.shrUConst(b.loadState('64', FLAGS_CARRY), 63));
  }
  overflow(): Value {
    const b = this.#b;
    const carries = b.loadState('64', FLAGS_CARRY);
    return b.wrap(b.shrUConst(b.xor(carries, b.shlConst(carries, 1)), 63));
  }
  adjust(): Value {
    const b = this.#b;
    return b.andConst(b.shrUConst(b.loadState('32', FLAGS_CARRY), 3), 1);
  }
  zero(): Value {
    return this.#b.eqz(this.#b.loadState('64', FLAGS_RESULT));
  }
  sign(): Value {
    const b = this.#b;
    const sign = b.shrUConst(b.loadState('64', FLAGS_RESULT), 63);
    return b.wrap(b.andConst(b.xor(sign, b.shrUConst(b.loadState('64', FLAGS_CARRY), 32)), 1));
  }
  parity(): Value {
    const b = this.#b;
    const low = b.xor(b.loadState('32', FLAGS_RESULT), b.shrUConst(b.loadState('32', FLAGS_CARRY), 8));
    return b.xor(b.andConst(b.popcnt(b.andConst(low, 0xff)), 1), b.i32(1));
  }
  /** i32: not 0 when the condition holds. */
  condition(code: Condition): Value {
    const b = this.#b;
    const positive = ((): Value => {
      switch (code >> 1) {
        case 0: return this.overflow();
        case 1: return b.ltS(b.loadState('64', FLAGS_CARRY), b.i64(0));
        case 2: return this.zero();
        case 3: return b.or(b.ltS(b.loadState('64', FLAGS_CARRY), b.i64(0)), this.zero());
        case 4: return this.sign();
        case 5: return this.parity();
        case 6: return this.#less();
        default: return b.or(this.#less(), this.zero());
      }
    })();
    return (code & 1) === 0 ? positive : b.eqz(positive);
  }
  /** SF != OF, by the sign bit of all parts XORed. */
  #less(): Value {
    const b = this.#b;
    const carries = b.loadState('64', FLAGS_CARRY);
    const mixed = b.xor(b.xor(b.loadState('64', FLAGS_RESULT), b.shlConst(carries, 31)), b.xor(carries, b.shlConst(carries, 1)));
    return b.ltS(mixed, b.i64(0));
  }
  #top(width: Width, x: Value): Value {
    return width >= 32 ? x : this.#b.andConst(x, width === 8 ? 0xff : 0xffff);
  }
  #minimum(width: Width): bigint {
    return 1n << BigInt(width - 1);
  }
}
