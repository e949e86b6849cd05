import { createCipheriv, createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { createEngine } from './engine.ts';
import { WINDOW, WINDOW_BYTES } from './native.ts';

// Instructions that not every host has, against the standards' own examples and Node's implementation of them.

const engine = createEngine();

/** Runs code with XMM0 to XMM2 and RAX; what they hold afterwards. */
function run(code: readonly number[], vectors: readonly Uint8Array[] = [], rax = 0n): { xmm: Uint8Array; gpr: bigint; flags: number; exception: string } {
  const xmm = new Uint8Array(256);
  vectors.forEach((value, i) => xmm.set(value, i * 16));
  const gpr = new BigUint64Array(16);
  gpr[0] = rax;
  gpr[4] = BigInt(WINDOW);
  const before = { gpr, flags: 0x202 | 0x8d5, mxcsr: 0x1f80, xmm, high: new Uint8Array(256), x87: new Uint8Array(81), window: new Uint8Array(WINDOW_BYTES), exception: '' as const };
  const after = engine.run({ code: Uint8Array.from(code), mode: 64, before });
  return { xmm: after.xmm.slice(0, 16), gpr: after.gpr[0]!, flags: after.flags & 0x8d5, exception: after.exception };
}
const bytes = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, 'hex'));
const hex = (value: Uint8Array): string => Buffer.from(value).toString('hex');

test('AES-128: the example of FIPS 197, appendix C.1, both ways', () => {
  const key = bytes('000102030405060708090a0b0c0d0e0f');
  const text = bytes('00112233445566778899aabbccddeeff');
  const keys = [key];
  for (let i = 0, constant = 1; i < 10; i++, constant = (constant << 1) ^ (constant & 0x80 ? 0x11b : 0)) {
    const assist = run([0x66, 0x0f, 0x3a, 0xdf, 0xc1, constant], [key, keys[i]!]).xmm.subarray(12, 16);
    const next = Uint8Array.from(keys[i]!);
    for (let k = 0; k < 16; k++) next[k]! ^= k < 4 ? assist[k]! : next[k - 4]!;
    keys.push(next);
  }
  const xor = (a: Uint8Array, c: Uint8Array): Uint8Array => a.map((value, i) => value ^ c[i]!);
  const round = (opcode: number, state: Uint8Array, roundKey: Uint8Array): Uint8Array => run([0x66, 0x0f, 0x38, opcode, 0xc1], [state, roundKey]).xmm;
  let state = xor(text, key);
  for (let i = 1; i <= 10; i++) state = round(i < 10 ? 0xdc : 0xdd, state, keys[i]!);
  expect(hex(state)).toBe('69c4e0d86a7b0430d8cdb78070b4c55a');
  expect(hex(createCipheriv('aes-128-ecb', key, null).setAutoPadding(false).update(text))).toBe(hex(state));
  state = xor(state, keys[10]!);
  for (let i = 9; i >= 0; i--) state = i > 0 ? round(0xde, state, round(0xdb, key, keys[i]!)) : round(0xdf, state, keys[0]!);
  expect(hex(state)).toBe(hex(text));
});

/** "abc" as one padded block, in words. */
const block = [0x61626380, ...Array.from({ length: 14 }, () => 0), 24];
/** Four words, the first one on top. */
const words = (...values: readonly number[]): Uint8Array => new Uint8Array(Uint32Array.from([...values].reverse()).buffer);
const wordsOf = (value: Uint8Array): number[] => [...new Uint32Array(value.slice().buffer)].reverse();
const sum = (...values: readonly number[]): number => values.reduce((a, c) => (a + c) >>> 0, 0);

test('SHA-256 of "abc" (FIPS 180-4)', () => {
  const fraction = (x: number): number => Math.floor((x - Math.floor(x)) * 2 ** 32);
  const primes = Array.from({ length: 312 }, (_, i) => i).filter((n) => n > 1 && !Array.from({ length: n }, (_, k) => k).some((k) => k > 1 && n % k === 0));
  const constants = primes.slice(0, 64).map((p) => fraction(Math.cbrt(p)));
  const start = primes.slice(0, 8).map((p) => fraction(Math.sqrt(p)));
  const w = [...block];
  while (w.length < 64) {
    const at = w.length;
    const group = (i: number): Uint8Array => words(w[at - i + 3]!, w[at - i + 2]!, w[at - i + 1]!, w[at - i]!);
    const first = run([0x0f, 0x38, 0xcc, 0xc1], [group(16), group(12)]).xmm;
    const partial = words(...wordsOf(first).map((value, i) => sum(value, w[at - 7 + 3 - i]!)));
    w.push(...wordsOf(run([0x0f, 0x38, 0xcd, 0xc1], [partial, group(4)]).xmm).reverse());
  }
  let [a, b, c, d, e, f, g, h] = start as [number, number, number, number, number, number, number, number];
  for (let i = 0; i < 64; i += 2) {
    const message = words(0, 0, sum(w[i + 1]!, constants[i + 1]!), sum(w[i]!, constants[i]!));
    const next = wordsOf(run([0x0f, 0x38, 0xcb, 0xca, 0x66, 0x0f, 0x6f, 0xc1], [message, words(c, d, g, h), words(a, b, e, f)]).xmm);
    [c, d, g, h] = [a, b, e, f];
    [a, b, e, f] = next as [number, number, number, number];
  }
  const digest = [a, b, c, d, e, f, g, h].map((value, i) => sum(value, start[i]!).toString(16).padStart(8, '0')).join('');
  expect(digest).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
});

test('SHA-1 of "abc" (FIPS 180-4)', () => {
  const w = [...block];
  while (w.length < 80) {
    const at = w.length;
    const group = (i: number): number[] => w.slice(at - i, at - i + 4);
    const first = run([0x0f, 0x38, 0xc9, 0xc1], [words(...group(16) as [number]), words(...group(12) as [number])]).xmm;
    const mixed = wordsOf(first).map((value, i) => value ^ group(8)[i]!);
    w.push(...wordsOf(run([0x0f, 0x38, 0xca, 0xc1], [words(...mixed), words(...group(4) as [number])]).xmm));
  }
  const start = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0];
  let state = words(...start.slice(0, 4));
  let before = state;
  for (let i = 0; i < 80; i += 4) {
    const message = words(w[i]!, w[i + 1]!, w[i + 2]!, w[i + 3]!);
    const schedule = i === 0 ? words(sum(w[0]!, start[4]!), w[1]!, w[2]!, w[3]!) : run([0x0f, 0x38, 0xc8, 0xc1], [before, message]).xmm;
    before = state;
    state = run([0x0f, 0x3a, 0xcc, 0xc1, Math.floor(i / 20)], [state, schedule]).xmm;
  }
  const e = wordsOf(run([0x0f, 0x38, 0xc8, 0xc1], [before, words(start[4]!, 0, 0, 0)]).xmm)[0]!;
  const digest = [...wordsOf(state).map((value, i) => sum(value, start[i]!)), e].map((value) => value.toString(16).padStart(8, '0')).join('');
  expect(digest).toBe(createHash('sha1').update('abc').digest('hex'));
});

test('the carry-less product of the manual\'s kind: all four halves, against shift and add', () => {
  const [a, c] = [bytes('0123456789abcdeffedcba9876543210'), bytes('f0e1d2c3b4a5968778695a4b3c2d1e0f')];
  const half = (v: Uint8Array, i: number): bigint => new DataView(v.buffer).getBigUint64(i * 8, true);
  for (const imm of [0, 1, 0x10, 0x11]) {
    let product = 0n;
    for (let i = 0n; i < 64n; i++) if ((half(c, imm >> 4) >> i) & 1n) product ^= half(a, imm & 1) << i;
    const { xmm } = run([0x66, 0x0f, 0x3a, 0x44, 0xc1, imm], [a, c]);
    expect(half(xmm, 0) | (half(xmm, 1) << 64n)).toBe(product);
  }
});

test('RDRAND and RDSEED report success, all other flags clear', () => {
  for (const reg of [0xf0, 0xf8]) expect(run([0x48, 0x0f, 0xc7, reg], [], 5n)).toMatchObject({ gpr: 0n, flags: 1, exception: '' });
  expect(run([0x66, 0x0f, 0xc7, 0xf0], [], 0x12345n).gpr).toBe(0x10000n);
  expect(run([0x0f, 0xc7, 0x33]).exception).toBe('UD');
});

test('RDPID gives IA32_TSC_AUX; the FS and GS base instructions need CR4.FSGSBASE', () => {
  expect(run([0xf3, 0x0f, 0xc7, 0xf8], [], ~0n & (2n ** 64n - 1n)).gpr).toBe(0n);
  expect(run([0xf3, 0x0f, 0xae, 0xc0]).exception).toBe('UD');
  const open = createEngine({ cr4: 0x50620n });
  const before = { gpr: new BigUint64Array(16), flags: 0x202, mxcsr: 0x1f80, xmm: new Uint8Array(256), high: new Uint8Array(256), x87: new Uint8Array(81), window: new Uint8Array(WINDOW_BYTES), exception: '' as const };
  const write = (value: bigint, code: readonly number[]) => open.run({ code: Uint8Array.from(code), mode: 64, before: { ...before, gpr: BigUint64Array.from({ length: 16 }, (_, i) => (i === 0 ? value : BigInt(WINDOW))) } });
  // wrgsbase rax; rdgsbase rcx; wrfsbase eax; rdfsbase rdx
  const after = write(0x7fff_1234_5678n, [0xf3, 0x48, 0x0f, 0xae, 0xd8, 0xf3, 0x48, 0x0f, 0xae, 0xc9, 0xf3, 0x0f, 0xae, 0xd0, 0xf3, 0x48, 0x0f, 0xae, 0xc2]);
  expect([after.exception, after.gpr[1], after.gpr[2]]).toEqual(['', 0x7fff_1234_5678n, 0x1234_5678n]);
  expect(write(0x8000_0000_0000n, [0xf3, 0x48, 0x0f, 0xae, 0xd8]).exception).toBe('GP');
});
