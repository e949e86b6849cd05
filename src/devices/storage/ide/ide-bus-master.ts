import type { AccessSize } from '../../../base/addresses.ts';
import type { Plain } from '../../../base/plain.ts';
import type { GuestMemory } from '../../../memory/guest-memory.ts';
import type { RegisterBlock } from '../../../wiring/register-block.ts';
import { StateFields } from '../../state-fields.ts';
import type { IdeDrive } from './ide-drive.ts';

// Programming Interface for Bus Master IDE Controller, revision 1.0.

const COMMAND = 0;
const STATUS = 2;
const TABLE = 4;
const COMMAND_START = 1;
const COMMAND_TO_MEMORY = 8;
const STATUS_ACTIVE = 1;
const STATUS_ERROR = 2;
const STATUS_INTERRUPT = 4;
const STATUS_DRIVES = 0x60;
const END_OF_TABLE = 0x80000000;

/** One channel's registers and its walk through the table of physical regions. */
export class BusMaster {
  readonly registers: RegisterBlock;
  readonly #memory: GuestMemory;
  readonly #drive: () => IdeDrive | undefined;
  #command = 0;
  #status = 0;
  #table = 0;
  /** Next entry of the table, or none; what is left of the entry under way. */
  #entry = 0;
  #last = false;
  #address = 0;
  #left = 0;

  constructor(memory: GuestMemory, drive: () => IdeDrive | undefined) {
    this.#memory = memory;
    this.#drive = drive;
    this.registers = {
      name: 'ide-bus-master', length: 8,
      read: (offset: number, size: AccessSize) => this.#read(offset, size),
      write: (offset: number, size: AccessSize, value: number) => this.#write(offset, size, value),
    };
  }

  reset(): void {
    this.#command = this.#status = this.#table = this.#entry = this.#address = this.#left = 0;
    this.#last = false;
  }

  /** The channel's interrupt has risen. */
  interrupted(): void {
    this.#status |= STATUS_INTERRUPT;
  }

  #read(offset: number, size: AccessSize): number {
    const bytes = [this.#command, 0, this.#status, 0, this.#table, this.#table >>> 8, this.#table >>> 16, this.#table >>> 24];
    let value = 0;
    for (let i = 0; i < size; i++) value |= ((bytes[offset + i] ?? 0xff) & 0xff) << (8 * i);
    return value >>> 0;
  }

  #write(offset: number, size: AccessSize, value: number): void {
    if (offset >= TABLE) {
      for (let i = 0; i < size && offset + i < 8; i++) {
        const shift = 8 * (offset + i - TABLE);
        this.#table = ((this.#table & ~(0xff << shift)) | (((value >>> (8 * i)) & 0xff) << shift) & ~(shift === 0 ? 3 : 0)) >>> 0;
      }
      return;
    }
    for (let i = 0; i < size; i++) {
      const byte = (value >>> (8 * i)) & 0xff;
      if (offset + i === COMMAND) this.#writeCommand(byte);
      else if (offset + i === STATUS) {
        this.#status = (this.#status & (STATUS_ACTIVE | (~byte & (STATUS_ERROR | STATUS_INTERRUPT)))) | (byte & STATUS_DRIVES);
      }
    }
  }

  #writeCommand(value: number): void {
    const starts = (value & COMMAND_START) !== 0 && (this.#command & COMMAND_START) === 0;
    this.#command = value & (COMMAND_START | COMMAND_TO_MEMORY);
    if ((value & COMMAND_START) === 0) this.#status &= ~STATUS_ACTIVE;
    if (!starts) return;
    this.#status |= STATUS_ACTIVE;
    this.#entry = this.#table;
    this.#last = false;
    this.#left = 0;
    this.proceed();
  }

  /** Moves a drive's buffer when both sides are ready. */
  proceed(): void {
    const drive = this.#drive();
    const direction = drive?.dmaDirection;
    if (drive === undefined || direction === undefined || (this.#status & STATUS_ACTIVE) === 0) return;
    const data = drive.dmaBuffer;
    for (let done = 0; done < data.length; ) {
      if (this.#left === 0 && !this.#nextEntry()) {
        // The table is shorter than the transfer: the drive waits, and the guest with it, until a reset.
        this.#status &= ~STATUS_ACTIVE;
        return;
      }
      const count = Math.min(this.#left, data.length - done);
      const piece = data.subarray(done, done + count);
      if (direction === 'in') this.#memory.write(this.#address, piece);
      else this.#memory.read(this.#address, piece);
      this.#address += count;
      this.#left -= count;
      done += count;
    }
    if (this.#left === 0 && this.#last) this.#status &= ~STATUS_ACTIVE;
    drive.dmaDone();
  }

  #nextEntry(): boolean {
    if (this.#last) return false;
    const address = this.#memory.readU32(this.#entry);
    const control = this.#memory.readU32(this.#entry + 4);
    this.#entry += 8;
    this.#address = (address & ~1) >>> 0;
    this.#left = control & 0xfffe || 0x10000;
    this.#last = (control & END_OF_TABLE) !== 0;
    return true;
  }

  save(): Plain {
    return { command: this.#command, status: this.#status, table: this.#table, entry: this.#entry, last: this.#last, address: this.#address, left: this.#left };
  }

  load(state: Plain): void {
    const fields = new StateFields('ide-bus-master', state, 1, 1);
    this.#command = fields.byte('command');
    this.#status = fields.byte('status');
    this.#table = fields.integer('table', 0xffffffff);
    this.#entry = fields.integer('entry', 2 ** 33);
    this.#last = fields.boolean('last');
    this.#address = fields.integer('address', 2 ** 33);
    this.#left = fields.integer('left', 0x10000);
  }
}
