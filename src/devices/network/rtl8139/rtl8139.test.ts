import { describe, expect, it } from 'vitest';
import { onesSum } from '../../../base/internet.ts';
import type { AccessSize } from '../../../base/addresses.ts';
import { LinearMemory } from '../../../memory/linear-memory.ts';
import { TimerQueue } from '../../../timers/timer-queue.ts';
import type { RegisterBlock } from '../../../wiring/register-block.ts';
import { PciBus } from '../../pci/pci-bus.ts';
import { FramePort, OTHER_MAC, OWN_MAC, frameTo } from '../frame-port.test-support.ts';
import type { Chip } from './identity.ts';
import { BMCR, BMSR, CAPR, CBR, CONFIG3, CPCR, CR, DTCCR, EECR, IMR, ISR, MAR, MSR, RBSTART, RCR, RDSAR, SUMMARY, TCR, TCTR, THPDS, TIMER_INT, TNPDS, TPPOLL, TSAD, TSD } from './registers.ts';
import { Rtl8139 } from './rtl8139.ts';

const SLOT = 3;
const TX_RING = 0x1000;
const RX_RING = 0x2000;
const DATA = 0x10000;
const BUFFER = 0x40000;
const BROADCAST = new Uint8Array(6).fill(0xff);
const GROUP = Uint8Array.of(1, 0, 0x5e, 0, 0, 0xfb);

function make(chip: Chip = 'd', port = new FramePort(), memory = new LinearMemory(1 << 20)) {
  const line = { kind: 'level' as const, high: false, set: (high: boolean) => void (line.high = high) };
  const blocks = new Map<string, RegisterBlock>();
  const bus = new PciBus((change) => (change.kind === 'map' ? blocks.set(change.space, change.block) : blocks.delete(change.space)));
  const timers = new TimerQueue();
  let time = 0;
  const card = new Rtl8139({ chip, mac: OWN_MAC, port }, { memory, intx: line, messages: { send: () => {} }, clock: { now: () => time }, timers });
  bus.add(SLOT, 0, card);
  bus.writeConfig(0, SLOT, 0, 0x10, 4, 0xc001);
  bus.writeConfig(0, SLOT, 0, 0x14, 4, 0xe0000000);
  bus.writeConfig(0, SLOT, 0, 4, 2, 7);
  const read = (offset: number, size: AccessSize = 4): number => blocks.get('memory')!.read(offset, size);
  const write = (offset: number, size: AccessSize, value: number): void => blocks.get('port')!.write(offset, size, value >>> 0);
  const bytes = (address: number, length: number): Uint8Array => {
    const target = new Uint8Array(length);
    memory.read(address, target);
    return target;
  };
  const words = (address: number, ...values: number[]): void => values.forEach((value, i) => memory.writeU32(address + 4 * i, value >>> 0));
  const pass = (ns: number): void => timers.runDue(time += ns);
  /** What a C+'s driver does first. */
  const rings = (command: number): void => {
    write(CPCR, 2, command);
    write(TNPDS, 4, TX_RING);
    write(RDSAR, 4, RX_RING);
    write(CR, 1, 0x0c);
    write(RCR, 4, 0x0a);
  };
  const arrive = (frame: Uint8Array, offload?: { verified: true }): void => {
    port.waiting.push({ bytes: frame, ...(offload === undefined ? {} : { offload }) });
    card.arrived();
  };
  return { bus, card, port, memory, line, read, write, bytes, words, pass, rings, arrive };
}

/** UDP or TCP over IPv4 without checksums. */
function packet(protocol: 6 | 17, payload: number): Uint8Array {
  const header = protocol === 6 ? 20 : 8;
  const frame = frameTo(OTHER_MAC, 34 + header + payload);
  const length = 20 + header + payload;
  frame.set([8, 0, 0x45, 0, length >> 8, length, 0, 1, 0, 0, 64, protocol, 0xab, 0xcd, 10, 0, 0, 1, 10, 0, 0, 2], 12);
  frame.set(protocol === 6 ? [0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x10, 1, 0, 0x12, 0x34, 0, 0] : [0, 1, 0, 2, (8 + payload) >> 8, 8 + payload, 0, 0], 34);
  return frame;
}

describe('rtl8139', () => {
  it('says which of the two it is, its address and its link', () => {
    for (const [chip, revision, version] of [['d', 0x10, 0x74400000], ['c+', 0x20, 0x74800000]] as const) {
      const t = make(chip);
      expect([t.bus.readConfig(0, SLOT, 0, 0, 4), t.bus.readConfig(0, SLOT, 0, 8, 1), t.read(TCR) & 0x7cc00000]).toEqual([0x813910ec, revision, version]);
      expect([t.read(0), t.read(4, 2), t.read(MSR, 1) & 4, t.read(BMSR, 2) & 4]).toEqual([0x01005452, 0x0302, 0, 4]);
    }
  });

  it('shows that there is no cable', () => {
    const memory = new LinearMemory(1 << 20);
    const card = new Rtl8139({ chip: 'd', mac: OWN_MAC, port: undefined }, { memory, intx: { kind: 'level', set: () => {} }, messages: { send: () => {} }, clock: { now: () => 0 }, timers: new TimerQueue() });
    let block: RegisterBlock | undefined;
    const bus = new PciBus((change) => void (block = change.kind === 'map' ? change.block : undefined));
    bus.add(SLOT, 0, card);
    bus.writeConfig(0, SLOT, 0, 0x14, 4, 0xe0000000);
    bus.writeConfig(0, SLOT, 0, 4, 2, 6);
    expect([block!.read(MSR, 1) & 4, block!.read(BMSR, 2) & 0x24]).toEqual([4, 0]);
  });

  it('lets its EEPROM be read bit by bit, and its configuration be written only when asked', () => {
    const t = make();
    const word = (address: number): number => {
      t.write(EECR, 1, 0x80);
      const clock = (bit: number): number => {
        t.write(EECR, 1, 0x88 | (bit << 1));
        t.write(EECR, 1, 0x8c | (bit << 1));
        return t.read(EECR, 1) & 1;
      };
      for (let bit = 8; bit >= 0; bit--) clock((((6 << 6) | address) >> bit) & 1);
      let value = 0;
      for (let bit = 0; bit < 16; bit++) value = (value << 1) | clock(0);
      return value;
    };
    expect([word(0), word(2), word(7), word(9)]).toEqual([0x8129, 0x8139, 0x5452, 0x0302]);
    t.write(EECR, 1, 0);
    t.write(CONFIG3, 1, 0x20);
    t.write(BMCR, 2, 0x2100);
    expect([t.read(CONFIG3, 1), t.read(BMCR, 2)]).toEqual([0, 0x1000]);
    t.write(EECR, 1, 0xc0);
    t.write(CONFIG3, 1, 0x20);
    t.write(BMCR, 2, 0x2100);
    expect([t.read(CONFIG3, 1), t.read(BMCR, 2)]).toEqual([0x20, 0x2100]);
  });

  it('sends from four buffers by turns', () => {
    const t = make();
    t.write(IMR, 2, 0x0c);
    t.write(CR, 1, 4);
    for (let i = 0; i < 5; i++) {
      t.memory.write(DATA + 0x800 * i, frameTo(OTHER_MAC, 60 + i, i));
      t.write(TSAD + 4 * (i % 4), 4, DATA + 0x800 * i);
      t.write(TSD + 4 * (i % 4), 4, 60 + i);
    }
    expect(t.port.sent.map(({ bytes }) => bytes)).toEqual([0, 1, 2, 3, 4].map((i) => frameTo(OTHER_MAC, 60 + i, i)));
    expect([t.read(ISR, 2), t.line.high, t.read(TSD) & 0xa000, t.read(SUMMARY, 2)]).toEqual([4, true, 0xa000, 0xf00f]);
    t.write(ISR, 2, 4);
    t.write(TSD + 4, 4, 1793);
    expect([t.read(ISR, 2), t.port.sent.length]).toEqual([8, 5]);
  });

  it('sends what was waiting when it is switched on, and to itself in loopback', () => {
    const t = make();
    t.memory.write(DATA, frameTo(OWN_MAC, 60));
    t.write(TSAD, 4, DATA);
    t.write(TSD, 4, 60);
    expect(t.port.sent).toHaveLength(0);
    t.write(CR, 1, 4);
    expect(t.port.sent).toHaveLength(1);
    t.write(RBSTART, 4, BUFFER);
    t.write(CR, 1, 0x0c);
    t.write(RCR, 4, 2);
    t.write(TCR, 4, 0x60000);
    t.write(TSAD + 4, 4, DATA);
    t.write(TSD + 4, 4, 60);
    expect([t.port.sent.length, t.bytes(BUFFER + 4, 60)]).toEqual([1, frameTo(OWN_MAC, 60)]);
  });

  it('receives frame behind frame, around the end of its buffer or over it, and waits when that is full', () => {
    for (const straight of [false, true]) {
      const t = make();
      t.write(RBSTART, 4, BUFFER);
      t.write(CR, 1, 8);
      t.write(RCR, 4, straight ? 0x8a : 0x0a);
      t.write(IMR, 2, 1);
      expect(t.read(CR, 1)).toBe(9);
      t.arrive(frameTo(OWN_MAC, 42));
      // A header, 60 bytes as the frame was filled up, the check sequence.
      expect([t.memory.readU32(BUFFER), t.read(CBR, 2), t.read(CR, 1), t.line.high]).toEqual([0x00404001, 68, 8, true]);
      for (let i = 0; i < 6; i++) t.arrive(frameTo(i === 0 ? BROADCAST : OWN_MAC, 1400, i));
      expect([t.memory.readU32(BUFFER + 68), t.port.waiting.length, t.read(CBR, 2)]).toEqual([0x057c2001, 0, 68 + 5 * 1408]); // the last waits
      t.write(ISR, 2, 0xffff);
      t.pass(1e6);
      expect(t.read(ISR, 2)).toBe(0x10); // and reminds of itself
      t.write(CAPR, 2, 68 + 1408 - 16);
      const last = 68 + 5 * 1408;
      const inFront = 8192 - last - 4;
      expect(t.read(CBR, 2)).toBe(last + 1408 - 8192);
      expect(t.bytes(BUFFER + last + 4, inFront)).toEqual(frameTo(OWN_MAC, 1400, 5).subarray(0, inFront));
      expect(t.bytes(straight ? BUFFER + 8192 : BUFFER, 1400 - inFront)).toEqual(frameTo(OWN_MAC, 1400, 5).subarray(inFront));
      // Switched off and on again it begins anew, empty.
      t.write(CR, 1, 0);
      t.write(CR, 1, 8);
      expect([t.read(CBR, 2), t.read(CAPR, 2), t.read(CR, 1)]).toEqual([0, 0xfff0, 9]);
    }
  });

  it('knows addresses, hashes of groups, and modes', () => {
    const t = make();
    t.write(RBSTART, 4, BUFFER);
    const comes = (mac: Uint8Array, accepted: number): boolean => {
      t.write(CR, 1, 0);
      t.write(CR, 1, 8);
      t.write(RCR, 4, accepted);
      t.arrive(frameTo(mac));
      return t.read(CBR, 2) !== 0;
    };
    expect([comes(OWN_MAC, 2), comes(OTHER_MAC, 2), comes(OTHER_MAC, 1), comes(BROADCAST, 7), comes(BROADCAST, 8), comes(GROUP, 4)]).toEqual([true, false, true, false, true, false]);
    t.write(MAR, 4, 0x8000); // the check sequence's register begins with 15 for 01:00:5e:00:00:fb
    expect([comes(GROUP, 4), comes(GROUP, 0x0b), comes(Uint8Array.of(1, 0, 0x5e, 0, 0, 1), 4)]).toEqual([true, false, false]);
  });

  it('counts time', () => {
    const t = make();
    t.write(IMR, 2, 0x4000);
    t.write(TCTR, 4, 0);
    t.write(TIMER_INT, 4, 1000);
    t.pass(29_999);
    expect([t.read(TCTR), t.line.high]).toEqual([999, false]);
    t.pass(1);
    expect([t.read(ISR, 2), t.line.high]).toEqual([0x4000, true]);
  });
});

describe('rtl8139 with descriptors', () => {
  it('sends pieces as one frame, with checksums and a tag', () => {
    const t = make('c+');
    t.rings(1);
    const frame = packet(17, 100);
    t.memory.write(DATA, frame);
    t.words(TX_RING, 0xa0060000 | 50, 0x2a50f, DATA, 0);
    t.words(TX_RING + 16, 0xd0060000 | (frame.length - 50), 0, DATA + 50, 0);
    t.write(TPPOLL, 1, 0x40);
    expect([t.memory.readU32(TX_RING), t.memory.readU32(TX_RING + 16), t.read(ISR, 2)]).toEqual([0x20000000, 0x50000000, 0x84]);
    const [{ bytes, offload }] = t.port.sent as [{ bytes: Uint8Array; offload?: unknown }];
    expect([[...bytes.subarray(12, 18)], bytes.length]).toEqual([[0x81, 0, 0x0f, 0xa5, 8, 0], frame.length + 4]);
    expect([onesSum(bytes, 18, 38), offload]).toEqual([0xffff, { checksum: { start: 38, offset: 6 } }]);
    // The pseudo header's sum is in place, so that the sum of the rest is the checksum.
    expect((bytes[44]! << 8) | bytes[45]!).toBe(onesSum(Uint8Array.of(10, 0, 0, 1, 10, 0, 0, 2, 0, 17, 0, 108), 0, 12));
    // The ring has ended: the first descriptor is next.
    t.words(TX_RING, 0xf0000000 | 60, 0, DATA, 0);
    t.write(TPPOLL, 1, 0x40);
    expect(t.port.sent).toHaveLength(2);
  });

  it('hands a packet that is to be cut over whole', () => {
    const t = make('c+');
    t.rings(1);
    const frame = packet(6, 4000);
    t.memory.write(DATA, frame);
    t.words(TX_RING, 0xf8000000 | (1000 << 16) | frame.length, 0, DATA, 0);
    t.write(TPPOLL, 1, 0x40);
    expect(t.port.sent[0]!.offload).toEqual({ checksum: { start: 34, offset: 16 }, segments: { kind: 'tcp4', bytes: 1000, ecn: false } });
    expect(onesSum(t.port.sent[0]!.bytes, 14, 34)).toBe(0xffff);
  });

  it('sends from its other ring, too, and interrupts by itself', () => {
    const t = make('c+');
    t.rings(1);
    t.write(THPDS, 4, RX_RING);
    t.memory.write(DATA, frameTo(OTHER_MAC));
    t.words(RX_RING, 0xf0000000 | 60, 0, DATA, 0);
    t.write(TPPOLL, 1, 0x81);
    expect([t.port.sent.length, t.read(ISR, 2)]).toEqual([1, 0x184]);
  });

  it('receives into as many buffers as it takes, and waits for more', () => {
    const t = make('c+');
    t.rings(2);
    t.write(IMR, 2, 0x11);
    for (let i = 0; i < 3; i++) t.words(RX_RING + 16 * i, 0x80000000 | 512, 0, DATA + 0x1000 * i, 0);
    t.words(RX_RING + 48, 0x40000000 | 512, 0, DATA + 0x3000, 0);
    t.arrive(frameTo(OWN_MAC, 700));
    expect([0, 1].map((i) => t.memory.readU32(RX_RING + 16 * i))).toEqual([0x22000000 | 704, 0x12000000 | 704]);
    expect([...t.bytes(DATA, 512), ...t.bytes(DATA + 0x1000, 188)]).toEqual([...frameTo(OWN_MAC, 700)]);
    expect(t.read(ISR, 2)).toBe(1);
    t.arrive(frameTo(BROADCAST, 800, 1));
    expect(t.read(ISR, 2)).toBe(0x11);
    t.words(RX_RING + 48, 0xc0000000 | 512);
    t.pass(1e6); // nothing tells of the descriptor
    expect([t.memory.readU32(RX_RING + 32), t.memory.readU32(RX_RING + 48)]).toEqual([0x21000000 | 804, 0x51000000 | 804]);
    // A frame that no ring of this length takes is lost, the next is not.
    for (let i = 0; i < 4; i++) t.words(RX_RING + 16 * i, (i === 3 ? 0xc0000000 : 0x80000000) | 64);
    t.arrive(frameTo(OWN_MAC, 700));
    t.arrive(frameTo(OWN_MAC, 60));
    expect(t.memory.readU32(RX_RING)).toBe(0x32000000 | 64);
  });

  it('says what it has checked, and takes tags out', () => {
    const t = make('c+');
    t.rings(0x62);
    for (let i = 0; i < 3; i++) t.words(RX_RING + 16 * i, 0x80000000 | 1536, 0, DATA + 0x1000 * i, 0);
    const udp = packet(17, 100);
    udp.set(OWN_MAC);
    t.arrive(udp, { verified: true });
    t.arrive(udp);
    const tagged = Uint8Array.of(...udp.subarray(0, 12), 0x81, 0, 0x0f, 0xa5, ...udp.subarray(12));
    t.arrive(tagged, { verified: true });
    expect([0, 1, 2].map((i) => t.memory.readU32(RX_RING + 16 * i))).toEqual([0x32020000 | 146, 0x32000000 | 146, 0x32020000 | 146]);
    expect([t.memory.readU32(RX_RING + 36), t.bytes(DATA + 0x2000, udp.length)]).toEqual([0x1a50f, udp]);
  });

  it('dumps its counters', () => {
    const t = make('c+');
    t.rings(3);
    t.words(RX_RING, 0xc0000000 | 1536, 0, DATA, 0);
    t.arrive(frameTo(BROADCAST));
    t.write(DTCCR + 4, 4, 0);
    t.write(DTCCR, 4, BUFFER | 8);
    expect([t.read(DTCCR), ...[0, 8, 40, 48, 56].map((at) => t.memory.readU32(BUFFER + at))]).toEqual([BUFFER, 0, 1, 0, 1, 0]);
  });

  it('is stored in the middle of a packet, and goes on elsewhere', () => {
    const t = make('c+');
    t.rings(3);
    const frame = frameTo(OTHER_MAC, 300);
    t.memory.write(DATA, frame);
    t.words(TX_RING, 0xa0000000 | 100, 0, DATA, 0);
    t.write(TPPOLL, 1, 0x41);
    t.write(IMR, 2, 0x100);
    t.write(EECR, 1, 0xc0);
    t.write(CONFIG3, 1, 0x40);
    const state = t.bus.save();
    const other = make('c+', new FramePort(), t.memory);
    other.bus.load(state, 1);
    expect([other.bus.save(), other.line.high]).toEqual([state, true]);
    t.words(TX_RING + 16, 0x90000000 | 200, 0, DATA + 100, 0);
    other.write(TPPOLL, 1, 0x40);
    expect(other.port.sent).toEqual([{ bytes: frame }]);
    other.write(CR, 1, 0x10);
    expect([other.read(CR, 1), other.read(IMR), other.read(0), other.line.high]).toEqual([1, 0, 0x01005452, false]);
  });
});
