import { PAGE_SIZE } from '../../base/addresses.ts';
import { Mutex } from '../../base/mutex.ts';
import { CODE_OWNERS, MACHINE_CODE_LOCK, PAGE_FLAGS, PAGE_FLAG_CODE, RAM_BASE, VCPU_ATTENTION, VCPU_BASE, VCPU_DIRECT, VCPU_RUNS, VCPU_STRIDE } from '../../memory/layout.ts';
import type { Runtime } from '../runtime-module.ts';

/**
 * From so many on the others are asked to end their runs. Where all of them decode, each looks at its young pages so often that none would
 * come to an end for long.
 */
const MANY_YOUNG = 4;

/** A page that was claimed while other vCPUs executed. */
interface Young {
  /** Its words behind the claim. */
  readonly copy: Int32Array;
  /** Counts of others' runs that were not over. */
  readonly runs: readonly Run[];
}

/** The index of a vCPU's word, and what it held. */
interface Run {
  readonly vcpu: number;
  readonly word: number;
  readonly count: number;
}

/**
 * Which vCPUs have decoded code of which page of RAM. While one has, stores of all take the slow path there. Each vCPU's
 * thread has its own object over the machine's memory.
 *
 * A store that had looked at its write tag before a claim took that away is announced to nobody. It reaches memory before its vCPU
 * ends the run that it is in. So until all have, the page is `young`, and compared with its bytes of before wherever this vCPU looks
 * for what others want of it: behind serializing instructions and interrupts, and when a run ends.
 */
export class CodeOwners {
  readonly #flags: Uint8Array;
  readonly #owners: Int32Array;
  readonly #lock: Mutex;
  readonly #attention: number;
  /** Words that count the runs of the others, and what runs directly. */
  readonly #others: readonly { readonly vcpu: number; readonly runs: number; readonly direct: number }[];
  readonly #young = new Map<number, Young>();
  readonly #clearWriteTags: (cpu: number, page: number) => number;
  readonly #noteCopy: (cpu: number, page: number) => number;
  readonly #interrupt: (vcpu: number) => void;
  readonly #vcpus: number;
  /** The word of a page's two that this vCPU has its bit in. */
  readonly #word: number;
  readonly #bit: number;

  /** `vcpus`: how many the machine has; `interrupt`: one has to look at what was posted to it before it goes on, wherever it is. */
  constructor(memory: WebAssembly.Memory, index: number, vcpus: number, runtime: Runtime, interrupt: (vcpu: number) => void) {
    this.#flags = new Uint8Array(memory.buffer);
    this.#owners = new Int32Array(memory.buffer);
    this.#lock = new Mutex(this.#owners, MACHINE_CODE_LOCK >> 2);
    this.#clearWriteTags = runtime.bind('clearWriteTags');
    this.#noteCopy = runtime.bind('noteCopy');
    this.#interrupt = interrupt;
    this.#vcpus = vcpus;
    const wordOf = (vcpu: number, offset: number): number => (VCPU_BASE + vcpu * VCPU_STRIDE + offset) >> 2;
    this.#attention = wordOf(index, VCPU_ATTENTION);
    this.#others = Array.from({ length: vcpus }, (_, vcpu) => vcpu).filter((vcpu) => vcpu !== index).map((vcpu) => ({ vcpu, runs: wordOf(vcpu, VCPU_RUNS), direct: wordOf(vcpu, VCPU_DIRECT) }));
    this.#word = (CODE_OWNERS >> 2) + (index >> 5);
    this.#bit = 1 << (index & 31);
  }

  /** This vCPU is about to decode code of a page: behind this every store there is announced. */
  claim(page: number): void {
    const interrupted = this.#lock.run(() => {
      Atomics.or(this.#owners, this.#word + 2 * page, this.#bit);
      Atomics.or(this.#flags, PAGE_FLAGS + page, PAGE_FLAG_CODE);
      return this.#watchStores(page);
    });
    const runs = this.#others.flatMap(({ vcpu, runs, direct }) => [...this.#under(vcpu, runs), ...(interrupted.includes(vcpu) ? this.#under(vcpu, direct) : [])]);
    if (runs.length === 0) return;
    const first = (RAM_BASE + page * PAGE_SIZE) >> 2;
    this.#young.set(page, { copy: this.#owners.slice(first, first + PAGE_SIZE / 4), runs });
    Atomics.store(this.#owners, this.#attention, 1);
    if (this.#young.size >= MANY_YOUNG) for (const { vcpu } of runs) this.#interrupt(vcpu);
  }
  /** The run that is not over by one of its words, if there is one. */
  #under(vcpu: number, word: number): Run[] {
    const count = Atomics.load(this.#owners, word);
    return (count & 1) === 0 ? [] : [{ vcpu, word, count }];
  }

  /** This vCPU is about to make a copy of a page: behind this every store there is announced. */
  copy(page: number): void {
    this.#lock.run(() => {
      this.#noteCopy(VCPU_BASE, page);
      this.#watchStores(page);
    });
  }

  /** Page flags are looked at by whoever stores there from now on. Returns the vCPUs that may have to be interrupted for that. */
  #watchStores(page: number): readonly number[] {
    const interrupted: number[] = [];
    for (let i = 0; i < this.#vcpus; i++) if (this.#clearWriteTags(VCPU_BASE + i * VCPU_STRIDE, page) !== 0) interrupted.push(i);
    for (const vcpu of interrupted) this.#interrupt(vcpu);
    return interrupted;
  }

  /** Calls for every young page with its bytes of before. While there are some, this vCPU is to look again. */
  recheck(compare: (page: number, before: Int32Array) => void): void {
    if (this.#young.size === 0) return;
    for (const [page, { copy, runs }] of [...this.#young]) {
      const over = runs.every(({ word, count }) => Atomics.load(this.#owners, word) !== count);
      if (over) this.#young.delete(page);
      compare(page, copy);
    }
    if (this.#young.size > 0) Atomics.store(this.#owners, this.#attention, 1);
  }

  /** It has no more decoded code of a page. */
  release(page: number): void {
    this.#lock.run(() => {
      Atomics.and(this.#owners, this.#word + 2 * page, ~this.#bit);
      const first = (CODE_OWNERS >> 2) + 2 * page;
      if ((this.#owners[first]! | this.#owners[first + 1]!) === 0) Atomics.and(this.#flags, PAGE_FLAGS + page, ~PAGE_FLAG_CODE);
    });
  }
}

/** Numbers of the vCPUs that have decoded code of a page. */
export function ownersOf(words: Int32Array, page: number): number[] {
  const found: number[] = [];
  for (let half = 0; half < 2; half++) {
    for (let bits = Atomics.load(words, (CODE_OWNERS >> 2) + 2 * page + half); bits !== 0; bits &= bits - 1) found.push(32 * half + 31 - Math.clz32(bits & -bits));
  }
  return found;
}
