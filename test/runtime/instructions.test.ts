import { beforeEach, describe, expect, test } from 'vitest';
import { DR, DR6, DR7, EFLAGS, MSR_DEBUGCTL, X87_DP, X87_DP_SELECTOR, X87_IP } from '../../src/isa/x86/state/layout.ts';
import { CODE, InterpreterFixture, STACK } from '../support/interpreter.ts';

const TF = 0x100n;
const BS = 0x4000;
const NOP = 0x90;
/** mov eax, imm32 */
const movEax = (value: number): number[] => [0xb8, ...bytes32(value)];
const bytes32 = (value: number): number[] => [value & 0xff, (value >> 8) & 0xff, (value >> 16) & 0xff, value >>> 24];

let m: InterpreterFixture;
beforeEach(() => {
  m = new InterpreterFixture();
});

describe('the end of the code segment', () => {
  const end = CODE + 4;
  test.each([
    ['falling off it', [NOP, NOP, NOP, NOP, NOP, NOP], '#13(0) at +5'],
    ['an instruction across it', [NOP, NOP, NOP, ...movEax(1)], '#13(0) at +3'],
    ['an instruction up to it', movEax(1), '#13(0) at +5'],
    ['a jump behind it', [0xeb, 0x10], '#13(0) at +18'],
    ['an undefined one in front of it', [NOP, 0x0f, 0x0b], '#6 at +1'],
    ['a halt in front of it', [NOP, 0xf4], 'end'],
  ] as const)('%s', (_, code, expected) => {
    // Also where the same code has been decoded before without the limit.
    m.load(code);
    m.run(10);
    m.load(code, { codeLimit: end });
    expect(m.run()).toBe(expected);
  });
  test('an instruction across a page that is the last', () => {
    m.load([0xe9, 0xf9, 0x0f, 0x00, 0x00], { codeLimit: CODE + 0xfff });
    m.memory.write(CODE + 0xffe, Uint8Array.from(movEax(1)));
    expect(m.run()).toBe('#13(0) at +4094');
  });
});

describe('single step', () => {
  const stepped = (): number => m.u32(DR6) & BS;
  test('is a trap behind the instruction', () => {
    m.load([NOP, NOP], { rflags: TF });
    expect([m.run(), stepped()]).toEqual(['#1 at +1', BS]);
  });
  test('waits behind a load of SS', () => {
    m.load([0x8e, 0xd0, NOP, NOP], { rflags: TF, gpr: { rax: 0x10n } });
    expect(m.run()).toBe('#1 at +3');
  });
  describe('by branches, with DEBUGCTL.BTF', () => {
    const BTF = 2;
    /** Bytes of the instruction, and what comes of it: the one behind it is NOP, then HLT. */
    const step = (code: readonly number[], gpr: Partial<Record<'rax' | 'rcx' | 'rdi', bigint>> = {}): string => {
      m.load([...code, NOP], { rflags: TF, gpr });
      m.setU32(MSR_DEBUGCTL, BTF);
      return m.run();
    };
    test('an instruction that does not branch is not trapped', () => {
      expect(step([NOP])).toBe('end');
      expect(m.u32(MSR_DEBUGCTL)).toBe(BTF);
    });
    test('a jump is, even to the instruction behind it; the trap clears BTF', () => {
      expect(step([0xeb, 0x01, NOP])).toBe('#1 at +3');
      expect(m.u32(MSR_DEBUGCTL)).toBe(0);
      expect(step([0xeb, 0x00])).toBe('#1 at +2');
    });
    test('a conditional one only when it is taken', () => {
      expect(step([0x74, 0x01, NOP])).toBe('end');
      expect(step([0x75, 0x01, NOP])).toBe('#1 at +3');
      expect(step([0xe2, 0xfe], { rcx: 2n })).toBe('#1 at +0');
      expect(step([0xe2, 0xfe], { rcx: 1n })).toBe('end');
    });
    test('an indirect call is', () => {
      expect(step([0xff, 0xd0, NOP], { rax: BigInt(CODE + 3) })).toBe('#1 at +3');
    });
    test('a repeated string instruction is not', () => {
      expect(step([0xf3, 0xaa], { rcx: 5n, rdi: 0x9000n })).toBe('end');
    });
  });
  test('does not trap INT n, which clears TF', () => {
    m.load([0xcd, 0x03, NOP], { rflags: TF });
    expect(m.run()).toBe('#3 at +2');
  });
  test('traps each iteration of a repeated instruction, with RF but for the last', () => {
    m.load([0xf3, 0xaa, NOP], { rflags: TF, gpr: { rcx: 2n, rdi: 0x9000n } });
    expect([m.run(), m.words(STACK - 4, 1)[0]! & 0x10000]).toEqual(['#1 at +0', 0x10000]);
    m.load([0xf3, 0xaa, NOP], { rflags: TF, gpr: { rcx: 1n, rdi: 0x9000n } });
    expect([m.run(), m.words(STACK - 4, 1)[0]! & 0x10000]).toEqual(['#1 at +2', 0]);
  });
  test('an instruction that faults is not trapped', () => {
    m.load([0x0f, 0x0b], { rflags: TF });
    expect([m.run(), stepped()]).toEqual(['#6 at +0', 0]);
  });
  test('ends a halt', () => {
    m.load([0xf4, NOP], { rflags: TF });
    expect(m.run()).toBe('#1 at +1');
  });
});

describe('the resume flag', () => {
  const RF = 0x10000;
  const target = CODE + 0x800;
  /** pushf; or dword [esp], RF; push cs; push target; iret */
  const returns = [0x9c, 0x81, 0x0c, 0x24, 0, 0, 1, 0, 0x0e, 0x68, ...bytes32(target), 0xcf];
  const length = 5;
  const state = (): [rip: number, rf: number] => [Number(m.cpu.registers().rip), m.u32(EFLAGS) & RF];
  test('stays behind IRET until the next instruction, wherever the run ends', () => {
    // First the target is not decoded yet.
    for (let time = 0; time < 3; time++) {
      m.load(returns);
      m.memory.write(target, Uint8Array.of(NOP, NOP, 0xf4));
      m.run(length);
      // A run may go on for another block.
      const [rip, rf] = state();
      expect(rf).toBe(rip === target ? RF : 0);
      if (time === 0) expect(rip).toBe(target);
      expect(m.run()).toBe('end');
      expect(state()).toEqual([target + 3, 0]);
    }
  });
  test('stays behind IRET when it is stepped', () => {
    m.load(returns);
    m.memory.write(target, Uint8Array.of(NOP, NOP, 0xf4));
    for (let k = 0; k < length; k++) m.cpu.step();
    expect(state()).toEqual([target, RF]);
    m.cpu.step();
    expect(state()).toEqual([target + 1, 0]);
  });
});

describe('breakpoints', () => {
  /** DR0 at an address, with R/W and length fields. */
  const arm = (address: number, kind: number, length = 0): void => {
    m.setU32(DR, address);
    // By the instruction, so that everything derived follows: mov dr7, eax in front of the code.
    m.memory.write(CODE, Uint8Array.from([...movEax(2 | (kind << 16) | (length << 18)), 0x0f, 0x23, 0xf8]));
  };
  const PRELUDE = new Array<number>(8).fill(NOP);
  const hits = (): number => m.u32(DR6) & 15;
  test('on an instruction fault before it, once RF is set not again', () => {
    m.load([...PRELUDE, NOP, NOP]);
    arm(CODE + 9, 0);
    expect([m.run(), hits()]).toEqual(['#1 at +9', 1]);
    // The handler sets RF in the image: or dword [esp+8], 10000h; iret
    m.handler(1, 0x81, 0x4c, 0x24, 8, 0, 0, 1, 0, 0xcf);
    m.load([...PRELUDE, NOP, NOP]);
    arm(CODE + 9, 0);
    expect(m.run()).toBe('end');
  });
  test('on an instruction behind a load of SS do not happen', () => {
    m.load([...PRELUDE, 0x8e, 0xd1, NOP], { gpr: { rcx: 0x10n } });
    arm(CODE + 10, 0);
    expect(m.run()).toBe('end');
  });
  test.each([
    ['a write', 1, [0xa3, 0x02, 0x90, 0, 0], '#1 at +13'],
    ['a read, which a write breakpoint lets be', 1, [0xa1, 0x00, 0x90, 0, 0], 'end'],
    ['a read', 3, [0xa1, 0x00, 0x90, 0, 0], '#1 at +13'],
    ['beside it', 3, [0xa1, 0x04, 0x90, 0, 0], 'end'],
  ] as const)('on data: %s', (_, kind, code, expected) => {
    m.load([...PRELUDE, ...code, NOP]);
    arm(0x9000, kind, 3);
    expect([m.run(), hits()]).toEqual([expected, expected === 'end' ? 0 : 1]);
  });
  test('on data of a load of SS wait for the next instruction', () => {
    m.memory.write(0x9000, Uint8Array.of(0x10, 0));
    m.load([...PRELUDE, 0x8e, 0x15, 0x00, 0x90, 0, 0, NOP, NOP]);
    arm(0x9000, 3, 3);
    expect([m.run(), hits()]).toEqual(['#1 at +15', 1]);
  });
  test('on ports, under CR4.DE', () => {
    for (const [cr4, expected] of [[8n, '#1 at +9'], [0n, 'end']] as const) {
      m.load([...PRELUDE, 0xee, NOP], { cr4, gpr: { rdx: 0x80n } });
      arm(0x80, 2);
      expect([cr4, m.run(), m.written]).toEqual([cr4, expected, [[0x80, 2 | (2 << 16) & 0xff]]]);
    }
  });
  test('DR7 keeps its fixed bits', () => {
    m.load([...movEax(-1), 0x0f, 0x23, 0xf8]);
    m.run();
    expect(m.u32(DR7)).toBe(0xffff2fff);
  });
});

describe('NMI', () => {
  test('waits for IRET', () => {
    // The handler: out 80h, al; (another NMI comes); out 81h, al; iret.
    m.handler(2, 0xe6, 0x80, 0xe6, 0x81, 0xcf);
    m.onPort = (port) => {
      if (port === 0x80 && m.written.length === 1) m.nmi = true;
    };
    m.load([NOP, NOP]);
    m.nmi = true;
    expect([m.run(), m.written.map(([port]) => port)]).toEqual(['end', [0x80, 0x81, 0x80, 0x81]]);
  });
  // out 80h, al (an NMI comes); sti, the last instruction of its page: there the block ends.
  test.each([['sets IF', 2n, '#2 at +4097'], ['changes nothing', 0x202n, '#2 at +4096']] as const)('behind an STI that %s', (_, rflags, taken) => {
    m.onPort = () => void (m.nmi = true);
    m.load([...new Array<number>(4093).fill(NOP), 0xe6, 0x80, 0xfb, NOP, NOP], { rflags, rip: BigInt(CODE + 4093) });
    expect(m.run()).toBe(taken);
  });
});

describe('x87 pointers', () => {
  test('FDP is the last memory operand, FIP the last instruction; control instructions leave both', () => {
    // fld dword es:[9000h]; fld1; fnstcw [9100h]
    m.load([0xdb, 0xe3, 0x26, 0xd9, 0x05, 0x00, 0x90, 0, 0, 0xd9, 0xe8, 0xd9, 0x3d, 0x00, 0x91, 0, 0]);
    expect(m.run()).toBe('end');
    expect([m.u32(X87_DP), m.u32(X87_DP_SELECTOR) & 0xffff, m.u32(X87_IP)]).toEqual([0x9000, 0x10, CODE + 9]);
  });
});

describe('x87 errors without CR0.NE', () => {
  // fninit; fldcw [9000h] (zero divide unmasked); fld1; fldz; fdivp; fnop (waits); fnclex
  const code = [0xdb, 0xe3, 0xd9, 0x2d, 0x00, 0x90, 0, 0, 0xd9, 0xe8, 0xd9, 0xee, 0xde, 0xf9, 0xd9, 0xd0, 0xdb, 0xe2];
  test.each([
    ['with it: #MF', 0x31n, false, '#16 at +14', []],
    ['FERR#, and the instruction waits', 0x11n, false, 'end', [true]],
    ['IGNNE# lets it go on, until the error is cleared', 0x11n, true, 'end', [true, false]],
  ] as const)('%s', (_, cr0, ignore, expected, errors) => {
    m.ignoreErrors = ignore;
    m.memory.write(0x9000, Uint8Array.of(0x7b, 0x03));
    m.load(code, { cr0 });
    expect([m.run(), m.errors]).toEqual([expected, errors]);
    expect(Number(m.cpu.registers().rip) - CODE).toBe(expected !== 'end' ? 0x3101 - CODE : ignore ? code.length + 1 : 14);
  });
});
