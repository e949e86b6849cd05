import { BUDGET, EXTRA_HEAT, IP_BASE, JUMP_BASE, JUMP_HANDLER, JUMP_PAGE_OFFSET, JUMP_RECORD, LEAVE_BUDGET, RIP } from '../../isa/x86/state/layout.ts';
import { RECORD_BYTES, REC_COUNT, REC_HANDLER, REC_IMMEDIATE, REC_LENGTH, REC_PAGE_OFFSET } from '../../isa/x86/decode/record.ts';
import type { Code } from '../../wasm/code.ts';
import { loadOpcode, storeOpcode } from '../../wasm/code.ts';
import { jumpCacheEntry } from '../jump-cache.ts';
import { HANDLER_COUNT } from './handler-places.ts';

// Pieces of code that handlers are made of: counting down, and the ways from block to block.

/** Locals 0 and 1 of a handler: its parameters. */
export const CPU = 0;
export const REC = 1;

/** BUDGET -= REC_COUNT; leaves 1 on the stack when it is used up. */
export function countDown(code: Code): void {
  code.get(CPU);
  code.get(CPU).memory(loadOpcode['32']!, BUDGET).get(REC).memory(loadOpcode['8u']!, REC_COUNT).byte(0x6b);
  code.memory(storeOpcode['32']!, BUDGET);
  isSpent(code);
}

/** Leaves 1 on the stack when the budget is used up. */
export function isSpent(code: Code): void {
  code.get(CPU).memory(loadOpcode['32']!, BUDGET).i32Const(0).byte(0x48);
}

/** Out with the address in a local as RIP when 1 is on the stack: the budget is used up. */
export function leaveIfSpent(code: Code, rip: number): Code {
  return code.if(undefined, 'unlikely').get(CPU).get(rip).memory(storeOpcode['64']!, RIP).i32Const(LEAVE_BUDGET).return().end();
}

/** Leaves the target of the direct branch at REC on the stack (i64). */
export function branchTarget(code: Code, width: number): void {
  code.get(CPU).memory(loadOpcode['64']!, IP_BASE);
  code.get(REC).memory(loadOpcode['16u']!, REC_PAGE_OFFSET).get(REC).memory(loadOpcode['8u']!, REC_LENGTH).byte(0x6a);
  code.get(REC).memory(loadOpcode['32']!, REC_IMMEDIATE).byte(0x6a).byte(0xac).byte(0x7c);
  if (width !== 64) code.i64Const(width === 32 ? 0xffffffffn : 0xffffn).byte(0x83);
}

/**
 * To function (cpu, rip) `otherwise` when 1 is on the stack: by a tail call, so that the way that every jump between blocks takes has
 * nothing to keep over calls.
 */
export function divert(code: Code, rip: number, otherwise: number): void {
  code.if(undefined, 'unlikely').get(CPU).get(rip).returnCall(otherwise).end();
}

/** Finds the entry of the block at RIP in the jump cache: locals. Where it is not there, to `otherwise`. */
export function lookup(code: Code, rip: number, entry: number, otherwise: number): void {
  code.get(CPU).memory(loadOpcode['32']!, JUMP_BASE);
  jumpCacheEntry(code, rip).tee(entry);
  code.memory(loadOpcode['64']!, 0).get(rip).byte(0x52);
  divert(code, rip, otherwise);
}

/**
 * Where the record in a local counts executions (`handler` puts its handler on the stack), counts this one and goes on to the block's
 * first instruction: only the last execution costs a handler's way in and out.
 */
function countHere(code: Code, record: number, handler: () => void, goOn: () => void): void {
  handler();
  code.i32Const(HANDLER_COUNT).byte(0x46).if();
  code.get(record).memory(loadOpcode['32']!, REC_IMMEDIATE).i32Const(1).byte(0x6b).get(CPU).memory(loadOpcode['32']!, EXTRA_HEAT).byte(0x4b).if(undefined, 'likely');
  code.get(record);
  counted(code, record).memory(storeOpcode['32']!, REC_IMMEDIATE);
  code.get(record).i32Const(RECORD_BYTES).byte(0x6a).set(record);
  goOn();
  code.end().end();
}

/** The count of executions that are left, behind this one (EXTRA_HEAT), on the stack. */
export function counted(code: Code, record: number): Code {
  code.get(record).memory(loadOpcode['32']!, REC_IMMEDIATE).i32Const(1).byte(0x6b);
  return code.get(CPU).memory(loadOpcode['32']!, EXTRA_HEAT).byte(0x6b);
}

/** To the instruction of a record. */
export function enterRecord(code: Code, handlerType: number, record: number): Code {
  return code.get(CPU).get(record).get(record).memory(loadOpcode['16u']!, REC_HANDLER).returnCallIndirect(handlerType, 0);
}

/** Counts an execution of the block whose first record is in a local, if it counts; then the local has the record to go on with. */
export function countRecord(code: Code, record: number): void {
  countHere(code, record, () => void code.get(record).memory(loadOpcode['16u']!, REC_HANDLER), () => {});
}

/** To the block whose first record is in a local. */
export function enterCounting(code: Code, handlerType: number, record: number): Code {
  countRecord(code, record);
  return enterRecord(code, handlerType, record);
}

/** The page of the block at RIP, whose entry in the jump cache is known, is the one that code runs in. */
export function setPage(code: Code, rip: number, entry: number): Code {
  code.get(CPU).get(rip).get(entry).memory(loadOpcode['16u']!, JUMP_PAGE_OFFSET).byte(0xad).byte(0x7d);
  return code.memory(storeOpcode['64']!, IP_BASE);
}

/** To the block at RIP, whose entry in the jump cache is known. `record`: a local, where the block may count. */
export function enterFound(code: Code, handlerType: number, rip: number, entry: number, record?: number): Code {
  setPage(code, rip, entry);
  if (record !== undefined) {
    code.get(entry).memory(loadOpcode['32']!, JUMP_RECORD).set(record);
    countHere(code, record, () => void code.get(entry).memory(loadOpcode['16u']!, JUMP_HANDLER), () => void enterRecord(code, handlerType, record));
  }
  code.get(CPU).get(entry).memory(loadOpcode['32']!, JUMP_RECORD);
  return code.get(entry).memory(loadOpcode['16u']!, JUMP_HANDLER).returnCallIndirect(handlerType, 0);
}
