import { describe, expect, it } from 'vitest';
import { StateError } from '../../base/errors.ts';
import { LinearMemory } from '../../memory/linear-memory.ts';
import { MemoryDisk, settled } from '../storage/memory-disk.test-support.ts';
import { DriverQueue } from './driver-queue.test-support.ts';
import { VirtioBlock } from './virtio-block.ts';
import { VirtioMmio } from './virtio-mmio.ts';

const MIB = 1 << 20;
const RINGS = 0x10000;
const HEADER = 0x80000;
const DATA = 0x81000;
const STATUS = 0x90000;

// Offsets of virtio 1.2, section 4.2.2.
const FEATURES = 0x10;
const FEATURES_SELECT = 0x14;
const DRIVER_FEATURES = 0x20;
const DRIVER_FEATURES_SELECT = 0x24;
const QUEUE_SELECT = 0x30;
const QUEUE_SIZE_MAX = 0x34;
const QUEUE_SIZE = 0x38;
const QUEUE_READY = 0x44;
const NOTIFY = 0x50;
const INTERRUPT_STATUS = 0x60;
const INTERRUPT_ACKNOWLEDGE = 0x64;
const DEVICE_STATUS = 0x70;

function make(memory = new LinearMemory(MIB), disk = new MemoryDisk(64 * 512)) {
  const line = { kind: 'level' as const, high: false, set: (high: boolean) => void (line.high = high) };
  const complaints: string[] = [];
  const log = { warn: () => {}, tracing: () => true, trace: (_: string, message: string) => void complaints.push(message) };
  const device = new VirtioMmio(new VirtioBlock({ name: 'virtio-blk', serial: 's', block: disk }), 3, { line, memory, log });
  return { device, memory, disk, line, complaints, read: (at: number, size: 1 | 2 | 4 = 4) => device.read(at, size) >>> 0, write: (at: number, value: number, size: 1 | 2 | 4 = 4) => device.write(at, size, value) };
}

function drive(t: ReturnType<typeof make>) {
  const queue = new DriverQueue(t.memory, 'split', RINGS, 16);
  for (const status of [0, 1, 3]) t.write(DEVICE_STATUS, status);
  t.write(FEATURES_SELECT, 1);
  expect(t.read(FEATURES) & 1).toBe(1);
  t.write(DRIVER_FEATURES_SELECT, 1);
  t.write(DRIVER_FEATURES, 1); // VERSION_1
  t.write(DEVICE_STATUS, 11);
  expect(t.read(DEVICE_STATUS)).toBe(11);
  t.write(QUEUE_SELECT, 0);
  expect([t.read(QUEUE_READY), t.read(QUEUE_SIZE_MAX)]).toEqual([0, 256]);
  t.write(QUEUE_SIZE, 16);
  [queue.place.descriptors, queue.place.driver, queue.place.device].forEach((address, i) => {
    t.write(0x80 + 16 * i, address);
    t.write(0x84 + 16 * i, 0);
  });
  t.write(QUEUE_READY, 1);
  t.write(DEVICE_STATUS, 15);
  const ask = (): void => {
    [0, 0, 3, 0].forEach((word, i) => t.memory.writeU32(HEADER + 4 * i, word));
    queue.add([{ address: HEADER, length: 16 }, { address: DATA, length: 512, write: true }, { address: STATUS, length: 1, write: true }]);
    t.write(NOTIFY, 0);
  };
  const data = (): Uint8Array => {
    const bytes = new Uint8Array(512);
    t.memory.read(DATA, bytes);
    return bytes;
  };
  return { queue, ask, data };
}

describe('virtio-mmio', () => {
  it('says what it is, and answers to words only', () => {
    const { read } = make();
    expect([read(0), read(4), read(8)]).toEqual([0x74726976, 2, 2]);
    expect([read(0, 1), read(4, 2)]).toEqual([0, 0]);
    expect([read(0x100), read(0x100, 1)]).toEqual([64, 64]); // capacity in sectors
    expect([read(0xb0), read(0xb4)]).toEqual([0xffffffff, 0xffffffff]); // no shared memory
  });

  it('reads from its disk and interrupts until that is acknowledged', async () => {
    const t = make();
    const { queue, ask, data } = drive(t);
    ask();
    await settled();
    expect(queue.take()).toHaveLength(1);
    expect([...data()]).toEqual([...t.disk.contents.subarray(3 * 512, 4 * 512)]);
    expect([t.line.high, t.read(INTERRUPT_STATUS)]).toEqual([true, 1]);
    t.write(INTERRUPT_ACKNOWLEDGE, 1);
    expect([t.line.high, t.read(INTERRUPT_STATUS)]).toEqual([false, 0]);
    expect(t.complaints).toEqual([]);
  });

  it('touches nothing of a queue that was taken back, and forgets all at a reset', async () => {
    const t = make();
    const { queue, ask, data } = drive(t);
    ask();
    t.write(QUEUE_READY, 0);
    expect(t.read(QUEUE_READY)).toBe(0);
    await settled();
    expect([queue.take().length, data().some((byte) => byte !== 0), t.line.high]).toEqual([0, false, false]);
    t.write(NOTIFY, 0);
    t.write(DEVICE_STATUS, 0);
    const again = drive(t);
    again.ask();
    await settled();
    expect(again.queue.take()).toHaveLength(1);
  });

  it('takes requests in flight along when it is saved, and refuses what does not fit', async () => {
    const t = make();
    drive(t).ask();
    const state = t.device.save();
    const other = make(t.memory, t.disk);
    other.device.load(state, 1);
    expect(other.device.save()).toEqual(state);
    t.device.halt();
    await settled();
    expect([other.line.high, t.line.high]).toEqual([true, false]);
    expect(() => other.device.load({ ...(state as object), interrupts: 4 }, 1)).toThrow(StateError);
    expect(() => other.device.load({ ...(state as object), device: 'virtio-rng' }, 1)).toThrow(StateError);
  });
});
