import { BASE_RIP, NO_REGISTER } from '../../src/isa/x86/decode/instruction.ts';
import type { Instruction } from '../../src/isa/x86/decode/instruction.ts';
import { SEG_FS, SEG_GS } from '../../src/isa/x86/state/layout.ts';
import type { Step } from './executor.ts';
import { FS_BASE, GPR, GS_BASE, RIP } from './state.ts';
import type { CpuState } from './state.ts';

export const RSI = 6;
export const RDI = 7;

/** One instruction on both sides. */
export interface Outcome {
  /** Name of the one that is tested. */
  readonly engine: string;
  readonly instruction: Instruction;
  readonly before: CpuState;
  readonly expected: Step;
  readonly raised: boolean;
  readonly actual: CpuState;
  /** What differs, as `fields` or one of 'exception' and 'memory ...'. */
  readonly differs: readonly string[];
}

export const hasOperand = (o: Outcome, letter: string): boolean => o.instruction.row.operands.some((operand) => operand.length === 2 && operand[0] === letter);

export const isCanonical = (address: bigint): boolean => BigInt.asIntN(48, address) === BigInt.asIntN(64, address);

/** MASKMOVQ, MASKMOVDQU. */
export const isByteMasked = (o: Outcome): boolean => /^v?maskmov(q|dqu)$/.test(o.instruction.row.name);

/** The operand's offset in its segment: by ModRM, or RSI's, or RDI's. */
export function offsetOf(o: Outcome): bigint {
  const { instruction: i, before } = o;
  const register = (number: number): bigint => (number === NO_REGISTER ? 0n : number === BASE_RIP ? before.u64(RIP) + BigInt(i.length) : before.u64(GPR + number * 8));
  const offset = hasOperand(o, 'X') ? register(RSI) : isByteMasked(o) ? register(RDI) : register(i.base) + (register(i.index) << BigInt(i.scale)) + BigInt(i.displacement);
  return BigInt.asUintN(i.addressSize, offset);
}

/** Linear address of the memory operand's segment base: FS and GS of 64-bit code have one. */
export function baseOf({ instruction: i, before }: Outcome): bigint {
  return i.segment === SEG_FS ? before.u64(FS_BASE) : i.segment === SEG_GS ? before.u64(GS_BASE) : 0n;
}

