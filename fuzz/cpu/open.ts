import type { Instruction } from '../../src/isa/x86/decode/instruction.ts';
import type { Step } from './executor.ts';
import { CR2, GPR, RAISED_VECTOR } from './state.ts';
import type { CpuState } from './state.ts';

/** One instruction on both sides. */
export interface Outcome {
  readonly instruction: Instruction;
  readonly before: CpuState;
  readonly expected: Step;
  readonly raised: boolean;
  readonly actual: CpuState;
}

const UNDEFINED_OPCODE = 6;
const STACK_FAULT = 12;
const GENERAL_PROTECTION = 13;
const PAGE_FAULT = 14;
const ALIGNMENT = 17;

const expectedVector = (o: Outcome): number => (o.expected.raised ? o.expected.state.u32(RAISED_VECTOR) : -1);
const actualVector = (o: Outcome): number => (o.raised ? o.actual.u32(RAISED_VECTOR) : -1);

/**
 * Outcomes that are not for the host to judge: the manual leaves them open, or AMD's processors, which may be the host, do
 * otherwise than the manual of the processor that the machine announces, which is Intel's. A case ends there.
 */
const open: Readonly<Record<string, (o: Outcome) => boolean>> = {
  'SHA instructions check the alignment of memory (SDM 2B, exceptions type 4); AMD does not': (o) =>
    o.instruction.row.feature === 'sha' && o.instruction.isMemory && actualVector(o) === GENERAL_PROTECTION,
  'CVTPI2PS from memory makes the x87 registers MMX ones (SDM 2A); AMD leaves them alone': (o) => o.instruction.row.name === 'cvtpi2ps' && o.instruction.isMemory,
  'double shifts of 16 bits by more than 16 are undefined (SDM 2B, SHLD)': (o) => {
    const { row, operandSize, immediate } = o.instruction;
    if (row.semantics !== 'shld' && row.semantics !== 'shrd') return false;
    return operandSize === 16 && ((row.operands[2] === 'CL' ? o.before.bytes[GPR + 8]! : immediate) & 31) > 16;
  },
  'of a call that can neither be made nor remembered, the order of checks': (o) =>
    o.instruction.row.name === 'call' && expectedVector(o) >= 0 && actualVector(o) >= 0 && expectedVector(o) !== actualVector(o),
  'repeated comparisons that fault keep the flags of before (SDM 2B, REP), but each turn was one step of the host': (o) =>
    o.instruction.row.repeatable && /^(cmps|scas)/.test(o.instruction.row.semantics) && expectedVector(o) >= 0 && expectedVector(o) === actualVector(o),
  'which byte of a long image is touched first, as CR2 tells': (o) =>
    o.instruction.row.operands.includes('M') && expectedVector(o) === PAGE_FAULT && actualVector(o) === PAGE_FAULT && o.expected.state.u64(CR2) - o.actual.u64(CR2) + 4096n < 8192n,
  'PUSHA and POPA that fault midway: what was done before stays on some processors': (o) =>
    /^(pusha|popa)$/.test(o.instruction.row.name) && expectedVector(o) >= 0 && actualVector(o) === PAGE_FAULT,
  'PUSH of a segment register moves 16 or 32 bits (SDM 2B, PUSH)': (o) => o.instruction.row.semantics === 'pushseg' && o.instruction.codeSize === 32 && o.instruction.operandSize === 32,
  'accesses that wrap at 4 GiB in a flat segment (SDM 3A, 5.3)': (o) =>
    o.instruction.codeSize === 32 && (expectedVector(o) === GENERAL_PROTECTION || expectedVector(o) === STACK_FAULT) 
    && (actualVector(o) === ALIGNMENT || (actualVector(o) === GENERAL_PROTECTION && o.instruction.row.operands.includes('M')) || (actualVector(o) === PAGE_FAULT && (o.actual.u64(CR2) > 0xffffffe0n || o.actual.u64(CR2) < 16n))),
  'masked moves that move nothing: whether their segment is looked at': (o) =>
    o.instruction.row.semantics.startsWith('vmaskmov') && o.instruction.codeSize === 32 && expectedVector(o) < 0 && (actualVector(o) === GENERAL_PROTECTION || actualVector(o) === STACK_FAULT),
  'UD0 and UD1 that end in an unmapped page: some processors do not fetch the operands': (o) =>
    o.instruction.row.semantics === 'ud2' && expectedVector(o) === UNDEFINED_OPCODE && actualVector(o) === PAGE_FAULT,
};

export function isOpen(outcome: Outcome): boolean {
  return Object.values(open).some((applies) => applies(outcome));
}
