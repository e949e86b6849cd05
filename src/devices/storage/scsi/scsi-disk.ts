import type { Plain } from '../../../base/plain.ts';
import type { BlockPort } from '../../../host/blocks.ts';
import type { ScatterList } from '../../../memory/scatter-list.ts';
import { StateFields } from '../../state-fields.ts';
import { DiskRequests } from '../disk-requests.ts';
import type { Outcome } from '../disk-requests.ts';
import type { ScsiIdentity } from './inquiry.ts';
import { MOST_RANGES, MOST_SECTORS, MOST_UNMAPPED, SECTOR, inquiryOfNothing, modePages, standardInquiry, vitalProductData } from './inquiry.ts';
import { SENSE, senseData } from './sense.ts';
import type { Sense } from './sense.ts';

// A direct access block device (SBC-3, T10/BSR INCITS 514; SPC-4, INCITS 513), whatever carries the commands.

/** Where a command's data go and come from. */
export interface ScsiData {
  readonly toGuest: ScatterList;
  readonly fromGuest: ScatterList;
}

/** How a command ended: SENSE.none, or why not. */
export interface ScsiResult {
  readonly sense: Sense;
  /** Bytes of data that were moved. */
  readonly moved: number;
}
/** Undefined: a reset has overtaken the command. */
type Answer = ScsiResult | undefined;

/** Sectors that a command names. */
interface Extent {
  readonly offset: number;
  readonly bytes: number;
}

const FORCE_UNIT_ACCESS = 8;
/** Bytes of a command by its group, the upper three bits of its code (SPC-4, 4.2.5). */
const LENGTHS = [6, 10, 10, 0, 16, 12, 0, 0] as const;
export const MOST_COMMAND_BYTES = 16;

export class ScsiDisk {
  readonly #disk: DiskRequests;
  readonly #identity: ScsiIdentity;
  /** What the next command is answered with (SAM-5, 5.14). */
  #attention: Sense | undefined = SENSE.powerOn;

  constructor(options: { readonly block: BlockPort; readonly serial: string }) {
    this.#disk = new DiskRequests(options.block);
    const { readOnly, releases } = options.block;
    this.#identity = { serial: options.serial, readOnly, thin: releases && !readOnly };
  }

  /** The machine or the controller starts anew. */
  reset(): void {
    this.#disk.abandon();
    this.#attention = SENSE.powerOn;
  }
  /** A task management function has reset the logical unit. */
  unitReset(): void {
    this.#attention = SENSE.resetOccurred;
  }

  /** `command` has at least MOST_COMMAND_BYTES. Reads of what the host has at hand are over when it returns. */
  execute(command: Uint8Array, data: ScsiData): Answer | Promise<Answer> {
    const code = command[0]!;
    // These are executed whatever waits to be told (SAM-5, 5.14.1).
    if (this.#attention !== undefined && code !== 0x12 && code !== 0xa0 && code !== 0x03) {
      const sense = this.#attention;
      this.#attention = undefined;
      return { sense, moved: 0 };
    }
    const view = new DataView(command.buffer, command.byteOffset, MOST_COMMAND_BYTES);
    switch (code) {
      case 0x00: case 0x1b: // TEST UNIT READY, START STOP UNIT
        return done();
      case 0x03: { // REQUEST SENSE
        if ((command[1]! & 1) !== 0) return failed(SENSE.invalidField);
        const sense = this.#attention ?? SENSE.none;
        this.#attention = undefined;
        return this.#tell(data, senseData(sense), command[4]!);
      }
      case 0x12:
        return this.#inquiry(command, view.getUint16(3), data);
      case 0x1a:
        return this.#modeSense(command, command[4]!, data, false);
      case 0x5a:
        return this.#modeSense(command, view.getUint16(7), data, true);
      case 0x25: { // READ CAPACITY (10)
        const answer = new DataView(new ArrayBuffer(8));
        answer.setUint32(0, Math.min(this.#sectors - 1, 0xffffffff));
        answer.setUint32(4, SECTOR);
        return this.#tell(data, new Uint8Array(answer.buffer), 8);
      }
      case 0x9e:
        return (command[1]! & 0x1f) === 0x10 ? this.#capacity16(view.getUint32(10), data) : failed(SENSE.invalidField);
      case 0xa0: // REPORT LUNS: number 0
        return view.getUint32(6) < 16 ? failed(SENSE.invalidField) : this.#tell(data, Uint8Array.of(0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), view.getUint32(6));
      case 0x08: case 0x28: case 0xa8: case 0x88:
        return this.#read(command, view, data);
      case 0x0a: case 0x2a: case 0xaa: case 0x8a:
        return this.#write(command, view, data, code !== 0x0a && (command[1]! & FORCE_UNIT_ACCESS) !== 0);
      case 0x2e: case 0xae: case 0x8e: // WRITE AND VERIFY
        return (command[1]! & 6) !== 0 ? failed(SENSE.invalidField) : this.#write(command, view, data, true);
      case 0x2f: case 0xaf: case 0x8f: // VERIFY: that the sectors are there
        return (command[1]! & 6) !== 0 ? failed(SENSE.invalidField) : this.#extent(command, view) === undefined ? failed(SENSE.outOfRange) : done();
      case 0x35: case 0x91: // SYNCHRONIZE CACHE
        return this.#end(this.#disk.flush(), SENSE.writeError);
      case 0x41: case 0x93:
        return this.#writeSame(command, view, data);
      case 0x42:
        return this.#unmap(view.getUint16(7), data);
      default:
        return failed(SENSE.invalidCommand);
    }
  }

  get #sectors(): number {
    return this.#disk.bytes / SECTOR;
  }

  /** An answer, cut to what the guest has room for. */
  #tell({ toGuest }: ScsiData, bytes: Uint8Array, allocation: number): Answer {
    return { sense: SENSE.none, moved: toGuest.write(0, bytes.subarray(0, allocation)) };
  }

  #inquiry(command: Uint8Array, allocation: number, data: ScsiData): Answer {
    const vital = (command[1]! & 1) !== 0;
    if (!vital && command[2] !== 0) return failed(SENSE.invalidField);
    const answer = vital ? vitalProductData(command[2]!, this.#identity) : standardInquiry();
    return answer === undefined ? failed(SENSE.invalidField) : this.#tell(data, answer, allocation);
  }

  /** SPC-4, 6.11 and 7.5.5: header, block descriptor unless it is not wanted, pages. */
  #modeSense(command: Uint8Array, allocation: number, data: ScsiData, long: boolean): Answer {
    const control = command[2]! >> 6;
    const subpage = command[3]!;
    const pages = control === 3 || (subpage !== 0 && subpage !== 0xff) ? undefined : modePages(command[2]! & 0x3f, control === 1);
    if (pages === undefined) return failed(SENSE.invalidField);
    const sectors = Math.min(this.#sectors, 0xffffffff);
    const blocks = (command[1]! & 8) !== 0 ? [] : [sectors >>> 24, (sectors >> 16) & 0xff, (sectors >> 8) & 0xff, sectors & 0xff, 0, 0, SECTOR >> 8, 0];
    const specific = 0x10 | (this.#disk.readOnly ? 0x80 : 0); // FUA is known
    const length = blocks.length + pages.length + (long ? 6 : 3);
    const head = long ? [length >> 8, length & 0xff, 0, specific, 0, 0, 0, blocks.length] : [length, 0, specific, blocks.length];
    return this.#tell(data, Uint8Array.from([...head, ...blocks, ...pages]), allocation);
  }

  /** SBC-3, 5.16. */
  #capacity16(allocation: number, data: ScsiData): Answer {
    const answer = new DataView(new ArrayBuffer(32));
    answer.setBigUint64(0, BigInt(this.#sectors - 1));
    answer.setUint32(8, SECTOR);
    // Provisioned on demand, and sectors that were let go read as zeros.
    if (this.#identity.thin) answer.setUint8(14, 0xc0);
    return this.#tell(data, new Uint8Array(answer.buffer), allocation);
  }

  /** Undefined where the disk has not all of them. */
  #extent(command: Uint8Array, view: DataView): Extent | undefined {
    const [first, sectors] = place(command, view);
    const extent = { offset: first * SECTOR, bytes: sectors * SECTOR };
    return this.#disk.contains(extent.offset, extent.bytes) ? extent : undefined;
  }

  #read(command: Uint8Array, view: DataView, { toGuest }: ScsiData): Answer | Promise<Answer> {
    const extent = this.#extent(command, view);
    if (extent === undefined) return failed(SENSE.outOfRange);
    if (!sane(command, extent)) return failed(SENSE.invalidField);
    // More than there is room for goes nowhere: the residual count tells.
    const target = toGuest.slice(0, extent.bytes);
    if (target.bytes === 0 || this.#disk.readNow(extent.offset, target)) return done(target.bytes);
    return this.#end(this.#disk.read(extent.offset, target), SENSE.readError, target.bytes);
  }

  #write(command: Uint8Array, view: DataView, { fromGuest }: ScsiData, through: boolean): Answer | Promise<Answer> {
    if (this.#disk.readOnly) return failed(SENSE.writeProtected);
    const extent = this.#extent(command, view);
    if (extent === undefined) return failed(SENSE.outOfRange);
    if (!sane(command, extent)) return failed(SENSE.invalidField);
    const source = fromGuest.slice(0, extent.bytes);
    return source.bytes === 0 ? done() : this.#end(this.#disk.written(this.#disk.write(extent.offset, source), () => through), SENSE.writeError, source.bytes);
  }

  /** SBC-3, 5.47 and 5.48. The sector that is repeated must be all zeros, which is what our storage can do at once. */
  async #writeSame(command: Uint8Array, view: DataView, { fromGuest }: ScsiData): Promise<Answer> {
    if (this.#disk.readOnly) return failed(SENSE.writeProtected);
    const [first, count] = place(command, view);
    const sectors = count === 0 ? this.#sectors - first : count; // the rest of the disk
    const offset = first * SECTOR;
    if (first >= this.#sectors || !this.#disk.contains(offset, sectors * SECTOR)) return failed(SENSE.outOfRange);
    const withoutData = command[0] === 0x93 && (command[1]! & 1) !== 0;
    const pattern = new Uint8Array(SECTOR);
    if (sectors > MOST_UNMAPPED || (!withoutData && fromGuest.read(0, pattern) < SECTOR) || pattern.some((byte) => byte !== 0)) return failed(SENSE.invalidField);
    return this.#end(this.#disk.zero(offset, sectors * SECTOR), SENSE.writeError, withoutData ? 0 : SECTOR);
  }

  /** SBC-3, 5.35: all ranges are checked before one is let go. */
  async #unmap(length: number, { fromGuest }: ScsiData): Promise<Answer> {
    if (!this.#identity.thin) return failed(SENSE.invalidCommand);
    if (length === 0) return done();
    if (length < 8) return failed(SENSE.parameterListLength);
    const list = new Uint8Array(Math.min(length, 8 + 16 * MOST_RANGES));
    const got = fromGuest.read(0, list);
    const view = new DataView(list.buffer);
    const count = Math.floor(Math.min(got - 8, view.getUint16(2)) / 16);
    if (view.getUint16(2) > 16 * MOST_RANGES) return failed(SENSE.invalidParameters);
    const ranges = Array.from({ length: Math.max(0, count) }, (_, i) => ({ first: wide(view, 8 + 16 * i), sectors: view.getUint32(16 + 16 * i) }));
    if (ranges.reduce((sum, { sectors }) => sum + sectors, 0) > MOST_UNMAPPED) return failed(SENSE.invalidParameters);
    if (!ranges.every(({ first, sectors }) => this.#disk.contains(first * SECTOR, sectors * SECTOR))) return failed(SENSE.outOfRange);
    for (const { first, sectors } of ranges) {
      const outcome = sectors === 0 ? 'done' : await this.#disk.zero(first * SECTOR, sectors * SECTOR);
      if (outcome !== 'done') return outcome === 'abandoned' ? undefined : failed(SENSE.writeError);
    }
    return done(got);
  }

  async #end(work: Promise<Outcome>, failure: Sense, moved = 0): Promise<Answer> {
    const outcome = await work;
    return outcome === 'abandoned' ? undefined : outcome === 'done' ? done(moved) : failed(failure);
  }

  save(): Plain {
    return { attention: this.#attention === undefined ? [] : [...this.#attention] };
  }
  load(state: Plain): void {
    const attention = new StateFields('scsi-disk', state, 1, 1).integers('attention', 3, 0xff);
    this.#attention = attention.length === 3 ? [attention[0]!, attention[1]!, attention[2]!] : undefined;
  }
}

/** What a target answers for a logical unit that it has not (SPC-4, 6.6.2 and SAM-5, 5.14.4); it has number 0 only. */
export function executeNowhere(command: Uint8Array, { toGuest }: ScsiData): ScsiResult {
  const allocation = (command[3]! << 8) | command[4]!;
  if (command[0] === 0x12) return done(toGuest.write(0, inquiryOfNothing().subarray(0, allocation)));
  if (command[0] === 0x03) return done(toGuest.write(0, senseData(SENSE.noSuchUnit).subarray(0, command[4])));
  return failed(SENSE.noSuchUnit);
}

function done(moved = 0): ScsiResult {
  return { sense: SENSE.none, moved };
}
function failed(sense: Sense): ScsiResult {
  return { sense, moved: 0 };
}
function wide(view: DataView, at: number): number {
  return view.getUint32(at) * 2 ** 32 + view.getUint32(at + 4);
}

/** First sector and how many, by the command's group; of 6 bytes, none means 256. */
function place(command: Uint8Array, view: DataView): readonly [number, number] {
  switch (LENGTHS[command[0]! >> 5]) {
    case 6: return [view.getUint32(0) & 0x1fffff, command[4]! || 256];
    case 10: return [view.getUint32(2), view.getUint16(7)];
    case 12: return [view.getUint32(2), view.getUint32(6)];
    default: return [wide(view, 2), view.getUint32(10)];
  }
}

/** Not longer than we have said, and without protection information. */
function sane(command: Uint8Array, { bytes }: Extent): boolean {
  return bytes <= MOST_SECTORS * SECTOR && (command[0]! < 0x20 || (command[1]! & 0xe0) === 0);
}
