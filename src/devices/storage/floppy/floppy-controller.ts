import type { AccessSize } from '../../../base/addresses.ts';
import { StateError } from '../../../base/errors.ts';
import type { Plain, Stateful } from '../../../base/plain.ts';
import type { BlockPort } from '../../../host/blocks.ts';
import type { LevelLine } from '../../../wiring/interrupt-line.ts';
import type { RegisterBlock } from '../../../wiring/register-block.ts';
import { readBytewise, writeBytewise } from '../../byte-registers.ts';
import type { DmaChannel } from '../../legacy/dma-8237.ts';
import { StateFields } from '../../state-fields.ts';
import { floppyFormat } from './geometry.ts';
import type { FloppyFormat } from './geometry.ts';

// Intel 82077AA CHMOS single-chip floppy disk controller (data sheet 290166), one drive, data by DMA.

const SECTOR = 512;
const MAX_TRANSFER = 0x10000;

const DOR_DRIVE = 3;
const DOR_RUNNING = 4;
const DOR_DMA = 8;
const DOR_MOTOR_0 = 0x10;
const MSR_READY = 0x80;
const MSR_TO_PROCESSOR = 0x40;
const MSR_BUSY = 0x10;
const DIR_CHANGED = 0x80;
const DSR_RESET = 0x80;

const ST0_SEEK_END = 0x20;
const ST0_ABNORMAL = 0x40;
const ST0_INVALID = 0x80;
const ST0_READY_CHANGED = 0xc0;
const ST0_NOT_READY = 0x48;
const ST1_MISSING_MARK = 0x01;
const ST1_WRITE_PROTECTED = 0x02;
const ST1_NO_DATA = 0x04;
const ST1_OVERRUN = 0x10;
const ST1_DATA_ERROR = 0x20;
const ST1_END_OF_CYLINDER = 0x80;
const ST3_BASE = 0x28; // ready, two sides
const ST3_WRITE_PROTECTED = 0x40;
const ST3_TRACK_0 = 0x10;

/** Bytes of a command after the first, by its lower five bits. */
const PARAMETERS: Readonly<Record<number, number>> = {
  0x03: 2, 0x04: 1, 0x05: 8, 0x06: 8, 0x07: 1, 0x08: 0, 0x09: 8, 0x0a: 1, 0x0c: 8, 0x0d: 5, 0x0e: 0, 0x0f: 2, 0x10: 0, 0x12: 1, 0x13: 3, 0x14: 0, 0x16: 8, 0x18: 0,
};

/** `host`: data are on their way from or to the disk. */
const PHASES = ['command', 'host', 'result'] as const;
type Phase = (typeof PHASES)[number];

export interface FloppyOptions {
  readonly block: BlockPort | undefined;
  readonly line: LevelLine;
  readonly dma: DmaChannel;
}

export class FloppyController implements Stateful {
  readonly stateName = 'floppy';
  readonly stateVersion = 1;
  /** Ports 3F0h to 3F5h. */
  readonly registers: RegisterBlock;
  /** Port 3F7h: digital input, configuration control. 3F6h belongs to the hard disk. */
  readonly changeRegister: RegisterBlock;
  #block: BlockPort | undefined;
  #format: FloppyFormat | undefined;
  readonly #line: LevelLine;
  readonly #dma: DmaChannel;
  #epoch = 0;
  #dor = 0;
  #tape = 0;
  #rate = 2;
  #phase: Phase = 'command';
  #command: number[] = [];
  #result: number[] = [];
  /** Drives whose state changes SENSE INTERRUPT STATUS has still to tell, after a reset. */
  #polled = 0;
  /** What SENSE INTERRUPT STATUS tells of a seek, and whether it has been told. */
  #seekStatus = 0;
  #seekPending = false;
  #interrupt = false;
  #cylinder = 0;
  #changed = true;
  #specify = [0, 0];
  #configuration = [0, 0x20, 0];
  #perpendicular = 0;
  #locked = false;
  /** What is written while the phase is `host`. */
  #data: Uint8Array = new Uint8Array(0);
  #offset = 0;
  #over = false;

  /** The block's size must be one of `floppyFormat`. */
  constructor(options: FloppyOptions) {
    this.#put(options.block);
    this.#line = options.line;
    this.#dma = options.dma;
    this.registers = {
      name: 'floppy', length: 6,
      read: (offset: number, size: AccessSize) => readBytewise(offset, size, (at) => this.#read(at)),
      write: (offset: number, size: AccessSize, value: number) => writeBytewise(offset, size, value, (at, byte) => this.#write(at, byte)),
    };
    this.changeRegister = {
      name: 'floppy-change', length: 1,
      read: () => (this.#selected && this.#changed ? DIR_CHANGED : 0),
      write: (_offset: number, _size: AccessSize, value: number) => (this.#rate = value & 3),
    };
  }

  #put(block: BlockPort | undefined): void {
    this.#block = block;
    this.#format = block === undefined ? undefined : floppyFormat(block.bytes);
  }

  /** Another disk, or none; a command that is under way fails. The size must be one of `floppyFormat`. */
  change(block: BlockPort | undefined): void {
    if (this.#phase === 'host') {
      this.#epoch++;
      this.#data = new Uint8Array(0);
      this.#finish(ST0_NOT_READY, 0, this.#placeAfter(0));
    }
    this.#put(block);
    this.#changed = true;
  }

  reset(): void {
    this.#dor = 0;
    this.#tape = 0;
    this.#rate = 2;
    this.#cylinder = 0;
    this.#changed = true;
    this.#locked = false;
    this.#configuration = [0, 0x20, 0];
    this.#softReset();
    this.#polled = 0;
    this.#lower();
  }

  #softReset(): void {
    this.#epoch++;
    this.#phase = 'command';
    this.#command = [];
    this.#result = [];
    this.#seekPending = false;
    this.#perpendicular &= ~3;
    if (!this.#locked) this.#configuration = [0, 0x20, 0];
  }

  /** The drive that is there, its motor running. */
  get #selected(): boolean {
    return (this.#dor & DOR_DRIVE) === 0 && (this.#dor & DOR_MOTOR_0) !== 0;
  }

  #read(offset: number): number {
    switch (offset) {
      case 0: return (this.#interrupt ? 0x80 : 0) | 0x40 | (this.#cylinder === 0 ? 0 : 0x10); // status A: second drive absent
      case 1: return 0xc0 | ((this.#dor & DOR_DRIVE) === 0 ? 0x20 : 0) | (this.#selected ? 1 : 0);
      case 2: return this.#dor;
      case 3: return this.#tape;
      case 4: return this.#mainStatus();
      default: return this.#nextResult();
    }
  }

  #mainStatus(): number {
    if ((this.#dor & DOR_RUNNING) === 0) return 0;
    switch (this.#phase) {
      case 'command': return MSR_READY | (this.#command.length > 0 ? MSR_BUSY : 0);
      case 'host': return MSR_BUSY;
      default: return MSR_READY | MSR_TO_PROCESSOR | MSR_BUSY;
    }
  }

  #nextResult(): number {
    if (this.#phase !== 'result') return 0;
    this.#lower();
    const byte = this.#result.shift() ?? 0;
    if (this.#result.length === 0) this.#phase = 'command';
    return byte;
  }

  #write(offset: number, value: number): void {
    if (offset === 2) this.#writeDor(value);
    else if (offset === 3) this.#tape = value & 3;
    else if (offset === 4) {
      this.#rate = value & 3;
      if ((value & DSR_RESET) !== 0) this.#leaveReset();
    } else if (offset === 5) this.#writeFifo(value);
  }

  #writeDor(value: number): void {
    const leaves = (value & DOR_RUNNING) !== 0 && (this.#dor & DOR_RUNNING) === 0;
    this.#dor = value;
    if ((value & DOR_RUNNING) === 0) {
      this.#softReset();
      this.#lower();
    } else if (leaves) this.#leaveReset();
    else this.#update(); // DMAGATE lets the interrupt through
  }

  /** Section 3.2: the controller polls the drives after a reset and interrupts, once, for four changes of state. */
  #leaveReset(): void {
    this.#softReset();
    this.#polled = 4;
    this.#raise();
  }

  #writeFifo(value: number): void {
    if ((this.#dor & DOR_RUNNING) === 0 || this.#phase !== 'command') return;
    this.#command.push(value);
    const wanted = PARAMETERS[this.#code()];
    if (wanted !== undefined && this.#command.length <= wanted) return;
    this.#execute();
  }

  #code(): number {
    // Bits of the data commands aside: multiple tracks, MFM, skip. RELATIVE SEEK and its like are not offered.
    const first = this.#command[0]!;
    return (first & 0xe0) !== 0 && ![0x05, 0x06, 0x09, 0x0a, 0x0c, 0x0d, 0x16, 0x14].includes(first & 0x1f) ? 0xff : first & 0x1f;
  }

  #execute(): void {
    const code = this.#code();
    const [, first = 0, second = 0] = this.#command;
    switch (code) {
      case 0x03:
        this.#specify = [first, second];
        return this.#done([]);
      case 0x04:
        return this.#done([ST3_BASE | (first & 7) | (this.#cylinder === 0 ? ST3_TRACK_0 : 0) | (this.#block?.readOnly === true ? ST3_WRITE_PROTECTED : 0)]);
      case 0x07:
        return this.#seek(0, first);
      case 0x08:
        return this.#senseInterrupt();
      case 0x0f:
        return this.#seek(second, first);
      case 0x0a:
        return this.#readId(first);
      case 0x05: case 0x09:
        return this.#writeData();
      case 0x06: case 0x0c: case 0x16:
        return this.#readData();
      case 0x0d:
        return this.#formatTrack();
      case 0x0e: // DUMPREG
        return this.#done([this.#cylinder, 0, 0, 0, ...this.#specify, this.#format?.sectors ?? 0, (this.#locked ? 0x80 : 0) | this.#perpendicular, ...this.#configuration.slice(1)]);
      case 0x10:
        return this.#done([0x90]);
      case 0x12:
        this.#perpendicular = first & 0x3f;
        return this.#done([]);
      case 0x13:
        this.#configuration = this.#command.slice(1, 4);
        return this.#done([]);
      case 0x14:
        this.#locked = (this.#command[0]! & 0x80) !== 0;
        return this.#done([this.#locked ? 0x10 : 0]);
      case 0x18:
        return this.#done([0x41]);
      default:
        return this.#done([ST0_INVALID]);
    }
  }

  /** The end of a command without an interrupt. */
  #done(result: readonly number[]): void {
    this.#command = [];
    this.#result = [...result];
    this.#phase = result.length > 0 ? 'result' : 'command';
  }

  #seek(cylinder: number, select: number): void {
    this.#done([]);
    const drive = select & 3;
    const present = drive === 0;
    if (present) {
      this.#cylinder = Math.min(cylinder, 85);
      if (this.#block !== undefined) this.#changed = false;
    }
    this.#seekStatus = ST0_SEEK_END | (select & 7) | (present ? 0 : ST0_ABNORMAL | 0x10); // equipment check: no track 0 came
    this.#seekPending = true;
    this.#raise();
  }

  #senseInterrupt(): void {
    this.#lower();
    if (this.#polled > 0) {
      const drive = 4 - this.#polled--;
      return this.#done([ST0_READY_CHANGED | drive, drive === 0 ? this.#cylinder : 0]);
    }
    if (!this.#seekPending) return this.#done([ST0_INVALID]);
    this.#seekPending = false;
    this.#done([this.#seekStatus, this.#cylinder]);
  }

  /** The end of a command that moves data: status and where it ended. */
  #finish(st0: number, st1: number, place: readonly [number, number, number, number]): void {
    const select = this.#command[1]! & 7;
    const st2 = 0;
    this.#done([st0 | select, st1, st2, ...place]);
    this.#raise();
  }

  /** Why the disk that is selected cannot be read at all; with the result given. */
  #unreadable(): boolean {
    const [, select = 0, c = 0, h = 0, r = 1, n = 2] = this.#command;
    const place = [c, h, r, n] as const;
    if ((select & 3) !== 0 || this.#format === undefined) {
      this.#finish(ST0_NOT_READY, 0, place);
      return true;
    }
    if (this.#rate === this.#format.rate) return false;
    this.#finish(ST0_ABNORMAL, ST1_MISSING_MARK, place);
    return true;
  }

  #readId(select: number): void {
    if (this.#unreadable()) return;
    const head = (select >> 2) & 1;
    if (this.#cylinder >= this.#format!.cylinders) this.#finish(ST0_ABNORMAL, ST1_MISSING_MARK, [this.#cylinder, head, 1, 2]);
    else this.#finish(0, 0, [this.#cylinder, head, 1, 2]);
  }

  /**
   * Sectors of a data command in the order of the disk: as many as the DMA channel takes, up to the end of the track or,
   * for multiple tracks, of the cylinder. Undefined when there are none, with the result given.
   */
  #extent(direction: 'toMemory' | 'fromMemory'): { readonly offset: number; readonly bytes: number } | undefined {
    if (this.#unreadable()) return undefined;
    const [first = 0, select = 0, c = 0, h = 0, r = 0, n = 0, last = 0] = this.#command;
    const { cylinders, heads, sectors } = this.#format!;
    const place = [c, h, r, n] as const;
    const head = (select >> 2) & 1;
    const there = c === this.#cylinder && c < cylinders && h === head && h < heads && n === 2 && r >= 1 && r <= sectors;
    const end = Math.min(last, sectors);
    if (!there || r > end) {
      this.#finish(ST0_ABNORMAL, ST1_NO_DATA, place);
      return undefined;
    }
    const verify = this.#code() === 0x16;
    const ready = verify ? (this.#command[8]! || 256) * SECTOR : (this.#dor & DOR_DMA) === 0 || (this.#specify[1]! & 1) !== 0 ? 0 : this.#dma.ready(direction);
    if (ready === 0) {
      // Data without DMA are not offered: the first byte is overrun.
      this.#finish(ST0_ABNORMAL, ST1_OVERRUN, place);
      return undefined;
    }
    const multiple = (first & 0x80) !== 0;
    const available = end - r + 1 + (multiple && head === 0 ? end : 0);
    return { offset: ((c * heads + h) * sectors + r - 1) * SECTOR, bytes: Math.min(available, Math.ceil(ready / SECTOR)) * SECTOR };
  }

  /** Where the command stands after so many sectors (table 5-7 of the data sheet). */
  #placeAfter(count: number): readonly [number, number, number, number] {
    const [first = 0, , c = 0, h = 0, r = 0, n = 0, last = 0] = this.#command;
    const end = Math.min(last, this.#format!.sectors);
    const next = r + count;
    if (next <= end) return [c, h, next, n];
    if ((first & 0x80) === 0) return [c + 1, h, 1, n];
    if (h === 0 && next - end <= end) return [c, 1, next - end, n];
    return [c + 1, 0, 1, n];
  }

  #readData(): void {
    const extent = this.#extent('toMemory');
    if (extent === undefined) return;
    const data = new Uint8Array(extent.bytes);
    this.#ask(this.#block!.read(extent.offset, data), () => {
      const over = this.#code() === 0x16 || this.#dma.write(data);
      // Without a terminal count the controller reads on and finds no further sector.
      this.#finish(over ? 0 : ST0_ABNORMAL, over ? 0 : ST1_END_OF_CYLINDER, this.#placeAfter(data.length / SECTOR));
    });
  }

  #writeData(): void {
    const extent = this.#extent('fromMemory');
    if (extent === undefined) return;
    if (this.#block!.readOnly) return this.#finish(ST0_ABNORMAL, ST1_WRITE_PROTECTED, this.#placeAfter(0));
    const data = new Uint8Array(extent.bytes);
    const over = this.#dma.read(data);
    this.#store(extent.offset, data, over);
  }

  #store(offset: number, data: Uint8Array, over: boolean): void {
    this.#data = data;
    this.#offset = offset;
    this.#over = over;
    this.#ask(this.#block!.write(offset, data), () => {
      this.#data = new Uint8Array(0);
      this.#finish(over ? 0 : ST0_ABNORMAL, over ? 0 : ST1_END_OF_CYLINDER, this.#placeAfter(data.length / SECTOR));
    });
  }

  /** Sector identifiers come by DMA; the data are filler. Only the disk's own format can be made. */
  #formatTrack(): void {
    const [, select = 0, n = 0, count = 0, , filler = 0] = this.#command;
    this.#command = [this.#command[0]!, select, this.#cylinder, (select >> 2) & 1, 1, n, count];
    if (this.#unreadable()) return;
    const { cylinders, heads, sectors } = this.#format!;
    const head = (select >> 2) & 1;
    if (this.#block!.readOnly) return this.#finish(ST0_ABNORMAL, ST1_WRITE_PROTECTED, [this.#cylinder, head, 1, n]);
    if (n !== 2 || count !== sectors || this.#cylinder >= cylinders || head >= heads || this.#dma.ready('fromMemory') < count * 4) {
      return this.#finish(ST0_ABNORMAL, ST1_NO_DATA, [this.#cylinder, head, 1, n]);
    }
    this.#dma.read(new Uint8Array(count * 4));
    this.#store((this.#cylinder * heads + head) * sectors * SECTOR, new Uint8Array(sectors * SECTOR).fill(filler), true);
  }

  #ask(asked: Promise<void>, good: () => void): void {
    this.#phase = 'host';
    const epoch = this.#epoch;
    const settle = (next: () => void) => (): void => {
      if (epoch === this.#epoch) next();
    };
    asked.then(settle(good), settle(() => this.#finish(ST0_ABNORMAL, ST1_DATA_ERROR, this.#placeAfter(0))));
  }

  #raise(): void {
    this.#interrupt = true;
    this.#update();
  }
  #lower(): void {
    this.#interrupt = false;
    this.#update();
  }
  #update(): void {
    this.#line.set(this.#interrupt && (this.#dor & DOR_DMA) !== 0);
  }

  save(): Plain {
    return {
      dor: this.#dor, tape: this.#tape, rate: this.#rate, phase: this.#phase, command: Uint8Array.from(this.#command), result: Uint8Array.from(this.#result), polled: this.#polled,
      seekStatus: this.#seekStatus, seekPending: this.#seekPending, interrupt: this.#interrupt, cylinder: this.#cylinder, changed: this.#changed, specify: Uint8Array.from(this.#specify),
      configuration: Uint8Array.from(this.#configuration), perpendicular: this.#perpendicular, locked: this.#locked, data: this.#data.slice(), offset: this.#offset, over: this.#over,
    };
  }

  /** What was on its way to or from the disk is asked for again. */
  load(state: Plain, version: number): void {
    const fields = new StateFields(this.stateName, state, version, this.stateVersion);
    const phase = fields.text('phase', 10) as Phase;
    const command = fields.bytes('command', 9);
    const data = fields.bytes('data', MAX_TRANSFER);
    const offset = fields.integer('offset', this.#block?.bytes ?? 0);
    if (!PHASES.includes(phase) || (phase === 'host' && (command.length < 7 || this.#format === undefined)) || offset + data.length > (this.#block?.bytes ?? 0)) {
      throw new StateError(`${this.stateName}: the stored command is damaged`);
    }
    this.#epoch++;
    this.#dor = fields.byte('dor');
    this.#tape = fields.integer('tape', 3);
    this.#rate = fields.integer('rate', 3);
    this.#phase = phase;
    this.#command = [...command];
    this.#result = [...fields.bytes('result', 16)];
    this.#polled = fields.integer('polled', 4);
    this.#seekStatus = fields.byte('seekStatus');
    this.#seekPending = fields.boolean('seekPending');
    this.#cylinder = fields.integer('cylinder', 85);
    this.#changed = fields.boolean('changed');
    this.#specify = [...fields.exactBytes('specify', 2)];
    this.#configuration = [...fields.exactBytes('configuration', 3)];
    this.#perpendicular = fields.byte('perpendicular');
    this.#locked = fields.boolean('locked');
    const interrupt = fields.boolean('interrupt');
    const over = fields.boolean('over');
    this.#data = new Uint8Array(data);
    this.#offset = offset;
    this.#over = over;
    this.#interrupt = interrupt;
    if (phase === 'host') {
      if (data.length > 0) this.#store(offset, this.#data, over);
      else this.#readData();
    }
    this.#update();
  }
}
