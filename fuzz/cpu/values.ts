import type { Random } from './random.ts';

// Operand values weighted to the edges, written as little-endian bytes.

type Words = readonly [low: number, high: number];
const f64Edges: readonly Words[] = [
  [0, 0], [1, 0], [0xffffffff, 0xfffff], [0, 0x100000], [1, 0x100000], [0, 0x3ff00000], [0xffffffff, 0x3fefffff], [1, 0x3ff00000], [0, 0x40000000], [0, 0x3fe00000], [0, 0x3ff80000],
  [0x54442d18, 0x400921fb], [0xffffffff, 0x7fefffff], [0, 0x7fe00000], [0, 0x7ff00000], [0, 0x7ff80000], [0x123, 0x7ff80000], [1, 0x7ff00000], [0xabc, 0x7ff40000],
  [0xffc00000, 0x41dfffff], [0xffe00000, 0x41dfffff], [0, 0x41e00000], [0, 0x43e00000], [0xffffffff, 0x43dfffff], [1, 0x43300000], [0xffffffff, 0x432fffff], [0, 0x1ff00000],
  [1, 0x20000000], [0, 0x5ff00000], [0xe0000001, 0x380fffff], [0xffffffff, 0x380fffff], [0, 0x36a00000], [0xe0000000, 0x47efffff], [0xf0000000, 0x47efffff],
];
const f32Edges: readonly number[] = [
  0, 1, 0x7fffff, 0x400000, 0x800000, 0x800001, 0x3f800000, 0x3f7fffff, 0x3f800001, 0x40000000, 0x3f000000, 0x3effffff, 0x3fc00000, 0x40490fdb, 0x7f7fffff, 0x7f000000, 0x7f800000,
  0x7fc00000, 0x7fc00123, 0x7f800001, 0x7fa00abc, 0x4effffff, 0x4f000000, 0x5f000000, 0x5effffff, 0x4b000001, 0x4affffff, 0x1f800000, 0x20000001, 0x5f800001,
];
/** Significand's halves, exponent: zeros, denormals, pseudo-denormals, unnormals, infinities and what is none, NaNs. */
const f80Edges: readonly (readonly [number, number, number])[] = [
  [0, 0, 0], [1, 0, 0], [0xffffffff, 0x7fffffff, 0], [0, 0x80000000, 0], [1, 0x80000000, 0], [0, 0x40000000, 0], [0, 0x80000000, 1], [1, 0x80000000, 1], [0, 0x80000000, 0x3fff],
  [1, 0x80000000, 0x3fff], [0xffffffff, 0xffffffff, 0x3ffe], [0, 0x80000000, 0x4000], [0, 0xc0000000, 0x3fff], [0, 0x80000000, 0x3ffe], [0x2168c235, 0xc90fdaa2, 0x4000],
  [0xffffffff, 0xffffffff, 0x7ffe], [0, 0x80000000, 0x7ffe], [0, 0x80000000, 0x7fff], [0, 0xc0000000, 0x7fff], [0x123, 0xc0000000, 0x7fff], [1, 0x80000000, 0x7fff], [0xabcd, 0xa0000000, 0x7fff],
  [0, 0, 0x7fff], [0, 0x40000000, 0x7fff], [0, 0x40000000, 0x4000], [1, 0, 0x3fff], [0, 0xffffffff, 0x401e], [0, 0xfffffffe, 0x401d], [0, 0x80000000, 0x401e], [0, 0x80000000, 0x403e],
  [0xffffffff, 0xffffffff, 0x403d], [0, 0xfffe0000, 0x400d], [0, 0x80000000, 0x400e], [0xffffffff, 0xffffffff, 0x407e], [0, 0xffffff80, 0x407e], [0, 0x80000000, 0x407f],
  [0xfffffbff, 0xffffffff, 0x43fe], [0xfffffc00, 0xffffffff, 0x43fe], [0, 0x80000000, 0x3f81], [0xffffffff, 0xffffff7f, 0x3f80], [0, 0x80000000, 0x3c01], [0xfffffbff, 0xffffffff, 0x3c00],
  [1, 0x80000000, 0x3bcd], [0, 0x80000000, 0x1fff], [0, 0xc0000000, 0x5fff],
];

/** 64 bits: zero, all ones, sign bits, powers of two and what is next to them, small and random numbers. */
export function writeInteger(random: Random, view: DataView, at: number): void {
  let low = random.u32();
  let high = random.u32();
  const bit = random.below(64);
  switch (random.below(12)) {
    case 0: low = high = 0; break;
    case 1: low = high = 0xffffffff; break;
    case 2: [low, high] = power(bit); break;
    case 3: [low, high] = negate(power(bit)); break;
    case 4: [low, high] = invert(negate(power(bit))); break;
    case 5: [low, high] = [random.below(256), 0]; break;
    case 6: [low, high] = [low, 0]; break;
    case 7: [low, high] = [low, low >> 31]; break;
    case 8: {
      // The sign bit of a narrower operand, or all but it.
      const word = random.pick([0x80, 0x7f, 0x8000, 0x7fff, 0x80000000, 0x7fffffff, 0xff, 0xffff, 0xffffffff]);
      [low, high] = [word, random.chance(2) ? 0 : high];
      break;
    }
    default: break;
  }
  view.setUint32(at, low, true);
  view.setUint32(at + 4, high, true);
}
function power(bit: number): Words {
  return bit < 32 ? [(1 << bit) >>> 0, 0] : [0, (1 << (bit - 32)) >>> 0];
}
function negate([low, high]: Words): Words {
  const value = -low >>> 0;
  return [value, (~high + (low === 0 ? 1 : 0)) >>> 0];
}
function invert([low, high]: Words): Words {
  return [~low >>> 0, ~high >>> 0];
}

export function writeF32(random: Random, view: DataView, at: number): void {
  const sign = random.chance(2) ? 0x80000000 : 0;
  const choice = random.below(8);
  let bits = random.u32();
  if (choice < 3) bits = (random.pick(f32Edges) | sign) >>> 0;
  // Exponents near one another, so that operands meet.
  else if (choice < 6) bits = (sign | ((123 + random.below(8)) << 23) | (bits & 0x7fffff & (random.chance(2) ? -1 : -0x10000))) >>> 0;
  else if (choice === 6) bits = (sign | (random.below(3) << 23) | (bits & 0x7fffff)) >>> 0;
  view.setUint32(at, bits, true);
}

export function writeF64(random: Random, view: DataView, at: number): void {
  const sign = random.chance(2) ? 0x80000000 : 0;
  const choice = random.below(8);
  let [low, high]: Words = [random.u32(), random.u32()];
  if (choice < 3) {
    [low, high] = random.pick(f64Edges);
    high = (high | sign) >>> 0;
  } else if (choice < 6) {
    high = (sign | ((1019 + random.below(8)) << 20) | (high & 0xfffff)) >>> 0;
    if (random.chance(2)) low = 0;
  } else if (choice === 6) high = (sign | (random.below(3) << 20) | (high & 0xfffff)) >>> 0;
  view.setUint32(at, low, true);
  view.setUint32(at + 4, high, true);
}

/** Ten bytes. */
export function writeF80(random: Random, view: DataView, at: number): void {
  const sign = random.chance(2) ? 0x8000 : 0;
  const choice = random.below(8);
  let low = random.u32();
  let high = (random.u32() | 0x80000000) >>> 0;
  let exponent = 0x3fff - 3 + random.below(7);
  if (choice < 4) [low, high, exponent] = random.pick(f80Edges);
  else if (choice === 4) low = 0;
  else if (choice === 5) exponent = random.below(0x8000);
  else if (choice === 6) exponent = 0x3fff - 66 + random.below(132);
  view.setUint32(at, low, true);
  view.setUint32(at + 4, high, true);
  view.setUint16(at + 8, exponent | sign, true);
}

/** `bytes` (a multiple of 8) of operands of one random kind. */
export function writeOperands(random: Random, view: DataView, at: number, bytes: number): void {
  const kind = random.below(5);
  for (let i = 0; i < bytes; i += 8) {
    if (kind === 0) writeF64(random, view, at + i);
    else if (kind === 1) for (const k of [0, 4]) writeF32(random, view, at + i + k);
    else if (kind === 2 && i + 16 <= bytes) {
      writeF80(random, view, at + i);
      i += 8;
    } else if (kind === 3) {
      // Strings and packed numbers: few different bytes.
      for (let k = 0; k < 8; k++) view.setUint8(at + i + k, random.pick([0, 0, 1, 0x41, 0x42, 0x7f, 0x80, 0xff, 0x99, random.u32() & 0xff]));
    } else writeInteger(random, view, at + i);
  }
}
