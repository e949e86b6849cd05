import type { Plain } from '../../../base/plain.ts';
import type { BlockPort } from '../../../host/blocks.ts';
import { StateFields } from '../../state-fields.ts';
import { COUNT, ERROR_ABORTED, FEATURES, HIGH, IdeDrive, MID, STATUS_DATA_REQUEST } from './ide-drive.ts';
import type { IdeCable } from './ide-drive.ts';
import { identifyText } from './identify.ts';

// CD-ROM drive with packet commands (ATA/ATAPI-6, INCITS 361, sections 9.8 and 8.23; MMC-3, INCITS 360; SPC-2).

const SECTOR = 2048;
const PACKET = 12;
/** Interrupt reason, in the count register. */
const REASON_COMMAND = 1;
const REASON_INPUT = 2;

const SENSE_NONE = 0;
const SENSE_NOT_READY = 2;
const SENSE_MEDIUM = 3;
const SENSE_ILLEGAL_REQUEST = 5;
const SENSE_UNIT_ATTENTION = 6;
const ASC_READ_ERROR = 0x11;
const ASC_INVALID_COMMAND = 0x20;
const ASC_OUT_OF_RANGE = 0x21;
const ASC_INVALID_FIELD = 0x24;
const ASC_MEDIUM_CHANGED = 0x28;
const ASC_NO_MEDIUM = 0x3a;
const ASC_REMOVAL_PREVENTED = 0x53;
/** Media events (MMC-3, table 84). */
const EVENTS = { none: 0, ejectRequest: 1, newMedium: 2, mediumRemoved: 3 } as const;
/** What is executed though a new medium has still to be told of (SPC-2, 5.9). */
const UNATTENTIVE: ReadonlySet<number> = new Set([0x03, 0x12, 0x46, 0x4a]);
/** Track number of the lead-out, and control bits of a data track. */
const LEAD_OUT = 0xaa;
const DATA_TRACK = 0x14;
const PROFILE_CD_ROM = 8;
/** Frames before sector 0, in addresses as minute, second and frame. */
const LEAD_IN_FRAMES = 150;

function u16(value: number): number[] {
  return [(value >> 8) & 0xff, value & 0xff];
}
function u32(value: number): number[] {
  return [(value >>> 24) & 0xff, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff];
}

export class IdeCdrom extends IdeDrive {
  protected readonly unit = SECTOR;
  protected readonly signature = [0x14, 0xeb] as const;
  #packetDma = false;
  #sense: readonly [number, number] = [SENSE_NONE, 0];
  /** The tray: the medium can be taken out and put in again by command. */
  #open = false;
  /** The guest keeps it shut. */
  #locked = false;
  /** The next command hears of a new medium. */
  #attention = false;
  #event: number = EVENTS.none;
  #mode = 0;
  /** Bytes of a block, as the guest has said with the packet. */
  #limit = 0xfffe;
  /** IDENTIFY PACKET DEVICE has no closing interrupt, as packets have. */
  #identifying = false;

  constructor(block: BlockPort | undefined, cable: IdeCable) {
    super(block, cable);
    this.reset();
  }

  get #sectors(): number {
    return Math.floor((this.block?.bytes ?? 0) / SECTOR);
  }
  /** There is a medium, and the tray is in. */
  get #loaded(): boolean {
    return this.block !== undefined && !this.#open;
  }
  /** The guest prevents its medium from being taken out: it uses it. */
  get locked(): boolean {
    return this.#locked && this.#loaded;
  }
  /** The button at the drive: guests that listen let the medium go. */
  pressEject(): void {
    this.#event = EVENTS.ejectRequest;
  }
  /** Another medium, or none; what is being read of the old one fails. */
  change(block: BlockPort | undefined): void {
    const had = this.#loaded;
    const reading = this.forgetHost();
    this.block = block;
    this.#open = false;
    this.#locked = false;
    this.#attention = block !== undefined;
    this.#event = block !== undefined ? EVENTS.newMedium : had ? EVENTS.mediumRemoved : EVENTS.none;
    if (reading) this.#refuse(SENSE_NOT_READY, ASC_NO_MEDIUM);
  }

  override reset(): void {
    super.reset();
    this.#packetDma = false;
    this.#locked = false;
    this.#sense = [SENSE_NONE, 0];
    this.status = 0; // packet devices are not "ready" until they are spoken to (section 9.12)
  }

  protected override command(code: number): void {
    switch (code) {
      case 0x08: // DEVICE RESET
        return this.reset();
      case 0xa0: // PACKET
        this.#packetDma = (this.registers[FEATURES]! & 1) !== 0;
        this.#identifying = false;
        this.useBuffer(new Uint8Array(PACKET));
        this.registers[COUNT] = REASON_COMMAND;
        return this.request('packet', PACKET);
      case 0xa1:
        return this.#identify();
      case 0x90:
        this.finish();
        return this.putSignature();
      case 0xef:
        if (this.registers[FEATURES] === 3) this.#mode = this.registers[COUNT]!;
        return this.finish();
      case 0xec: case 0x20: // no hard disk: the signature tells
        this.fail(ERROR_ABORTED);
        this.registers.set([1, 1, ...this.signature], COUNT);
        return;
      case 0xe0: case 0xe1: case 0xe2: case 0xe3: case 0xe5:
        return this.finish();
      default:
        return this.fail(ERROR_ABORTED);
    }
  }

  protected override bufferDone(): void {
    if (this.phase === 'packet') return this.#packet(this.data);
    // What is left was to come from the medium before.
    if (this.job.left > 0) return this.#attention || !this.#loaded ? this.#refuse(SENSE_NOT_READY, ASC_NO_MEDIUM) : this.askHost();
    if (this.#identifying) {
      this.phase = 'idle';
      this.job.operation = 'none';
      this.status &= ~STATUS_DATA_REQUEST;
    } else this.#complete();
  }

  protected override requestDone(good: boolean): void {
    if (!good) return this.#refuse(SENSE_MEDIUM, ASC_READ_ERROR);
    const sectors = this.data.length / SECTOR;
    this.job.next += sectors;
    this.job.left -= sectors;
    this.#offer();
  }

  /** The buffer goes to the guest, in blocks of at most what it has said. */
  #offer(): void {
    if (this.#packetDma) {
      this.registers[COUNT] = REASON_INPUT;
      return this.requestDma('dmaIn');
    }
    this.nextBlock();
  }

  protected override nextBlock(): void {
    const bytes = Math.min(this.#limit, this.data.length - this.position);
    this.registers[COUNT] = REASON_INPUT;
    this.registers[MID] = bytes;
    this.registers[HIGH] = bytes >> 8;
    this.request('dataIn', this.position + bytes);
    this.interrupt();
  }

  #complete(): void {
    this.registers[COUNT] = REASON_COMMAND | REASON_INPUT;
    this.finish();
  }

  #refuse(key: number, code: number): void {
    this.#sense = [key, code];
    this.registers[COUNT] = REASON_COMMAND | REASON_INPUT;
    this.fail((key << 4) | (key === SENSE_ILLEGAL_REQUEST ? ERROR_ABORTED : 0));
  }

  /** An answer of a command, cut to the allocation length. */
  #answer(bytes: readonly number[], allocation: number): void {
    this.useBuffer(Uint8Array.from(bytes.slice(0, allocation)));
    Object.assign(this.job, { operation: 'read', left: 0 });
    if (this.data.length === 0) this.#complete();
    else this.#offer();
  }

  #packet(packet: Uint8Array): void {
    const limit = this.registers[MID]! | (this.registers[HIGH]! << 8);
    // 0 and FFFFh mean the largest even number (section 8.23.4); odd limits lose their last byte.
    this.#limit = Math.max(2, (limit === 0 || limit === 0xffff ? 0xfffe : limit) & 0xfffe);
    const view = new DataView(packet.buffer, packet.byteOffset, PACKET);
    const code = packet[0]!;
    const short = view.getUint16(7);
    if (code !== 0x03) this.#sense = [SENSE_NONE, 0];
    if (this.#attention && !UNATTENTIVE.has(code)) {
      this.#attention = false;
      return this.#refuse(SENSE_UNIT_ATTENTION, ASC_MEDIUM_CHANGED);
    }
    switch (code) {
      case 0x03: // REQUEST SENSE
        this.#answer([0x70, 0, this.#sense[0], 0, 0, 0, 0, 10, 0, 0, 0, 0, this.#sense[1], 0, 0, 0, 0, 0], packet[4]!);
        return;
      case 0x12: // INQUIRY
        this.#answer([5, 0x80, 0, 0x21, 31, 0, 0, 0, ...this.#ascii('POLYVSR', 8), ...this.#ascii('CD-ROM', 16), ...this.#ascii('1.0', 4)], packet[4]!);
        return;
      case 0x1b: // START STOP UNIT: bit 1 moves the tray
        if ((packet[4]! & 2) === 0) return this.#complete();
        return this.#moveTray((packet[4]! & 1) === 0);
      case 0x1e: // PREVENT ALLOW MEDIUM REMOVAL
        this.#locked = (packet[4]! & 1) !== 0;
        return this.#complete();
      case 0xbb: // SET CD SPEED
        return this.#complete();
      case 0x46: // GET CONFIGURATION: the profile list
        this.#answer([...u32(12), 0, 0, ...u16(this.#loaded ? PROFILE_CD_ROM : 0), 0, 0, 3, 4, ...u16(PROFILE_CD_ROM), this.#loaded ? 1 : 0, 0], short);
        return;
      case 0x4a: // GET EVENT STATUS NOTIFICATION: media, polled
        if ((packet[1]! & 1) === 0) return this.#refuse(SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD);
        return this.#tellEvent((packet[4]! & 0x10) !== 0, short);
      case 0x5a: // MODE SENSE (10)
        return this.#modeSense(packet[2]! & 0x3f, short);
      case 0xbd: // MECHANISM STATUS
        this.#answer([0, this.#open ? 0x10 : 0, 0, 0, 0, 1, 0, 0], view.getUint16(8));
        return;
      default:
        return this.#medium(code, packet, view);
    }
  }

  #moveTray(out: boolean): void {
    if (out && this.locked) return this.#refuse(SENSE_ILLEGAL_REQUEST, ASC_REMOVAL_PREVENTED);
    if (out !== this.#open && this.block !== undefined) {
      this.#event = out ? EVENTS.mediumRemoved : EVENTS.newMedium;
      this.#attention = !out;
    }
    this.#open = out;
    this.#complete();
  }

  /** MMC-3, 6.7: the media class alone; an event is told once. */
  #tellEvent(media: boolean, allocation: number): void {
    if (!media) return this.#answer([0, 2, 0x80, 0x10], allocation);
    const status = (this.#open ? 1 : 0) | (this.#loaded ? 2 : 0);
    this.#answer([0, 6, 4, 0x10, this.#event, status, 0, 0], allocation);
    if (allocation > 4) this.#event = EVENTS.none;
  }

  /** Commands that want a disc. */
  #medium(code: number, packet: Uint8Array, view: DataView): void {
    const known = [0x00, 0x25, 0x28, 0xa8, 0xbe, 0x2b, 0x42, 0x43, 0x51].includes(code);
    if (!known) return this.#refuse(SENSE_ILLEGAL_REQUEST, ASC_INVALID_COMMAND);
    if (!this.#loaded) return this.#refuse(SENSE_NOT_READY, ASC_NO_MEDIUM);
    switch (code) {
      case 0x25: // READ CAPACITY
        this.#answer([...u32(this.#sectors - 1), ...u32(SECTOR)], 8);
        return;
      case 0x28:
        return this.#read(view.getUint32(2), view.getUint16(7));
      case 0xa8:
        return this.#read(view.getUint32(2), view.getUint32(6));
      case 0xbe: // READ CD: user data of data sectors alone
        if ((packet[9]! & 0xf8) !== 0x10 && (packet[9]! & 0xf8) !== 0) return this.#refuse(SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD);
        return this.#read(view.getUint32(2), (packet[9]! & 0xf8) === 0 ? 0 : view.getUint32(5) & 0xffffff);
      case 0x42: // READ SUB-CHANNEL: no audio is played
        this.#answer([0, 0x15, 0, 0], view.getUint16(7));
        return;
      case 0x43:
        return this.#readToc(packet, view.getUint16(7));
      case 0x51: // READ DISC INFORMATION: complete, one session, one track
        this.#answer([...u16(32), 0x0e, 1, 1, 1, 1, 0x20, ...new Array<number>(26).fill(0)], view.getUint16(7));
        return;
      default: // TEST UNIT READY, SEEK
        return this.#complete();
    }
  }

  #read(first: number, count: number): void {
    if (first + count > this.#sectors) return this.#refuse(SENSE_ILLEGAL_REQUEST, ASC_OUT_OF_RANGE);
    if (count === 0) return this.#complete();
    Object.assign(this.job, { operation: 'read', next: first, left: count, dma: this.#packetDma });
    this.askHost();
  }

  /** One data track, and the lead-out. */
  #readToc(packet: Uint8Array, allocation: number): void {
    const time = (packet[1]! & 2) !== 0;
    const format = (packet[2]! & 15) || packet[9]! >> 6;
    const address = (sector: number): number[] => {
      const frame = sector + LEAD_IN_FRAMES;
      return time ? [0, Math.floor(frame / 4500), Math.floor(frame / 75) % 60, frame % 75] : u32(sector);
    };
    const first = [0, DATA_TRACK, 1, 0, ...address(0)];
    const end = [0, DATA_TRACK, LEAD_OUT, 0, ...address(this.#sectors)];
    if (format === 1) return this.#answer([...u16(10), 1, 1, ...first], allocation);
    if (format !== 0) return this.#refuse(SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD);
    const track = packet[6]!;
    if (track > 1 && track !== LEAD_OUT) return this.#refuse(SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD);
    const entries = track === LEAD_OUT ? end : [...first, ...end];
    this.#answer([...u16(entries.length + 2), 1, 1, ...entries], allocation);
  }

  /** Error recovery, capabilities; all pages. */
  #modeSense(page: number, allocation: number): void {
    const recovery = [1, 6, 0, 5, 0, 0, 0, 0];
    const capabilities = [0x2a, 18, 0x03, 0, 0x71, 0x60, 0x29, 0, ...u16(706), ...u16(2), ...u16(512), ...u16(706), 0, 0, 0, 0];
    const pages = page === 1 ? recovery : page === 0x2a ? capabilities : page === 0x3f ? [...recovery, ...capabilities] : undefined;
    if (pages === undefined) return this.#refuse(SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD);
    this.#answer([...u16(pages.length + 6), this.#open ? 0x71 : this.#loaded ? 1 : 0x70, 0, 0, 0, 0, 0, ...pages], allocation);
  }

  #ascii(text: string, length: number): number[] {
    return [...text.padEnd(length)].map((letter) => letter.charCodeAt(0));
  }

  #identify(): void {
    const words = new Uint16Array(256);
    words[0] = 0x8580; // packet device, CD-ROM, removable, packets of 12 bytes taken within 3 ms
    words.set(identifyText('polyvisor-cd', 10), 10);
    words.set(identifyText('1.0', 4), 23);
    words.set(identifyText('Polyvisor CD-ROM', 20), 27);
    words[49] = 0x0f00;
    words[53] = 0x0006;
    words[63] = 0x0007 | ((this.#mode & 0xf8) === 0x20 ? 0x100 << (this.#mode & 7) : 0);
    words[64] = 0x0003;
    words.fill(120, 65, 69);
    words[80] = 0x0070;
    words[82] = 0x4210; // NOP, DEVICE RESET, packets
    words[83] = 0x4000;
    words[84] = 0x4000;
    words[85] = 0x4210;
    words[87] = 0x4000;
    words[88] = 0x003f | ((this.#mode & 0xf8) === 0x40 ? 0x100 << (this.#mode & 7) : 0);
    words[93] = 0x604b;
    this.useBuffer(new Uint8Array(words.buffer.slice(0)));
    Object.assign(this.job, { operation: 'read', next: 0, left: 0, dma: false });
    this.#identifying = true;
    this.request('dataIn', this.data.length);
    this.interrupt();
  }

  protected override saveMore(): Plain {
    return { packetDma: this.#packetDma, senseKey: this.#sense[0], senseCode: this.#sense[1], open: this.#open, locked: this.#locked, attention: this.#attention, event: this.#event, mode: this.#mode, limit: this.#limit, identifying: this.#identifying };
  }
  protected override loadMore(state: Plain): void {
    const fields = new StateFields('atapi-cdrom', state, 1, 1);
    this.#packetDma = fields.boolean('packetDma');
    this.#sense = [fields.integer('senseKey', 15), fields.byte('senseCode')];
    this.#open = fields.boolean('open');
    this.#locked = fields.boolean('locked');
    this.#attention = fields.boolean('attention');
    this.#event = fields.integer('event', EVENTS.mediumRemoved);
    this.#mode = fields.byte('mode');
    this.#limit = Math.max(2, fields.integer('limit', 0xfffe) & 0xfffe);
    this.#identifying = fields.boolean('identifying');
  }
}
