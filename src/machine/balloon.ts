import { PAGE_SIZE } from '../base/addresses.ts';
import { VirtioBalloon } from '../devices/virtio/virtio-balloon.ts';
import type { ReleasePages } from '../host/pages.ts';
import type { LinearMemory } from '../memory/linear-memory.ts';

/** A balloon over a machine's RAM. What is no RAM, or no whole page, stays as it is. */
export function makeBalloon(memory: LinearMemory, release: ReleasePages): VirtioBalloon {
  return new VirtioBalloon((address, length) => {
    const first = Math.ceil(address / PAGE_SIZE) * PAGE_SIZE;
    const bytes = Math.floor((address + length) / PAGE_SIZE) * PAGE_SIZE - first;
    const at = bytes > 0 ? memory.place(first, bytes) : undefined;
    if (at === undefined) return;
    release(memory.storage.subarray(at, at + bytes));
    memory.wrote(first, bytes);
  });
}
