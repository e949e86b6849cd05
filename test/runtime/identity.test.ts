import { beforeEach, describe, expect, test } from 'vitest';
import { implementedFeatures } from '../../src/isa/x86/features.ts';
import {
  APIC_ID, CORE_THREADS, CPL, CPUID_HIDDEN, CR0, CR4, EFER, LEAVE_NEXT, MODE, MODE_CODE32, MODE_CODE64, MODE_LONG, PACKAGE_THREADS, RAX, RBX, RCX, RDX, SEGMENTS, SEGMENT_BYTES, SEG_BASE, SEG_FS, TSC_OFFSET, XCR0,
} from '../../src/isa/x86/state/layout.ts';
import { RuntimeFixture } from '../support/runtime.ts';

let m: RuntimeFixture;
beforeEach(() => {
  m = new RuntimeFixture();
  m.setU32(MODE, MODE_CODE64 | MODE_LONG);
});

interface Leaf {
  readonly eax: number;
  readonly ebx: number;
  readonly ecx: number;
  readonly edx: number;
}
function cpuid(leaf: number, index = 0): Leaf {
  m.setU64(RAX, BigInt(leaf) | (0xdeadn << 32n));
  m.setU64(RCX, BigInt(index));
  m.call('cpuid');
  const [eax, ebx, ecx, edx] = [RAX, RBX, RCX, RDX].map((at) => {
    expect(m.u32(at + 4)).toBe(0);
    return m.u32(at);
  }) as [number, number, number, number];
  return { eax, ebx, ecx, edx };
}
const text = (...words: number[]): string => String.fromCharCode(...words.flatMap((word) => [0, 8, 16, 24].map((shift) => (word >>> shift) & 0xff)));

describe('CPUID', () => {
  test('names', () => {
    const { eax, ebx, ecx, edx } = cpuid(0);
    expect([eax, text(ebx, edx, ecx)]).toEqual([0x16, 'GenuineIntel']);
    const words = [0x80000002, 0x80000003, 0x80000004].flatMap((leaf) => Object.values(cpuid(leaf)) as number[]);
    expect(text(...words).replace(/\0+$/, '')).toBe('Polyvisor virtual CPU');
    const hypervisor = cpuid(0x40000000);
    expect([hypervisor.eax, text(hypervisor.ebx, hypervisor.ecx, hypervisor.edx)]).toEqual([0x40000010, 'Polyvisor   ']);
  });

  /** Features with instructions of their own: leaf, register, bit. */
  const announced: Readonly<Record<string, readonly [number, keyof Leaf, number, number?]>> = {
    xsaveopt: [0xd, 'eax', 0, 1], xsavec: [0xd, 'eax', 1, 1],
    sse3: [1, 'ecx', 0], pclmulqdq: [1, 'ecx', 1], monitor: [1, 'ecx', 3], ssse3: [1, 'ecx', 9], cx16: [1, 'ecx', 13], 'sse4.1': [1, 'ecx', 19], 'sse4.2': [1, 'ecx', 20],
    movbe: [1, 'ecx', 22], popcnt: [1, 'ecx', 23], aes: [1, 'ecx', 25], xsave: [1, 'ecx', 26], avx: [1, 'ecx', 28], fma: [1, 'ecx', 12], f16c: [1, 'ecx', 29], avx2: [7, 'ebx', 5], rdrand: [1, 'ecx', 30], mmx: [1, 'edx', 23], fxsr: [1, 'edx', 24],
    sse: [1, 'edx', 25], sse2: [1, 'edx', 26], fsgsbase: [7, 'ebx', 0], bmi1: [7, 'ebx', 3], bmi2: [7, 'ebx', 8], invpcid: [7, 'ebx', 10], rdseed: [7, 'ebx', 18], adx: [7, 'ebx', 19],
    smap: [7, 'ebx', 20], clflushopt: [7, 'ebx', 23], clwb: [7, 'ebx', 24], sha: [7, 'ebx', 29], rdpid: [7, 'ecx', 22], pku: [7, 'ecx', 3], lzcnt: [0x80000001, 'ecx', 5],
    rdtscp: [0x80000001, 'edx', 27], wbnoinvd: [0x80000008, 'ebx', 9],
  };
  test('every implemented feature has a bit here', () => {
    expect([...implementedFeatures].filter((name) => announced[name] === undefined)).toEqual([]);
  });
  test.each(Object.entries(announced))('%s is announced exactly when it is implemented', (name, [leaf, register, bit, index]) => {
    expect(((cpuid(leaf, index)[register] >>> bit) & 1) !== 0).toBe(implementedFeatures.has(name));
  });
  test('SYSCALL is there in 64-bit mode only', () => {
    expect((cpuid(0x80000001).edx >> 11) & 1).toBe(1);
    m.setU32(MODE, MODE_CODE32 | MODE_LONG);
    expect((cpuid(0x80000001).edx >> 11) & 1).toBe(0);
  });
  test('hidden bits', () => {
    const before = cpuid(1);
    m.setU32(CPUID_HIDDEN, 1 << 23);
    m.setU32(CPUID_HIDDEN + 4, 1 << 26);
    expect(cpuid(1).ecx).toBe((before.ecx & ~(1 << 23)) >>> 0);
    expect(cpuid(1).edx).toBe((before.edx & ~(1 << 26)) >>> 0);
    m.setU32(CPUID_HIDDEN + 24, 1 << 20);
    expect((cpuid(0x80000001).edx >> 20) & 1).toBe(0);
  });
  test('frequencies', () => {
    const { eax, ebx, ecx } = cpuid(0x15);
    expect((ecx * ebx) / eax).toBe(1e9);
    expect(cpuid(0x40000010)).toMatchObject({ eax: 1e6, ebx: 1e6 });
    expect((cpuid(0x80000007).edx >> 8) & 1).toBe(1);
  });
  test('side channels: kernels find nothing to work around by software', () => {
    // BHI_CTRL, with BHI_DIS_S in IA32_SPEC_CTRL.
    expect([cpuid(7).eax, cpuid(7, 2).edx, cpuid(7, 1).edx]).toEqual([2, 1 << 4, 0]);
    m.setU32(CPUID_HIDDEN + 36, 1 << 4);
    expect(cpuid(7, 2).edx).toBe(0);
    m.setU32(CPUID_HIDDEN + 36, 0);
    m.setU32(CPUID_HIDDEN + 16, 1 << 26);
    expect(cpuid(7, 2).edx).toBe(0);
  });
  test('address sizes', () => {
    expect(cpuid(0x80000008).eax).toBe(40 | (48 << 8));
  });
  test('processors of a machine with six', () => {
    m.setU32(PACKAGE_THREADS, 6);
    m.setU32(APIC_ID, 5);
    const one = cpuid(1);
    expect([one.ebx >>> 24, (one.ebx >> 16) & 0xff, (one.edx >> 28) & 1]).toEqual([5, 6, 1]);
    expect(cpuid(0xb, 0)).toEqual({ eax: 0, ebx: 1, ecx: 0x100, edx: 5 });
    expect(cpuid(0xb, 1)).toEqual({ eax: 3, ebx: 6, ecx: 0x201, edx: 5 });
    expect(cpuid(0xb, 2)).toEqual({ eax: 0, ebx: 0, ecx: 2, edx: 5 });
    expect([cpuid(4, 0).eax >>> 14, cpuid(4, 3).eax >>> 14]).toEqual([7 << 12, (7 << 12) | 7]);
  });
  test('threads of cores: two of each of three', () => {
    m.setU32(PACKAGE_THREADS, 6);
    m.setU32(CORE_THREADS, 2);
    m.setU32(APIC_ID, 13);
    expect((cpuid(1).ebx >> 16) & 0xff).toBe(6);
    expect(cpuid(0xb, 0)).toEqual({ eax: 1, ebx: 2, ecx: 0x100, edx: 13 });
    expect(cpuid(0xb, 1)).toEqual({ eax: 3, ebx: 6, ecx: 0x201, edx: 13 });
    expect([cpuid(4, 0).eax >>> 14, cpuid(4, 3).eax >>> 14]).toEqual([(3 << 12) | 1, (3 << 12) | 7]);
  });
  test('numbers of processors that nobody has set count as one', () => {
    expect((cpuid(1).edx >> 28) & 1).toBe(0);
  });
  test('caches by leaf 4 have the sizes they mean', () => {
    const sizes = [0, 1, 2, 3].map((index) => {
      const { ebx, ecx } = cpuid(4, index);
      return ((ebx >>> 22) + 1) * ((ebx & 0xfff) + 1) * (ecx + 1);
    });
    expect(sizes).toEqual([32 << 10, 32 << 10, 256 << 10, 8 << 20]);
    expect(cpuid(4, 4).eax).toBe(0);
  });
  test('leaf 13 follows XCR0, and disappears with XSAVE', () => {
    m.setU64(XCR0, 1n);
    expect([cpuid(0xd), cpuid(0xd, 1), cpuid(0xd, 2), cpuid(0xd, 9), cpuid(0xd, 3)].map((leaf) => Object.values(leaf)))
      .toEqual([[0x207, 576, 840, 0], [7, 576, 0, 0], [256, 576, 0, 0], [8, 832, 0, 0], [0, 0, 0, 0]]);
    m.setU64(XCR0, 7n);
    expect([cpuid(0xd).ebx, cpuid(0xd, 1).ebx]).toEqual([832, 832]);
    m.setU64(XCR0, 0x207n);
    expect([cpuid(0xd).ebx, cpuid(0xd, 1).ebx]).toEqual([840, 840]);
    m.setU32(CPUID_HIDDEN, 1 << 28);
    m.setU32(CPUID_HIDDEN + 12, 1 << 3);
    expect([cpuid(0xd).eax, cpuid(0xd).ecx, cpuid(0xd, 2).eax, cpuid(0xd, 9).eax]).toEqual([3, 576, 0, 0]);
    m.setU32(CPUID_HIDDEN, 1 << 26);
    expect(Object.values(cpuid(0xd))).toEqual([0, 0, 0, 0]);
  });
  test('OSXSAVE follows CR4', () => {
    expect((cpuid(1).ecx >> 27) & 1).toBe(0);
    m.setU64(CR4, 0x40000n);
    expect((cpuid(1).ecx >> 27) & 1).toBe(1);
  });
  test('a disabled APIC is not announced', () => {
    m.apic.set(0x1b, 0xfee00900n);
    expect((cpuid(1).edx >> 9) & 1).toBe(1);
    m.apic.set(0x1b, 0xfee00100n);
    expect((cpuid(1).edx >> 9) & 1).toBe(0);
  });
  test('leaves out of range answer as the last basic one', () => {
    expect(cpuid(0x17)).toEqual(cpuid(0x16));
    expect(cpuid(0x80000009)).toEqual(cpuid(0x16));
    expect(cpuid(0xffffffff)).toEqual(cpuid(0x16));
  });
});

describe('model-specific registers', () => {
  function read(index: number): bigint | string {
    m.setU64(RCX, BigInt(index));
    m.setU64(RAX, ~0n & 0xffffffffffffffffn);
    m.setU64(RDX, ~0n & 0xffffffffffffffffn);
    const code = m.call('readMsr');
    const fault = m.takeFault();
    if (fault !== undefined) {
      expect([code, m.u64(RAX)]).toEqual([1, 0xffffffffffffffffn]);
      return `#${fault.vector}(${fault.error})`;
    }
    expect([code, m.u32(RAX + 4), m.u32(RDX + 4)]).toEqual([0, 0, 0]);
    return (BigInt(m.u32(RDX)) << 32n) | BigInt(m.u32(RAX));
  }
  function write(index: number, value: bigint): number | string {
    m.setU64(RCX, BigInt(index) | (1n << 40n));
    m.setU64(RAX, (value & 0xffffffffn) | (0x55n << 32n));
    m.setU64(RDX, (value >> 32n) | (0x55n << 32n));
    const code = m.call('writeMsr') as number;
    const fault = m.takeFault();
    return fault === undefined ? code : `#${fault.vector}(${fault.error})`;
  }

  test.each([
    [0x174, 0x10n], [0x175, 0xffff800000001000n], [0xc0000081, 0x0023001000000000n], [0xc0000082, 0xffffffff81000000n], [0xc0000084, 0x47700n], [0xc0000102, 0x7fffffffffffn],
    [0xc0000103, 7n], [0x277, 0x0007010600070106n], [0x2ff, 0xc06n], [0x200, 0x80000006n], [0x201, 0xff80000800n], [0x250, 0x0606060606060606n], [0x26f, 0x0505050505050505n], [0x48, 1n], [0x48, 0x405n],
  ])('%# register %i keeps what is written', (index, value) => {
    expect(write(index, value)).toBe(0);
    expect(read(index)).toBe(value);
  });
  test.each([
    [0x175, 0x800000000000n], [0xc0000082, 1n << 63n], [0xc0000100, 0xffff000000000000n], [0xc0000084, 1n << 32n], [0xc0000103, 1n << 32n], [0x277, 0x0002n], [0x277, 0x08n << 56n],
    [0x2ff, 0x1000n], [0x2ff, 2n], [0x200, 0x2n], [0x201, 1n << 40n], [0x250, 0x0600060302060600n], [0x48, 8n], [0x49, 2n], [0xc0000080, 2n], [0x3a, 1n], [0xfe, 0n], [0x10a, 0n], [0x12345678, 0n],
  ])('%# register %i refuses %i', (index, value) => {
    expect(write(index, value)).toBe('#13(0)');
  });
  test('IA32_ARCH_CAPABILITIES', () => {
    const capabilities = read(0x10a) as bigint;
    // RDCL_NO, IBRS_ALL, MDS_NO, BHI_NO, ITS_NO.
    for (const bit of [0n, 1n, 5n, 20n, 62n]) expect((capabilities >> bit) & 1n).toBe(1n);
  });
  test.each([
    ['TSC_ADJUST', 0x3b, 8, 1 << 1], ['SPEC_CTRL', 0x48, 16, (1 << 26) | (1 << 27) | (1 << 31)], ['PRED_CMD', 0x49, 16, 1 << 26], ['ARCH_CAPABILITIES', 0x10a, 16, 1 << 29],
    ['TSC_DEADLINE', 0x6e0, 0, 1 << 24], ['PKRS', 0x6e1, 12, 1 << 31],
  ] as const)('IA32_%s goes with the feature that announces it', (_, index, word, bits) => {
    m.apic.set(0x6e0, 0n);
    const writable = index !== 0x10a;
    const there = [index === 0x49 ? '#13(0)' : expect.any(BigInt), writable ? expect.any(Number) : '#13(0)'];
    expect([read(index), write(index, 0n)]).toEqual(there);
    m.setU32(CPUID_HIDDEN + word, bits);
    expect([read(index), write(index, 0n)]).toEqual(['#13(0)', '#13(0)']);
  });
  test('IA32_SPEC_CTRL has the bits that are announced, and exists as long as there is one', () => {
    m.setU32(CPUID_HIDDEN + 16, 1 << 26);
    expect([write(0x48, 6n), write(0x48, 1n), write(0x48, 0x400n)]).toEqual([0, '#13(0)', '#13(0)']);
    m.setU32(CPUID_HIDDEN + 16, 0);
    m.setU32(CPUID_HIDDEN + 36, 1 << 4);
    expect([write(0x48, 7n), write(0x48, 0x400n)]).toEqual([0, '#13(0)']);
  });
  test('IA32_TSC_AUX is there for RDTSCP and for RDPID', () => {
    m.setU32(CPUID_HIDDEN + 24, 1 << 27);
    expect(write(0xc0000103, 7n)).toBe(0);
    m.setU32(CPUID_HIDDEN + 12, 1 << 22);
    expect(read(0xc0000103)).toBe('#13(0)');
  });
  test('unknown ones and user mode', () => {
    expect(read(0xc0011029)).toBe('#13(0)');
    expect(read(0x186)).toBe('#13(0)');
    m.setU32(CPL, 3);
    expect(read(0x174)).toBe('#13(0)');
    expect(write(0x174, 0n)).toBe('#13(0)');
  });
  test('FS base is the segment\'s', () => {
    expect(write(0xc0000100, 0x12345678n)).toBe(0);
    expect(m.u64(SEGMENTS + SEG_FS * SEGMENT_BYTES + SEG_BASE)).toBe(0x12345678n);
    expect(read(0xc0000100)).toBe(0x12345678n);
  });
  test('EFER: LMA is read-only, LME fixed while paging is on', () => {
    expect(write(0xc0000080, 0xd01n)).toBe(LEAVE_NEXT);
    expect(read(0xc0000080)).toBe(0x901n);
    m.setU64(EFER, 0xd01n);
    m.setU64(CR0, 0x80000011n);
    expect(write(0xc0000080, 0x401n)).toBe('#13(0)');
    expect(write(0xc0000080, 0x100n)).toBe(LEAVE_NEXT);
    expect(read(0xc0000080)).toBe(0x500n);
  });
  test('time stamp, its adjustment, and a deadline that keeps its guest time', () => {
    m.apic.set(0x6e0, 0n);
    m.tsc = 1000;
    expect(read(0x10)).toBe(1000n);
    expect(write(0x10, 5000n)).toBe(0);
    expect([read(0x10), read(0x3b), m.u64(TSC_OFFSET)]).toEqual([5000n, 4000n, 4000n]);
    expect(write(0x6e0, 6000n)).toBe(LEAVE_NEXT);
    expect([m.apic.get(0x6e0), read(0x6e0)]).toEqual([2000n, 6000n]);
    expect(write(0x3b, 1000n)).toBe(0);
    expect([read(0x10), m.apic.get(0x6e0), read(0x6e0)]).toEqual([2000n, 5000n, 6000n]);
    expect(write(0x6e0, 0n)).toBe(LEAVE_NEXT);
    expect([m.apic.get(0x6e0), read(0x6e0)]).toEqual([0n, 0n]);
  });
  test('APIC registers are the host side\'s', () => {
    expect(read(0x802)).toBe('#13(0)');
    expect(write(0x80b, 0n)).toBe('#13(0)');
    m.apic.set(0x830, 0n);
    expect(write(0x830, 0x0000000100004500n)).toBe(LEAVE_NEXT);
    expect(m.takeEvents()).toEqual([['apic', 0x830, 0x100004500n]]);
    expect(read(0x830)).toBe(0x100004500n);
  });
  test('CPUID leaf 1 loads the microcode revision', () => {
    expect(write(0x8b, 0n)).toBe(0);
    expect(read(0x8b)).toBe(0n);
    cpuid(1);
    expect(read(0x8b)).toBe(1n << 32n);
  });
});
