import { beforeEach, describe, expect, test } from 'vitest';
import { CR0, CR3, CR4, EFER, LEAVE_NEXT, PDPTES, SEGMENTS, SEGMENT_BYTES, SEG_CS, SEG_FAST_WRITE } from '../../src/isa/x86/state/layout.ts';
import { RuntimeFixture } from '../support/runtime.ts';

const PE = 1n;
const NW = 0x20000000n;
const CD = 0x40000000n;
const PG = 0x80000000n;
const PAE = 0x20n;
const PGE = 0x80n;
const PCIDE = 0x20000n;
const SMEP = 0x100000n;
const LONG = 0x500n;

let m: RuntimeFixture;
beforeEach(() => {
  m = new RuntimeFixture();
});

/** 'ok', or the fault's name; a register that is refused keeps its value. */
function write(register: 0 | 3 | 4, value: bigint): string {
  const at = { 0: CR0, 3: CR3, 4: CR4 }[register];
  const before = m.u64(at);
  const code = m.call('writeControl', register, value);
  const fault = m.takeFault();
  if (fault === undefined) return code === LEAVE_NEXT ? 'ok' : `code ${code}`;
  expect(m.u64(at)).toBe(before);
  return `#${fault.vector}(${fault.error})`;
}

describe('control registers', () => {
  test.each([
    ['paging without protection', 0, PG, '#13(0)'],
    ['no write-through without no-cache', 0, PE | NW, '#13(0)'],
    ['no-cache', 0, PE | CD, 'ok'],
    ['the upper half of CR0', 0, PE | (1n << 32n), '#13(0)'],
    ['PCIDE outside long mode', 4, PCIDE, '#13(0)'],
    ['a reserved bit of CR4', 4, 1n << 31n, '#13(0)'],
    ['VMXE, which is not announced', 4, 1n << 13n, '#13(0)'],
    ['SMEP, SMAP, PKE, UMIP', 4, 0x700800n, 'ok'],
    ['an address beyond MAXPHYADDR', 3, 1n << 40n, '#13(0)'],
  ] as const)('in protected mode: %s', (_, register, value, expected) => {
    m.mode({ cr0: PE, cr4: 0n, long: false });
    expect(write(register, value)).toBe(expected);
  });

  test.each([
    ['no PAE', 4, 0n, 0n, '#13(0)'],
    ['PCIDE', 4, PAE | PCIDE, 0n, 'ok'],
    ['PCIDE with a PCID in CR3 already', 4, PAE | PCIDE, 1n, '#13(0)'],
    ['bit 63 of CR3 without PCIDE', 3, 1n << 63n, 0n, '#13(0)'],
    ['paging off from 64-bit code', 0, PE, 0n, '#13(0)'],
  ] as const)('in long mode: %s', (_, register, value, cr3, expected) => {
    m.mode({ cr0: PE | PG, cr3, cr4: PAE, efer: LONG, long: true });
    m.segment(1, 0n, 0xffffffff, 0xa09b);
    expect(write(register, value)).toBe(expected);
  });

  test.each([['on', 0n, PE], ['off', PE, 0n]] as const)('what segments allow at once is of the mode it is in once protection is %s, as in a state that is loaded', (_, before, after) => {
    m.mode({ cr0: before, cr4: 0n, long: false });
    for (let i = 0; i < 6; i++) m.segment(i, 0n, 0xffffffff, i === SEG_CS ? 0x9b : 0x91);
    const first = m.u32(SEGMENTS + SEG_CS * SEGMENT_BYTES + SEG_FAST_WRITE);
    expect(write(0, after)).toBe('ok');
    const segments = (): Uint8Array => m.bytes.slice(m.cpu + SEGMENTS, m.cpu + SEGMENTS + 6 * SEGMENT_BYTES);
    const changed = segments();
    m.call('sanitizeState');
    expect(changed).toEqual(segments());
    expect([first, m.u32(SEGMENTS + SEG_CS * SEGMENT_BYTES + SEG_FAST_WRITE)]).toEqual(before === PE ? [0, 0xfffffff0] : [0xfffffff0, 0]);
  });

  test('with PCIDE paging stays on, and bit 63 of CR3 is not kept', () => {
    m.mode({ cr0: PE | PG, cr3: 0n, cr4: PAE | PCIDE, efer: LONG, long: true });
    m.segment(1, 0n, 0xffffffff, 0xc09b);
    expect([write(0, PE), write(3, (1n << 63n) | 0x5007n), m.u64(CR3)]).toEqual(['#13(0)', 'ok', 0x5007n]);
  });

  test('long mode is entered with PAE, with a 32-bit task segment, from code that is not 64-bit', () => {
    m.mode({ cr0: PE, cr4: 0n, efer: 0x100n, long: false });
    m.segment(1, 0n, 0xffffffff, 0xc09b);
    expect(write(0, PE | PG)).toBe('#13(0)');
    m.mode({ cr4: PAE });
    m.segment(7, 0n, 0x67, 0x83);
    expect(write(0, PE | PG)).toBe('#13(0)');
    m.segment(7, 0n, 0x67, 0x8b);
    m.segment(1, 0n, 0xffffffff, 0xe09b);
    expect(write(0, PE | PG)).toBe('#13(0)');
    m.segment(1, 0n, 0xffffffff, 0xc09b);
    expect([write(0, PE | PG), m.u64(EFER)]).toEqual(['ok', 0x500n]);
  });

  test('PDPTE registers are loaded by what SDM 3A, 4.4.1 lists, and nothing changes when they are bad', () => {
    const table = 0x20000;
    m.mode({ cr0: PE, cr3: BigInt(table), cr4: PAE, efer: 0n, long: false });
    const bad = (): void => m.poke64(table, 0x1003n);
    const good = (entry: bigint): void => m.poke64(table, entry);
    bad();
    expect(write(0, PE | PG)).toBe('#13(0)');
    good(0x1001n);
    expect([write(0, PE | PG), m.u64(PDPTES)]).toEqual(['ok', 0x1001n]);
    good(0x2001n);
    expect([write(4, PAE | 4n), m.u64(PDPTES)]).toEqual(['ok', 0x1001n]);
    expect([write(4, PAE | PGE), m.u64(PDPTES)]).toEqual(['ok', 0x2001n]);
    good(0x3001n);
    expect([write(0, PE | PG | 8n), m.u64(PDPTES)]).toEqual(['ok', 0x2001n]);
    expect([write(0, PE | PG | CD), m.u64(PDPTES)]).toEqual(['ok', 0x3001n]);
    bad();
    expect([write(4, PAE | SMEP), write(0, PE | PG), write(3, BigInt(table)), m.u64(PDPTES)]).toEqual(['#13(0)', '#13(0)', '#13(0)', 0x3001n]);
    good(0x4001n);
    expect([write(3, BigInt(table)), m.u64(PDPTES)]).toEqual(['ok', 0x4001n]);
  });
});

describe('INVPCID', () => {
  test.each([
    [0n, 0n, 0x1000n, false, 'ok'],
    [1n, 0n, 0n, false, 'ok'],
    [2n, 5n, 0n, false, 'ok'],
    [3n, 5n, 0n, false, 'ok'],
    [4n, 0n, 0n, true, '#13'],
    [1n << 32n, 0n, 0n, true, '#13'],
    [0n, 5n, 0x1000n, false, '#13'],
    [1n, 5n, 0n, false, '#13'],
    [0n, 5n, 0x1000n, true, 'ok'],
    [0n, 5n, 1n << 47n, true, '#13'],
    [1n, 5n, 1n << 47n, true, 'ok'],
    [2n, 0x1000n, 0n, true, '#13'],
  ] as const)('type %s, PCID %s, address %s, PCIDE %s: %s', (type, pcid, linear, enabled, expected) => {
    m.mode({ cr0: PE | PG, cr4: enabled ? PAE | PCIDE : PAE, efer: LONG, long: true });
    const code = m.call('invalidatePcid', type, pcid, linear);
    const fault = m.takeFault();
    expect(fault === undefined ? (code === LEAVE_NEXT ? 'ok' : code) : `#${fault.vector}`).toBe(expected);
  });
});
