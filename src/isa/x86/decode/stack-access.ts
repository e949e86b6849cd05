import { opcodeRows } from '../opcodes/table.ts';
import type { Instruction } from './instruction.ts';
import { STACK_READS, STACK_WRITES } from './record.ts';

const RSP = 4;
const RBP = 5;
const FS = 4;

/** What instructions do with the stack besides their operand, by name. */
const byName = new Map<string, number>([
  ...['push', 'pusha', 'pushf', 'call', 'callf'].map((name) => [name, STACK_WRITES] as const),
  ...['pop', 'popa', 'popf', 'ret', 'retf', 'iret', 'leave'].map((name) => [name, STACK_READS] as const),
  ['enter', STACK_READS | STACK_WRITES],
]);
/** The same by the row's index: each instruction that is decoded asks. */
const implicit = Uint8Array.from(opcodeRows, ({ name }) => byName.get(name) ?? 0);

/**
 * STACK_READS and STACK_WRITES of an instruction in 64-bit code: what it pushes and pops, and a memory operand whose base is
 * the stack or frame pointer. Overrides other than FS and GS do not count there (SDM 1, 3.7.5.1; 3A, 3.4.4).
 */
export function stackAccess({ rowIndex, isMemory, base, segment }: Instruction): number {
  const operand = isMemory && (base === RSP || base === RBP) && segment < FS ? STACK_READS | STACK_WRITES : 0;
  return operand | implicit[rowIndex]!;
}
