import { describe, expect, it } from 'vitest';
import { LinearMemory } from '../../memory/linear-memory.ts';
import { DriverQueue } from './driver-queue.test-support.ts';
import { SplitRing } from './split-ring.ts';
import { VirtioBalloon } from './virtio-balloon.ts';
import { VirtioConsole } from './virtio-console.ts';
import type { VirtioDevice } from './virtio-device.ts';
import { VirtioEntropy } from './virtio-entropy.ts';
import { Virtqueue } from './virtqueue.ts';

const DATA = 0x80000;

function attach(device: VirtioDevice) {
  const memory = new LinearMemory(1 << 20);
  const drivers = device.queueSizes.map((_, i) => new DriverQueue(memory, 'split', 0x10000 * (i + 1), 8));
  const queues = drivers.map((driver) => new Virtqueue(new SplitRing(memory, driver.place), 8, { interrupt: () => {}, broken: () => {} }));
  device.start({ features: 0n, begins: true, queues, configChanged: () => {} });
  const bytes = (length: number): number[] => {
    const target = new Uint8Array(length);
    memory.read(DATA, target);
    return [...target];
  };
  return { memory, drivers, bytes };
}

describe('virtio-rng', () => {
  it('fills buffers, up to a bound', () => {
    let next = 0;
    const device = new VirtioEntropy({ fill: (bytes) => bytes.forEach((_, i) => (bytes[i] = ++next)) });
    const { drivers: [queue], bytes } = attach(device);
    queue!.add([{ address: DATA, length: 3, write: true }, { address: DATA + 3, length: 2, write: true }]);
    queue!.add([{ address: DATA + 0x100, length: 0x20000, write: true }]);
    device.notified();
    expect(queue!.take().map((used) => used.written)).toEqual([5, 0x10000]);
    expect(bytes(6)).toEqual([1, 2, 3, 4, 5, 0]);
    device.stop();
    queue!.add([{ address: DATA, length: 3, write: true }]);
    device.notified();
    expect(queue!.take()).toEqual([]);
  });
});

describe('virtio-balloon', () => {
  it('lets pages go that are given back, by number in runs, or as they are reported', () => {
    const released: number[][] = [];
    const device = new VirtioBalloon((address, length) => void released.push([address, length]));
    const { drivers, memory } = attach(device);
    [7, 8, 9, 3, 2, 0xfffff].forEach((page, i) => memory.writeU32(DATA + 4 * i, page));
    drivers[0]!.add([{ address: DATA, length: 12 }, { address: DATA + 12, length: 12 }]);
    device.notified(0);
    expect(released).toEqual([[0x7000, 0x3000], [0x3000, 0x1000], [0x2000, 0x1000], [0xfffff000, 0x1000]]);
    released.length = 0;
    drivers[1]!.add([{ address: DATA, length: 12 }]);
    device.notified(1);
    drivers[2]!.add([{ address: 0x40000, length: 0x4000, write: true }, { address: 0x60000, length: 0x1000, write: true }]);
    device.notified(2);
    expect(released).toEqual([[0x40000, 0x4000], [0x60000, 0x1000]]);
    expect([0, 1, 2].map((i) => drivers[i]!.take().length)).toEqual([1, 1, 1]);
  });

  it('says what the host wants, hears what it got, and stores both', () => {
    const device = new VirtioBalloon(() => {});
    device.target = 5 * 4096 + 1;
    device.writeConfig(0, 4, 99);
    device.writeConfig(4, 4, 3);
    expect([device.target, device.actual, device.config[0]]).toEqual([5 * 4096, 3 * 4096, 5]);
    const other = new VirtioBalloon(() => {});
    other.load(device.save());
    expect([other.target, other.save()]).toEqual([device.target, device.save()]);
    expect(() => other.load({ config: new Uint8Array(7) })).toThrow(/8 bytes/);
  });
});

describe('virtio-console', () => {
  it('writes what the guest sends, whatever its pieces', () => {
    const written: number[] = [];
    const device = new VirtioConsole({ write: (bytes) => void written.push(...bytes) });
    const { drivers: [, transmit], memory } = attach(device);
    memory.write(DATA, Uint8Array.of(1, 2, 3, 4));
    transmit!.add([{ address: DATA + 2, length: 2 }, { address: DATA, length: 1 }]);
    transmit!.add([{ address: DATA + 1, length: 1 }]);
    device.notified(1);
    expect(written).toEqual([3, 4, 1, 2]);
    expect(transmit!.take()).toHaveLength(2);
  });

  it('keeps what is typed until there is room, over save and load too', () => {
    const first = new VirtioConsole({ write: () => {} });
    first.receive(Uint8Array.of(1, 2, 3, 4, 5));
    const device = new VirtioConsole({ write: () => {} });
    device.load(first.save());
    expect([device.unread, device.save()]).toEqual([5, first.save()]);
    const { drivers: [receive], bytes } = attach(device);
    receive!.add([{ address: DATA, length: 3, write: true }]);
    device.notified(0);
    expect([receive!.take().map((used) => used.written), bytes(3), device.unread]).toEqual([[3], [1, 2, 3], 2]);
    receive!.add([{ address: DATA, length: 16, write: true }]);
    device.notified(0);
    receive!.add([{ address: DATA + 8, length: 16, write: true }]);
    device.receive(Uint8Array.of(6));
    expect([receive!.take().map((used) => used.written), bytes(2), device.unread]).toEqual([[2, 1], [4, 5], 0]);
  });
});
