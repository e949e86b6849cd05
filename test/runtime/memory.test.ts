import { beforeEach, describe, expect, test } from 'vitest';
import {
  BREAKPOINTS_ARMED, COUNT_TLB_MISSES, CPL, CR3, DR, DR7, JUMP_CACHE, JUMP_CACHE_SET_BYTES, MODE, MODE_CODE32, MODE_LONG, MODE_REAL, PENDING_DEBUG, SEG_DS, SEG_FAST_READ, SEG_FAST_WRITE,
  SEG_SS, SEGMENTS, SEGMENT_BYTES, STACK_MASK, TLB, TLB_BASE, TLB_ENTRY_BYTES, TLB_GLOBAL_COUNT, TLB_LOCAL_COUNT, TLB_SET_BYTES, TLB_WRITE,
} from '../../src/isa/x86/state/layout.ts';
import { PAGE_FLAG_CODE, PAGE_FLAG_TRACK, TLB_EMPTY } from '../../src/memory/layout.ts';
import { MMIO, ROM, RuntimeFixture } from '../support/runtime.ts';

const PE = 1n;
const PAGED = 0x80010001n;
const PAE = 0x20n;
const PGE = 0x80n;
const AM = 0x40000n;
const AC = 0x40000;
const top = 0x10000;
const pointers = 0x11000;
const directory = 0x12000;
const table = 0x13000;

let m: RuntimeFixture;
beforeEach(() => {
  m = new RuntimeFixture();
  m.mode({ cr0: PE, long: false });
});

/** 64-bit mode; page n (0 to 511) of the first 2 MiB mapped by entry n of the table. */
function paged(entries: Readonly<Record<number, bigint>>, settings: Parameters<RuntimeFixture['mode']>[0] = {}): void {
  m.poke64(top, BigInt(pointers) | 7n);
  m.poke64(pointers, BigInt(directory) | 7n);
  m.poke64(directory, BigInt(table) | 7n);
  for (const [page, entry] of Object.entries(entries)) m.poke64(table + Number(page) * 8, entry);
  m.mode({ cr0: PAGED, cr3: BigInt(top), cr4: PAE | PGE, efer: 0xd00n, long: true, ...settings });
}

function writeTag(page: number, set = 0): bigint {
  return m.u64(TLB + set * TLB_SET_BYTES + page * TLB_ENTRY_BYTES + TLB_WRITE);
}

describe('sizes', () => {
  test.each([8, 16, 32] as const)('%i bits, unsigned', (bits) => {
    m.fill(0x5000, 0xf1, 0xf2, 0xf3, 0xf4);
    const expected = Number(BigInt.asUintN(bits, 0xf4f3f2f1n));
    expect(Number(m.call(`slowLoad${bits}`, 0x5000n)) >>> 0).toBe(expected);
    expect(Number(m.call(`slowLoadForWrite${bits}`, 0x5000n)) >>> 0).toBe(expected);
    expect(Number(m.call(`loadLinear${bits}`, 0x5000n)) >>> 0).toBe(expected);
    m.fill(0x6000, 9, 9, 9, 9, 9);
    m.call(`slowStore${bits}`, 0x6000n, 0x44332211);
    expect(m.slice(0x6000, 5)).toEqual([0x11, 0x22, 0x33, 0x44, 9].map((byte, i) => (i * 8 < bits && i < 4 ? byte : 9)));
  });
  test('64 and 128 bits', () => {
    m.call('slowStore64', 0x5000n, 0x1122334455667788n);
    expect(m.call('slowLoad64', 0x5000n)).toBe(0x1122334455667788n);
    m.call('slowStore128', 0x5008n, 1n, -2n);
    expect([m.peek64(0x5008), m.peek64(0x5010)]).toEqual([1n, 0xfffffffffffffffen]);
  });
});

describe('crossing pages', () => {
  beforeEach(() => paged({ 1: 0x20003n, 2: 0x22003n, 3: 0x24001n }));

  test.each([1, 2, 3, 5, 7])('a 64-bit access with %i bytes in the first page', (first) => {
    const linear = 0x2000n - BigInt(first);
    m.call('slowStore64', linear, 0x8877665544332211n);
    const bytes = [0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88];
    expect(m.slice(0x21000 - first, first)).toEqual(bytes.slice(0, first));
    expect(m.slice(0x22000, 8 - first)).toEqual(bytes.slice(first));
    expect(BigInt.asUintN(64, m.call('slowLoad64', linear) as bigint)).toBe(0x8877665544332211n);
    expect(BigInt.asUintN(64, m.call('loadLinear64', linear) as bigint)).toBe(0x8877665544332211n);
  });
  test('nothing is written when the second page refuses', () => {
    m.call('slowStore32', 0x2ffen, -1);
    expect(m.takeFault()).toEqual({ vector: 14, error: 3, address: 0x3000n });
    expect(m.slice(0x22ffe, 2)).toEqual([0, 0]);
    m.call('slowStore128', 0x2ff8n, -1n, -1n);
    expect(m.takeFault()).toEqual({ vector: 14, error: 3, address: 0x3000n });
    expect(m.slice(0x22ff8, 8)).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
  });
  test('the first page\'s fault comes first', () => {
    m.call('slowLoad32', 0xffen);
    expect(m.takeFault()).toEqual({ vector: 14, error: 0, address: 0xffen });
    m.call('slowLoad32', 0x3ffen);
    expect(m.takeFault()).toEqual({ vector: 14, error: 0, address: 0x4000n });
  });
  test('a load for writing asks for both rights', () => {
    m.call('slowLoadForWrite32', 0x3000n);
    expect(m.takeFault()).toEqual({ vector: 14, error: 3, address: 0x3000n });
    m.call('slowLoadForWrite32', 0x2ffen);
    expect(m.takeFault()).toEqual({ vector: 14, error: 3, address: 0x3000n });
    m.call('slowLoadForWrite8', 0x1000n);
    expect(m.peek64(table + 8) & 0x60n).toBe(0x60n);
  });
  test('addresses wrap at 4 GiB outside 64-bit code', () => {
    m.mode({ cr0: PE, cr4: 0n, efer: 0n, long: false });
    m.fill(0, 0x33, 0x44);
    m.answers.set(0xfffffffe, 0x2211);
    expect(m.call('slowLoad32', 0xfffffffen)).toBe(0x44332211);
    expect(m.takeEvents()).toEqual([['read', 0xfffffffe, 2]]);
  });
  test('so do 16-byte accesses, in compatibility mode too', () => {
    m.poke64(pointers + 24, BigInt(directory) | 7n);
    m.poke64(directory + 511 * 8, 0x200087n);
    m.setU32(MODE, MODE_CODE32 | MODE_LONG);
    m.poke64(table, 0x25003n);
    m.poke64(0x25004, 77n);
    expect(m.call('slowLoad64', 0x100000004n)).toBe(77n);
    m.call('slowStore128', 0xfffffff8n, 1n, 2n);
    expect(m.takeFault()).toBeUndefined();
    expect([m.peek64(0x3ffff8), m.peek64(0x25000)]).toEqual([1n, 2n]);
  });
  test('probing a range finds its first bad page', () => {
    expect(m.call('probeLinear', 0x1ff0n, 0x1000, 1, 0)).toBe(0);
    expect(m.call('probeLinear', 0x1ff0n, 0x1011, 1, 0)).toBe(1);
    expect(m.takeFault()).toEqual({ vector: 14, error: 3, address: 0x3000n });
    expect(m.call('probeLinear', 0x1ff0n, 0x1011, 0, 0)).toBe(0);
    expect(m.call('probeLinear', 0x1000n, 1, 0, 1)).toBe(1);
    expect(m.takeFault()).toEqual({ vector: 14, error: 5, address: 0x1000n });
  });
});

describe('the bus', () => {
  test('aligned accesses go as they are, 64 bits as two halves', () => {
    m.answers.set(MMIO, 0x44332211).set(MMIO + 4, 0x88776655 | 0);
    expect(m.call('slowLoad16', BigInt(MMIO))).toBe(0x2211);
    expect(BigInt.asUintN(64, m.call('slowLoad64', BigInt(MMIO)) as bigint)).toBe(0x8877665544332211n);
    m.call('slowStore64', BigInt(MMIO), 0x0102030405060708n);
    m.call('slowStore8', BigInt(MMIO) + 3n, 0x1ff);
    expect(m.takeEvents()).toEqual([
      ['read', MMIO, 2], ['read', MMIO, 4], ['read', MMIO + 4, 4],
      ['write', MMIO, 4, 0x05060708], ['write', MMIO + 4, 4, 0x01020304], ['write', MMIO + 3, 1, 0xff],
    ]);
  });
  test('unaligned ones are split into aligned pieces', () => {
    m.call('slowStore32', BigInt(MMIO) + 1n, 0x44332211);
    m.call('slowLoad32', BigInt(MMIO) + 2n);
    expect(m.takeEvents()).toEqual([
      ['write', MMIO + 1, 1, 0x11], ['write', MMIO + 2, 2, 0x3322], ['write', MMIO + 4, 1, 0x44],
      ['read', MMIO + 2, 2], ['read', MMIO + 4, 2],
    ]);
  });
  test('a device is asked each time', () => {
    m.call('loadLinear32', BigInt(MMIO));
    m.call('loadLinear32', BigInt(MMIO));
    expect(m.takeEvents()).toHaveLength(2);
  });
  test('ROM reads like RAM, and writes go to the bus', () => {
    m.fill(ROM, 1, 2, 3, 4);
    expect(m.call('loadLinear32', BigInt(ROM))).toBe(0x04030201);
    m.call('storeLinear32', BigInt(ROM), 7);
    expect(m.takeEvents()).toEqual([['write', ROM, 4, 7]]);
    expect(m.call('slowLoadForWrite32', BigInt(ROM))).toBe(0x04030201);
    expect(m.takeEvents()).toEqual([]);
    expect(Number(m.call('translateFetch', BigInt(ROM))) >>> 0).toBe(m.host(ROM));
  });
  test('code on the bus is no instruction', () => {
    expect(m.access('fetch', BigInt(MMIO))).toBe('#6(undefined)');
  });
});

describe('page flags', () => {
  test('writes to code are reported after the write, until the flag goes', () => {
    m.setPageFlags(0x5000, PAGE_FLAG_CODE);
    m.call('storeLinear32', 0x5010n, 1);
    m.call('storeLinear16', 0x5ffen, 1);
    expect(m.takeEvents()).toEqual([['code', 5, 0x10, 4], ['code', 5, 0xffe, 2]]);
    expect(m.peek32(0x5010)).toBe(1);
    expect(writeTag(5)).not.toBe(0x5000n);
    m.setPageFlags(0x5000, 0);
    m.call('storeLinear32', 0x5010n, 2);
    expect(m.takeEvents()).toEqual([]);
    expect(writeTag(5)).toBe(0x5000n);
  });
  test('both pages of a crossing write are reported', () => {
    m.setPageFlags(0x5000, PAGE_FLAG_CODE);
    m.setPageFlags(0x6000, PAGE_FLAG_CODE);
    m.call('storeLinear32', 0x5fffn, -1);
    expect(m.takeEvents()).toEqual([['code', 5, 0xfff, 1], ['code', 6, 0, 3]]);
  });
  test('a page that becomes code loses its write tags', () => {
    m.call('storeLinear32', 0x5000n, 1);
    expect(writeTag(5)).toBe(0x5000n);
    m.setPageFlags(0x5000, PAGE_FLAG_CODE);
    m.call('clearWriteTags', 5);
    m.call('storeLinear32', 0x5000n, 2);
    expect(m.takeEvents()).toEqual([['code', 5, 0, 4]]);
  });
  test('the first write clears the tracking flag', () => {
    m.setPageFlags(0x5000, PAGE_FLAG_TRACK);
    m.call('loadLinear32', 0x5000n);
    expect(m.pageFlags(0x5000)).toBe(PAGE_FLAG_TRACK);
    m.call('storeLinear32', 0x5000n, 1);
    expect(m.pageFlags(0x5000)).toBe(0);
    expect(m.takeEvents()).toEqual([]);
  });
  test('accessed flags written into a tracked page table count as writes', () => {
    paged({ 1: 0x20003n });
    m.setPageFlags(table, PAGE_FLAG_TRACK);
    m.setPageFlags(directory, PAGE_FLAG_CODE);
    m.call('loadLinear8', 0x1000n);
    expect(m.pageFlags(table)).toBe(0);
    expect(m.takeEvents()).toEqual([['code', directory >> 12, 0, 8]]);
  });
});

describe('the TLB', () => {
  test('a clean page keeps its write tag invalid until it is written', () => {
    paged({ 1: 0x20003n });
    m.call('loadLinear8', 0x1000n);
    expect(writeTag(1)).not.toBe(0x1000n);
    m.call('storeLinear8', 0x1000n, 1);
    expect(writeTag(1)).toBe(0x1000n);
  });
  test('entries of one privilege do not serve another', () => {
    paged({ 1: 0x20003n });
    m.call('storeLinear8', 0x1000n, 1);
    m.setU32(CPL, 3);
    m.call('updateTlbBase');
    m.call('loadLinear8', 0x1000n);
    expect(m.takeFault()).toMatchObject({ vector: 14, error: 5 });
  });
  test('INVLPG forgets a page; other pages stay', () => {
    paged({ 1: 0x20003n, 2: 0x21003n });
    m.call('loadLinear8', 0x1000n);
    m.call('loadLinear8', 0x2000n);
    m.poke64(table + 8, 0n);
    m.poke64(table + 16, 0n);
    m.call('flushPage', 0x1008n);
    m.call('loadLinear8', 0x2000n);
    expect(m.takeFault()).toBeUndefined();
    m.call('loadLinear8', 0x1000n);
    expect(m.takeFault()).toMatchObject({ vector: 14, error: 0 });
  });
  test('INVLPG forgets all of a large page', () => {
    paged({});
    m.poke64(directory + 8, 0x200083n);
    m.mode({});
    for (const linear of [0x200000n, 0x2ff000n, 0x3ff000n]) expect(m.access('fetch', linear)).toBe('ok');
    m.poke64(directory + 8, 0n);
    m.call('flushPage', 0x234567n);
    for (const linear of [0x200000n, 0x2ff000n, 0x3ff000n]) expect(m.access('read', linear)).toBe('#PF(0)');
  });
  test('a load of CR3 keeps global pages only', () => {
    paged({ 1: 0x20003n, 2: 0x21103n });
    m.call('loadLinear8', 0x1000n);
    m.call('loadLinear8', 0x2000n);
    m.poke64(table + 8, 0n);
    m.poke64(table + 16, 0n);
    m.call('flushTlbNonGlobal');
    m.call('loadLinear8', 0x2000n);
    expect(m.takeFault()).toBeUndefined();
    m.call('loadLinear8', 0x1000n);
    expect(m.takeFault()).toMatchObject({ vector: 14 });
    m.call('flushTlb');
    m.call('loadLinear8', 0x2000n);
    expect(m.takeFault()).toMatchObject({ vector: 14 });
  });
  test('the kernel\'s jump cache outlives a load of CR3 when its code is global', () => {
    paged({ 1: 0x20003n, 2: 0x21103n });
    const mark = (): void => {
      for (const at of [JUMP_CACHE, JUMP_CACHE + JUMP_CACHE_SET_BYTES]) m.setU64(at, 0n);
    };
    const kept = (): boolean[] => [JUMP_CACHE, JUMP_CACHE + JUMP_CACHE_SET_BYTES].map((at) => m.u64(at) === 0n);
    m.call('translateFetch', 0x2000n);
    mark();
    m.call('flushTlbNonGlobal');
    expect(kept()).toEqual([true, false]);
    m.call('translateFetch', 0x1000n);
    mark();
    m.call('flushTlbNonGlobal');
    expect(kept()).toEqual([false, false]);
  });
  test('INVLPG empties the jump caches only for pages with code', () => {
    paged({ 1: 0x20003n, 2: 0x21003n });
    m.call('translateFetch', 0x1000n);
    m.setU64(JUMP_CACHE, 0n);
    m.call('flushPage', 0x2000n);
    expect(m.u64(JUMP_CACHE)).toBe(0n);
    m.call('flushPage', 0x1000n);
    expect(m.u64(JUMP_CACHE)).toBe(0xffffffffffffffffn);
  });
  test('an entry in turn of a global page and of another is in each list once, and goes with either', () => {
    // 2 MiB pages at 0 and, where entries come again, at 16 MiB.
    paged({});
    m.poke64(directory, 0x83n);
    m.poke64(directory + 64, 0x200183n);
    for (let i = 0; i < 3; i++) {
      expect([m.access('write', 0x1000n), m.access('write', 0x1001000n)]).toEqual(['ok', 'ok']);
      expect([m.u32(TLB_LOCAL_COUNT), m.u32(TLB_GLOBAL_COUNT)]).toEqual([1, 0]);
    }
    m.call('flushTlbNonGlobal');
    expect([m.u32(TLB_LOCAL_COUNT), m.access('write', 0x1001000n), m.access('write', 0x1000n)]).toEqual([0, 'ok', 'ok']);
    expect([m.u32(TLB_LOCAL_COUNT), m.u32(TLB_GLOBAL_COUNT), writeTag(1)]).toEqual([1, 1, 0x1000n]);
    m.call('clearWriteTags', 1);
    expect(writeTag(1)).not.toBe(0x1000n);
    m.poke64(directory, 0n);
    m.call('flushTlbNonGlobal');
    expect(m.access('read', 0x1000n)).toBe('#PF(0)');
    m.poke64(directory + 64, 0n);
    expect(m.access('read', 0x1001000n)).toBe('#PF(0)');
  });
  test('a hit is no miss', () => {
    paged({ 1: 0x20003n });
    for (let i = 0; i < 3; i++) m.call('loadLinear8', 0x1000n);
    expect(m.u64(COUNT_TLB_MISSES)).toBe(1n);
    expect(m.u64(CR3)).toBe(BigInt(top));
  });
});

describe('every access looked at', () => {
  test('alignment checks of user code', () => {
    paged({ 1: 0x20007n });
    m.mode({ cr0: PAGED | AM, cpl: 3, flags: AC });
    expect(m.u32(TLB_BASE)).toBe(TLB_EMPTY);
    m.call('loadLinear32', 0x1004n);
    expect(m.takeFault()).toBeUndefined();
    m.call('loadLinear32', 0x1002n);
    expect(m.takeFault()).toMatchObject({ vector: 17, error: 0 });
    m.call('slowStore16', 0x1001n, 0);
    expect(m.takeFault()).toMatchObject({ vector: 17, error: 0 });
    m.call('loadSystem', 0x1001n, 4);
    expect(m.takeFault()).toBeUndefined();
    m.mode({ flags: 0 });
    m.call('loadLinear32', 0x1002n);
    expect(m.takeFault()).toBeUndefined();
  });
  test('data breakpoints by kind and length', () => {
    m.setU64(DR, 0x5004n);
    m.setU64(DR + 8, 0x5100n);
    m.setU64(DR7, 0x400n | 0x3n | (0b1101n << 16n) | 0xcn | (0b1011n << 20n)); // DR0: 4 bytes written; DR1: 8 bytes, any
    m.call('updateBreakpoints');
    expect(m.u32(BREAKPOINTS_ARMED)).toBe(3);
    const hits = (): number => {
      const value = m.u32(PENDING_DEBUG);
      m.setU32(PENDING_DEBUG, 0);
      return value;
    };
    m.call('loadLinear32', 0x5004n);
    expect(hits()).toBe(0);
    m.call('storeLinear8', 0x5007n, 1);
    expect(hits()).toBe(1);
    m.call('storeLinear32', 0x5000n, 1);
    expect(hits()).toBe(0);
    m.call('storeLinear32', 0x5001n, 1);
    expect(hits()).toBe(1);
    m.call('loadLinear8', 0x5107n);
    expect(hits()).toBe(2);
    m.call('loadLinear8', 0x5108n);
    expect(hits()).toBe(0);
    m.setU64(DR7, 0x400n);
    m.call('updateBreakpoints');
    m.call('storeLinear8', 0x5004n, 1);
    expect([hits(), m.u32(BREAKPOINTS_ARMED)]).toEqual([0, 0]);
  });
});

describe('segments', () => {
  const check = (index: number, offset: number, bytes: number, write: boolean): string => {
    if (m.call('checkSegment', index, offset | 0, bytes, write ? 1 : 0) === 0) return 'ok';
    const fault = m.takeFault()!;
    return `#${fault.vector}(${fault.error})`;
  };
  const fast = (index: number): number[] => [SEG_FAST_READ, SEG_FAST_WRITE].map((at) => m.u32(SEGMENTS + index * SEGMENT_BYTES + at));
  beforeEach(() => m.setU32(MODE, MODE_CODE32));

  test('limit of an expand-up segment, to the byte', () => {
    m.segment(SEG_DS, 0n, 0x1fff, 0x4093);
    expect(check(SEG_DS, 0x1ffc, 4, true)).toBe('ok');
    expect(check(SEG_DS, 0x1ffd, 4, false)).toBe('#13(0)');
    expect(check(SEG_DS, -2, 4, false)).toBe('#13(0)');
    expect(fast(SEG_DS)).toEqual([0x1ff0, 0x1ff0]);
    m.segment(SEG_SS, 0n, 0x1fff, 0x4093);
    expect(check(SEG_SS, 0x1fff, 2, true)).toBe('#12(0)');
    expect(m.u32(STACK_MASK)).toBe(0xffffffff);
  });
  test('a flat segment wraps', () => {
    m.segment(SEG_DS, 0n, 0xffffffff, 0xc093);
    expect(check(SEG_DS, -1, 4, true)).toBe('ok');
    expect(fast(SEG_DS)).toEqual([0xfffffff0, 0xfffffff0]);
  });
  test('expand-down segments', () => {
    m.segment(SEG_SS, 0n, 0xfff, 0x4097);
    expect(fast(SEG_SS)).toEqual([0, 0]);
    expect(check(SEG_SS, 0xfff, 1, true)).toBe('#12(0)');
    expect(check(SEG_SS, 0x1000, 1, true)).toBe('ok');
    expect(check(SEG_SS, -4, 4, true)).toBe('ok');
    expect(check(SEG_SS, -3, 4, true)).toBe('#12(0)');
    m.segment(SEG_SS, 0n, 0xfff, 0x97);
    expect(check(SEG_SS, 0xfffe, 2, true)).toBe('ok');
    expect(check(SEG_SS, 0xffff, 2, true)).toBe('#12(0)');
    expect(m.u32(STACK_MASK)).toBe(0xffff);
  });
  test('types', () => {
    m.segment(SEG_DS, 0n, 0xffff, 0x91); // read-only data
    expect([check(SEG_DS, 0, 4, false), check(SEG_DS, 0, 4, true), fast(SEG_DS)[1]]).toEqual(['ok', '#13(0)', 0]);
    m.segment(SEG_DS, 0n, 0xffff, 0x99); // execute-only code
    expect([check(SEG_DS, 0, 4, false), check(SEG_DS, 0, 4, true), fast(SEG_DS)]).toEqual(['#13(0)', '#13(0)', [0, 0]]);
    m.segment(SEG_DS, 0n, 0xffff, 0x9b); // readable code
    expect([check(SEG_DS, 0, 4, false), check(SEG_DS, 0, 4, true)]).toEqual(['ok', '#13(0)']);
    m.segment(SEG_DS, 0n, 0xffff, 0x10093); // null
    expect([check(SEG_DS, 0, 4, false), fast(SEG_DS)]).toEqual(['#13(0)', [0, 0]]);
  });
  test('real mode looks at the limit only', () => {
    m.mode({ cr0: 0n });
    m.setU32(MODE, MODE_REAL);
    m.segment(SEG_DS, 0n, 0xffff, 0x9b);
    expect([check(SEG_DS, 0xfffe, 2, true), check(SEG_DS, 0xffff, 2, true)]).toEqual(['ok', '#13(0)']);
    expect(fast(SEG_DS)).toEqual([0xfff0, 0xfff0]);
  });
});
