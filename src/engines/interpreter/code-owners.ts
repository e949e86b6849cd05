import { PAGE_SIZE } from '../../base/addresses.ts';
import { Mutex } from '../../base/mutex.ts';
import { CODE_OWNERS, MACHINE_CODE_LOCK, PAGE_FLAGS, PAGE_FLAG_CODE, RAM_BASE, VCPU_ATTENTION, VCPU_BASE, VCPU_RUNS, VCPU_STRIDE } from '../../memory/layout.ts';
import type { Runtime } from '../runtime-module.ts';

/** A page that was claimed while other vCPUs executed. */
interface Young {
  /** Its bytes behind the claim. */
  readonly copy: Uint8Array;
  /** The others' counts of runs at that time. */
  readonly runs: readonly number[];
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
  /** Words that count the runs of the others. */
  readonly #others: readonly number[];
  readonly #young = new Map<number, Young>();
  readonly #clearWriteTags: (cpu: number, page: number) => number;
  readonly #vcpus: number;
  /** The word of a page's two that this vCPU has its bit in. */
  readonly #word: number;
  readonly #bit: number;

  /** `vcpus`: how many the machine has. */
  constructor(memory: WebAssembly.Memory, index: number, vcpus: number, runtime: Runtime) {
    this.#flags = new Uint8Array(memory.buffer);
    this.#owners = new Int32Array(memory.buffer);
    this.#lock = new Mutex(this.#owners, MACHINE_CODE_LOCK >> 2);
    this.#clearWriteTags = runtime.bind('clearWriteTags');
    this.#vcpus = vcpus;
    const wordOf = (vcpu: number, offset: number): number => (VCPU_BASE + vcpu * VCPU_STRIDE + offset) >> 2;
    this.#attention = wordOf(index, VCPU_ATTENTION);
    this.#others = Array.from({ length: vcpus }, (_, vcpu) => vcpu).filter((vcpu) => vcpu !== index).map((vcpu) => wordOf(vcpu, VCPU_RUNS));
    this.#word = (CODE_OWNERS >> 2) + (index >> 5);
    this.#bit = 1 << (index & 31);
  }

  /** This vCPU is about to decode code of a page: behind this every store there is announced. */
  claim(page: number): void {
    this.#lock.run(() => {
      Atomics.or(this.#owners, this.#word + 2 * page, this.#bit);
      Atomics.or(this.#flags, PAGE_FLAGS + page, PAGE_FLAG_CODE);
      for (let i = 0; i < this.#vcpus; i++) this.#clearWriteTags(VCPU_BASE + i * VCPU_STRIDE, page);
    });
    const runs = this.#others.map((word) => Atomics.load(this.#owners, word));
    if (runs.every(ended)) return;
    const first = RAM_BASE + page * PAGE_SIZE;
    this.#young.set(page, { copy: this.#flags.slice(first, first + PAGE_SIZE), runs });
    Atomics.store(this.#owners, this.#attention, 1);
  }

  /** Calls for every young page with its bytes of before. While there are some, this vCPU is to look again. */
  recheck(compare: (page: number, before: Uint8Array) => void): void {
    if (this.#young.size === 0) return;
    for (const [page, { copy, runs }] of [...this.#young]) {
      const over = this.#others.every((word, i) => ended(runs[i]!) || Atomics.load(this.#owners, word) !== runs[i]);
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

function ended(runs: number): boolean {
  return (runs & 1) === 0;
}

/** Numbers of the vCPUs that have decoded code of a page. */
export function ownersOf(words: Int32Array, page: number): number[] {
  const found: number[] = [];
  for (let half = 0; half < 2; half++) {
    for (let bits = Atomics.load(words, (CODE_OWNERS >> 2) + 2 * page + half); bits !== 0; bits &= bits - 1) found.push(32 * half + 31 - Math.clz32(bits & -bits));
  }
  return found;
}
