import type { Plain } from '../../base/plain.ts';
import { StateFields } from '../state-fields.ts';
import type { MacAddress } from './network-card.ts';

/** Levels of the lines to the part. */
export interface MicrowireLines {
  readonly select: boolean;
  readonly clock: boolean;
  readonly data: boolean;
}

/** Start bit and operation, then the address. */
const OPERATION_BITS = 3;
const ADDRESS_BITS = 6;
const ASKED = OPERATION_BITS + ADDRESS_BITS;
const READ = 6;
export const MICROWIRE_WORDS = 2 ** ADDRESS_BITS;

/** A card's address as its EEPROM has it: three words. */
export function macWords(mac: MacAddress): readonly number[] {
  return [0, 2, 4].map((i) => mac[i]! | (mac[i + 1]! << 8));
}

/** A serial EEPROM of 64 words, as network cards have it (93C46), read bit by bit. Writing is not enabled. */
export class Microwire {
  readonly #name: string;
  readonly #words: Uint16Array;
  #clock = false;
  /** Bits clocked in since the part was selected, and what they say. */
  #count = 0;
  #command = 0;
  #out = false;

  constructor(name: string, words: Uint16Array) {
    this.#name = name;
    this.#words = words;
  }

  word(address: number): number {
    return this.#words[address % MICROWIRE_WORDS]!;
  }

  /** The line from the part. */
  get out(): boolean {
    return this.#out;
  }

  drive({ select, clock, data }: MicrowireLines): void {
    const rises = clock && !this.#clock;
    this.#clock = clock;
    if (!select) this.#deselect();
    else if (rises) this.#shift(data);
  }

  #deselect(): void {
    this.#count = this.#command = 0;
    this.#out = false;
  }

  #shift(bit: boolean): void {
    if (this.#count < ASKED) {
      // What comes before the start bit is nothing.
      if (this.#count === 0 && !bit) return;
      this.#command = (this.#command << 1) | (bit ? 1 : 0);
      this.#out = false;
      this.#count++;
    } else {
      const at = this.#count++ - ASKED;
      const reads = this.#command >>> ADDRESS_BITS === READ;
      this.#out = reads && ((this.word((this.#command % MICROWIRE_WORDS) + (at >>> 4)) >>> (15 - (at & 15))) & 1) !== 0;
      if (at === 16 * MICROWIRE_WORDS - 1) this.#count = ASKED; // and around
    }
  }

  reset(): void {
    this.#clock = false;
    this.#deselect();
  }
  /** All but the lines to it, which are their driver's. */
  save(): { readonly [key: string]: Plain } {
    return { count: this.#count, command: this.#command, out: this.#out };
  }
  load(state: Plain, clock: boolean): void {
    const fields = new StateFields(this.#name, state, 1, 1);
    [this.#count, this.#command, this.#out] = [fields.integer('count', ASKED + 16 * MICROWIRE_WORDS), fields.integer('command', 2 ** ASKED - 1), fields.boolean('out')];
    this.#clock = clock;
  }
}
