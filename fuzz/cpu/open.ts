import type { Instruction } from '../../src/isa/x86/decode/instruction.ts';
import type { Step } from './executor.ts';
import { SEG_FS, SEG_GS } from '../../src/isa/x86/state/layout.ts';
import { CR2, FS_BASE, GPR, GS_BASE, RAISED_VECTOR, RFLAGS } from './state.ts';
import type { CpuState } from './state.ts';

/** One instruction on both sides. */
export interface Outcome {
  readonly instruction: Instruction;
  readonly before: CpuState;
  readonly expected: Step;
  readonly raised: boolean;
  readonly actual: CpuState;
  /** What differs, as `fields` or one of 'exception' and 'memory ...'. */
  readonly differs: readonly string[];
}

const UNDEFINED_OPCODE = 6;
const STACK_FAULT = 12;
const GENERAL_PROTECTION = 13;
const PAGE_FAULT = 14;
const ALIGNMENT = 17;
const AC = 0x40000n;

const expectedVector = (o: Outcome): number => (o.expected.raised ? o.expected.state.u32(RAISED_VECTOR) : -1);
const actualVector = (o: Outcome): number => (o.raised ? o.actual.u32(RAISED_VECTOR) : -1);

const hasOperand = (o: Outcome, letter: string): boolean => o.instruction.row.operands.some((operand) => operand.length === 2 && operand[0] === letter);

const RSI = 6;
const RDI = 7;

/** Whether the operand of a string instruction that `register` points to can by itself have raised what `state` says. */
function isFaultOf(register: number, { instruction: i, expected, raised }: Outcome, state: CpuState): boolean {
  if (!raised || !expected.raised) return false;
  const size = BigInt(i.row.operands.some((operand) => /^[XY]b$/.test(operand)) ? 1 : i.operandSize / 8);
  const segment = register === RSI ? i.segment : 0;
  const offset = BigInt.asUintN(i.addressSize, state.u64(GPR + register * 8));
  const base = segment === SEG_FS ? state.u64(FS_BASE) : segment === SEG_GS ? state.u64(GS_BASE) : 0n;
  const first = BigInt.asUintN(64, offset + base);
  const last = BigInt.asUintN(i.codeSize, first + size - 1n);
  switch (state.u32(RAISED_VECTOR)) {
    case PAGE_FAULT: return state.u64(CR2) === first || (state.u64(CR2) === (last & ~0xfffn) && last - first < size);
    case ALIGNMENT: return (state.u64(RFLAGS) & AC) !== 0n && first % size !== 0n;
    case STACK_FAULT:
    case GENERAL_PROTECTION:
      return i.codeSize === 64 ? [first, last].some((address) => BigInt.asIntN(48, address) !== BigInt.asIntN(64, address)) : segment >= SEG_FS || last < first;
    default: return false;
  }
}

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
    o.instruction.rep !== 0 && /^(cmps|scas)/.test(o.instruction.row.semantics) && expectedVector(o) >= 0 && o.differs.every((name) => name === 'flags'),
  'of two operands that fault, either may be first: order within a class is the implementation\'s (SDM 3A, 6.9)': (o) =>
    hasOperand(o, 'X') && hasOperand(o, 'Y') && o.differs.every((name) => name === 'exception' || name === 'flags')
    && ((isFaultOf(RSI, o, o.actual) && isFaultOf(RDI, o, o.expected.state)) || (isFaultOf(RDI, o, o.actual) && isFaultOf(RSI, o, o.expected.state))),
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
