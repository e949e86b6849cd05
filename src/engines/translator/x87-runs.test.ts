import { expect, test } from 'vitest';
import { createInterpreter } from '../interpreter/interpreter.ts';
import { expectSame, runProgram } from './program.test-support.ts';
import type { ProgramData } from './program.test-support.ts';
import { createLocalTranslator } from './local-translator.ts';

// Random x87 instructions one behind the other, as the fuzzer, which looks at each alone, does not have them: what the
// translator knows of the stack over a whole block (semantics/x87-stack.ts) must come out as what the interpreter finds.

const [GDT, IDT, HANDLER, IMAGE, OPERANDS, RESULTS, SAVED] = [0x180000, 0x181000, 0x110000, 0x190000, 0x191000, 0x192f80, 0x194000];

/** Mulberry32. */
function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}
type Random = ReturnType<typeof generator>;
const pick = <T>(random: Random, list: readonly T[]): T => list[random(list.length)]!;

/** With ST(i). */
const REGISTER = [
  0xd8c0, 0xd8c8, 0xd8e0, 0xd8e8, 0xd8f0, 0xd8f8, 0xdcc0, 0xdcc8, 0xdce0, 0xdce8, 0xdcf0, 0xdcf8, 0xdec0, 0xdec8, 0xdee0, 0xdee8, 0xdef0, 0xdef8,
  0xd9c0, 0xd9c0, 0xd9c0, 0xd9c8, 0xd9c8, 0xddd0, 0xddd8, 0xddd8, 0xd8d0, 0xd8d8, 0xdde0, 0xdde8, 0xdbe8, 0xdff0, 0xddc0, 0xdac0,
] as const;
const ALONE = [0xd9e0, 0xd9e1, 0xd9e8, 0xd9ee, 0xd9eb, 0xd9f7, 0xd9f6, 0xd9e4, 0xd9fa, 0xded9, 0xdae9, 0xd9fc, 0xdfe0, 0xd9d0] as const;
/** Opcode byte, digit, bytes of the operand; from memory and to it. */
const LOADS = [
  [0xd9, 0, 4], [0xdd, 0, 8], [0xdb, 5, 10], [0xdb, 5, 10], [0xdf, 0, 2], [0xdb, 0, 4], [0xdf, 5, 8],
  ...[0, 1, 2, 3, 4, 5, 6, 7].flatMap((digit) => [[0xd8, digit, 4], [0xdc, digit, 8], [0xda, digit, 4], [0xde, digit, 2]]),
] as const;
const STORES = [[0xd9, 2], [0xd9, 3], [0xdd, 2], [0xdd, 3], [0xdb, 7], [0xdf, 2], [0xdf, 3], [0xdb, 2], [0xdb, 3], [0xdf, 7], [0xdd, 1]] as const;

/** Numbers of all formats: operands lie 16 bytes apart, those of one format 8 behind one another. */
const EXTENDED = [[0n, 0], [0n, 0x8000], [1n << 63n, 0x3fff], [0xc90fdaa22168c235n, 0x4000], [0xc90fdaa22168c235n, 0xbffe], [0xffffffffffffffffn, 0x3ffe], [0x8000000000000001n, 0x3fff], [0xaaaaaaaaaaaaaaabn, 0xbfc1]] as const;
const STRANGE = [[1n, 0], [1n << 63n, 0x7fff], [0xc000000000000000n, 0xffff], [0xa000000000000000n, 0x7fff], [0x8000000000000000n, 1], [0xffffffffffffffffn, 0x7ffe], [0x4000000000000000n, 0x3fff]] as const;

function operands(random: Random): Uint8Array {
  const bytes = new Uint8Array(1024);
  const view = new DataView(bytes.buffer);
  const number = (): number => pick(random, [0, -0, 1, -1.5, 3.25, 1 / 3, -1e10, 1e-5, 123456.789, ...(random(8) === 0 ? [NaN, Infinity, 5e-324, 1e-40] : [])]);
  for (let i = 0; i < 8; i++) {
    const [significand, exponent] = random(8) === 0 ? pick(random, STRANGE) : pick(random, EXTENDED);
    view.setBigUint64(i * 16, significand, true);
    view.setUint16(i * 16 + 8, exponent, true);
    view.setFloat64(128 + i * 8, number(), true);
    view.setFloat32(192 + i * 4, number(), true);
    view.setInt32(224 + i * 4, pick(random, [0, 1, -1, 7, -2147483648, 100000, 65535]), true);
  }
  return bytes;
}
/** Where operands of so many bytes lie, i of 8; FILD m64 takes whatever doubles are as an integer. */
const place = (opcode: number, bytes: number, i: number): number => (bytes === 10 ? i * 16 : opcode === 0xdf || opcode === 0xda || opcode === 0xde || opcode === 0xdb ? (bytes === 8 ? 128 + i * 8 : 224 + i * 4) : bytes === 8 ? 128 + i * 8 : 192 + i * 4);

function instruction(random: Random): number[] {
  const kind = random(10);
  const i = random(4) === 0 ? random(8) : random(3);
  if (kind < 5) {
    const code = pick(random, REGISTER);
    return [code >> 8, (code & 0xff) + i];
  }
  if (kind === 5) {
    const code = pick(random, ALONE);
    return [code >> 8, code & 0xff];
  }
  // [rsi+disp32], [rdx+disp8]; at times a general register changes, or SSE comes between.
  if (kind < 9) {
    const [opcode, digit, bytes] = pick(random, LOADS) as [number, number, number];
    return [opcode, 0x86 | (digit << 3), ...new Uint8Array(Int32Array.of(place(opcode, bytes, random(8))).buffer)];
  }
  if (random(6) === 0) return pick(random, [[0xff, 0xc5], [0xf2, 0x0f, 0x58, 0xc1], [0x9b], [0xd9, 0xae, 0xf0, 0, 0, 0], [0x0f, 0xef, 0xc0]]);
  const [opcode, digit] = pick(random, STORES);
  return [opcode, 0x42 | (digit << 3), random(120)];
}

/** FXSAVE's image: full, half full or empty, with what control word. */
function image(random: Random): Uint8Array {
  const bytes = new Uint8Array(512);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, pick(random, [0x37f, 0x37f, 0x37f, 0x37f, 0x27f, 0xf7f, 0x77f, 0x07f, 0x340, 0x35f, 0x37e, 0x37b]), true);
  view.setUint16(2, (random(8) << 11) | pick(random, [0, 0x20, 0x4700, 0x220]), true);
  const top = (view.getUint16(2, true) >> 11) & 7;
  const used = pick(random, [0, 2, 3, 4, 4, 5, 5, 6, 7, 8]);
  for (let i = 0; i < used; i++) bytes[4]! |= 1 << ((top + i) & 7);
  view.setUint32(24, 0x1f80, true);
  for (let i = 0; i < 8; i++) {
    const [significand, exponent] = random(10) === 0 ? pick(random, STRANGE) : pick(random, EXTENDED);
    view.setBigUint64(32 + i * 16, significand, true);
    view.setUint16(40 + i * 16, exponent, true);
  }
  return bytes;
}

const bytesOf = (hexadecimal: string): number[] => [...Buffer.from(hexadecimal, 'hex')];
const u32 = (value: number): number[] => [...new Uint8Array(Uint32Array.of(value).buffer)];

/** CR0.NE, CR4.OSFXSR; GDT and IDT; RSI, RDX, RBX, RDI; three times FXRSTOR, the instructions, FXSAVE; HLT. */
function program(instructions: readonly number[][]): string {
  const begin = [...bytesOf('0f20c083c8200f22c00f20e00d000600000f22e0'), ...bytesOf('0f011425'), ...u32(GDT + 64), ...bytesOf('0f011c25'), ...u32(IDT + 0x400), 0xbe, ...u32(OPERANDS), 0xba, ...u32(RESULTS), 0xbb, ...u32(IMAGE), 0xbf, ...u32(SAVED), 0xb9, ...u32(3)];
  const body = [...bytesOf('0fae0b'), ...instructions.flat(), ...bytesOf('0fae07ffc9')];
  // The handler of #MF is no part of it.
  return Buffer.from([...begin, ...body, 0x0f, 0x85, ...u32(-(body.length + 6) >>> 0), 0xf4]).toString('hex');
}

function data(random: Random): ProgramData {
  const descriptors = new DataView(new ArrayBuffer(80));
  descriptors.setBigUint64(8, 0x00af9b000000ffffn, true);
  descriptors.setUint16(64, 15, true);
  descriptors.setUint32(66, GDT, true);
  const gates = new DataView(new ArrayBuffer(0x410));
  gates.setUint32(0x100, (8 << 16) | (HANDLER & 0xffff), true);
  gates.setUint32(0x104, (HANDLER & 0xffff0000) | 0x8e00, true);
  gates.setUint16(0x400, 0x3ff, true);
  gates.setUint32(0x402, IDT, true);
  // fxsave [rdi]; hlt
  return [[GDT, new Uint8Array(descriptors.buffer)], [IDT, new Uint8Array(gates.buffer)], [HANDLER, Uint8Array.from(bytesOf('0fae07f4'))], [IMAGE, image(random)], [OPERANDS, operands(random)]];
}

const CASES = Number(process.env['POLYVISOR_X87_RUNS'] ?? 120);
const eager = (options: Parameters<typeof createLocalTranslator>[0]) => createLocalTranslator({ ...options, tuning: { hot: 1, wait: 0, doublings: 0 } });

test('runs of x87 instructions', () => {
  const random = generator(Number(process.env['POLYVISOR_X87_SEED'] ?? 1));
  for (let k = 0; k < CASES; k++) {
    const code = program(Array.from({ length: 2 + random(14) }, () => instruction(random)));
    const memory = data(random);
    const translated = runProgram(eager, code, 1000, memory);
    const interpreted = runProgram(createInterpreter, code, 1000, memory);
    const seen = ({ memory: guest }: typeof translated): string => [SAVED, RESULTS].map((at) => {
      const bytes = Buffer.alloc(at === SAVED ? 416 : 256);
      guest.read(at, bytes);
      return bytes.toString('hex');
    }).join('\n');
    expect(seen(translated), `case ${k}: ${code}`).toBe(seen(interpreted));
    expectSame(translated, interpreted);
  }
}, 120_000);
