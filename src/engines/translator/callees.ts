import { PAGE_SHIFT, PAGE_SIZE } from '../../base/addresses.ts';
import { JUMP_CACHE, JUMP_CACHE_SET_BYTES, JUMP_RECORD, MODE_CODE64, MODE_CODE_MASK } from '../../isa/x86/state/layout.ts';
import { RAM_BASE } from '../../memory/layout.ts';
import type { InterpreterCore } from '../interpreter/interpreter.ts';
import { jumpCacheOffset } from '../jump-cache.ts';
import type { Callee } from './region.ts';

/** Bytes of a function that are looked at. */
const WINDOW = 96;
/** Functions that one region may choose from. */
const MAX_CALLEES = 16;

/** Where a callee is; what it is made of is read when the request is made. */
export type CalleeCode = Pick<Callee, 'bytes' | 'executed'>;
export type FoundCallee = Omit<Callee, keyof CalleeCode>;

/**
 * Small functions in other pages that code calls, directly or as is guessed. A region that has them in itself verifies at each call that the jump
 * cache still says what is found here, so that it need not know how pages are mapped.
 */
export class CalleeFinder {
  readonly #core: InterpreterCore;
  readonly #view: DataView;
  readonly #bytes: Uint8Array;

  constructor(core: InterpreterCore) {
    this.#core = core;
    this.#view = new DataView(core.memory.buffer);
    this.#bytes = new Uint8Array(core.memory.buffer);
  }

  /** Of those at `offsets` from the page at `base` the ones that the jump cache of user code, or the kernel's, has. */
  find(base: bigint, mode: number, user: boolean, offsets: Iterable<number>): readonly FoundCallee[] {
    const found: FoundCallee[] = [];
    for (const at of offsets) {
      const address = BigInt.asUintN((mode & MODE_CODE_MASK) === MODE_CODE64 ? 64 : 32, base + BigInt(at));
      const record = this.#recordOf(address, user);
      const leaf = record === undefined ? undefined : this.#core.cache().leafAt(record);
      if (leaf === undefined) continue;
      found.push({ at, ...leaf, record: record! });
      if (found.length === MAX_CALLEES) break;
    }
    return found;
  }

  #recordOf(address: bigint, user: boolean): number | undefined {
    const low = Number(BigInt.asUintN(32, address));
    const entry = this.#core.cpu + JUMP_CACHE + (user ? JUMP_CACHE_SET_BYTES : 0) + jumpCacheOffset(low);
    return this.#view.getBigUint64(entry, true) === address ? this.#view.getUint32(entry + JUMP_RECORD, true) : undefined;
  }

  /** With their code as it is now; those that have been overwritten are left out. `known`: by record, what was read of the same batch. */
  read(callees: readonly FoundCallee[], mode: number, known: Map<number, CalleeCode>): Callee[] {
    const cache = this.#core.cache();
    return callees.filter(({ page, offset, record }) => cache.recordAt(page, offset, mode) === record).map((callee) => {
      let code = known.get(callee.record);
      if (code === undefined) known.set(callee.record, code = this.#read(callee, mode));
      return { ...callee, ...code };
    });
  }
  #read({ page, offset }: FoundCallee, mode: number): CalleeCode {
    const end = Math.min(offset + WINDOW, PAGE_SIZE);
    const executed = [...this.#core.cache().blockOffsets(page, mode)].filter((at) => at >= offset && at < end);
    const host = hostOf(page);
    return { bytes: this.#bytes.slice(host + offset, host + end), executed };
  }

  /** A callee is still there, and its ranges are as they were read. */
  isUnchanged({ page, offset, record, bytes }: Callee, ranges: readonly number[], mode: number): boolean {
    return this.#core.cache().recordAt(page, offset, mode) === record && isUnchanged(this.#bytes, hostOf(page), bytes, offset, ranges);
  }
}

/** Whether ranges (first, end) of a page at a host address are what `bytes` has of them, which begins at offset `start` of the page. */
export function isUnchanged(memory: Uint8Array, host: number, bytes: Uint8Array, start: number, ranges: readonly number[]): boolean {
  for (let k = 0; k < ranges.length; k += 2) {
    for (let offset = ranges[k]!; offset < ranges[k + 1]!; offset++) if (memory[host + offset] !== bytes[offset - start]) return false;
  }
  return true;
}

/** Number of the page of RAM that a host address lies in; and back. */
export function pageOf(host: number): number {
  return (host - RAM_BASE) >>> PAGE_SHIFT;
}
function hostOf(page: number): number {
  return RAM_BASE + page * PAGE_SIZE;
}
