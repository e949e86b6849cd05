import type { Plain } from '../../base/plain.ts';
import { LONGEST_FRAME } from '../../host/packets.ts';
import type { Frame, Offload } from '../../host/packets.ts';
import type { GuestMemory } from '../../memory/guest-memory.ts';
import type { StateFields } from '../state-fields.ts';
import { TAG_BYTES, behindTag, insertTag } from './vlan-tag.ts';

/** Addresses and type: what is shorter is no frame. */
export const LEAST_FRAME = 14;

/** A frame that a card collects from a guest's buffers until it is whole, with room for a tag. */
export class OutgoingFrame {
  readonly #memory: GuestMemory;
  readonly #buffer = new Uint8Array(LONGEST_FRAME);
  #length = 0;
  /** Longer than any frame can be: it is not sent. */
  #tooLong = false;

  constructor(memory: GuestMemory) {
    this.#memory = memory;
  }

  get length(): number {
    return this.#length;
  }
  /** What has been collected; may be changed in place. */
  get bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#length);
  }

  append(address: number, length: number): void {
    const room = this.#buffer.length - TAG_BYTES - this.#length;
    if (length > room) this.#tooLong = true;
    const count = Math.min(length, room);
    this.#memory.read(address, this.#buffer.subarray(this.#length, this.#length + count));
    this.#length += count;
  }

  /** Begins anew behind the frame, which goes to `sent` if it is one, with its tag put in. */
  finish(offload: Offload | undefined, tagged: { readonly type: number; readonly tag: number } | undefined, sent: (frame: Frame) => void): void {
    let length = this.#length;
    const whole = !this.#tooLong && length >= LEAST_FRAME;
    if (tagged !== undefined && whole) length = insertTag(this.#buffer, length, tagged.type, tagged.tag);
    const moved = tagged === undefined ? offload : behindTag(offload);
    this.reset();
    if (whole) sent({ bytes: this.#buffer.subarray(0, length), ...(moved === undefined ? {} : { offload: moved }) });
  }

  reset(): void {
    this.#length = 0;
    this.#tooLong = false;
  }
  save(): { readonly [key: string]: Plain } {
    return { packet: this.bytes.slice(), tooLong: this.#tooLong };
  }
  load(fields: StateFields): void {
    const packet = fields.bytes('packet', this.#buffer.length - TAG_BYTES);
    this.#tooLong = fields.boolean('tooLong');
    this.#buffer.set(packet);
    this.#length = packet.length;
  }
}
