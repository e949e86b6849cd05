import type { OpcodeRow } from '../../src/isa/x86/opcodes/row.ts';
import { baseOf, offsetOf } from './outcome.ts';
import type { Outcome } from './outcome.ts';
import { DATA, GPR, RFLAGS, VECTORS, X87, X87_CONTROL, X87_STATUS, fields, registerNames } from './state.ts';
import type { CpuState, Field } from './state.ts';

// What two processors may do differently in results that count nevertheless: the last bits of approximations, in images the
// fields that some do not keep, null selectors. All else must be equal; the case goes on with what the reference has.

const STATUS_PE = 0x20;
const STATUS_ES = 0x80;
const STATUS_C1 = 0x200;

/** A value's place among those of its sign, in units of the last of 64 bits. */
const placeOf = (state: CpuState, at: number): bigint => (BigInt(state.u16(at + 8) & 0x7fff) << 63n) | (state.u64(at) & 0x7fff_ffff_ffff_ffffn);

/**
 * Transcendental functions: each side's error is less than 1 unit in the last place rounding to nearest, else 1.5 (SDM 1, 8.3.10),
 * and ours is rounded exactly; so C1, which says where an inexact result was rounded to, is each side's own.
 */
function isNearX87({ before, expected, actual, differs }: Outcome): boolean {
  const most = ((before.u16(X87_CONTROL) >> 10) & 3) === 0 ? 1n : 2n;
  return differs.every((name) => {
    if (name === 'fsw') return ((expected.state.u16(X87_STATUS) ^ actual.u16(X87_STATUS)) & ~STATUS_C1) === 0 && (actual.u16(X87_STATUS) & STATUS_PE) !== 0;
    const register = /^r(\d)x87$/.exec(name)?.[1];
    if (register === undefined) return false;
    const at = X87 + Number(register) * 16;
    if ((expected.state.u16(at + 8) ^ actual.u16(at + 8)) >> 15 !== 0) return false;
    const distance = placeOf(expected.state, at) - placeOf(actual, at);
    return distance <= most && distance >= -most;
  });
}

/** RCPPS, RSQRTPS and their like: a relative error of at most 1.5 * 2^-12 on either side (SDM 2B). */
const RECIPROCAL_BOUND = 3 * 2 ** -12;
/** What is smaller becomes zero; whether a reciprocal near to it does is the processor's choice (SDM 2B, RCPPS). */
const LEAST_NORMAL = 2 ** -126;

function isNearReciprocal({ expected, actual, differs }: Outcome): boolean {
  return differs.every((name) => {
    const register = /^ymm(\d+)$/.exec(name)?.[1];
    if (register === undefined) return false;
    const at = VECTORS + Number(register) * 32;
    return Array.from({ length: 8 }, (_, i) => at + i * 4).every((lane) => {
      const [a, b] = [expected.state, actual].map((state) => state.view.getFloat32(lane, true)) as [number, number];
      const bothTiny = Math.max(Math.abs(a), Math.abs(b)) <= LEAST_NORMAL && Object.is(Math.sign(1 / a), Math.sign(1 / b));
      return expected.state.u32(lane) === actual.u32(lane) || Math.abs(a - b) <= RECIPROCAL_BOUND * Math.abs(a) || bothTiny;
    });
  });
}

/** First byte and end of an image's fields. */
type Range = readonly [first: number, end: number];

/**
 * Opcode and pointers of the last x87 instruction. AMD's processors keep them while an exception is pending only (APM 2, 11.4.4),
 * so that those of an instruction before the one that raised it are gone as well.
 */
function pointersOf({ instruction: { row, operandSize } }: Outcome): readonly Range[] {
  if (row.name === 'fnstenv' || row.name === 'fnsave') return operandSize === 16 ? [[6, 8], [10, 12]] : [[12, 16], [18, 20], [20, 24]];
  return operandSize === 64 ? [[6, 8], [8, 16], [16, 24]] : [[6, 8], [8, 12], [16, 20]];
}
/** Selectors of those pointers: Linux switches the state by XSAVE64, which has no room for them (SDM 1, 13.4.1). */
function selectorsOf({ instruction: { row, operandSize } }: Outcome): readonly Range[] {
  if (row.name === 'fnstenv' || row.name === 'fnsave') return operandSize === 16 ? [[8, 10], [12, 14]] : [[16, 18], [24, 26]];
  return operandSize === 64 ? [] : [[12, 14], [20, 22]];
}
const statusAt = ({ instruction: { row, operandSize } }: Outcome): number => (/^fn/.test(row.name) && operandSize !== 16 ? 4 : 2);

const MXCSR_MASK = 28;
/** MXCSR.MM, which AMD's processors have (APM 2, 11.4.4). */
const MASK_MM = 0x20000;
const HEADER = 512;
const COMPACTED = 0x80;
/** Where the area has each component, and what is there when it is in its initial state (SDM 1, 13.6). */
const INITIAL: readonly (readonly (readonly [at: number, bytes: Buffer])[])[] = [
  [[0, Buffer.from([0x7f, 3, ...new Uint8Array(22)])], [32, Buffer.alloc(128)]],
  [[160, Buffer.alloc(256)]],
  [[576, Buffer.alloc(256)]],
];

/** A processor may take for in use what is in its initial state (SDM 1, 13.6): makes `mine` what it would be then. */
function takeInUse(mine: Buffer, theirs: Buffer, { instruction: { codeSize }, before }: Outcome): void {
  INITIAL.forEach((parts, component) => {
    const bit = 1 << component;
    if ((theirs[HEADER]! & ~mine[HEADER]! & bit & before.u32(GPR)) === 0) return;
    mine[HEADER]! |= bit;
    // Outside 64-bit code eight vector registers are saved.
    for (const [at, bytes] of parts) mine.set(component > 0 && codeSize !== 64 ? bytes.subarray(0, 128) : bytes, at);
    // The compacted form leaves MXCSR and its mask out with the XMM registers, if MXCSR is the initial one.
    if (component === 1 && (mine[HEADER + 15]! & COMPACTED) !== 0) mine.set([0x80, 0x1f, 0, 0, 0xff, 0xff, 0, 0], 24);
  });
}

function isNearImage(o: Outcome, memory: Buffer, actualMemory: Buffer): boolean {
  if (!o.differs.every((name) => name.startsWith('memory'))) return false;
  const at = Number(BigInt.asUintN(64, offsetOf(o) + baseOf(o)) - BigInt(DATA));
  if (at < 0 || at >= memory.length) return false;
  const theirs = Buffer.from(memory);
  const image = theirs.subarray(at);
  const mine = Buffer.from(actualMemory);
  const mineImage = mine.subarray(at);
  if (image.length > HEADER + 64 && o.instruction.row.feature.startsWith('xsave')) takeInUse(mineImage, image, o);
  const kept = (image.readUInt16LE(statusAt(o)) & STATUS_ES) !== 0;
  const lost = ([first, end]: Range): boolean => image.subarray(first, end).every((byte) => byte === 0)
    // AMD's processors have 48 bits of them.
    || (end - first === 8 && image.readBigInt64LE(first) === BigInt.asIntN(48, mineImage.readBigInt64LE(first)));
  for (const [first, end] of [...selectorsOf(o), ...pointersOf(o).filter((range) => !kept || lost(range))]) image.copy(mineImage, first, first, end);
  if (statusAt(o) === 2 && image.length >= 32 && image.readUInt32LE(MXCSR_MASK) === (mineImage.readUInt32LE(MXCSR_MASK) | MASK_MM)) image.copy(mineImage, MXCSR_MASK, MXCSR_MASK, MXCSR_MASK + 4);
  return theirs.equals(mine);
}

/** Bits of LAR's result that are undefined (SDM 2A): the limit's. */
const LAR_UNDEFINED = 0xf0000n;
const MOST_PROCESSORS = 0x1000n;

function isNearSegment({ instruction: { row, reg }, expected, actual, differs }: Outcome): boolean {
  const fieldOf = (name: string): Field => fields.find((field) => field.name === name)!;
  const isNull = (state: CpuState, name: string): boolean => state.u16(fieldOf(name).offset) < 4;
  return differs.every((name) => {
    // The return from the host's trap makes null selectors 0 (SDM 2A, IRET); AMD's processors leave the base as it was (APM 2, 4.5.3).
    if (/^[defg]s$/.test(name)) return isNull(expected.state, name) && isNull(actual, name);
    if (/^[fg]sbase$/.test(name)) return isNull(expected.state, name.slice(0, 2)) && isNull(actual, name.slice(0, 2));
    if (name !== registerNames[reg]) return false;
    // Of Linux's segment whose limit is the processor's number.
    if (row.name === 'lsl') return [expected.state, actual].every((state) => state.u64(GPR + reg * 8) < MOST_PROCESSORS);
    return row.name === 'lar' && ((expected.state.u64(GPR + reg * 8) ^ actual.u64(GPR + reg * 8)) & ~LAR_UNDEFINED) === 0n;
  });
}

/** Gives what is each processor's own: its clock, its names, chance. */
export const isAnswer = ({ incomparable }: OpcodeRow): boolean => /^(clock|identity|random)$/.test(incomparable);

/** In 64-bit code the upper halves are cleared. */
function isNearAnswer({ instruction: { row, rm, operandSize, codeSize }, before, expected, actual, differs }: Outcome): boolean {
  const named = (numbers: readonly number[]): ReadonlySet<string> => new Set(numbers.map((number) => registerNames[number]!));
  const explicit = row.incomparable === 'random' || row.name === 'rdpid';
  const answers = named(explicit ? [rm] : row.name === 'cpuid' ? [0, 1, 2, 3] : row.name === 'rdtscp' ? [0, 1, 2] : [0, 2]);
  const bits = !explicit ? 32 : row.name === 'rdpid' ? codeSize : operandSize;
  return differs.every((name) => {
    // The host's source may have been empty (SDM 2B, RDSEED).
    if (name === 'flags') return row.incomparable === 'random' && (expected.state.u64(RFLAGS) ^ actual.u64(RFLAGS)) === CF && (expected.state.u64(RFLAGS) & CF) === 0n;
    if (!answers.has(name)) return false;
    const at = GPR + registerNames.findIndex((register) => register === name) * 8;
    const above = bits === 16 ? before.u64(at) >> 16n : 0n;
    return bits === 64 || [expected.state, actual].every((state) => state.u64(at) >> BigInt(bits) === above);
  });
}
const CF = 1n;

/** Whether all that differs is of this kind. The data pages are the reference's and the engine's. */
export function isNear(o: Outcome, memory: Buffer, actualMemory: Buffer): boolean {
  if (o.raised || o.expected.raised) return false;
  const { incomparable, semantics } = o.instruction.row;
  if (incomparable === 'segment') return isNearSegment(o);
  if (isAnswer(o.instruction.row)) return isNearAnswer(o);
  if (incomparable === 'pointers') return isNearImage(o, memory, actualMemory);
  return incomparable === 'approximate' && (/^v?(rcp|rsqrt)/.test(semantics) ? isNearReciprocal(o) : isNearX87(o));
}
