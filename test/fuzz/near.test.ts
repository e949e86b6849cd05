import { describe, expect, test } from 'vitest';
import { isNear } from '../../fuzz/cpu/near.ts';
import { CpuState, DATA, DATA_BYTES, GPR, RFLAGS, RIP, SELECTORS, VECTORS, X87, X87_CONTROL, X87_STATUS, selectorNames } from '../../fuzz/cpu/state.ts';
import { Decoder } from '../../src/isa/x86/decode/decoder.ts';
import { createInstruction } from '../../src/isa/x86/decode/instruction.ts';

// What may differ between two processors, and what is just beyond it: a rule too wide would hide differences.

const decoder = new Decoder();
const PLACE = 0x800;

interface Sides {
  readonly expected: CpuState;
  readonly actual: CpuState;
  readonly memory: Buffer;
  readonly actualMemory: Buffer;
}

/** Whether an instruction (hexadecimal) that leaves equal states but for what `change` does, and `differs` in this, is near. */
function near(code: string, differs: readonly string[], change: (sides: Sides) => void): boolean {
  const instruction = createInstruction();
  const bytes = Buffer.from(code, 'hex');
  expect(decoder.decode(bytes, 0, bytes.length, 64, instruction)).toBe('ok');
  const before = new CpuState();
  before.setU64(RIP, 0x2000000n);
  before.setU64(GPR, 7n); // RAX: the components of XSAVE
  before.setU64(GPR + 7 * 8, BigInt(DATA + PLACE));
  before.setU16(X87_CONTROL, 0x37f);
  const sides = { expected: before.clone(), actual: before.clone(), memory: Buffer.alloc(DATA_BYTES), actualMemory: Buffer.alloc(DATA_BYTES) };
  change(sides);
  const { expected, actual, memory, actualMemory } = sides;
  return isNear({ engine: 'interpreter', instruction, before, expected: { state: expected, raised: false, change: undefined }, raised: false, actual, differs }, memory, actualMemory);
}

describe('transcendental functions', () => {
  const fsin = (distance: bigint, exponent = 0x3ffe): boolean => near('d9fe', ['r0x87'], ({ expected, actual }) => {
    for (const state of [expected, actual]) state.setU16(X87 + 8, 0x3ffe);
    expected.setU64(X87, 0x8000_0000_0000_1000n);
    actual.setU16(X87 + 8, exponent);
    actual.setU64(X87, 0x8000_0000_0000_1000n + distance);
  });
  test('one unit in the last place', () => expect([fsin(1n), fsin(-1n), fsin(2n), fsin(-2n)]).toEqual([true, true, false, false]));
  test('not another exponent or sign', () => expect([fsin(0n, 0x3fff), fsin(0n, 0xbffe)]).toEqual([false, false]));
  test('C1 of inexact results, no other bit', () => {
    const status = (theirs: number, ours: number): boolean => near('d9fe', ['fsw'], ({ expected, actual }) => {
      expected.setU16(X87_STATUS, theirs);
      actual.setU16(X87_STATUS, ours);
    });
    expect([status(0x220, 0x20), status(0x200, 0), status(0x30, 0x20), status(0x4020, 0x20)]).toEqual([true, false, false, false]);
  });
  test('exact instructions have no bound', () => {
    expect(near('d8c1', ['r0x87'], ({ actual }) => actual.setU64(X87, 1n))).toBe(false);
  });
});

test('reciprocals: 3 * 2^-12 between them', () => {
  const rcpps = (ours: number): boolean => near('0f53c1', ['ymm0'], ({ expected, actual }) => {
    expected.view.setFloat32(VECTORS + 4, 0.5, true);
    actual.view.setFloat32(VECTORS + 4, ours, true);
  });
  expect([rcpps(0.5 * (1 + 2.9 * 2 ** -12)), rcpps(0.5 * (1 - 3.1 * 2 ** -12)), rcpps(-0.5), rcpps(Number.POSITIVE_INFINITY)]).toEqual([true, false, false, false]);
});
test('reciprocals next to the smallest normal number may be zero of the same sign', () => {
  const rcpps = (theirs: number, ours: number): boolean => near('0f53c1', ['ymm0'], ({ expected, actual }) => {
    expected.view.setFloat32(VECTORS + 4, theirs, true);
    actual.view.setFloat32(VECTORS + 4, ours, true);
  });
  const least = 2 ** -126;
  expect([rcpps(-0, -least), rcpps(least, 0), rcpps(-0, least), rcpps(0, 2 * least)]).toEqual([true, true, false, false]);
});

describe('images at [rdi]', () => {
  const image = (code: string, change: (theirs: Buffer, ours: Buffer) => void): boolean => near(code, ['memory 0x1000800'], ({ memory, actualMemory }) => change(memory.subarray(PLACE), actualMemory.subarray(PLACE)));
  const [FNSTENV, FXSAVE, FXSAVE64, XSAVE, XSAVEC] = ['d937', '0fae07', '480fae07', '0fae27', '0fc727'] as const;
  test('pointers without an exception pending; with one only if the reference has none', () => {
    for (const code of [FXSAVE, XSAVE]) expect([code, image(code, (_, ours) => ours.fill(7, 6, 14).fill(7, 16, 22))]).toEqual([code, true]);
    expect([FXSAVE64, FXSAVE].map((code) => image(code, (_, ours) => ours.fill(7, 6, 24)))).toEqual([true, false]);
    const pending = (theirs: Buffer, ours: Buffer): void => [theirs, ours].forEach((bytes) => bytes.writeUInt16LE(0x8081, 2));
    expect(image(FXSAVE64, (theirs, ours) => { pending(theirs, ours); ours[8] = 7; })).toBe(true);
    expect(image(FXSAVE64, (theirs, ours) => { pending(theirs, ours); theirs[9] = 1; ours[8] = 7; })).toBe(false);
  });
  test('the fields of FNSTENV', () => {
    for (const [at, expected] of [[0, false], [4, false], [8, false], [12, true], [18, true], [24, true], [28, false]] as const) {
      expect([at, image(FNSTENV, (_, ours) => (ours[at] = 1))]).toEqual([at, expected]);
    }
  });
  test('MXCSR_MASK has AMD\'s bit and no other', () => {
    expect([0x20000, 0x10000].map((bit) => image(FXSAVE, (theirs) => theirs.writeUInt32LE(bit, 28)))).toEqual([true, false]);
  });
  test('registers and what lies around', () => {
    for (const at of [0, 5, 24, 32, 160, 415, 511, -1]) expect([at, near(FXSAVE, ['memory 0x1000800'], ({ actualMemory }) => (actualMemory[PLACE + at] = 1))]).toEqual([at, false]);
  });
  test('a component that is in use in its initial state', () => {
    const inUse = (value: number): boolean => image(XSAVEC, (theirs) => {
      theirs[512] = 4;
      theirs.fill(value, 576, 832);
    });
    expect([inUse(0), inUse(1)]).toEqual([true, false]);
  });
});

describe('segments', () => {
  const DS = SELECTORS + 2 * selectorNames.indexOf('ds');
  test('null selectors are one', () => {
    const ds = (theirs: number, ours: number): boolean => near('8ed8', ['ds'], ({ expected, actual }) => {
      expected.setU16(DS, theirs);
      actual.setU16(DS, ours);
    });
    expect([ds(0, 3), ds(0, 4), ds(0x2b, 0x28)]).toEqual([true, false, false]);
  });
  test('LAR: the bits of the limit', () => {
    // lar ecx, ax
    const lar = (bits: bigint): boolean => near('0f02c8', ['rcx'], ({ actual }) => actual.setU64(GPR + 8, bits));
    expect([lar(0xf0000n), lar(0x100000n), lar(0x8000n)]).toEqual([true, false, false]);
  });
  test('LSL: the number of a processor', () => {
    // lsl ecx, ax
    const lsl = (limit: bigint): boolean => near('0f03c8', ['rcx'], ({ actual }) => actual.setU64(GPR + 8, limit));
    expect([lsl(3n), lsl(0xffffffffn)]).toEqual([true, false]);
  });
});

describe('what each processor answers for itself', () => {
  const answer = (code: string, register: number, theirs: bigint, ours: bigint, names = ['rax', 'rcx', 'rdx'] as const): boolean => near(code, [names[register]!], ({ expected, actual }) => {
    expected.setU64(GPR + register * 8, theirs);
    actual.setU64(GPR + register * 8, ours);
  });
  test('RDTSC, RDTSCP and CPUID: their registers, without upper halves', () => {
    const [RDTSC, RDTSCP, CPUID] = ['0f31', '0f01f9', '0fa2'] as const;
    expect([answer(RDTSC, 0, 1n, 2n), answer(RDTSC, 1, 1n, 2n), answer(RDTSC, 0, 1n, 1n << 32n)]).toEqual([true, false, false]);
    expect([answer(RDTSCP, 1, 1n, 2n), answer(CPUID, 2, 1n, 2n), answer(CPUID, 2, 1n << 32n, 2n)]).toEqual([true, true, false]);
  });
  test('RDRAND: its operand, of its size; carry where the host had none', () => {
    // rdrand cx, ecx, rcx
    expect(['660fc7f1', '0fc7f1', '480fc7f1'].map((code) => answer(code, 1, 0xffffn, 0x1_0000_0001n))).toEqual([false, false, true]);
    expect(answer('0fc7f1', 0, 1n, 2n)).toBe(false);
    const flags = (theirs: bigint, ours: bigint): boolean => near('0fc7f1', ['flags'], ({ expected, actual }) => {
      expected.setU64(RFLAGS, theirs);
      actual.setU64(RFLAGS, ours);
    });
    expect([flags(2n, 3n), flags(3n, 2n), flags(2n, 0x43n)]).toEqual([true, false, false]);
  });
});
