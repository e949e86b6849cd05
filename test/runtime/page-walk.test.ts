import { beforeEach, describe, expect, test } from 'vitest';
import { HIGH_RAM, RuntimeFixture } from '../support/runtime.ts';
import { REC_ADDRESSING, STACK_WRITES } from '../../src/isa/x86/decode/record.ts';
import { CR0, CR4, EFER, PHYSICAL_MASK, PKRS, PKRU, POSITION_RECORD, RECORD } from '../../src/isa/x86/state/layout.ts';
import { VCPU_BASE } from '../../src/memory/layout.ts';

const P = 1n;
const W = 2n;
const U = 4n;
const A = 0x20n;
const D = 0x40n;
const PS = 0x80n;
const NX = 1n << 63n;

const PE = 1n;
const WP = 0x10000n;
const PG = 0x80000000n;
const PSE = 0x10n;
const PAE = 0x20n;
const SMEP = 0x100000n;
const SMAP = 0x200000n;
const PKE = 0x400000n;
const PKS = 0x1000000n;
const LMA = 0x500n;
const NXE = 0x800n;
const AC = 0x40000;

let m: RuntimeFixture;
beforeEach(() => {
  m = new RuntimeFixture();
});

describe('without paging', () => {
  test('linear is physical, masked to 32 bits', () => {
    m.mode({ cr0: PE, long: false });
    m.poke32(0x1234, 0xabcd1234);
    expect(Number(m.call('slowLoad32', 0x1234n)) >>> 0).toBe(0xabcd1234);
    expect(m.access('write', 0x1234n)).toBe('ok');
  });
  test('a closed A20 gate clears bit 20', () => {
    m.mode({ cr0: PE, long: false });
    m.setU64(PHYSICAL_MASK, 0xffffefffffn);
    m.poke32(0x1000, 77);
    expect(m.call('slowLoad32', 0x101000n)).toBe(77);
  });
});

describe('32-bit paging', () => {
  const directory = 0x10000;
  const table = 0x11000;
  beforeEach(() => {
    m.mode({ cr0: PE | WP | PG, cr3: BigInt(directory), cr4: 0n, long: false });
    m.poke32(directory + 4, table | 7);
  });

  test('a page, with accessed and dirty flags as used', () => {
    m.poke32(table + 8, 0x20000 | 7);
    m.poke32(0x20010, 0x11223344);
    expect(m.call('slowLoad32', 0x402010n)).toBe(0x11223344);
    expect(m.peek32(directory + 4)).toBe(table | 0x27);
    expect(m.peek32(table + 8)).toBe(0x20027);
    expect(m.access('write', 0x402010n)).toBe('ok');
    expect(m.peek32(directory + 4)).toBe(table | 0x27);
    expect(m.peek32(table + 8)).toBe(0x20067);
    expect(m.peek32(0x20010)).toBe(0x1122335a);
  });
  test('not present at either level', () => {
    expect(m.access('read', 0x800000n)).toBe('#PF(0)');
    expect(m.access('write', 0x402000n)).toBe('#PF(2)');
    m.mode({ cpl: 3 });
    expect(m.access('fetch', 0x402000n)).toBe('#PF(4)');
    expect(m.peek32(directory + 4)).toBe(table | 7);
  });
  test.each([
    // flags of the entry, CPL, WP, access, result
    [1, 0, true, 'read', 'ok'],
    [1, 0, true, 'write', '#PF(3)'],
    [1, 0, false, 'write', 'ok'],
    [1, 3, true, 'read', '#PF(5)'],
    [3, 3, true, 'write', '#PF(7)'],
    [5, 3, true, 'read', 'ok'],
    [5, 3, true, 'write', '#PF(7)'],
    [5, 3, false, 'write', '#PF(7)'],
    [7, 3, true, 'write', 'ok'],
    [5, 3, true, 'fetch', 'ok'],
    [3, 3, true, 'fetch', '#PF(5)'],
  ] as const)('entry flags %i, CPL %i, WP %s: %s gives %s', (flags, cpl, wp, kind, expected) => {
    m.poke32(table + 8, 0x20000 | flags);
    m.mode({ cr0: PE | PG | (wp ? WP : 0n), cpl });
    expect(m.access(kind, 0x402000n)).toBe(expected);
    // A refused access marks nothing.
    expect(m.peek32(table + 8) & 0x60).toBe(expected !== 'ok' ? 0 : kind === 'write' ? 0x60 : 0x20);
  });
  test('rights of the directory count as well', () => {
    m.poke32(directory + 4, table | 1);
    m.poke32(table + 8, 0x20007);
    expect(m.access('write', 0x402000n)).toBe('#PF(3)');
    m.mode({ cpl: 3 });
    expect(m.access('read', 0x402000n)).toBe('#PF(5)');
  });
  test('a 4 MiB page by PSE, above 4 GiB by PSE-36', () => {
    m.poke32(directory + 8, 0x80 | 7);
    // Without CR4.PSE the bit is ignored and the entry names a table, at 0.
    m.poke32(0x4, 0x20007);
    m.poke32(0x20008, 5);
    expect(m.call('slowLoad32', 0x801008n)).toBe(5);
    m.mode({ cr4: PSE });
    m.poke32(0x1008, 6);
    expect(m.call('slowLoad32', 0x801008n)).toBe(6);
    m.poke32(directory + 8, 0x2000 | 0x80 | 7);
    m.poke64(HIGH_RAM + 0x1008, 7n);
    m.mode({});
    expect(m.call('slowLoad32', 0x801008n)).toBe(7);
    expect(m.peek32(directory + 8)).toBe(0x20a7);
  });
  test('reserved bit 21 of a 4 MiB page', () => {
    m.mode({ cr4: PSE });
    m.poke32(directory + 8, 0x200000 | 0x80 | 7);
    expect(m.access('read', 0x800000n)).toBe('#PF(9)');
    m.mode({ cpl: 3 });
    expect(m.access('write', 0x800000n)).toBe('#PF(15)');
  });
});

describe('PAE paging', () => {
  const pointers = 0x10020;
  const directory = 0x11000;
  const table = 0x12000;
  beforeEach(() => {
    m.poke64(pointers + 8, BigInt(directory) | P);
    m.poke64(directory + 8, BigInt(table) | P | W | U);
    m.mode({ cr0: PE | WP | PG, cr3: BigInt(pointers), cr4: PAE, efer: 0n, long: false });
  });
  const linear = 0x40201000n;

  test('a page above 4 GiB', () => {
    m.poke64(table + 8, BigInt(HIGH_RAM) | P | W | U);
    m.poke64(HIGH_RAM, 99n);
    expect(m.call('slowLoad32', linear)).toBe(99);
    expect(m.peek64(table + 8)).toBe(BigInt(HIGH_RAM) | P | W | U | A);
    expect(m.peek64(pointers + 8)).toBe(BigInt(directory) | P);
  });
  test('PDPTE registers: memory counts only when they are loaded', () => {
    m.poke64(table + 8, 0x20000n | P | W | U);
    expect(m.call('loadPdptes')).toBe(0);
    m.poke64(pointers + 8, 0n);
    expect(m.access('read', linear)).toBe('ok');
    expect(m.access('read', linear + 0x1000n)).toBe('#PF(0)');
    m.call('flushPage', linear);
    expect(m.access('read', linear)).toBe('ok');
    expect(m.call('loadPdptes')).toBe(0);
    m.call('flushPage', linear);
    expect(m.access('read', linear)).toBe('#PF(0)');
  });
  test('reserved bits in a present PDPTE are #GP(0) when loaded', () => {
    m.poke64(pointers + 16, BigInt(directory) | W);
    expect(m.call('loadPdptes')).toBe(0);
    m.poke64(pointers + 16, BigInt(directory) | P | W);
    expect(m.call('loadPdptes')).toBe(1);
    expect(m.takeFault()).toMatchObject({ vector: 13, error: 0 });
  });
  test('2 MiB pages', () => {
    m.poke64(directory + 8, 0x200000n | PS | P | W | U);
    m.poke64(0x201008, 5n);
    expect(m.call('slowLoad32', 0x40201008n)).toBe(5);
    m.poke64(directory + 8, 0x202000n | PS | P | W | U);
    m.mode({});
    expect(m.access('read', linear)).toBe('#PF(9)');
  });
  test('no-execute is reserved without NXE and refuses fetches with it', () => {
    m.poke64(table + 8, 0x20000n | P | W | U | NX);
    expect(m.access('read', linear)).toBe('#PF(9)');
    expect(m.access('fetch', linear)).toBe('#PF(9)');
    m.mode({ efer: NXE });
    expect(m.access('read', linear)).toBe('ok');
    expect(m.access('fetch', linear)).toBe('#PF(17)');
  });
  test('bits 52 to 62 are reserved', () => {
    m.poke64(table + 8, 0x20000n | P | W | U | (1n << 52n));
    expect(m.access('read', linear)).toBe('#PF(9)');
  });
});

describe('4-level paging', () => {
  const top = 0x10000;
  const pointers = 0x11000;
  const directory = 0x12000;
  const table = 0x13000;
  const all = P | W | U;
  const linear = 0xffff8000c0601000n; // PML4 256, PDPT 3, PD 3, PT 1
  beforeEach(() => {
    m.poke64(top + 256 * 8, BigInt(pointers) | all);
    m.poke64(pointers + 3 * 8, BigInt(directory) | all);
    m.poke64(directory + 3 * 8, BigInt(table) | all);
    m.poke64(table + 8, 0x20000n | all);
    m.mode({ cr0: PE | WP | PG, cr3: BigInt(top), cr4: PAE, efer: LMA | NXE, long: true });
  });

  test('all levels are marked accessed, only the last dirty', () => {
    expect(m.access('write', linear)).toBe('ok');
    expect(m.peek64(top + 256 * 8) & (A | D)).toBe(A);
    expect(m.peek64(pointers + 3 * 8) & (A | D)).toBe(A);
    expect(m.peek64(directory + 3 * 8) & (A | D)).toBe(A);
    expect(m.peek64(table + 8) & (A | D)).toBe(A | D);
    expect(m.slice(0x20000, 1)).toEqual([0x5a]);
  });
  test('a read leaves dirty clear, and the next write sets it', () => {
    expect(m.access('read', linear)).toBe('ok');
    expect(m.peek64(table + 8) & (A | D)).toBe(A);
    expect(m.access('write', linear)).toBe('ok');
    expect(m.peek64(table + 8) & (A | D)).toBe(A | D);
  });
  test('non-canonical addresses are #GP(0), of what goes to the stack #SS(0)', () => {
    expect(m.access('read', 0x800000000000n)).toBe('#13(0)');
    expect(m.access('write', 0x7fff000000000000n)).toBe('#13(0)');
    m.view.setUint8(VCPU_BASE + POSITION_RECORD + REC_ADDRESSING, STACK_WRITES);
    m.setU32(RECORD, VCPU_BASE + POSITION_RECORD);
    expect(m.access('read', 0x800000000008n)).toBe('#13(0)');
    expect(m.access('write', 0x7ffffffffff8n)).toBe('#PF(2)');
    expect(m.access('write', 0x800000000008n)).toBe('#12(0)');
  });
  test('1 GiB and 2 MiB pages', () => {
    m.poke64(pointers + 3 * 8, PS | all);
    m.poke64(0x201010, 8n);
    expect(m.call('slowLoad32', 0xffff8000c0201010n)).toBe(8);
    expect(m.peek64(pointers + 3 * 8)).toBe(PS | all | A);
    m.poke64(pointers + 3 * 8, 0x2000n | PS | all);
    m.mode({});
    expect(m.access('read', linear)).toBe('#PF(9)');
    m.poke64(pointers + 3 * 8, BigInt(directory) | all);
    m.poke64(directory + 3 * 8, 0x200000n | PS | all | 0x1000n); // bit 12 is PAT
    m.poke64(0x201010, 9n);
    m.mode({});
    expect(m.call('slowLoad32', 0xffff8000c0601010n)).toBe(9);
  });
  test('reserved: PS in the top level, address bits above MAXPHYADDR; bits 52 to 62 are free', () => {
    m.poke64(top + 256 * 8, BigInt(pointers) | all | PS);
    expect(m.access('read', linear)).toBe('#PF(9)');
    m.poke64(top + 256 * 8, BigInt(pointers) | all | (0x7ffn << 52n));
    expect(m.access('read', linear)).toBe('ok');
    m.poke64(table + 8, 0x20000n | all | (1n << 40n));
    m.mode({});
    expect(m.access('read', linear)).toBe('#PF(9)');
  });
  test.each([
    ['top', top + 256 * 8], ['pointers', pointers + 24], ['directory', directory + 24], ['table', table + 8],
  ] as const)('no-execute at level %s refuses fetches only', (_, at) => {
    m.poke64(at, m.peek64(at) | NX);
    expect(m.access('fetch', linear)).toBe('#PF(17)');
    expect(m.access('write', linear)).toBe('ok');
    expect(m.access('fetch', linear)).toBe('#PF(17)');
  });
  test('SMEP refuses supervisor fetches from user pages, with the fetch bit', () => {
    m.mode({ efer: LMA });
    expect(m.access('fetch', linear)).toBe('ok');
    m.mode({ cr4: PAE | SMEP });
    expect(m.access('fetch', linear)).toBe('#PF(17)');
    m.mode({ cpl: 3 });
    expect(m.access('fetch', linear)).toBe('ok');
  });
  test('SMAP refuses supervisor data accesses to user pages unless AC is set', () => {
    m.mode({ cr4: PAE | SMAP });
    expect(m.access('read', linear)).toBe('#PF(1)');
    expect(m.access('write', linear)).toBe('#PF(3)');
    expect(m.access('fetch', linear)).toBe('ok');
    expect(m.access('read', linear)).toBe('#PF(1)');
    m.mode({ flags: AC });
    expect(m.access('read', linear)).toBe('ok');
    expect(m.access('write', linear)).toBe('ok');
    // Implicit accesses from user code are not let through by the user's AC.
    m.mode({ cpl: 3 });
    expect(m.access('read', linear)).toBe('ok');
    m.call('loadSystem', linear, 4);
    expect(m.takeFault()).toMatchObject({ vector: 14, error: 1 });
  });
  // Key 5 is bits 10 (access disabled) and 11 (write disabled) of PKRU.
  test.each([
    ['nothing', 0, 3, true, 'ok ok ok'],
    ['another key', 0xfffff3ff, 3, true, 'ok ok ok'],
    ['writes of user code', 0x800, 3, true, 'ok #PF(39) ok'],
    ['writes of the kernel under WP', 0x800, 0, true, 'ok #PF(35) ok'],
    ['no write of the kernel without WP', 0x800, 0, false, 'ok ok ok'],
    ['all data of user code', 0x400, 3, true, '#PF(37) #PF(39) ok'],
    ['all data of the kernel, without WP too', 0x400, 0, false, '#PF(33) #PF(35) ok'],
  ] as const)('a protection key forbids %s', (_, pkru, cpl, wp, expected) => {
    m.poke64(table + 8, 0x20000n | all | (5n << 59n));
    m.setU32(PKRU, pkru);
    m.mode({ cr0: wp ? PE | WP | PG : PE | PG, cpl });
    expect([m.access('read', linear), m.access('write', linear), m.access('fetch', linear)].join(' ')).toBe('ok ok ok');
    m.mode({ cr4: PAE | PKE });
    expect([m.access('read', linear), m.access('write', linear), m.access('fetch', linear)].join(' ')).toBe(expected);
    // The keys of supervisor pages are those of PKRS, under CR4.PKS.
    m.poke64(table + 8, 0x20000n | P | W | (5n << 59n));
    m.setU32(PKRS, pkru);
    m.mode({ cpl: 0 });
    expect([m.access('read', linear), m.access('write', linear)].join(' ')).toBe('ok ok');
    m.mode({ cr4: PAE | PKS });
    const kernel = { 0x400: '#PF(33) #PF(35)', 0x800: wp ? 'ok #PF(35)' : 'ok ok' }[pkru as number] ?? 'ok ok';
    expect([m.access('read', linear), m.access('write', linear)].join(' ')).toBe(kernel);
  });
  test('a change of PKRU counts at once', () => {
    m.poke64(table + 8, 0x20000n | all | (5n << 59n));
    m.mode({ cr4: PAE | PKE, cpl: 3 });
    expect(m.access('write', linear)).toBe('ok');
    m.setU64(0, 0x400n);
    m.setU64(8, 0n);
    m.setU64(16, 0n);
    expect(m.call('writeProtectionKeys')).toBe(0);
    expect(m.access('write', linear)).toBe('#PF(39)');
    m.setU64(8, 1n);
    expect([m.call('writeProtectionKeys'), m.takeFault()]).toMatchObject([1, { vector: 13, error: 0 }]);
    m.mode({ cr4: PAE });
    expect([m.call('readProtectionKeys'), m.takeFault()]).toMatchObject([1, { vector: 6 }]);
  });
  test('implicit accesses of user code are the supervisor\'s', () => {
    m.poke64(table + 8, 0x20000n | P | W);
    m.mode({ cpl: 3 });
    expect(m.access('read', linear)).toBe('#PF(5)');
    m.call('storeSystem', linear, 4, 0x1234n);
    expect(m.takeFault()).toBeUndefined();
    expect(m.peek32(0x20000)).toBe(0x1234);
    expect(m.access('read', linear)).toBe('#PF(5)');
    m.poke64(table + 16, 0n);
    m.call('storeSystem', linear + 0x1000n, 4, 0n);
    expect(m.takeFault()).toMatchObject({ vector: 14, error: 2, address: linear + 0x1000n });
  });
  test('tables in use can be anywhere in RAM, entries elsewhere read as ones', () => {
    m.poke64(directory + 3 * 8, 0xe0000000n | all);
    expect(m.access('read', linear)).toBe('#PF(9)');
    expect([m.u64(CR0), m.u64(CR4), m.u64(EFER)]).toEqual([PE | WP | PG, PAE, LMA | NXE]);
  });
});
