import type { Plain } from '../../../base/plain.ts';
import type { BlockPort } from '../../../host/blocks.ts';
import { StateFields } from '../../state-fields.ts';
import {
  CHUNK_BYTES, COUNT, DEVICE, DEVICE_LBA, ERROR_ABORTED, ERROR_ADDRESS, ERROR_UNCORRECTABLE, FEATURES, HIGH, IdeDrive, LOW, MID, STATUS_DATA_REQUEST,
} from './ide-drive.ts';
import type { IdeCable } from './ide-drive.ts';
import { identifyText } from './identify.ts';

const SECTOR = 512;
const MULTIPLE_MAX = 16;
const SECTORS_28_BITS = 0x0fffffff;

/** A hard disk (ATA/ATAPI-6, general feature set, PIO and DMA, 28 and 48 address bits). */
export class IdeDisk extends IdeDrive {
  protected readonly unit = SECTOR;
  protected readonly signature = [0, 0] as const;
  readonly #sectors: number;
  readonly #name: string;
  /** Geometry for addresses in cylinders, heads and sectors. */
  #heads = 16;
  #track = 63;
  /** Sectors a block of the commands READ and WRITE MULTIPLE; 0: they are off. */
  #multiple = 0;
  /** Sectors a block of the command under way. */
  #perBlock = 1;
  #writeCache = true;
  /** Transfer mode chosen by SET FEATURES. */
  #mode = 0;

  constructor(block: BlockPort, cable: IdeCable, name: string) {
    super(block, cable);
    this.#sectors = Math.floor(block.bytes / SECTOR);
    this.#name = name;
    this.reset();
  }

  override reset(): void {
    super.reset();
    this.#multiple = 0;
    this.#perBlock = 1;
  }

  protected override command(code: number): void {
    switch (code) {
      case 0x20: case 0x21: return this.#transfer('read', false, false, 1);
      case 0x24: return this.#transfer('read', false, true, 1);
      case 0x25: return this.#transfer('read', true, true, 1);
      case 0x29: return this.#transferMultiple('read', true);
      case 0x30: case 0x31: return this.#transfer('write', false, false, 1);
      case 0x34: return this.#transfer('write', false, true, 1);
      case 0x35: return this.#transfer('write', true, true, 1);
      case 0x39: return this.#transferMultiple('write', true);
      case 0xc4: return this.#transferMultiple('read', false);
      case 0xc5: return this.#transferMultiple('write', false);
      case 0xc8: case 0xc9: return this.#transfer('read', true, false, 1);
      case 0xca: case 0xcb: return this.#transfer('write', true, false, 1);
      case 0x40: case 0x41: return this.#verify(false);
      case 0x42: return this.#verify(true);
      case 0xc6: return this.#setMultiple();
      case 0xe7: case 0xea: return this.#flush();
      case 0xec: return this.#identify();
      case 0xef: return this.#setFeatures();
      case 0x91: // INITIALIZE DEVICE PARAMETERS
        this.#heads = (this.registers[DEVICE]! & 15) + 1;
        this.#track = this.registers[COUNT]!;
        return this.finish();
      case 0x90: // EXECUTE DEVICE DIAGNOSTIC
        this.finish();
        return this.putSignature();
      case 0xe5: case 0x98: // CHECK POWER MODE: active
        this.registers[COUNT] = 0xff;
        return this.finish();
      case 0x94: case 0x95: case 0x96: case 0x97: case 0xe0: case 0xe1: case 0xe2: case 0xe3: // standby and idle
        return this.finish();
      case 0xf8: // READ NATIVE MAX ADDRESS
        this.#putAddress(Math.min(this.#sectors - 1, SECTORS_28_BITS));
        return this.finish();
      case 0x27: // READ NATIVE MAX ADDRESS EXT
        this.#putAddress48(this.#sectors - 1);
        return this.finish();
      default:
        // RECALIBRATE and SEEK take no time.
        if ((code & 0xf0) === 0x10 || (code & 0xf0) === 0x70) return this.finish();
        return this.fail(ERROR_ABORTED);
    }
  }

  #transferMultiple(operation: 'read' | 'write', wide: boolean): void {
    if (this.#multiple === 0) this.fail(ERROR_ABORTED);
    else this.#transfer(operation, false, wide, this.#multiple);
  }

  #transfer(operation: 'read' | 'write', dma: boolean, wide: boolean, perBlock: number): void {
    const first = this.#address(wide);
    const count = this.#count(wide);
    if (first === undefined || first + count > this.#sectors) return this.fail(ERROR_ADDRESS);
    if (operation === 'write' && this.block!.readOnly) return this.fail(ERROR_ABORTED);
    this.#perBlock = perBlock;
    Object.assign(this.job, { operation, next: first, left: count, dma });
    if (operation === 'read') this.askHost();
    else this.#takeData(false);
  }

  /** Makes room for the next sectors of a write; after the first ones with an interrupt. */
  #takeData(interrupt: boolean): void {
    this.useBuffer(new Uint8Array(Math.min(this.job.left * SECTOR, CHUNK_BYTES)));
    if (this.job.dma) return this.requestDma('dmaOut');
    this.request('dataOut', this.#endOfBlock());
    if (interrupt) this.interrupt();
  }

  #endOfBlock(): number {
    return Math.min(this.position + this.#perBlock * SECTOR, this.data.length);
  }

  protected override nextBlock(): void {
    this.request(this.phase === 'dataOut' ? 'dataOut' : 'dataIn', this.#endOfBlock());
    this.interrupt();
  }

  protected override bufferDone(): void {
    if (this.phase === 'dataOut' || this.phase === 'dmaOut') return this.askHost();
    if (this.job.left > 0) return this.askHost();
    if (this.phase === 'dmaIn') return this.finish();
    // The last block of a PIO read was announced by the last interrupt.
    this.phase = 'idle';
    this.job.operation = 'none';
    this.status &= ~STATUS_DATA_REQUEST;
  }

  protected override requestDone(good: boolean): void {
    const { job } = this;
    const { operation } = job;
    if (!good) {
      if (operation !== 'flush') this.#putAddress(Math.min(job.next, SECTORS_28_BITS));
      return this.fail(ERROR_UNCORRECTABLE);
    }
    if (operation === 'flush') return this.finish();
    const sectors = this.data.length / SECTOR;
    job.next += sectors;
    job.left -= sectors;
    if (operation === 'write') {
      if (job.left > 0) return this.#takeData(true);
      return this.finish();
    }
    if (job.dma) return this.requestDma('dmaIn');
    this.request('dataIn', this.#endOfBlock());
    this.interrupt();
  }

  #verify(wide: boolean): void {
    const first = this.#address(wide);
    if (first === undefined || first + this.#count(wide) > this.#sectors) this.fail(ERROR_ADDRESS);
    else this.finish();
  }

  #flush(): void {
    Object.assign(this.job, { operation: 'flush', next: 0, left: 0, dma: false });
    this.askHost();
  }

  #setMultiple(): void {
    const count = this.registers[COUNT]!;
    if (count > MULTIPLE_MAX || (count & (count - 1)) !== 0) return this.fail(ERROR_ABORTED);
    this.#multiple = count;
    this.finish();
  }

  #setFeatures(): void {
    switch (this.registers[FEATURES]) {
      case 0x03:
        this.#mode = this.registers[COUNT]!;
        return this.finish();
      case 0x02:
        this.#writeCache = true;
        return this.finish();
      case 0x82:
        this.#writeCache = false;
        return this.finish();
      case 0x55: case 0xaa: case 0x66: case 0xcc: // look-ahead, reverting at reset
        return this.finish();
      default:
        return this.fail(ERROR_ABORTED);
    }
  }

  /** Number of the first sector; undefined where there is none. */
  #address(wide: boolean): number | undefined {
    const { registers, previous } = this;
    const low = registers[LOW]! | (registers[MID]! << 8) | (registers[HIGH]! << 16);
    if (wide) return low + (previous[LOW]! + previous[MID]! * 2 ** 8 + previous[HIGH]! * 2 ** 16) * 2 ** 24;
    if ((registers[DEVICE]! & DEVICE_LBA) !== 0) return low + (registers[DEVICE]! & 15) * 2 ** 24;
    const sector = registers[LOW]!;
    const head = registers[DEVICE]! & 15;
    if (sector === 0 || sector > this.#track || head >= this.#heads) return undefined;
    return ((registers[MID]! | (registers[HIGH]! << 8)) * this.#heads + head) * this.#track + sector - 1;
  }

  #count(wide: boolean): number {
    const low = this.registers[COUNT]!;
    return wide ? ((this.previous[COUNT]! << 8) | low) || 65536 : low || 256;
  }

  #putAddress(sector: number): void {
    this.registers.set([sector & 0xff, (sector >> 8) & 0xff, (sector >> 16) & 0xff], LOW);
    this.registers[DEVICE] = (this.registers[DEVICE]! & 0xf0) | ((sector >> 24) & 15);
  }
  #putAddress48(sector: number): void {
    const byte = (i: number): number => Math.floor(sector / 2 ** (8 * i)) & 0xff;
    this.registers.set([byte(0), byte(1), byte(2)], LOW);
    this.previous.set([byte(3), byte(4), byte(5)], LOW);
  }

  #identify(): void {
    const words = new Uint16Array(256);
    const cylinders = Math.min(16383, Math.floor(this.#sectors / (16 * 63)));
    const narrow = Math.min(this.#sectors, SECTORS_28_BITS);
    words[0] = 0x0040;
    words[1] = cylinders;
    words[3] = 16;
    words[6] = 63;
    words.set(identifyText(this.#name, 10), 10);
    words.set(identifyText('1.0', 4), 23);
    words.set(identifyText('Polyvisor disk', 20), 27);
    words[47] = 0x8000 | MULTIPLE_MAX;
    words[49] = 0x0f00; // DMA, LBA, IORDY
    words[50] = 0x4000;
    words[53] = 0x0007;
    words[54] = cylinders;
    words[55] = this.#heads;
    words[56] = this.#track;
    const current = cylinders * this.#heads * this.#track;
    words[57] = current;
    words[58] = current >>> 16;
    words[59] = this.#multiple === 0 ? 0 : 0x100 | this.#multiple;
    words[60] = narrow;
    words[61] = narrow >>> 16;
    words[63] = 0x0007 | ((this.#mode & 0xf8) === 0x20 ? 0x100 << (this.#mode & 7) : 0); // multiword DMA 0 to 2
    words[64] = 0x0003;
    words.fill(120, 65, 69);
    words[80] = 0x0070; // ATA/ATAPI-4 to 6
    words[82] = 0x4020; // NOP, write cache
    words[83] = 0x7400; // 48 bits, FLUSH CACHE and FLUSH CACHE EXT
    words[84] = 0x4000;
    words[85] = 0x4000 | (this.#writeCache ? 0x20 : 0);
    words[86] = 0x3400;
    words[87] = 0x4000;
    words[88] = 0x003f | ((this.#mode & 0xf8) === 0x40 ? 0x100 << (this.#mode & 7) : 0); // Ultra DMA 0 to 5
    words[93] = 0x604b; // an 80-wire cable
    for (let i = 0; i < 4; i++) words[100 + i] = Math.floor(this.#sectors / 2 ** (16 * i)) % 65536;
    this.useBuffer(new Uint8Array(words.buffer.slice(0)));
    this.#perBlock = 1;
    Object.assign(this.job, { operation: 'read', next: 0, left: 0, dma: false });
    this.request('dataIn', SECTOR);
    this.interrupt();
  }

  protected override saveMore(): Plain {
    return { heads: this.#heads, track: this.#track, multiple: this.#multiple, perBlock: this.#perBlock, writeCache: this.#writeCache, mode: this.#mode };
  }
  protected override loadMore(state: Plain): void {
    const fields = new StateFields('ata-disk', state, 1, 1);
    this.#heads = Math.max(1, fields.integer('heads', 16));
    this.#track = fields.byte('track');
    this.#multiple = fields.integer('multiple', MULTIPLE_MAX);
    this.#perBlock = Math.max(1, fields.integer('perBlock', MULTIPLE_MAX));
    this.#writeCache = fields.boolean('writeCache');
    this.#mode = fields.byte('mode');
  }
}
