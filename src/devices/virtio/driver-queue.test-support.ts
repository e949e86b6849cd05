import type { GuestMemory } from '../../memory/guest-memory.ts';
import { DESCRIPTOR_INDIRECT, DESCRIPTOR_NEXT, DESCRIPTOR_WRITE } from './descriptor-chain.ts';
import type { RingPlace } from './ring.ts';

export type RingFormat = 'split' | 'packed';

export interface DriverBuffer {
  readonly address: number;
  readonly length: number;
  readonly write?: boolean;
}

export interface UsedBuffer {
  readonly id: number;
  readonly written: number;
}

/** The driver's end of a queue, in both formats: what the tests of everything above queues speak. */
export class DriverQueue {
  readonly place: RingPlace;
  readonly format: RingFormat;
  readonly #memory: GuestMemory;
  readonly #free: number[];
  /** Split: descriptors, packed: places in the ring, of each buffer under way. */
  readonly #chains = new Map<number, number[]>();
  #next = 0;
  #wrap = true;
  #used = 0;
  #usedWrap = true;
  #scratch: number;

  /** Takes 64 KiB of guest memory from `at` on: rings, and room for indirect tables behind them. */
  constructor(memory: GuestMemory, format: RingFormat, at: number, size: number, features: { readonly indirect?: boolean; readonly eventIndex?: boolean } = {}) {
    this.#memory = memory;
    this.format = format;
    this.place = { size, descriptors: at, driver: at + 0x4000, device: at + 0x6000, indirect: features.indirect ?? false, eventIndex: features.eventIndex ?? false };
    this.#free = Array.from({ length: size }, (_, i) => i);
    this.#scratch = at + 0x8000;
    memory.write(at, new Uint8Array(0x10000));
  }

  /** Descriptors that no buffer under way has. */
  get free(): number {
    return this.place.size - [...this.#chains.values()].reduce((sum, chain) => sum + chain.length, 0);
  }

  /** Makes a buffer available; returns its id. */
  add(parts: readonly DriverBuffer[], indirect = false): number {
    if (!indirect) return this.format === 'split' ? this.#addSplit(parts) : this.#addPacked(parts);
    const table = this.#scratch;
    this.#scratch += 16 * parts.length;
    parts.forEach((part, i) => {
      const last = i === parts.length - 1;
      const flags = (part.write ? DESCRIPTOR_WRITE : 0) | (this.format === 'split' && !last ? DESCRIPTOR_NEXT : 0);
      this.descriptor(table + 16 * i, part.address, part.length, this.format === 'split' ? flags : 0, this.format === 'split' ? i + 1 : flags);
    });
    const whole = [{ address: table, length: 16 * parts.length }];
    return this.format === 'split' ? this.#addSplit(whole, DESCRIPTOR_INDIRECT) : this.#addPacked(whole, DESCRIPTOR_INDIRECT);
  }

  /** Split: flags and next; packed: id and flags. */
  descriptor(at: number, address: number, length: number, third: number, fourth: number): void {
    this.#memory.writeU32(at, address % 2 ** 32);
    this.#memory.writeU32(at + 4, Math.floor(address / 2 ** 32));
    this.#memory.writeU32(at + 8, length);
    this.#memory.writeU16(at + 12, third);
    this.#memory.writeU16(at + 14, fourth);
  }

  #addSplit(parts: readonly DriverBuffer[], more = 0): number {
    const used = parts.map(() => this.#free.shift()!);
    parts.forEach((part, i) => {
      const last = i === parts.length - 1;
      this.descriptor(this.place.descriptors + 16 * used[i]!, part.address, part.length, more | (part.write ? DESCRIPTOR_WRITE : 0) | (last ? 0 : DESCRIPTOR_NEXT), last ? 0 : used[i + 1]!);
    });
    this.#chains.set(used[0]!, used);
    this.offer(used[0]!);
    return used[0]!;
  }

  /** Split: puts a descriptor's number, right or wrong, into the available ring. */
  offer(head: number): void {
    const { driver, size } = this.place;
    this.#memory.writeU16(driver + 4 + 2 * (this.#next % size), head);
    this.#next = (this.#next + 1) & 0xffff;
    this.#memory.writeU16(driver + 2, this.#next);
  }

  #addPacked(parts: readonly DriverBuffer[], more = 0): number {
    const id = this.#free.shift()!;
    const written: (() => void)[] = [];
    for (const [i, part] of parts.entries()) {
      const flags = more | (part.write ? DESCRIPTOR_WRITE : 0) | (i < parts.length - 1 ? DESCRIPTOR_NEXT : 0) | (this.#wrap ? 0x80 : 0x8000);
      const at = this.place.descriptors + 16 * this.#next;
      written.push(() => this.descriptor(at, part.address, part.length, id, flags));
      if (++this.#next === this.place.size) [this.#next, this.#wrap] = [0, !this.#wrap];
    }
    // The first descriptor comes last: it makes the whole chain available.
    for (const write of written.reverse()) write();
    this.#chains.set(id, parts.map((_, i) => i));
    return id;
  }

  /** What the device has given back since the last call. */
  take(): UsedBuffer[] {
    const found: UsedBuffer[] = [];
    for (let one = this.#takeOne(); one !== undefined; one = this.#takeOne()) {
      found.push(one);
      const chain = this.#chains.get(one.id)!;
      this.#chains.delete(one.id);
      this.#free.push(...(this.format === 'split' ? chain : [one.id]));
    }
    return found;
  }

  #takeOne(): UsedBuffer | undefined {
    const { descriptors, device, size } = this.place;
    if (this.format === 'split') {
      if (this.#memory.readU16(device + 2) === this.#used) return undefined;
      const at = device + 4 + 8 * (this.#used % size);
      this.#used = (this.#used + 1) & 0xffff;
      return { id: this.#memory.readU32(at), written: this.#memory.readU32(at + 4) };
    }
    const at = descriptors + 16 * this.#used;
    const flags = this.#memory.readU16(at + 14);
    if (((flags & 0x80) !== 0) !== this.#usedWrap || ((flags & 0x8000) !== 0) !== this.#usedWrap) return undefined;
    const one = { id: this.#memory.readU16(at + 12), written: this.#memory.readU32(at + 8) };
    this.#used += this.#chains.get(one.id)!.length;
    if (this.#used >= size) [this.#used, this.#usedWrap] = [this.#used - size, !this.#usedWrap];
    return one;
  }

  /** With the event index: asks for an interrupt when `ahead` more buffers than those taken are given back (0: the next). */
  interruptAfter(ahead: number): void {
    const { driver, size } = this.place;
    if (this.format === 'split') {
      this.#memory.writeU16(driver + 4 + 2 * size, this.#used + ahead);
      return;
    }
    const at = this.#used + ahead;
    const wrap = at < size ? this.#usedWrap : !this.#usedWrap;
    this.#memory.writeU16(driver, (at % size) | (wrap ? 0x8000 : 0));
    this.#memory.writeU16(driver + 2, 2);
  }
  /** Without the event index. */
  suppressInterrupts(suppress: boolean): void {
    this.#memory.writeU16(this.place.driver + (this.format === 'split' ? 0 : 2), suppress ? 1 : 0);
  }
  /** With the event index: whether the device wants to hear of the buffer that was added last. */
  get wantsNotification(): boolean {
    const { device, size } = this.place;
    if (this.format === 'split') return this.#memory.readU16(device + 4 + 8 * size) === ((this.#next - 1) & 0xffff);
    const event = this.#memory.readU16(device);
    const last = this.#next === 0 ? { index: size - 1, wrap: !this.#wrap } : { index: this.#next - 1, wrap: this.#wrap };
    return this.#memory.readU16(device + 2) === 2 && event === (last.index | (last.wrap ? 0x8000 : 0));
  }
}
