import type { BlockPort } from '../../../host/blocks.ts';
import type { GuestMemory } from '../../../memory/guest-memory.ts';
import { ScatterList } from '../../../memory/scatter-list.ts';
import { DiskRequests } from '../disk-requests.ts';
import type { Outcome } from '../disk-requests.ts';
import { STATUS } from './nvme-command.ts';
import type { NvmeCommand } from './nvme-command.ts';
import { readPrps } from './prp.ts';

// The NVM command set (NVM Express 1.4, section 6).

export const SECTOR = 512;
/** The largest transfer, 1 MiB: MDTS 8. */
export const TRANSFER_SHIFT = 8;
const MOST_BYTES = 4096 << TRANSFER_SHIFT;

const FLUSH = 0x00;
const WRITE = 0x01;
const READ = 0x02;
const WRITE_ZEROES = 0x08;
const DATASET_MANAGEMENT = 0x09;
const DEALLOCATE = 4;
const FORCE_UNIT_ACCESS = 0x40000000;

/** Namespace 1: the disk. */
export class NvmeNamespace {
  readonly #disk: DiskRequests;
  readonly #memory: GuestMemory;
  /** Feature 06h: off, each write reaches the storage before it is answered. */
  writeCache = true;

  constructor(block: BlockPort, memory: GuestMemory) {
    this.#disk = new DiskRequests(block);
    this.#memory = memory;
  }

  get sectors(): number {
    return this.#disk.bytes / SECTOR;
  }
  get readOnly(): boolean {
    return this.#disk.readOnly;
  }
  abandon(): void {
    this.#disk.abandon();
  }
  flush(): Promise<Outcome> {
    return this.#disk.flush();
  }

  /** The status; undefined when a reset has overtaken the command. */
  async execute(command: NvmeCommand): Promise<number | undefined> {
    if (command.flags !== 0) return STATUS.invalidField;
    if (command.opcode === FLUSH && command.namespace === 0xffffffff) return this.#end(await this.#disk.flush(), STATUS.writeFault);
    if (command.namespace !== 1) return STATUS.invalidNamespace;
    switch (command.opcode) {
      case FLUSH:
        return this.#end(await this.#disk.flush(), STATUS.writeFault);
      case READ: case WRITE:
        return this.#transfer(command);
      case WRITE_ZEROES:
        return this.#zero(command);
      case DATASET_MANAGEMENT:
        return this.#dataset(command);
      default:
        return STATUS.invalidOpcode;
    }
  }

  #end(outcome: Outcome, failure: number): number | undefined {
    return outcome === 'abandoned' ? undefined : outcome === 'done' ? STATUS.success : failure;
  }

  /** Doublewords 10 and 11: first sector; 12: sectors less one. */
  #range(command: NvmeCommand): { offset: number; bytes: number } | number {
    const offset = command.wide(10) * SECTOR;
    const bytes = ((command.word(12) & 0xffff) + 1) * SECTOR;
    return this.#disk.contains(offset, bytes) ? { offset, bytes } : STATUS.outOfRange;
  }

  async #transfer(command: NvmeCommand): Promise<number | undefined> {
    const range = this.#range(command);
    if (typeof range === 'number') return range;
    if (range.bytes > MOST_BYTES) return STATUS.invalidField;
    const list = readPrps(this.#memory, command.prp1, command.prp2, range.bytes);
    if (!(list instanceof ScatterList)) return list;
    if (command.opcode === READ) return this.#end(await this.#disk.read(range.offset, list), STATUS.readError);
    if (this.readOnly) return STATUS.namespaceWriteProtected;
    return this.#written(command, this.#disk.write(range.offset, list));
  }

  async #zero(command: NvmeCommand): Promise<number | undefined> {
    const range = this.#range(command);
    if (typeof range === 'number') return range;
    return this.readOnly ? STATUS.namespaceWriteProtected : this.#written(command, this.#disk.zero(range.offset, range.bytes));
  }

  async #written(command: NvmeCommand, writing: Promise<Outcome>): Promise<number | undefined> {
    const outcome = await this.#disk.written(writing, () => !this.writeCache || (command.word(12) & FORCE_UNIT_ACCESS) !== 0);
    return this.#end(outcome, STATUS.writeFault);
  }

  /** 6.7: hints, of which only the one to deallocate (AD) has an effect. All ranges are checked before one is let go. */
  async #dataset(command: NvmeCommand): Promise<number | undefined> {
    const deallocate = (command.word(11) & DEALLOCATE) !== 0;
    if (deallocate && this.readOnly) return STATUS.namespaceWriteProtected;
    const count = (command.word(10) & 0xff) + 1;
    const list = readPrps(this.#memory, command.prp1, command.prp2, count * 16);
    if (!(list instanceof ScatterList)) return list;
    const ranges = new Uint8Array(count * 16);
    list.read(0, ranges);
    const view = new DataView(ranges.buffer);
    const parts = Array.from({ length: count }, (_, i) => ({
      offset: (view.getUint32(16 * i + 8, true) + view.getUint32(16 * i + 12, true) * 2 ** 32) * SECTOR, bytes: view.getUint32(16 * i + 4, true) * SECTOR,
    }));
    if (!parts.every(({ offset, bytes }) => this.#disk.contains(offset, bytes))) return STATUS.outOfRange;
    if (!deallocate) return STATUS.success;
    const outcomes = await Promise.all(parts.map(({ offset, bytes }) => this.#disk.discard(offset, bytes)));
    return this.#end(outcomes.find((outcome) => outcome !== 'done') ?? 'done', STATUS.writeFault);
  }
}
