import type { BlockPort } from '../../../host/blocks.ts';
import type { ScatterList } from '../../../memory/scatter-list.ts';
import { DiskRequests } from '../disk-requests.ts';
import type { Outcome } from '../disk-requests.ts';
import { identifyDisk } from './identify.ts';

// Commands of an ATA disk (ACS-3, section 7), whatever carries them.

export const SECTOR = 512;
export const STATUS_BUSY = 0x80;
export const STATUS_READY = 0x40;
/** DSC of old: still expected together with DRDY. */
const STATUS_GOOD = STATUS_READY | 0x10;
const STATUS_ERROR = 0x01;
export const ERROR_ABORTED = 0x04;
const ERROR_NO_SECTOR = 0x10;
const ERROR_DATA = 0x40;
const DEVICE_LBA = 0x40;
const LOG_QUEUE_ERROR = 0x10;

/** The registers that a command consists of. */
export interface TaskFile {
  readonly command: number;
  readonly features: number;
  /** All 48 bits; the device register besides. */
  readonly lba: number;
  readonly count: number;
  readonly device: number;
}

/** The memory for a command's data, of a length that only the command knows; undefined where it is too short or not there. */
export type DataMemory = (bytes: number) => ScatterList | undefined;

/** What the registers say afterwards. */
export interface AtaAnswer {
  readonly status: number;
  readonly error: number;
  readonly lba?: number;
  readonly count?: number;
  /** Bytes that went through the data phase. */
  readonly bytes?: number;
}

export type Protocol = 'none' | 'pio-in' | 'pio-out' | 'dma' | 'queued';

type Kind = 'read' | 'write' | 'verify' | 'flush' | 'identify' | 'features' | 'native-max' | 'power' | 'trim' | 'log' | 'nothing';

interface Command {
  readonly kind: Kind;
  readonly protocol: Protocol;
  /** 48-bit address and 16-bit count. */
  readonly wide?: boolean;
  readonly through?: boolean;
}

const COMMANDS: ReadonlyMap<number, Command> = new Map<number, Command>([
  [0x06, { kind: 'trim', protocol: 'dma', wide: true }],
  [0x20, { kind: 'read', protocol: 'pio-in' }],
  [0x24, { kind: 'read', protocol: 'pio-in', wide: true }],
  [0x25, { kind: 'read', protocol: 'dma', wide: true }],
  [0x27, { kind: 'native-max', protocol: 'none', wide: true }],
  [0x29, { kind: 'read', protocol: 'pio-in', wide: true }],
  [0x2f, { kind: 'log', protocol: 'pio-in', wide: true }],
  [0x30, { kind: 'write', protocol: 'pio-out' }],
  [0x34, { kind: 'write', protocol: 'pio-out', wide: true }],
  [0x35, { kind: 'write', protocol: 'dma', wide: true }],
  [0x39, { kind: 'write', protocol: 'pio-out', wide: true }],
  [0x3d, { kind: 'write', protocol: 'dma', wide: true, through: true }],
  [0x40, { kind: 'verify', protocol: 'none' }],
  [0x42, { kind: 'verify', protocol: 'none', wide: true }],
  [0x60, { kind: 'read', protocol: 'queued', wide: true }],
  [0x61, { kind: 'write', protocol: 'queued', wide: true }],
  [0x91, { kind: 'nothing', protocol: 'none' }], // INITIALIZE DEVICE PARAMETERS
  [0xc4, { kind: 'read', protocol: 'pio-in' }],
  [0xc5, { kind: 'write', protocol: 'pio-out' }],
  [0xc6, { kind: 'nothing', protocol: 'none' }], // SET MULTIPLE MODE
  [0xc8, { kind: 'read', protocol: 'dma' }],
  [0xca, { kind: 'write', protocol: 'dma' }],
  [0xe0, { kind: 'nothing', protocol: 'none' }], // STANDBY IMMEDIATE, IDLE IMMEDIATE, STANDBY, IDLE: no motor to stop
  [0xe1, { kind: 'nothing', protocol: 'none' }],
  [0xe2, { kind: 'nothing', protocol: 'none' }],
  [0xe3, { kind: 'nothing', protocol: 'none' }],
  [0xe5, { kind: 'power', protocol: 'none' }],
  [0xe7, { kind: 'flush', protocol: 'none' }],
  [0xea, { kind: 'flush', protocol: 'none' }],
  [0xec, { kind: 'identify', protocol: 'pio-in' }],
  [0xef, { kind: 'features', protocol: 'none' }],
  [0xf8, { kind: 'native-max', protocol: 'none' }],
]);

const GOOD: AtaAnswer = { status: STATUS_GOOD, error: 0 };
const ABORTED: AtaAnswer = { status: STATUS_GOOD | STATUS_ERROR, error: ERROR_ABORTED };
const failed = (error: number, lba: number): AtaAnswer => ({ status: STATUS_GOOD | STATUS_ERROR, error, lba });

export class AtaDisk {
  readonly #disk: DiskRequests;
  readonly #serial: string;
  writeCache = true;
  /** Tag, error and address of the queued command that has failed last: log 10h. */
  queueError: { readonly tag: number; readonly error: number; readonly lba: number } | undefined;

  constructor(block: BlockPort, serial: string) {
    this.#disk = new DiskRequests(block);
    this.#serial = serial;
  }

  abandon(): void {
    this.#disk.abandon();
  }

  protocol(command: number): Protocol {
    return COMMANDS.get(command)?.protocol ?? 'none';
  }

  /** Does a command with the memory for its data; undefined when a reset has overtaken it. Never fails otherwise. */
  async execute(file: TaskFile, data: DataMemory): Promise<AtaAnswer | undefined> {
    const command = COMMANDS.get(file.command);
    if (command === undefined) return ABORTED;
    switch (command.kind) {
      case 'read': case 'write': case 'verify':
        return this.#transfer(command, file, data);
      case 'flush':
        return this.#answer(await this.#disk.flush(), 0);
      case 'identify':
        return this.#send(this.#identity(), data);
      case 'features':
        return this.#setFeatures(file);
      case 'native-max': {
        const last = this.#sectors - 1;
        return { ...GOOD, lba: command.wide ? last : Math.min(last, 0x0fffffff) };
      }
      case 'power':
        return { ...GOOD, count: 0xff }; // active
      case 'trim':
        return this.#trim(file, data);
      case 'log':
        return this.#log(file, data);
      case 'nothing':
        return GOOD;
    }
  }

  get #sectors(): number {
    return this.#disk.bytes / SECTOR;
  }

  #identity(): Uint8Array {
    return identifyDisk({ sectors: this.#sectors, serial: this.#serial, model: 'Polyvisor disk', queueDepth: 32, writeCache: this.writeCache });
  }

  #send(bytes: Uint8Array, data: DataMemory): AtaAnswer {
    const list = data(bytes.length);
    return list === undefined ? ABORTED : { ...GOOD, bytes: list.write(0, bytes) };
  }

  #answer(outcome: Outcome, lba: number): AtaAnswer | undefined {
    return outcome === 'abandoned' ? undefined : outcome === 'done' ? GOOD : failed(ERROR_DATA, lba);
  }

  /** Queued commands have their count in the features register, and FUA in the device register's bit 7 (7.22). */
  async #transfer(command: Command, file: TaskFile, data: DataMemory): Promise<AtaAnswer | undefined> {
    const queued = command.protocol === 'queued';
    const count = queued ? file.features : command.wide ? file.count : file.count & 0xff;
    const lba = command.wide ? file.lba : (file.lba % 2 ** 24) + (file.device & 0x0f) * 2 ** 24;
    const bytes = (count === 0 ? (command.wide ? 65536 : 256) : count) * SECTOR;
    if ((file.device & DEVICE_LBA) === 0) return ABORTED; // no addresses by cylinder, head and sector
    if (!this.#disk.contains(lba * SECTOR, bytes)) return failed(ERROR_NO_SECTOR, lba);
    if (command.kind === 'verify') return GOOD;
    const list = data(bytes);
    if (list === undefined) return ABORTED;
    let outcome: Outcome;
    if (command.kind === 'read') outcome = await this.#disk.read(lba * SECTOR, list);
    else if (this.#disk.readOnly) return ABORTED;
    else outcome = await this.#disk.written(this.#disk.write(lba * SECTOR, list), () => command.through || !this.writeCache || (queued && (file.device & 0x80) !== 0));
    const answer = this.#answer(outcome, lba);
    return answer === GOOD ? { ...GOOD, bytes } : answer;
  }

  #setFeatures(file: TaskFile): AtaAnswer {
    switch (file.features & 0xff) {
      case 0x02: case 0x82:
        this.writeCache = (file.features & 0x80) === 0;
        return GOOD;
      case 0x03: case 0x55: case 0xaa: // transfer mode, read-ahead: no difference to us
        return GOOD;
      default:
        return ABORTED;
    }
  }

  /** DATA SET MANAGEMENT with TRIM: ranges that are let go, all checked before the first one is. */
  async #trim(file: TaskFile, data: DataMemory): Promise<AtaAnswer | undefined> {
    if ((file.features & 1) === 0 || this.#disk.readOnly) return ABORTED;
    const bytes = new Uint8Array(SECTOR);
    if (file.count !== 1 || (data(SECTOR)?.read(0, bytes) ?? 0) < SECTOR) return ABORTED;
    const view = new DataView(bytes.buffer);
    const ranges = Array.from({ length: SECTOR / 8 }, (_, i) => ({ first: view.getUint32(8 * i, true) + view.getUint16(8 * i + 4, true) * 2 ** 32, sectors: view.getUint16(8 * i + 6, true) }));
    const bad = ranges.find(({ first, sectors }) => !this.#disk.contains(first * SECTOR, sectors * SECTOR));
    if (bad !== undefined) return failed(ERROR_NO_SECTOR, bad.first);
    // An entry without sectors is padding.
    const outcomes = await Promise.all(ranges.filter(({ sectors }) => sectors > 0).map(({ first, sectors }) => this.#disk.discard(first * SECTOR, sectors * SECTOR)));
    const answer = this.#answer(outcomes.find((outcome) => outcome !== 'done') ?? 'done', ranges[0]!.first);
    return answer?.error === 0 ? { ...answer, bytes: SECTOR } : answer;
  }

  /** READ LOG EXT: only the log that says which queued command has failed (9.16). */
  #log(file: TaskFile, data: DataMemory): AtaAnswer {
    const { queueError } = this;
    if ((file.lba & 0xff) !== LOG_QUEUE_ERROR || file.count !== 1) return ABORTED;
    const page = new Uint8Array(SECTOR);
    page[0] = queueError === undefined ? 0x80 : queueError.tag;
    if (queueError !== undefined) {
      page[2] = STATUS_GOOD | STATUS_ERROR;
      page[3] = queueError.error;
      const byte = (n: number): number => Math.floor(queueError.lba / 2 ** (8 * n)) & 0xff;
      [byte(0), byte(1), byte(2), DEVICE_LBA, byte(3), byte(4), byte(5)].forEach((value, i) => (page[4 + i] = value));
    }
    page[511] = -page.reduce((sum, value) => sum + value, 0) & 0xff;
    return this.#send(page, data);
  }
}
