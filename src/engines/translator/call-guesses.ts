import { PAGE_MASK, PAGE_SIZE } from '../../base/addresses.ts';
import { GPR } from '../../isa/x86/state/layout.ts';
import type { InterpreterCore } from '../interpreter/interpreter.ts';
import { pageOf } from './callees.ts';
import type { Guesses } from './region.ts';

const RSP = GPR + 4 * 8;
/** CALL by a register or by memory is FF /2, so long without prefixes: ModRM alone, with SIB, and displacements of 8 and 32 bits. */
const CALL_LENGTHS = [2, 3, 4, 6, 7];
const LONGEST_CALL = 7;
/** Of two targets of one call that are so near the lower one is taken for the function's beginning, unless both stand where compilers put functions. */
const NEAR = BigInt(PAGE_SIZE);
const FUNCTION_ALIGNMENT = 16n;
/** That a call is taken to have. */
const MOST_TARGETS = 8;
/** A guest can have no more of our memory by it; what was known is found again. */
const MOST_PAGES = 4096;

/** `peek` of runtime/paging.ts. */
type Peek = (cpu: number, linear: bigint, fetch: number) => number;

/** Where indirect calls go, as far as is known. Guesses: translated code verifies them at each call. */
export class CallGuesses {
  readonly #core: InterpreterCore;
  readonly #view: DataView;
  readonly #bytes: Uint8Array;
  readonly #peek: Peek;
  /** By page of RAM, by offset in it behind the call: the addresses that it went to. */
  readonly #pages = new Map<number, Map<number, bigint[]>>();

  constructor(core: InterpreterCore) {
    this.#core = core;
    this.#view = new DataView(core.memory.buffer);
    this.#bytes = new Uint8Array(core.memory.buffer);
    this.#peek = core.runtime.functions['peek'] as unknown as Peek;
  }

  /**
   * A block at RIP is about to be executed, once more. When it is a function's first, the stack's top is a return address; and when an indirect call
   * is before that, here is where it went. Segments begin at 0. It changes nothing of the guest, no accessed bit either.
   */
  note(rip: bigint, long: boolean): void {
    const { cpu } = this.#core;
    const rsp = this.#view.getBigUint64(cpu + RSP, true);
    const top = this.#peek(cpu, long ? rsp : BigInt.asUintN(32, rsp), 0) >>> 0;
    if (top === 0 || (top & PAGE_MASK) > PAGE_SIZE - 8) return;
    const from = this.#peek(cpu, long ? this.#view.getBigUint64(top, true) : BigInt(this.#view.getUint32(top, true)), 1) >>> 0;
    const offset = from & PAGE_MASK;
    if (from === 0 || offset < LONGEST_CALL || !CALL_LENGTHS.some((length) => this.#bytes[from - length] === 0xff && ((this.#bytes[from - length + 1]! >> 3) & 7) === 2)) return;
    const page = pageOf(from);
    let targets = this.#pages.get(page);
    if (targets === undefined) {
      if (this.#pages.size >= MOST_PAGES) this.#pages.clear();
      this.#pages.set(page, (targets = new Map()));
    }
    const known = targets.get(offset);
    if (known === undefined) targets.set(offset, [rip]);
    else if (!known.includes(rip)) {
      const same = known.findIndex((other) => (other < rip ? rip - other : other - rip) < NEAR && (other % FUNCTION_ALIGNMENT !== 0n || rip % FUNCTION_ALIGNMENT !== 0n));
      if (same < 0) {
        if (known.length < MOST_TARGETS) known.push(rip);
      } else if (rip < known[same]!) known[same] = rip;
    }
  }

  /** Of calls in a page that is at an address: by the offset behind the call, those of the targets, as addresses go. */
  of(page: number, base: bigint, long: boolean): Guesses {
    const found = new Map<number, readonly number[]>();
    for (const [offset, targets] of this.#pages.get(page) ?? []) {
      // What code in the page could reach directly: a region keeps distances as numbers.
      const reached = targets.map((target) => target - base).filter((at) => !long || BigInt.asIntN(32, at) === at);
      if (reached.length > 0) found.set(offset, reached.map(Number));
    }
    return found;
  }

  /** The page's code is another. */
  forget(page: number): void {
    this.#pages.delete(page);
  }
  clear(): void {
    this.#pages.clear();
  }
}
