import { beforeEach, describe, expect, test } from 'vitest';
import { InterpreterFixture } from '../support/interpreter.ts';
import { CODE, HANDLERS, STACK } from '../support/flat-guest.ts';
import { gateDescriptor } from '../support/descriptors.ts';

// A kernel enters a virtual-8086 or level 3 program by IRET; the program's HLT, or what it may not do, is #GP and ends the run.

const TSS = 0x5000;
const IO_MAP = 0x88;
const STACK0 = 0x7000;
const PROGRAM_SS = 0x2000;
const PROGRAM_SP = 0x100;
/** Offset of the program in its code segment, behind the kernel's IRET. */
const PROGRAM = 1;
/** Where vector 20h of the program's own table points. */
const HANDLER_8086 = 0x80;
const [CF, TF, IF, IOPL3, NT, VM, VIF, VIP] = [1, 0x100, 0x200, 0x3000, 0x4000, 0x20000, 0x80000, 0x100000];
const [VME, PVI] = [1n, 2n];

let m: InterpreterFixture;
beforeEach(() => {
  m = new InterpreterFixture();
  m.poke64(TSS, BigInt(STACK0) << 32n);
  m.poke64(TSS + 8, 0x10n);
  m.poke64(TSS + 0x60, BigInt(IO_MAP) << 48n);
  // The gate of vector 11h is the program's to call; vector 20h, of the program's table, has a handler that halts.
  m.poke64(0x2000 + 8 * 0x11, gateDescriptor(0xee, 8, HANDLERS + 16 * 0x11));
  m.memory.write(4 * 0x11, Uint8Array.of(HANDLER_8086, 0, 0, 0x10));
  m.memory.write(CODE + HANDLER_8086, Uint8Array.of(0xf4));
});

interface Outcome {
  /** Vector, error code and offset in the program. */
  readonly end: string;
  /** Of IF, IOPL, NT, VIF and VIP. */
  readonly flags: number;
  /** The program's stack, from its top on, in 16-bit words. */
  readonly stack: readonly number[];
}

function outcome(): Outcome {
  expect(m.cpu.run(1000)).toBe('halt');
  const registers = m.cpu.registers();
  const vector = (Number(registers.rip) - HANDLERS) >> 4;
  const frame = m.words(Number(registers.gpr[4]!), 6);
  const [error, ip, , flags, sp] = vector === 13 ? frame as [number, number, number, number, number] : [0, ...frame] as [number, number, number, number, number];
  const top = PROGRAM_SS * 16 + sp;
  return {
    end: `#${vector}(${error}) at ${ip - PROGRAM}`, flags: flags & (IF | IOPL3 | NT | VIF | VIP),
    stack: Array.from({ length: Math.max(0, (PROGRAM_SP - sp) / 2) }, (_, i) => m.memory.readU32(top + 2 * i) & 0xffff),
  };
}

/** Runs 8086 code (hexadecimal) with these flags, from a stack with these words on its top. */
function virtual(code: string, flags: number, cr4 = VME, stack: readonly number[] = []): Outcome {
  const frame = [PROGRAM, 0x1000, flags | VM | 2, PROGRAM_SP, PROGRAM_SS, 0, 0, 0, 0];
  frame.forEach((word, i) => m.memory.writeU32(STACK + 4 * i, word));
  stack.forEach((word, i) => m.memory.write(PROGRAM_SS * 16 + PROGRAM_SP + 2 * i, Uint8Array.of(word & 0xff, word >> 8)));
  m.load([0xcf, ...Buffer.from(code.replaceAll(' ', ''), 'hex'), 0xf4], { cr4, segments: { tr: { selector: 0x18, base: BigInt(TSS), limit: IO_MAP + 8, attributes: 0x8b } } });
  return outcome();
}
const redirect = (vector: number, toProtected: boolean): void => {
  m.memory.write(TSS + IO_MAP - 32 + (vector >> 3), Uint8Array.of(toProtected ? 1 << (vector & 7) : 0));
};

describe('virtual-8086 mode', () => {
  test.each([
    ['CLI clears VIF', 'fa', IF | VIF, VME, '#13(0) at 1', IF],
    ['STI sets VIF', 'fb', IF, VME, '#13(0) at 1', IF | VIF],
    ['STI with VIP', 'fb', IF | VIP, VME, '#13(0) at 0', IF | VIP],
    ['CLI with VIP', 'fa', IF | VIP, VME, '#13(0) at 1', IF | VIP],
    ['CLI without the extension', 'fa', IF | VIF, 0n, '#13(0) at 0', IF | VIF],
    ['STI without the extension', 'fb', IF, PVI, '#13(0) at 0', IF],
    ['CLI with IOPL 3 is IF\'s', 'fa', IF | VIF | IOPL3, VME, '#13(0) at 1', VIF | IOPL3],
    ['STI with IOPL 3 is IF\'s', 'fb', VIP | IOPL3, VME, '#13(0) at 1', IF | VIP | IOPL3],
    ['VIF and VIP together: before the first instruction', '90', VIF | VIP, VME, '#13(0) at 0', VIF | VIP],
    ['which IOPL 3 does not look at', '90', VIF | VIP | IOPL3, VME, '#13(0) at 1', VIF | VIP | IOPL3],
    ['nor a processor without the extension', '90', VIF | VIP, 0n, '#13(0) at 1', VIF | VIP],
    ['PUSHFD', '66 9c', 0, VME, '#13(0) at 0', 0],
    ['POPFD', '66 9d', 0, VME, '#13(0) at 0', 0],
    ['IRETD', '66 cf', 0, VME, '#13(0) at 0', 0],
    ['PUSHF without the extension', '9c', 0, 0n, '#13(0) at 0', 0],
  ] as const)('%s', (_, code, flags, cr4, end, after) => {
    expect(virtual(code, flags, cr4)).toMatchObject({ end, flags: after });
  });

  test('PUSHF shows VIF as IF, and IOPL 3', () => {
    expect(virtual('9c', VIF).stack).toEqual([IF | IOPL3 | 2]);
    expect(virtual('9c', IF | CF).stack).toEqual([IOPL3 | CF | 2]);
    expect(virtual('9c', IF | IOPL3).stack).toEqual([IF | IOPL3 | 2]);
  });

  test.each([
    ['IF is VIF, IOPL stays', IF | IOPL3 | NT, 0, '#13(0) at 1', VIF | NT],
    ['no IF', 0, IF | VIF, '#13(0) at 1', IF],
    ['IF with VIP', IF, VIP, '#13(0) at 0', VIP],
    ['TF', TF, VIF, '#13(0) at 0', VIF],
  ] as const)('POPF and IRET: %s', (_, popped, flags, end, after) => {
    expect(virtual('9d', flags, VME, [popped])).toMatchObject({ end, flags: after });
    const returned = virtual('cf 90', flags, VME, [PROGRAM + 1, 0x1000, popped]);
    expect(returned).toMatchObject({ end: end === '#13(0) at 1' ? '#13(0) at 2' : end, flags: after });
  });

  test('INT n by the program\'s own table: VIF for IF', () => {
    redirect(0x11, false);
    expect(virtual('cd 11', IF | VIF | NT | CF)).toEqual({ end: `#13(0) at ${HANDLER_8086 - PROGRAM}`, flags: IF | NT, stack: [PROGRAM + 2, 0x1000, IOPL3 | NT | IF | CF | 2] });
    expect(virtual('cd 11', IF)).toEqual({ end: `#13(0) at ${HANDLER_8086 - PROGRAM}`, flags: IF, stack: [PROGRAM + 2, 0x1000, IOPL3 | 2] });
  });
  test('the same with IOPL 3: IF itself', () => {
    redirect(0x11, false);
    expect(virtual('cd 11', IF | VIF | IOPL3)).toEqual({ end: `#13(0) at ${HANDLER_8086 - PROGRAM}`, flags: VIF | IOPL3, stack: [PROGRAM + 2, 0x1000, IOPL3 | IF | 2] });
  });
  test('INT n that the bitmap sends to protected mode', () => {
    redirect(0x11, true);
    expect(virtual('cd 11', IF | IOPL3)).toMatchObject({ end: '#17(0) at 2', flags: IF | IOPL3, stack: [] });
    expect(virtual('cd 11', IF)).toMatchObject({ end: '#13(0) at 0', flags: IF, stack: [] });
  });
  test('without the extension there is no bitmap', () => {
    redirect(0x11, false);
    expect(virtual('cd 11', IF | IOPL3, 0n)).toMatchObject({ end: '#17(0) at 2' });
    expect(virtual('cd 11', IF, 0n)).toMatchObject({ end: '#13(0) at 0' });
  });
  test('a bitmap beyond the task state segment', () => {
    m.poke64(TSS + 0x60, 0x200n << 48n);
    expect(virtual('cd 11', IF | IOPL3)).toMatchObject({ end: '#13(0) at 0', stack: [] });
  });
  test('INT3 always goes to protected mode', () => {
    m.poke64(0x2000 + 8 * 3, gateDescriptor(0xee, 8, HANDLERS + 16 * 3));
    expect(virtual('cc', IF)).toMatchObject({ end: '#3(0) at 1', stack: [] });
  });
});

describe('protected mode at level 3', () => {
  /** Runs 32-bit code at level 3. */
  const user = (code: string, flags: number, cr4: bigint): Outcome => {
    m = new InterpreterFixture([{ access: 0xfb }, { access: 0xf3 }]);
    m.poke64(TSS, BigInt(STACK0) << 32n);
    m.poke64(TSS + 8, 0x10n);
    [CODE + PROGRAM, 0x1b, flags | 2, 0x6000, 0x23].forEach((word, i) => m.memory.writeU32(STACK + 4 * i, word));
    m.load([0xcf, ...Buffer.from(code, 'hex'), 0xf4], { cr4, segments: { tr: { selector: 0x28, base: BigInt(TSS), limit: 103, attributes: 0x8b } } });
    const found = outcome();
    return { ...found, end: found.end.replace(/\d+$/, (at) => String(Number(at) - CODE)) };
  };
  test.each([
    ['CLI clears VIF', 'fa', IF | VIF, PVI, '#13(0) at 1', IF],
    ['STI sets VIF', 'fb', IF, PVI, '#13(0) at 1', IF | VIF],
    ['STI with VIP', 'fb', IF | VIP, PVI, '#13(0) at 0', IF | VIP],
    ['VME alone does not count', 'fa', IF | VIF, VME, '#13(0) at 0', IF | VIF],
    ['IOPL 3: IF', 'fa', IF | VIF | IOPL3, PVI, '#13(0) at 1', VIF | IOPL3],
    ['PUSHF and POPF know nothing of it', '9c9d', IF | VIF, PVI, '#13(0) at 2', IF | VIF],
    ['VIF and VIP together: before the first instruction', '90', VIF | VIP, PVI, '#13(0) at 0', VIF | VIP],
  ] as const)('%s', (_, code, flags, cr4, end, after) => {
    expect(user(code, flags, cr4)).toMatchObject({ end, flags: after });
  });
});
