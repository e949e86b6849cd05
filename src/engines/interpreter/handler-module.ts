import { Builder } from '../../ir/builder.ts';
import { Ir } from '../../ir/ir.ts';
import { Lowering, lower } from '../../lowering/lower.ts';
import type { Locals, LoweringTarget } from '../../lowering/lower.ts';
import { Code, loadOpcode, storeOpcode } from '../../wasm/code.ts';
import { ModuleBuilder } from '../../wasm/module.ts';
import type { WasmType } from '../../wasm/module.ts';
import type { Semantics, Shape } from '../../isa/x86/semantics/context.ts';
import { ENDS_BLOCK, HAS_PLAIN } from '../modules.ts';
import { callEffects, wasmTypeOf } from '../routine-calls.ts';
import { x86MemoryModel } from '../x86-memory-model.ts';
import { routineIndex, routines } from '../../isa/x86/routines/directory.ts';
import {
  BUDGET, EXTRA_HEAT, FAULT_PENDING, FLAGS_CARRY, FLAGS_KIND, FLAGS_RESULT, IP_BASE, JUMP_HANDLER, LEAVE_BUDGET, LEAVE_FAULT, LEAVE_HOT, LEAVE_JUMP, LEAVE_MISSED, LEAVE_RESUME, LEAVE_STALE, LINK_FROM, RECORD, RIP, TLB_BASE, VECTOR_GP, VECTOR_UD,
} from '../../isa/x86/state/layout.ts';
import { RECORD_BYTES, REC_COUNT, REC_HANDLER, REC_IMMEDIATE, REC_LINK, REC_PAGE_OFFSET } from '../../isa/x86/decode/record.ts';
import { CPU, REC, branchTarget, countDown, counted, divert, enterCounting, enterFound, isSpent, leaveIfSpent, lookup } from './handler-code.ts';
import { loopFunction } from './handler-loop.ts';
import type { Dispatch } from './handler-loop.ts';
import { FIRST_HANDLER, LINK_NEVER } from './handler-places.ts';
import { InterpreterContext } from './interpreter-context.ts';

export interface HandlerRequest {
  readonly semantics: Semantics;
  readonly shape: Shape;
  /** Its handler is to be a part of a loop (handler-loop.ts). */
  readonly frequent: boolean;
}

export interface HandlerModule {
  readonly wasm: Uint8Array;
  /** For each request: its handler's place in the table. Equal functions share one. */
  readonly places: readonly number[];
  /** By place: ENDS_BLOCK, HAS_PLAIN. */
  readonly traits: readonly number[];
}

/** What shapes have in common that are executed alike. */
interface Handler {
  /** The first of them. */
  readonly request: HandlerRequest;
  readonly locals: readonly WasmType[];
  readonly body: Code;
  /** ENDS_BLOCK or 0. */
  readonly trait: number;
}

/**
 * Builds the interpreter: one wasm function (vCPU, record) -> LEAVE_ code for each instruction shape, from the same
 * semantics the translator uses. Functions go on to the next record's by tail call (DESIGN D3); those executed most are one function.
 */
export function buildHandlerModule(requests: readonly HandlerRequest[], memoryPages: { minimum: number; maximum: number }): HandlerModule {
  const module = new ModuleBuilder();
  module.importMemory('env', 'memory', memoryPages.minimum, memoryPages.maximum, true);
  const routineFunctions = routines.map(({ name, routine }) => {
    const { params, results } = wasmTypeOf(routine);
    return { functionIndex: module.importFunction('runtime', name, params, results), ...callEffects(routine) };
  });
  const functionOf = (name: string): number => routineFunctions[routineIndex(name)]!.functionIndex;
  const handlerType = module.type(['i32', 'i32'], ['i32']);
  const jumpType = module.type(['i32', 'i64'], ['i32']);

  const search = module.addFunction(jumpType, ['i32'], searchBody(handlerType, functionOf('findBlock')));
  const jump = module.addFunction(jumpType, ['i32', 'i32'], jumpBody(handlerType, search));
  const branch = new Map<number, number>();
  const takeBudget = new Map<number, number>();
  for (const width of [16, 32, 64]) {
    branch.set(width, module.addFunction(handlerType, ['i64'], unlinkedBranchBody(width, jump)));
    takeBudget.set(width, module.addFunction(handlerType, [], budgetBody(width)));
  }
  const indirect = module.addFunction(module.type(['i32', 'i32', 'i64'], ['i32']), ['i32'], indirectBody(jump));

  const left = module.addFunction(handlerType, [], leftBody(jump, functionOf('mayResume')));

  const next = (code: Code): Code => {
    code.get(CPU).get(REC).i32Const(RECORD_BYTES).byte(0x6a);
    return code.get(REC).memory(loadOpcode['16u']!, RECORD_BYTES + REC_HANDLER).returnCallIndirect(handlerType, 0);
  };
  const tailCalls: Dispatch = {
    next,
    enter: (code) => void enterCounting(code, handlerType, REC),
    branch: (code, width) => void code.get(CPU).get(REC).returnCall(branch.get(width)!),
    indirect: (code, push) => {
      code.get(CPU).get(REC);
      push();
      code.returnCall(indirect);
    },
  };
  const storePosition = (code: Code): void => void code.get(CPU).get(REC).memory(storeOpcode['32']!, RECORD);
  /** `width`: bits of the instruction pointer that are kept (16, 32, 64). */
  const jumpRelative = (dispatch: Dispatch, code: Code, width: number): void => {
    countDown(code);
    code.if(undefined, 'unlikely').get(CPU).get(REC).returnCall(takeBudget.get(width)!).end();
    // A linked target lies in the same page, so IP_BASE stays as it is.
    code.get(REC).memory(loadOpcode['32']!, REC_LINK).i32Const(LINK_NEVER).byte(0x4b).if(undefined, 'likely');
    code.get(REC).memory(loadOpcode['32']!, REC_LINK).set(REC);
    dispatch.enter(code);
    code.end();
    dispatch.branch(code, width);
  };
  const targetOf = (dispatch: Dispatch): LoweringTarget => ({
    memory: x86MemoryModel,
    lowered: (routine) => routineFunctions[routine]!,
    miss: {
      kind: 'call',
      call: (code, name, push) => {
        storePosition(code);
        code.get(CPU);
        push();
        code.call(functionOf(name));
        code.get(CPU).memory(loadOpcode['32']!, FAULT_PENDING).if(undefined, 'unlikely').i32Const(LEAVE_FAULT).return().end();
      },
    },
    storePosition,
    linked: () => {
      throw new Error('handlers find constants in records');
    },
    field: (code, suffix, offset) => {
      code.get(REC).memory(loadOpcode[suffix]!, offset);
    },
    tlbBase: (code) => void code.get(CPU).memory(loadOpcode['32']!, TLB_BASE),
    cpu: (code) => void code.get(CPU),
    leave: (code) => void code.get(CPU).returnCall(left),
    transfer: (code, name, immediate, push) => {
      switch (name) {
        case 'next':
          dispatch.next(code);
          return;
        case 'jump.relative':
          jumpRelative(dispatch, code, immediate);
          return;
        case 'jump.relative.if':
          push();
          code.if();
          jumpRelative(dispatch, code, immediate);
          code.end();
          return;
        case 'jump.indirect':
          dispatch.indirect(code, push);
          return;
        default:
          throw new Error(`the interpreter has no ${name}`);
      }
    },
  });

  const table: number[] = [];
  const traits: number[] = [];
  const place = (index: number, trait: number): number => {
    table.push(index);
    traits.push(trait);
    return table.length - 1;
  };
  const add = (locals: readonly WasmType[], body: Code, trait: number): void => void place(module.addFunction(handlerType, locals, body), trait);
  add([], new Code().byte(0x00), ENDS_BLOCK);
  add(['i64'], continueBody(jump), ENDS_BLOCK);
  add([], staleBody(), ENDS_BLOCK);
  for (const [vector, hasError] of [[VECTOR_UD, 0], [VECTOR_GP, 1]] as const) {
    const code = new Code();
    storePosition(code);
    code.get(CPU).i32Const(vector).i32Const(hasError).i32Const(0).call(functionOf('raiseFault'));
    add([], code, ENDS_BLOCK);
  }
  add([], countBody(next), 0);
  if (table.length !== FIRST_HANDLER) throw new Error('special handlers out of step with their numbers');

  const ir = new Ir();
  const directory = { find: (name: string) => routines[routineIndex(name)]! };
  /** Fills `ir`; returns ENDS_BLOCK or 0. */
  const buildIr = ({ semantics, shape }: HandlerRequest, plain = false): number => {
    ir.clear();
    const builder = new Builder(ir);
    const context = new InterpreterContext(builder, shape, directory, plain);
    semantics(context);
    if (!context.terminated) builder.op('next');
    return context.terminated ? ENDS_BLOCK : 0;
  };
  const target = targetOf(tailCalls);
  const known = new Map<string, Handler>();
  const handlers = requests.map((request) => {
    const trait = buildIr(request);
    const lowered = lower(ir, target);
    const key = `${trait}|${lowered.locals.join()}|${bytesKey(lowered.body.toBytes())}`;
    let handler = known.get(key);
    if (handler === undefined) known.set(key, (handler = { request, ...lowered, trait }));
    return handler;
  });
  const lowering = new Lowering();
  /** Writes the loop of what is frequent in 64-bit code, or in other; returns the places. */
  const addLoop = (long: boolean): Map<Handler, number> => {
    const frequent = [...new Set(handlers.filter((_, i) => requests[i]!.frequent && requests[i]!.shape.long === long))];
    const members = frequent.flatMap((handler) => (handler.request.shape.memory ? [false, true] : [false]).map((plain) => ({ handler, plain })));
    const writers = members.map(({ handler, plain }) => (code: Code, locals: Locals, dispatch: Dispatch): void => {
      buildIr(handler.request, plain);
      lowering.run(code, locals, ir, targetOf(dispatch), []);
    });
    const loop = loopFunction(table.length, writers, { handlerType, branch: (width) => branch.get(width)!, search });
    const index = module.addFunction(handlerType, loop.locals, loop.body);
    const found = new Map<Handler, number>();
    for (const { handler, plain } of members) {
      if (plain) place(index, handler.trait);
      else found.set(handler, place(index, handler.trait | (handler.request.shape.memory ? HAS_PLAIN : 0)));
    }
    return found;
  };
  const loops = { long: addLoop(true), other: addLoop(false) };
  const single = new Map<Handler, number>();
  const places = handlers.map((handler, i) => {
    const loop = requests[i]!.shape.long ? loops.long : loops.other;
    let found = loop.get(handler) ?? single.get(handler);
    if (found === undefined) single.set(handler, (found = place(module.addFunction(handlerType, handler.locals, handler.body), handler.trait)));
    return found;
  });

  // What the driver calls: to go on at RIP when its block may be known, and to enter a block.
  module.exportFunction('resume', module.addFunction(module.type(['i32'], ['i32']), ['i32'], resumeBody(jump, functionOf('jumpCacheHolds'), functionOf('resumeAfterFault'))));
  const enter = new Code().get(CPU).get(REC).get(REC).memory(loadOpcode['16u']!, REC_HANDLER).byte(0x11).u32(handlerType).u32(0);
  module.exportFunction('enter', module.addFunction(handlerType, [], enter));
  // What translated code calls: on to the next block, and back to the records.
  const settle = (code: Code): void => {
    code.get(CPU).memory(loadOpcode['32']!, FLAGS_KIND).if();
    code.get(CPU).get(CPU).memory(loadOpcode['32']!, FLAGS_KIND).get(CPU).memory(loadOpcode['64']!, FLAGS_RESULT).get(CPU).memory(loadOpcode['64']!, FLAGS_CARRY);
    code.call(functionOf('settleFlags')).end();
  };
  const jumpSettled = new Code();
  settle(jumpSettled);
  isSpent(jumpSettled);
  const settled = module.addFunction(jumpType, [], jumpUnlessSpent(jumpSettled, 1, jump));
  module.exportFunction('jump', module.addFunction(jumpType, ['i32'], jumpFromRegionBody(handlerType, settled, table.length)));
  module.exportFunction('left', left);
  const interpret = new Code();
  settle(interpret);
  next(interpret);
  const interpretBlock = module.addFunction(handlerType, [], next(new Code()));
  module.exportFunction('interpret', module.addFunction(handlerType, [], interpret));
  module.exportFunction('missed', module.addFunction(jumpType, ['i32'], missedBody(settle, functionOf('findBlock'), interpretBlock)));
  module.table(table);
  return { wasm: module.toBytes(), places, traits };
}

/** A string key of bytes (Latin-1). */
function bytesKey(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}

/** To the address in a local by `jump`; out with it as RIP when 1 is on the stack: the budget is used up. */
function jumpUnlessSpent(code: Code, rip: number, jump: number): Code {
  return leaveIfSpent(code, rip).get(CPU).get(rip).returnCall(jump);
}

function unlinkedBranchBody(width: number, jump: number): Code {
  const code = new Code();
  const rip = 2;
  branchTarget(code, width);
  code.set(rip);
  code.get(REC).memory(loadOpcode['32']!, REC_LINK).if().get(CPU).get(rip).returnCall(jump).end();
  code.get(CPU).get(REC).memory(storeOpcode['32']!, LINK_FROM);
  code.get(CPU).get(rip).memory(storeOpcode['64']!, RIP);
  return code.i32Const(LEAVE_JUMP);
}

function budgetBody(width: number): Code {
  const code = new Code().get(CPU);
  branchTarget(code, width);
  return code.memory(storeOpcode['64']!, RIP).i32Const(LEAVE_BUDGET);
}

/** (cpu, rip): goes to the block at RIP by way of the jump cache, else by `search`. */
function jumpBody(handlerType: number, search: number): Code {
  const code = new Code();
  const [rip, entry, record] = [1, 2, 3];
  lookup(code, rip, entry, search);
  return enterFound(code, handlerType, rip, entry, record);
}

/** (cpu, rip): the same by the table of all blocks. */
function searchBody(handlerType: number, findBlock: number): Code {
  const code = new Code();
  const [rip, record] = [1, 2];
  code.get(CPU).get(rip).call(findBlock).tee(record).byte(0x45).if();
  code.get(CPU).get(rip).memory(storeOpcode['64']!, RIP);
  code.i32Const(LEAVE_JUMP).return().end();
  return enterBlock(code, handlerType, rip, record);
}

/** To the block at RIP, whose first record is known. */
function enterBlock(code: Code, handlerType: number, rip: number, record: number): Code {
  code.get(CPU).get(rip).get(record).memory(loadOpcode['16u']!, REC_PAGE_OFFSET).byte(0xad).byte(0x7d);
  code.memory(storeOpcode['64']!, IP_BASE);
  return enterCounting(code, handlerType, record);
}

/** (cpu, rec, rip): budget, then the jump cache. */
function indirectBody(jump: number): Code {
  const code = new Code();
  countDown(code);
  return jumpUnlessSpent(code, 2, jump);
}

/** The record behind a block's last instruction: RIP = IP_BASE + its page offset; REC_COUNT counts it as one more. */
function continueBody(jump: number): Code {
  const code = new Code();
  const rip = 2;
  uncount(code);
  code.get(CPU).memory(loadOpcode['64']!, IP_BASE).get(REC).memory(loadOpcode['16u']!, REC_PAGE_OFFSET).byte(0xad).byte(0x7c).set(rip);
  isSpent(code);
  return jumpUnlessSpent(code, rip, jump);
}

/** (cpu, rip): interprets the block at RIP, which begins with the instruction whose access a region has not found in the TLB. */
function missedBody(settle: (code: Code) => void, findBlock: number, interpret: number): Code {
  const code = new Code();
  const [rip, record] = [1, 2];
  settle(code);
  code.get(CPU).get(rip).memory(storeOpcode['64']!, RIP);
  code.get(CPU).get(rip).call(findBlock).tee(record).byte(0x45).if().i32Const(LEAVE_MISSED).return().end();
  code.get(CPU).get(rip).get(record).memory(loadOpcode['16u']!, REC_PAGE_OFFSET).byte(0xad).byte(0x7d).memory(storeOpcode['64']!, IP_BASE);
  return code.get(CPU).get(record).returnCall(interpret);
}

/** (cpu, rip): to a region by the jump cache; only regions, which have the places from `regions` on, take flags unsettled. */
function jumpFromRegionBody(handlerType: number, settled: number, regions: number): Code {
  const code = new Code();
  const [rip, entry] = [1, 2];
  isSpent(code);
  divert(code, rip, settled);
  lookup(code, rip, entry, settled);
  code.get(entry).memory(loadOpcode['16u']!, JUMP_HANDLER).i32Const(regions).byte(0x49);
  divert(code, rip, settled);
  return enterFound(code, handlerType, rip, entry);
}

/** Counts an execution of the block; leaves when it has been enough of them. */
function countBody(next: (code: Code) => Code): Code {
  const code = new Code();
  code.get(REC);
  counted(code, REC).memory(storeOpcode['32']!, REC_IMMEDIATE);
  // It was above 0 before: the count goes on below.
  code.get(REC).memory(loadOpcode['32']!, REC_IMMEDIATE).get(CPU).memory(loadOpcode['32']!, EXTRA_HEAT).byte(0x6a);
  code.get(CPU).memory(loadOpcode['32']!, EXTRA_HEAT).byte(0x4d).if(undefined, 'unlikely');
  code.get(CPU).get(REC).memory(storeOpcode['32']!, RECORD);
  code.get(CPU).get(CPU).memory(loadOpcode['64']!, IP_BASE).get(REC).memory(loadOpcode['16u']!, REC_PAGE_OFFSET).byte(0xad).byte(0x7c).memory(storeOpcode['64']!, RIP);
  code.i32Const(LEAVE_HOT).return().end();
  return next(code);
}

/** (LEAVE_ code, cpu): what a function returns with; where RIP is known and nothing else is due, on to its block. */
function leftBody(jump: number, mayResume: number): Code {
  const code = new Code();
  const [left, cpu] = [0, 1];
  code.get(left).i32Const(LEAVE_RESUME).byte(0x47).if().get(left).return().end();
  code.get(cpu).call(mayResume).tee(left).if().get(left).return().end();
  return code.get(cpu).get(cpu).memory(loadOpcode['64']!, RIP).returnCall(jump);
}

/** (cpu): goes on at RIP, or out with LEAVE_JUMP for the driver to find the block; behind faults that need no driver, in their handlers. */
function resumeBody(jump: number, jumpCacheHolds: number, resumeAfterFault: number): Code {
  const code = new Code();
  const left = 1;
  code.get(CPU).call(jumpCacheHolds).byte(0x45).if().i32Const(LEAVE_JUMP).return().end();
  code.loop();
  const again = code.depth;
  code.get(CPU).get(CPU).memory(loadOpcode['64']!, RIP).call(jump).tee(left).i32Const(LEAVE_FAULT).byte(0x47).if().get(left).return().end();
  code.get(CPU).call(resumeAfterFault).tee(left).byte(0x45).if().br(again).end().end();
  return code.get(left);
}

/** BUDGET -= REC_COUNT - 1. */
function uncount(code: Code): void {
  code.get(CPU);
  code.get(CPU).memory(loadOpcode['32']!, BUDGET).get(REC).memory(loadOpcode['8u']!, REC_COUNT).i32Const(1).byte(0x6b).byte(0x6b);
  code.memory(storeOpcode['32']!, BUDGET);
}

function staleBody(): Code {
  const code = new Code();
  uncount(code);
  code.get(CPU).get(CPU).memory(loadOpcode['64']!, IP_BASE).get(REC).memory(loadOpcode['16u']!, REC_PAGE_OFFSET).byte(0xad).byte(0x7c);
  return code.memory(storeOpcode['64']!, RIP).i32Const(LEAVE_STALE);
}
