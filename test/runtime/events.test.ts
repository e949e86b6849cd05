import { beforeEach, describe, expect, test } from 'vitest';
import { CR2, DR6, DR7, EFLAGS, FAULT_ADDRESS, IDTR_BASE, IDTR_LIMIT, LEAVE_NEXT, NMI_BLOCKED, PENDING_DEBUG, RIP, RSP, SEGMENTS, SEGMENT_BYTES, SEG_SELECTOR } from '../../src/isa/x86/state/layout.ts';
import { gateDescriptor } from '../support/descriptors.ts';
import { HERE, IDT, NEXT, ProtectedFixture, STACK0, STACK3 } from '../support/protected.ts';

const TSS = 0x3000;
const IF = 0x200;
const TF = 0x100;
const NT = 0x4000;
const RF = 0x10000;
const VM = 0x20000;
const IOPL3 = 0x3000;

let m: ProtectedFixture;
const hex = (value: number | bigint): string => value.toString(16);
const gate = (vector: number, value: bigint, high?: bigint): void => {
  m.poke64(IDT + vector * (high === undefined ? 8 : 16), value);
  if (high !== undefined) m.poke64(IDT + vector * 16 + 8, high);
};
/** Delivers an exception as the engine does. */
const raise = (vector: number, error?: number): string => {
  m.call('raiseFault', vector, error === undefined ? 0 : 1, error ?? 0);
  return m.outcome(m.call('deliverFault'));
};
const interrupt = (vector: number): string => m.outcome(m.call('deliverInterrupt', vector));
/** INT n: a fault is delivered, so that its error code shows on the stack. */
const software = (vector: number): string => {
  const code = m.call('interruptN', vector, 2);
  return m.outcome(code === 1 ? m.call('deliverFault') : code);
};

beforeEach(() => {
  m = new ProtectedFixture();
  for (const [selector, fields] of [
    [0x08, { access: 0x9b }], [0x10, { access: 0x93 }], [0x18, { access: 0xfb }], [0x20, { access: 0xf3 }], [0x28, { access: 0x9f }], [0x30, { access: 0x1b }],
    [0x38, { base: TSS, limit: 0x67, access: 0x8b, flags: 0 }], [0x68, { access: 0x9b, limit: 0xfff, flags: 0 }], [0x80, { access: 0x9b, flags: 2 }], [0x88, { access: 0xfb, flags: 2 }],
  ] as const) m.define(selector, fields);
  m.poke32(TSS + 4, STACK0);
  m.poke32(TSS + 8, 0x10);
});

describe('events in protected mode', () => {
  beforeEach(() => {
    // #GP, #DF and #TS have handlers at 0D00h, 0800h and 0A00h; 40h is an interrupt gate, 41h a trap gate for level 3.
    for (const vector of [8, 10, 11, 12, 13, 14]) gate(vector, gateDescriptor(0x8e, 8, vector << 8));
    gate(0x40, gateDescriptor(0x8e, 8, 0x4000));
    gate(0x41, gateDescriptor(0xef, 8, 0x4100));
    gate(0x42, gateDescriptor(0xe6, 8, 0x4200));
    gate(0x43, gateDescriptor(0x8e, 0x28, 0x4300));
    gate(0x44, gateDescriptor(0x0e, 8, 0x4400));
    gate(0x45, gateDescriptor(0x8e, 0x30, 0));
    gate(0x46, gateDescriptor(0x8e, 0x10, 0));
    gate(0x47, gateDescriptor(0x8e, 0, 0));
    gate(0x48, gateDescriptor(0x8e, 0x68, 0x1000));
    gate(0x49, gateDescriptor(0x8c, 8, 0));
    gate(0x4a, gateDescriptor(0x8e, 0x108, 0));
  });

  test('an interrupt gate clears IF, a trap gate does not; both clear TF and NT', () => {
    m.at(0, { flags: IF | TF | NT });
    expect([interrupt(0x40), m.words(STACK0 - 12, 3), m.u32(EFLAGS)]).toEqual(['8:4000 cpl 0 10:7ff4', [hex(HERE), '8', '4302'], 2]);
    m.at(0, { flags: IF | TF | NT });
    expect([interrupt(0x41), m.u32(EFLAGS)]).toEqual(['8:4100 cpl 0 10:7ff4', IF | 2]);
  });
  test('from level 3 the stack is the task\'s', () => {
    m.at(3, { flags: IF });
    expect([interrupt(0x40), m.words(STACK0 - 20, 5)]).toEqual(['8:4000 cpl 0 10:7fec', [hex(HERE), '1b', '202', '9000', '23']]);
    m.at(3, { flags: IF });
    expect(interrupt(0x43)).toBe('2b:4300 cpl 3 23:8ff4');
  });
  test('a 16-bit gate pushes words', () => {
    m.at(3, { flags: IF });
    expect([interrupt(0x42), m.slice(STACK0 - 10, 10)]).toEqual(['8:4200 cpl 0 10:7ff6', [0x00, 0x01, 0x1b, 0, 0x02, 0x02, 0x00, 0x90, 0x23, 0]]);
  });
  test('INT n returns behind itself, may use gates of its level only', () => {
    m.at(3, { flags: IF });
    expect([software(0x41), m.words(STACK0 - 20, 1)]).toEqual(['8:4100 cpl 0 10:7fec', [hex(NEXT)]]);
    m.at(3);
    expect([software(0x40), m.words(STACK0 - 24, 2)]).toEqual(['8:d00 cpl 0 10:7fe8', [hex((0x40 << 3) | 2), hex(HERE)]]);
  });
  test('faults push RF, external interrupts do not', () => {
    m.at(0);
    raise(13, 0);
    expect(m.peek32(STACK0 - 4) & RF).toBe(RF);
    m.at(0);
    interrupt(0x40);
    expect(m.peek32(STACK0 - 4) & RF).toBe(0);
  });

  // What goes wrong at an external interrupt: the handler reached and the error code, with EXT.
  test.each([
    ['no such gate', 0xff, undefined, 13, (0xff << 3) | 3],
    ['a call gate', 0x49, undefined, 13, (0x49 << 3) | 3],
    ['an absent gate', 0x44, undefined, 11, (0x44 << 3) | 3],
    ['absent code', 0x45, undefined, 11, 0x31],
    ['data for code', 0x46, undefined, 13, 0x11],
    ['a null selector', 0x47, undefined, 13, 1],
    ['a selector beyond the table', 0x4a, undefined, 13, 0x109],
    ['an offset beyond the limit', 0x48, undefined, 13, 1],
  ] as const)('%s', (_, vector, __, handler, error) => {
    m.at(0);
    if (vector === 0xff) m.setU32(IDTR_LIMIT, 0x4a * 8 + 7);
    expect([interrupt(vector), m.words(STACK0 - 16, 2)]).toEqual([`8:${hex(handler << 8)} cpl 0 10:7ff0`, [hex(error), hex(HERE)]]);
  });
  test('without room on the stack there is a double fault, then shutdown', () => {
    m.at(0);
    m.place(2, 0x10, { access: 0x93, limit: 0x7fff });
    expect(interrupt(0x40)).toBe('8:4000 cpl 0 10:7ff4');
    m.setU64(RSP, 0x9000n);
    expect(interrupt(0x40)).toBe('shutdown');
  });
  test.each([[0x23, '#10'], [0, '#10'], [0x30, '#10']])('a bad stack selector %s in the TSS', (ss) => {
    m.at(3);
    m.poke32(TSS + 8, ss);
    // #TS cannot be delivered either: the same stack.
    expect(interrupt(0x40)).toBe('shutdown');
    // Through a conforming handler it can, and shows EXT.
    m.at(3);
    gate(10, gateDescriptor(0x8e, 0x28, 0xa00));
    expect([interrupt(0x40), m.words(STACK3 - 16, 1)]).toEqual(['2b:a00 cpl 3 23:8ff0', [hex((ss & 0xfffc) | 1)]]);
  });
  test('a TSS too short for the stack is #TS of the task register', () => {
    m.at(3);
    m.place(7, 0x38, { base: TSS, limit: 7, access: 0x8b, flags: 0 });
    gate(10, gateDescriptor(0x8e, 0x28, 0xa00));
    expect([interrupt(0x40), m.words(STACK3 - 16, 1)]).toEqual(['2b:a00 cpl 3 23:8ff0', ['39']]);
  });

  // SDM 3A, table 6-5.
  test.each([
    ['contributory after contributory', 13, 11, 8],
    ['contributory after page fault', 14, 11, 8],
    ['contributory after benign', 6, 11, 11],
    ['page fault handler absent: #NP in its place is a double fault', 14, 14, 8],
  ] as const)('%s', (_, first, absent, reached) => {
    m.at(0);
    gate(6, gateDescriptor(0x0e, 8, 0x600));
    if (first !== 6) gate(first, gateDescriptor(0x0e, 8, 0));
    gate(absent === first ? 11 : absent, gateDescriptor(0x8e, 8, 0xb00));
    expect(raise(first, 0)).toBe(`8:${hex(reached << 8)} cpl 0 10:7ff0`);
  });
  test('no handler for the double fault: shutdown', () => {
    m.at(0);
    m.setU32(IDTR_LIMIT, 0);
    expect(raise(6)).toBe('shutdown');
  });
  test('a page fault\'s address goes to CR2', () => {
    m.at(0);
    m.setU64(FAULT_ADDRESS, 0x1234n);
    expect([raise(14, 6), m.u64(CR2), m.words(STACK0 - 16, 1)]).toEqual(['8:e00 cpl 0 10:7ff0', 0x1234n, ['6']]);
  });
});

describe('debug exceptions', () => {
  beforeEach(() => {
    gate(1, gateDescriptor(0x8e, 8, 0x100));
    m.at(0);
    m.setU64(DR6, 0xffff4ff3n);
    m.setU64(DR7, 0x2400n);
  });
  test('B0 to B3 are the last one\'s, BS adds up, GD is cleared', () => {
    m.call('deliverTrap', 4);
    expect([m.u64(DR6), m.u64(DR7), m.peek32(STACK0 - 4) & RF]).toEqual([0xffff4ff4n, 0x400n, 0]);
  });
  test('instruction breakpoints leave RF to the handler, general detect sets it', () => {
    m.setU64(FAULT_ADDRESS, 1n);
    raise(1);
    expect([m.u64(DR6), m.peek32(STACK0 - 4) & RF]).toEqual([0xffff4ff1n, 0]);
    m.at(0);
    expect([m.call('readDebug', 0), m.call('writeDebug', 0, 0n)]).toEqual([0n, LEAVE_NEXT]);
    m.setU64(DR7, 0x2400n);
    m.call('readDebug', 0);
    m.call('deliverFault');
    expect([m.u64(DR6) & 0x200fn, m.peek32(STACK0 - 4) & RF, m.u64(DR7)]).toEqual([0x2000n, RF, 0x400n]);
  });
  test('INT1 takes waiting breakpoints along', () => {
    m.setU32(PENDING_DEBUG, 2);
    m.call('interruptN', 1, 0);
    expect([m.u64(DR6), m.u32(PENDING_DEBUG), m.words(STACK0 - 12, 1)]).toEqual([0xffff4ff2n, 0, [hex(NEXT)]]);
  });
});

describe('events in long mode', () => {
  beforeEach(() => {
    m.at(0, { long: true });
    m.poke64(TSS + 4, 0x8008n);
    m.poke64(TSS + 36, 0xa000n);
    gate(13, gateDescriptor(0x8e, 0x80, 0xd00), 0n);
    gate(0x40, gateDescriptor(0x8e, 0x80, 0x4000), 0xffff8000n);
    gate(0x41, gateDescriptor(0x8e, 0x80, 0x4100, 1), 0n);
    gate(0x42, gateDescriptor(0x8e, 8, 0x4200), 0n);
    gate(0x43, gateDescriptor(0x86, 0x80, 0x4300), 0n);
    gate(0x44, gateDescriptor(0x8e, 0x80, 0x4400), 0x8000n);
  });
  test('the frame is aligned and always has the stack', () => {
    m.setU64(RSP, 0x7ff9n);
    expect([interrupt(0x40), m.quads(0x7fc8, 5)]).toEqual(['80:ffff800000004000 cpl 0 10:7fc8', [hex(HERE), '80', '2', '7ff9', '10']]);
  });
  test('from level 3: the stack of level 0, aligned, and a null SS', () => {
    m.at(3, { long: true });
    expect([interrupt(0x40), m.quads(0x7fd8, 5)]).toEqual(['80:ffff800000004000 cpl 0 0:7fd8', [hex(HERE), '8b', '2', '9000', '23']]);
  });
  test('an interrupt stack, at the same level too', () => {
    expect(interrupt(0x41)).toBe('80:4100 cpl 0 10:9fd8');
  });
  test.each([['32-bit code', 0x42, 9], ['a 16-bit gate', 0x43, (0x43 << 3) | 3], ['an offset that is not canonical', 0x44, 1]] as const)('%s is #GP', (_, vector, error) => {
    expect([interrupt(vector), m.quads(STACK0 - 48, 1)]).toEqual(['80:d00 cpl 0 10:7fd0', [hex(error)]]);
  });
  test('IRETQ returns to every level, and to compatibility mode', () => {
    const back = (...values: (number | bigint)[]): string => {
      m.at(0, { long: true });
      m.setU64(RSP, 0x7000n);
      values.forEach((value, i) => m.poke64(0x7000 + 8 * i, BigInt(value)));
      return m.outcome(m.call('interruptReturn', 64));
    };
    expect(back(0x500, 0x80, 2, 0x6000, 0x10)).toBe('80:500 cpl 0 10:6000');
    expect(back(0x500, 0x80, 2, 0x6000, 0)).toBe('80:500 cpl 0 0:6000');
    expect(back(0x500, 0x8b, 2, 0x6000, 0x23)).toBe('8b:500 cpl 3 23:6000');
    expect(back(0x500, 0x1b, 2, 0x6000, 0x23)).toBe('1b:500 cpl 3 23:6000');
    expect(back(0x500, 0x8b, 2, 0x6000, 3)).toBe('#13(0)');
    expect(back(1n << 47n, 0x80, 2, 0x6000, 0x10)).toBe('#13(0)');
    expect(back(0x500, 0x08, 2, 0x6000, 0)).toBe('#13(0)');
    m.at(0, { long: true, flags: NT });
    expect(m.outcome(m.call('interruptReturn', 64))).toBe('#13(0)');
  });
});

describe('IRET in protected mode', () => {
  const back = (cpl: 0 | 3, flags: number, ...values: number[]): string => {
    m.at(cpl, { flags });
    m.setU64(RSP, 0x7000n);
    values.forEach((value, i) => m.poke32(0x7000 + 4 * i, value));
    return m.outcome(m.call('interruptReturn', 32));
  };
  test.each([
    ['the same level', 0, 0, [0x500, 8, 0x3202], '8:500 cpl 0 10:700c', 0x3202],
    ['an outer level', 0, 0, [0x500, 0x1b, 0x202, 0x9000, 0x23], '1b:500 cpl 3 23:9000', 0x202],
    ['level 3, which changes neither IF nor IOPL', 3, 0, [0x500, 0x1b, 0x3202], '1b:500 cpl 3 23:700c', 2],
    ['level 3 with IOPL 3, which changes IF', 3, IOPL3, [0x500, 0x1b, 0x202], '1b:500 cpl 3 23:700c', 0x3202],
    ['an inner level', 3, 0, [0x500, 8, 2], '#13(8)', 2],
    ['absent code', 0, 0, [0x500, 0x30, 2], '#11(30)', 2],
    ['a null selector', 0, 0, [0x500, 0, 2], '#13(0)', 2],
    ['beyond the limit', 0, 0, [0x1000, 0x68, 2], '#13(0)', 2],
    ['an outer level with an inner stack', 0, 0, [0x500, 0x1b, 2, 0x9000, 0x10], '#13(10)', 2],
    ['virtual-8086 mode from level 3, which cannot', 3, 0, [0x500, 0x1b, VM | 2], '1b:500 cpl 3 23:700c', 2],
  ] as const)('to %s', (_, cpl, flags, values, expected, after) => {
    expect([back(cpl, flags, ...values), m.u32(EFLAGS)]).toEqual([expected, after]);
  });
  test('lets NMIs through, also when it faults', () => {
    m.setU32(NMI_BLOCKED, 1);
    expect([back(0, 0, 0x500, 0, 2), m.u32(NMI_BLOCKED)]).toEqual(['#13(0)', 0]);
  });
});

describe('virtual-8086 mode', () => {
  const enter = (flags: number, ip = 0x100): string => {
    m.at(0);
    m.setU64(RSP, 0x7000n);
    [ip, 0x2000, flags | VM | 2, 0xfffe, 0x3000, 0x11, 0x22, 0x33, 0x44].forEach((value, i) => m.poke32(0x7000 + 4 * i, value));
    return m.outcome(m.call('interruptReturn', 32));
  };
  beforeEach(() => {
    gate(13, gateDescriptor(0x8e, 8, 0xd00));
    gate(0x40, gateDescriptor(0x8e, 8, 0x4000));
    gate(0x41, gateDescriptor(0xee, 0x28, 0x4100));
    gate(0x42, gateDescriptor(0xee, 0x18, 0x4200));
    gate(0x43, gateDescriptor(0xee, 8, 0x4300));
  });
  test('is entered by IRET with segments of 64 KiB', () => {
    expect(enter(0)).toBe('2000:100 cpl 3 3000:fffe');
    expect([0, 3, 4, 5].map((i) => m.selector(i))).toEqual([0x11, 0x22, 0x33, 0x44]);
    for (let i = 0; i < 6; i++) expect(m.register(i)).toEqual({ base: BigInt(m.selector(i) << 4), limit: 0xffff, attributes: 0xf3 });
    expect(enter(0, 0x10000)).toBe('#13(0)');
  });
  test('is left through the task\'s stack, with null data segments', () => {
    enter(IF);
    expect(interrupt(0x40)).toBe('8:4000 cpl 0 10:7fdc');
    expect(m.words(STACK0 - 36, 9)).toEqual(['100', '2000', hex(VM | IF | 2), 'fffe', '3000', '11', '22', '33', '44']);
    expect([0, 3, 4, 5].map((i) => m.u32(SEGMENTS + i * SEGMENT_BYTES + SEG_SELECTOR))).toEqual([0, 0, 0, 0]);
    expect(m.outcome(m.call('interruptReturn', 32))).toBe('2000:100 cpl 3 3000:fffe');
  });
  test.each([
    ['conforming code', 0x41, 0x29], ['code of level 3', 0x42, 0x19],
  ] as const)('a handler in %s is #GP of it', (_, vector, error) => {
    enter(0);
    expect([interrupt(vector), m.words(STACK0 - 40, 1)]).toEqual(['8:d00 cpl 0 10:7fd8', [hex(error)]]);
  });
  test('INT n and IRET need IOPL 3', () => {
    enter(0);
    expect([software(0x43), m.words(STACK0 - 40, 1)]).toEqual(['8:d00 cpl 0 10:7fd8', ['0']]);
    enter(0);
    expect(m.outcome(m.call('interruptReturn', 16))).toBe('#13(0)');
    enter(IOPL3);
    expect(software(0x43)).toBe('8:4300 cpl 0 10:7fdc');
    enter(IOPL3);
    m.setU64(RSP, 0x1000n);
    [0x55, 0, 0x60, 0, 0x02, 0x02].forEach((value, i) => m.fill(0x31000 + i, value));
    expect([m.outcome(m.call('interruptReturn', 16)), m.u32(EFLAGS)]).toEqual(['60:55 cpl 3 3000:1006', VM | IOPL3 | IF | 2]);
  });
});

describe('events in real-address mode', () => {
  beforeEach(() => {
    m.mode({ cr0: 0n, cpl: 0, flags: IF | TF });
    m.place(1, 0x100, { base: 0x1000, limit: 0xffff, access: 0x9b, flags: 0 });
    m.place(2, 0, { base: 0, limit: 0xffff, access: 0x93, flags: 0 });
    m.call('updateMode');
    m.setU64(RSP, 0x8000n);
    m.setU64(RIP, 0x1234n);
    m.setU64(IDTR_BASE, 0n);
    m.setU32(IDTR_LIMIT, 0x3ff);
    m.poke32(0x40 * 4, 0x0700_0055);
    m.poke32(13 * 4, 0x0700_00dd);
  });
  test('go through the vector table, without error codes', () => {
    expect([interrupt(0x40), m.slice(0x7ffa, 6), m.u32(EFLAGS) & (IF | TF)]).toEqual(['700:55 cpl 0 0:7ffa', [0x34, 0x12, 0x00, 0x01, 0x02, 0x03], 0]);
    m.setU32(IDTR_LIMIT, 0x40 * 4 - 1);
    expect(interrupt(0x40)).toBe('700:dd cpl 0 0:7ff4');
  });
  test('a stack that ends in the frame shuts the processor down', () => {
    m.setU64(RSP, 5n);
    expect(interrupt(0x40)).toBe('shutdown');
  });
});
