import { describe, expect, it } from 'vitest';
import { LinearMemory } from '../../memory/linear-memory.ts';
import { FramePort, OTHER_MAC, OWN_MAC, frameTo } from '../network/frame-port.test-support.ts';
import { DriverQueue } from './driver-queue.test-support.ts';
import { SplitRing } from './split-ring.ts';
import { VirtioNet } from './virtio-net.ts';
import { Virtqueue } from './virtqueue.ts';

const DATA = 0x100000;
const HEADER = 12;
const BROADCAST = new Uint8Array(6).fill(0xff);
const bit = (...numbers: number[]): bigint => numbers.reduce((sum, n) => sum | (1n << BigInt(n)), 0n);
const CSUM = bit(0, 1);
const TSO = bit(7, 8, 9, 11, 12, 13);
const MERGEABLE = bit(15);
const CONTROL = bit(17, 18, 19, 2, 23);
const MULTIQUEUE = bit(22);

function attach(features: bigint, port: FramePort | undefined = new FramePort(), memory = new LinearMemory(2 << 20)) {
  const device = new VirtioNet({ mac: OWN_MAC, port });
  const drivers = device.queueSizes.map((_, i) => new DriverQueue(memory, 'split', 0x10000 * (i + 1), 16));
  const broken: string[] = [];
  const queues = drivers.map((driver) => new Virtqueue(new SplitRing(memory, driver.place), 16, { interrupt: () => {}, broken: (reason) => void broken.push(reason) }));
  device.start({ features, begins: true, queues, configChanged: () => {} });
  const bytes = (address: number, length: number): Uint8Array => {
    const target = new Uint8Array(length);
    memory.read(address, target);
    return target;
  };
  /** Class, command and data; returns the answer. */
  const control = (queue: number, ...command: number[]): number => {
    memory.write(DATA + 0x8000, Uint8Array.from(command));
    drivers[queue]!.add([{ address: DATA + 0x8000, length: command.length }, { address: DATA + 0x9000, length: 1, write: true }]);
    device.notified(queue);
    expect(drivers[queue]!.take()).toHaveLength(1);
    return bytes(DATA + 0x9000, 1)[0]!;
  };
  /** Offers receive buffers of so many bytes, one behind the other. */
  const room = (length: number, count = 1, queue = 0): void => {
    for (let i = 0; i < count; i++) drivers[queue]!.add([{ address: DATA + i * length, length, write: true }]);
    device.notified(queue);
  };
  const transmit = (header: readonly number[], frame: Uint8Array, queue = 1): void => {
    memory.write(DATA, Uint8Array.from({ length: HEADER }, (_, i) => header[i] ?? 0));
    memory.write(DATA + HEADER, frame);
    drivers[queue]!.add([{ address: DATA, length: HEADER }, { address: DATA + HEADER, length: frame.length }]);
    device.notified(queue);
    expect(drivers[queue]!.take()).toHaveLength(1);
  };
  return { device, port: port!, memory, drivers, queues, broken, bytes, control, room, transmit };
}

describe('virtio-net', () => {
  it('says address, link, queues and MTU', () => {
    const view = (device: VirtioNet): number[] => [device.config[6]!, device.config[8]!, device.config[10]! | (device.config[11]! << 8)];
    expect([...attach(0n).device.config.subarray(0, 6)]).toEqual([...OWN_MAC]);
    expect(view(attach(0n).device)).toEqual([1, 4, 1500]);
    expect(view(new VirtioNet({ mac: OWN_MAC, port: undefined }))).toEqual([0, 4, 1500]);
  });

  it('sends frames with the work that the driver leaves, as far as that was agreed on', () => {
    const frame = frameTo(OTHER_MAC, 200);
    const plain = attach(0n);
    plain.transmit([1, 1, 54, 0, 100, 0, 34, 0, 16, 0], frame);
    expect(plain.port.sent).toEqual([{ bytes: frame }]);
    const t = attach(CSUM | TSO);
    t.transmit([1, 0, 0, 0, 0, 0, 34, 0, 16, 0], frame);
    t.transmit([1, 0x81, 54, 0, 100, 0, 34, 0, 16, 0], frame);
    t.transmit([1, 4, 74, 0, 0x10, 5, 54, 0, 16, 0], frame);
    expect(t.port.sent.map((sent) => sent.offload)).toEqual([
      { checksum: { start: 34, offset: 16 } },
      { checksum: { start: 34, offset: 16 }, segments: { kind: 'tcp4', bytes: 100, ecn: true } },
      { checksum: { start: 54, offset: 16 }, segments: { kind: 'tcp6', bytes: 1296, ecn: false } },
    ]);
    t.transmit([], frame.subarray(0, 13)); // less than addresses and type
    expect(t.port.sent).toHaveLength(3);
  });

  it('accepts from the host what the driver takes, and less when the driver says so', () => {
    expect(attach(CSUM).port.accepted).toEqual({ checksum: true, tcp4: false, tcp6: false, ecn: false });
    const t = attach(CSUM | TSO | CONTROL);
    expect(t.port.accepted).toEqual({ checksum: true, tcp4: true, tcp6: true, ecn: true });
    expect(t.control(2, 5, 0, 0x82, 0, 0, 0, 0, 0, 0, 0)).toBe(0);
    expect(t.port.accepted).toEqual({ checksum: true, tcp4: true, tcp6: false, ecn: false });
    expect(t.control(2, 5, 0, 0, 4, 0, 0, 0, 0, 0, 0)).toBe(1); // UFO was never offered
  });

  it('receives into buffers in order, each frame with its header', () => {
    const t = attach(CSUM);
    t.port.waiting.push({ bytes: frameTo(OWN_MAC, 60) }, { bytes: frameTo(OWN_MAC, 61, 1), offload: { verified: true } }, { bytes: frameTo(OWN_MAC, 62, 2), offload: { checksum: { start: 34, offset: 6 } } });
    t.room(1600, 2);
    expect(t.drivers[0]!.take().map((used) => used.written)).toEqual([72, 73]);
    expect(t.bytes(DATA, 72)).toEqual(Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, ...frameTo(OWN_MAC, 60)));
    expect([...t.bytes(DATA + 1600, 12)]).toEqual([2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
    t.room(1600);
    expect([...t.bytes(DATA, 12)]).toEqual([1, 0, 0, 0, 0, 0, 34, 0, 6, 0, 1, 0]);
  });

  it('spreads a frame over buffers where they may be merged, and waits until there are enough', () => {
    const t = attach(CSUM | TSO | MERGEABLE);
    const frame = frameTo(OWN_MAC, 2500);
    t.port.waiting.push({ bytes: frame, offload: { checksum: { start: 34, offset: 16 }, segments: { kind: 'tcp4', bytes: 1448, ecn: false } } });
    t.room(1000, 2);
    expect(t.drivers[0]!.take()).toEqual([]);
    t.room(1000, 1);
    // What was offered later lies at the first buffer's place again, so only lengths and count are told apart.
    expect(t.drivers[0]!.take().map((used) => used.written)).toEqual([1000, 1000, 512]);
    t.port.waiting.push({ bytes: frame });
    t.room(1000, 4);
    expect(t.drivers[0]!.take().map((used) => used.written)).toEqual([1000, 1000, 512]);
    expect([...t.bytes(DATA, 12)]).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0]);
    expect(Uint8Array.of(...t.bytes(DATA + 12, 988), ...t.bytes(DATA + 1000, 1000), ...t.bytes(DATA + 2000, 512))).toEqual(frame);
  });

  it('loses what fits no buffer, not what comes behind it', () => {
    const t = attach(0n);
    t.port.waiting.push({ bytes: frameTo(OWN_MAC, 1500) }, { bytes: frameTo(OWN_MAC, 100) });
    t.room(500);
    expect(t.drivers[0]!.take().map((used) => used.written)).toEqual([112]);
    const merging = attach(MERGEABLE);
    merging.port.waiting.push({ bytes: frameTo(OWN_MAC, 60000) }, { bytes: frameTo(OWN_MAC, 100) });
    merging.room(500);
    merging.device.notified(0);
    expect(merging.drivers[0]!.take().map((used) => used.written)).toEqual([112]);
  });

  it('gives the driver the frames that it wants', () => {
    const t = attach(CONTROL);
    const multicast = Uint8Array.of(1, 0, 0x5e, 0, 0, 1);
    const arrives = (...macs: Uint8Array[]): number => {
      t.port.waiting.push(...macs.map((mac) => ({ bytes: frameTo(mac) })));
      t.room(100, 4);
      const count = t.drivers[0]!.take().length;
      for (; t.drivers[0]!.free < 16;) {
        t.port.waiting.push({ bytes: frameTo(BROADCAST) });
        t.device.arrived();
        t.drivers[0]!.take();
      }
      return count;
    };
    expect(arrives(OTHER_MAC, multicast)).toBe(2);
    expect(t.control(2, 0, 0, 0)).toBe(0); // no longer everything
    expect([arrives(OTHER_MAC), arrives(multicast), arrives(BROADCAST), arrives(OWN_MAC)]).toEqual([0, 0, 1, 1]);
    expect(t.control(2, 0, 1, 1)).toBe(0); // all of multicast
    expect([arrives(OTHER_MAC), arrives(multicast)]).toEqual([0, 1]);
    expect(t.control(2, 0, 1, 0)).toBe(0);
    expect(t.control(2, 1, 0, 1, 0, 0, 0, ...OTHER_MAC, 1, 0, 0, 0, ...multicast)).toBe(0);
    expect([arrives(OTHER_MAC), arrives(multicast)]).toEqual([1, 1]);
    expect(t.control(2, 1, 0, 2, 0, 0, 0, ...OTHER_MAC)).toBe(1); // one address is missing
    expect(t.control(2, 1, 1, ...multicast)).toBe(0);
    expect(arrives(OWN_MAC)).toBe(0);
    expect([t.control(2, 9, 0), t.control(2, 0, 7, 1), t.control(2, 4, 0, 9, 0)]).toEqual([1, 1, 1]);
    const tagged = frameTo(BROADCAST);
    tagged.set([0x81, 0, 0, 5], 12);
    t.port.waiting.push({ bytes: tagged });
    expect(arrives()).toBe(0);
    expect(t.control(2, 2, 0, 5, 0)).toBe(0);
    t.port.waiting.push({ bytes: tagged });
    expect(arrives()).toBe(1);
  });

  it('brings what answers a queue\'s frames to its pair', () => {
    const t = attach(MULTIQUEUE | bit(17));
    expect(t.control(8, 4, 0, 4, 0)).toBe(0);
    const packet = (from: number, to: number): Uint8Array => {
      const frame = frameTo(OWN_MAC, 80);
      frame.set([8, 0, 0x45], 12);
      frame.set([17], 23);
      frame.set([10, 0, 0, from, 10, 0, 0, to, 0, from, 0, to], 26);
      return frame;
    };
    t.transmit([], packet(1, 2), 5);
    t.room(100, 1, 4);
    t.room(100, 1, 0);
    t.port.waiting.push({ bytes: packet(2, 1) });
    t.device.arrived();
    expect([t.drivers[4]!.take().length, t.drivers[0]!.take().length]).toEqual([1, 0]);
  });

  it('stores what it was told and which buffers wait, and refuses nonsense', () => {
    const t = attach(CONTROL | MERGEABLE);
    t.control(2, 0, 0, 0);
    t.control(2, 1, 1, ...OTHER_MAC);
    t.room(100, 3);
    t.port.waiting.push({ bytes: frameTo(OTHER_MAC, 80) });
    t.device.arrived();
    const state = t.device.save();
    const other = new VirtioNet({ mac: OWN_MAC, port: new FramePort() });
    other.load(state);
    expect(other.save()).toEqual(state);
    other.start({ features: CONTROL | MERGEABLE, begins: false, queues: t.queues, configChanged: () => {} });
    expect(other.save()).toEqual(state);
    other.start({ features: CONTROL | MERGEABLE, begins: true, queues: t.queues, configChanged: () => {} });
    expect(other.save()).not.toEqual(state);
    for (const wrong of [{ morePairs: 4 }, { address: new Uint8Array(5) }, { offloads: 1n << 40n }, { filter: null }]) expect(() => other.load({ ...(state as object), ...wrong })).toThrow(/field|state/);
  });
});
