import { describe, expect, it } from 'vitest';
import { randomWords } from '../../../../test/support/random.ts';
import { Decoder } from '../decode/decoder.ts';
import { createInstruction } from '../decode/instruction.ts';
import { encodeRow, generateInstruction } from './generate.ts';
import { acceptsPrefix, existsIn, parseRow, specificity } from './row.ts';
import type { OpcodeRow, PrefixClass } from './row.ts';
import { opcodeRows } from './table.ts';

const codeSizes = [16, 32, 64] as const;

function overlap(a: OpcodeRow, b: OpcodeRow): boolean {
  const span = (row: OpcodeRow): number => row.opcode + (row.opcodeRegister ? 7 : 0);
  if (a.vex !== b.vex || (a.vexL !== 'any' && b.vexL !== 'any' && a.vexL !== b.vexL)) return false;
  if (a.map !== b.map || a.opcode > span(b) || b.opcode > span(a)) return false;
  if (a.digit >= 0 && b.digit >= 0 && a.digit !== b.digit) return false;
  if (a.rm >= 0 && b.rm >= 0 && a.rm !== b.rm) return false;
  if (a.hasModrm && (a.modes & b.modes) === 0) return false;
  if (a.rexW !== 'any' && b.rexW !== 'any' && a.rexW !== b.rexW) return false;
  if (!codeSizes.some((size) => existsIn(a, size) && existsIn(b, size))) return false;
  return (['none', '66', 'f2', 'f3'] satisfies PrefixClass[]).some((prefix) => acceptsPrefix(a, prefix) && acceptsPrefix(b, prefix));
}

describe('opcode rows', () => {
  it('overlap only where one is more specific', () => {
    const clashes: string[] = [];
    for (let i = 0; i < opcodeRows.length; i++) {
      for (let k = i + 1; k < opcodeRows.length; k++) {
        const [a, b] = [opcodeRows[i]!, opcodeRows[k]!];
        if (overlap(a, b) && specificity(a) === specificity(b)) clashes.push(`${a.encoding} ${a.name} / ${b.encoding} ${b.name}`);
      }
    }
    expect(clashes).toEqual([]);
  });

  it('agree on ModRM within one opcode', () => {
    const byOpcode = new Map<number, boolean>();
    for (const row of opcodeRows) {
      for (let i = 0; i < (row.opcodeRegister ? 8 : 1); i++) {
        const key = (row.vex ? 1024 : 0) + row.map * 256 + row.opcode + i;
        // MOVSXD and ARPL and the like differ by mode, but not in having ModRM.
        expect(byOpcode.get(key) ?? row.hasModrm, row.encoding).toBe(row.hasModrm);
        byOpcode.set(key, row.hasModrm);
      }
    }
  });

  it('decode from their plainest encoding to themselves', () => {
    const decoder = new Decoder();
    const out = createInstruction();
    for (const [index, row] of opcodeRows.entries()) {
      for (const codeSize of codeSizes) {
        if (!existsIn(row, codeSize)) continue;
        // XCHG of the accumulator with itself is NOP.
        const one = row.name === 'xchg' && row.opcodeRegister ? 1 : 0;
        const bytes = Uint8Array.from([...encodeRow(row, codeSize, () => 0), ...Array.from({ length: 15 }, () => 0xcc)]);
        if (one === 1) bytes[0]! += 1;
        expect(decoder.decode(bytes, 0, bytes.length, codeSize, out), `${row.encoding} ${codeSize}`).toBe('ok');
        expect(`${out.row.encoding} ${out.row.name}`).toBe(`${row.encoding} ${row.name}`);
        expect(out.rowIndex).toBe(index);
        expect(out.length, row.encoding).toBe(bytes.length - 15);
      }
    }
  });

  it('can all be generated at random, in every code size they exist in', () => {
    const random = randomWords(0x2545f491);
    const decoder = new Decoder();
    const out = createInstruction();
    for (const [index, row] of opcodeRows.entries()) {
      for (const codeSize of codeSizes) {
        if (!existsIn(row, codeSize)) {
          expect(() => generateInstruction(random, codeSize, index)).toThrow(RangeError);
          continue;
        }
        for (let n = 0; n < 8; n++) {
          const bytes = generateInstruction(random, codeSize, index);
          expect(decoder.decode(bytes, 0, bytes.length, codeSize, out)).toBe('ok');
          expect(out.rowIndex).toBe(index);
          expect(out.length).toBe(bytes.length);
        }
      }
    }
  });

  it('are generated alike from the same seed', () => {
    const once = generateInstruction(randomWords(7), 64, 3);
    expect(generateInstruction(randomWords(7), 64, 3)).toEqual(once);
  });

  it('cover each one-byte opcode that is an instruction', () => {
    const seen = new Set(opcodeRows.filter((row) => row.map === 0).flatMap((row) => Array.from({ length: row.opcodeRegister ? 8 : 1 }, (_, i) => row.opcode + i)));
    const missing = Array.from({ length: 256 }, (_, i) => i).filter((opcode) => !seen.has(opcode)).map((opcode) => opcode.toString(16));
    // Prefixes and the escape to the next map.
    expect(missing).toEqual(['f', '26', '2e', '36', '3e', '64', '65', '66', '67', 'f0', 'f2', 'f3']);
  });
});

describe('row notation', () => {
  it('says which word it does not know', () => {
    expect(() => parseRow('0F XX /r | foo')).toThrow('what is XX?');
    expect(() => parseRow('0F 00 /r | foo Ev | lok')).toThrow('what is lok?');
  });
});
