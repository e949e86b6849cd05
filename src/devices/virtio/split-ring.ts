import type { Plain } from '../../base/plain.ts';
import type { GuestMemory } from '../../memory/guest-memory.ts';
import { StateFields } from '../state-fields.ts';
import { DESCRIPTOR_BYTES, DESCRIPTOR_INDIRECT, DESCRIPTOR_NEXT, DESCRIPTOR_WRITE, DescriptorChain, QueueError, RawPieces } from './descriptor-chain.ts';
import type { Ring, RingPlace, UsedBuffer } from './ring.ts';

// Split virtqueues (virtio 1.2, section 2.7).

const RING_FLAGS = 0;
const RING_INDEX = 2;
const RING_ENTRIES = 4;
const AVAILABLE_BYTES = 2;
const USED_BYTES = 8;
const NO_INTERRUPT = 1;

export class SplitRing implements Ring {
  readonly #memory: GuestMemory;
  readonly #place: RingPlace;
  /** Of the available ring: what the device takes next. */
  #available = 0;
  /** Of the used ring: what the device fills next. */
  #used = 0;

  /** Throws QueueError when the rings do not lie in RAM, or not as they must (table in section 2.7). */
  constructor(memory: GuestMemory, place: RingPlace) {
    const { size, descriptors, driver, device } = place;
    if (size === 0 || size > 32768 || (size & (size - 1)) !== 0) throw new QueueError(`a split queue cannot have ${size} entries`);
    if (descriptors % 16 !== 0 || driver % 2 !== 0 || device % 4 !== 0) throw new QueueError('the rings are not aligned');
    const inRam = memory.contains(descriptors, size * DESCRIPTOR_BYTES) && memory.contains(driver, RING_ENTRIES + size * AVAILABLE_BYTES + 2) &&
      memory.contains(device, RING_ENTRIES + size * USED_BYTES + 2);
    if (!inRam) throw new QueueError('the rings lie outside of memory');
    this.#memory = memory;
    this.#place = place;
  }

  pop(): DescriptorChain | undefined {
    const { driver, size, eventIndex } = this.#place;
    if (this.#waiting() === 0) {
      if (!eventIndex) return undefined;
      // Asks for a notification of the next buffer, and looks again: the driver may have been faster.
      this.#memory.writeU16(this.#eventForDriver(), this.#available);
      if (this.#waiting() === 0) return undefined;
    }
    const head = this.#memory.readU16(driver + RING_ENTRIES + (this.#available % size) * AVAILABLE_BYTES);
    const chain = this.#walk(head);
    this.#available = (this.#available + 1) & 0xffff;
    return chain;
  }

  #waiting(): number {
    const { driver, size } = this.#place;
    const waiting = (this.#memory.readU16(driver + RING_INDEX) - this.#available) & 0xffff;
    if (waiting > size) throw new QueueError(`${waiting} buffers are said to wait in a queue of ${size}`);
    return waiting;
  }

  /** Collects a chain. Its length is bounded by the queue's size, so loops end. */
  #walk(head: number): DescriptorChain {
    const { size, indirect } = this.#place;
    const pieces = new RawPieces();
    let table = this.#place.descriptors;
    let count = size;
    let index = head;
    let nested = false;
    for (;;) {
      if (index >= count) throw new QueueError(`descriptor ${index} of ${count} does not exist`);
      const { address, length, flags, next } = this.#descriptor(table + index * DESCRIPTOR_BYTES);
      if ((flags & DESCRIPTOR_INDIRECT) !== 0) {
        if (!indirect || nested || (flags & DESCRIPTOR_NEXT) !== 0) throw new QueueError('an indirect table where none may be');
        if (length === 0 || length % DESCRIPTOR_BYTES !== 0 || !this.#memory.contains(address, length)) throw new QueueError('an indirect table is no table in memory');
        table = address;
        count = length / DESCRIPTOR_BYTES;
        index = 0;
        nested = true;
        continue;
      }
      pieces.add(address, length, (flags & DESCRIPTOR_WRITE) !== 0);
      if ((flags & DESCRIPTOR_NEXT) === 0) return DescriptorChain.check(this.#memory, head, 1, pieces);
      if (pieces.count >= size) throw new QueueError('a chain has more descriptors than the queue, or a loop');
      index = next;
    }
  }

  /** Each word is read once: a driver may change what it has offered. */
  #descriptor(at: number): { address: number; length: number; flags: number; next: number } {
    const memory = this.#memory;
    const last = memory.readU32(at + 12);
    return { address: memory.readU32(at) + memory.readU32(at + 4) * 2 ** 32, length: memory.readU32(at + 8), flags: last & 0xffff, next: last >>> 16 };
  }

  push(buffers: readonly UsedBuffer[]): boolean {
    const memory = this.#memory;
    const { device, size } = this.#place;
    const first = this.#used;
    for (const { chain, written } of buffers) {
      const entry = device + RING_ENTRIES + (this.#used % size) * USED_BYTES;
      memory.writeU32(entry, chain.id);
      memory.writeU32(entry + 4, written);
      this.#used = (this.#used + 1) & 0xffff;
    }
    memory.writeU16(device + RING_INDEX, this.#used);
    return this.#interruptWanted(first, buffers.length);
  }

  /** 2.7.7.2: with the event index, exactly when the entry that it names is among those filled. */
  #interruptWanted(first: number, count: number): boolean {
    const { driver, size, eventIndex } = this.#place;
    if (eventIndex) return ((this.#memory.readU16(driver + RING_ENTRIES + size * AVAILABLE_BYTES) - first) & 0xffff) < count;
    return (this.#memory.readU16(driver + RING_FLAGS) & NO_INTERRUPT) === 0;
  }

  #eventForDriver(): number {
    return this.#place.device + RING_ENTRIES + this.#place.size * USED_BYTES;
  }

  save(): Plain {
    return { available: this.#available, used: this.#used };
  }
  load(state: Plain): void {
    const fields = new StateFields('virtqueue', state, 1, 1);
    const [available, used] = [fields.integer('available', 0xffff), fields.integer('used', 0xffff)];
    this.#available = available;
    this.#used = used;
  }
}
