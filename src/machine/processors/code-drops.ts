import { Mutex } from '../../base/mutex.ts';
import { ownersOf } from '../../engines/interpreter/code-owners.ts';
import { VCPU_BASE, VCPU_CODE_DROPS, VCPU_CODE_DROPS_BYTES, VCPU_STRIDE } from '../../memory/layout.ts';
import { alertVcpu } from './posted-apic.ts';
import type { MachineWords, VcpuWords } from './shared-words.ts';

// Words: the lock, how many entries there are (-1: more than there is room for), the entries of three words.
const LOCK = 0;
const COUNT = 1;
const ENTRIES = 2;
const ENTRY_WORDS = 3;
const ROOM = Math.floor((VCPU_CODE_DROPS_BYTES / 4 - ENTRIES) / ENTRY_WORDS);

/** Where other threads note what decoded code of a vCPU they have overwritten; the vCPU's own thread reads it. */
export class CodeDrops {
  readonly #words: Int32Array;
  readonly #lock: Mutex;

  constructor(memory: WebAssembly.Memory, index: number) {
    this.#words = new Int32Array(memory.buffer, VCPU_BASE + index * VCPU_STRIDE + VCPU_CODE_DROPS, VCPU_CODE_DROPS_BYTES / 4);
    this.#lock = new Mutex(this.#words, LOCK);
  }

  /** Bytes of a page of RAM, counted from its start. */
  post(page: number, offset: number, length: number): void {
    const words = this.#words;
    this.#lock.run(() => {
      const count = words[COUNT]!;
      if (count < 0 || count === ROOM) words[COUNT] = -1;
      else {
        words.set([page, offset, length], ENTRIES + count * ENTRY_WORDS);
        words[COUNT] = count + 1;
      }
    });
  }

  /** Takes what has been noted; undefined: some of it is lost, so that any code may have been overwritten. */
  take(): { readonly page: number; readonly offset: number; readonly length: number }[] | undefined {
    const words = this.#words;
    return this.#lock.run(() => {
      const count = words[COUNT]!;
      words[COUNT] = 0;
      if (count < 0) return undefined;
      return Array.from({ length: count }, (_, i) => {
        const at = ENTRIES + i * ENTRY_WORDS;
        return { page: words[at]!, offset: words[at + 1]!, length: words[at + 2]! };
      });
    });
  }
}

/**
 * Tells the vCPUs that have decoded code of a page, or run a copy of it, what has been overwritten there, all but the `writer` that did it.
 * Behind this they know before they go on; user code that runs directly is interrupted soon.
 */
export function tellOwners(machine: MachineWords, vcpus: readonly VcpuWords[], drops: readonly CodeDrops[], page: number, offset: number, length: number, writer?: number): void {
  for (const owner of ownersOf(machine.words, page)) {
    if (owner === writer || owner >= vcpus.length) continue;
    drops[owner]!.post(page, offset, length);
    alertVcpu(machine, vcpus[owner]!);
  }
  for (const vcpu of vcpus) if (vcpu.index !== writer && vcpu.shadowPosted) alertVcpu(machine, vcpu);
}
