import type { AccessSize } from '../../base/addresses.ts';
import type { Plain, Stateful } from '../../base/plain.ts';
import type { LevelLine } from '../../wiring/interrupt-line.ts';
import type { RegisterBlock } from '../../wiring/register-block.ts';
import { ByteQueue } from '../byte-queue.ts';
import { StateFields } from '../state-fields.ts';
import type { A20Gate } from './a20-gate.ts';
import { Ps2Keyboard } from './ps2-keyboard.ts';
import { Ps2Mouse } from './ps2-mouse.ts';
import { BREAK_PREFIX, translateScancode } from './scancode-translation.ts';

// Intel 8042 as keyboard and auxiliary device controller: IBM PS/2 Hardware Interface Technical Reference.

const STATUS_OUTPUT_FULL = 0x01;
const STATUS_SYSTEM = 0x04;
const STATUS_COMMAND = 0x08;
const STATUS_UNLOCKED = 0x10;
const STATUS_AUXILIARY = 0x20;

const MODE_KEYBOARD_INTERRUPT = 0x01;
const MODE_AUXILIARY_INTERRUPT = 0x02;
const MODE_SYSTEM = 0x04;
const MODE_KEYBOARD_OFF = 0x10;
const MODE_AUXILIARY_OFF = 0x20;
const MODE_TRANSLATE = 0x40;

const OUTPUT_NOT_RESET = 0x01;
const OUTPUT_A20 = 0x02;
/** Reset line high, A20 open, clock and data lines high. */
const OUTPUT_PORT_INITIAL = 0xcf;

const RAM_BYTES = 32;
const CONTROLLER_QUEUE_BYTES = 16;
/** Input port: keyboard not locked, no manufacturing jumper. */
const INPUT_PORT = 0x80;

export interface I8042Options {
  /** IRQ 1 and IRQ 12: high while the output buffer holds a byte for them. Edge-triggered inputs see each byte rise. */
  readonly keyboardLine: LevelLine;
  readonly mouseLine: LevelLine;
  readonly a20: A20Gate;
  /** The guest pulsed the processor's reset line. */
  readonly reset: () => void;
}

/** PS/2 controller with a keyboard and a mouse attached. */
export class I8042 implements Stateful {
  readonly stateName = 'i8042';
  readonly stateVersion = 1;
  /** Port 60h. */
  readonly dataPort: RegisterBlock;
  /** Port 64h: status when read, command when written. */
  readonly commandPort: RegisterBlock;

  readonly #options: I8042Options;
  readonly #keyboard = new Ps2Keyboard();
  readonly #mouse = new Ps2Mouse();
  readonly #ram = new Uint8Array(RAM_BYTES);
  /** Answers of the controller itself; each is followed by 1 when it goes out as auxiliary data. */
  readonly #answers = new ByteQueue();
  #outputPort = OUTPUT_PORT_INITIAL;
  /** Command that waits for its byte at port 60h, or 0. */
  #command = 0;
  #lastWriteCommand = false;
  /** The output buffer: full or not, the byte, and whether it is auxiliary data. */
  #full = false;
  #data = 0;
  #auxiliary = false;
  #breakSeen = false;

  constructor(options: I8042Options) {
    this.#options = options;
    this.dataPort = {
      name: 'i8042-data',
      length: 1,
      read: (_offset: number, _size: AccessSize) => this.#readData(),
      write: (_offset: number, _size: AccessSize, value: number) => this.#writeData(value & 0xff),
    };
    this.commandPort = {
      name: 'i8042-command',
      length: 1,
      read: (_offset: number, _size: AccessSize) => this.#status(),
      write: (_offset: number, _size: AccessSize, value: number) => this.#writeCommand(value & 0xff),
    };
    this.reset();
  }

  /** As firmware leaves it: both devices on, translation on, interrupts of the keyboard on, A20 open. */
  reset(): void {
    this.#keyboard.reset();
    this.#mouse.reset();
    this.#ram.fill(0);
    this.#ram[0] = MODE_KEYBOARD_INTERRUPT | MODE_AUXILIARY_INTERRUPT | MODE_SYSTEM | MODE_TRANSLATE;
    this.#answers.clear();
    this.#outputPort = OUTPUT_PORT_INITIAL;
    this.#command = this.#data = 0;
    this.#lastWriteCommand = this.#full = this.#auxiliary = this.#breakSeen = false;
    this.#options.a20.setKeyboard(true);
    this.#update();
  }

  /** Host input: set 2 scan codes, each key's code (with its 0xe0 and 0xf0 prefixes) whole. */
  keyboard(scancodes: Uint8Array): void {
    this.#keyboard.press(scancodes);
    this.#fillOutput();
  }

  /** Host input: movement in counts (right and up positive), buttons: bit 0 left, 1 right, 2 middle; wheel up positive. */
  mouse(dx: number, dy: number, buttons: number, wheel = 0): void {
    this.#mouse.move(dx, dy, buttons, wheel);
    this.#fillOutput();
  }

  get #mode(): number {
    return this.#ram[0]!;
  }

  #status(): number {
    return (
      STATUS_UNLOCKED |
      (this.#full ? STATUS_OUTPUT_FULL | (this.#auxiliary ? STATUS_AUXILIARY : 0) : 0) |
      (this.#mode & MODE_SYSTEM ? STATUS_SYSTEM : 0) |
      (this.#lastWriteCommand ? STATUS_COMMAND : 0)
    );
  }

  #readData(): number {
    const byte = this.#data;
    if (this.#full) {
      this.#full = false;
      this.#update(); // the line falls between two bytes, so an edge-triggered input sees both
      this.#fillOutput();
    }
    return byte;
  }

  #writeData(value: number): void {
    this.#lastWriteCommand = false;
    const command = this.#command;
    this.#command = 0;
    if (command >= 0x60 && command <= 0x7f) {
      this.#ram[command & 0x1f] = value;
    } else {
      switch (command) {
        case 0xd1:
          this.#writeOutputPort(value);
          break;
        case 0xd2:
          this.#answer(value, false);
          break;
        case 0xd3:
          this.#answer(value, true);
          break;
        case 0xd4:
          this.#ram[0] = this.#mode & ~MODE_AUXILIARY_OFF; // sending opens the clock line
          this.#mouse.command(value);
          break;
        default:
          this.#ram[0] = this.#mode & ~MODE_KEYBOARD_OFF;
          this.#keyboard.command(value);
      }
    }
    this.#update();
    this.#fillOutput();
  }

  #writeCommand(command: number): void {
    this.#lastWriteCommand = true;
    this.#command = 0;
    if (command >= 0x20 && command <= 0x3f) this.#answer(this.#ram[command & 0x1f]!, false);
    else if (command >= 0x60 && command <= 0x7f) this.#command = command;
    else if (command >= 0xf0) this.#pulse(command & 0x0f);
    else this.#execute(command);
    this.#update();
    this.#fillOutput();
  }

  #execute(command: number): void {
    switch (command) {
      case 0xa7:
        this.#ram[0] = this.#mode | MODE_AUXILIARY_OFF;
        break;
      case 0xa8:
        this.#ram[0] = this.#mode & ~MODE_AUXILIARY_OFF;
        break;
      case 0xa9:
      case 0xab:
        this.#answer(0x00, false); // interface test: no fault
        break;
      case 0xaa:
        // The self test leaves the devices' lines closed and sets the system flag.
        this.#ram[0] = (this.#mode & MODE_TRANSLATE) | MODE_SYSTEM | MODE_KEYBOARD_OFF | MODE_AUXILIARY_OFF;
        this.#answers.clear();
        this.#full = false;
        this.#answer(0x55, false);
        break;
      case 0xad:
        this.#ram[0] = this.#mode | MODE_KEYBOARD_OFF;
        break;
      case 0xae:
        this.#ram[0] = this.#mode & ~MODE_KEYBOARD_OFF;
        break;
      case 0xc0:
        this.#answer(INPUT_PORT, false);
        break;
      case 0xd0:
        this.#answer(this.#outputPortNow(), false);
        break;
      case 0xd1:
      case 0xd2:
      case 0xd3:
      case 0xd4:
        this.#command = command;
        break;
      case 0xdd:
        this.#writeOutputPort(this.#outputPort & ~OUTPUT_A20);
        break;
      case 0xdf:
        this.#writeOutputPort(this.#outputPort | OUTPUT_A20);
        break;
      default:
        break; // unknown commands are ignored
    }
  }

  /** Pulses low the output port's bits that are 0 in `mask`; bit 0 is the processor's reset line. */
  #pulse(mask: number): void {
    if (!(mask & OUTPUT_NOT_RESET)) this.#options.reset();
  }

  #outputPortNow(): number {
    const full = this.#full ? (this.#auxiliary ? 0x20 : 0x10) : 0;
    return (this.#outputPort & ~0x30) | full;
  }

  #writeOutputPort(value: number): void {
    this.#outputPort = value & ~0x30;
    this.#options.a20.setKeyboard((value & OUTPUT_A20) !== 0);
    if (!(value & OUTPUT_NOT_RESET)) this.#options.reset();
  }

  #answer(byte: number, auxiliary: boolean): void {
    if (this.#answers.length >= CONTROLLER_QUEUE_BYTES) return; // a guest that never reads
    this.#answers.push(byte);
    this.#answers.push(auxiliary ? 1 : 0);
  }

  #fillOutput(): void {
    if (this.#full) return;
    if (this.#answers.length > 0) {
      this.#present(this.#answers.shift()!, this.#answers.shift() === 1);
      return;
    }
    while (!(this.#mode & MODE_KEYBOARD_OFF) && this.#keyboard.hasByte()) {
      const byte = this.#keyboard.takeByte();
      if (!(this.#mode & MODE_TRANSLATE)) {
        this.#present(byte, false);
        return;
      }
      if (byte === BREAK_PREFIX) {
        this.#breakSeen = true;
        continue;
      }
      const translated = translateScancode(byte) | (this.#breakSeen ? 0x80 : 0);
      this.#breakSeen = false;
      this.#present(translated, false);
      return;
    }
    if (!(this.#mode & MODE_AUXILIARY_OFF) && this.#mouse.hasByte()) this.#present(this.#mouse.takeByte(), true);
  }

  #present(byte: number, auxiliary: boolean): void {
    this.#full = true;
    this.#data = byte;
    this.#auxiliary = auxiliary;
    this.#update();
  }

  #update(): void {
    const { keyboardLine, mouseLine } = this.#options;
    keyboardLine.set(this.#full && !this.#auxiliary && (this.#mode & MODE_KEYBOARD_INTERRUPT) !== 0);
    mouseLine.set(this.#full && this.#auxiliary && (this.#mode & MODE_AUXILIARY_INTERRUPT) !== 0);
  }

  save(): Plain {
    return {
      keyboard: this.#keyboard.save(),
      keyboardVersion: this.#keyboard.stateVersion,
      mouse: this.#mouse.save(),
      mouseVersion: this.#mouse.stateVersion,
      ram: this.#ram.slice(),
      answers: this.#answers.toBytes(),
      outputPort: this.#outputPort,
      command: this.#command,
      lastWriteCommand: this.#lastWriteCommand,
      full: this.#full,
      data: this.#data,
      auxiliary: this.#auxiliary,
      breakSeen: this.#breakSeen,
    };
  }

  load(state: Plain, version: number): void {
    const fields = new StateFields(this.stateName, state, version, this.stateVersion);
    const loaded = {
      ram: fields.exactBytes('ram', RAM_BYTES),
      answers: fields.bytes('answers', CONTROLLER_QUEUE_BYTES),
      outputPort: fields.byte('outputPort'),
      command: fields.byte('command'),
      lastWriteCommand: fields.boolean('lastWriteCommand'),
      full: fields.boolean('full'),
      data: fields.byte('data'),
      auxiliary: fields.boolean('auxiliary'),
      breakSeen: fields.boolean('breakSeen'),
    };
    this.#keyboard.load(fields.nested('keyboard'), fields.integer('keyboardVersion', 0xffff));
    this.#mouse.load(fields.nested('mouse'), fields.integer('mouseVersion', 0xffff));
    this.#ram.set(loaded.ram);
    this.#answers.replace(loaded.answers);
    this.#outputPort = loaded.outputPort;
    this.#command = loaded.command;
    this.#lastWriteCommand = loaded.lastWriteCommand;
    this.#full = loaded.full;
    this.#data = loaded.data;
    this.#auxiliary = loaded.auxiliary;
    this.#breakSeen = loaded.breakSeen;
    this.#options.a20.setKeyboard((this.#outputPort & OUTPUT_A20) !== 0);
    this.#update();
  }
}
