import type { Plain } from '../../base/plain.ts';
import type { GuestMemory } from '../../memory/guest-memory.ts';
import { StateFields } from '../state-fields.ts';
import { DESCRIPTOR_BYTES, DESCRIPTOR_INDIRECT, DESCRIPTOR_NEXT, DESCRIPTOR_WRITE, DescriptorChain, QueueError, RawPieces } from './descriptor-chain.ts';
import type { Ring, RingPlace, UsedBuffer } from './ring.ts';

// Packed virtqueues (virtio 1.2, section 2.8).

const FLAGS = 14;
const AVAILABLE = 0x80;
const USED = 0x8000;
const EVENT_POSITION = 0;
const EVENT_FLAGS = 2;
const EVENT_BYTES = 4;
const EVENTS_OFF = 1;
const EVENTS_AT_POSITION = 2;
const WRAP = 0x8000;

interface PackedDescriptor {
  readonly address: number;
  readonly length: number;
  readonly id: number;
  readonly flags: number;
}

/** A place in the ring and how often the ring was gone around, odd or even. */
interface Position {
  readonly index: number;
  readonly wrap: boolean;
}

export class PackedRing implements Ring {
  readonly #memory: GuestMemory;
  readonly #place: RingPlace;
  /** Indirect tables are copied as a whole, for drivers may change what they have offered. */
  #copy = new Uint32Array(0);
  #available: Position = { index: 0, wrap: true };
  #used: Position = { index: 0, wrap: true };

  /** Throws QueueError when the ring does not lie in RAM, or not as it must (2.8.10.1). */
  constructor(memory: GuestMemory, place: RingPlace) {
    const { size, descriptors, driver, device } = place;
    if (size === 0 || size > 32768) throw new QueueError(`a packed queue cannot have ${size} entries`);
    if (descriptors % 16 !== 0 || driver % 4 !== 0 || device % 4 !== 0) throw new QueueError('the ring is not aligned');
    if (!memory.contains(descriptors, size * DESCRIPTOR_BYTES) || !memory.contains(driver, EVENT_BYTES) || !memory.contains(device, EVENT_BYTES)) {
      throw new QueueError('the ring lies outside of memory');
    }
    this.#memory = memory;
    this.#place = place;
  }

  pop(): DescriptorChain | undefined {
    if (!this.#isAvailable()) {
      if (!this.#place.eventIndex) return undefined;
      // Asks for a notification of the next buffer, and looks again: the driver may have been faster.
      const { index, wrap } = this.#available;
      this.#memory.writeU16(this.#place.device + EVENT_POSITION, index | (wrap ? WRAP : 0));
      this.#memory.writeU16(this.#place.device + EVENT_FLAGS, EVENTS_AT_POSITION);
      if (!this.#isAvailable()) return undefined;
    }
    const chain = this.#walk();
    this.#available = this.#advance(this.#available, chain.slots);
    return chain;
  }

  #isAvailable(): boolean {
    const { index, wrap } = this.#available;
    const flags = this.#memory.readU16(this.#place.descriptors + index * DESCRIPTOR_BYTES + FLAGS);
    return ((flags & AVAILABLE) !== 0) === wrap && ((flags & USED) !== 0) !== wrap;
  }

  /** The driver makes the first descriptor of a chain available last, so the others need no look at their flags. */
  #walk(): DescriptorChain {
    const { size, descriptors: ring, indirect } = this.#place;
    const pieces = new RawPieces();
    for (let at = this.#available.index; ; at = (at + 1) % size) {
      const { address, length, id, flags } = this.#descriptor(ring + at * DESCRIPTOR_BYTES);
      const more = (flags & DESCRIPTOR_NEXT) !== 0;
      if ((flags & DESCRIPTOR_INDIRECT) !== 0) {
        if (!indirect || more || pieces.count > 0) throw new QueueError('an indirect table where none may be');
        return DescriptorChain.check(this.#memory, id, 1, this.#table(address, length));
      }
      pieces.add(address, length, (flags & DESCRIPTOR_WRITE) !== 0);
      if (!more) return DescriptorChain.check(this.#memory, id, pieces.count, pieces);
      if (pieces.count >= size) throw new QueueError('a chain has more descriptors than the queue');
    }
  }

  /** 2.8.7: all of an indirect table, whose descriptors have no flag but WRITE. */
  #table(table: number, bytes: number): RawPieces {
    const count = bytes / DESCRIPTOR_BYTES;
    if (count === 0 || !Number.isInteger(count) || count > this.#place.size || !this.#memory.contains(table, bytes)) throw new QueueError('an indirect table is no table in memory, or too long');
    if (this.#copy.byteLength < bytes) this.#copy = new Uint32Array(bytes / 4);
    const copy = this.#copy;
    this.#memory.read(table, new Uint8Array(copy.buffer, 0, bytes));
    const pieces = new RawPieces();
    for (let at = 0; at < 4 * count; at += 4) pieces.add(copy[at]! + copy[at + 1]! * 2 ** 32, copy[at + 2]!, ((copy[at + 3]! >>> 16) & DESCRIPTOR_WRITE) !== 0);
    return pieces;
  }

  /** Each word is read once: a driver may change what it has offered. */
  #descriptor(at: number): PackedDescriptor {
    const memory = this.#memory;
    const last = memory.readU32(at + 12);
    return { address: memory.readU32(at) + memory.readU32(at + 4) * 2 ** 32, length: memory.readU32(at + 8), id: last & 0xffff, flags: last >>> 16 };
  }

  #advance({ index, wrap }: Position, by: number): Position {
    const { size } = this.#place;
    return index + by < size ? { index: index + by, wrap } : { index: index + by - size, wrap: !wrap };
  }

  push(buffers: readonly UsedBuffer[]): boolean {
    const first = this.#used;
    const marks: (() => void)[] = [];
    for (const { chain, written } of buffers) {
      const { index, wrap } = this.#used;
      const entry = this.#place.descriptors + index * DESCRIPTOR_BYTES;
      this.#memory.writeU32(entry + 8, written);
      this.#memory.writeU16(entry + 12, chain.id);
      marks.push(() => this.#memory.writeU16(entry + FLAGS, (wrap ? AVAILABLE | USED : 0) | (written > 0 ? DESCRIPTOR_WRITE : 0)));
      this.#used = this.#advance(this.#used, chain.slots);
    }
    // A driver looks at them in order, so the first, marked last, shows all of them.
    for (const mark of marks.reverse()) mark();
    return this.#interruptWanted(first, buffers.reduce((slots, { chain }) => slots + chain.slots, 0));
  }

  /** 2.8.10: always, never, or when the place that the driver names was passed. */
  #interruptWanted(filled: Position, slots: number): boolean {
    const { driver, size, eventIndex } = this.#place;
    const flags = this.#memory.readU16(driver + EVENT_FLAGS) & 3;
    if (flags === EVENTS_OFF) return false;
    if (flags !== EVENTS_AT_POSITION || !eventIndex) return true;
    const wanted = this.#memory.readU16(driver + EVENT_POSITION);
    // Both places counted over two rounds of the ring.
    const linear = (index: number, wrap: boolean): number => index + (wrap ? 0 : size);
    const distance = linear(wanted & ~WRAP, (wanted & WRAP) !== 0) - linear(filled.index, filled.wrap);
    return (distance + 2 * size) % (2 * size) < slots;
  }

  save(): Plain {
    return { available: { ...this.#available }, used: { ...this.#used } };
  }
  load(state: Plain): void {
    const outer = new StateFields('virtqueue', state, 1, 1);
    const position = (key: string): Position => {
      const fields = new StateFields('virtqueue', outer.nested(key), 1, 1);
      return { index: fields.integer('index', this.#place.size - 1), wrap: fields.boolean('wrap') };
    };
    const [available, used] = [position('available'), position('used')];
    this.#available = available;
    this.#used = used;
  }
}
