import { describe, expect, test } from 'vitest';
import { CR0, FLAGS_CARRY, FLAGS_RESULT, X87, X87_CONTROL, X87_STATUS, X87_TAGS } from '../isa/x86/state/layout.ts';
import { nativeUnavailable, randomWords, runNative } from '../../test/support/native.ts';
import { RuntimeFixture } from '../../test/support/runtime.ts';

// Every instruction on random states made of edge values, against the host processor: registers, tags, control and
// status words, memory and EFLAGS to the bit; the transcendental ones to one unit in the last place.

type MemoryKind = 'f32' | 'f64' | 'f80' | 'integer' | 'bcd' | 'none';
interface Instruction {
  readonly name: string;
  /** AT&T text; (%0) is the memory operand. */
  readonly asm: string;
  readonly routine: string;
  /** `memory` stands for the operand read by its kind, `address` for its linear address. */
  readonly args: readonly (number | 'i16' | 'i32' | 'i64' | 'f80' | 'address')[];
  readonly memory: MemoryKind;
  readonly tolerance: number;
}

const instructions: Instruction[] = [];
function add(name: string, asm: string, routine: string, args: Instruction['args'], memory: MemoryKind = 'none', tolerance = 0): void {
  instructions.push({ name, asm, routine, args, memory, tolerance });
}
const arithmetic = ['add', 'mul', 'com', 'comp', 'sub', 'subr', 'div', 'divr'];
const bytes = (...values: number[]): string => `.byte ${values.map((value) => `0x${value.toString(16)}`).join(',')}`;
arithmetic.forEach((name, operation) => {
  for (const i of [0, 1, 5]) add(`f${name} st,st${i}`, bytes(0xd8, 0xc0 + operation * 8 + i), 'x87Arithmetic', [operation, i]);
  if (operation < 2 || operation > 3) {
    // In the DC and DE forms the digits of SUB and SUBR, DIV and DIVR are exchanged.
    const digit = operation < 2 ? operation : operation ^ 1;
    for (const i of [0, 1, 6]) {
      add(`f${name} st${i},st`, bytes(0xdc, 0xc0 + digit * 8 + i), 'x87ArithmeticTo', [operation, i, 0]);
      add(`f${name}p st${i},st`, bytes(0xde, 0xc0 + digit * 8 + i), 'x87ArithmeticTo', [operation, i, 1]);
    }
  }
  add(`f${name} m32`, `f${name}s (%0)`, 'x87ArithmeticF32', [operation, 'i32'], 'f32');
  add(`f${name} m64`, `f${name}l (%0)`, 'x87ArithmeticF64', [operation, 'i64'], 'f64');
  add(`fi${name} m16`, `fi${name}s (%0)`, 'x87ArithmeticInteger', [operation, 'i16'], 'integer');
  add(`fi${name} m32`, `fi${name}l (%0)`, 'x87ArithmeticInteger', [operation, 'i32'], 'integer');
});
for (const i of [0, 1, 4]) {
  add(`fcom ${i}`, `fcom %%st(${i})`, 'x87Compare', [i, 0, 0]);
  add(`fcomp ${i}`, `fcomp %%st(${i})`, 'x87Compare', [i, 1, 0]);
  add(`fucom ${i}`, `fucom %%st(${i})`, 'x87Compare', [i, 0, 1]);
  add(`fucomp ${i}`, `fucomp %%st(${i})`, 'x87Compare', [i, 1, 1]);
  add(`fcomi ${i}`, `fcomi %%st(${i}), %%st`, 'x87CompareFlags', [i, 0, 0]);
  add(`fcomip ${i}`, `fcomip %%st(${i}), %%st`, 'x87CompareFlags', [i, 1, 0]);
  add(`fucomi ${i}`, `fucomi %%st(${i}), %%st`, 'x87CompareFlags', [i, 0, 1]);
  add(`fucomip ${i}`, `fucomip %%st(${i}), %%st`, 'x87CompareFlags', [i, 1, 1]);
  add(`fxch ${i}`, `fxch %%st(${i})`, 'x87Exchange', [i]);
  add(`fld st${i}`, `fld %%st(${i})`, 'x87LoadRegister', [i]);
  add(`fst st${i}`, `fst %%st(${i})`, 'x87StoreRegister', [i, 0]);
  add(`fstp st${i}`, `fstp %%st(${i})`, 'x87StoreRegister', [i, 1]);
  add(`ffree ${i}`, `ffree %%st(${i})`, 'x87Free', [i, 0]);
  add(`ffreep ${i}`, bytes(0xdf, 0xc0 + i), 'x87Free', [i, 1]);
  add(`fcmovb ${i} yes`, `stc; fcmovb %%st(${i}), %%st`, 'x87Move', [i, 1]);
  add(`fcmovb ${i} no`, `clc; fcmovb %%st(${i}), %%st`, 'x87Move', [i, 0]);
}
add('fcompp', 'fcompp', 'x87Compare', [1, 2, 0]);
add('fucompp', 'fucompp', 'x87Compare', [1, 2, 1]);
add('fld m32', 'flds (%0)', 'x87LoadF32', ['i32'], 'f32');
add('fld m64', 'fldl (%0)', 'x87LoadF64', ['i64'], 'f64');
add('fld m80', 'fldt (%0)', 'x87LoadF80', ['f80'], 'f80');
add('fild m16', 'filds (%0)', 'x87LoadInteger', ['i16'], 'integer');
add('fild m32', 'fildl (%0)', 'x87LoadInteger', ['i32'], 'integer');
add('fild m64', 'fildll (%0)', 'x87LoadInteger', ['i64'], 'integer');
add('fbld', 'fbld (%0)', 'x87LoadBcd', ['f80'], 'bcd');
for (const [suffix, pop] of [['', 0], ['p', 1]] as const) {
  add(`fst${suffix} m32`, `fst${suffix}s (%0)`, 'x87StoreF32', ['address', pop]);
  add(`fst${suffix} m64`, `fst${suffix}l (%0)`, 'x87StoreF64', ['address', pop]);
  add(`fist${suffix} m16`, `fist${suffix}s (%0)`, 'x87StoreInteger', ['address', 2, pop, 0]);
  add(`fist${suffix} m32`, `fist${suffix}l (%0)`, 'x87StoreInteger', ['address', 4, pop, 0]);
}
add('fstp m80', 'fstpt (%0)', 'x87StoreF80', ['address']);
add('fistp m64', 'fistpll (%0)', 'x87StoreInteger', ['address', 8, 1, 0]);
add('fisttp m16', 'fisttps (%0)', 'x87StoreInteger', ['address', 2, 1, 1]);
add('fisttp m32', 'fisttpl (%0)', 'x87StoreInteger', ['address', 4, 1, 1]);
add('fisttp m64', 'fisttpll (%0)', 'x87StoreInteger', ['address', 8, 1, 1]);
add('fbstp', 'fbstp (%0)', 'x87StoreBcd', ['address']);
for (const [name, code] of [
  ['fchs', 0xe0], ['fabs', 0xe1], ['ftst', 0xe4], ['fxam', 0xe5], ['fld1', 0xe8], ['fldl2t', 0xe9], ['fldl2e', 0xea], ['fldpi', 0xeb], ['fldlg2', 0xec], ['fldln2', 0xed], ['fldz', 0xee],
  ['fxtract', 0xf4], ['fprem1', 0xf5], ['fdecstp', 0xf6], ['fincstp', 0xf7], ['fprem', 0xf8], ['fsqrt', 0xfa], ['frndint', 0xfc], ['fscale', 0xfd],
] as const) add(name, name, 'x87Operate', [code]);
for (const [name, code] of [['f2xm1', 0xf0], ['fyl2x', 0xf1], ['fptan', 0xf2], ['fpatan', 0xf3], ['fyl2xp1', 0xf9], ['fsincos', 0xfb], ['fsin', 0xfe], ['fcos', 0xff]] as const) {
  add(name, name, 'x87Operate', [code], 'none', 1);
}

const program = `
#include <stdint.h>
#include <stdio.h>
#include <string.h>
struct in { uint32_t id, pad; unsigned char image[112], memory[16]; };
struct out { unsigned char image[112], memory[16]; uint64_t flags; };
int main(void) {
  static struct in in; static struct out out;
  while (fread(&in, sizeof in, 1, stdin) == 1) {
    uint64_t flags = 0; void *p = in.memory;
    memset(&out, 0, sizeof out);
    switch (in.id) {
${instructions.map((instruction, id) => `case ${id}: __asm__ volatile("xor %%eax, %%eax; frstor (%2); ${instruction.asm}; pushfq; popq %1; fnsave (%3); fninit" : : "r"(p), "r"(flags), "r"(in.image), "r"(out.image) : "rax", "memory", "cc"); break;`.replace(': : "r"(p), "r"(flags)', ': : "r"(p), "r"(flags)')).map((line) => line.replace('popq %1', 'popq %%rax; mov %%rax, (%4)').replace('"r"(out.image)', '"r"(out.image), "r"(&out.flags)')).join('\n')}
    }
    memcpy(out.memory, in.memory, 16);
    fwrite(&out, sizeof out, 1, stdout);
  }
  return 0;
}`;

interface Register {
  readonly significand: bigint;
  readonly se: number;
}
interface Vector {
  readonly id: number;
  readonly control: number;
  readonly status: number;
  readonly tags: number;
  readonly registers: readonly Register[];
  readonly memory: readonly [bigint, bigint];
}

const TOP = 1n << 63n;
const f80Edges: [bigint, number][] = [
  [0n, 0], [1n, 0], [TOP - 1n, 0], [TOP, 0], [TOP | 1n, 0], [0x4000000000000000n, 0], [TOP, 1], [TOP | 1n, 1], [TOP, 0x3fff], [TOP | 1n, 0x3fff], [0xffffffffffffffffn, 0x3ffe], [TOP, 0x4000],
  [0xc000000000000000n, 0x3fff], [TOP, 0x3ffe], [0xffffffffffffffffn, 0x3ffd], [0xc90fdaa22168c235n, 0x4000], [0xc90fdaa22168c235n, 0x3fff], [0xb504f333f9de6484n, 0x3ffe], [0xb504f333f9de6485n, 0x3fff],
  [0xffffffffffffffffn, 0x7ffe], [TOP, 0x7ffe], [TOP, 0x7fff], [0xc000000000000000n, 0x7fff], [0xc000000000000123n, 0x7fff], [TOP | 1n, 0x7fff], [0xa00000000000abcdn, 0x7fff], [0n, 0x7fff],
  [0x4000000000000000n, 0x7fff], [0x4000000000000000n, 0x4000], [1n, 0x3fff], [0xffffffff00000000n, 0x401e], [0xfffffffe00000000n, 0x401d], [TOP, 0x401e], [TOP, 0x403e], [0xffffffffffffffffn, 0x403d],
  [0xfffe000000000000n, 0x400d], [TOP, 0x400e], [0xde0b6b3a7640000n << 4n, 0x403a], [0xffffffffffffffffn, 0x407e], [0xffffff8000000000n, 0x407e], [0xffffff0000000000n, 0x407e], [TOP, 0x407f],
  [0xfffffffffffffbffn, 0x43fe], [0xfffffffffffffc00n, 0x43fe], [TOP, 0x43ff], [TOP, 0x3f81], [0xffffff7fffffffffn, 0x3f80], [TOP, 0x3c01], [0xfffffffffffffbffn, 0x3c00], [TOP | 1n, 0x3bcd], [TOP, 0x1fff], [TOP | 1n, 0x2000], [0xc000000000000000n, 0x5fff],
];
const f64Edges = [0n, 1n, 0xfffffffffffffn, 0x10000000000000n, 0x3ff0000000000000n, 0x4000000000000000n, 0x400921fb54442d18n, 0x7fefffffffffffffn, 0x7ff0000000000000n, 0x7ff8000000000123n, 0x7ff0000000000123n];
const f32Edges = [0n, 1n, 0x7fffffn, 0x800000n, 0x3f800000n, 0x40000000n, 0x40490fdbn, 0x7f7fffffn, 0x7f800000n, 0x7fc00123n, 0x7f800123n];
const integerEdges = [0n, 1n, -1n, 100n, 0x7fffn, -0x8000n, 0x7fffffffn, -0x80000000n, 0x7fffffffffffffffn, -0x8000000000000000n];

function vectors(count: (instruction: Instruction) => number): Vector[] {
  const random = randomWords(0xfeed_beef_1234_5679n);
  const below = (n: number): number => Number(random() % BigInt(n));
  const pick = <T>(values: readonly T[]): T => values[below(values.length)]!;
  const register = (): Register => {
    const choice = below(8);
    if (choice < 4) {
      const [significand, se] = pick(f80Edges);
      return { significand, se: se | (below(2) << 15) };
    }
    const significand = choice === 4 ? TOP | random() : TOP | (random() << BigInt(below(62)));
    // Mostly moderate exponents, so that operands meet.
    const exponent = choice === 5 ? below(0x7fff) : choice === 6 ? 0x3fff - 66 + below(132) : 0x3fff - 3 + below(7);
    return { significand: BigInt.asUintN(64, significand) | TOP, se: exponent | (below(2) << 15) };
  };
  const memory = (kind: MemoryKind): [bigint, bigint] => {
    if (kind === 'f32') return [below(3) === 0 ? BigInt.asUintN(32, random()) : pick(f32Edges) | (BigInt(below(2)) << 31n), 0x1111222233334444n];
    if (kind === 'f64') return [below(3) === 0 ? random() : pick(f64Edges) | (BigInt(below(2)) << 63n), 0x1111222233334444n];
    if (kind === 'integer') return [BigInt.asUintN(64, below(2) === 0 ? pick(integerEdges) : BigInt.asIntN(64, random()) >> BigInt(below(64))), 0n];
    if (kind === 'f80') {
      const { significand, se } = register();
      return [significand, BigInt(se)];
    }
    if (kind === 'bcd') {
      let digits = 0n;
      for (let i = 0; i < 18; i++) digits |= BigInt(below(3) === 0 ? below(10) : below(2) * 9) << BigInt(i * 4);
      return [BigInt.asUintN(64, digits), (digits >> 64n) | (BigInt(below(2)) << 15n)];
    }
    return [random(), random()];
  };
  const list: Vector[] = [];
  instructions.forEach((instruction, id) => {
    for (let i = 0; i < count(instruction); i++) {
      const masks = below(3) === 0 ? below(64) : 0x3f;
      // A third with the control word that most programs have, which x87-quick.ts is for.
      const control = below(3) === 0 ? 0x37f : masks | 0x40 | (pick([0, 2, 3, 3, 3]) << 8) | (below(4) << 10);
      const status = (below(16384) & 0x4700) | (below(64) & control & 0x3f) | (below(8) << 11);
      let tags = 0;
      const emptiness = pick([0, 0, 1, 4]);
      for (let r = 0; r < 8; r++) if (below(8) < emptiness) tags |= 3 << (r * 2);
      // Room for a push, mostly.
      if (below(4) !== 0) tags |= 3 << ((((status >> 11) + 7) & 7) * 2);
      list.push({ id, control, status, tags, registers: Array.from({ length: 8 }, register), memory: memory(instruction.memory) });
    }
  });
  return list;
}

const OPERAND = 0x5000;
const m = new RuntimeFixture();
m.mode({ cr0: 0x31n, long: true });

interface Outcome {
  readonly control: number;
  readonly status: number;
  readonly tags: number;
  readonly registers: readonly Register[];
  readonly memory: readonly [bigint, bigint];
  readonly flags: number;
}

function setState(vector: Vector): void {
  m.view.setUint16(m.cpu + X87_CONTROL, vector.control, true);
  m.view.setUint16(m.cpu + X87_STATUS, vector.status, true);
  m.view.setUint16(m.cpu + X87_TAGS, vector.tags, true);
  vector.registers.forEach((register, physical) => {
    m.setU64(X87 + physical * 16, register.significand);
    m.view.setUint16(m.cpu + X87 + physical * 16 + 8, register.se, true);
  });
}

/** The full tag word's class of a register. */
function tagOf(register: Register): number {
  const exponent = register.se & 0x7fff;
  if (exponent === 0) return register.significand === 0n ? 1 : 2;
  return exponent === 0x7fff || register.significand < TOP ? 2 : 0;
}

function run(vector: Vector): Outcome {
  const instruction = instructions[vector.id]!;
  setState(vector);
  m.setU64(FLAGS_RESULT, 1n);
  m.setU64(FLAGS_CARRY, 1n << 8n);
  m.poke64(OPERAND, vector.memory[0]);
  m.poke64(OPERAND + 8, vector.memory[1]);
  const operand = m.peek64(OPERAND);
  const wide = instruction.routine === 'x87LoadInteger';
  const signed = (bits: number): number | bigint => (wide || bits === 64 ? BigInt.asIntN(bits, operand) : Number(BigInt.asIntN(bits, operand)));
  const args = instruction.args.flatMap((arg): (number | bigint)[] => {
    if (typeof arg === 'number') return [arg];
    if (arg === 'address') return [BigInt(OPERAND)];
    if (arg === 'f80') return [BigInt.asIntN(64, operand), Number(BigInt.asUintN(16, m.peek64(OPERAND + 8)))];
    return [signed(Number(arg.slice(1)))];
  });
  expect(m.call(instruction.routine, ...args)).toBe(0);
  const state = (offset: number): number => m.view.getUint16(m.cpu + offset, true);
  const registers = vector.registers.map((_, physical) => ({ significand: m.u64(X87 + physical * 16), se: state(X87 + physical * 16 + 8) }));
  let tags = 0;
  registers.forEach((register, physical) => {
    tags |= (((state(X87_TAGS) >> (physical * 2)) & 3) === 3 ? 3 : tagOf(register)) << (physical * 2);
  });
  return { control: state(X87_CONTROL), status: state(X87_STATUS), tags, registers, memory: [m.peek64(OPERAND), m.peek64(OPERAND + 8)], flags: statusFlags() };
}

/** ZF, PF and CF of the lazily kept flags. */
function statusFlags(): number {
  const result = m.u64(FLAGS_RESULT);
  const carry = m.u64(FLAGS_CARRY);
  let parity = Number((result ^ (carry >> 8n)) & 0xffn);
  parity ^= parity >> 4;
  parity ^= parity >> 2;
  parity ^= parity >> 1;
  return Number(carry >> 63n) | ((parity & 1) === 0 ? 4 : 0) | (result === 0n ? 0x40 : 0);
}

/** The 108-byte image of FRSTOR and FNSAVE. */
function writeImage(target: DataView, at: number, vector: Vector): void {
  target.setUint32(at, 0xffff0000 | vector.control, true);
  target.setUint32(at + 4, 0xffff0000 | vector.status, true);
  target.setUint32(at + 8, 0xffff0000 | vector.tags, true);
  const top = (vector.status >> 11) & 7;
  for (let i = 0; i < 8; i++) {
    const register = vector.registers[(top + i) & 7]!;
    target.setBigUint64(at + 28 + i * 10, register.significand, true);
    target.setUint16(at + 36 + i * 10, register.se, true);
  }
}
function readImage(source: Buffer, at: number): Pick<Outcome, 'control' | 'status' | 'tags' | 'registers'> {
  const status = source.readUInt16LE(at + 4);
  const top = (status >> 11) & 7;
  const registers: Register[] = Array.from({ length: 8 });
  for (let i = 0; i < 8; i++) registers[(top + i) & 7] = { significand: source.readBigUInt64LE(at + 28 + i * 10), se: source.readUInt16LE(at + 36 + i * 10) };
  return { control: source.readUInt16LE(at), status, tags: source.readUInt16LE(at + 8), registers };
}

const text = (register: Register): string => `${register.se.toString(16)}:${register.significand.toString(16)}`;
function describeOutcome(outcome: Omit<Outcome, 'flags'>): string {
  const top = (outcome.status >> 11) & 7;
  return `cw ${outcome.control.toString(16)} sw ${outcome.status.toString(16)} tw ${outcome.tags.toString(16)} st0 ${text(outcome.registers[top]!)} st1 ${text(outcome.registers[(top + 1) & 7]!)} mem ${outcome.memory.map((word) => word.toString(16)).join(',')}`;
}

/** Differences in units of the last place of two registers; NaN when they are of another kind. */
function distance(a: Register, b: Register): number {
  if (a.se === b.se && a.significand === b.significand) return 0;
  const order = (register: Register): bigint => {
    const magnitude = (BigInt(register.se & 0x7fff) << 63n) | (register.significand & (TOP - 1n));
    return (register.se & 0x8000) !== 0 ? -magnitude : magnitude;
  };
  if ((a.se & 0x7fff) === 0x7fff || (b.se & 0x7fff) === 0x7fff) return Number.NaN;
  const difference = order(a) - order(b);
  return Number(difference < 0n ? -difference : difference);
}

function same(instruction: Instruction, got: Outcome, expected: Outcome): boolean {
  if (got.control !== expected.control || got.tags !== expected.tags || got.memory[0] !== expected.memory[0] || got.memory[1] !== expected.memory[1]) return false;
  // The lowest bit may be rounded the other way: C1 says how.
  // FCOMI and its kin clear C1 by the manual; some processors leave it.
  const ignored = instruction.tolerance > 0 || instruction.routine === 'x87CompareFlags' ? 0x200 : 0;
  if (((got.status ^ expected.status) & ~ignored) !== 0) return false;
  if (instruction.routine === 'x87CompareFlags' && got.flags !== expected.flags) return false;
  return got.registers.every((register, i) => distance(register, expected.registers[i]!) <= instruction.tolerance);
}

const missing = nativeUnavailable();
describe.skipIf(missing !== undefined)(`x87 routines against the host processor${missing === undefined ? '' : ` (skipped: ${missing})`}`, () => {
  test('registers, tags, status, memory and flags agree', () => {
    const list = vectors((instruction) => (instruction.tolerance > 0 ? 1500 : 400));
    const size = 8 + 112 + 16;
    const input = new DataView(new ArrayBuffer(list.length * size));
    list.forEach((vector, i) => {
      input.setUint32(i * size, vector.id, true);
      writeImage(input, i * size + 8, vector);
      input.setBigUint64(i * size + 120, vector.memory[0], true);
      input.setBigUint64(i * size + 128, vector.memory[1], true);
    });
    const output = runNative(program, new Uint8Array(input.buffer));
    expect(output.length).toBe(list.length * 136);
    const wrong = new Map<string, string[]>();
    list.forEach((vector, i) => {
      const at = i * 136;
      const expected: Outcome = {
        ...readImage(output, at), memory: [output.readBigUInt64LE(at + 112), output.readBigUInt64LE(at + 120)], flags: Number(output.readBigUInt64LE(at + 128)) & 0x45,
      };
      const instruction = instructions[vector.id]!;
      const got = run(vector);
      if (same(instruction, got, expected)) return;
      const line = `\n    before    ${describeOutcome(vector)}\n    got       ${describeOutcome(got)} ${got.flags.toString(16)}\n    processor ${describeOutcome(expected)} ${expected.flags.toString(16)}`;
      wrong.set(instruction.name, [...(wrong.get(instruction.name) ?? []), line]);
    });
    expect([...wrong].map(([name, lines]) => `${name}: ${lines.length}${lines.slice(0, 3).join('')}`).join('\n')).toBe('');
  });
});
