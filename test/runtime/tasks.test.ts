import { beforeEach, describe, expect, test } from 'vitest';
import { CR0, CR3, EFLAGS, GPR, PDPTES, PENDING_DEBUG, RAX, RSP, STEP, STEP_DOES_NOT } from '../../src/isa/x86/state/layout.ts';
import { gateDescriptor } from '../support/descriptors.ts';
import { GDT, HERE, IDT, NEXT, ProtectedFixture } from '../support/protected.ts';

const OLD = 0x3000;
const NEW = 0x4000;
const NT = 0x4000;
const VM = 0x20000;
const BUSY = 0x8b;
const AVAILABLE = 0x89;

let m: ProtectedFixture;
const hex = (value: number | bigint): string => value.toString(16);
const access = (selector: number): number => m.slice(GDT + selector + 5, 1)[0]!;

interface Task {
  cr3?: number; eip?: number; eflags?: number; esp?: number; es?: number; cs?: number; ss?: number; ds?: number; fs?: number; gs?: number; ldt?: number; trap?: number;
}
/** A 32-bit TSS (SDM 3A, figure 8-2); registers are 101h, 102h, ... in the order of the TSS. */
function fill(task: Task): void {
  const { cr3 = 0, eip = 0x500, eflags = 2, esp = 0x6000, es = 0x10, cs = 8, ss = 0x10, ds = 0x10, fs = 0, gs = 0, ldt = 0, trap = 0 } = task;
  m.poke32(NEW + 28, cr3);
  m.poke32(NEW + 32, eip);
  m.poke32(NEW + 36, eflags);
  for (let i = 0; i < 8; i++) m.poke32(NEW + 40 + 4 * i, i === 4 ? esp : 0x101 + i);
  [es, cs, ss, ds, fs, gs, ldt].forEach((selector, i) => m.poke32(NEW + 72 + 4 * i, selector));
  m.poke32(NEW + 100, trap);
}

beforeEach(() => {
  m = new ProtectedFixture();
  for (const [selector, fields] of [
    [0x08, { access: 0x9b }], [0x10, { access: 0x93 }], [0x18, { access: 0xfb }], [0x20, { access: 0xf3 }], [0x28, { access: 0x9f }], [0x30, { access: 0x1b }],
    [0x38, { base: OLD, limit: 0x67, access: BUSY, flags: 0 }], [0x40, { base: NEW, limit: 0x67, access: AVAILABLE, flags: 0 }], [0x50, { base: NEW, limit: 0x66, access: AVAILABLE, flags: 0 }],
    [0x58, { base: NEW, limit: 0x67, access: 0x09, flags: 0 }], [0x60, { base: 0x5000, limit: 0x2b, access: 0x81, flags: 0 }], [0x68, { access: 0x9b, limit: 0xff, flags: 0 }],
    [0x70, { access: 0x13 }], [0x78, { base: 0x5800, limit: 0xff, access: 0x82, flags: 0 }], [0x80, { base: 0x5800, limit: 0xff, access: 0x02, flags: 0 }],
  ] as const) m.define(selector, fields);
  m.poke64(GDT + 0x48, gateDescriptor(0xe5, 0x40));
  for (const vector of [10, 11, 12, 13]) m.poke64(IDT + vector * 8, gateDescriptor(0x8e, 8, vector << 8));
  m.at(0);
  m.setU64(RAX, 0xabcdn);
  fill({});
});
const jump = (selector: number): string => m.outcome(m.call('farJump', selector, 0n, 32));

describe('task switches', () => {
  test('JMP saves one task and loads the other', () => {
    m.setU32(EFLAGS, 0x202);
    expect(jump(0x40)).toBe('8:500 cpl 0 10:6000');
    expect([0, 1, 2, 3, 5, 6, 7].map((i) => hex(m.u64(GPR + 8 * i)))).toEqual(['101', '102', '103', '104', '106', '107', '108']);
    expect([m.words(OLD + 32, 3), m.words(OLD + 56, 1)]).toEqual([[hex(NEXT), '202', 'abcd'], ['8000']]);
    expect(m.words(OLD + 72, 6)).toEqual(['10', '8', '10', '10', '10', '10']);
    expect([access(0x38), access(0x40), m.selector(7), m.u64(CR0) & 8n, m.u32(EFLAGS), m.u32(STEP)]).toEqual([AVAILABLE, BUSY, 0x40, 8n, 2, STEP_DOES_NOT]);
  });
  test('CALL nests, IRET goes back', () => {
    expect(m.outcome(m.call('farCall', 0x4b, 0n, 32))).toBe('8:500 cpl 0 10:6000');
    expect([access(0x38), access(0x40), m.peek32(NEW) & 0xffff, m.u32(EFLAGS)]).toEqual([BUSY, BUSY, 0x38, NT | 2]);
    m.poke32(OLD + 28, 0);
    expect(m.outcome(m.call('interruptReturn', 32))).toBe(`8:${hex(NEXT)} cpl 0 10:8000`);
    expect([access(0x38), access(0x40), m.peek32(NEW + 36) & NT, m.u32(EFLAGS)]).toEqual([BUSY, AVAILABLE, 0, 2]);
  });
  test('an exception through a task gate pushes its error code on the new stack', () => {
    m.poke64(IDT + 13 * 8, gateDescriptor(0x85, 0x40));
    m.call('raiseFault', 13, 1, 0x77);
    expect([m.outcome(m.call('deliverFault')), m.words(0x5ffc, 1), m.words(OLD + 32, 1)]).toEqual(['8:500 cpl 0 10:5ffc', ['77'], [hex(HERE)]]);
    expect(m.peek32(OLD + 36) & 0x10000).toBe(0);
  });
  test('a 16-bit task: upper halves are ones, FS and GS null', () => {
    m.fill(0x5000 + 14, 0x00, 0x05, 0x02, 0x00, ...[1, 0, 2, 0, 3, 0, 4, 0, 0x00, 0x60, 6, 0, 7, 0, 8, 0], 0x10, 0, 8, 0, 0x10, 0, 0x10, 0, 0, 0);
    expect([jump(0x60), hex(m.u64(RAX)), m.selector(4)]).toEqual(['8:500 cpl 0 10:ffff6000', 'ffff0001', 0]);
  });
  test('into virtual-8086 mode', () => {
    fill({ eflags: VM | 2, cs: 0x2000, ss: 0x3000, ds: 0x1234, eip: 0x100 });
    expect([jump(0x40), m.register(3).base]).toEqual(['2000:100 cpl 3 3000:6000', 0x12340n]);
  });
  test('an LDT and segments from it', () => {
    m.poke64(0x5808, m.peek64(GDT + 8));
    fill({ ldt: 0x78, cs: 0x0c });
    expect([jump(0x40), m.register(6).base]).toEqual(['c:500 cpl 0 10:6000', 0x5800n]);
  });
  test('the T flag traps before the first instruction', () => {
    fill({ trap: 1 });
    jump(0x40);
    expect(m.u32(PENDING_DEBUG)).toBe(0x8000);
  });
  test('CR3 and the PDPTE registers', () => {
    for (const [at, table] of [[0x22000, 0x21000], [0x24000, 0x21000]] as const) {
      for (let i = 0; i < 4; i++) m.poke64(at + 8 * i, BigInt(table + 1));
    }
    // Identity for the first 2 MiB, supervisor, and nothing else.
    m.poke64(0x21000, 0x83n);
    m.mode({ cr0: 0x80000001n, cr3: 0x22000n, cr4: 0x20n });
    fill({ cr3: 0x24000 });
    expect([jump(0x40), m.u64(CR3), m.u64(PDPTES)]).toEqual(['8:500 cpl 0 10:6000', 0x24000n, 0x21001n]);
  });

  // Before the switch the fault is the old task's, at the instruction.
  test.each([
    ['a busy task', 0x38, '#13(38)'],
    ['a task that is absent', 0x58, '#11(58)'],
    ['a task segment one byte short', 0x50, '#10(50)'],
    ['a task gate to a task in the local table', 0x48, '#13(44)'],
  ])('%s', (_, selector, expected) => {
    m.poke64(GDT + 0x48, gateDescriptor(0xe5, 0x44));
    expect([jump(selector), m.selector(7), access(0x38)]).toEqual([expected, 0x38, BUSY]);
  });
  test('IRET to a task that is not busy', () => {
    m.at(0, { flags: NT });
    m.poke32(OLD, 0x40);
    expect(m.outcome(m.call('interruptReturn', 32))).toBe('#10(40)');
  });

  // After it the new task's: its handler runs on its stack, with its EIP.
  test.each([
    ['a null CS', { cs: 0 }, 10, 0],
    ['data in CS', { cs: 0x10 }, 10, 0x10],
    ['absent code', { cs: 0x30 }, 11, 0x30],
    ['an absent stack', { ss: 0x70 }, 12, 0x70],
    ['a null stack', { ss: 0 }, 10, 0],
    ['a stack of another level', { ss: 0x23 }, 10, 0x20],
    ['absent code in DS', { ds: 0x30 }, 11, 0x30],
    ['a local table that is none', { ldt: 0x10 }, 10, 0x10],
    ['an absent local table', { ldt: 0x80 }, 10, 0x80],
    ['an EIP beyond the limit', { cs: 0x68, eip: 0x100 }, 13, 0],
  ] as const)('%s faults in the new task', (_, task, vector, error) => {
    fill(task);
    // CS and SS of the fault's frame are the old ones where the new ones did not load.
    expect(jump(0x40)).toMatch(new RegExp(`^8:${hex(vector << 8)} cpl 0 10:5ff0$`));
    expect([m.words(0x5ff0, 2), m.selector(7), access(0x40), m.u64(RSP)]).toEqual([[hex(error), hex(task && 'eip' in task ? task.eip : 0x500)], 0x40, BUSY, 0x5ff0n]);
  });
});
