import type { Value } from '../../../ir/ir.ts';
import type { Context, SemanticsTable } from './context.ts';
import type { Width } from './flags.ts';

// Shifts, rotates, bit tests and bit scans. A count of zero changes no flag; OF for counts above 1 is undefined in the
// manual and is computed here as processors do for 1.

/** Count operand masked to 5 or 6 bits, as i32. */
function count(x: Context, width: Width, operand: number): Value {
  const raw = x.has(operand) ? x.read(operand, 8) : x.b.i32(1);
  return x.b.andConst(raw, width === 64 ? 63 : 31);
}

function sized(x: Context, width: Width, value: Value): Value {
  return width === 64 ? x.b.extendU(value) : value;
}

/** Bit n of a value as i32. */
function bit(x: Context, value: Value, n: Value): Value {
  const { b } = x;
  return b.wrap(b.andConst(b.shrU(value, n), 1));
}

function top(x: Context, width: Width, value: Value): Value {
  const { b } = x;
  return b.wrap(b.andConst(b.shrUConst(value, width - 1), 1));
}

function shiftLeft(x: Context): void {
  const { b } = x;
  const width = x.width(0);
  const a = x.readForWrite(0);
  const n = count(x, width, 1);
  b.if(n, () => {
    // In 64 bits for the narrow ones: counts up to 31 exceed their width.
    const wide = b.shl(b.extendU(a), b.extendU(n));
    const r = width === 64 ? wide : b.wrap(wide);
    const carry = width === 64
      ? bit(x, a, b.extendU(b.sub(b.i32(64), n)))
      : b.wrap(b.andConst(b.shrUConst(wide, width), 1));
    x.write(0, r);
    x.flags.explicit(width, r, carry, b.xor(top(x, width, r), carry));
  }, () => writeUnchanged(x, a));
}

/** A shift by zero writes nothing that differs, but a 32-bit register destination is still zero-extended. */
function writeUnchanged(x: Context, a: Value): void {
  if (!x.isMemory(0) && x.width(0) === 32) x.write(0, a);
}

function shiftRight(signed: boolean) {
  return (x: Context): void => {
    const { b } = x;
    const width = x.width(0);
    const a = x.readForWrite(0);
    const n = count(x, width, 1);
    b.if(n, () => {
      const source = signed ? b.signExtend(a, width) : a;
      const k = sized(x, width, n);
      const r = signed ? b.shrS(source, k) : b.shrU(source, k);
      const carry = bit(x, signed ? b.shrS(source, sized(x, width, b.addConst(n, -1))) : b.shrU(source, sized(x, width, b.addConst(n, -1))), b.constant(b.typeOf(a), 0));
      x.write(0, r);
      x.flags.explicit(width, r, carry, signed ? b.i32(0) : top(x, width, a));
    }, () => writeUnchanged(x, a));
  };
}

function rotateLeft(x: Context): void {
  const { b } = x;
  const width = x.width(0);
  const a = x.readForWrite(0);
  const n = count(x, width, 1);
  b.if(n, () => {
    const r = rotate(x, width, a, n, true);
    const carry = b.wrap(b.andConst(r, 1));
    x.write(0, r);
    x.flags.setCarryOverflow(carry, b.xor(top(x, width, r), carry));
  }, () => writeUnchanged(x, a));
}

function rotateRight(x: Context): void {
  const { b } = x;
  const width = x.width(0);
  const a = x.readForWrite(0);
  const n = count(x, width, 1);
  b.if(n, () => {
    const r = rotate(x, width, a, n, false);
    const carry = top(x, width, r);
    const below = b.wrap(b.andConst(b.shrUConst(r, width - 2), 1));
    x.write(0, r);
    x.flags.setCarryOverflow(carry, b.xor(carry, below));
  }, () => writeUnchanged(x, a));
}

function rotate(x: Context, width: Width, a: Value, n: Value, left: boolean): Value {
  const { b } = x;
  if (width >= 32) return left ? b.rotl(a, sized(x, width, n)) : b.rotr(a, sized(x, width, n));
  const k = b.andConst(n, width - 1);
  const other = b.andConst(b.sub(b.i32(width), k), width - 1);
  const mask = width === 8 ? 0xff : 0xffff;
  return b.andConst(b.or(b.shl(a, left ? k : other), b.shrU(a, left ? other : k)), mask);
}

/** RCL and RCR: a rotate of width + 1 bits through CF. */
function rotateCarry(left: boolean) {
  return (x: Context): void => {
    const { b } = x;
    const width = x.width(0);
    const a = x.readForWrite(0);
    const masked = count(x, width, 1);
    const n = width === 8 ? b.remU(masked, b.i32(9)) : width === 16 ? b.remU(masked, b.i32(17)) : masked;
    b.if(n, () => {
      const carryIn = x.flags.carry();
      if (width === 64) {
        const k = b.extendU(n);
        const rest = b.extendU(b.sub(b.i32(64), n)); // 1..63, so 65 - n - 1
        const c = b.extendU(carryIn);
        const r = left
          ? b.or(b.or(b.shl(a, k), b.shl(c, b.addConst(k, -1))), b.shrUConst(b.shrU(a, rest), 1))
          : b.or(b.or(b.shrU(a, k), b.shl(c, rest)), b.shlConst(b.shl(a, rest), 1));
        const carry = left ? bit(x, a, rest) : bit(x, a, b.addConst(k, -1));
        x.write(0, r);
        const overflow = left ? b.xor(top(x, 64, r), carry) : b.xor(top(x, 64, r), b.wrap(b.andConst(b.shrUConst(r, 62), 1)));
        x.flags.setCarryOverflow(carry, overflow);
        return;
      }
      // width + 1 <= 33 bits, in 64-bit arithmetic.
      const joined = b.or(b.extendU(a), b.shlConst(b.extendU(carryIn), width));
      const k = b.extendU(left ? n : b.sub(b.i32(width + 1), n));
      const back = b.extendU(left ? b.sub(b.i32(width + 1), n) : n);
      const rotated = b.or(b.shl(joined, k), b.shrU(joined, back));
      const r = b.wrap(b.andConst(rotated, (1n << BigInt(width)) - 1n));
      const carry = b.wrap(b.andConst(b.shrUConst(rotated, width), 1));
      x.write(0, r);
      const overflow = left ? b.xor(top(x, width, r), carry) : b.xor(top(x, width, r), b.wrap(b.andConst(b.shrUConst(r, width - 2), 1)));
      x.flags.setCarryOverflow(carry, overflow);
    }, () => writeUnchanged(x, a));
  };
}

/** SHLD and SHRD. For 16-bit operands a count above 16 is undefined in the manual. */
function doubleShift(left: boolean) {
  return (x: Context): void => {
    const { b } = x;
    const width = x.width(0);
    const a = x.readForWrite(0);
    const fill = x.read(1);
    const n = count(x, width, 2);
    b.if(n, () => {
      let r: Value;
      let carry: Value;
      if (width === 64) {
        const k = b.extendU(n);
        const rest = b.extendU(b.sub(b.i32(64), n));
        r = left ? b.or(b.shl(a, k), b.shrU(fill, rest)) : b.or(b.shrU(a, k), b.shl(fill, rest));
        carry = left ? bit(x, a, rest) : bit(x, a, b.addConst(k, -1));
      } else {
        const k = b.extendU(n);
        
        if (left) {
          // For 16 bits: a : fill : a, so that counts of 17 to 31 behave as on Intel processors.
          const joined = width === 16
            ? b.or(b.shlConst(b.extendU(a), 32), b.or(b.shlConst(b.extendU(fill), 16), b.extendU(a)))
            : b.or(b.shlConst(b.extendU(a), 32), b.extendU(fill));
          const shifted = b.shl(joined, k);
          r = b.wrap(b.shrUConst(shifted, 32));
          if (width === 16) r = b.andConst(r, 0xffff);
          carry = width === 16 ? b.wrap(b.andConst(b.shrUConst(shifted, 48), 1)) : b.wrap(b.andConst(b.shrU(b.extendU(a), b.extendU(b.sub(b.i32(32), n))), 1));
        } else {
          const joined = width === 16
            ? b.or(b.or(b.extendU(a), b.shlConst(b.extendU(fill), 16)), b.shlConst(b.extendU(a), 32))
            : b.or(b.extendU(a), b.shlConst(b.extendU(fill), 32));
          r = b.wrap(b.shrU(joined, k));
          if (width === 16) r = b.andConst(r, 0xffff);
          carry = b.wrap(b.andConst(b.shrU(joined, b.addConst(k, -1)), 1));
        }
      }
      x.write(0, r);
      x.flags.explicit(width, r, carry, b.xor(top(x, width, r), top(x, width, a)));
    }, () => writeUnchanged(x, a));
  };
}

type BitChange = 'test' | 'set' | 'reset' | 'complement';

/** BT, BTS, BTR, BTC. A register bit offset reaches beyond a memory operand, in both directions. */
function bitTest(change: BitChange) {
  return (x: Context): void => {
    const { b } = x;
    const width = x.width(0);
    const immediate = x.shape.operands[1]![0] === 'I';
    const offset = immediate ? sized(x, width, b.andConst(x.immediate(8), width - 1)) : x.read(1);
    const bytes = width / 8;
    let address: Value | undefined;
    const access = change === 'test' ? 'read' : 'write';
    if (x.isMemory(0) && !immediate) {
      const signed = b.signExtend(offset, width);
      const elements = b.shrSConst(signed, Math.log2(width));
      const delta = b.shlConst(elements, Math.log2(bytes));
      const base = x.effectiveAddress();
      const moved = b.add(base, x.long ? b.extendS(delta) : b.wrap(delta));
      const shift = b.sub(b.i32(x.long ? 64 : 32), x.addressSize());
      const cut = x.long ? b.and(moved, b.shrU(b.i64(-1), b.extendU(shift))) : b.and(moved, b.shrU(b.i32(-1), shift));
      address = x.addressAt(cut, access, bytes);
    } else if (x.isMemory(0)) address = x.address(access, bytes);
    const n = b.andConst(offset, width - 1);
    const mask = (): Value => b.shl(b.constant(width === 64 ? 'i64' : 'i32', 1), n);
    if (x.locked && change !== 'test') {
      const operand = change === 'reset' ? b.not(mask()) : mask();
      x.flags.setCarry(bit(x, x.modify(address!, width, change === 'set' ? 'or' : change === 'reset' ? 'and' : 'xor', operand), n));
      return;
    }
    const a = address === undefined ? x.read(0) : change === 'test' ? x.load(address, width) : b.op(`memory.load${width}.write`, [address]);
    const old = bit(x, a, n);
    if (change !== 'test') {
      const r = change === 'set' ? b.or(a, mask()) : change === 'reset' ? b.and(a, b.not(mask())) : b.xor(a, mask());
      if (address !== undefined) x.store(address, width, r);
      else x.write(0, r);
    }
    x.flags.setCarry(old);
  };
}

/** BSF and BSR: a zero source leaves the destination as it was (as processors do) and sets ZF. */
function bitScan(forward: boolean) {
  return (x: Context): void => {
    const { b } = x;
    const width = x.width(0);
    const source = x.read(1);
    const zero = b.eqz(source);
    const found = forward ? b.ctz(source) : b.sub(b.constant(b.typeOf(source), width === 64 ? 63 : 31), b.clz(source));
    b.if(zero, () => {}, () => x.write(0, found));
    x.flags.explicit(width, source, b.i32(0), b.i32(0));
  };
}

/** LZCNT and TZCNT: CF = source is zero, ZF = result is zero. */
function countZeros(leading: boolean) {
  return (x: Context): void => {
    const { b } = x;
    const width = x.width(0);
    const source = x.read(1);
    let r: Value;
    if (leading) r = width === 16 ? b.sub(b.clz(source), b.i32(16)) : b.clz(source);
    else r = width === 16 ? b.ctz(b.or(source, b.i32(0x10000))) : b.ctz(source);
    x.write(0, r);
    x.flags.explicit(width, r, b.eqz(source), b.i32(0));
  };
}

function populationCount(x: Context): void {
  const source = x.read(1);
  const r = x.b.popcnt(source);
  x.write(0, r);
  // ZF from the source, all others cleared: bit 6 of setAll.
  x.flags.setAll(x.b.shlConst(x.b.eqz(source), 6));
}

export const shifts: SemanticsTable = {
  rol: rotateLeft,
  ror: rotateRight,
  rcl: rotateCarry(true),
  rcr: rotateCarry(false),
  shl: shiftLeft,
  sal: shiftLeft,
  shr: shiftRight(false),
  sar: shiftRight(true),
  shld: doubleShift(true),
  shrd: doubleShift(false),
  bt: bitTest('test'),
  bts: bitTest('set'),
  btr: bitTest('reset'),
  btc: bitTest('complement'),
  bsf: bitScan(true),
  bsr: bitScan(false),
  lzcnt: countZeros(true),
  tzcnt: countZeros(false),
  popcnt: populationCount,
};
