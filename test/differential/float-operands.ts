import type { Random } from './generate.ts';

// Operands at the edges of what inline arithmetic may decide: results around the underflow boundary, halfway cases,
// cancellation, perfect squares, integers; and every kind of number.

interface Format {
  readonly bits: 32 | 64;
  /** Stored bits of the significand. */
  readonly fraction: number;
  readonly bias: number;
}
const f32: Format = { bits: 32, fraction: 23, bias: 127 };
const f64: Format = { bits: 64, fraction: 52, bias: 1023 };

function random64(random: Random): bigint {
  return (BigInt(random.next()) << 32n) | BigInt(random.next());
}

function fractionOf(random: Random, format: Format): bigint {
  const all = (1n << BigInt(format.fraction)) - 1n;
  const bits = random64(random) & all;
  switch (random.below(9)) {
    case 0: return 0n;
    case 1: return BigInt(random.below(4));
    case 2: return all - BigInt(random.below(4));
    case 3: return 1n << BigInt(random.below(format.fraction));
    case 4: return all & ~(all >> BigInt(random.below(format.fraction)));
    // Few bits at the top: exact products and quotients.
    case 5: return (bits >> BigInt(format.fraction - 8)) << BigInt(format.fraction - 8);
    case 6: return (bits >> BigInt(format.fraction >> 1)) << BigInt(format.fraction >> 1);
    default: return bits;
  }
}

function pack(format: Format, sign: number, exponent: number, fraction: bigint): bigint {
  const biased = Math.max(0, Math.min(2 * format.bias + 1, exponent + format.bias));
  return (BigInt(sign) << BigInt(format.bits - 1)) | (BigInt(biased) << BigInt(format.fraction)) | fraction;
}

function anything(random: Random, format: Format): bigint {
  const sign = random.below(2);
  const least = -format.bias;
  switch (random.below(12)) {
    case 0: return pack(format, sign, least, 0n); // zero
    case 1: return pack(format, sign, least, fractionOf(random, format)); // denormal
    case 2: return pack(format, sign, format.bias + 1, 0n); // infinity
    case 3: return pack(format, sign, format.bias + 1, fractionOf(random, format) | 1n | BigInt(random.below(2)) << BigInt(format.fraction - 1)); // NaN
    case 4: return pack(format, sign, least + 1 + random.below(3), fractionOf(random, format));
    case 5: return pack(format, sign, format.bias - random.below(3), fractionOf(random, format));
    case 6: return pack(format, sign, random.below(2 * format.bias) - format.bias + 1, fractionOf(random, format));
    default: return pack(format, sign, random.below(8) - 4, fractionOf(random, format));
  }
}

/** Numbers that conversions to integers have trouble with: near powers of two, halves. */
function nearInteger(random: Random, format: Format): bigint {
  const exponent = random.pick([23, 24, 30, 31, 32, 52, 53, 62, 63, random.below(64)]);
  const whole = 2 ** exponent + (random.below(5) - 2);
  const value = (random.below(2) === 0 ? whole : Math.floor(random.next() / 2 ** random.below(32))) + random.pick([0, 0, 0.5, 0.25, 0.75, -0.5]);
  return bitsOf(format, random.below(2) === 0 ? value : -value);
}

const scratch = new DataView(new ArrayBuffer(8));
function bitsOf(format: Format, value: number): bigint {
  if (format === f32) {
    scratch.setFloat32(0, value);
    return BigInt(scratch.getUint32(0));
  }
  scratch.setFloat64(0, value);
  return scratch.getBigUint64(0);
}
function valueOf(format: Format, bits: bigint): number {
  if (format === f32) {
    scratch.setUint32(0, Number(bits));
    return scratch.getFloat32(0);
  }
  scratch.setBigUint64(0, bits);
  return scratch.getFloat64(0);
}

/** The product, or the quotient, is a little below the smallest normal number, which it may become by rounding. */
function almostNormal(random: Random, format: Format): [bigint, bigint] {
  const all = (1n << BigInt(format.fraction)) - 1n;
  const exponent = -1 - random.below(format.bias - 3);
  const other = random.below(2) === 0 ? -format.bias - exponent : exponent + format.bias;
  const half = (format.fraction >> 1) + random.below(4) - 1;
  // 2 - 2^-fraction by 1; 1 + 2^-half by 2 - 2^(1-half), which is 2 - 2^(1-2half); anything.
  const [first, second] = random.pick([[all, 0n], [all - 1n, BigInt(random.below(3))], [1n << BigInt(format.fraction - half), all + 1n - (1n << BigInt(format.fraction + 1 - half))], [all, fractionOf(random, format)]]);
  return [pack(format, random.below(2), exponent, first!), pack(format, random.below(2), other, second!)];
}

/** Two operands of a lane; `tame`: ordinary numbers, so that the other lanes of a vector decide. */
function pair(random: Random, format: Format, tame: boolean): [bigint, bigint] {
  const sign = (): number => random.below(2);
  const fraction = (): bigint => fractionOf(random, format);
  const small = (): bigint => bitsOf(format, random.below(4096) - 2048);
  if (tame) return random.below(2) === 0 ? [small(), small()] : [pack(format, sign(), random.below(20) - 10, fraction()), pack(format, sign(), random.below(20) - 10, fraction())];
  const exponent = random.below(2 * format.bias - 2) - format.bias + 2;
  const a = pack(format, sign(), exponent, fraction());
  const boundary = 1 - format.bias + random.below(5) - 3;
  switch (random.below(11)) {
    case 10: return almostNormal(random, format);
    case 0: return [a, pack(format, sign(), boundary - exponent, fraction())]; // product near the smallest normal
    case 1: return [a, pack(format, sign(), exponent - boundary, fraction())]; // quotient
    case 2: return [a, pack(format, sign(), exponent - random.below(2 * format.fraction) + format.fraction, fraction())]; // alignment and rounding of sums
    case 3: return [a, a ^ (BigInt(sign()) << BigInt(format.bits - 1)) ^ BigInt(random.below(4))]; // cancellation, comparison
    case 4: return [small(), small()];
    case 5: {
      // Near a square, near a product.
      const root = valueOf(format, pack(format, 0, random.below(64) - 32, fraction()));
      return [bitsOf(format, root), bitsOf(format, root * root) + BigInt(random.below(2))];
    }
    case 6: return [nearInteger(random, format), nearInteger(random, format)];
    // Doubles at the edges of the range of singles.
    case 7: return [a, pack(format, sign(), random.pick([-151, -150, -149, -127, -126, -125, 126, 127, 128]), fraction())];
    default: return [anything(random, format), anything(random, format)];
  }
}

/** Fills both operands (16 bytes each) with lanes of a kind. */
export function fillOperands(random: Random, lane: 'f32' | 'f64' | 'i32' | 'i64', view: DataView, first: number, second: number): void {
  const bits = lane === 'f32' || lane === 'i32' ? 32 : 64;
  const format = bits === 32 ? f32 : f64;
  const allWild = random.below(2) === 0;
  const wild = random.below(128 / bits);
  for (let i = 0; i < 128 / bits; i++) {
    const tame = !allWild && i !== wild && random.below(8) !== 0;
    let values: [bigint, bigint];
    if (lane === 'f32' || lane === 'f64') values = pair(random, format, tame);
    else {
      const integer = (): bigint => BigInt.asUintN(bits, tame ? BigInt(random.below(4096) - 2048) : random.below(3) === 0 ? BigInt(Math.trunc(valueOf(f64, nearInteger(random, f64)))) : BigInt.asIntN(bits, random.edge()) >> BigInt(random.below(bits)));
      values = [integer(), integer()];
    }
    values.forEach((value, k) => {
      const at = (k === 0 ? first : second) + i * (bits / 8);
      if (bits === 32) view.setUint32(at, Number(value), true);
      else view.setBigUint64(at, value, true);
    });
  }
}

/** MXCSR to start from: mostly what programs have, with any flags set; else anything, exceptions unmasked included. */
export function startingControl(random: Random): number {
  switch (random.below(8)) {
    case 0: case 1: case 2: return 0x1fa0 | random.below(64);
    case 3: case 4: return 0x1f80 | random.below(64);
    case 5: return 0x1f80 | (random.next() & 0xe07f);
    default: return random.next() & 0xffff;
  }
}
