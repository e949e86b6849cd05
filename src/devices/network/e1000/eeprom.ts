import type { Plain } from '../../../base/plain.ts';
import { StateFields } from '../../state-fields.ts';
import type { MacAddress } from '../network-card.ts';

// The card's EEPROM: a Microwire part of 64 words (8254x manual, sections 5.3 to 5.6), read bit by bit over EECD or by EERD.

const WORDS = 64;
const SUM_AT = 63;
const SUM = 0xbaba;
const DEVICE = 0x100e;
const VENDOR = 0x8086;

const CLOCK = 1;
const SELECT = 2;
const DATA_IN = 4;
const DATA_OUT = 8;
const WRITE_DISABLED = 0x10;
const REQUEST = 0x40;
const GRANT = 0x80;
const PRESENT = 0x100;
const DRIVEN = CLOCK | SELECT | DATA_IN | 0x30 | REQUEST;

/** Start bit and operation, then the address. */
const OPERATION_BITS = 3;
const ADDRESS_BITS = 6;
const READ = 6;

export class Eeprom {
  readonly #words: Uint16Array;
  #lines = WRITE_DISABLED;
  /** Bits clocked in since the part was selected, and what they say. */
  #count = 0;
  #command = 0;
  #out = false;

  constructor(mac: MacAddress) {
    const words = new Uint16Array(WORDS);
    for (let i = 0; i < 3; i++) words[i] = mac[2 * i]! | (mac[2 * i + 1]! << 8);
    words[0x0a] = 0x4408; // device and subsystem are those below
    words[0x0b] = DEVICE;
    words[0x0c] = VENDOR;
    words[0x0d] = DEVICE;
    words[0x0e] = VENDOR;
    words[SUM_AT] = SUM - words.reduce((sum, word) => sum + word, 0);
    this.#words = words;
  }

  word(address: number): number {
    return this.#words[address % WORDS]!;
  }

  /** EECD. */
  get control(): number {
    return this.#lines | ((this.#lines & REQUEST) !== 0 ? GRANT : 0) | PRESENT | (this.#out ? DATA_OUT : 0);
  }
  set control(value: number) {
    const before = this.#lines;
    this.#lines = value & DRIVEN;
    if ((this.#lines & SELECT) === 0) this.#deselect();
    else if ((this.#lines & ~before & CLOCK) !== 0) this.#clock((this.#lines & DATA_IN) !== 0);
  }

  #deselect(): void {
    this.#count = this.#command = 0;
    this.#out = false;
  }

  #clock(bit: boolean): void {
    const asked = OPERATION_BITS + ADDRESS_BITS;
    if (this.#count < asked) {
      // What comes before the start bit is nothing.
      if (this.#count === 0 && !bit) return;
      this.#command = (this.#command << 1) | (bit ? 1 : 0);
      this.#out = false;
      this.#count++;
    } else {
      const at = this.#count++ - asked;
      const reads = this.#command >>> ADDRESS_BITS === READ;
      this.#out = reads && ((this.word((this.#command % WORDS) + (at >>> 4)) >>> (15 - (at & 15))) & 1) !== 0;
      if (at === 16 * WORDS - 1) this.#count = asked; // and around
    }
  }

  reset(): void {
    this.#lines = WRITE_DISABLED;
    this.#deselect();
  }
  save(): Plain {
    return { lines: this.#lines, count: this.#count, command: this.#command, out: this.#out };
  }
  load(state: Plain): void {
    const fields = new StateFields('e1000 EEPROM', state, 1, 1);
    const asked = OPERATION_BITS + ADDRESS_BITS;
    [this.#lines, this.#count, this.#command, this.#out] = [fields.integer('lines', DRIVEN), fields.integer('count', asked + 16 * WORDS), fields.integer('command', 2 ** asked - 1), fields.boolean('out')];
  }
}
