import type { Plain } from '../../../base/plain.ts';
import { StateFields } from '../../state-fields.ts';
import { MICROWIRE_WORDS, Microwire, macWords } from '../microwire.ts';
import type { MacAddress } from '../network-card.ts';

// The card's EEPROM: a Microwire part of 64 words (8254x manual, sections 5.3 to 5.6), read bit by bit over EECD or by EERD.

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

export class Eeprom {
  readonly #part: Microwire;
  #lines = WRITE_DISABLED;

  constructor(mac: MacAddress) {
    const words = new Uint16Array(MICROWIRE_WORDS);
    words.set(macWords(mac));
    words[0x0a] = 0x4408; // device and subsystem are those below
    words[0x0b] = DEVICE;
    words[0x0c] = VENDOR;
    words[0x0d] = DEVICE;
    words[0x0e] = VENDOR;
    words[MICROWIRE_WORDS - 1] = SUM - words.reduce((sum, word) => sum + word, 0);
    this.#part = new Microwire('e1000 EEPROM', words);
  }

  word(address: number): number {
    return this.#part.word(address);
  }

  /** EECD. */
  get control(): number {
    return this.#lines | ((this.#lines & REQUEST) !== 0 ? GRANT : 0) | PRESENT | (this.#part.out ? DATA_OUT : 0);
  }
  set control(value: number) {
    this.#lines = value & DRIVEN;
    this.#part.drive({ select: (value & SELECT) !== 0, clock: (value & CLOCK) !== 0, data: (value & DATA_IN) !== 0 });
  }

  reset(): void {
    this.#lines = WRITE_DISABLED;
    this.#part.reset();
  }
  save(): Plain {
    return { lines: this.#lines, ...this.#part.save() };
  }
  load(state: Plain): void {
    const fields = new StateFields('e1000 EEPROM', state, 1, 1);
    const lines = fields.integer('lines', DRIVEN);
    this.#part.load(state, (lines & CLOCK) !== 0);
    this.#lines = lines;
  }
}
