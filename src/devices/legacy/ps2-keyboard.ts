import type { Plain, Stateful } from '../../base/plain.ts';
import { ByteQueue } from '../byte-queue.ts';
import { StateFields } from '../state-fields.ts';
import { BREAK_PREFIX, translateScancode } from './scancode-translation.ts';

const ACKNOWLEDGE = 0xfa;
const RESEND = 0xfe;
const SELF_TEST_PASSED = 0xaa;
/** Scan codes the keyboard keeps; a real one has 16, an answer needs room besides. */
const BUFFER_BYTES = 256;
const ANSWER_BYTES = 16;

/** PS/2 keyboard (IBM PS/2 Hardware Interface Technical Reference, keyboard commands). Serves one byte at a time. */
export class Ps2Keyboard implements Stateful {
  readonly stateName = 'ps2-keyboard';
  readonly stateVersion = 1;
  readonly #queue = new ByteQueue();
  /** Command that waits for its argument, or 0. */
  #command = 0;
  #scanning = true;
  #set = 2;
  #leds = 0;
  #typematic = 0x2b;
  #lastSent = 0;
  /** A break prefix was seen in host input for a guest that chose set 1. */
  #breakSeen = false;

  reset(): void {
    this.#queue.clear();
    this.#command = 0;
    this.#lastSent = 0;
    this.#breakSeen = false;
    this.#defaults();
    this.#scanning = true;
  }

  /** LED state that the guest set: bit 0 scroll, 1 number, 2 capitals lock. */
  get leds(): number {
    return this.#leds;
  }

  /** Key presses and releases as set 2 scan codes, each key's code whole. Dropped while scanning is off or no room. */
  press(scancodes: Uint8Array): void {
    if (!this.#scanning || this.#queue.length + scancodes.length > BUFFER_BYTES) return;
    for (const byte of scancodes) {
      if (this.#set === 2) this.#queue.push(byte);
      else if (byte === BREAK_PREFIX) this.#breakSeen = true;
      else {
        this.#queue.push(translateScancode(byte) | (this.#breakSeen ? 0x80 : 0));
        this.#breakSeen = false;
      }
    }
  }

  hasByte(): boolean {
    return this.#queue.length > 0;
  }

  /** Legal when `hasByte()`. */
  takeByte(): number {
    const byte = this.#queue.shift() ?? 0;
    if (byte !== RESEND) this.#lastSent = byte;
    return byte;
  }

  /** A byte from the host side of the cable. */
  command(byte: number): void {
    const pending = this.#command;
    this.#command = 0;
    // Values of 0x80 and above are never arguments (a new command replaces the one that waited).
    if (pending !== 0 && byte < 0x80) this.#argument(pending, byte);
    else this.#execute(byte);
  }

  #argument(command: number, value: number): void {
    switch (command) {
      case 0xed:
        this.#leds = value & 7;
        break;
      case 0xf3:
        this.#typematic = value & 0x7f;
        break;
      case 0xf0:
        if (value === 0) {
          this.#answer(ACKNOWLEDGE, this.#set);
          return;
        }
        // Set 3 is not offered: a keyboard that refuses it is handled by every driver.
        if (value !== 1 && value !== 2) {
          this.#answer(RESEND);
          return;
        }
        this.#set = value;
        break;
      default:
        break; // 0xfb..0xfd take key lists of set 3
    }
    this.#answer(ACKNOWLEDGE);
  }

  #execute(command: number): void {
    switch (command) {
      case 0xed: // LEDs
      case 0xf0: // scan code set
      case 0xf3: // typematic rate
      case 0xfb:
      case 0xfc:
      case 0xfd:
        this.#command = command;
        this.#answer(ACKNOWLEDGE);
        return;
      case 0xee:
        this.#answer(0xee);
        return;
      case 0xf2:
        this.#answer(ACKNOWLEDGE, 0xab, 0x83);
        return;
      case 0xf4:
        this.#queue.clear();
        this.#scanning = true;
        this.#answer(ACKNOWLEDGE);
        return;
      case 0xf5:
        this.#queue.clear();
        this.#defaults();
        this.#scanning = false;
        this.#answer(ACKNOWLEDGE);
        return;
      case 0xf6:
        this.#queue.clear();
        this.#defaults();
        this.#answer(ACKNOWLEDGE);
        return;
      case 0xf7:
      case 0xf8:
      case 0xf9:
      case 0xfa:
        this.#answer(ACKNOWLEDGE);
        return;
      case 0xfe:
        this.#answer(this.#lastSent);
        return;
      case 0xff:
        this.reset();
        this.#answer(ACKNOWLEDGE, SELF_TEST_PASSED);
        return;
      default:
        this.#answer(RESEND);
    }
  }

  #defaults(): void {
    this.#set = 2;
    this.#typematic = 0x2b;
    this.#leds = 0;
  }

  #answer(...bytes: number[]): void {
    if (this.#queue.length + bytes.length > BUFFER_BYTES + ANSWER_BYTES) return; // a guest that never reads
    for (const byte of bytes) this.#queue.push(byte);
  }

  save(): Plain {
    return {
      queue: this.#queue.toBytes(),
      command: this.#command,
      scanning: this.#scanning,
      set: this.#set,
      leds: this.#leds,
      typematic: this.#typematic,
      lastSent: this.#lastSent,
      breakSeen: this.#breakSeen,
    };
  }

  load(state: Plain, version: number): void {
    const fields = new StateFields(this.stateName, state, version, this.stateVersion);
    const queue = fields.bytes('queue', BUFFER_BYTES + ANSWER_BYTES);
    const command = fields.byte('command');
    const scanning = fields.boolean('scanning');
    const set = fields.integer('set', 2);
    const leds = fields.integer('leds', 7);
    const typematic = fields.integer('typematic', 0x7f);
    const lastSent = fields.byte('lastSent');
    const breakSeen = fields.boolean('breakSeen');
    this.#queue.replace(queue);
    this.#command = command;
    this.#scanning = scanning;
    this.#set = set;
    this.#leds = leds;
    this.#typematic = typematic;
    this.#lastSent = lastSent;
    this.#breakSeen = breakSeen;
  }
}
