import { REC_HANDLER, REC_LINK, RECORD_BYTES } from '../../isa/x86/decode/record.ts';
import { JUMP_RECORD } from '../../isa/x86/state/layout.ts';
import { Locals } from '../../lowering/lower.ts';
import { Code, loadOpcode } from '../../wasm/code.ts';
import type { WasmType } from '../../wasm/module.ts';
import { CPU, REC, branchTarget, countDown, countRecord, enterRecord, leaveIfSpent, lookup, setPage } from './handler-code.ts';

/** How handlers hand on to one another; nothing follows what these write. */
export interface Dispatch {
  /** To the instruction behind the one at REC. */
  next(code: Code): void;
  /** To the block whose first record is in REC, which may count. */
  enter(code: Code): void;
  /** To the target of the direct branch at REC, to which there is no link. `width`: bits of the instruction pointer. */
  branch(code: Code, width: number): void;
  /** Counts the block that ends here, and goes to the address that `push` puts on the stack (i64). */
  indirect(code: Code, push: () => void): void;
}

/** Functions that the loop's ways out lead to. */
export interface LoopExits {
  readonly handlerType: number;
  /** (cpu, record): the branch of the record, which may be linked from now on. */
  branch(width: number): number;
  /** (cpu, rip): goes to the block at RIP, which the jump cache does not have. */
  readonly search: number;
}

export interface LoopFunction {
  readonly locals: readonly WasmType[];
  readonly body: Code;
}

/** Writes the instruction of a handler. */
export type HandlerWriter = (code: Code, locals: Locals, dispatch: Dispatch) => void;

/**
 * One function (cpu, record) -> LEAVE_ code that stands for many handlers, in the table at the places from `first` on: it goes from
 * record to record by a loop around a `br_table`, which costs some ten machine instructions where a tail call, with a frame and the
 * checks of an indirect call, costs thirty. Other handlers, and regions, it leaves to by a tail call; they come back by the same.
 * Optimising compilers take a few hundred handlers well (V8: 60 to 175 ms in the background for 36 KB of WebAssembly), not thousands: so only what is executed most.
 */
export function loopFunction(first: number, handlers: readonly HandlerWriter[], { handlerType, branch, search }: LoopExits): LoopFunction {
  const code = new Code();
  const locals = new Locals();
  const [rip, entry] = [locals.take('i64'), locals.take('i32')];
  code.loop();
  const again = code.depth;
  code.block();
  const jump = code.depth;
  code.block();
  const others = code.depth;
  for (let k = 0; k < handlers.length; k++) code.block();
  const places = first + handlers.length;
  code.get(REC).memory(loadOpcode['16u']!, REC_HANDLER).byte(0x0e).u32(places);
  for (let place = 0; place < places; place++) code.u32(place < first ? code.depth - others : place - first);
  code.u32(code.depth - others);

  const dispatch: Dispatch = {
    next: (to) => void to.get(REC).i32Const(RECORD_BYTES).byte(0x6a).set(REC).br(again),
    enter: (to) => {
      countRecord(to, REC);
      to.br(again);
    },
    branch: (to, width) => {
      to.get(REC).memory(loadOpcode['32']!, REC_LINK).byte(0x45).if(undefined, 'unlikely').get(CPU).get(REC).returnCall(branch(width)).end();
      branchTarget(to, width);
      to.set(rip).br(jump);
    },
    indirect: (to, push) => {
      push();
      to.set(rip);
      countDown(to);
      leaveIfSpent(to, rip).br(jump);
    },
  };
  for (const write of handlers) {
    code.end();
    write(code, locals, dispatch);
    code.byte(0x00);
  }
  code.end();
  enterRecord(code, handlerType, REC);
  code.end();
  lookup(code, rip, entry, search);
  setPage(code, rip, entry).get(entry).memory(loadOpcode['32']!, JUMP_RECORD).set(REC);
  dispatch.enter(code);
  code.end().byte(0x00);
  return { locals: locals.types, body: code };
}
