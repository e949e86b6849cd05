import { StateError } from '../../base/errors.ts';
import type { Plain } from '../../base/plain.ts';
import type { GuestMemory } from '../../memory/guest-memory.ts';
import { ScatterList } from '../../memory/scatter-list.ts';
import { StateFields } from '../state-fields.ts';

/** The driver has broken the rules of a queue: the device needs a reset (virtio 1.2, section 2.1.2). */
export class QueueError extends Error {
  override readonly name = 'QueueError';
}

export const DESCRIPTOR_BYTES = 16;
export const DESCRIPTOR_NEXT = 1;
export const DESCRIPTOR_WRITE = 2;
export const DESCRIPTOR_INDIRECT = 4;

/** The pieces of a buffer as its descriptors list them: addresses and lengths, by turns. Nothing about them is known to be true. */
interface ListedPieces {
  readonly readable: readonly number[];
  readonly writable: readonly number[];
}

/** Pieces that are being listed. */
export class RawPieces implements ListedPieces {
  readonly readable: number[] = [];
  readonly writable: number[] = [];

  /** Throws QueueError. */
  add(address: number, length: number, writable: boolean): void {
    if (!writable && this.writable.length > 0) throw new QueueError('a buffer to read follows one to write');
    (writable ? this.writable : this.readable).push(address, length);
  }
  get count(): number {
    return (this.readable.length + this.writable.length) / 2;
  }
}

/** One buffer of a driver, checked: its pieces lie in RAM, those to read before those to write. */
export class DescriptorChain {
  /** What the device gives back with the buffer: index of the first descriptor (split), buffer id (packed). */
  readonly id: number;
  /** Places of the ring that it takes (packed). */
  readonly slots: number;
  readonly readable: ScatterList;
  readonly writable: ScatterList;

  private constructor(id: number, slots: number, readable: ScatterList, writable: ScatterList) {
    this.id = id;
    this.slots = slots;
    this.readable = readable;
    this.writable = writable;
  }

  /** Throws QueueError. */
  static check(memory: GuestMemory, id: number, slots: number, pieces: ListedPieces): DescriptorChain {
    const readable = ScatterList.check(memory, pieces.readable);
    const writable = ScatterList.check(memory, pieces.writable);
    if (readable === undefined || writable === undefined) throw new QueueError('a buffer is empty or lies outside of memory');
    // 2.7.4.2 and 2.8.5: no chain is longer than 2^32 bytes.
    if (readable.bytes + writable.bytes > 2 ** 32) throw new QueueError('a chain covers more than 4 GiB');
    return new DescriptorChain(id, slots, readable, writable);
  }

  save(): Plain {
    return { id: this.id, slots: this.slots, readable: [...this.readable.pieces], writable: [...this.writable.pieces] };
  }

  /** Throws StateError or QueueError. `size` is the queue's. */
  static load(memory: GuestMemory, state: Plain, size: number): DescriptorChain {
    const fields = new StateFields('virtqueue', state, 1, 1);
    const pieces = (key: string): readonly number[] => {
      const numbers = fields.integers(key, 2 * 32768, Number.MAX_SAFE_INTEGER);
      if (numbers.length % 2 !== 0) throw new StateError(`virtqueue: field ${key} has an address without its length`);
      return numbers;
    };
    return DescriptorChain.check(memory, fields.integer('id', 0xffff), fields.integer('slots', size), { readable: pieces('readable'), writable: pieces('writable') });
  }
}
