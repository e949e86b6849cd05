import { expect, test } from 'vitest';
import { InterpreterEngine } from '../../fuzz/cpu/interpreter.ts';
import { dataImage } from '../../fuzz/cpu/run.ts';
import { setPlain } from '../../fuzz/cpu/shrink.ts';
import { CODE, CpuState, DATA_BYTES, RAISED_VECTOR, RIP } from '../../fuzz/cpu/state.ts';
import { implementedFeatures } from '../../src/isa/x86/features.ts';
import { generateInstruction } from '../../src/isa/x86/opcodes/generate.ts';
import { existsIn } from '../../src/isa/x86/opcodes/row.ts';
import type { OpcodeRow } from '../../src/isa/x86/opcodes/row.ts';
import { opcodeRows } from '../../src/isa/x86/opcodes/table.ts';
import { randomWords } from '../support/random.ts';

// What CPUID announces is there, and nothing else: every row is executed in ring 3, where what is reserved for the
// kernel raises #GP, but what does not exist raises #UD. That CPUID announces `implementedFeatures`: identity.test.ts.

const UNDEFINED_OPCODE = 6;
const ATTEMPTS = 40;
/** Rows that are undefined for another reason than a missing feature (SDM 2, the instruction's exceptions). */
const undefinedHere: ReadonlySet<string> = new Set([
  'rsm', // outside SMM
  'rdpkru', 'wrpkru', // with CR4.PKE clear
  'syscall', 'sysret', // with EFER.SCE clear
  'clac', 'stac', // in ring 3
  'vmcall', 'vmmcall', // without the paravirtual interface
]);
/** F3 means nothing where WBNOINVD is not announced: it is WBINVD then, which is the kernel's (SDM 2C, WBNOINVD). */
const GENERAL_PROTECTION = 13;
const wanted = (row: OpcodeRow): number => (row.name === 'wbnoinvd' ? GENERAL_PROTECTION : UNDEFINED_OPCODE);
const isUndefined = (row: OpcodeRow): boolean => row.semantics === 'ud2' || undefinedHere.has(row.name) || (row.feature !== '' && !implementedFeatures.has(row.feature));

const image = dataImage();
const engine = new InterpreterEngine(image);
const memory = image.subarray(0, DATA_BYTES);

const before = new CpuState();
setPlain(before);
before.setU64(RIP, BigInt(CODE));

/** What an instruction raises: a vector, or -1. A fault of its operands is as good as none: undefined ones have no operands. */
function outcome(width: 32 | 64, bytes: Uint8Array, rowIndex: number): number {
  engine.load({ width, address: CODE, instructions: [{ bytes, rowIndex }], before, patches: [] }, before, memory);
  return engine.step() ? engine.state.u32(RAISED_VECTOR) : -1;
}

test.each([64, 32] as const)('rows of %i-bit code are there exactly if they are announced', (width) => {
  const random = randomWords(0xa110 + width);
  const wrong: string[] = [];
  let [there, missing] = [0, 0];
  opcodeRows.forEach((row, index) => {
    if (!existsIn(row, width)) return;
    const name = `${row.encoding} ${row.name} ${row.operands.join()}`;
    if (isUndefined(row)) {
      for (let n = 0; n < 4; n++) {
        const vector = outcome(width, generateInstruction(random, width, index), index);
        if (vector !== wanted(row)) wrong.push(`${name} is not announced, but ${vector < 0 ? 'is executed' : `raises #${vector}`}`);
      }
      missing++;
      return;
    }
    there++;
    for (let n = 0; n < ATTEMPTS; n++) {
      const vector = outcome(width, generateInstruction(random, width, index), index);
      if (vector !== UNDEFINED_OPCODE) return;
    }
    wrong.push(`${name} is announced, but raises #UD`);
  });
  expect(wrong).toEqual([]);
  expect(there).toBeGreaterThan(1400);
  expect(missing).toBeGreaterThan(20);
});
