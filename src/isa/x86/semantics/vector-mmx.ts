import type { Value } from '../../../ir/ir.ts';
import type { Context, Semantics, SemanticsTable } from './context.ts';
import { readMmx, requireMmx, requireSse, writeMmx, writeScalar, zeroExtended } from './vector.ts';

// Between MMX and SSE registers, masked stores, and the approximations RCPxS and RSQRTxS.

/** Instructions on both register files. */
function requireBoth(x: Context): void {
  requireSse(x);
  requireMmx(x);
}

function lowHalf(x: Context, value: Value): Value {
  return x.b.op('i64x2.extract_lane', [value], 0);
}

function insertWordMmx(x: Context): void {
  const { b } = x;
  requireMmx(x);
  const lane = b.andConst(x.immediate(8), 3);
  const shift = b.extendU(b.shlConst(lane, 4));
  const value = b.extendU(b.andConst(x.isMemory(1) ? x.read(1, 16) : x.read(1, 32), 0xffff));
  const cleared = b.and(x.readLow(0, 64), b.not(b.shl(b.i64(0xffff), shift)));
  x.call('mmxEnter', []);
  writeMmx(x, 0, b.or(cleared, b.shl(value, shift)));
}

function extractWordMmx(x: Context): void {
  const { b } = x;
  requireMmx(x);
  const shift = b.extendU(b.shlConst(b.andConst(x.immediate(8), 3), 4));
  const value = b.andConst(b.wrap(b.shrU(x.readLow(1, 64), shift)), 0xffff);
  x.call('mmxEnter', []);
  x.write(0, value, 32);
}

/** CVT(T)PS2PI, CVT(T)PD2PI: two integers to an MMX register. */
function toMmx(from: 'f32' | 'f64', truncate: number): Semantics {
  return (x) => {
    const { b } = x;
    requireBoth(x);
    const mode = b.i32(truncate);
    const source = from === 'f32' ? x.readLow(1, 64) : x.readVector(1, true);
    // The registers are MMX ones even when #XM follows.
    x.call('mmxEnter', []);
    const result = from === 'f32' ? x.call('sseF32x2ToI32x2', [source, mode]) : lowHalf(x, x.call('sseF64x2ToI32x2', [source, mode]));
    writeMmx(x, 0, result);
  };
}

/** Bytes to [rDI] (segment override allowed) where bit 7 of the mask byte is set. */
function storeMasked(x: Context, value: Value, mask: Value, count: 8 | 16): void {
  const { b } = x;
  const shift = b.sub(b.i32(x.long ? 64 : 32), x.addressSize());
  const offset = x.long ? b.and(x.gpr(7, 64), b.shrU(b.i64(-1), b.extendU(shift))) : b.and(x.gpr(7, 32), b.shrU(b.i32(-1), shift));
  x.call('storeMasked', [x.addressAt(offset, 'write', count), value, mask, b.i32(count)]);
}

/**
 * RCPxS and RSQRTxS promise a relative error of at most 1.5 * 2^-12 (SDM 2B): the exact quotient rounded to 12
 * significant bits has half a unit, 2^-12. Denormals count as zero whatever MXCSR says, tiny results are flushed, no
 * exception is raised.
 */
function approximate(root: boolean): (x: Context, value: Value) => Value {
  return (x, value) => {
    const { b } = x;
    const word = (bits: number): Value => b.op('i32x4.splat', [b.i32(bits)]);
    const zero = b.v128(new Uint8Array(16));
    const sign = word(0x80000000);
    const flushed = (v: Value): Value => {
      const tiny = b.op('i32x4.eq', [b.op('v128.and', [v, word(0x7f800000)]), zero]);
      return b.op('v128.bitselect', [b.op('v128.and', [v, sign]), v, tiny]);
    };
    const source = flushed(value);
    const quotient = b.op('f32x4.div', [word(0x3f800000), root ? b.op('f32x4.sqrt', [source]) : source]);
    const rounded = b.op('v128.and', [b.op('i32x4.add', [quotient, word(0x800)]), word(~0xfff)]);
    let result = flushed(rounded);
    if (root) result = b.op('v128.bitselect', [word(0xffc00000), result, b.op('f32x4.lt', [source, zero])]);
    const isNaN = b.op('f32x4.ne', [value, value]);
    return b.op('v128.bitselect', [b.op('v128.or', [value, word(0x00400000)]), result, isNaN]);
  };
}
function approximatePacked(root: boolean): Semantics {
  return (x) => {
    requireSse(x);
    x.writeHalves(0, x.readHalves(1).map((value) => approximate(root)(x, value)));
  };
}
function approximateScalar(root: boolean): Semantics {
  return (x) => {
    requireSse(x);
    const result = approximate(root)(x, x.b.op('i32x4.splat', [x.readLow(x.lastSource, 32)]));
    writeScalar(x, x.b.op('i32x4.extract_lane', [result], 0), 32);
  };
}

export const vectorMmx: SemanticsTable = {
  pinsrw_mmx: insertWordMmx,
  pextrw_mmx: extractWordMmx,
  movq2dq: (x) => {
    requireBoth(x);
    const value = x.readLow(1, 64);
    x.call('mmxEnter', []);
    x.writeVector(0, zeroExtended(x, value), true);
  },
  movdq2q: (x) => {
    requireBoth(x);
    const value = x.readLane(1, 64, 0);
    x.call('mmxEnter', []);
    writeMmx(x, 0, value);
  },
  maskmovdqu: (x) => {
    requireSse(x);
    storeMasked(x, x.readVector(0, true), x.readVector(1, true), 16);
  },
  maskmovq: (x) => {
    requireMmx(x);
    const [value, mask] = [readMmx(x, 0), readMmx(x, 1)];
    x.call('mmxEnter', []);
    storeMasked(x, value, mask, 8);
  },
  cvtpi2ps: (x) => {
    requireBoth(x);
    const source = x.readLow(1, 64);
    x.call('mmxEnter', []);
    const result = x.call('sseI32x2ToF32x2', [source]);
    x.writeLow(0, result, 64);
  },
  // Two integers in memory leave the x87 state alone (SDM 2A, CVTPI2PD).
  cvtpi2pd: (x) => {
    if (x.isMemory(1)) requireSse(x);
    else requireBoth(x);
    const result = x.b.op('f64x2.convert_low_i32x4_s', [x.b.op('i64x2.splat', [x.readLow(1, 64)])]);
    if (!x.isMemory(1)) x.call('mmxEnter', []);
    x.writeVector(0, result, true);
  },
  cvttps2pi: toMmx('f32', 1),
  cvttpd2pi: toMmx('f64', 1),
  cvtps2pi: toMmx('f32', 0),
  cvtpd2pi: toMmx('f64', 0),
  rcpps: approximatePacked(false),
  rcpss: approximateScalar(false),
  rsqrtps: approximatePacked(true),
  rsqrtss: approximateScalar(true),
};
