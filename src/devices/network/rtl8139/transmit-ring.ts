import type { Plain } from '../../../base/plain.ts';
import type { Frame } from '../../../host/packets.ts';
import type { GuestMemory } from '../../../memory/guest-memory.ts';
import { StateFields } from '../../state-fields.ts';
import { OutgoingFrame } from '../outgoing-frame.ts';
import { TAG_TYPE } from '../vlan-tag.ts';
import { DESCRIPTOR_BYTES, FIRST, LAST, MOST_DESCRIPTORS, OWNED, RING_END, following } from './descriptor-ring.ts';
import { offloadOf } from './offload.ts';

const PART_BYTES = 0xffff;
const TAGGED = 0x20000;

/** One of the two rings from which a C+ sends. */
export class TransmitRing {
  readonly #name: string;
  readonly #memory: GuestMemory;
  readonly #frame: OutgoingFrame;
  /** The first descriptor's flags and tag, which hold for the whole packet. */
  #flags = 0;
  #tag = 0;
  #index = 0;

  constructor(name: string, memory: GuestMemory) {
    this.#name = name;
    this.#memory = memory;
    this.#frame = new OutgoingFrame(memory);
  }

  /** Takes what is the card's of a ring, at most once around; how many descriptors that was. */
  run(base: number, send: (frame: Frame) => void): number {
    for (let count = 0; count < MOST_DESCRIPTORS; count++) {
      const at = base + this.#index * DESCRIPTOR_BYTES;
      const flags = this.#memory.readU32(at);
      if ((flags & OWNED) === 0) return count;
      if ((flags & FIRST) !== 0) this.#begin(flags, this.#memory.readU32(at + 4));
      this.#frame.append(this.#memory.readU32(at + 8) + this.#memory.readU32(at + 12) * 2 ** 32, flags & PART_BYTES);
      if ((flags & LAST) !== 0) this.#finish(send);
      this.#memory.writeU32(at, (flags & (RING_END | FIRST | LAST)) >>> 0);
      this.#index = following(this.#index, flags);
    }
    return MOST_DESCRIPTORS;
  }

  #begin(flags: number, tag: number): void {
    this.#frame.reset();
    [this.#flags, this.#tag] = [flags >>> 0, tag >>> 0];
  }

  #finish(send: (frame: Frame) => void): void {
    // In memory the tag lies as on the wire.
    const tagged = (this.#tag & TAGGED) === 0 ? undefined : { type: TAG_TYPE, tag: ((this.#tag & 0xff) << 8) | ((this.#tag >>> 8) & 0xff) };
    this.#frame.finish(offloadOf(this.#frame.bytes, this.#flags), tagged, send);
  }

  /** To its first descriptor. */
  reset(): void {
    this.#begin(0, 0);
    this.#index = 0;
  }
  save(): Plain {
    return { ...this.#frame.save(), flags: this.#flags, tag: this.#tag, index: this.#index };
  }
  load(state: Plain): void {
    const fields = new StateFields(this.#name, state, 1, 1);
    const [flags, tag, index] = [fields.integer('flags', 0xffffffff), fields.integer('tag', 0xffffffff), fields.integer('index', MOST_DESCRIPTORS - 1)];
    this.#frame.load(fields);
    [this.#flags, this.#tag, this.#index] = [flags, tag, index];
  }
}
