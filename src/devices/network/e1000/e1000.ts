import type { AccessSize } from '../../../base/addresses.ts';
import type { Plain } from '../../../base/plain.ts';
import type { Frame, PacketPort } from '../../../host/packets.ts';
import type { GuestMemory } from '../../../memory/guest-memory.ts';
import type { RegisterBlock } from '../../../wiring/register-block.ts';
import { PciEndpoint } from '../../pci/endpoint.ts';
import type { PciWiring } from '../../pci/endpoint.ts';
import { StateFields } from '../../state-fields.ts';
import { CHECK_BYTES, filledUp, withCheck } from '../frame-check.ts';
import type { MacAddress, NetworkCard } from '../network-card.ts';
import { isTagged, withoutTag } from '../vlan-tag.ts';
import { Eeprom } from './eeprom.ts';
import { Phy } from './phy.ts';
import { isWanted } from './receive-filter.ts';
import {
  COUNTERS, CTRL, EECD, EERD, GORCL, GOTCL, GPRC, GPTC, ICR, ICS, IMC, IMS, MDIC, RAH, RAL, RCTL, RDBAH, RDBAL, RDH, RDLEN, RDT, RESET_VALUES, STATUS, TCTL, TDBAH, TDBAL, TDH, TDLEN, TDT, TPR, TPT, VET, WRITABLE,
} from './registers.ts';
import { Transmitter } from './transmitter.ts';

const BAR_BYTES = 0x20000;
const PORT_BYTES = 0x40;
const DESCRIPTOR_BYTES = 16;

const CTRL_RESET = 0x04000000;
const CTRL_VLAN = 0x40000000;
const STATUS_FULL_DUPLEX = 0x01;
const STATUS_LINK = 0x02;
const STATUS_1000 = 0x80;
const EERD_START = 1;
const EERD_DONE = 0x10;
const MDIC_WRITE = 1;
const MDIC_READ = 2;
const MDIC_READY = 0x10000000;
const MDIC_INTERRUPT = 0x20000000;
const MDIC_ERROR = 0x40000000;
const PHY_ADDRESS = 1;

const CAUSE_WRITTEN_BACK = 0x01;
const CAUSE_QUEUE_EMPTY = 0x02;
const CAUSE_LINK = 0x04;
const CAUSE_FEW_LEFT = 0x10;
const CAUSE_RECEIVED = 0x80;
const CAUSE_MDIO = 0x200;
const CAUSES = 0x1ffff;

const RCTL_ENABLE = 0x02;
const RCTL_LONG = 0x20;
const RCTL_STRIP_CHECK = 0x04000000;
const TCTL_ENABLE = 0x02;
const LONGEST_USUAL = 1522;
const LONGEST = 16384;

const DONE = 0x01;
const END = 0x02;
const IGNORE_CHECKSUMS = 0x04;
const VLAN_STRIPPED = 0x08;
const CHECKED = 0x60; // TCP or UDP, and IP
const MOST_AT_ONCE = 1024;

/** Intel's 82540EM (its software developer's manual). */
export class E1000 extends PciEndpoint implements NetworkCard {
  readonly #memory: GuestMemory;
  readonly #port: PacketPort | undefined;
  readonly #mac: MacAddress;
  readonly #values = new Map<number, number>();
  readonly #eeprom: Eeprom;
  readonly #phy: Phy;
  readonly #transmitter: Transmitter;
  #causes = 0;
  #mask = 0;
  #mdic = MDIC_READY;
  #eerd = 0;
  /** What the port window reaches (section 13.2.2). */
  #portAddress = 0;
  /** A frame that waits for descriptors. */
  #held: Frame | undefined;

  constructor({ mac, port }: { readonly mac: MacAddress; readonly port: PacketPort | undefined }, wiring: PciWiring & { readonly memory: GuestMemory }) {
    const registers: RegisterBlock = { name: 'e1000', length: BAR_BYTES, read: (offset, size) => this.#access(offset, size), write: (offset, size, value) => this.#writeSized(offset, size, value) };
    const window: RegisterBlock = { name: 'e1000-ports', length: PORT_BYTES, read: (offset, size) => this.#readWindow(offset, size), write: (offset, size, value) => this.#writeWindow(offset, size, value) };
    super({
      name: 'e1000',
      identity: { vendor: 0x8086, device: 0x100e, revision: 2, classCode: 0x020000, subsystemVendor: 0x8086, subsystem: 0x001e },
      bars: [{ index: 0, space: 'memory', block: registers }, { index: 2, space: 'port', block: window }],
    }, wiring);
    this.#memory = wiring.memory;
    this.#port = port;
    this.#mac = mac;
    this.#eeprom = new Eeprom(mac);
    this.#phy = new Phy(port !== undefined);
    this.#transmitter = new Transmitter(wiring.memory);
    this.#resetRegisters();
  }

  #resetRegisters(): void {
    this.#values.clear();
    for (const [offset, value] of RESET_VALUES) this.#values.set(offset, value);
    const [a, b, c, d, e, f] = this.#mac;
    this.#values.set(RAL, (a! | (b! << 8) | (c! << 16) | (d! << 24)) >>> 0);
    this.#values.set(RAH, (e! | (f! << 8) | 0x80000000) >>> 0);
    this.#transmitter.reset();
    this.#held = undefined;
    this.#mask = 0;
    this.#mdic = MDIC_READY;
    this.#eerd = 0;
    this.#setCauses(0);
  }

  readonly #register = (offset: number): number => this.#values.get(offset) ?? 0;

  #setCauses(causes: number): void {
    this.#causes = causes;
    this.setIntx((causes & this.#mask) !== 0);
  }
  #raise(causes: number): void {
    this.#setCauses(this.#causes | causes);
  }

  /** Registers are words; narrower accesses get a part of one. */
  #access(offset: number, size: AccessSize): number {
    const value = this.#read(offset & ~3) >>> (8 * (offset & 3));
    return size === 4 ? value >>> 0 : value & (2 ** (8 * size) - 1);
  }
  #writeSized(offset: number, size: AccessSize, value: number): void {
    if (size === 4 && (offset & 3) === 0) this.#write(offset, value >>> 0);
  }

  #readWindow(offset: number, size: AccessSize): number {
    if (offset >= 8) return 0;
    return offset < 4 ? this.#portAddress >>> (8 * offset) : this.#portAddress < BAR_BYTES ? this.#access(this.#portAddress + offset - 4, size) : 0;
  }
  #writeWindow(offset: number, size: AccessSize, value: number): void {
    if (offset === 0 && size === 4) this.#portAddress = (value & ~3) >>> 0;
    else if (offset === 4 && this.#portAddress < BAR_BYTES) this.#writeSized(this.#portAddress, size, value);
  }

  #read(offset: number): number {
    switch (offset) {
      case STATUS: return STATUS_FULL_DUPLEX | STATUS_1000 | (this.#port === undefined ? 0 : STATUS_LINK);
      case EECD: return this.#eeprom.control;
      case EERD: return this.#eerd;
      case MDIC: return this.#mdic;
      case ICR: return this.#takeCauses();
      case IMS: return this.#mask;
      default:
        if (COUNTERS.includes(offset)) return this.#takeCounter(offset);
        return this.#register(offset);
    }
  }

  #takeCauses(): number {
    const causes = this.#causes;
    this.#setCauses(0);
    return causes;
  }
  #takeCounter(offset: number): number {
    const value = this.#register(offset);
    this.#values.delete(offset);
    return value;
  }
  #count(offset: number, by: number): void {
    this.#values.set(offset, (this.#register(offset) + by) % 2 ** 32);
  }

  #write(offset: number, value: number): void {
    switch (offset) {
      case EECD: this.#eeprom.control = value; return;
      case EERD: this.#eerd = (value & EERD_START) === 0 ? value : ((this.#eeprom.word((value >>> 8) & 0xff) << 16) | (value & 0xff00) | EERD_DONE) >>> 0; return;
      case MDIC: this.#transceiver(value); return;
      case ICR: this.#setCauses(this.#causes & ~value); return;
      case ICS: this.#raise(value & CAUSES); return;
      case IMS: this.#setMask(this.#mask | (value & CAUSES)); return;
      case IMC: this.#setMask(this.#mask & ~value); return;
      default: this.#writePlain(offset, value);
    }
  }

  #writePlain(offset: number, value: number): void {
    const mask = WRITABLE.get(offset);
    if (mask === undefined) return;
    this.#values.set(offset, (value & mask) >>> 0);
    if (offset === CTRL && (value & CTRL_RESET) !== 0) this.#resetRegisters();
    else if (offset === TDT || offset === TCTL) this.#transmit();
    else if (offset === RDT || offset === RCTL) this.arrived();
  }

  #setMask(mask: number): void {
    this.#mask = mask;
    this.#setCauses(this.#causes);
  }

  #transceiver(value: number): void {
    const [operation, register] = [(value >>> 26) & 3, (value >>> 16) & 31];
    let answer = (value & ~(MDIC_ERROR | 0xffff)) | MDIC_READY;
    if (((value >>> 21) & 31) !== PHY_ADDRESS) answer |= MDIC_ERROR;
    else if (operation === MDIC_READ) answer |= this.#phy.read(register);
    else if (operation === MDIC_WRITE) {
      answer |= value & 0xffff;
      if (this.#phy.write(register, value & 0xffff) && this.#port !== undefined) this.#raise(CAUSE_LINK);
    }
    this.#mdic = answer >>> 0;
    if ((value & MDIC_INTERRUPT) !== 0) this.#raise(CAUSE_MDIO);
  }

  /** Address and number of a ring's descriptors; undefined while there is none. */
  #ring(low: number, high: number, bytes: number): { readonly base: number; readonly count: number } | undefined {
    const count = this.#register(bytes) / DESCRIPTOR_BYTES;
    return count === 0 ? undefined : { base: this.#register(high) * 2 ** 32 + this.#register(low), count };
  }

  #transmit(): void {
    const ring = this.#ring(TDBAL, TDBAH, TDLEN);
    if (ring === undefined || !this.master || (this.#register(TCTL) & TCTL_ENABLE) === 0) return;
    let causes = 0;
    // A tail outside of the ring is never met: once around is enough.
    for (let i = 0; i < ring.count && this.#register(TDH) !== this.#register(TDT); i++) {
      const head = this.#register(TDH) % ring.count;
      if (this.#transmitter.take(ring.base + head * DESCRIPTOR_BYTES, this.#register(VET), (frame) => this.#send(frame))) causes |= CAUSE_WRITTEN_BACK;
      this.#values.set(TDH, (head + 1) % ring.count);
      causes |= CAUSE_QUEUE_EMPTY;
    }
    this.#raise(causes);
  }

  #send(frame: Frame): void {
    this.#port?.send(frame);
    for (const counter of [GPTC, TPT]) this.#count(counter, 1);
    this.#count(GOTCL, frame.bytes.length + CHECK_BYTES);
  }

  protected override mastering(): void {
    this.#transmit();
    this.arrived();
  }

  arrived(): boolean {
    for (let i = 0; i < MOST_AT_ONCE; i++) {
      const ring = this.#ring(RDBAL, RDBAH, RDLEN);
      if (ring === undefined || !this.master || (this.#register(RCTL) & RCTL_ENABLE) === 0) return false;
      const free = this.#free(ring.count);
      if (free === 0) return false;
      const frame = this.#held ?? this.#port?.receive();
      this.#held = undefined;
      if (frame === undefined) return false;
      if (!this.#receive(frame, ring, free)) return false;
    }
    return true;
  }

  /** Receive descriptors that are the card's. */
  #free(count: number): number {
    const [head, tail] = [this.#register(RDH) % count, this.#register(RDT) % count];
    return (tail - head + count) % count;
  }

  /** False when there are too few descriptors; then it waits. */
  #receive(frame: Frame, ring: { readonly base: number; readonly count: number }, free: number): boolean {
    const control = this.#register(RCTL);
    const tagged = (this.#register(CTRL) & CTRL_VLAN) !== 0 && isTagged(frame.bytes, this.#register(VET));
    const longest = (control & RCTL_LONG) === 0 ? LONGEST_USUAL : LONGEST;
    if (frame.bytes.length + CHECK_BYTES > longest || !isWanted(frame.bytes, this.#register)) return true;
    const filled = filledUp(tagged ? withoutTag(frame.bytes) : frame.bytes);
    const bytes = (control & RCTL_STRIP_CHECK) === 0 ? withCheck(filled) : filled;
    const room = bufferBytes(control);
    const needed = Math.ceil(bytes.length / room);
    // A ring that is too short for it, however long one waits, loses it.
    if (needed >= ring.count) return true;
    if (needed > free) {
      this.#held = frame;
      return false;
    }
    const status = DONE | checksumStatus(frame) | (tagged ? VLAN_STRIPPED : 0);
    const tag = tagged ? (frame.bytes[14]! << 8) | frame.bytes[15]! : 0;
    for (let at = 0; at < bytes.length; at += room) this.#fill(ring, bytes.subarray(at, at + room), status | (at + room >= bytes.length ? END : 0), tag);
    for (const counter of [GPRC, TPR]) this.#count(counter, 1);
    this.#count(GORCL, filled.length + CHECK_BYTES);
    const few = free - needed < ring.count >>> (1 + ((control >>> 8) & 3));
    this.#raise(CAUSE_RECEIVED | (few ? CAUSE_FEW_LEFT : 0));
    return true;
  }

  #fill({ base, count }: { readonly base: number; readonly count: number }, bytes: Uint8Array, status: number, tag: number): void {
    const head = this.#register(RDH) % count;
    const descriptor = base + head * DESCRIPTOR_BYTES;
    this.#memory.write(this.#memory.readU32(descriptor) + this.#memory.readU32(descriptor + 4) * 2 ** 32, bytes);
    this.#memory.writeU32(descriptor + 8, bytes.length);
    // The status comes last, and makes it the driver's.
    this.#memory.writeU32(descriptor + 12, (status | (tag << 16)) >>> 0);
    this.#values.set(RDH, (head + 1) % count);
  }

  protected override resetDevice(): void {
    this.#resetRegisters();
    this.#eeprom.reset();
    this.#phy.reset();
    this.#portAddress = 0;
  }

  protected override saveDevice(): Plain {
    return {
      values: Object.fromEntries([...this.#values].sort(([a], [b]) => a - b).map(([offset, value]) => [offset.toString(16), value])),
      causes: this.#causes, mask: this.#mask, mdic: this.#mdic, eerd: this.#eerd, portAddress: this.#portAddress, eeprom: this.#eeprom.save(), phy: this.#phy.save(), transmitter: this.#transmitter.save(),
    };
  }

  protected override loadDevice(state: Plain): void {
    const fields = new StateFields(this.stateName, state, 1, 1);
    const word = (key: string): number => fields.integer(key, 0xffffffff);
    const values = new StateFields(this.stateName, fields.nested('values'), 1, 1);
    const loaded: [number, number][] = [];
    for (const offset of [...WRITABLE.keys(), ...COUNTERS]) {
      const key = offset.toString(16);
      if (values.has(key)) loaded.push([offset, values.integer(key, WRITABLE.get(offset) ?? 0xffffffff)]);
    }
    const [causes, mask] = [fields.integer('causes', CAUSES), fields.integer('mask', CAUSES)];
    this.#eeprom.load(fields.nested('eeprom'));
    this.#phy.load(fields.nested('phy'));
    this.#transmitter.load(fields.nested('transmitter'));
    this.#values.clear();
    for (const [offset, value] of loaded) this.#values.set(offset, value);
    [this.#mdic, this.#eerd, this.#portAddress] = [word('mdic'), word('eerd'), word('portAddress')];
    this.#held = undefined;
    this.#causes = causes;
    this.#setMask(mask);
  }
}

/** BSIZE and BSEX (13.4.22). */
function bufferBytes(control: number): number {
  const size = (control >>> 16) & 3;
  return (control & 0x02000000) === 0 || size === 0 ? 2048 >>> size : 32768 >>> size;
}

/** The host vouches for checksums, or nobody has looked. */
function checksumStatus({ bytes, offload }: Frame): number {
  const type = (bytes[12]! << 8) | bytes[13]!;
  return offload?.verified === true && type === 0x0800 ? CHECKED : IGNORE_CHECKSUMS;
}
