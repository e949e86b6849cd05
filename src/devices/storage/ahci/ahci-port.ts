import type { Plain } from '../../../base/plain.ts';
import type { GuestMemory } from '../../../memory/guest-memory.ts';
import { StateFields } from '../../state-fields.ts';
import { ERROR_ABORTED, STATUS_BUSY } from '../ata/ata-disk.ts';
import type { AtaAnswer, AtaDisk, TaskFile } from '../ata/ata-disk.ts';
import { SLOTS, readSlot, writeTransferred } from './command-list.ts';
import type { SlotCommand } from './command-list.ts';
import { DISK_SIGNATURE, deviceBitsFis, parseCommand, pioSetupFis, registerFis } from './fis.ts';

// A port with a disk (AHCI 1.3.1, sections 3.3 and 5).

const LIST = 0x00;
const FIS = 0x08;
const INTERRUPT_STATUS = 0x10;
const INTERRUPT_ENABLE = 0x14;
const COMMAND = 0x18;
const TASK_FILE = 0x20;
const SIGNATURE = 0x24;
const LINK_STATUS = 0x28;
const LINK_CONTROL = 0x2c;
const LINK_ERROR = 0x30;
const ACTIVE = 0x34;
const ISSUE = 0x38;

const CMD_START = 1;
const CMD_SPIN_UP = 2;
const CMD_POWER = 4;
const CMD_OVERRIDE = 8;
const CMD_FIS_ENABLE = 0x10;
const CMD_FIS_RUNNING = 0x4000;
const CMD_RUNNING = 0x8000;
const CMD_WRITABLE = 0x0b000000 | CMD_START | CMD_FIS_ENABLE;
const CMD_SLOT_SHIFT = 8;

const IS_REGISTER_FIS = 1;
const IS_PIO_FIS = 2;
const IS_DEVICE_BITS_FIS = 8;
const IS_CONNECT = 0x40;
const IS_HOST_DATA_ERROR = 0x20000000;
const IS_TASK_FILE_ERROR = 0x40000000;
const IS_CLEARABLE = 0xfd8000ff & ~IS_CONNECT;

const PIO_FIS_AT = 0x20;
const REGISTER_FIS_AT = 0x40;
const DEVICE_BITS_FIS_AT = 0x58;
const FIS_AREA = 0x100;

/** Device present, 6 Gb/s, interface active. */
const LINK_UP = 0x133;
const ERROR_EXCHANGED = 0x04000000;
const AFTER_RESET = 0x0150; // error register 01h: diagnostics passed

export interface PortEvents {
  /** Interrupt status or enable has changed. */
  changed(): void;
  mayAccessMemory(): boolean;
}

export class AhciPort {
  readonly #disk: AtaDisk;
  readonly #memory: GuestMemory;
  readonly #events: PortEvents;
  #list = 0;
  #fis = 0;
  #status = 0;
  #enable = 0;
  #command = 0;
  #taskFile = AFTER_RESET;
  #signature = DISK_SIGNATURE;
  #control = 0;
  #error = 0;
  #active = 0;
  #issue = 0;
  /** The slot of the command at work that is not queued; -1: none. */
  #current = -1;
  /** Slots of queued commands at work. */
  #queued = 0;
  /** A command has failed: nothing is done until software stops the port. */
  #halted = false;
  #inSoftwareReset = false;
  /** The disk's first frame after a reset waits for software to make room for it. */
  #greeting = true;
  #epoch = 0;

  constructor(disk: AtaDisk, memory: GuestMemory, events: PortEvents) {
    this.#disk = disk;
    this.#memory = memory;
    this.#events = events;
  }

  get interrupting(): boolean {
    return (this.#interruptStatus() & this.#enable) !== 0;
  }
  #interruptStatus(): number {
    return this.#status | ((this.#error & ERROR_EXCHANGED) !== 0 ? IS_CONNECT : 0);
  }

  reset(): void {
    this.#list = this.#fis = this.#status = this.#enable = this.#command = this.#control = 0;
    this.#disk.writeCache = true;
    this.#linkReset();
    this.#error = 0;
  }

  /** COMRESET and what the disk answers. */
  #linkReset(): void {
    this.#drop();
    this.#disk.queueError = undefined;
    this.#taskFile = AFTER_RESET;
    this.#signature = DISK_SIGNATURE;
    this.#error = ERROR_EXCHANGED;
    this.#inSoftwareReset = false;
    this.#greeting = true;
    this.#greet();
  }

  /** Nothing at work is answered any more. */
  halt(): void {
    this.#epoch++;
    this.#disk.abandon();
  }

  /** Forgets all commands. */
  #drop(): void {
    this.halt();
    this.#active = this.#issue = this.#queued = 0;
    this.#current = -1;
    this.#halted = false;
    this.#taskFile &= ~STATUS_BUSY;
  }

  read(offset: number): number {
    switch (offset) {
      case LIST: return this.#list % 2 ** 32;
      case LIST + 4: return Math.floor(this.#list / 2 ** 32);
      case FIS: return this.#fis % 2 ** 32;
      case FIS + 4: return Math.floor(this.#fis / 2 ** 32);
      case INTERRUPT_STATUS: return this.#interruptStatus() >>> 0;
      case INTERRUPT_ENABLE: return this.#enable;
      case COMMAND: return this.#readCommand();
      case TASK_FILE: return this.#taskFile;
      case SIGNATURE: return this.#signature;
      case LINK_STATUS: return (this.#control & 15) === 0 ? LINK_UP : 0;
      case LINK_CONTROL: return this.#control;
      case LINK_ERROR: return this.#error;
      case ACTIVE: return this.#active >>> 0;
      case ISSUE: return this.#issue >>> 0;
      default: return 0;
    }
  }

  #readCommand(): number {
    const running = (this.#command & CMD_START) !== 0 ? CMD_RUNNING | (Math.max(0, this.#current) << CMD_SLOT_SHIFT) : 0;
    return (this.#command | CMD_SPIN_UP | CMD_POWER | running | ((this.#command & CMD_FIS_ENABLE) !== 0 ? CMD_FIS_RUNNING : 0)) >>> 0;
  }

  write(offset: number, value: number): void {
    switch (offset) {
      case LIST: this.#list = this.#list - (this.#list % 2 ** 32) + ((value & ~0x3ff) >>> 0); return;
      // Only what a physical address can have, so that the number stays exact.
      case LIST + 4: this.#list = (this.#list % 2 ** 32) + (value & 0xfffff) * 2 ** 32; return;
      case FIS: this.#fis = this.#fis - (this.#fis % 2 ** 32) + ((value & ~0xff) >>> 0); return;
      case FIS + 4: this.#fis = (this.#fis % 2 ** 32) + (value & 0xfffff) * 2 ** 32; return;
      case INTERRUPT_STATUS: this.#status &= ~(value & IS_CLEARABLE); break;
      case INTERRUPT_ENABLE: this.#enable = (value & 0xfdc000ff) >>> 0; break;
      case COMMAND: this.#writeCommand(value); break;
      case LINK_CONTROL: this.#writeControl(value & 0xfff); break;
      case LINK_ERROR: this.#error = (this.#error & ~value) >>> 0; break;
      case ACTIVE: if ((this.#command & CMD_START) !== 0) this.#active |= value; return;
      case ISSUE:
        if ((this.#command & CMD_START) === 0) return;
        this.#issue |= value;
        this.work();
        return;
      default: return;
    }
    this.#events.changed();
  }

  #writeCommand(value: number): void {
    const before = this.#command;
    this.#command = (value & CMD_WRITABLE) >>> 0;
    if ((value & CMD_OVERRIDE) !== 0) this.#taskFile &= ~0x88; // BSY and DRQ
    if ((before & ~value & CMD_START) !== 0) this.#drop();
    this.#greet();
    this.work();
  }

  #writeControl(value: number): void {
    const before = this.#control & 15;
    this.#control = value;
    // 10.4.2: leaving DET = 1 ends the reset, and the link comes up again.
    if (before === 1 && (value & 15) === 0) this.#linkReset();
    else if ((value & 15) !== 0) this.#drop();
  }

  /** The disk shows its signature as soon as frames are received. */
  #greet(): void {
    if (!this.#greeting || (this.#command & CMD_FIS_ENABLE) === 0 || !this.#events.mayAccessMemory()) return;
    this.#greeting = false;
    this.#post(REGISTER_FIS_AT, registerFis({ status: this.#taskFile & 0xff, error: this.#taskFile >> 8, lba: 1, count: 1, device: 0 }, false), 0);
  }

  #post(at: number, fis: Uint8Array, interrupt: number): void {
    if ((this.#command & CMD_FIS_ENABLE) !== 0 && this.#memory.contains(this.#fis, FIS_AREA)) this.#memory.write(this.#fis + at, fis);
    this.#status |= interrupt;
  }

  /** Takes up what was issued: queued commands at once, others one at a time. */
  work(): void {
    while (this.#current < 0 && !this.#halted && (this.#command & CMD_START) !== 0 && this.#events.mayAccessMemory()) {
      const waiting = this.#issue & ~this.#queued;
      if (waiting === 0) return;
      this.#begin(31 - Math.clz32(waiting & -waiting));
    }
  }

  #begin(slot: number): void {
    const found = readSlot(this.#memory, this.#list, slot);
    const command = found === undefined ? undefined : parseCommand(found.fis);
    if (found === undefined || command === undefined) {
      this.#halted = true;
      this.#status |= IS_HOST_DATA_ERROR;
      this.#events.changed();
    } else if (command.control) this.#controlFrame(slot, command.softwareReset);
    else if (this.#disk.protocol(command.file.command) === 'queued') this.#beginQueued(slot, command.file, found);
    else this.#beginPlain(slot, command.file, found);
  }

  /** Software reset is over when SRST goes back to 0: then the disk shows its signature. */
  #controlFrame(slot: number, softwareReset: boolean): void {
    this.#issue &= ~(1 << slot);
    if (this.#inSoftwareReset && !softwareReset) {
      this.#taskFile = AFTER_RESET;
      this.#greeting = true;
      this.#greet();
    }
    this.#inSoftwareReset = softwareReset;
  }

  #run(file: TaskFile, { data }: SlotCommand, done: (answer: AtaAnswer) => void): void {
    const epoch = this.#epoch;
    void this.#disk.execute(file, data).then((answer) => {
      if (answer === undefined || epoch !== this.#epoch) return;
      done(answer);
      this.#events.changed();
      this.work();
    });
  }

  #beginPlain(slot: number, file: TaskFile, found: SlotCommand): void {
    this.#current = slot;
    this.#taskFile |= STATUS_BUSY;
    this.#run(file, found, (answer) => this.#endPlain(slot, file, answer));
  }

  #endPlain(slot: number, file: TaskFile, answer: AtaAnswer): void {
    const protocol = this.#disk.protocol(file.command);
    const values = { status: answer.status, error: answer.error, lba: answer.lba ?? file.lba, count: answer.count ?? 0, device: file.device };
    this.#current = -1;
    this.#taskFile = answer.status | (answer.error << 8);
    writeTransferred(this.#memory, this.#list, slot, answer.bytes ?? 0);
    if (protocol === 'pio-in' && answer.error === 0) this.#post(PIO_FIS_AT, pioSetupFis({ ...values, status: answer.status | 0x08 }, true, answer.status, answer.bytes ?? 0), IS_PIO_FIS);
    else this.#post(REGISTER_FIS_AT, registerFis(values, true), IS_REGISTER_FIS);
    if (answer.error !== 0) this.#fail();
    else this.#issue &= ~(1 << slot);
  }

  /** 6.2.2: the failed command stays issued, and software has to stop the port. */
  #fail(): void {
    this.#halted = true;
    this.#status |= IS_TASK_FILE_ERROR;
  }

  /** The disk takes a queued command at once, and says later, by its tag, that it is done. */
  #beginQueued(slot: number, file: TaskFile, found: SlotCommand): void {
    const bit = 1 << slot;
    this.#queued |= bit;
    this.#active |= bit;
    this.#issue &= ~bit;
    // The tag is in the count's upper bits, and is the slot's number (5.6.4.1).
    if (file.count >> 3 !== slot) this.#endQueued(slot, file, { status: 0x51, error: ERROR_ABORTED });
    else this.#run(file, found, (answer) => this.#endQueued(slot, file, answer));
  }

  #endQueued(slot: number, file: TaskFile, answer: AtaAnswer): void {
    const bit = 1 << slot;
    this.#queued &= ~bit;
    this.#taskFile = (this.#taskFile & STATUS_BUSY) | answer.status | (answer.error << 8);
    if (answer.error !== 0) {
      this.#disk.queueError = { tag: slot, error: answer.error, lba: answer.lba ?? file.lba };
      this.#post(DEVICE_BITS_FIS_AT, deviceBitsFis(answer.status, answer.error, 0), IS_DEVICE_BITS_FIS);
      this.#fail();
    } else {
      this.#active &= ~bit;
      this.#post(DEVICE_BITS_FIS_AT, deviceBitsFis(answer.status, 0, bit >>> 0), IS_DEVICE_BITS_FIS);
    }
    this.#events.changed();
  }

  save(): Plain {
    const { queueError } = this.#disk;
    return {
      list: this.#list, fis: this.#fis, status: this.#status >>> 0, enable: this.#enable, command: this.#command, taskFile: this.#taskFile, signature: this.#signature,
      control: this.#control, error: this.#error, active: this.#active >>> 0, issue: this.#issue >>> 0, current: this.#current + 1, queued: this.#queued >>> 0,
      halted: this.#halted, inSoftwareReset: this.#inSoftwareReset, greeting: this.#greeting, writeCache: this.#disk.writeCache,
      queueError: queueError === undefined ? [] : [queueError.tag, queueError.error, queueError.lba],
    };
  }

  /** Commands at work are done anew: their slots are as they were. */
  load(state: Plain): void {
    const fields = new StateFields('ahci', state, 1, 1);
    const word = (key: string): number => fields.integer(key, 0xffffffff);
    const registers = [word('status'), word('enable'), word('command'), word('taskFile'), word('signature'), word('control'), word('error'), word('active'), word('issue')] as const;
    const addresses = [fields.integer('list', 2 ** 52), fields.integer('fis', 2 ** 52)] as const;
    const [current, queued] = [fields.integer('current', SLOTS) - 1, word('queued')];
    const flags = [fields.boolean('halted'), fields.boolean('inSoftwareReset'), fields.boolean('greeting'), fields.boolean('writeCache')] as const;
    const queueError = fields.integers('queueError', 3, 2 ** 48);
    this.#drop();
    [this.#status, this.#enable, this.#command, this.#taskFile, this.#signature, this.#control, this.#error, this.#active, this.#issue] = registers;
    [this.#list, this.#fis] = addresses;
    [this.#halted, this.#inSoftwareReset, this.#greeting, this.#disk.writeCache] = flags;
    this.#disk.queueError = queueError.length === 3 ? { tag: queueError[0]!, error: queueError[1]!, lba: queueError[2]! } : undefined;
    this.#queued = queued;
    for (let slot = 0; slot < SLOTS; slot++) if ((queued & (1 << slot)) !== 0) this.#again(slot, true);
    if (current >= 0) this.#again(current, false);
  }

  #again(slot: number, queued: boolean): void {
    const found = readSlot(this.#memory, this.#list, slot);
    const command = found === undefined ? undefined : parseCommand(found.fis);
    if (found === undefined || command === undefined) return;
    if (queued) this.#run(command.file, found, (answer) => this.#endQueued(slot, command.file, answer));
    else this.#beginPlain(slot, command.file, found);
  }
}
