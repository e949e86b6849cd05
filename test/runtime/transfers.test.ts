import { beforeEach, describe, expect, test } from 'vitest';
import {
  EFER, EFLAGS, MSR_KERNEL_GS_BASE, MSR_LSTAR, MSR_SFMASK, MSR_STAR, MSR_SYSENTER_CS, MSR_SYSENTER_EIP, MSR_SYSENTER_ESP, R11, RBP, RCX, RDX, RSP, SEGMENTS, SEGMENT_BYTES,
  SEG_ATTRIBUTES, SEG_BASE,
} from '../../src/isa/x86/state/layout.ts';
import { gateDescriptor, segmentDescriptor } from '../support/descriptors.ts';
import type { SegmentFields } from '../support/descriptors.ts';
import { GDT, HERE, NEXT, ProtectedFixture, STACK0, STACK3 } from '../support/protected.ts';

const TSS = 0x3000;

const segments: Readonly<Record<number, SegmentFields>> = {
  0x08: { access: 0x9b }, 0x10: { access: 0x93 }, 0x18: { access: 0xfb }, 0x20: { access: 0xf3 },
  0x28: { access: 0x9f }, // conforming
  0x30: { access: 0x1b }, // not present
  0x38: { base: TSS, limit: 0x67, access: 0x8b, flags: 0 }, 0x68: { access: 0x9b, limit: 0xfff, flags: 0 },
  0x70: { access: 0x13 }, // data, not present
  0x78: { access: 0x99, flags: 6 }, // L and D both
  0x80: { access: 0x9b, flags: 2 }, 0x88: { access: 0xfb, flags: 2 }, // 64-bit code
  0x90: { access: 0xf1 }, // read-only data of level 3
};
const gates: Readonly<Record<number, bigint>> = {
  0x40: gateDescriptor(0xec, 0x08, 0x1234_5678, 2), 0x48: gateDescriptor(0xec, 0x28, 0x111), 0x50: gateDescriptor(0x8c, 0x08, 0x222),
  0x58: gateDescriptor(0x6c, 0x08, 0x333), 0x60: gateDescriptor(0xe4, 0x08, 0x444, 1), 0x98: gateDescriptor(0xec, 0x30, 0x555), 0xa0: gateDescriptor(0xec, 0x10, 0x666),
  0xa8: gateDescriptor(0xec, 0x68, 0x1000), 0xb0: gateDescriptor(0xec, 0x18, 0x777),
};

let m: ProtectedFixture;
const outcome = (code: number | bigint): string => m.outcome(code);
const at = (cpl: 0 | 3, long = false): void => {
  m.at(cpl);
  if (!long) return;
  m.mode({ cr4: 0x20n, efer: 0x500n });
  m.call('updateMode');
};
beforeEach(() => {
  m = new ProtectedFixture();
  for (const [selector, fields] of Object.entries(segments)) m.define(Number(selector), fields);
  for (const [selector, gate] of Object.entries(gates)) m.poke64(GDT + Number(selector), gate);
  m.poke32(TSS + 4, STACK0);
  m.poke32(TSS + 8, 0x10);
});
const hex = (value: number | bigint): string => value.toString(16);

describe('far jumps and calls', () => {
  test.each([
    ['a code segment', 0, 0x08, 0x500, '8:500 cpl 0 10:8000'],
    ['a null selector', 0, 3, 0, '#13(0)'],
    ['beyond the table', 0, 0x108, 0, '#13(108)'],
    ['the local table, which there is not', 0, 0x0c, 0, '#13(c)'],
    ['data', 0, 0x10, 0, '#13(10)'],
    ['not present', 0, 0x30, 0, '#11(30)'],
    ['beyond the limit', 0, 0x68, 0x1000, '#13(0)'],
    ['the last byte within the limit', 0, 0x68, 0xfff, '68:fff cpl 0 10:8000'],
    ['a more privileged segment', 3, 0x0b, 0x500, '#13(8)'],
    ['a conforming one', 3, 0x28, 0x500, '2b:500 cpl 3 23:9000'],
    ['a less privileged one', 0, 0x1b, 0x500, '#13(18)'],
    ['a gate', 0, 0x40, 0x9999, '8:12345678 cpl 0 10:8000'],
    ['a gate to more privilege', 3, 0x43, 0, '#13(8)'],
    ['a gate to conforming code', 3, 0x4b, 0, '2b:111 cpl 3 23:9000'],
    ['a gate of level 0', 3, 0x53, 0, '#13(50)'],
    ['a gate of level 0 with a weaker RPL', 0, 0x53, 0, '#13(50)'],
    ['a gate that is not present', 0, 0x58, 0, '#11(58)'],
    ['a 16-bit gate', 0, 0x60, 0, '8:444 cpl 0 10:8000'],
    ['a gate to absent code', 0, 0x98, 0, '#11(30)'],
    ['a gate to data', 3, 0xa3, 0, '#13(10)'],
    ['a gate beyond the limit', 0, 0xa8, 0, '#13(0)'],
    ['a gate to less privilege', 0, 0xb0, 0, '#13(18)'],
  ] as const)('JMP to %s', (_, cpl, target, offset, expected) => {
    at(cpl);
    expect(outcome(m.call('farJump', target, BigInt(offset), 32))).toBe(expected);
  });

  test('CALL pushes CS and EIP, or CS and IP', () => {
    at(0);
    expect(outcome(m.call('farCall', 0x08, 0x500n, 32))).toBe('8:500 cpl 0 10:7ff8');
    expect(m.words(STACK0 - 8, 2)).toEqual([hex(NEXT), '8']);
    at(0);
    expect(outcome(m.call('farCall', 0x68, 0x500n, 16))).toBe('68:500 cpl 0 10:7ffc');
    expect(m.words(STACK0 - 4, 1)).toEqual(['80102']);
  });
  test('CALL through a gate changes stacks and copies parameters', () => {
    at(3);
    m.poke32(STACK3, 0x11);
    m.poke32(STACK3 + 4, 0x22);
    expect(outcome(m.call('farCall', 0x43, 0n, 32))).toBe('8:12345678 cpl 0 10:7fe8');
    expect(m.words(STACK0 - 24, 6)).toEqual([hex(NEXT), '1b', '11', '22', '9000', '23']);
    expect(outcome(m.call('farReturn', 32, 8))).toBe(`1b:${hex(NEXT)} cpl 3 23:9008`);
  });
  test('CALL through a 16-bit gate copies words', () => {
    at(3);
    m.poke32(STACK3, 0x2211);
    expect(outcome(m.call('farCall', 0x63, 0n, 32))).toBe('8:444 cpl 0 10:7ff6');
    expect(m.slice(STACK0 - 10, 10)).toEqual([0x02, 0x01, 0x1b, 0, 0x11, 0x22, 0x00, 0x90, 0x23, 0]);
  });
  test.each([
    ['null', 0, undefined, '#10(0)'],
    ['of another level', 0x23, undefined, '#10(20)'],
    ['not present', 0x70, undefined, '#12(70)'],
    ['code', 0x08, undefined, '#10(8)'],
    ['too small', 0x10, { access: 0x93, limit: 0x7fff }, '8:12345678 cpl 0 10:7fe8'],
    ['smaller', 0x10, { access: 0x93, limit: 0x7ffe }, '#12(10)'],
  ] as const)('the inner stack is %s', (_, ss, fields, expected) => {
    at(3);
    m.poke32(TSS + 8, ss);
    if (fields !== undefined) m.poke64(GDT + 0x10, segmentDescriptor(fields));
    expect(outcome(m.call('farCall', 0x43, 0n, 32))).toBe(expected);
  });
  test('the stack segment\'s limit is #SS(0), and nothing has changed then', () => {
    at(0);
    m.place(2, 0x10, { access: 0x93, limit: 0x7ffa });
    expect(outcome(m.call('farCall', 0x08, 0x500n, 32))).toBe('#12(0)');
    expect([hex(m.u64(RSP)), m.selector(1)]).toEqual(['8000', 8]);
  });
  test('real-address mode: the limit of CS stays, and is checked before the push', () => {
    m.mode({ cr0: 0n, cpl: 0, flags: 0, long: false });
    m.place(1, 0x100, { base: 0x1000, limit: 0xffff, access: 0x9b, flags: 0 });
    m.place(2, 0, { base: 0, limit: 0xffff, access: 0x93, flags: 0 });
    m.call('updateMode');
    m.setU64(RSP, 0x8000n);
    expect(outcome(m.call('farCall', 0x2000, 0x10000n, 32))).toBe('#13(0)');
    expect(outcome(m.call('farCall', 0x2000, 0x10n, 16))).toBe('2000:10 cpl 0 0:7ffc');
    expect([hex(m.u64(SEGMENTS + SEGMENT_BYTES + SEG_BASE)), outcome(m.call('farReturn', 16, 0))]).toEqual(['20000', `100:${hex(NEXT & 0xffff)} cpl 0 0:8000`]);
    m.setU64(RSP, 1n);
    expect(outcome(m.call('farCall', 0x2000, 0x10n, 16))).toBe('#12(0)');
  });
  test('long mode: gates lead to 64-bit code only', () => {
    at(0, true);
    m.poke64(GDT + 0x48, 0n);
    expect(outcome(m.call('farJump', 0x40, 0n, 32))).toBe('#13(8)');
    m.poke64(GDT + 0x40, gateDescriptor(0xec, 0x80, 0x1234_5678));
    m.poke64(GDT + 0x48, 0x7fffn);
    expect(outcome(m.call('farJump', 0x40, 0n, 32))).toBe('80:7fff12345678 cpl 0 10:8000');
    m.poke64(GDT + 0x48, 0x8000n);
    expect(outcome(m.call('farJump', 0x40, 0n, 32))).toBe('#13(0)');
    expect(outcome(m.call('farJump', 0x78, 0n, 32))).toBe('#13(78)');
    expect(outcome(m.call('farJump', 0x60, 0n, 32))).toBe('#13(60)');
  });
});

describe('far returns', () => {
  const frame = (...values: number[]): void => values.forEach((value, i) => m.poke32(0x7000 + 4 * i, value));
  beforeEach(() => {
    at(0);
    m.setU64(RSP, 0x7000n);
  });
  test.each([
    ['the same level', [0x500, 8], 4, '8:500 cpl 0 10:700c'],
    ['an outer level, popping on both stacks', [0x500, 0x1b, 0, 0x9000, 0x23], 4, '1b:500 cpl 3 23:9004'],
    ['a null selector', [0x500, 0], 0, '#13(0)'],
    ['data', [0x500, 0x10], 0, '#13(10)'],
    ['absent code', [0x500, 0x30], 0, '#11(30)'],
    ['beyond the limit', [0x1000, 0x68], 0, '#13(0)'],
    ['an RPL that is not the DPL', [0x500, 0x0b], 0, '#13(8)'],
    ['an outer level with a null stack', [0x500, 0x1b, 0x9000, 0], 0, '#13(0)'],
    ['an outer level with an inner stack', [0x500, 0x1b, 0x9000, 0x10], 0, '#13(10)'],
    ['an outer level with a read-only stack', [0x500, 0x1b, 0x9000, 0x93], 0, '#13(90)'],
  ] as const)('to %s', (_, values, pop, expected) => {
    frame(...values);
    expect(outcome(m.call('farReturn', 32, pop))).toBe(expected);
  });
  test('inner data segments are gone at the outer level, conforming and outer ones stay', () => {
    m.place(3, 0x10);
    m.place(0, 0x23);
    m.place(4, 0x28);
    frame(0x500, 0x1b, 0x9000, 0x23);
    m.call('farReturn', 32, 0);
    expect([m.selector(0), m.selector(3), m.selector(4), m.u32(SEGMENTS + 3 * SEGMENT_BYTES + SEG_ATTRIBUTES) & 0x10000]).toEqual([0x23, 0, 0x28, 0x10000]);
  });
  test('from an outer level inwards', () => {
    at(3);
    m.setU64(RSP, 0x7000n);
    frame(0x500, 8);
    expect(outcome(m.call('farReturn', 32, 0))).toBe('#13(8)');
  });
});

describe('fast system calls', () => {
  const code64 = (cpl: 0 | 3): void => {
    at(cpl, true);
    m.place(1, cpl === 0 ? 0x80 : 0x8b);
    m.call('updateMode');
    m.setU64(EFER, 0x501n);
    m.setU64(MSR_STAR, 0x0013_0008_0000_0000n);
    m.setU64(MSR_LSTAR, 0xffff_8000_0000_1000n);
    m.setU64(MSR_SFMASK, 0x300n);
  };
  test('SYSCALL and SYSRET', () => {
    code64(3);
    m.setU32(EFLAGS, 0x303);
    expect(outcome(m.call('systemCall'))).toBe('8:ffff800000001000 cpl 0 10:9000');
    expect([hex(m.u64(RCX)), m.u64(R11) & 0x300n, m.u32(EFLAGS) & 0x300]).toEqual([hex(NEXT), 0x300n, 0]);
    expect(outcome(m.call('systemReturn', 64))).toBe(`23:${hex(NEXT)} cpl 3 1b:9000`);
    code64(0);
    m.setU64(RCX, 1n << 47n);
    expect(outcome(m.call('systemReturn', 64))).toBe('#13(0)');
    expect(outcome(m.call('systemReturn', 32))).toBe('13:0 cpl 3 1b:8000');
    expect(outcome(m.call('systemReturn', 32))).toBe('#6()');
  });
  test('are undefined in compatibility mode and without SCE', () => {
    at(3, true);
    m.setU64(EFER, 0x501n);
    expect(outcome(m.call('systemCall'))).toBe('#6()');
    code64(3);
    m.setU64(EFER, 0x500n);
    expect(outcome(m.call('systemCall'))).toBe('#6()');
    code64(3);
    expect(outcome(m.call('systemReturn', 64))).toBe('#13(0)');
  });
  test('SYSENTER and SYSEXIT', () => {
    at(3);
    expect(outcome(m.call('systemEnter'))).toBe('#13(0)');
    m.setU64(MSR_SYSENTER_CS, 0x08n);
    m.setU64(MSR_SYSENTER_ESP, 0x1_0000_8000n);
    m.setU64(MSR_SYSENTER_EIP, 0x1_0000_1000n);
    expect(outcome(m.call('systemExit', 32))).toBe('#13(0)');
    expect(outcome(m.call('systemEnter'))).toBe('8:1000 cpl 0 10:8000');
    m.setU64(RDX, 0x500n);
    m.setU64(RCX, 0x9000n);
    expect(outcome(m.call('systemExit', 32))).toBe('1b:500 cpl 3 23:9000');
  });
  test('SWAPGS', () => {
    code64(0);
    m.setU64(MSR_KERNEL_GS_BASE, 0xffff_8000_0000_0000n);
    expect([m.call('swapGs'), m.u64(SEGMENTS + 5 * SEGMENT_BYTES + SEG_BASE), m.u64(MSR_KERNEL_GS_BASE)]).toEqual([0, 0xffff_8000_0000_0000n, 0n]);
    code64(3);
    expect(outcome(m.call('swapGs'))).toBe('#13(0)');
    at(0, true);
    expect(outcome(m.call('swapGs'))).toBe('#6()');
  });
});

describe('ENTER with levels', () => {
  const enter = (rbp: number, level: number, width: number): string => {
    at(0);
    m.place(2, 0x10, { access: 0x93, limit: 0x8fff });
    m.setU64(RBP, BigInt(rbp));
    return outcome(m.call('enterFrame', 16, level, width));
  };
  test.each([
    ['links within the limit', 0x9000, 3, 32, `8:${hex(HERE)} cpl 0 10:7fe0`],
    ['a link beyond it', 0x9004, 2, 32, '#12(0)'],
    ['a link that ends beyond it', 0x9001, 2, 16, '#12(0)'],
    ['one level reads none', 0xffff_0000, 1, 32, `8:${hex(HERE)} cpl 0 10:7fe8`],
  ] as const)('%s', (_, rbp, level, width, expected) => {
    const result = enter(rbp, level, width);
    expect(result === 'code 0' ? m.whereabouts() : result).toBe(expected);
  });
});
