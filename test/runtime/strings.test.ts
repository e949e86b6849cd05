import { beforeEach, describe, expect, test } from 'vitest';
import {
  BREAKPOINTS_ARMED, BUDGET, CPL, EFLAGS, EVENTS, LEAVE_FAULT, LEAVE_RESUME, RAX, RCX, RDI, RDX, RIP, RSI, SEG_DS, SEG_ES, SEG_FS, SEG_SS, SEGMENTS, SEGMENT_BYTES, SEG_BASE,
} from '../../src/isa/x86/state/layout.ts';
import { STRING_OPERATIONS } from '../../src/isa/x86/routines/strings.ts';
import { PAGE_FLAG_CODE } from '../../src/memory/layout.ts';
import { MMIO, RuntimeFixture } from '../support/runtime.ts';

const DF = 0x400;
const TF = 0x100;
const ONCE = 0;
const REP = 1;
const REPNE = 2;

let m: RuntimeFixture;
beforeEach(() => {
  m = new RuntimeFixture();
  // Identity-mapped 64-bit mode: the first 4 MiB by two large pages.
  m.poke64(0x10000, 0x11007n);
  m.poke64(0x11000, 0x12007n);
  m.poke64(0x11000 + 24, 0xc0000087n);
  m.poke64(0x12000, 0x13007n);
  m.poke64(0x12008, 0x200087n);
  for (let page = 0; page < 512; page++) m.poke64(0x13000 + page * 8, BigInt(page << 12) | 7n);
  m.mode({ cr0: 0x80010001n, cr3: 0x10000n, cr4: 0x20n, efer: 0xd00n, long: true });
});

type Name = keyof typeof STRING_OPERATIONS;
interface Options {
  readonly size?: number;
  readonly address?: 16 | 32 | 64;
  readonly segment?: number;
  readonly repeat?: number;
}

function run(name: Name, registers: { rsi?: bigint; rdi?: bigint; rcx?: bigint; rax?: bigint; rdx?: bigint }, options: Options = {}): number {
  for (const [register, offset] of [['rsi', RSI], ['rdi', RDI], ['rcx', RCX], ['rax', RAX], ['rdx', RDX]] as const) {
    const value = registers[register];
    if (value !== undefined) m.setU64(offset, value);
  }
  return m.call('stringOperation', STRING_OPERATIONS[name], options.size ?? 1, options.address ?? 64, options.segment ?? SEG_DS, options.repeat ?? REP) as number;
}
const registers = (): bigint[] => [m.u64(RSI), m.u64(RDI), m.u64(RCX)];
const status = (): number => (m.call('readFlags') as number) & 0x8d5;
const pattern = (length: number, from = 0): number[] => Array.from({ length }, (_, i) => (from + i * 7 + (i >> 5)) & 0xff);

/** What the manual's element-by-element definition of MOVS gives. */
function copyByElements(memory: number[], from: number, to: number, count: number, size: number, down: boolean): void {
  const step = down ? -size : size;
  for (let i = 0; i < count; i++) {
    const element = memory.slice(from + i * step, from + i * step + size);
    memory.splice(to + i * step, size, ...element);
  }
}

describe('MOVS', () => {
  test('across pages that are not next to each other', () => {
    m.poke64(0x13000 + 0x51 * 8, 0x71007n);
    const bytes = pattern(6000);
    m.fill(0x30800, ...bytes);
    expect(run('movs', { rsi: 0x30800n, rdi: 0x50f01n, rcx: 6000n })).toBe(0);
    expect(m.slice(0x50f01, 0xff)).toEqual(bytes.slice(0, 0xff));
    expect(m.slice(0x71000, 0x1000)).toEqual(bytes.slice(0xff, 0x10ff));
    expect(m.slice(0x52000, 6000 - 0x10ff)).toEqual(bytes.slice(0x10ff));
    expect(registers()).toEqual([0x30800n + 6000n, 0x50f01n + 6000n, 0n]);
  });
  const cases: { size: number; distance: number; down: boolean }[] = [];
  for (const size of [1, 2, 4, 8]) {
    for (const down of [false, true]) for (const distance of [0, 1, 2, 3, 4, 7, 8, 9, 63, 64, 65, 100, 128, 5000]) for (const sign of [1, -1]) cases.push({ size, distance: distance * sign, down });
  }
  test.each(cases)('overlap: size $size, destination $distance from the source, down $down', ({ size, distance, down }) => {
    const start = 0x40000;
    const length = 0x6000;
    const expected = pattern(length);
    m.fill(start, ...expected);
    const count = Math.floor(2600 / size);
    const from = 0x2c03 + (down ? (count - 1) * size - 1300 : -1300);
    const to = from + distance;
    copyByElements(expected, from, to, count, size, down);
    m.setU32(EFLAGS, down ? DF | 2 : 2);
    expect(run('movs', { rsi: BigInt(start + from), rdi: BigInt(start + to), rcx: BigInt(count) }, { size })).toBe(0);
    expect(m.slice(start, length)).toEqual(expected);
    const moved = BigInt(count * size) * (down ? -1n : 1n);
    expect(registers()).toEqual([BigInt(start + from) + moved, BigInt(start + to) + moved, 0n]);
  });
  test.each([1, 2, 4, 8])('a few elements of %i bytes in a page, overlapping or not', (size) => {
    const start = 0x40000;
    const middle = 0x800;
    for (const down of [false, true]) {
      m.setU32(EFLAGS, down ? DF | 2 : 2);
      for (let count = 1; count * size <= 80; count++) {
        for (let distance = -90; distance <= 90; distance += distance < -20 || distance > 19 ? 7 : 1) {
          const expected = pattern(0x1000, count);
          m.fill(start, ...expected);
          copyByElements(expected, middle, middle + distance, count, size, down);
          const code = run('movs', { rsi: BigInt(start + middle), rdi: BigInt(start + middle + distance), rcx: BigInt(count) }, { size });
          if (code !== 0 || !Buffer.from(m.slice(start, 0x1000)).equals(Buffer.from(expected))) expect({ code, count, distance, down }).toBe('as by elements');
          const moved = BigInt(count * size) * (down ? -1n : 1n);
          expect(registers()).toEqual([BigInt(start + middle) + moved, BigInt(start + middle + distance) + moved, 0n]);
        }
      }
    }
  });
  test('the same page at two addresses still overlaps', () => {
    m.poke64(0x13000 + 0x51 * 8, 0x50007n);
    m.fill(0x50000, ...pattern(256));
    expect(run('movs', { rsi: 0x50000n, rdi: 0x51001n, rcx: 200n })).toBe(0);
    expect(m.slice(0x50000, 201)).toEqual(Array.from({ length: 201 }, () => pattern(1)[0]));
  });
  test('once, whatever rCX holds', () => {
    m.poke64(0x30000, 0x1122334455667788n);
    expect(run('movs', { rsi: 0x30000n, rdi: 0x31000n, rcx: 0n }, { size: 8, repeat: ONCE })).toBe(0);
    expect(m.peek64(0x31000)).toBe(0x1122334455667788n);
    expect(registers()).toEqual([0x30008n, 0x31008n, 0n]);
  });
  test('rCX = 0 does nothing', () => {
    expect(run('movs', { rsi: 0x99999999999n, rdi: 0x99999999999n, rcx: 0n })).toBe(0);
    expect(registers()).toEqual([0x99999999999n, 0x99999999999n, 0n]);
  });
  test('a fault in the middle leaves the registers at the element that failed', () => {
    m.poke64(0x13000 + 0x52 * 8, 0n);
    expect(run('movs', { rsi: 0x30000n, rdi: 0x51ff6n, rcx: 100n }, { size: 4 })).toBe(LEAVE_FAULT);
    // The third element would lie across the missing page: none of its bytes is written.
    expect(m.takeFault()).toEqual({ vector: 14, error: 2, address: 0x52000n });
    expect(registers()).toEqual([0x30008n, 0x51ffen, 98n]);
    m.poke64(0x13000 + 0x31 * 8, 0n);
    m.call('flushTlb');
    expect(run('movs', { rsi: 0x30ff0n, rdi: 0x40000n, rcx: 100n }, { size: 4 })).toBe(LEAVE_FAULT);
    expect(m.takeFault()).toEqual({ vector: 14, error: 0, address: 0x31000n });
    expect(registers()).toEqual([0x31000n, 0x40010n, 96n]);
  });
  test('source segments FS and GS have a base in 64-bit code, the destination never', () => {
    m.setU64(SEGMENTS + SEG_FS * SEGMENT_BYTES + SEG_BASE, 0x30000n);
    m.setU64(SEGMENTS + SEG_ES * SEGMENT_BYTES + SEG_BASE, 0x1000n);
    m.setU64(SEGMENTS + SEG_SS * SEGMENT_BYTES + SEG_BASE, 0x1000n);
    m.fill(0x30010, ...pattern(64));
    expect(run('movs', { rsi: 0x10n, rdi: 0x40000n, rcx: 64n }, { segment: SEG_FS })).toBe(0);
    expect(m.slice(0x40000, 64)).toEqual(pattern(64));
    expect(run('movs', { rsi: 0x40000n, rdi: 0x41000n, rcx: 64n }, { segment: SEG_SS })).toBe(0);
    expect(m.slice(0x41000, 64)).toEqual(pattern(64));
  });
  test('32-bit addresses in 64-bit code wrap and clear the upper halves', () => {
    m.poke64(0x11000 + 24, 0x12007n);
    m.poke64(0x12000 + 511 * 8, 0x200087n);
    m.call('flushTlb');
    m.fill(0x3ffffe, 1, 2);
    m.fill(0, 3, 4);
    expect(run('movs', { rsi: 0x5_ffff_fffen, rdi: 0x7_0004_0000n, rcx: 0x9_0000_0004n }, { address: 32 })).toBe(0);
    expect(m.slice(0x40000, 4)).toEqual([1, 2, 3, 4]);
    expect(registers()).toEqual([2n, 0x40004n, 0n]);
  });
  test('writes to code are reported once for the run', () => {
    m.setPageFlags(0x50000, PAGE_FLAG_CODE);
    expect(run('movs', { rsi: 0x30000n, rdi: 0x50ff0n, rcx: 64n })).toBe(0);
    expect(m.takeEvents()).toEqual([['code', 0x50, 0xff0, 16]]);
    m.setU32(EFLAGS, DF | 2);
    expect(run('movs', { rsi: 0x30040n, rdi: 0x50040n, rcx: 4n }, { size: 8 })).toBe(0);
    expect(m.takeEvents()).toEqual([['code', 0x50, 0x28, 32]]);
  });
  test('device memory goes element by element, in order', () => {
    m.poke64(0x11000 + 24, 0xc0000087n);
    m.fill(0x30000, ...pattern(6));
    run('movs', { rsi: 0x30000n, rdi: BigInt(MMIO), rcx: 3n }, { size: 2 });
    expect(m.takeEvents()).toEqual([0, 2, 4].map((i) => ['write', MMIO + i, 2, pattern(6)[i]! | (pattern(6)[i + 1]! << 8)]));
  });
});

describe('STOS and LODS', () => {
  test.each([1, 2, 4, 8])('STOS of %i bytes over three pages, both ways', (size) => {
    const value = 0x8877665544332211n;
    const element = Array.from({ length: size }, (_, i) => Number((value >> BigInt(i * 8)) & 0xffn));
    const count = 9001 / size | 0;
    const expected = Array.from({ length: count }, () => element).flat();
    expect(run('stos', { rdi: 0x30003n, rcx: BigInt(count), rax: value }, { size })).toBe(0);
    expect(m.slice(0x30002, count * size + 2)).toEqual([0, ...expected, 0]);
    expect(m.u64(RDI)).toBe(0x30003n + BigInt(count * size));
    m.setU32(EFLAGS, DF | 2);
    expect(run('stos', { rdi: 0x40003n + BigInt((count - 1) * size), rcx: BigInt(count), rax: value }, { size })).toBe(0);
    expect(m.slice(0x40002, count * size + 2)).toEqual([0, ...expected, 0]);
    expect(m.u64(RDI)).toBe(0x40003n - BigInt(size));
  });
  test.each([1, 2, 4, 8])('STOS of a few elements of %i bytes in a page', (size) => {
    for (const value of [0x8877665544332211n, 0n]) {
      const element = Array.from({ length: size }, (_, i) => Number((value >> BigInt(i * 8)) & 0xffn));
      for (const down of [false, true]) {
        m.setU32(EFLAGS, down ? DF | 2 : 2);
        for (let count = 1; count * size <= 80; count++) {
          m.fill(0x30000, ...pattern(100, 1));
          const expected = [...pattern(3, 1), ...Array.from({ length: count }, () => element).flat(), ...pattern(100, 1).slice(3 + count * size)];
          expect(run('stos', { rdi: 0x30003n + BigInt(down ? (count - 1) * size : 0), rcx: BigInt(count), rax: value }, { size })).toBe(0);
          expect(m.slice(0x30000, 100)).toEqual(expected);
          expect([m.u64(RDI), m.u64(RCX)]).toEqual([down ? 0x30003n - BigInt(size) : 0x30003n + BigInt(count * size), 0n]);
        }
      }
    }
  });
  test('STOS of equal bytes', () => {
    run('stos', { rdi: 0x30000n, rcx: 10n, rax: 0x12347777n }, { size: 2 });
    expect(m.slice(0x30000, 21)).toEqual([...Array.from({ length: 20 }, () => 0x77), 0]);
  });
  test('LODS writes the accumulator as wide as the element', () => {
    m.poke64(0x30000, 0x1122334455667788n);
    const rax = 0xffffffffffffffffn;
    const load = (size: number): bigint => {
      run('lods', { rsi: 0x30000n, rax }, { size, repeat: ONCE });
      return m.u64(RAX);
    };
    expect([load(1), load(2), load(4), load(8)]).toEqual([0xffffffffffffff88n, 0xffffffffffff7788n, 0x55667788n, 0x1122334455667788n]);
    expect(run('lods', { rsi: 0x30000n, rcx: 8n, rax })).toBe(0);
    expect([m.u64(RAX), m.u64(RSI), m.u64(RCX)]).toEqual([0xffffffffffffff11n, 0x30008n, 0n]);
  });
});

describe('CMPS and SCAS', () => {
  test('REPE CMPS stops behind the first difference, with its flags', () => {
    m.fill(0x30000, ...pattern(5000));
    m.fill(0x40800, ...pattern(5000));
    m.fill(0x40800 + 4500, 0xff);
    m.fill(0x30000 + 4500, 0x01);
    expect(run('cmps', { rsi: 0x30000n, rdi: 0x40800n, rcx: 5000n })).toBe(0);
    expect(registers()).toEqual([0x30000n + 4501n, 0x40800n + 4501n, 499n]);
    expect(status()).toBe(0x11); // 01 - ff: carry and adjust
  });
  test('REPE CMPS of equal ranges ends with ZF', () => {
    run('cmps', { rsi: 0x30000n, rdi: 0x40000n, rcx: 1000n }, { size: 8 });
    expect([m.u64(RCX), status()]).toEqual([0n, 0x44]);
  });
  test('REPNE CMPS stops at equality', () => {
    m.fill(0x30000, 1, 2, 3, 4);
    m.fill(0x40000, 2, 3, 3, 5);
    run('cmps', { rsi: 0x30000n, rdi: 0x40000n, rcx: 4n }, { repeat: REPNE });
    expect([m.u64(RCX), status()]).toEqual([1n, 0x44]);
  });
  test.each([[1, 0x7fn, 0x80n], [2, 0x7fffn, 0x8000n], [4, 0x7fffffffn, 0x80000000n], [8, 0x7fffffffffffffffn, 0x8000000000000000n]] as const)(
    'SCAS of %i bytes: overflow, sign and carry', (size, accumulator, other) => {
      m.poke64(0x30000, other);
      run('scas', { rdi: 0x30000n, rax: accumulator | (size < 8 ? 0xaan << 56n : 0n) }, { size, repeat: ONCE });
      expect(status()).toBe(0x885); // difference all ones: CF PF SF OF
    },
  );
  test('REPNE SCAS finds a byte, upwards and downwards', () => {
    m.fill(0x31234, 0x42);
    expect(run('scas', { rdi: 0x30000n, rcx: ~0n & 0xffffffffffffffffn, rax: 0x142n }, { repeat: REPNE })).toBe(0);
    expect([m.u64(RDI), m.u64(RCX)]).toEqual([0x31235n, 0xffffffffffffffffn - 0x1235n]);
    m.setU32(EFLAGS, DF | 2);
    run('scas', { rdi: 0x33000n, rcx: 0x10000n, rax: 0x42n }, { repeat: REPNE });
    expect(m.u64(RDI)).toBe(0x31233n);
  });
  test('a fault leaves the flags as they were before', () => {
    m.call('writeFlags', 0x8d5, 0x8d5);
    m.poke64(0x13000 + 0x31 * 8, 0n);
    expect(run('scas', { rdi: 0x30ff0n, rcx: 100n, rax: 1n }, { repeat: REPNE })).toBe(LEAVE_FAULT);
    expect(status()).toBe(0x8d5);
    expect([m.u64(RDI), m.u64(RCX)]).toEqual([0x31000n, 84n]);
  });
});

describe('interruption', () => {
  const rip = 0x400100n;
  test('a used-up budget leaves at the instruction, with a page done', () => {
    m.setU32(BUDGET, 1);
    expect(run('stos', { rdi: 0x30000n, rcx: 10000n, rax: 1n })).toBe(LEAVE_RESUME);
    expect([m.u64(RIP), m.u64(RDI), m.u64(RCX)]).toEqual([rip, 0x31000n, 5904n]);
    expect(m.u32(BUDGET) | 0).toBe(1 - 256);
    expect(run('stos', {})).toBe(LEAVE_RESUME);
    expect(run('stos', {})).toBe(0);
    expect([m.u64(RDI), m.u64(RCX)]).toEqual([0x30000n + 10000n, 0n]);
  });
  test('an event waiting does too', () => {
    m.setU32(EVENTS, 1);
    expect(run('movs', { rsi: 0x30000n, rdi: 0x40000n, rcx: 5000n })).toBe(LEAVE_RESUME);
    expect(m.u64(RCX)).toBe(904n);
  });
  test.each([['single step', EFLAGS, TF | 2], ['armed breakpoints', BREAKPOINTS_ARMED, 1]] as const)('%s: one element at a time', (_, offset, value) => {
    m.setU32(offset, value);
    m.call('updateTlbBase');
    expect(run('movs', { rsi: 0x30000n, rdi: 0x40000n, rcx: 2n })).toBe(LEAVE_RESUME);
    expect(registers()).toEqual([0x30001n, 0x40001n, 1n]);
    expect(run('movs', {})).toBe(0);
    expect(m.u64(RCX)).toBe(0n);
  });
});

describe('outside 64-bit code', () => {
  beforeEach(() => {
    m.mode({ cr0: 1n, cr4: 0n, efer: 0n, long: false });
    m.segment(SEG_DS, 0x30000n, 0xffff, 0x93);
    m.segment(SEG_ES, 0x50000n, 0xffff, 0x93);
  });
  test('16-bit offsets wrap and leave the upper register halves alone', () => {
    m.fill(0x3fffe, 1, 2);
    m.fill(0x30000, 3, 4);
    expect(run('movs', { rsi: 0xabcdfffen, rdi: 0xabcd0000n, rcx: 0xabcd0004n }, { address: 16 })).toBe(0);
    expect(m.slice(0x50000, 4)).toEqual([1, 2, 3, 4]);
    expect(registers()).toEqual([0xabcd0002n, 0xabcd0004n, 0xabcd0000n]);
  });
  test('downwards past offset 0', () => {
    m.setU32(EFLAGS, DF | 2);
    m.fill(0x30000, 1, 2);
    m.fill(0x3fffe, 3, 4);
    expect(run('movs', { rsi: 1n, rdi: 0x8003n, rcx: 4n }, { address: 16 })).toBe(0);
    expect(m.slice(0x58000, 4)).toEqual([3, 4, 1, 2]);
    expect(registers()).toEqual([0xfffdn, 0x7fffn, 0n]);
  });
  test('a page that the TLB has changes neither where offsets wrap nor where the limit is', () => {
    m.segment(SEG_DS, 0x30800n, 0xffff, 0x93);
    for (let time = 0; time < 2; time++) {
      m.fill(0x407fe, 1, 2, 9, 9);
      m.fill(0x30800, 3, 4);
      expect(run('movs', { rsi: 0xfffen, rdi: 0n, rcx: 4n }, { address: 16 })).toBe(0);
      expect(m.slice(0x50000, 4)).toEqual([1, 2, 3, 4]);
      expect(registers()).toEqual([2n, 4n, 0n]);
    }
    m.segment(SEG_ES, 0x50000n, 0x1806, 0x93);
    for (let time = 0; time < 2; time++) {
      m.fill(0x51800, ...pattern(16));
      expect(run('stos', { rdi: 0x1800n, rcx: 3n, rax: 0n }, { address: 32, size: 4 })).toBe(LEAVE_FAULT);
      expect(m.takeFault()).toMatchObject({ vector: 13, error: 0 });
      expect([m.u64(RDI), m.u64(RCX)]).toEqual([0x1804n, 2n]);
      expect(m.slice(0x51800, 16)).toEqual([0, 0, 0, 0, ...pattern(16).slice(4)]);
    }
  });
  test('the limit stops a copy at the exact element', () => {
    m.segment(SEG_ES, 0x50000n, 0x1804, 0x93);
    expect(run('stos', { rdi: 0x1000n, rcx: 0x1000n, rax: ~0n & 0xffffffffn }, { address: 32, size: 4 })).toBe(LEAVE_FAULT);
    expect(m.takeFault()).toMatchObject({ vector: 13, error: 0 });
    expect([m.u64(RDI), m.u64(RCX)]).toEqual([0x1804n, 0x1000n - 0x201n]);
    expect(m.slice(0x51800, 8)).toEqual([255, 255, 255, 255, 0, 0, 0, 0]);
  });
});

describe('INS and OUTS', () => {
  test('REP INS stores what the port gives, REP OUTS sends what memory holds', () => {
    m.answers.set(0x1f0, 0x1234);
    expect(run('ins', { rdi: 0x30000n, rcx: 3n, rdx: 0x1f0n }, { size: 2 })).toBe(0);
    expect(m.slice(0x30000, 8)).toEqual([0x34, 0x12, 0x34, 0x12, 0x34, 0x12, 0, 0]);
    expect(run('outs', { rsi: 0x30000n, rcx: 2n, rdx: 0x1f4n }, { size: 2 })).toBe(0);
    expect(m.takeEvents()).toEqual([['in', 0x1f0, 2], ['in', 0x1f0, 2], ['in', 0x1f0, 2], ['out', 0x1f4, 2, 0x1234], ['out', 0x1f4, 2, 0x1234]]);
  });
  test('a destination that faults costs no port read', () => {
    m.poke64(0x13000 + 0x31 * 8, 0x31005n);
    expect(run('ins', { rdi: 0x30ffen, rcx: 4n, rdx: 0x60n })).toBe(LEAVE_FAULT);
    expect(m.takeFault()).toEqual({ vector: 14, error: 3, address: 0x31000n });
    expect(m.takeEvents()).toHaveLength(2);
    expect([m.u64(RDI), m.u64(RCX)]).toEqual([0x31000n, 2n]);
  });
  test('without permission neither port nor memory is touched', () => {
    m.setU32(CPL, 3);
    m.fill(102, 0xff, 0xff); // the I/O permission map begins behind the limit of the task state
    m.call('updateTlbBase');
    expect(run('outs', { rsi: 0x99999999999n, rcx: 4n, rdx: 0x60n })).toBe(LEAVE_FAULT);
    expect(m.takeFault()).toMatchObject({ vector: 13, error: 0 });
    expect(m.takeEvents()).toEqual([]);
  });
});
