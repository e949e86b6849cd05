import type { OpcodeRow } from '../../src/isa/x86/opcodes/row.ts';
import { isMmx } from './generate.ts';
import type { Case, MachineState } from './native.ts';

const flagBits: Readonly<Record<string, number>> = { c: 1, p: 4, a: 0x10, z: 0x40, s: 0x80, o: 0x800 };
const names = ['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi', 'r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15'];

/** Differences between the processor's and an engine's result, in words; flags that the row leaves undefined do not count. */
export function differences(row: OpcodeRow, entry: Case, expected: MachineState, actual: MachineState): string[] {
  if (expected.exception !== actual.exception) return [`exception ${expected.exception || 'none'} expected, got ${actual.exception || 'none'}`];
  if (expected.exception !== '') return [];
  if (isUndefined(row, entry)) return [];
  const out: string[] = [];
  for (let i = 0; i < (entry.mode === 64 ? 16 : 8); i++) {
    if (expected.gpr[i] !== actual.gpr[i]) out.push(`${names[i]} ${expected.gpr[i]!.toString(16)} expected, got ${actual.gpr[i]!.toString(16)}`);
  }
  let mask = 0x8d5 | 0x400;
  for (const letter of row.undefinedFlags) mask &= ~flagBits[letter]!;
  if (((expected.flags ^ actual.flags) & mask) !== 0) out.push(`flags ${(expected.flags & mask).toString(16)} expected, got ${(actual.flags & mask).toString(16)}`);
  for (let i = 0; i < 16; i++) {
    const hex = (state: MachineState): string => Buffer.from(state.xmm.subarray(i * 16, i * 16 + 16)).toString('hex');
    if (hex(expected) !== hex(actual)) out.push(`xmm${i} ${hex(expected)} expected, got ${hex(actual)}`);
    const high = (state: MachineState): string => Buffer.from(state.high.subarray(i * 16, i * 16 + 16)).toString('hex');
    if (high(expected) !== high(actual)) out.push(`ymm${i} above ${high(expected)} expected, got ${high(actual)}`);
  }
  // From memory, CVTPI2PS marks the x87 registers valid by Intel's manual (2A), which rules here; AMD's processors do not.
  const compared = row.name === 'cvtpi2ps' ? 80 : 81;
  if (isMmx(row) && Buffer.compare(expected.x87.subarray(0, compared), actual.x87.subarray(0, compared)) !== 0) out.push(`MMX ${Buffer.from(expected.x87).toString('hex')} expected, got ${Buffer.from(actual.x87).toString('hex')}`);
  if (expected.mxcsr !== actual.mxcsr) out.push(`mxcsr ${expected.mxcsr.toString(16)} expected, got ${actual.mxcsr.toString(16)}`);
  if (Buffer.compare(expected.window, actual.window) !== 0) {
    const at = expected.window.findIndex((byte, i) => byte !== actual.window[i]);
    out.push(`memory at ${at - 128} is ${Buffer.from(expected.window.subarray(at, at + 16)).toString('hex')} expected, got ${Buffer.from(actual.window.subarray(at, at + 16)).toString('hex')}`);
  }
  return out;
}

/** Whole results that the manual leaves undefined: 16-bit double shifts by more than 16 (SDM 2B, SHLD). */
function isUndefined(row: OpcodeRow, entry: Case): boolean {
  if (row.name !== 'shld' && row.name !== 'shrd') return false;
  const count = row.operands[2] === 'CL' ? Number(entry.before.gpr[1]! & 31n) : entry.code[entry.code.length - 1]! & 31;
  return count > 16 && entry.code.includes(0x66);
}
