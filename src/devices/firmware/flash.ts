import type { AccessSize } from '../../base/addresses.ts';
import type { Plain, Stateful } from '../../base/plain.ts';
import type { RegisterBlock } from '../../wiring/register-block.ts';
import { readBytewise, writeBytewise } from '../byte-registers.ts';
import { StateFields } from '../state-fields.ts';

// Parallel NOR flash with the Intel command set (Intel StrataFlash 28F640J3 data sheet, 290667; Common Flash Interface,
// JESD68.01), one chip of eight data lines.

export const FLASH_BLOCK = 4096;
/** What the write buffer takes. */
const BUFFER_BYTES = 32;
const ERASED = 0xff;

const READ_ARRAY = 0xff;
const READ_IDENTIFIER = 0x90;
const READ_QUERY = 0x98;
const READ_STATUS = 0x70;
const CLEAR_STATUS = 0x50;
const BLOCK_ERASE = 0x20;
const PROGRAM = 0x40;
const PROGRAM_ALTERNATE = 0x10;
const BUFFER_PROGRAM = 0xe8;
const LOCK_SETUP = 0x60;
const CONFIRM = 0xd0;

const STATUS_READY = 0x80;
/** Both: a wrong sequence of commands. */
const STATUS_ERASE_ERROR = 0x20;
const STATUS_PROGRAM_ERROR = 0x10;

const MANUFACTURER = 0x89;
const DEVICE = 0x18;

/** What reads give. */
const READS = ['array', 'status', 'identifier', 'query'] as const;
/** What the next write is taken for. */
const EXPECTS = ['command', 'program', 'erase', 'lock', 'buffer-count', 'buffer-data', 'buffer-confirm'] as const;

export interface FlashOptions {
  /** The array: a whole number of blocks. */
  readonly data: Uint8Array;
  /** Reads come from the array from now on, or from the device's registers. */
  readonly readsArray: (array: boolean) => void;
  /** Bytes of the array have changed. Called when the guest goes back to reading, for all that it has written. */
  readonly changed: (offset: number, bytes: Uint8Array) => void;
}

/** The chip as firmware writes to it. While it reads the array it is memory, and this sees its writes only. */
export class Flash implements RegisterBlock, Stateful {
  readonly name = 'flash';
  readonly length: number;
  readonly stateName = 'flash';
  readonly stateVersion = 1;
  readonly #options: FlashOptions;
  readonly #data: Uint8Array;
  readonly #query: Uint8Array;
  #reads: (typeof READS)[number] = 'array';
  #expects: (typeof EXPECTS)[number] = 'command';
  #status = STATUS_READY;
  /** Bytes of a buffered write that are still to come, and where those lie that have come. */
  #left = 0;
  #pending: { readonly offset: number; readonly value: number }[] = [];
  /** What has changed and was not passed on: first and last byte. */
  #dirty: readonly [number, number] | undefined;

  constructor(options: FlashOptions) {
    this.#options = options;
    this.#data = options.data;
    this.length = options.data.length;
    this.#query = queryTable(options.data.length);
  }

  reset(): void {
    this.#expects = 'command';
    this.#status = STATUS_READY;
    this.#left = 0;
    this.#pending = [];
    this.#setReads('array');
  }

  read(offset: number, size: AccessSize): number {
    return readBytewise(offset, size, (at) => this.#read(at));
  }

  #read(offset: number): number {
    switch (this.#reads) {
      case 'array': return this.#data[offset]!;
      case 'status': return this.#status;
      case 'identifier': return [MANUFACTURER, DEVICE, 0][offset & 0xff] ?? 0;
      case 'query': return this.#query[offset & 0xff] ?? 0;
    }
  }

  write(offset: number, size: AccessSize, value: number): void {
    writeBytewise(offset, size, value, (at, byte) => this.#write(at, byte));
  }

  #write(offset: number, value: number): void {
    switch (this.#expects) {
      case 'command': this.#command(value); return;
      case 'program': this.#program(offset, value); this.#done(); return;
      case 'erase':
        if (value === CONFIRM) this.#erase(offset - (offset % FLASH_BLOCK));
        this.#done(value === CONFIRM);
        return;
      // Blocks cannot be locked: the sequence is taken and has no effect.
      case 'lock': this.#done(); return;
      case 'buffer-count':
        this.#left = value + 1;
        this.#expects = 'buffer-data';
        if (this.#left > BUFFER_BYTES) this.#done(false);
        return;
      case 'buffer-data':
        this.#pending.push({ offset, value });
        if (--this.#left === 0) this.#expects = 'buffer-confirm';
        return;
      case 'buffer-confirm':
        if (value === CONFIRM) for (const byte of this.#pending) this.#program(byte.offset, byte.value);
        this.#pending = [];
        this.#done(value === CONFIRM);
    }
  }

  #command(value: number): void {
    switch (value) {
      case READ_ARRAY: this.#setReads('array'); return;
      case READ_IDENTIFIER: this.#setReads('identifier'); return;
      case READ_QUERY: this.#setReads('query'); return;
      case READ_STATUS: this.#setReads('status'); return;
      // Real chips stay ready. EDK II takes for flash only what then reads 0, as QEMU's chip does; the next operation says ready.
      case CLEAR_STATUS: this.#status = 0; return;
      case BLOCK_ERASE: this.#expect('erase'); return;
      case PROGRAM: case PROGRAM_ALTERNATE: this.#expect('program'); return;
      case BUFFER_PROGRAM: this.#pending = []; this.#expect('buffer-count'); return;
      case LOCK_SETUP: this.#expect('lock'); return;
      default: // what the chip does not know
    }
  }
  #expect(what: (typeof EXPECTS)[number]): void {
    this.#expects = what;
    this.#setReads('status');
  }
  /** The operation is over at once: no status but ready is ever seen. */
  #done(right = true): void {
    this.#expects = 'command';
    this.#left = 0;
    this.#status |= STATUS_READY;
    if (!right) this.#status |= STATUS_ERASE_ERROR | STATUS_PROGRAM_ERROR;
  }

  /** Programming clears bits; only erasing sets them. */
  #program(offset: number, value: number): void {
    this.#data[offset]! &= value;
    this.#touch(offset, offset);
  }
  #erase(first: number): void {
    this.#data.fill(ERASED, first, first + FLASH_BLOCK);
    this.#touch(first, first + FLASH_BLOCK - 1);
  }
  #touch(first: number, last: number): void {
    const [from, to] = this.#dirty ?? [first, last];
    this.#dirty = [Math.min(from, first), Math.max(to, last)];
  }

  #setReads(reads: (typeof READS)[number]): void {
    const before = this.#reads;
    this.#reads = reads;
    if ((before === 'array') !== (reads === 'array')) this.#options.readsArray(reads === 'array');
    if (reads === 'array') this.#passOn();
  }
  #passOn(): void {
    if (this.#dirty === undefined) return;
    const [first, last] = this.#dirty;
    this.#dirty = undefined;
    this.#options.changed(first, this.#data.slice(first, last + 1));
  }

  save(): Plain {
    return {
      data: this.#data.slice(), reads: this.#reads, expects: this.#expects, status: this.#status, left: this.#left,
      pendingOffsets: this.#pending.map(({ offset }) => offset), pendingValues: Uint8Array.from(this.#pending, ({ value }) => value),
    };
  }

  load(state: Plain, version: number): void {
    const fields = new StateFields(this.stateName, state, version, this.stateVersion);
    const data = fields.exactBytes('data', this.length);
    const reads = fields.choice('reads', READS);
    const expects = fields.choice('expects', EXPECTS);
    const status = fields.byte('status');
    const left = fields.integer('left', BUFFER_BYTES);
    const offsets = fields.integers('pendingOffsets', BUFFER_BYTES, this.length - 1);
    const values = fields.exactBytes('pendingValues', offsets.length);
    this.#data.set(data);
    this.#expects = expects;
    this.#status = status;
    // A buffered write that waits for data waits for one at least, and never for more than the buffer takes.
    this.#left = expects === 'buffer-data' ? Math.max(1, Math.min(left, BUFFER_BYTES - offsets.length)) : 0;
    this.#pending = offsets.map((offset, i) => ({ offset, value: values[i]! }));
    this.#touch(0, this.length - 1);
    this.#reads = reads;
    this.#options.readsArray(reads === 'array');
    this.#passOn();
  }
}

/** The answer to READ_QUERY (JESD68.01, section 3.4; Intel's extended table), by address. */
function queryTable(bytes: number): Uint8Array {
  const table = new Uint8Array(0x40);
  const blocks = bytes / FLASH_BLOCK - 1;
  table.set([0x51, 0x52, 0x59, 0x01, 0x00, 0x31, 0x00], 0x10); // "QRY", Intel's command set, its table at 31h
  table.set([0x45, 0x55, 0x00, 0x00, 0x07, 0x07, 0x0a, 0x00, 0x04, 0x04, 0x04, 0x00], 0x1b); // voltages and times
  table[0x27] = Math.ceil(Math.log2(bytes));
  table.set([0x00, 0x00], 0x28); // eight data lines
  table[0x2a] = Math.log2(BUFFER_BYTES);
  table[0x2c] = 1; // one kind of block: how many less one, and their size in 256 bytes
  table.set([blocks & 0xff, blocks >> 8, (FLASH_BLOCK >> 8) & 0xff, FLASH_BLOCK >> 16], 0x2d);
  table.set([0x50, 0x52, 0x49, 0x31, 0x31], 0x31); // "PRI", version 1.1
  return table;
}
