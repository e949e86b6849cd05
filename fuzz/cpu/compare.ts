import { Decoder } from '../../src/isa/x86/decode/decoder.ts';
import { createInstruction } from '../../src/isa/x86/decode/instruction.ts';
import type { Instruction } from '../../src/isa/x86/decode/instruction.ts';
import type { OpcodeRow } from '../../src/isa/x86/opcodes/row.ts';
import { opcodeRows } from '../../src/isa/x86/opcodes/table.ts';
import type { Case, Engine, FuzzInstruction, Step } from './executor.ts';
import { instructionsByAddress } from './executor.ts';
import { STEPPING_FLAGS, USER_END } from './host.ts';
import { CR2, DATA_BYTES, GPR, MXCSR, RAISED_ERROR, RAISED_VECTOR, RFLAGS, RIP, SELECTORS, STATE_BYTES, VECTORS, X87, X87_IP, X87_STATUS, fields } from './state.ts';
import type { CpuState } from './state.ts';
import { isAnswer, isNear } from './near.ts';
import { isOpen } from './open.ts';
import { holdsTrapsBack } from './rows.ts';

export interface Difference {
  /** Number of the step, and how the engine came there: step by step, or in one go. */
  readonly step: number;
  readonly how: 'step' | 'block';
  /** One line each: what, expected, got. */
  readonly lines: readonly string[];
  readonly expected: CpuState;
  readonly actual: CpuState;
}

const PAGE_FAULT = 14;
const flagBits: Readonly<Record<string, bigint>> = { c: 1n, p: 4n, a: 0x10n, z: 0x40n, s: 0x80n, o: 0x800n };

/** Bits that do not count. */
interface Undefined {
  readonly flags: bigint;
  readonly conditions: number;
}
const nothing: Undefined = { flags: 0n, conditions: 0 };
const conditionBits = [0x100, 0x200, 0x400, 0x4000];

function undefinedIn(row: OpcodeRow | undefined, step: Step): Undefined {
  if (row === undefined || (row.undefinedFlags === '' && row.undefinedConditions === '')) return nothing;
  let flags = 0n;
  // An exception leaves the flags alone.
  if (!step.raised) for (const letter of row.undefinedFlags) flags |= flagBits[letter]!;
  let conditions = 0;
  for (const digit of row.undefinedConditions) conditions |= conditionBits[Number(digit)]!;
  return { flags, conditions };
}

/** Runs one case on an engine and holds it against the reference's steps; the first difference, if any. */
export function compare(entry: Case, image: Uint8Array, reference: readonly Step[], engine: Engine): Difference | undefined {
  const memory = Buffer.from(image.subarray(0, DATA_BYTES));
  for (const { offset, bytes } of entry.patches) memory.set(bytes, offset);
  const starts = instructionsByAddress(entry);
  const lastStep = reference.at(-1);
  if (lastStep === undefined) throw new Error('a case without steps');

  engine.load(entry, entry.before, memory);
  // From here the whole rest can be run in one go: what the reference left in undefined flags was the engine's as well.
  let from = entry.before;
  let fromMemory = Buffer.from(memory);
  let fromStep = 0;
  let at = entry.before;
  for (const [i, step] of reference.entries()) {
    const { instruction, before } = lastOf(starts, entry.width, at, step);
    const row = instruction?.row;
    const raised = engine.step();
    if (step.change !== undefined) memory.set(step.change.bytes, step.change.offset);
    const lines = differences(step, engine.state, raised, undefinedIn(row, step), memory, engine.memory);
    const outcome = instruction === undefined ? undefined : { engine: engine.name, instruction, before, expected: step, raised, actual: engine.state, differs: lines.map(nameOf) };
    const near = lines.length > 0 && outcome !== undefined && isNear(outcome, memory, engine.memory);
    if (lines.length > 0 && !near && outcome !== undefined && isOpen(outcome)) return undefined;
    if (lines.length > 0 && !near) return { step: i, how: 'step', lines, expected: step.state, actual: engine.state.clone() };
    at = step.state;
    const flags = step.state.u64(RFLAGS);
    // POPF may have set the trap flag, which is the reference's own; an answer would be another one in the next run, and so may be
    // an image's pointers, as near.ts says.
    const conditions = step.state.u16(X87_STATUS) !== engine.state.u16(X87_STATUS);
    if (!step.raised && (flags !== engine.state.u64(RFLAGS) || conditions || near || (row !== undefined && (/^(popf|iret)$/.test(row.name) || row.incomparable === 'pointers' || isAnswer(row))))) {
      if (conditions || near) engine.load(entry, step.state, memory);
      else engine.setFlags(Number(flags));
      from = step.state;
      fromMemory = Buffer.from(memory);
      fromStep = i + 1;
    }
  }
  const end = entry.address + entry.instructions.reduce((sum, { bytes }) => sum + bytes.length, 0);
  const completed = !lastStep.raised && lastStep.state.u64(RIP) === BigInt(end);
  if (fromStep >= reference.length || reference.length - fromStep < 2 || !(completed || lastStep.raised)) return undefined;

  engine.load(entry, from, fromMemory);
  engine.block();
  const { instruction, before } = lastOf(starts, entry.width, reference.at(-2)?.state ?? entry.before, lastStep);
  const lines = differences(lastStep, engine.state, lastStep.raised, undefinedIn(instruction?.row, lastStep), memory, engine.memory);
  const open = instruction !== undefined && isOpen({ engine: engine.name, instruction, before, expected: lastStep, raised: lastStep.raised, actual: engine.state, differs: lines.map(nameOf) });
  return lines.length > 0 && !open ? { step: reference.length - 1, how: 'block', lines, expected: lastStep.state, actual: engine.state.clone() } : undefined;
}

const decoder = new Decoder();

/**
 * The instruction that a step from `at` ended with, and the state before it: behind one that holds traps back the next, unless
 * the first raised.
 */
function lastOf(starts: ReadonlyMap<number, FuzzInstruction>, width: 32 | 64, at: CpuState, step: Step): { instruction: Instruction | undefined; before: CpuState } {
  const first = starts.get(Number(at.u64(RIP)));
  if (first === undefined || !holdsTrapsBack(first) || (step.raised && step.state.u64(RIP) === at.u64(RIP))) return { instruction: decoded(first, width), before: at };
  const before = at.clone();
  before.setU64(RIP, at.u64(RIP) + BigInt(first.bytes.length));
  before.setU16(SELECTORS + 2, step.state.u16(SELECTORS + 2));
  const { row, operandSize } = decoded(first, width)!;
  if (row.name === 'pop') before.setU64(GPR + 32, BigInt.asUintN(32, at.u64(GPR + 32) + BigInt(operandSize / 8)));
  return { instruction: decoded(starts.get(Number(before.u64(RIP))), width), before };
}

function decoded(found: FuzzInstruction | undefined, width: 32 | 64): Instruction | undefined {
  if (found === undefined) return undefined;
  const { bytes, rowIndex } = found;
  const instruction = createInstruction();
  // What is cut off at the end of a page has its row at least.
  if (decoder.decode(bytes, 0, bytes.length, width, instruction) !== 'ok') instruction.row = opcodeRows[rowIndex]!;
  return instruction;
}

/** What a line of `differences` is about. */
export const nameOf = (line: string): string => line.slice(0, line.indexOf(':'));

const areas: readonly (readonly [number, number])[] = [[GPR, GPR + 136], [MXCSR, X87 + 128], [VECTORS, X87_IP], [SELECTORS, STATE_BYTES]];

/** What differs after one step, a line each. */
function differences(step: Step, actual: CpuState, raised: boolean, ignored: Undefined, memory: Buffer, actualMemory: Buffer): string[] {
  const expected = step.state;
  const lines: string[] = [];
  const line = (name: string, want: string, got: string): void => void lines.push(`${name}: expected ${want}, got ${got}`);
  if (raised !== step.raised) {
    line('exception', step.raised ? describeException(expected) : 'none', raised ? describeException(actual) : 'none');
    return lines;
  }
  if (raised && describeException(expected) !== describeException(actual)) line('exception', describeException(expected), describeException(actual));
  const mask = ~ignored.flags;
  if (((expected.u64(RFLAGS) ^ actual.u64(RFLAGS)) & mask & ~STEPPING_FLAGS) !== 0n) line('flags', hex(expected.u64(RFLAGS) & mask), hex(actual.u64(RFLAGS) & mask));
  if (areas.some(([first, end]) => expected.bytes.compare(actual.bytes, first, end, first, end) !== 0)) {
    for (const { name, offset, bytes } of fields) {
      if (name === 'fsw' && ((expected.u16(offset) ^ actual.u16(offset)) & ~ignored.conditions) === 0) continue;
      if (name === 'flags' || expected.bytes.compare(actual.bytes, offset, offset + bytes, offset, offset + bytes) === 0) continue;
      line(name, hexOf(expected, offset, bytes), hexOf(actual, offset, bytes));
    }
  }
  if (!memory.equals(actualMemory)) {
    const first = memory.findIndex((byte, i) => byte !== actualMemory[i]) & ~7;
    line(`memory ${hex(BigInt(0x1000000 + first))}`, memory.toString('hex', first, first + 32), actualMemory.toString('hex', first, first + 32));
  }
  return lines;
}

const hex = (value: bigint): string => `0x${value.toString(16)}`;
function hexOf(state: CpuState, offset: number, bytes: number): string {
  return `0x${Buffer.from(state.bytes.subarray(offset, offset + bytes)).reverse().toString('hex')}`;
}

/** Vector, error code, and the address of a page fault as far as the host's kernel tells. */
export function describeException(state: CpuState): string {
  const vector = state.u32(RAISED_VECTOR);
  let error = state.u32(RAISED_ERROR);
  const address = state.u64(CR2);
  if (vector !== PAGE_FAULT) return `#${vector}${error !== 0 ? ` error ${error}` : ''}`;
  if (address >= USER_END) error |= 1;
  return `#${vector} error ${error} at ${hex(address)}`;
}

