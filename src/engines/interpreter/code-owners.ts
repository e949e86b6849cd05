import { Mutex } from '../../base/mutex.ts';
import { CODE_OWNERS, MACHINE_CODE_LOCK, PAGE_FLAGS, PAGE_FLAG_CODE, VCPU_BASE, VCPU_STRIDE } from '../../memory/layout.ts';
import type { Runtime } from '../runtime-module.ts';

/**
 * Which vCPUs have decoded code of which page of RAM. While one has, stores of all take the slow path there. Each vCPU's
 * thread has its own object over the machine's memory.
 */
export class CodeOwners {
  readonly #flags: Uint8Array;
  readonly #owners: Int32Array;
  readonly #lock: Mutex;
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
