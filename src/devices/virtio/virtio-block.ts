import type { Plain } from '../../base/plain.ts';
import type { BlockPort } from '../../host/blocks.ts';
import { DiskRequests } from '../storage/disk-requests.ts';
import type { Outcome } from '../storage/disk-requests.ts';
import type { ScatterList } from '../../memory/scatter-list.ts';
import type { DescriptorChain } from './descriptor-chain.ts';
import type { DriverSide, VirtioDevice } from './virtio-device.ts';
import type { Virtqueue } from './virtqueue.ts';

// Block device (virtio 1.2, section 5.2).

const SECTOR = 512;
const HEADER_BYTES = 16;
const ID_BYTES = 20;
const RANGE_BYTES = 16;
const QUEUES = 2;
const QUEUE_SIZE = 256;
/** Header and status take two descriptors. */
const MOST_SEGMENTS = QUEUE_SIZE - 2;
const MOST_RANGES = 64;
/** Of one range to discard or to zero: 1 GiB. */
const MOST_SECTORS = 1 << 21;

const feature = (bit: number): bigint => 1n << BigInt(bit);
const SEG_MAX = feature(2);
const READ_ONLY = feature(5);
const BLOCK_SIZE = feature(6);
const FLUSH = feature(9);
const MULTIQUEUE = feature(12);
const DISCARD = feature(13);
const WRITE_ZEROES = feature(14);

const TYPE_IN = 0;
const TYPE_OUT = 1;
const TYPE_FLUSH = 4;
const TYPE_GET_ID = 8;
const TYPE_DISCARD = 11;
const TYPE_WRITE_ZEROES = 13;

const STATUS_OK = 0;
const STATUS_IO_ERROR = 1;
const STATUS_UNSUPPORTED = 2;

export interface VirtioBlockOptions {
  readonly name: string;
  /** At most 20 characters, shown by the guest. */
  readonly serial: string;
  readonly block: BlockPort;
}

export class VirtioBlock implements VirtioDevice {
  readonly name: string;
  readonly type = 2;
  readonly classCode = 0x010000;
  readonly features: bigint;
  readonly queueSizes: readonly number[] = Array.from({ length: QUEUES }, () => QUEUE_SIZE);
  readonly config: Uint8Array;
  readonly #serial: Uint8Array;
  readonly #disk: DiskRequests;
  #queues: readonly (Virtqueue | undefined)[] = [];
  /** Only with FLUSH does a driver know that writes wait for one (5.2.6.2). */
  #writeThrough = false;

  constructor({ name, serial, block }: VirtioBlockOptions) {
    this.name = name;
    this.#disk = new DiskRequests(block);
    this.#serial = Uint8Array.from(serial, (letter) => letter.charCodeAt(0));
    this.features = SEG_MAX | BLOCK_SIZE | FLUSH | MULTIQUEUE | (block.readOnly ? READ_ONLY : DISCARD | WRITE_ZEROES);
    this.config = describe(block.bytes / SECTOR);
  }

  writeConfig(): void {} // nothing in it is the driver's to write

  start(driver: DriverSide): void {
    this.#queues = driver.queues;
    this.#writeThrough = (driver.features & FLUSH) === 0n;
    for (const queue of driver.queues) for (const chain of queue?.inFlight ?? []) this.#serve(queue!, chain);
  }

  stop(): void {
    this.#queues = [];
    this.#disk.abandon();
  }

  notified(index: number): void {
    const queue = this.#queues[index];
    for (let chain = queue?.pop(); chain !== undefined; chain = queue!.pop()) this.#serve(queue!, chain);
  }

  #serve(queue: Virtqueue, chain: DescriptorChain): void {
    const header = new Uint8Array(HEADER_BYTES);
    if (chain.readable.read(0, header) < HEADER_BYTES || chain.writable.bytes < 1) {
      queue.fail('a request has no header or no room for its status');
      return;
    }
    const view = new DataView(header.buffer);
    const sector = view.getUint32(8, true) + view.getUint32(12, true) * 2 ** 32;
    const type = view.getUint32(0, true);
    const answer = (code: number | undefined): void => {
      if (code === undefined) return;
      chain.writable.write(chain.writable.bytes - 1, Uint8Array.of(code));
      queue.push(chain, chain.writable.bytes);
    };
    if (type === TYPE_IN && (chain.writable.bytes - 1) % SECTOR !== 0) answer(STATUS_IO_ERROR);
    else if (type === TYPE_IN && this.#disk.readNow(sector * SECTOR, toGuest(chain))) answer(STATUS_OK);
    else void this.#execute(type, sector, chain).then(answer);
  }

  /** The request's status; undefined when it was abandoned. */
  async #execute(type: number, sector: number, chain: DescriptorChain): Promise<number | undefined> {
    const fromGuest = chain.readable.slice(HEADER_BYTES);
    switch (type) {
      case TYPE_IN:
        return status(await this.#disk.read(sector * SECTOR, toGuest(chain)));
      case TYPE_OUT:
        if (this.#disk.readOnly || fromGuest.bytes % SECTOR !== 0) return STATUS_IO_ERROR;
        return status(await this.#written(this.#disk.write(sector * SECTOR, fromGuest)));
      case TYPE_FLUSH:
        return status(await this.#disk.flush());
      case TYPE_GET_ID:
        toGuest(chain).write(0, Uint8Array.from({ length: ID_BYTES }, (_, i) => this.#serial[i] ?? 0));
        return STATUS_OK;
      case TYPE_DISCARD: case TYPE_WRITE_ZEROES: {
        const ranges = new Uint8Array(Math.min(fromGuest.bytes, (MOST_RANGES + 1) * RANGE_BYTES));
        fromGuest.read(0, ranges);
        return this.#ranges(type, ranges);
      }
      default:
        return STATUS_UNSUPPORTED;
    }
  }

  #written(writing: Promise<Outcome>): Promise<Outcome> {
    return this.#disk.written(writing, () => this.#writeThrough);
  }

  /** 5.2.6: struct virtio_blk_discard_write_zeroes, one behind the other. All are checked before one is done. */
  async #ranges(type: number, bytes: Uint8Array): Promise<number | undefined> {
    const view = new DataView(bytes.buffer);
    const ranges: { offset: number; length: number }[] = [];
    if (bytes.length === 0 || bytes.length % RANGE_BYTES !== 0 || bytes.length > MOST_RANGES * RANGE_BYTES || this.#disk.readOnly) return STATUS_IO_ERROR;
    for (let at = 0; at < bytes.length; at += RANGE_BYTES) {
      const sectors = view.getUint32(at + 8, true);
      const flags = view.getUint32(at + 12, true);
      // Only writing zeros may ask for the storage to be let go.
      if (flags !== 0 && (type === TYPE_DISCARD || flags !== 1)) return STATUS_UNSUPPORTED;
      const range = { offset: (view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32) * SECTOR, length: sectors * SECTOR };
      if (sectors > MOST_SECTORS || !this.#disk.contains(range.offset, range.length)) return STATUS_IO_ERROR;
      ranges.push(range);
    }
    for (const { offset, length } of ranges) {
      const doing = type === TYPE_DISCARD ? this.#disk.discard(offset, length) : this.#disk.zero(offset, length);
      const outcome = status(await this.#written(doing));
      if (outcome !== STATUS_OK) return outcome;
    }
    return STATUS_OK;
  }

  /** Buffers in flight are the queues' state; they are done anew after a load. */
  save(): Plain {
    return null;
  }
  load(): void {}
}

/** Room for data: all but the status byte behind them. */
function toGuest(chain: DescriptorChain): ScatterList {
  return chain.writable.slice(0, chain.writable.bytes - 1);
}

function status(outcome: Outcome): number | undefined {
  return outcome === 'abandoned' ? undefined : outcome === 'done' ? STATUS_OK : STATUS_IO_ERROR;
}

/** struct virtio_blk_config (5.2.4). */
function describe(sectors: number): Uint8Array {
  const config = new Uint8Array(60);
  const view = new DataView(config.buffer);
  view.setBigUint64(0, BigInt(sectors), true);
  view.setUint32(12, MOST_SEGMENTS, true);
  view.setUint32(20, SECTOR, true);
  view.setUint16(34, QUEUES, true);
  view.setUint32(36, MOST_SECTORS, true);
  view.setUint32(40, MOST_RANGES, true);
  view.setUint32(44, 1, true); // alignment of what is discarded, in sectors
  view.setUint32(48, MOST_SECTORS, true);
  view.setUint32(52, MOST_RANGES, true);
  config[56] = 1; // zeros that are written may free room
  return config;
}
