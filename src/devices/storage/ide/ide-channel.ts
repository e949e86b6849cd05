import type { AccessSize } from '../../../base/addresses.ts';
import { StateError } from '../../../base/errors.ts';
import type { Plain } from '../../../base/plain.ts';
import type { BlockPort } from '../../../host/blocks.ts';
import type { GuestMemory } from '../../../memory/guest-memory.ts';
import type { LevelLine } from '../../../wiring/interrupt-line.ts';
import type { RegisterBlock } from '../../../wiring/register-block.ts';
import { StateFields } from '../../state-fields.ts';
import { IdeDisk } from './ide-disk.ts';
import { IdeCdrom } from './ide-cdrom.ts';
import { BusMaster } from './ide-bus-master.ts';
import type { IdeDrive } from './ide-drive.ts';

const DEVICE = 6;
const STATUS = 7;
const DEVICE_SECOND = 0x10;
const CONTROL_NO_INTERRUPT = 2;
const CONTROL_RESET = 4;
const STATUS_BUSY = 0x80;
/** Nobody drives the lines: data line 7, the busy bit, is pulled down (ATA/ATAPI-6, 7.2). */
const NOBODY = 0x7f;

export type IdeMedium = { readonly kind: 'disk'; readonly block: BlockPort; readonly name: string } | { readonly kind: 'cdrom'; readonly block: BlockPort | undefined };

export interface IdeChannelOptions {
  readonly memory: GuestMemory;
  readonly line: LevelLine;
  /** The first and the second drive. */
  readonly media: readonly (IdeMedium | undefined)[];
}

/** One cable with up to two drives (ATA/ATAPI-6, section 7), and its half of the bus master. */
export class IdeChannel {
  /** Eight registers: data, error and features, count, address, device, status and command. */
  readonly commandBlock: RegisterBlock;
  /** Alternate status and device control. */
  readonly controlBlock: RegisterBlock;
  readonly busMaster: BusMaster;
  readonly #line: LevelLine;
  readonly #drives: readonly (IdeDrive | undefined)[];
  #second = false;
  #control = 0;
  #interrupt = false;

  constructor(name: string, options: IdeChannelOptions) {
    this.#line = options.line;
    this.#drives = options.media.map((medium, i) => (medium === undefined ? undefined : this.#makeDrive(medium, i === 1)));
    this.busMaster = new BusMaster(options.memory, () => this.#selected());
    this.commandBlock = {
      name: `${name}-command`, length: 8,
      read: (offset: number, size: AccessSize) => this.#read(offset, size),
      write: (offset: number, size: AccessSize, value: number) => this.#write(offset, size, value),
    };
    this.controlBlock = {
      name: `${name}-control`, length: 1,
      read: () => this.#status(),
      write: (_offset: number, _size: AccessSize, value: number) => this.#writeControl(value & 0xff),
    };
  }

  #makeDrive(medium: IdeMedium, second: boolean): IdeDrive {
    const cable = {
      interrupt: (): void => {
        // A drive that is not selected keeps its interrupt to itself.
        if (this.#second === second) this.#raise();
      },
      dmaReady: (): void => this.busMaster.proceed(),
    };
    return medium.kind === 'disk' ? new IdeDisk(medium.block, cable, medium.name) : new IdeCdrom(medium.block, cable);
  }

  /** The first CD-ROM drive at this cable. */
  get cdrom(): IdeCdrom | undefined {
    return this.#drives.find((drive) => drive instanceof IdeCdrom);
  }
  get hasDrives(): boolean {
    return this.#drives.some((drive) => drive !== undefined);
  }

  reset(): void {
    for (const drive of this.#drives) drive?.reset();
    this.busMaster.reset();
    this.#second = false;
    this.#control = 0;
    this.#lower();
  }

  #selected(): IdeDrive | undefined {
    return this.#drives[this.#second ? 1 : 0];
  }

  /** Where only one drive is, it answers for the other, with a status of 0. */
  #status(): number {
    if (!this.hasDrives) return NOBODY;
    if ((this.#control & CONTROL_RESET) !== 0) return STATUS_BUSY;
    return this.#selected()?.status ?? 0;
  }

  #read(offset: number, size: AccessSize): number {
    const drive = this.#selected();
    if (offset === 0) return drive === undefined ? 0xffffffff : drive.readData(size);
    let value = 0;
    for (let i = 0; i < size; i++) value |= this.#readRegister(offset + i) << (8 * i);
    return value >>> 0;
  }

  #readRegister(offset: number): number {
    if (!this.hasDrives) return NOBODY;
    if (offset === STATUS) {
      this.#lower();
      return this.#status();
    }
    const drive = this.#selected() ?? this.#drives.find((other) => other !== undefined)!;
    if (offset === 1) return drive.error;
    if (offset === DEVICE) return (drive.registers[DEVICE]! & ~DEVICE_SECOND) | (this.#second ? DEVICE_SECOND : 0) | 0xa0;
    // HOB: what the register held before the last write.
    return ((this.#control & 0x80) !== 0 ? drive.previous : drive.registers)[offset]!;
  }

  #write(offset: number, size: AccessSize, value: number): void {
    if (offset === 0) {
      this.#selected()?.writeData(size, value);
      return;
    }
    for (let i = 0; i < size; i++) this.#writeRegister(offset + i, (value >>> (8 * i)) & 0xff);
  }

  #writeRegister(offset: number, value: number): void {
    if (!this.hasDrives) return;
    this.#control &= 0x7f;
    if (offset === STATUS) {
      if (value === 0x90) for (const drive of this.#drives) drive?.execute(value);
      else {
        this.#lower();
        this.#selected()?.execute(value);
      }
      return;
    }
    if (offset === DEVICE) this.#second = (value & DEVICE_SECOND) !== 0;
    for (const drive of this.#drives) drive?.writeRegister(offset, value);
  }

  #writeControl(value: number): void {
    const begins = (value & CONTROL_RESET) !== 0 && (this.#control & CONTROL_RESET) === 0;
    this.#control = value;
    if (begins) {
      for (const drive of this.#drives) drive?.reset();
      this.#second = false;
      this.#lower();
    }
    this.#update();
  }

  #raise(): void {
    this.#interrupt = true;
    this.busMaster.interrupted();
    this.#update();
  }
  #lower(): void {
    this.#interrupt = false;
    this.#update();
  }
  #update(): void {
    this.#line.set(this.#interrupt && (this.#control & CONTROL_NO_INTERRUPT) === 0);
  }

  save(): Plain {
    return {
      second: this.#second, control: this.#control, interrupt: this.#interrupt, busMaster: this.busMaster.save(),
      drives: this.#drives.map((drive) => (drive === undefined ? null : drive.save())),
    };
  }

  load(state: Plain): void {
    const fields = new StateFields('ide-channel', state, 1, 1);
    const drives = fields.nested('drives');
    const fit = Array.isArray(drives) && drives.length === this.#drives.length && this.#drives.every((drive, i) => (drive === undefined) === (drives[i] === null));
    if (!fit) throw new StateError('ide-channel: the stored machine has other drives than this one');
    const control = fields.byte('control');
    const interrupt = fields.boolean('interrupt');
    this.#second = fields.boolean('second');
    this.#control = control;
    this.busMaster.load(fields.nested('busMaster'));
    this.#drives.forEach((drive, i) => drive?.load((drives as readonly Plain[])[i]!));
    this.#interrupt = interrupt;
    this.#update();
  }
}
