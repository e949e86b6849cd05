import { describe, expect, it } from 'vitest';
import { LinearMemory } from '../../../memory/linear-memory.ts';
import type { RegisterBlock } from '../../../wiring/register-block.ts';
import { PciBus } from '../../pci/pci-bus.ts';
import { FramePort, OTHER_MAC, OWN_MAC, frameTo } from '../frame-port.test-support.ts';
import { E1000 } from './e1000.ts';
import { CTRL, EECD, EERD, GPRC, ICR, ICS, IMC, IMS, MDIC, MTA, RAH, RAL, RCTL, RDBAL, RDH, RDLEN, RDT, RXCSUM, STATUS, TCTL, TDBAL, TDH, TDLEN, TDT, VFTA } from './registers.ts';

const SLOT = 3;
const BAR = 0xe0000000;
const TX_RING = 0x1000;
const RX_RING = 0x2000;
const DATA = 0x10000;
const ENTRIES = 8;
const BROADCAST = new Uint8Array(6).fill(0xff);

function make(port: FramePort | undefined = new FramePort(), memory = new LinearMemory(1 << 20)) {
  const line = { kind: 'level' as const, high: false, set: (high: boolean) => void (line.high = high) };
  const blocks = new Map<string, RegisterBlock>();
  const bus = new PciBus((change) => (change.kind === 'map' ? blocks.set(change.space, change.block) : blocks.delete(change.space)));
  const card = new E1000({ mac: OWN_MAC, port }, { memory, intx: line, messages: { send: () => {} } });
  bus.add(SLOT, 0, card);
  bus.writeConfig(0, SLOT, 0, 0x10, 4, BAR);
  bus.writeConfig(0, SLOT, 0, 0x18, 4, 0xc001);
  bus.writeConfig(0, SLOT, 0, 4, 2, 7);
  const read = (offset: number): number => blocks.get('memory')!.read(offset, 4);
  const write = (offset: number, value: number): void => blocks.get('memory')!.write(offset, 4, value);
  const bytes = (address: number, length: number): Uint8Array => {
    const target = new Uint8Array(length);
    memory.read(address, target);
    return target;
  };
  for (const [offset, value] of [[TDBAL, TX_RING], [TDLEN, 16 * ENTRIES], [TCTL, 2], [RDBAL, RX_RING], [RDLEN, 16 * ENTRIES]] as const) write(offset, value);
  let tail = 0;
  /** One descriptor as four words. */
  const give = (...words: number[]): void => {
    words.forEach((word, i) => memory.writeU32(TX_RING + 16 * tail + 4 * i, word >>> 0));
    tail = (tail + 1) % ENTRIES;
  };
  const go = (): void => write(TDT, tail);
  const listen = (control: number, buffers = ENTRIES - 1): void => {
    for (let i = 0; i < ENTRIES; i++) [DATA + 0x1000 * i, 0, 0, 0].forEach((word, j) => memory.writeU32(RX_RING + 16 * i + 4 * j, word));
    write(RDT, (read(RDH) + buffers) % ENTRIES);
    write(RCTL, control | 2);
  };
  return { bus, card, port: port!, memory, line, blocks, read, write, bytes, give, go, listen };
}

/** TCP over IPv4 as Linux hands it over to be cut: no length, a pseudo header's sum without one. */
function largePacket(payload: number): Uint8Array {
  const frame = frameTo(OTHER_MAC, 54 + payload);
  frame.set([8, 0, 0x45, 0, 0, 0, 0, 1, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2], 12);
  frame.set([0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x10, 1, 0, 0x14, 0x0a, 0, 0], 34); // 10.0.0.1 + 10.0.0.2 + 6 + 0
  return frame;
}

describe('e1000', () => {
  it('is an 82540EM, with link and address', () => {
    const t = make();
    expect(t.bus.readConfig(0, SLOT, 0, 0, 4)).toBe(0x100e8086);
    expect([t.read(STATUS) & 3, make(undefined).read(STATUS)]).toEqual([3, 0x83]);
    expect([t.read(RAL), t.read(RAH)]).toEqual([0x01005452, 0x80000302]);
    t.write(EERD, 0x0101);
    expect(t.read(EERD)).toBe(0x01000110);
    // The port window reaches the same registers.
    t.blocks.get('port')!.write(0, 4, STATUS);
    expect(t.blocks.get('port')!.read(4, 4)).toBe(t.read(STATUS));
  });

  it('lets its EEPROM be read bit by bit, with a sum of BABAh', () => {
    const t = make();
    t.write(EECD, 0x40);
    expect(t.read(EECD) & 0x1c0).toBe(0x1c0);
    const clock = (bit: number): number => {
      t.write(EECD, 0x42 | (bit << 2));
      t.write(EECD, 0x43 | (bit << 2));
      const out = (t.read(EECD) >>> 3) & 1;
      t.write(EECD, 0x42);
      return out;
    };
    const word = (address: number): number => {
      t.write(EECD, 0x42);
      for (let bit = 2; bit >= 0; bit--) clock((6 >> bit) & 1);
      for (let bit = 5; bit >= 0; bit--) clock((address >> bit) & 1);
      let value = 0;
      for (let bit = 0; bit < 16; bit++) value = (value << 1) | clock(0);
      t.write(EECD, 0x40);
      return value;
    };
    const words = Array.from({ length: 64 }, (_, i) => word(i));
    expect(words.slice(0, 3)).toEqual([0x5452, 0x0100, 0x0302]);
    expect(words.reduce((sum, value) => (sum + value) & 0xffff, 0)).toBe(0xbaba);
  });

  it('has a transceiver that has agreed on 1 Gbit/s', () => {
    const t = make();
    const phy = (register: number): number => {
      t.write(MDIC, (0x08000000 | (1 << 21) | (register << 16)) >>> 0);
      expect(t.read(MDIC) >>> 28).toBe(1);
      return t.read(MDIC) & 0xffff;
    };
    expect([phy(2), phy(3), phy(1) & 0x24, phy(17) & 0xfc00]).toEqual([0x0141, 0x0c20, 0x24, 0xac00]);
    t.write(MDIC, 0x08400000); // nobody at address 2
    expect(t.read(MDIC) >>> 28).toBe(5);
    t.write(IMS, 4);
    t.write(MDIC, 0x04201340); // agree anew
    expect([t.line.high, t.read(ICR), t.line.high]).toEqual([true, 4, false]);
  });

  it('sends packets of one and of several descriptors', () => {
    const t = make();
    const frame = frameTo(OTHER_MAC, 300);
    t.memory.write(DATA, frame);
    t.write(IMS, 1);
    t.give(DATA, 0, 0x0b000000 | 300, 0);
    t.give(DATA, 0, 100, 0);
    t.give(DATA + 100, 0, 0x01000000 | 200, 0);
    t.go();
    expect(t.port.sent).toEqual([{ bytes: frame }, { bytes: frame }]);
    expect([t.read(TDH), t.memory.readU32(TX_RING + 12), t.memory.readU32(TX_RING + 44), t.line.high]).toEqual([3, 1, 0, true]);
    expect([t.read(ICR) & 1, t.line.high]).toEqual([1, false]);
    t.write(IMC, 1);
    t.give(DATA, 0, 0x0d000000 | (50 << 16) | 300, 34 << 8); // with a checksum to insert
    t.go();
    expect([t.port.sent[2]!.offload, t.line.high]).toEqual([{ checksum: { start: 34, offset: 16 } }, false]);
  });

  it('hands a packet that is to be cut over whole, with its length filled in', () => {
    const t = make();
    const frame = largePacket(4000);
    t.memory.write(DATA, frame);
    t.give(14 | (24 << 8) | (33 << 16), 34 | (50 << 8), 0x27000000 | 4000, (54 << 8) | (1000 << 16));
    t.give(DATA, 0, 0x24100000 | 54, 3 << 8);
    t.give(DATA + 54, 0, 0x2d100000 | 4000, 0);
    t.go();
    expect(t.port.sent).toHaveLength(1);
    const [{ bytes, offload }] = t.port.sent as [{ bytes: Uint8Array; offload?: unknown }];
    expect(offload).toEqual({ checksum: { start: 34, offset: 16 }, segments: { kind: 'tcp4', bytes: 1000, ecn: false } });
    expect([(bytes[16]! << 8) | bytes[17]!, (bytes[50]! << 8) | bytes[51]!]).toEqual([4040, 0x140a + 4020]);
    let sum = 0;
    for (let at = 14; at < 34; at += 2) sum += (bytes[at]! << 8) | bytes[at + 1]!;
    expect((sum & 0xffff) + (sum >>> 16)).toBe(0xffff);
  });

  it('puts VLAN tags in, and takes them out', () => {
    const t = make();
    const frame = frameTo(BROADCAST, 100);
    t.memory.write(DATA, frame);
    t.give(DATA, 0, 0x49000000 | 100, 0x0123 << 16);
    t.go();
    const tagged = Uint8Array.of(...frame.subarray(0, 12), 0x81, 0, 0x01, 0x23, ...frame.subarray(12));
    expect(t.port.sent).toEqual([{ bytes: tagged }]);
    t.write(CTRL, 0x40000040);
    t.listen(0x48000); // broadcast, VLAN filter
    t.port.waiting.push({ bytes: tagged });
    t.card.arrived();
    expect(t.read(RDH)).toBe(0);
    t.write(VFTA + 4 * 9, 1 << 3);
    t.port.waiting.push({ bytes: tagged });
    t.card.arrived();
    expect([t.read(RDH), t.memory.readU32(RX_RING + 12) >>> 0]).toEqual([1, 0x0123000f]);
    expect(t.bytes(DATA, 100)).toEqual(frame);
  });

  it('receives what it is to, over as many buffers as it takes, with a check sequence', () => {
    const t = make();
    t.write(IMS, 0x80);
    t.write(RXCSUM, 0x300);
    t.listen(0x20020); // long packets, buffers of 512 bytes
    t.port.waiting.push({ bytes: frameTo(OWN_MAC, 42) }, { bytes: frameTo(OTHER_MAC) }, { bytes: frameTo(OWN_MAC, 1200, 5) });
    t.card.arrived();
    expect([t.read(RDH), t.read(GPRC), t.read(GPRC), t.line.high]).toEqual([4, 2, 0, true]);
    // Short frames are filled up; the check sequence of a whole frame, itself included, is a constant.
    expect([0, 1, 2, 3].map((i) => [t.memory.readU32(RX_RING + 16 * i + 8), t.memory.readU32(RX_RING + 16 * i + 12)])).toEqual([[64, 7], [512, 5], [512, 5], [180, 7]]);
    expect([...t.bytes(DATA, 60)]).toEqual([...frameTo(OWN_MAC, 42), ...new Array<number>(18).fill(0)]);
    expect([...t.bytes(DATA + 0x1000, 512), ...t.bytes(DATA + 0x2000, 512), ...t.bytes(DATA + 0x3000, 176)]).toEqual([...frameTo(OWN_MAC, 1200, 5)]);
    // 7 buffers were free, 3 are left: a frame that needs 5 waits for more.
    t.port.waiting.push({ bytes: frameTo(OWN_MAC, 2400) });
    t.card.arrived();
    expect(t.read(RDH)).toBe(4);
    t.write(RDT, 3);
    expect(t.read(RDH)).toBe(1);
  });

  it('knows addresses, hashes of groups, and modes', () => {
    const t = make();
    const group = Uint8Array.of(1, 0, 0x5e, 0, 0, 0xfb);
    const comes = (mac: Uint8Array, control: number): boolean => {
      t.listen(control);
      const before = t.read(RDH);
      t.port.waiting.push({ bytes: frameTo(mac) });
      t.card.arrived();
      return t.read(RDH) !== before;
    };
    expect([comes(OWN_MAC, 0), comes(OTHER_MAC, 0), comes(OTHER_MAC, 8), comes(BROADCAST, 0), comes(BROADCAST, 0x8000), comes(group, 0), comes(group, 0x10)]).toEqual([true, false, true, false, true, false, true]);
    const hash = ((0x00 | (0xfb << 8)) >>> 4) & 0xfff;
    t.write(MTA + 4 * (hash >>> 5), (1 << (hash & 31)) >>> 0);
    expect([comes(group, 0), comes(Uint8Array.of(1, 0, 0x5e, 0, 0x10, 0xfb), 0)]).toEqual([true, false]);
    t.write(RAL, 0);
    expect(comes(OWN_MAC, 0)).toBe(false);
  });

  it('is stored in the middle of a packet, and goes on elsewhere', () => {
    const t = make();
    const frame = frameTo(OTHER_MAC, 300);
    t.memory.write(DATA, frame);
    t.give(DATA, 0, 100, 0);
    t.go();
    t.write(ICS, 0x80);
    t.write(IMS, 0x80);
    const state = t.bus.save();
    const other = make(new FramePort(), t.memory);
    other.bus.load(state, 1);
    expect([other.bus.save(), other.line.high, other.read(TDH)]).toEqual([state, true, 1]);
    t.memory.writeU32(TX_RING + 16, DATA + 100);
    t.memory.writeU32(TX_RING + 24, 0x01000000 | 200);
    other.write(TDT, 2);
    expect(other.port.sent).toEqual([{ bytes: frame }]);
    other.write(CTRL, 0x04000000);
    expect([other.read(TDH), other.read(TDBAL), other.line.high]).toEqual([0, 0, false]);
  });
});
