import { describe, expect, it } from 'vitest';
import { Decoder } from './decoder.ts';
import { BASE_RIP, NO_REGISTER, createInstruction } from './instruction.ts';
import type { Instruction } from './instruction.ts';

type CodeSize = 16 | 32 | 64;

function decode(hex: string, codeSize: CodeSize = 64, features?: string[]): Instruction & { status: string } {
  const bytes = Uint8Array.from(hex.split(' ').map((byte) => Number.parseInt(byte, 16)));
  const out = createInstruction();
  const status = new Decoder(features === undefined ? undefined : new Set(features)).decode(bytes, 0, bytes.length, codeSize, out);
  return { ...out, status };
}

/** Name and operand size, or the status when it is not 'ok'. */
function brief(hex: string, codeSize: CodeSize = 64, features?: string[]): string {
  const i = decode(hex, codeSize, features);
  return i.status === 'ok' ? `${i.row.name} ${i.operandSize}` : i.status;
}

describe('prefixes', () => {
  it('counts REX only right before the opcode', () => {
    expect(brief('48 01 c0')).toBe('add 64');
    expect(brief('48 66 01 c0')).toBe('add 16');
    expect(brief('66 48 01 c0')).toBe('add 64');
    expect(brief('41 48 01 c0')).toBe('add 64');
    expect(decode('41 48 01 c0').rm).toBe(0);
    expect(brief('48 01 c0', 32)).toBe('dec 32');
  });

  it('takes the last segment override, and in 64-bit code only FS and GS', () => {
    expect(decode('2e 36 8b 00', 32).segment).toBe(2);
    expect(decode('64 2e 8b 00').segment).toBe(4);
    expect(decode('2e 8b 00')).toMatchObject({ segment: 3, segmentOverride: false });
    expect(decode('64 65 8b 00').segment).toBe(5);
  });

  it('lets F2 and F3 choose the row before 66', () => {
    expect(brief('f2 0f 10 c1')).toBe('movsd 32');
    expect(brief('66 f3 0f 10 c1')).toBe('movss 16');
    expect(brief('f3 66 0f 10 c1')).toBe('movss 16');
    expect(brief('f2 f3 0f 10 c1')).toBe('movss 32');
    expect(brief('66 0f 10 c1')).toBe('movupd 32');
    expect(brief('66 f2 0f 38 f1 c1')).toBe('crc32 16');
    expect(brief('66 0f 38 f1 00')).toBe('movbe 16');
    expect(brief('f3 0f 38 f1 00')).toBe('undefined');
    expect(brief('f3 0f 2e c1')).toBe('undefined');
  });

  it('rejects LOCK where it is not allowed', () => {
    expect(brief('f0 01 00')).toBe('add 32');
    expect(brief('f0 01 c0')).toBe('undefined');
    expect(brief('f0 03 00')).toBe('undefined');
    expect(brief('f0 90')).toBe('undefined');
    expect(brief('f0 39 00')).toBe('undefined');
    expect(decode('f0 48 0f c7 08')).toMatchObject({ status: 'ok', lock: true });
  });

  it('reports repetition only for what is repeated', () => {
    expect(decode('f3 a4').rep).toBe(0xf3);
    expect(decode('f2 ae').rep).toBe(0xf2);
    expect(decode('f3 c3').rep).toBe(0);
    expect(decode('f3 0f 10 c1').rep).toBe(0);
  });
});

describe('sizes', () => {
  it('follows defaults, 66 and REX.W', () => {
    expect(brief('50')).toBe('push 64');
    expect(brief('66 50')).toBe('push 16');
    expect(brief('50', 16)).toBe('push 16');
    expect(brief('66 50', 16)).toBe('push 32');
    expect(brief('0f 20 c0')).toBe('mov 64');
    expect(brief('66 c3')).toBe('ret 64');
    expect(brief('cb')).toBe('retf 32');
    expect(brief('48 cf')).toBe('iret 64');
    expect(brief('66 ff 30')).toBe('push 16');
  });

  it('keeps 32-bit displacements of near branches in 64-bit code', () => {
    expect(decode('66 e8 01 00 00 80')).toMatchObject({ length: 6, immediate: -0x7fffffff, immediateHigh: -1 });
    expect(decode('66 e8 01 80', 32)).toMatchObject({ length: 4, immediate: -0x7fff });
    expect(decode('66 0f 84 01 00 00 00')).toMatchObject({ length: 7, immediate: 1 });
  });

  it('reads immediates as the row says', () => {
    expect(decode('48 b8 01 02 03 04 05 06 07 88')).toMatchObject({ length: 10, immediate: 0x04030201, immediateHigh: 0x88070605 | 0 });
    expect(decode('b8 ff ff ff ff')).toMatchObject({ immediate: -1, immediateHigh: 0 });
    expect(decode('48 c7 c0 ff ff ff ff')).toMatchObject({ immediate: -1, immediateHigh: -1 });
    expect(decode('83 c0 ff')).toMatchObject({ immediate: -1, immediateHigh: -1 });
    expect(decode('80 c0 ff')).toMatchObject({ immediate: 255, immediateHigh: 0 });
    expect(decode('c8 34 12 05')).toMatchObject({ immediate: 0x1234, immediate2: 5, length: 4 });
    expect(decode('ea 01 02 03 04 05 06', 32)).toMatchObject({ immediate: 0x04030201, immediate2: 0x0605, length: 7 });
    expect(decode('ea 01 02 03 04', 16)).toMatchObject({ immediate: 0x0201, immediate2: 0x0403, length: 5 });
    expect(decode('a1 01 02 03 04 05 06 07 08')).toMatchObject({ immediate: 0x04030201, immediateHigh: 0x08070605, isMemory: true, length: 9 });
    expect(decode('67 a1 01 02 03 84')).toMatchObject({ immediate: 0x84030201 | 0, immediateHigh: 0, length: 6 });
    expect(decode('67 a1 01 82', 32)).toMatchObject({ immediate: 0x8201, length: 4 });
  });
});

describe('memory operands', () => {
  it('knows the 16-bit forms', () => {
    expect(decode('8b 42 fe', 16)).toMatchObject({ base: 5, index: 6, displacement: -2, segment: 2, length: 3 });
    expect(decode('8b 06 34 92', 16)).toMatchObject({ base: NO_REGISTER, index: NO_REGISTER, displacement: 0x9234 - 0x10000, segment: 3, length: 4 });
    expect(decode('67 8b 07', 32)).toMatchObject({ base: 3, index: NO_REGISTER, addressSize: 16 });
  });

  it('knows SIB, RIP-relative and their exceptions', () => {
    expect(decode('8b 05 01 00 00 00')).toMatchObject({ base: BASE_RIP, displacement: 1, length: 6 });
    expect(decode('8b 05 01 00 00 00', 32)).toMatchObject({ base: NO_REGISTER });
    expect(decode('8b 04 25 01 00 00 00')).toMatchObject({ base: NO_REGISTER, index: NO_REGISTER, displacement: 1, length: 7 });
    expect(decode('42 8b 04 25 01 00 00 00')).toMatchObject({ base: NO_REGISTER, index: 12, length: 8 });
    expect(decode('41 8b 04 24')).toMatchObject({ base: 12, segment: 3, length: 4 });
    expect(decode('41 8b 45 00')).toMatchObject({ base: 13, displacement: 0, segment: 3 });
    expect(decode('41 8b 05 00 00 00 00')).toMatchObject({ base: BASE_RIP });
    expect(decode('8b 84 e5 00 00 00 80')).toMatchObject({ base: 5, index: NO_REGISTER, displacement: -0x80000000, segment: 2 });
    expect(decode('8b 84 cd 00 00 00 80')).toMatchObject({ base: 5, index: 1, scale: 3, segment: 2 });
  });

  it('leaves REX out of segment, MMX and x87 fields', () => {
    expect(decode('45 8c d8')).toMatchObject({ reg: 3, rm: 8 });
    expect(decode('45 0f 6f c1')).toMatchObject({ reg: 0, rm: 1 });
    expect(decode('41 d8 c1')).toMatchObject({ rm: 1 });
    expect(decode('44 0f 20 c0')).toMatchObject({ reg: 8, rm: 0 });
  });

  it('takes the register of MOV CRn whatever mod says', () => {
    expect(decode('0f 22 1b')).toMatchObject({ status: 'ok', isMemory: false, reg: 3, rm: 3, length: 3 });
    expect(decode('0f 23 05')).toMatchObject({ status: 'ok', rm: 5, length: 3 });
  });
});

describe('choosing rows', () => {
  it('tells modes of operation apart', () => {
    expect(brief('63 c1')).toBe('movsxd 32');
    expect(brief('63 c1', 32)).toBe('arpl 32');
    expect(brief('06')).toBe('undefined');
    expect(brief('06', 16)).toBe('push 16');
    expect(brief('c4 c0 78 77', 32)).toBe('undefined');
    expect(brief('c4 00', 32)).toBe('les 32');
  });

  it('knows NOP, PAUSE and XCHG with R8', () => {
    expect(brief('90')).toBe('nop 32');
    expect(brief('f3 90')).toBe('pause 32');
    expect(brief('41 90')).toBe('xchg 32');
    expect(brief('48 90')).toBe('nop 64');
    expect(brief('91')).toBe('xchg 32');
  });

  it('leaves out rows whose feature is not announced', () => {
    expect(brief('f3 0f bd c1', 64, ['lzcnt'])).toBe('lzcnt 32');
    expect(brief('f3 0f bd c1', 64, [])).toBe('bsr 32');
    expect(brief('f3 0f bc c1', 64, [])).toBe('bsf 32');
    expect(brief('f3 0f b8 c1', 64, [])).toBe('undefined');
    expect(brief('f3 0f 09', 64, [])).toBe('wbinvd 32');
    expect(brief('48 0f c7 08', 64, [])).toBe('undefined');
    expect(brief('0f c7 08', 64, [])).toBe('cmpxchg8b 32');
  });

  it('knows fixed ModRM bytes', () => {
    expect(brief('0f 01 f8')).toBe('swapgs 32');
    expect(brief('0f 01 f8', 32)).toBe('undefined');
    expect(brief('0f 01 38')).toBe('invlpg 32');
    expect(brief('0f ae e8')).toBe('lfence 32');
    expect(brief('f3 0f 1e fa')).toBe('endbr64 32');
    expect(brief('f3 0f 1e c8')).toBe('nop 32');
    expect(brief('de d9')).toBe('fcompp 32');
    expect(brief('de d8')).toBe('undefined');
  });
});

describe('VEX', () => {
  it('has no prefixes of the old kinds before it', () => {
    expect(brief('c4 e2 70 f2 c2')).toBe('andn 32');
    for (const prefix of ['66', 'f2', 'f3', 'f0', '48']) expect(brief(`${prefix} c4 e2 70 f2 c2`), prefix).toBe('undefined');
    expect(brief('64 67 c4 e2 70 f2 02')).toBe('andn 32');
    expect(brief('48 64 c4 e2 70 f2 02')).toBe('andn 32');
  });

  it('names three registers, inverted', () => {
    expect(decode('c4 42 b0 f2 c2')).toMatchObject({ reg: 8, rm: 10, vvvv: 9, operandSize: 64, length: 5 });
    expect(decode('c4 c2 30 f2 c2', 32)).toMatchObject({ status: 'ok', reg: 0, rm: 2, vvvv: 1, operandSize: 32 });
    expect(decode('c4 e2 f0 f2 c2', 16)).toMatchObject({ status: 'ok', operandSize: 32 });
  });

  it('wants 1111b in vvvv where that names nothing, and the right length', () => {
    expect(brief('c4 e3 7b f0 c2 05')).toBe('rorx 32');
    expect(brief('c4 e3 73 f0 c2 05')).toBe('undefined');
    expect(brief('c4 e2 74 f2 c2')).toBe('undefined');
  });

  it('is LES and LDS with memory outside 64-bit code', () => {
    expect(brief('c4 00', 16)).toBe('les 16');
    expect(brief('c5 10', 32)).toBe('lds 32');
    expect(brief('c4')).toBe('truncated');
    expect(brief('c4 e2 70 f2')).toBe('truncated');
  });

  it('knows maps 1 to 3', () => {
    for (const map of ['e0', 'e4', 'ff']) expect(brief(`c4 ${map} 78 10 c0`)).toBe('undefined');
  });
});

describe('length', () => {
  it('says when bytes are missing', () => {
    for (const hex of ['66', '0f', '0f 38', '8b', '8b 05 00 00 00', '8b 04', 'b8 00 00 00', 'c8 00 00']) expect(brief(hex)).toBe('truncated');
  });

  it('allows 15 bytes and no more', () => {
    const prefixes = (n: number): string => Array.from({ length: n }, () => '66').join(' ');
    expect(decode(`${prefixes(14)} 90`)).toMatchObject({ status: 'ok', length: 15 });
    expect(brief(`${prefixes(15)} 90`)).toBe('too-long');
    expect(brief(`${prefixes(12)} 01 84 00 00 00 00 00`)).toBe('too-long');
    expect(brief(prefixes(14))).toBe('truncated');
  });

  it('looks at no byte beyond what is available', () => {
    const bytes = Uint8Array.from([0x90, 0xb8, 1, 0, 0, 0]);
    const out = createInstruction();
    const decoder = new Decoder();
    expect(decoder.decode(bytes, 1, 4, 64, out)).toBe('truncated');
    expect(decoder.decode(bytes, 1, 5, 64, out)).toBe('ok');
    expect(out.length).toBe(5);
  });
});
