import type { AccessSize } from '../../../base/addresses.ts';
import type { Plain } from '../../../base/plain.ts';
import type { MonotonicClock } from '../../../host/clock.ts';
import type { Frame, PacketPort } from '../../../host/packets.ts';
import type { Timer, Timers } from '../../../host/timers.ts';
import type { GuestMemory } from '../../../memory/guest-memory.ts';
import type { RegisterBlock } from '../../../wiring/register-block.ts';
import { PciEndpoint } from '../../pci/endpoint.ts';
import type { PciWiring } from '../../pci/endpoint.ts';
import { StateFields } from '../../state-fields.ts';
import { CHECK_BYTES, filledUp, withCheck } from '../frame-check.ts';
import { Microwire } from '../microwire.ts';
import type { MacAddress, NetworkCard } from '../network-card.ts';
import { LEAST_FRAME } from '../outgoing-frame.ts';
import { isTagged, withoutTag } from '../vlan-tag.ts';
import { CHIPS, eepromWords, pciIdentity } from './identity.ts';
import type { Chip } from './identity.ts';
import { protocolBits } from './offload.ts';
import { store } from './receive-buffer.ts';
import { admission } from './receive-filter.ts';
import { LONGEST_RECEIVED, fill } from './receive-ring.ts';
import {
  BY_SOFTWARE, CAPR, CBR, CONFIG1, CPCR, CR, CR_EMPTY, CR_RECEIVE, CR_RESET, CR_TRANSMIT, DTCCR, EECR, IDR, IMR, ISR, LOCKED, NONE_TO_SEND, NO_ROOM, PLUS_CHECKSUMS, PLUS_RECEIVE, PLUS_TAGS,
  PLUS_TRANSMIT, RBSTART, RCR, RCR_NO_WRAP, RDSAR, RECEIVED, REGISTER_BYTES, RERID, SENT, SUMMARY, TCR, TCTR, THPDS, TIMED_OUT, TIMER_INT, TNPDS, TPPOLL, TRANSMIT_ERROR, TSAD, TSD, TSD_ABORTED, TSD_BYTES, TSD_DONE,
  TSD_SENT, WRITABLE, WRITABLE_PLUS,
} from './registers.ts';
import { Tally } from './tally.ts';
import { powerOnTransceiver, showLink } from './transceiver.ts';
import { TransmitRing } from './transmit-ring.ts';

const BUFFERS = 4;
/** Longer ones a buffer's status cannot have sent, and drivers leave no room for. */
const LONGEST_BUFFER = 1792;
const READ_AHEAD = 16; // CAPR is so much behind what the driver has read
const MOST_AT_ONCE = 1024;
/** Of the PCI clock, which the card's timer counts. */
const TICK_NS = 30;
const LOOK_AGAIN_NS = 1e6;

const EECR_MODE = 0xc0;
const EECR_LOAD = 0x40;
const EECR_UNLOCKED = 0xc0;
const EECR_WIRES = { select: 8, clock: 4, data: 2, out: 1 } as const;
const CONFIG1_MAPPED = 0x0c;
const TCR_LOOPBACK = 0x60000;
const TCR_WITH_CHECK = 0x10000;
const DUMP = 8;
const POLL_HIGH = 0x80;
const POLL_NORMAL = 0x40;
const POLL_INTERRUPT = 0x01;
const TAG_AVAILABLE = 0x10000;

export interface Rtl8139Options {
  readonly chip: Chip;
  readonly mac: MacAddress;
  readonly port: PacketPort | undefined;
}

/** Realtek's RTL8139D and RTL8139C+ (their data sheets). */
export class Rtl8139 extends PciEndpoint implements NetworkCard {
  readonly #memory: GuestMemory;
  readonly #clock: MonotonicClock;
  readonly #port: PacketPort | undefined;
  readonly #mac: MacAddress;
  readonly #chip: (typeof CHIPS)[Chip];
  readonly #file = new Uint8Array(REGISTER_BYTES);
  readonly #view = new DataView(this.#file.buffer);
  readonly #eeprom: Microwire;
  readonly #high: TransmitRing;
  readonly #normal: TransmitRing;
  readonly #tally = new Tally();
  readonly #timer: Timer;
  readonly #again: Timer;
  /** When the card's counter was zero, in ns. */
  #counted = 0;
  /** The next of the C+'s receive descriptors. */
  #receiveIndex = 0;
  /** The transmit buffer whose turn it is. */
  #turn = 0;
  /** A frame that waits for room. */
  #held: Frame | undefined;

  constructor({ chip, mac, port }: Rtl8139Options, wiring: PciWiring & { readonly memory: GuestMemory; readonly clock: MonotonicClock; readonly timers: Timers }) {
    const block: RegisterBlock = { name: 'rtl8139', length: REGISTER_BYTES, read: (offset, size) => this.#read(offset, size), write: (offset, size, value) => this.#write(offset, size, value) };
    super({ name: 'rtl8139', identity: pciIdentity(chip), bars: [{ index: 0, space: 'port', block }, { index: 1, space: 'memory', block }] }, wiring);
    this.#memory = wiring.memory;
    this.#clock = wiring.clock;
    this.#port = port;
    this.#mac = mac;
    this.#chip = CHIPS[chip];
    this.#eeprom = new Microwire('rtl8139 EEPROM', eepromWords(mac));
    this.#high = new TransmitRing('rtl8139 high priority ring', wiring.memory);
    this.#normal = new TransmitRing('rtl8139 ring', wiring.memory);
    this.#timer = wiring.timers.create('rtl8139', () => this.#timedOut());
    this.#again = wiring.timers.create('rtl8139 receiver', () => this.#lookAgain());
    this.#powerOn();
  }

  #u16(offset: number): number {
    return this.#view.getUint16(offset, true);
  }
  #u32(offset: number): number {
    return this.#view.getUint32(offset, true);
  }
  #u64(offset: number): number {
    return this.#u32(offset) + this.#u32(offset + 4) * 2 ** 32;
  }

  #powerOn(): void {
    this.#file.fill(0);
    this.#loadEeprom();
    powerOnTransceiver(this.#view);
    showLink(this.#view, this.#port !== undefined);
    this.#file[RERID] = this.#chip.revision;
    this.#tally.reset();
    this.#counted = Math.floor(this.#clock.now());
    this.#timer.disarm();
    this.#software();
  }
  #loadEeprom(): void {
    this.#file.set(this.#mac, IDR);
    this.#file[CONFIG1] = CONFIG1_MAPPED;
  }
  /** What CR's reset does: addresses, configuration and transceiver stay. */
  #software(): void {
    this.#file[CR] = 0;
    this.#file.fill(0, TSD, CR);
    for (let i = 0; i < BUFFERS; i++) this.#view.setUint32(TSD + 4 * i, TSD_DONE, true);
    for (const offset of [IMR, ISR, CPCR]) this.#view.setUint16(offset, 0, true);
    this.#view.setUint32(TCR, this.#chip.version, true);
    this.#view.setUint32(RCR, 0, true);
    this.#beginReceiving();
    this.#beginSending();
    this.setIntx(false);
  }
  #beginReceiving(): void {
    this.#view.setUint16(CAPR, 0x10000 - READ_AHEAD, true);
    this.#view.setUint16(CBR, 0, true);
    this.#receiveIndex = 0;
    this.#release();
  }
  #beginSending(): void {
    this.#turn = 0;
    this.#high.reset();
    this.#normal.reset();
  }

  #raise(causes: number): void {
    this.#view.setUint16(ISR, this.#u16(ISR) | causes, true);
    this.#interrupt();
  }
  #interrupt(): void {
    this.setIntx((this.#u16(ISR) & this.#u16(IMR)) !== 0);
  }

  #read(offset: number, size: AccessSize): number {
    const first = offset & ~3;
    let value = this.#word(first) / 2 ** (8 * (offset - first));
    if (offset + size > first + 4) value += this.#word(first + 4) * 2 ** (8 * (first + 4 - offset));
    return Math.floor(value) % 2 ** (8 * size);
  }
  #word(offset: number): number {
    const plain = this.#u32(offset);
    switch (offset) {
      case CR & ~3: return (plain | (this.#isEmpty() ? CR_EMPTY << 24 : 0)) >>> 0;
      case TCTR: return Math.floor(Math.max(0, this.#clock.now() - this.#counted) / TICK_NS) % 2 ** 32;
      case EECR: return plain | (this.#eeprom.out ? EECR_WIRES.out : 0);
      case SUMMARY: return (plain & 0xffff0000 | this.#summary()) >>> 0;
      default: return plain;
    }
  }
  #isEmpty(): boolean {
    return this.#u16(CBR) === ((this.#u16(CAPR) + READ_AHEAD) & (this.#bufferBytes() - 1));
  }
  #bufferBytes(): number {
    return 0x2000 << ((this.#u16(RCR) >>> 11) & 3);
  }
  /** For each buffer: who owns it, whether it was aborted, whether it was sent. */
  #summary(): number {
    let summary = 0;
    for (let i = 0; i < BUFFERS; i++) {
      const status = this.#u32(TSD + 4 * i);
      if ((status & TSD_DONE) !== 0) summary |= 1 << i;
      if ((status & TSD_ABORTED) !== 0) summary |= 0x10 << i;
      if ((status & TSD_SENT) !== 0) summary |= 0x1000 << i;
    }
    return summary;
  }

  #write(offset: number, size: AccessSize, value: number): void {
    const before = this.#file[CR]!;
    for (let i = 0; i < size; i++) this.#put(offset + i, (value >>> (8 * i)) & 0xff);
    const touches = (register: number, bytes: number): boolean => offset < register + bytes && offset + size > register;
    if (touches(CR, 1)) this.#command((value >>> (8 * (CR - offset))) & 0xff, before);
    if (touches(TSD, 4 * BUFFERS) && size === 4 && (offset & 3) === 0) this.#status(offset, value);
    if (touches(TCTR, 4)) this.#counted = Math.floor(this.#clock.now());
    if (touches(TCTR, 4) || touches(TIMER_INT, 4)) this.#armTimer();
    if (touches(EECR, 1)) this.#drive(this.#file[EECR]!);
    if (touches(TPPOLL, 1) && this.#chip.plus) this.#poll((value >>> (8 * (TPPOLL - offset))) & 0xff);
    this.#interrupt();
    // With any of these the driver may have made room.
    if (touches(CR, 3) || touches(IMR, 4) || touches(RCR, 4) || touches(CPCR, 1) || touches(RDSAR, 8)) this.arrived();
  }

  #put(offset: number, byte: number): void {
    if (offset >= REGISTER_BYTES) return;
    if (offset === ISR || offset === ISR + 1) this.#file[offset]! &= ~byte;
    else if (offset === EECR) this.#file[offset] = byte & ~EECR_WIRES.out;
    else if (!LOCKED.includes(offset) || (this.#file[EECR]! & EECR_MODE) === EECR_UNLOCKED) {
      const mask = (this.#chip.plus ? WRITABLE_PLUS : WRITABLE)[offset]!;
      this.#file[offset] = (this.#file[offset]! & ~mask) | (byte & mask);
    }
  }

  #command(value: number, before: number): void {
    if ((value & CR_RESET) !== 0) {
      this.#software();
      return;
    }
    const starts = value & ~before;
    if ((starts & CR_RECEIVE) !== 0) this.#beginReceiving();
    if ((starts & CR_TRANSMIT) !== 0) {
      this.#beginSending();
      this.#sendBuffers();
    }
  }

  #drive(lines: number): void {
    if ((lines & EECR_MODE) === EECR_LOAD) {
      this.#loadEeprom();
      this.#file[EECR] = 0;
    }
    const level = (wire: number): boolean => (lines & wire) !== 0;
    this.#eeprom.drive({ select: level(EECR_WIRES.select), clock: level(EECR_WIRES.clock), data: level(EECR_WIRES.data) });
  }

  #armTimer(): void {
    const target = this.#u32(TIMER_INT) * TICK_NS;
    if (target === 0) return this.#timer.disarm();
    const round = 2 ** 32 * TICK_NS;
    const rounds = Math.max(0, Math.floor((this.#clock.now() - this.#counted - target) / round) + 1);
    this.#timer.arm(this.#counted + target + rounds * round);
  }
  #timedOut(): void {
    this.#raise(TIMED_OUT);
    this.#armTimer();
  }

  /** A transmit status, or the order to dump counters. */
  #status(offset: number, value: number): void {
    if (this.#plusTransmits()) {
      if (offset === DTCCR || offset === DTCCR + 4) this.#view.setUint32(offset, value & (offset === DTCCR ? ~63 : ~0), true);
      if (offset === DTCCR && (value & DUMP) !== 0 && this.master) this.#tally.dump(this.#memory, this.#u64(DTCCR));
      return;
    }
    const buffer = (offset - TSD) >> 2;
    this.#view.setUint32(offset, value & (TSD_BYTES | TSD_DONE | 0x3f0000), true);
    if ((value & TSD_DONE) !== 0 || !this.#sends()) return;
    this.#turn = buffer;
    this.#sendBuffers();
  }
  #sends(): boolean {
    return this.master && (this.#file[CR]! & CR_TRANSMIT) !== 0;
  }
  #plusTransmits(): boolean {
    return this.#chip.plus && (this.#file[CPCR]! & PLUS_TRANSMIT) !== 0;
  }

  #sendBuffers(): void {
    if (!this.#sends() || this.#plusTransmits()) return;
    for (let count = 0; count < BUFFERS; count++) {
      const [status, address] = [TSD, TSAD].map((register) => register + 4 * this.#turn) as [number, number];
      const value = this.#u32(status);
      if ((value & TSD_DONE) !== 0) return;
      this.#turn = (this.#turn + 1) % BUFFERS;
      const length = value & TSD_BYTES;
      const fits = length <= LONGEST_BUFFER;
      this.#view.setUint32(status, value | TSD_DONE | (fits ? TSD_SENT : TSD_ABORTED), true);
      if (fits) {
        const bytes = new Uint8Array(length);
        this.#memory.read(this.#u32(address), bytes);
        this.#send({ bytes });
      }
      this.#raise(fits ? SENT : TRANSMIT_ERROR);
    }
  }

  #poll(value: number): void {
    if ((value & POLL_INTERRUPT) !== 0) this.#raise(BY_SOFTWARE);
    if (!this.#sends() || !this.#plusTransmits()) return;
    const send = (frame: Frame): void => this.#send(frame);
    const high = (value & POLL_HIGH) !== 0 ? this.#high.run(this.#u64(THPDS), send) : 0;
    const normal = (value & POLL_NORMAL) !== 0 ? this.#normal.run(this.#u64(TNPDS), send) : 0;
    if (high + normal > 0) this.#raise(SENT | NONE_TO_SEND);
  }

  #send(frame: Frame): void {
    const [how, { bytes }] = [this.#u32(TCR), frame];
    const whole = (how & TCR_WITH_CHECK) === 0 ? frame : { ...frame, bytes: bytes.subarray(0, -CHECK_BYTES) };
    if (whole.bytes.length < LEAST_FRAME) return;
    this.#tally.countSent();
    if ((how & TCR_LOOPBACK) !== TCR_LOOPBACK) this.#port?.send(whole);
    else if (this.#receives()) this.#receive({ bytes: whole.bytes.slice() });
  }

  protected override mastering(): void {
    this.#sendBuffers();
    this.arrived();
  }

  #receives(): boolean {
    return this.master && (this.#file[CR]! & CR_RECEIVE) !== 0;
  }

  arrived(): boolean {
    for (let i = 0; i < MOST_AT_ONCE; i++) {
      const frame = this.#receives() ? (this.#held ?? this.#port?.receive()) : undefined;
      if (frame === undefined) return false;
      if (!this.#receive(frame)) {
        this.#hold(frame);
        return false;
      }
      this.#release();
    }
    return true;
  }
  #hold(frame: Frame): void {
    if (this.#held === undefined) this.#overflow();
    this.#held = frame;
  }
  /** Nothing tells that a descriptor has become the card's; and drivers that have stopped reading in between count on hearing again. */
  #lookAgain(): void {
    this.arrived();
    if (this.#held !== undefined) this.#overflow();
  }
  #overflow(): void {
    this.#raise(NO_ROOM);
    this.#again.arm(this.#clock.now() + LOOK_AGAIN_NS);
  }
  #release(): void {
    this.#held = undefined;
    this.#again.disarm();
  }

  /** False: it has no room. */
  #receive(frame: Frame): boolean {
    const why = admission(frame.bytes, this.#u32(RCR), this.#file);
    if (why === undefined) return true;
    const taken = this.#chip.plus && (this.#file[CPCR]! & PLUS_RECEIVE) !== 0 ? this.#intoRing(frame, why) : this.#intoBuffer(frame, why);
    if (taken === 'taken') {
      this.#tally.countReceived(why);
      this.#raise(RECEIVED);
    }
    return taken !== 'full';
  }

  #intoBuffer(frame: Frame, why: number): 'taken' | 'full' | 'lost' {
    const filled = filledUp(frame.bytes);
    if (filled.length > LONGEST_BUFFER) return 'lost';
    const bytes = withCheck(filled);
    const size = this.#bufferBytes();
    const [at, read] = [this.#u16(CBR), this.#u16(CAPR) + READ_AHEAD].map((offset) => offset & (size - 1)) as [number, number];
    const straight = (this.#u32(RCR) & RCR_NO_WRAP) !== 0 && size < 0x10000;
    const next = store(this.#memory, { address: this.#u32(RBSTART), bytes: size, straight, at, read }, bytes, why);
    if (next === undefined) return 'full';
    this.#view.setUint16(CBR, next, true);
    return 'taken';
  }

  #intoRing({ bytes, offload }: Frame, why: number): 'taken' | 'full' | 'lost' {
    const command = this.#file[CPCR]!;
    const tagged = (command & PLUS_TAGS) !== 0 && isTagged(bytes);
    const filled = filledUp(tagged ? withoutTag(bytes) : bytes);
    if (filled.length + CHECK_BYTES > LONGEST_RECEIVED) return 'lost';
    const whole = withCheck(filled);
    // What nobody vouches for is told to be none of what is checked.
    const checked = (command & PLUS_CHECKSUMS) !== 0 && offload?.verified === true ? protocolBits(bytes) : 0;
    const next = fill(this.#memory, this.#u64(RDSAR), this.#receiveIndex, whole, why * 2 ** 11 | checked, tagged ? TAG_AVAILABLE | (bytes[15]! << 8) | bytes[14]! : 0);
    if (next === 'never') return 'lost';
    if (next === 'full') return 'full';
    this.#receiveIndex = next;
    return 'taken';
  }

  protected override resetDevice(): void {
    this.#eeprom.reset();
    this.#powerOn();
  }

  protected override saveDevice(): Plain {
    return {
      registers: this.#file.slice(), eeprom: this.#eeprom.save(), high: this.#high.save(), normal: this.#normal.save(), tally: this.#tally.save(),
      counted: this.#counted, receiveIndex: this.#receiveIndex, turn: this.#turn,
    };
  }

  protected override loadDevice(state: Plain): void {
    const fields = new StateFields(this.stateName, state, 1, 1);
    const registers = fields.exactBytes('registers', REGISTER_BYTES);
    const [receiveIndex, turn] = [fields.integer('receiveIndex', 63), fields.integer('turn', BUFFERS - 1)];
    const counted = fields.integer('counted', Number.MAX_SAFE_INTEGER);
    this.#eeprom.load(fields.nested('eeprom'), (registers[EECR]! & EECR_WIRES.clock) !== 0);
    this.#high.load(fields.nested('high'));
    this.#normal.load(fields.nested('normal'));
    this.#tally.load(fields.nested('tally'));
    this.#file.set(registers);
    showLink(this.#view, this.#port !== undefined);
    [this.#counted, this.#receiveIndex, this.#turn] = [counted, receiveIndex, turn];
    this.#release();
    this.#armTimer();
    this.#interrupt();
  }
}
