import type { Plain } from '../../../base/plain.ts';
import { LONGEST_FRAME } from '../../../host/packets.ts';
import type { Frame } from '../../../host/packets.ts';
import type { GuestMemory } from '../../../memory/guest-memory.ts';
import { StateFields } from '../../state-fields.ts';
import { TAG_BYTES, TAG_TYPE, behindTag, insertTag } from '../vlan-tag.ts';
import { DESCRIPTOR_BYTES, FIRST, LAST, MOST_DESCRIPTORS, OWNED, RING_END, following } from './descriptor-ring.ts';
import { offloadOf } from './offload.ts';

const PART_BYTES = 0xffff;
const TAGGED = 0x20000;
const SHORTEST_SENT = 14;

/** One of the two rings from which a C+ sends. */
export class TransmitRing {
  readonly #name: string;
  readonly #memory: GuestMemory;
  readonly #packet = new Uint8Array(LONGEST_FRAME);
  #length = 0;
  /** Longer than any frame can be: it is not sent. */
  #tooLong = false;
  /** The first descriptor's flags and tag, which hold for the whole packet. */
  #flags = 0;
  #tag = 0;
  #index = 0;

  constructor(name: string, memory: GuestMemory) {
    this.#name = name;
    this.#memory = memory;
  }

  /** Takes what is the card's of a ring, at most once around; how many descriptors that was. */
  run(base: number, send: (frame: Frame) => void): number {
    for (let count = 0; count < MOST_DESCRIPTORS; count++) {
      const at = base + this.#index * DESCRIPTOR_BYTES;
      const flags = this.#memory.readU32(at);
      if ((flags & OWNED) === 0) return count;
      if ((flags & FIRST) !== 0) this.#begin(flags, this.#memory.readU32(at + 4));
      this.#append(this.#memory.readU32(at + 8) + this.#memory.readU32(at + 12) * 2 ** 32, flags & PART_BYTES);
      if ((flags & LAST) !== 0) this.#finish(send);
      this.#memory.writeU32(at, (flags & (RING_END | FIRST | LAST)) >>> 0);
      this.#index = following(this.#index, flags);
    }
    return MOST_DESCRIPTORS;
  }

  #begin(flags: number, tag: number): void {
    this.#length = 0;
    this.#tooLong = false;
    [this.#flags, this.#tag] = [flags >>> 0, tag >>> 0];
  }

  #append(address: number, length: number): void {
    const room = this.#packet.length - TAG_BYTES - this.#length;
    if (length > room) this.#tooLong = true;
    const count = Math.min(length, room);
    this.#memory.read(address, this.#packet.subarray(this.#length, this.#length + count));
    this.#length += count;
  }

  #finish(send: (frame: Frame) => void): void {
    let length = this.#length;
    const whole = !this.#tooLong && length >= SHORTEST_SENT;
    this.#length = 0;
    this.#tooLong = false;
    if (!whole) return;
    let offload = offloadOf(this.#packet.subarray(0, length), this.#flags);
    if ((this.#tag & TAGGED) !== 0) {
      // In memory the tag lies as on the wire.
      length = insertTag(this.#packet, length, TAG_TYPE, ((this.#tag & 0xff) << 8) | ((this.#tag >>> 8) & 0xff));
      offload = behindTag(offload);
    }
    send({ bytes: this.#packet.subarray(0, length), ...(offload === undefined ? {} : { offload }) });
  }

  /** To its first descriptor. */
  reset(): void {
    this.#begin(0, 0);
    this.#index = 0;
  }
  save(): Plain {
    return { packet: this.#packet.slice(0, this.#length), tooLong: this.#tooLong, flags: this.#flags, tag: this.#tag, index: this.#index };
  }
  load(state: Plain): void {
    const fields = new StateFields(this.#name, state, 1, 1);
    const packet = fields.bytes('packet', this.#packet.length - TAG_BYTES);
    [this.#tooLong, this.#flags, this.#tag, this.#index] = [fields.boolean('tooLong'), fields.integer('flags', 0xffffffff), fields.integer('tag', 0xffffffff), fields.integer('index', MOST_DESCRIPTORS - 1)];
    this.#packet.set(packet);
    this.#length = packet.length;
  }
}
