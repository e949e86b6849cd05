import { describe, expect, it } from 'vitest';
import { LinearMemory } from '../../memory/linear-memory.ts';
import type { RegisterBlock } from '../../wiring/register-block.ts';
import { PciBus } from '../pci/pci-bus.ts';
import { MemoryDisk, settled } from '../storage/memory-disk.test-support.ts';
import { DriverQueue } from './driver-queue.test-support.ts';
import type { RingFormat } from './driver-queue.test-support.ts';
import { VirtioBlock } from './virtio-block.ts';
import { VirtioPci } from './virtio-pci.ts';

const MIB = 1 << 20;
const BAR = 0xe0000000;
const RINGS = 0x10000;
const HEADER = 0x80000;
const DATA = 0x81000;
const STATUS = 0x90000;
const VERSION_1 = 1;
const PACKED = 4;
const COMMAND = 4;
const SLOT = 2;

/** A driver as small as can be, over configuration space and the BAR like any other. */
function make(disk = new MemoryDisk(64 * 512), memory = new LinearMemory(MIB)) {
  const messages: [number, number][] = [];
  const line = { kind: 'level' as const, high: false, set: (high: boolean) => void (line.high = high) };
  const complaints: string[] = [];
  const log = { warn: () => {}, tracing: () => true, trace: (_: string, message: string) => void complaints.push(message) };
  const card = new VirtioPci(new VirtioBlock({ name: 'virtio-blk', serial: 'serial-7', block: disk }), { memory, log, intx: line, messages: { send: (address, data) => void messages.push([address, data]) } });
  let bar: RegisterBlock | undefined;
  const bus = new PciBus((change) => (bar = change.kind === 'map' ? change.block : undefined));
  bus.add(SLOT, 0, card);
  const config = {
    read: (offset: number, size: 1 | 2 | 4 = 4) => bus.readConfig(0, SLOT, 0, offset, size),
    write: (offset: number, size: 1 | 2 | 4, value: number) => bus.writeConfig(0, SLOT, 0, offset, size, value),
  };
  const parts = new Map<number, { at: number; offset: number }>();
  let msix = 0;
  for (let at = config.read(0x34, 1); at !== 0; at = config.read(at + 1, 1)) {
    if (config.read(at, 1) === 9) parts.set(config.read(at + 3, 1), { at, offset: config.read(at + 8) });
    if (config.read(at, 1) === 0x11) msix = at;
  }
  const [common, notify, isr, device] = [1, 2, 3, 4].map((type) => parts.get(type)!.offset) as [number, number, number, number];
  const place = (): void => {
    config.write(0x10, 4, BAR);
    config.write(COMMAND, 2, 6);
  };
  return {
    card, bus, disk, memory, config, messages, line, complaints, msix, common, notify, isr, device, window: parts.get(5)!.at, place,
    read: (offset: number, size: 1 | 2 | 4) => bar!.read(offset, size),
    write: (offset: number, size: 1 | 2 | 4, value: number) => bar!.write(offset, size, value),
  };
}
type Card = ReturnType<typeof make>;

/** Up to DRIVER_OK, with queue 0 in place; then what is needed to ask for things. */
function drive(t: Card, format: RingFormat = 'split', vectors = false, features = 0xffffffff) {
  const queue = new DriverQueue(t.memory, format, RINGS, 16);
  t.place();
  if (vectors) {
    const table = t.config.read(t.msix + 4) & ~7;
    for (const vector of [0, 1]) [0xfee01000, 0, 0x40 + vector, 0].forEach((word, i) => t.write(table + 16 * vector + 4 * i, 4, word));
    t.config.write(t.msix + 2, 2, 0x8000);
  }
  const { common } = t;
  t.write(common + 20, 1, 0);
  t.write(common + 20, 1, 3);
  t.write(common + 8, 4, 0);
  t.write(common + 0, 4, 0);
  t.write(common + 12, 4, t.read(common + 4, 4) & features & ~(3 << 28)); // neither indirect nor event index
  t.write(common + 8, 4, 1);
  t.write(common + 12, 4, VERSION_1 | (format === 'packed' ? PACKED : 0));
  t.write(common + 20, 1, 11);
  expect(t.read(common + 20, 1)).toBe(11);
  if (vectors) {
    t.write(common + 16, 2, 0);
    t.write(common + 26, 2, 1);
  }
  t.write(common + 22, 2, 0);
  t.write(common + 24, 2, 16);
  [queue.place.descriptors, queue.place.driver, queue.place.device].forEach((address, i) => t.write(common + 32 + 8 * i, 4, address));
  t.write(common + 28, 2, 1);
  t.write(common + 20, 1, 15);
  return { queue, ...requests(t, queue) };
}

function requests(t: Card, queue: DriverQueue) {
  const ask = (type: number, sector: number, data: readonly { address: number; length: number; write?: boolean }[]): void => {
    [type, 0, sector, 0].forEach((word, i) => t.memory.writeU32(HEADER + 4 * i, word));
    t.memory.write(STATUS, Uint8Array.of(0xee));
    queue.add([{ address: HEADER, length: 16 }, ...data, { address: STATUS, length: 1, write: true }]);
    t.write(t.notify, 2, 0);
  };
  const bytes = (address: number, length: number): Uint8Array => {
    const target = new Uint8Array(length);
    t.memory.read(address, target);
    return target;
  };
  return { ask, bytes, status: () => bytes(STATUS, 1)[0] };
}

describe('virtio-pci', () => {
  it('is found by its identity and capabilities', () => {
    const t = make();
    expect(t.config.read(0)).toBe(0x10421af4);
    expect(t.config.read(8)).toBe(0x01000001);
    expect([t.common, t.notify, t.isr, t.device].every((offset) => offset % 4096 === 0)).toBe(true);
    expect(t.config.read(t.msix + 2, 2)).toBe(2); // three vectors
    t.place();
    expect(t.read(t.common + 18, 2)).toBe(2);
    expect(t.read(t.device, 4)).toBe(64);
    expect(t.read(t.device + 20, 4)).toBe(512);
  });

  it('refuses features that it has not offered, and a driver without VERSION_1', () => {
    const t = make();
    t.place();
    for (const [low, high] of [[0, 0], [1 << 31, 1], [0, 1 | (1 << 9)]] as const) {
      t.write(t.common + 20, 1, 0);
      t.write(t.common + 20, 1, 3);
      t.write(t.common + 8, 4, 0);
      t.write(t.common + 12, 4, low);
      t.write(t.common + 8, 4, 1);
      t.write(t.common + 12, 4, high);
      t.write(t.common + 20, 1, 11);
      expect(t.read(t.common + 20, 1)).toBe(3);
      t.write(t.common + 20, 1, 15);
      expect(t.read(t.common + 20, 1)).toBe(3);
    }
  });

  it.each(['split', 'packed'] as const)('reads, writes, flushes, zeroes and says its name over a %s queue', async (format) => {
    const t = make();
    const { queue, ask, status, bytes } = drive(t, format);
    const wanted = async (expected = 0): Promise<void> => {
      await settled();
      expect(queue.take()).toHaveLength(1);
      expect(status()).toBe(expected);
    };
    ask(0, 3, [{ address: DATA, length: 700, write: true }, { address: DATA + 0x1000, length: 324, write: true }]);
    await wanted();
    expect([...bytes(DATA, 700), ...bytes(DATA + 0x1000, 324)]).toEqual([...t.disk.contents.subarray(3 * 512, 5 * 512)]);
    t.memory.write(DATA, new Uint8Array(512).fill(7));
    ask(1, 9, [{ address: DATA, length: 512 }]);
    await wanted();
    expect(t.disk.contents.subarray(9 * 512 - 1, 10 * 512 + 1).filter((byte) => byte === 7).length).toBeGreaterThanOrEqual(512);
    ask(4, 0, []);
    await wanted();
    expect(t.disk.log.at(-1)).toBe('flush');
    ask(8, 0, [{ address: DATA, length: 20, write: true }]);
    await wanted();
    expect(String.fromCharCode(...bytes(DATA, 8))).toBe('serial-7');
    const range = (sector: number, sectors: number, flags: number): void => [sector, 0, sectors, flags].forEach((word, i) => t.memory.writeU32(DATA + 4 * i, word));
    range(9, 1, 1);
    ask(13, 0, [{ address: DATA, length: 16 }]);
    await wanted();
    expect(t.disk.contents.subarray(9 * 512, 10 * 512).every((byte) => byte === 0)).toBe(true);
    range(9, 1, 0);
    ask(11, 0, [{ address: DATA, length: 16 }]);
    await wanted();
    ask(11, 0, [{ address: DATA, length: 15 }]);
    await wanted(1);
    range(63, 2, 0);
    ask(13, 0, [{ address: DATA, length: 16 }]);
    await wanted(1);
    ask(0, 63, [{ address: DATA, length: 1024, write: true }]); // over the end
    await wanted(1);
    ask(0, 0xffffffff, [{ address: DATA, length: 512, write: true }]);
    await wanted(1);
    ask(77, 0, []);
    await wanted(2);
    t.disk.fail = true;
    ask(0, 0, [{ address: DATA, length: 512, write: true }]);
    await wanted(1);
    expect(t.complaints).toEqual([]);
  });

  it('flushes each write of a driver that knows of no flush, and does not write to a read-only disk', async () => {
    const t = make();
    const { ask, status } = drive(t, 'split', false, ~(1 << 9));
    ask(1, 0, [{ address: DATA, length: 512 }]);
    await settled();
    expect(t.disk.log).toEqual(['write 0 512', 'flush']);
    const u = make(new MemoryDisk(4096, true));
    const readOnly = drive(u);
    expect(u.read(u.common + 4, 4)).not.toBe(0);
    readOnly.ask(1, 0, [{ address: DATA, length: 512 }]);
    await settled();
    expect([status(), readOnly.status(), u.disk.log]).toEqual([0, 1, []]);
  });

  it('interrupts by its pin until the cause is read, and by messages', async () => {
    const t = make();
    const pin = drive(t);
    pin.ask(4, 0, []);
    await settled();
    expect([t.line.high, t.config.read(6, 2) & 8, t.messages]).toEqual([true, 8, []]);
    t.config.write(COMMAND, 2, 0x406); // interrupts off
    expect(t.line.high).toBe(false);
    t.config.write(COMMAND, 2, 6);
    expect([t.line.high, t.read(t.isr, 1), t.line.high, t.read(t.isr, 1)]).toEqual([true, 1, false, 0]);
    const u = make();
    const msix = drive(u, 'split', true);
    msix.ask(4, 0, []);
    await settled();
    expect([u.line.high, u.messages]).toEqual([false, [[0xfee01000, 0x41]]]);
    // Masked: pending until the mask goes.
    const table = u.config.read(u.msix + 4) & ~7;
    u.write(table + 28, 4, 1);
    msix.ask(4, 0, []);
    await settled();
    expect([u.messages.length, u.read(u.config.read(u.msix + 8) & ~7, 4)]).toEqual([1, 2]);
    u.write(table + 28, 4, 0);
    expect([u.messages.length, u.read(u.config.read(u.msix + 8) & ~7, 4)]).toEqual([2, 0]);
  });

  it('lets the BAR be reached through configuration space', () => {
    const t = make();
    const access = (offset: number, length: number): void => {
      t.config.write(t.window + 8, 4, offset);
      t.config.write(t.window + 12, 4, length);
    };
    access(t.common + 20, 1);
    t.config.write(t.window + 16, 4, 3);
    expect(t.config.read(t.window + 16, 1)).toBe(3);
    for (const [offset, length] of [[1, 2], [0x7ffe, 4], [0xfffffffc, 4], [0, 3]] as const) {
      access(offset, length);
      t.config.write(t.window + 16, 4, 0xffffffff);
      expect(t.config.read(t.window + 16, 4)).toBeLessThan(0x100000000);
    }
  });

  it('says that it needs a reset when a queue makes no sense, and works after one', async () => {
    const t = make();
    const { queue, ask } = drive(t, 'split', true);
    queue.add([{ address: MIB, length: 16 }]);
    t.write(t.notify, 2, 0);
    expect([t.read(t.common + 20, 1), t.messages, t.complaints.length]).toEqual([15 | 64, [[0xfee01000, 0x40]], 1]);
    ask(4, 0, []);
    await settled();
    expect(t.disk.log).toEqual([]);
    const again = drive(t);
    again.ask(4, 0, []);
    await settled();
    expect([t.disk.log, again.status()]).toEqual([['flush'], 0]);
    // A request without header, or without room for its status.
    again.queue.add([{ address: HEADER, length: 15 }, { address: STATUS, length: 1, write: true }]);
    t.write(t.notify, 2, 0);
    expect(t.read(t.common + 20, 1) & 64).toBe(64);
  });

  it('touches no memory after a reset, and does nothing without bus mastering', async () => {
    const t = make();
    const { ask, bytes, status, queue } = drive(t);
    t.disk.hold();
    ask(0, 0, [{ address: DATA, length: 512, write: true }]);
    t.write(t.common + 20, 1, 0);
    t.disk.release();
    await settled();
    expect([status(), bytes(DATA, 512).every((byte) => byte === 0), queue.take()]).toEqual([0xee, true, []]);
    const again = drive(t);
    t.config.write(COMMAND, 2, 2);
    again.ask(0, 0, [{ address: DATA, length: 512, write: true }]);
    await settled();
    expect(again.status()).toBe(0xee);
    t.config.write(COMMAND, 2, 6);
    await settled();
    expect(again.status()).toBe(0);
  });

  it('takes requests in flight along when it is saved', async () => {
    const t = make();
    const { ask } = drive(t, 'packed', true);
    t.disk.hold();
    ask(0, 5, [{ address: DATA, length: 512, write: true }]);
    await settled();
    const state = t.bus.save();
    const memory = new LinearMemory(MIB);
    memory.load(t.memory.save(), 1);
    const u = make(new MemoryDisk(64 * 512), memory);
    u.bus.load(state, 1);
    expect(u.bus.save()).toEqual(state);
    await settled();
    const { bytes, status } = requests(u, new DriverQueue(new LinearMemory(MIB), 'packed', RINGS, 16));
    expect([status(), u.messages]).toEqual([0, [[0xfee01000, 0x41]]]);
    expect(bytes(DATA, 512)).toEqual(t.disk.contents.slice(5 * 512, 6 * 512));
    // The first machine ends: the request is not answered any more, and still under way in what is saved afterwards.
    t.bus.halt();
    t.disk.fail = true;
    t.disk.release();
    await settled();
    expect([t.messages, t.bus.save()]).toEqual([[], state]);
  });
});
