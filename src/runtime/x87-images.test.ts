import { beforeEach, describe, expect, test } from 'vitest';
import {
  CR0, FAULT_VECTOR, MODE, MODE_CODE16, MODE_CODE32, MODE_REAL, VECTOR_MF, VECTOR_NM, VECTOR_PF, X87, X87_CONTROL, X87_DP, X87_DP_SELECTOR, X87_IP, X87_IP_SELECTOR, X87_OPCODE, X87_STATUS,
  X87_TAGS,
} from '../isa/x86/state/layout.ts';
import { nativeUnavailable, randomWords, runNative } from '../../test/support/native.ts';
import { RuntimeFixture } from '../../test/support/runtime.ts';

const IMAGE = 0x5000;
const OUT = 0x6000;
let m: RuntimeFixture;
beforeEach(() => {
  m = new RuntimeFixture();
  m.mode({ cr0: 0x31n, long: true });
  m.call('x87Init');
});
const u16 = (offset: number): number => m.view.getUint16(m.cpu + offset, true);
const setU16 = (offset: number, value: number): void => m.view.setUint16(m.cpu + offset, value, true);
const memory16 = (physical: number): number => m.view.getUint16(m.host(physical), true);
const fields = (wide: number): number[] => Array.from({ length: 7 }, (_, i) => (wide === 1 ? m.peek32(OUT + i * 4) >>> 0 : memory16(OUT + i * 2)));

function setPointers(): void {
  m.setU64(X87_IP, 0x8765_4321n);
  m.setU64(X87_DP, 0x1234_5678n);
  setU16(X87_IP_SELECTOR, 0x33);
  setU16(X87_DP_SELECTOR, 0x2b);
  setU16(X87_OPCODE, 0x5ab);
}

describe('environment formats (SDM 1, figures 8-9 to 8-12)', () => {
  beforeEach(setPointers);
  test.each([
    ['protected, 32 bits', MODE_CODE32, 1, [0xffff037f, 0xffff0000, 0xffffffff, 0x87654321, 0x05ab0033, 0x12345678, 0xffff002b]],
    ['protected, 16 bits', MODE_CODE32, 0, [0x37f, 0, 0xffff, 0x4321, 0x33, 0x5678, 0x2b]],
    ['real, 32 bits', MODE_CODE16 | MODE_REAL, 1, [0xffff037f, 0xffff0000, 0xffffffff, 0xffff4651, ((0x8765 << 12) | 0x5ab) >>> 0, 0xffff5928, (0x1234 << 12) >>> 0]],
    ['real, 16 bits', MODE_CODE16 | MODE_REAL, 0, [0x37f, 0, 0xffff, 0x4651, 0x55ab, 0x5928, 0x4000]],
  ] as const)('%s', (_, mode, wide, expected) => {
    m.setU32(MODE, mode);
    expect(m.call('x87SaveEnvironment', BigInt(OUT), wide)).toBe(0);
    expect(fields(wide)).toEqual(expected);
    const written = wide === 1 ? 28 : 14;
    expect(m.slice(OUT + written, 4)).toEqual([0, 0, 0, 0]);
    m.call('x87Init');
    expect(m.call('x87LoadEnvironment', BigInt(OUT), wide)).toBe(0);
    expect(m.call('x87SaveEnvironment', BigInt(OUT), wide)).toBe(0);
    expect(fields(wide)).toEqual(expected);
  });
});

describe('exceptions', () => {
  test('an unmasked one waits for the next waiting instruction', () => {
    m.call('x87SetControl', 0x37b);
    m.call('x87Operate', 0xe8);
    m.call('x87ArithmeticF64', 6, 0n);
    expect(m.takeFault()).toBeUndefined();
    expect(u16(X87_STATUS) & 0x8084).toBe(0x8084);
    expect(m.call('x87SaveEnvironment', BigInt(OUT), 1)).toBe(0);
    // FNSTENV masked it.
    expect(u16(X87_STATUS) & 0x8080).toBe(0);
    expect(m.call('x87LoadEnvironment', BigInt(OUT), 1)).toBe(0);
    expect(u16(X87_STATUS) & 0x8080).toBe(0x8080);
    const before = u16(X87_STATUS);
    expect(m.call('x87Operate', 0xe8)).toBe(1);
    expect(m.takeFault()).toMatchObject({ vector: VECTOR_MF, error: undefined });
    expect(m.call('x87CheckWait')).toBe(1);
    expect(m.takeFault()?.vector).toBe(VECTOR_MF);
    expect(u16(X87_STATUS)).toBe(before);
    expect(m.call('x87Clear')).toBe(0);
    expect(m.call('x87Operate', 0xe8)).toBe(0);
  });
  test('FLDCW that unmasks a raised one makes it pending', () => {
    m.call('x87LoadInteger', 1n);
    m.call('x87ArithmeticF64', 6, 0x4008000000000000n);
    expect(u16(X87_STATUS) & 0x80a0).toBe(0x20);
    expect(m.call('x87SetControl', 0x35f)).toBe(0);
    expect(m.call('x87Check')).toBe(1);
    expect(m.takeFault()?.vector).toBe(VECTOR_MF);
  });
  test.each([[4n], [8n]])('CR0 bit %i: #NM', (bit) => {
    m.setU64(CR0, 0x31n | bit);
    for (const [name, ...args] of [['x87Operate', 0xe8], ['x87Init'], ['x87Clear'], ['x87SaveState', BigInt(OUT), 1], ['x87LoadInteger', 1n]] as [string, ...(number | bigint)[]][]) {
      expect(m.call(name, ...args), name).toBe(1);
      expect(m.takeFault()?.vector).toBe(VECTOR_NM);
    }
    expect(u16(X87_TAGS)).toBe(0xffff);
    // FWAIT looks at TS only together with MP.
    expect(m.call('x87CheckWait')).toBe(0);
    m.setU64(CR0, 0x33n | bit);
    expect(m.call('x87CheckWait')).toBe(bit === 8n ? 1 : 0);
  });
  test('instruction pointer of the last instruction, not of control instructions', () => {
    m.call('x87Operate', 0xe8);
    expect(m.u64(X87_IP)).toBe(0x40_0100n);
    m.setU64(X87_IP, 5n);
    m.call('x87SetControl', 0x37f);
    expect(m.u64(X87_IP)).toBe(5n);
  });
});

test('a store that faults changes nothing', () => {
  m.call('x87LoadF64', 0x3ff5555555555555n);
  const before = [...m.bytes.slice(m.cpu + X87, m.cpu + X87_OPCODE)];
  // Paging on with an empty table at 0: every access faults.
  m.mode({ cr0: 0x80010033n, cr3: 0x10000n, cr4: 0n, long: false });
  for (const [name, ...args] of [['x87StoreF32', 0x9000n, 1], ['x87StoreInteger', 0x9000n, 4, 1, 0], ['x87StoreF80', 0x9ffcn], ['x87StoreBcd', 0x9000n], ['x87SaveState', 0x9000n, 1], ['x87RestoreState', 0x9000n, 1]] as [string, ...(number | bigint)[]][]) {
    expect(m.call(name, ...args), name).toBe(1);
    expect(m.u32(FAULT_VECTOR)).toBe(VECTOR_PF);
    m.takeFault();
    expect([...m.bytes.slice(m.cpu + X87, m.cpu + X87_OPCODE)], name).toEqual(before);
  }
});

const missing = nativeUnavailable();
describe.skipIf(missing !== undefined)(`state images against the host processor${missing === undefined ? '' : ` (skipped: ${missing})`}`, () => {
  test('FRSTOR, FNSAVE and FNSTENV of random states', () => {
    const random = randomWords(0x7777_1234_5678_9abdn);
    const count = 300;
    const input = Buffer.alloc(count * 108);
    for (let at = 0; at < input.length; at += 4) input.writeUInt32LE(Number(random() & 0xffffffffn), at);
    for (let i = 0; i < count; i++) {
      for (let r = 0; r < 8; r++) if (random() % 2n === 0n) input.writeUInt16LE([0, 0x7fff, 0x3fff, 0x8000][Number(random() % 4n)]!, i * 108 + 36 + r * 10);
      for (let r = 0; r < 8; r++) if (random() % 3n === 0n) input.writeBigUInt64LE([0n, 1n << 63n, 3n << 62n][Number(random() % 3n)]!, i * 108 + 28 + r * 10);
    }
    const output = runNative(`
#include <stdio.h>
#include <string.h>
int main(void) {
  static unsigned char in[108], out[28 + 108 + 94];
  while (fread(in, 108, 1, stdin) == 1) {
    __asm__ volatile("frstor (%0); fnstenv (%1); fnclex; frstor (%0); fnsave 28(%1); frstor (%0); data16 fnsave 136(%1); fninit" : : "r"(in), "r"(out) : "memory");
    fwrite(out, sizeof out, 1, stdout);
  }
  return 0;
}`, input);
    expect(output.length).toBe(count * 230);
    for (let i = 0; i < count; i++) {
      const got = Buffer.alloc(230);
      const take = (at: number, length: number): void => void Buffer.from(m.slice(OUT, length)).copy(got, at);
      for (const [name, at, length, wide] of [['x87SaveEnvironment', 0, 28, 1], ['x87SaveState', 28, 108, 1], ['x87SaveState', 136, 94, 0]] as const) {
        m.call('x87Init');
        m.fill(IMAGE, ...input.subarray(i * 108, i * 108 + 108));
        expect(m.call('x87RestoreState', BigInt(IMAGE), 1)).toBe(0);
        expect(m.call(name, BigInt(OUT), wide)).toBe(0);
        take(at, length);
      }
      const expected = Buffer.from(output.subarray(i * 230, i * 230 + 230));
      // The pointers are not compared: processors keep them in different ways.
      for (const image of [got, expected]) for (const [from, to] of [[12, 28], [40, 56], [142, 150]] as const) image.fill(0, from, to);
      expect(got.toString('hex'), `image ${i}`).toBe(expected.toString('hex'));
    }
  });

  test('FXSAVE and FXRSTOR of random states', () => {
    const random = randomWords(0x3333_1234_5678_9abdn);
    const count = 300;
    const input = Buffer.alloc(count * 512);
    for (let at = 0; at < input.length; at += 4) input.writeUInt32LE(Number(random() & 0xffffffffn), at);
    for (let i = 0; i < count; i++) {
      const at = i * 512;
      input.writeUInt32LE(Number(random() & 0xffffn), at + 24);
      for (let r = 0; r < 8; r++) if (random() % 2n === 0n) input.writeUInt16LE([0, 0x7fff, 0x3fff, 0x8000][Number(random() % 4n)]!, at + 40 + r * 16);
      for (let r = 0; r < 8; r++) if (random() % 3n === 0n) input.writeBigUInt64LE([0n, 1n << 63n, 3n << 62n][Number(random() % 3n)]!, at + 32 + r * 16);
    }
    const output = runNative(`
#include <stdio.h>
#include <string.h>
int main(void) {
  static unsigned char in[512] __attribute__((aligned(16))), keep[512] __attribute__((aligned(16))), out[512 + 108] __attribute__((aligned(16)));
  while (fread(in, 512, 1, stdin) == 1) {
    __asm__ volatile("fxsave (%2); fxrstor (%0); fxsave (%1); fnsave 512(%1); fxrstor (%2)" : : "r"(in), "r"(out), "r"(keep) : "memory");
    fwrite(out, sizeof out, 1, stdout);
  }
  return 0;
}`, input);
    for (let i = 0; i < count; i++) {
      m.call('x87Init');
      m.fill(IMAGE, ...input.subarray(i * 512, i * 512 + 512));
      m.fill(OUT, ...new Array<number>(1024).fill(0));
      expect(m.call('restoreFx', BigInt(IMAGE), 0)).toBe(0);
      expect(m.call('saveFx', BigInt(OUT), 0)).toBe(0);
      expect(m.call('x87SaveState', BigInt(OUT + 512), 1)).toBe(0);
      const got = Buffer.from(m.slice(OUT, 620));
      const expected = Buffer.from(output.subarray(i * 620, i * 620 + 620));
      // Pointers and MXCSR_MASK are the processor's own; what lies behind the vector registers is reserved.
      for (const image of [got, expected]) for (const [from, to] of [[6, 24], [28, 32], [416, 512], [524, 540]] as const) image.fill(0, from, to);
      expect(got.toString('hex'), `image ${i}`).toBe(expected.toString('hex'));
    }
  });
});
