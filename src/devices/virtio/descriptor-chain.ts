import type { Plain } from '../../base/plain.ts';
import type { GuestMemory } from '../../memory/guest-memory.ts';
import { ScatterList } from '../../memory/scatter-list.ts';
import type { Segment } from '../../memory/scatter-list.ts';
import { StateFields } from '../state-fields.ts';

/** The driver has broken the rules of a queue: the device needs a reset (virtio 1.2, section 2.1.2). */
export class QueueError extends Error {
  override readonly name = 'QueueError';
}

export const DESCRIPTOR_BYTES = 16;
export const DESCRIPTOR_NEXT = 1;
export const DESCRIPTOR_WRITE = 2;
export const DESCRIPTOR_INDIRECT = 4;

/** A descriptor as it lies in memory; nothing about it is known to be true. */
export interface RawDescriptor extends Segment {
  readonly writable: boolean;
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
  static check(memory: GuestMemory, id: number, slots: number, descriptors: readonly RawDescriptor[]): DescriptorChain {
    const firstWritable = descriptors.findIndex((descriptor) => descriptor.writable);
    const split = firstWritable < 0 ? descriptors.length : firstWritable;
    if (descriptors.slice(split).some((descriptor) => !descriptor.writable)) throw new QueueError('a buffer to read follows one to write');
    const readable = ScatterList.check(memory, descriptors.slice(0, split));
    const writable = ScatterList.check(memory, descriptors.slice(split));
    if (readable === undefined || writable === undefined) throw new QueueError('a buffer is empty or lies outside of memory');
    // 2.7.4.2 and 2.8.5: no chain is longer than 2^32 bytes.
    if (readable.bytes + writable.bytes > 2 ** 32) throw new QueueError('a chain covers more than 4 GiB');
    return new DescriptorChain(id, slots, readable, writable);
  }

  save(): Plain {
    const plain = (list: ScatterList): Plain => list.segments.flatMap(({ address, length }) => [address, length]);
    return { id: this.id, slots: this.slots, readable: plain(this.readable), writable: plain(this.writable) };
  }

  /** Throws StateError or QueueError. `size` is the queue's. */
  static load(memory: GuestMemory, state: Plain, size: number): DescriptorChain {
    const fields = new StateFields('virtqueue', state, 1, 1);
    const list = (key: string, writable: boolean): RawDescriptor[] => {
      const numbers = fields.integers(key, 2 * 32768, Number.MAX_SAFE_INTEGER);
      return Array.from({ length: numbers.length >> 1 }, (_, i) => ({ address: numbers[2 * i]!, length: numbers[2 * i + 1]!, writable }));
    };
    return DescriptorChain.check(memory, fields.integer('id', 0xffff), fields.integer('slots', size), [...list('readable', false), ...list('writable', true)]);
  }
}
