import { SEG_DS, SEG_ES, SEG_FS, SEG_GS } from '../../src/isa/x86/state/layout.ts';
import { RDI, RSI, baseOf, hasOperand, isByteMasked, isCanonical, offsetOf } from './outcome.ts';
import type { Outcome } from './outcome.ts';
import { CR2, FS_BASE, GPR, GS_BASE, MXCSR, RAISED_ERROR, RAISED_VECTOR, RFLAGS, SELECTORS, registerNames } from './state.ts';
import type { CpuState } from './state.ts';

const UNDEFINED_OPCODE = 6;
const STACK_FAULT = 12;
const GENERAL_PROTECTION = 13;
const PAGE_FAULT = 14;
const ALIGNMENT = 17;
const FLOATING_POINT = 16;
const AC = 0x40000n;
const NT = 0x4000n;
const TF = 0x100n;
const MXCSR_MM = 0x20000;
const UPPER_HALF = 0xffff800000000000n;
const ERROR_RESERVED = 8;

const expectedVector = (o: Outcome): number => (o.expected.raised ? o.expected.state.u32(RAISED_VECTOR) : -1);
const actualVector = (o: Outcome): number => (o.raised ? o.actual.u32(RAISED_VECTOR) : -1);

/** CS has no place among the selectors, and is never null. */
const isNullSegment = (state: CpuState, segment: number): boolean => segment !== 1 && state.u16(SELECTORS + Math.max(segment - 1, 0) * 2) < 4;

/** Whether the operand of a string instruction that `register` points to can by itself have raised what `state` says. */
function isFaultOf(register: number, { instruction: i, before, expected, raised }: Outcome, state: CpuState): boolean {
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
      return i.codeSize === 64 ? [first, last].some((address) => !isCanonical(address)) : isNullSegment(before, segment) || last < first;
    default: return false;
  }
}

/** What both sides raise. */
const raises = (o: Outcome, expected: readonly number[], actual: readonly number[]): boolean => expected.includes(expectedVector(o)) && actual.includes(actualVector(o));
const STACK_ACCESS = [STACK_FAULT, PAGE_FAULT, ALIGNMENT];

const losesNt = (o: Outcome): boolean => ((o.expected.state.u64(RFLAGS) ^ o.actual.u64(RFLAGS)) & ~(NT | TF)) === 0n;

interface Rule {
  readonly why: string;
  /** All that differs must be of this. */
  readonly differs: RegExp;
  readonly when: (o: Outcome) => boolean;
}

/**
 * Outcomes that are not for the host to judge: the manual leaves them open, or AMD's processors, which may be the host, do
 * otherwise than the manual of the processor that the machine announces, which is Intel's. A case ends there.
 */
const open: readonly Rule[] = [
  // A KVM that runs ring 3 without virtualization in hardware (pvm), as a program of its own on /dev/kvm gets it, too.
  {
    why: 'it emulates what raises #GP, and INT n, and gives #UD where it cannot; EFLAGS.NT is lost on the way into ring 3',
    differs: /^(exception|flags)$/,
    when: (o) => o.engine === 'kvm' && raises(o, [GENERAL_PROTECTION], [UNDEFINED_OPCODE]) && (o.instruction.isMemory || isByteMasked(o) || o.instruction.row.name === 'int') && losesNt(o),
  },
  {
    why: 'EFLAGS.NT is lost on the way into ring 3',
    differs: /^flags$/,
    when: (o) => o.engine === 'kvm' && losesNt(o) && (o.before.u64(RFLAGS) & NT) !== 0n,
  },
  {
    why: 'ES and DS are null in ring 3, whatever it was told and says itself',
    differs: /^(flags|r[a-z0-9]+|memory .*)$/,
    when: (o) => o.engine === 'kvm' && o.instruction.row.semantics === 'movfromseg' && [SEG_ES, SEG_DS].includes(o.instruction.reg & 7) && losesNt(o),
  },
  {
    why: 'with a stack pointer that is not canonical it emulates everything: #UD for what its emulator does not know, BSF for TZCNT, steps are lost',
    differs: /./,
    when: (o) => o.engine === 'kvm' && !isCanonical(o.before.u64(GPR + 32)),
  },
  {
    why: 'page faults in the upper half, where it lies itself, speak of reserved bits',
    differs: /^exception$/,
    when: (o) => o.engine === 'kvm' && raises(o, [PAGE_FAULT], [PAGE_FAULT]) && o.expected.state.u64(CR2) === o.actual.u64(CR2) && o.actual.u64(CR2) >= UPPER_HALF
      && o.actual.u32(RAISED_ERROR) === (o.expected.state.u32(RAISED_ERROR) | ERROR_RESERVED),
  },
  {
    why: 'it looks at the privilege level before it finds an instruction or a register undefined',
    differs: /^exception$/,
    when: (o) => o.engine === 'kvm' && raises(o, [UNDEFINED_OPCODE], [GENERAL_PROTECTION]) && (/^(monitor|mwait)$/.test(o.instruction.row.name) || hasOperand(o, 'C') || hasOperand(o, 'D')),
  },
  {
    why: 'FXSAVE and FXRSTOR do not ask for alignment, and raise #PF where the address is not canonical or in the upper half',
    differs: /./,
    when: (o) => {
      if (o.engine !== 'kvm' || o.instruction.row.feature !== 'fxsr' || expectedVector(o) !== GENERAL_PROTECTION) return false;
      const address = BigInt.asUintN(64, offsetOf(o) + baseOf(o));
      return (address & 15n) !== 0n || address >= 1n << 47n;
    },
  },
  {
    why: 'SHA instructions check the alignment of memory (SDM 2B, exceptions type 4); AMD does not (APM 4, SHA1MSG1)',
    differs: /^exception$/,
    when: (o) => o.instruction.row.feature === 'sha' && o.instruction.isMemory && actualVector(o) === GENERAL_PROTECTION,
  },
  {
    why: 'CVTPI2PS from memory makes the x87 registers MMX ones and waits for x87 exceptions (SDM 2A); AMD leaves them alone',
    differs: /^(fsw|ftw|mxcsr|exception)$/,
    when: (o) => o.instruction.row.name === 'cvtpi2ps' && o.instruction.isMemory && (actualVector(o) === FLOATING_POINT || !(o.differs.includes('exception') || o.differs.includes('mxcsr'))),
  },
  {
    why: 'MXCSR.MM exists on AMD processors alone (APM 1, 4.2.2); elsewhere loading it is #GP',
    differs: /^exception$/,
    when: (o) => actualVector(o) === GENERAL_PROTECTION && (o.expected.state.u32(MXCSR) & MXCSR_MM) !== 0,
  },
  {
    why: 'FXSAVE and FXRSTOR of what is not aligned, with alignment checks on: #AC is not guaranteed (SDM 2A, FXSAVE)',
    differs: /^exception$/,
    when: (o) => o.instruction.row.feature === 'fxsr' && raises(o, [ALIGNMENT], [GENERAL_PROTECTION]),
  },
  {
    why: 'an image of components that the machine does not have',
    differs: /^(exception|memory .*)$/,
    when: (o) => o.instruction.row.feature.startsWith('xsave') && (o.before.u32(GPR) > 7 || o.before.u32(GPR + 16) !== 0),
  },
  {
    why: 'double shifts of 16 bits by more than 16 are undefined (SDM 2B, SHLD)',
    differs: /^(flags|r[a-z0-9]+|memory .*)$/,
    when: (o) => {
      const { row, operandSize, immediate } = o.instruction;
      if (row.semantics !== 'shld' && row.semantics !== 'shrd') return false;
      return operandSize === 16 && ((row.operands[2] === 'CL' ? o.before.bytes[GPR + 8]! : immediate) & 31) > 16 && o.differs.filter((name) => name !== 'flags').length < 2;
    },
  },
  {
    why: 'of a call whose target and whose stack both fault, either may be first: order within a class is the implementation\'s (SDM 3A, 6.9)',
    differs: /^exception$/,
    when: (o) => o.instruction.row.name === 'call' && (raises(o, [GENERAL_PROTECTION], STACK_ACCESS) || raises(o, STACK_ACCESS, [GENERAL_PROTECTION])),
  },
  {
    why: 'of the accesses of a far transfer to its frame and the checks of its selector, any may be first (SDM 3A, 6.9)',
    differs: /^exception$/,
    when: (o) => /^(retf|iret|callf|jmpf)$/.test(o.instruction.row.name)
      && (raises(o, STACK_ACCESS, [...STACK_ACCESS, GENERAL_PROTECTION]) || raises(o, [GENERAL_PROTECTION], STACK_ACCESS)),
  },
  {
    why: 'from 64-bit code to 32-bit code the upper halves of the registers are not kept for certain (SDM 1, 3.4.1.1)',
    differs: /^r[a-z0-9]+$/,
    when: ({ instruction: i, expected, actual, differs }) => /^(retf|iret|callf|jmpf)$/.test(i.row.name) && i.codeSize === 64
      && differs.every((name) => registerNames.some((register, n) => register === name && expected.state.u32(GPR + n * 8) === actual.u32(GPR + n * 8))),
  },
  {
    why: 'POP of a segment register reads 16 bits or all that it pops (SDM 2B, POP)',
    differs: /^exception$/,
    when: (o) => o.instruction.row.semantics === 'popseg' && raises(o, STACK_ACCESS, [GENERAL_PROTECTION, PAGE_FAULT, -1]),
  },
  {
    why: 'repeated comparisons that fault keep the flags of before (SDM 2B, REP), but each turn was one step of the host',
    differs: /^flags$/,
    when: (o) => o.instruction.rep !== 0 && /^(cmps|scas)/.test(o.instruction.row.semantics) && expectedVector(o) >= 0,
  },
  {
    why: 'of two operands that fault, either may be first (SDM 3A, 6.9); flags as above',
    differs: /^(exception|flags)$/,
    when: (o) => hasOperand(o, 'X') && hasOperand(o, 'Y')
      && ((isFaultOf(RSI, o, o.actual) && isFaultOf(RDI, o, o.expected.state)) || (isFaultOf(RDI, o, o.actual) && isFaultOf(RSI, o, o.expected.state))),
  },
  {
    why: 'which byte of a long image or of a frame is touched first, as CR2 tells',
    differs: /^exception$/,
    when: (o) => (o.instruction.row.operands.includes('M') || /^(retf|iret)$/.test(o.instruction.row.name)) && raises(o, [PAGE_FAULT], [PAGE_FAULT]) && o.expected.state.u64(CR2) - o.actual.u64(CR2) + 4096n < 8192n,
  },
  {
    why: 'PUSHA and POPA that fault midway: what was done before stays on some processors',
    differs: /^(exception|memory .*|r[a-z]+)$/,
    when: (o) => /^(pusha|popa)$/.test(o.instruction.row.name) && expectedVector(o) >= 0 && actualVector(o) === PAGE_FAULT,
  },
  {
    why: 'far calls that fault at the second push: what the first has put below the stack pointer stays on some processors',
    differs: /^memory .*$/,
    when: (o) => o.instruction.row.name === 'callf' && raises(o, STACK_ACCESS, STACK_ACCESS),
  },
  {
    why: 'virtualization extensions that the host has switched on look at the privilege level first',
    differs: /^exception$/,
    when: (o) => o.instruction.row.incomparable === 'virtual' && raises(o, [GENERAL_PROTECTION], [UNDEFINED_OPCODE]),
  },
  {
    why: 'opcodes of VMX are others with AMD\'s processors (APM 4, EXTRQ), which fetch more bytes before they find them undefined',
    differs: /^exception$/,
    when: (o) => o.instruction.row.incomparable === 'virtual' && raises(o, [PAGE_FAULT], [UNDEFINED_OPCODE]) && (o.expected.state.u64(CR2) & 0xfffn) === 0n,
  },
  {
    why: 'SYSRET is undefined with EFER.SCE clear, as here, and in 32-bit code (SDM 2B), where AMD looks at the privilege level (APM 3); SYSEXIT in long mode is undefined on AMD\'s (APM 3)',
    differs: /^exception$/,
    when: (o) => (o.instruction.row.name === 'sysret' && raises(o, [GENERAL_PROTECTION], [UNDEFINED_OPCODE])) || (o.instruction.row.name === 'sysexit' && raises(o, [UNDEFINED_OPCODE], [GENERAL_PROTECTION])),
  },
  {
    why: 'PUSH of a segment register moves 16 or 32 bits (SDM 2B, PUSH)',
    differs: /^(exception|memory .*)$/,
    when: (o) => o.instruction.row.semantics === 'pushseg' && o.instruction.codeSize === 32 && o.instruction.operandSize === 32,
  },
  {
    why: 'accesses that wrap at 4 GiB in a flat segment (SDM 3A, 5.3), of misaligned images either fault',
    differs: /^exception$/,
    when: (o) => o.instruction.codeSize === 32 && [GENERAL_PROTECTION, STACK_FAULT].includes(expectedVector(o))
      && ((actualVector(o) === GENERAL_PROTECTION && o.instruction.row.feature === 'fxsr' && offsetOf(o) % 16n !== 0n && offsetOf(o) + 512n > 1n << 32n)
        || actualVector(o) === ALIGNMENT || (actualVector(o) === PAGE_FAULT && (o.actual.u64(CR2) > 0xffffffe0n || o.actual.u64(CR2) < 16n))),
  },
  {
    why: 'elements of masked moves beyond the address size, of which no manual speaks: AMD wraps each one\'s offset',
    differs: /^exception$/,
    when: (o) => o.instruction.row.semantics.startsWith('vmaskmov') && o.instruction.addressSize < o.instruction.codeSize && actualVector(o) === PAGE_FAULT
      && BigInt.asUintN(64, o.actual.u64(CR2) - baseOf(o)) >= 1n << BigInt(o.instruction.addressSize),
  },
  {
    why: 'offsets that are not canonical while offset and base of FS or GS together are: the linear address counts (SDM 1, 3.3.7.1), AMD looks at both',
    differs: /^exception$/,
    when: (o) => o.instruction.codeSize === 64 && o.instruction.segment >= SEG_FS && raises(o, [GENERAL_PROTECTION], [PAGE_FAULT, ALIGNMENT])
      && (!isCanonical(offsetOf(o)) || (o.instruction.row.name.includes('gather') && actualVector(o) === PAGE_FAULT && !isCanonical(BigInt.asUintN(64, o.actual.u64(CR2) - baseOf(o))))),
  },
  {
    why: 'of a long image, ten bytes, or bytes under a mask, that end beyond what is canonical and begin in an unmapped page or misaligned, either fault may be first (SDM 3A, 6.9)',
    differs: /^exception$/,
    when: (o) => o.instruction.codeSize === 64 && (/^Mt?$/.test(o.instruction.row.operands[0] ?? '') || isByteMasked(o))
      && ((raises(o, [PAGE_FAULT], [GENERAL_PROTECTION, STACK_FAULT]) && !isCanonical(o.expected.state.u64(CR2) + 512n))
        || (raises(o, [ALIGNMENT], [GENERAL_PROTECTION, STACK_FAULT]) && isCanonical(offsetOf(o)) && !isCanonical(offsetOf(o) + 512n))),
  },
  {
    why: 'masked moves that move nothing: whether their segment is looked at (SDM 2C, VMASKMOV, speaks of page faults alone)',
    differs: /^exception$/,
    when: (o) => o.instruction.row.semantics.startsWith('vmaskmov') && o.instruction.codeSize === 32 && raises(o, [-1], [GENERAL_PROTECTION, STACK_FAULT]),
  },
  {
    why: 'UD0 and UD1 that end in an unmapped page: some processors do not fetch the operands (SDM 2B, UD)',
    differs: /^exception$/,
    when: (o) => o.instruction.row.semantics === 'ud2' && raises(o, [UNDEFINED_OPCODE], [PAGE_FAULT]),
  },
];

export function isOpen(outcome: Outcome): boolean {
  return open.some(({ differs, when }) => outcome.differs.every((name) => differs.test(name)) && when(outcome));
}
