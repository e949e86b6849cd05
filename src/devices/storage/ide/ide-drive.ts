import { StateError } from '../../../base/errors.ts';
import type { Plain } from '../../../base/plain.ts';
import type { BlockPort } from '../../../host/blocks.ts';
import { StateFields } from '../../state-fields.ts';

// What hard disks and CD-ROM drives on an ATA cable have in common (ATA/ATAPI-6, INCITS 361).

export const STATUS_ERROR = 0x01;
export const STATUS_DATA_REQUEST = 0x08;
export const STATUS_SEEK_COMPLETE = 0x10;
export const STATUS_READY = 0x40;
export const STATUS_BUSY = 0x80;
export const ERROR_ABORTED = 0x04;
export const ERROR_ADDRESS = 0x10;
export const ERROR_UNCORRECTABLE = 0x40;
export const DEVICE_LBA = 0x40;

/** Registers of the command block by their offset. */
export const FEATURES = 1;
export const COUNT = 2;
export const LOW = 3;
export const MID = 4;
export const HIGH = 5;
export const DEVICE = 6;
const REGISTERS = 7;

/** `packet`: the next 12 bytes are a command. `dmaIn`, `dmaOut`: the bus master is to move the buffer. */
const PHASES = ['idle', 'busy', 'dataIn', 'dataOut', 'packet', 'dmaIn', 'dmaOut'] as const;
export type Phase = (typeof PHASES)[number];
const OPERATIONS = ['none', 'read', 'write', 'flush'] as const;
export type Operation = (typeof OPERATIONS)[number];

/** The most that one request to the host reads or writes. */
export const CHUNK_BYTES = 1 << 17;

/** What is to be done still, besides what is in the buffer. */
export interface Job {
  operation: Operation;
  /** In units of the drive. */
  next: number;
  left: number;
  dma: boolean;
}

export interface IdeCable {
  /** INTRQ rises. */
  interrupt(): void;
  /** The drive is ready for the bus master. */
  dmaReady(): void;
}

export abstract class IdeDrive {
  /** Written by the guest: features in place of the error register. */
  readonly registers = new Uint8Array(REGISTERS);
  /** What they held before: the high bytes of 48-bit commands. */
  readonly previous = new Uint8Array(REGISTERS);
  error = 0;
  status = STATUS_READY | STATUS_SEEK_COMPLETE;
  /** Undefined while there is no medium. */
  protected block: BlockPort | undefined;
  protected readonly job: Job = { operation: 'none', next: 0, left: 0, dma: false };
  protected phase: Phase = 'idle';
  /** What is on its way between guest and drive. */
  protected data: Uint8Array = new Uint8Array(0);
  protected position = 0;
  /** End of the bytes that the guest moves before it has to look at the status again. */
  protected blockEnd = 0;
  readonly #cable: IdeCable;
  /** Requests of before a reset do not count any more. */
  #epoch = 0;

  constructor(block: BlockPort | undefined, cable: IdeCable) {
    this.block = block;
    this.#cable = cable;
  }

  /** Bytes of a unit that `job` counts in. */
  protected abstract readonly unit: number;
  protected abstract command(code: number): void;
  /** The block that the guest has moved last ended the buffer; or the bus master has moved all of it. */
  protected abstract bufferDone(): void;
  /** The host has done, or could not do, what `job` says for the buffer. */
  protected abstract requestDone(good: boolean): void;
  /** The next block of the buffer is to be announced. */
  protected abstract nextBlock(): void;
  /** Size, count and address registers by which software knows what kind of drive this is. */
  protected abstract readonly signature: readonly [number, number];
  protected abstract saveMore(): Plain;
  protected abstract loadMore(state: Plain): void;

  /** Power-on, hardware or software reset. */
  reset(): void {
    this.#epoch++;
    this.phase = 'idle';
    this.job.operation = 'none';
    this.useBuffer(new Uint8Array(0));
    this.registers.fill(0);
    this.previous.fill(0);
    this.putSignature();
    this.status = STATUS_READY | STATUS_SEEK_COMPLETE;
  }

  /** After reset and diagnostics (section 9.12). */
  protected putSignature(): void {
    this.error = 1;
    this.registers.set([1, 1, ...this.signature], COUNT);
    this.registers[DEVICE] = this.registers[DEVICE]! & 0x10;
  }

  writeRegister(offset: number, value: number): void {
    if ((this.status & (STATUS_BUSY | STATUS_DATA_REQUEST)) !== 0) return;
    this.previous[offset] = this.registers[offset]!;
    this.registers[offset] = value;
  }

  execute(code: number): void {
    const resets = code === 0x08; // DEVICE RESET is heard in every state
    if ((this.status & (STATUS_BUSY | STATUS_DATA_REQUEST)) !== 0 && !resets) return;
    this.error = 0;
    this.status = STATUS_READY | STATUS_SEEK_COMPLETE;
    this.phase = 'idle';
    this.command(code);
  }

  // What goes on between drive and channel.
  get dmaDirection(): 'in' | 'out' | undefined {
    return this.phase === 'dmaIn' ? 'in' : this.phase === 'dmaOut' ? 'out' : undefined;
  }
  get dmaBuffer(): Uint8Array {
    return this.data;
  }
  dmaDone(): void {
    this.bufferDone();
  }
  readData(size: number): number {
    if (this.phase !== 'dataIn') return 0;
    let value = 0;
    for (let i = 0; i < size && this.position < this.blockEnd; i++) value |= this.data[this.position++]! << (8 * i);
    if (this.position >= this.blockEnd) this.#blockMoved();
    return value >>> 0;
  }
  writeData(size: number, value: number): void {
    if (this.phase !== 'dataOut' && this.phase !== 'packet') return;
    for (let i = 0; i < size && this.position < this.blockEnd; i++) this.data[this.position++] = value >>> (8 * i);
    if (this.position >= this.blockEnd) this.#blockMoved();
  }
  #blockMoved(): void {
    if (this.position < this.data.length) this.nextBlock();
    else this.bufferDone();
  }

  // For the kinds of drives.
  protected useBuffer(data: Uint8Array): void {
    this.data = data;
    this.position = this.blockEnd = 0;
  }
  protected interrupt(): void {
    this.#cable.interrupt();
  }
  protected finish(): void {
    this.phase = 'idle';
    this.job.operation = 'none';
    this.status = STATUS_READY | STATUS_SEEK_COMPLETE;
    this.interrupt();
  }
  /** The medium that the host works on is another one: its answer does not count any more. Whether it worked on one. */
  protected forgetHost(): boolean {
    this.#epoch++;
    return this.phase === 'busy';
  }
  protected fail(error: number): void {
    this.finish();
    this.error = error;
    this.status |= STATUS_ERROR;
  }
  /** Announces bytes that the guest is to move. */
  protected request(phase: 'dataIn' | 'dataOut' | 'packet', end: number): void {
    this.phase = phase;
    this.blockEnd = end;
    this.status = STATUS_READY | STATUS_SEEK_COMPLETE | STATUS_DATA_REQUEST;
  }
  protected requestDma(phase: 'dmaIn' | 'dmaOut'): void {
    this.phase = phase;
    this.status = STATUS_READY | STATUS_SEEK_COMPLETE | STATUS_DATA_REQUEST;
    this.#cable.dmaReady();
  }

  /** Asks the host for what `job` says: reads fill a new buffer with as much as is left, in bounds. */
  protected askHost(): void {
    this.phase = 'busy';
    this.status = STATUS_BUSY;
    const { job, block } = this;
    const bytes = Math.min(job.left * this.unit, CHUNK_BYTES);
    if (job.operation === 'read') {
      this.useBuffer(new Uint8Array(bytes));
    }
    const at = job.next * this.unit;
    const length = job.operation === 'flush' ? 0 : this.data.length;
    if (block === undefined || at + length > block.bytes) {
      this.requestDone(false);
      return;
    }
    const epoch = this.#epoch;
    const asked = job.operation === 'read' ? block.read(at, this.data) : job.operation === 'write' ? block.write(at, this.data) : block.flush();
    const done = (good: boolean): void => {
      if (epoch === this.#epoch) this.requestDone(good);
    };
    asked.then(() => done(true), () => done(false));
  }

  save(): Plain {
    const { registers, previous, error, status, job, phase, data, position, blockEnd } = this;
    return {
      registers: registers.slice(), previous: previous.slice(), error, status, operation: job.operation, next: job.next, left: job.left, dma: job.dma,
      phase, data: data.slice(), position, blockEnd, more: this.saveMore(),
    };
  }

  /** What the host was asked for is asked for again: reading and writing the same twice does no harm. */
  load(state: Plain): void {
    const fields = new StateFields('ide-drive', state, 1, 1);
    const phase = fields.text('phase', 10) as Phase;
    const operation = fields.text('operation', 10) as Operation;
    if (!PHASES.includes(phase) || !OPERATIONS.includes(operation)) throw new StateError('ide-drive: phase or operation is unknown');
    const data = fields.bytes('data', CHUNK_BYTES);
    const position = fields.integer('position', data.length);
    const blockEnd = fields.integer('blockEnd', data.length);
    if (phase === 'busy' && operation === 'none') throw new StateError('ide-drive: busy with nothing');
    this.#epoch++;
    this.registers.set(fields.exactBytes('registers', REGISTERS));
    this.previous.set(fields.exactBytes('previous', REGISTERS));
    this.error = fields.byte('error');
    this.status = fields.byte('status');
    this.job.operation = operation;
    this.job.next = fields.integer('next', 2 ** 48);
    this.job.left = fields.integer('left', 2 ** 32);
    this.job.dma = fields.boolean('dma');
    this.phase = phase;
    this.data = new Uint8Array(data);
    this.position = position;
    this.blockEnd = blockEnd;
    this.loadMore(fields.nested('more'));
    if (phase === 'busy') this.askHost();
  }
}
