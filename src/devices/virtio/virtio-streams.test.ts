import { describe, expect, it } from 'vitest';
import { LinearMemory } from '../../memory/linear-memory.ts';
import { DriverQueue } from './driver-queue.test-support.ts';
import { keyEvent, makeKeyboard, makeTablet, pointerEvents } from './input-devices.ts';
import { SplitRing } from './split-ring.ts';
import { VirtioBalloon } from './virtio-balloon.ts';
import { VirtioConsole } from './virtio-console.ts';
import type { VirtioDevice } from './virtio-device.ts';
import { VirtioEntropy } from './virtio-entropy.ts';
import { Virtqueue } from './virtqueue.ts';

const DATA = 0xa0000;

function attach(device: VirtioDevice, features = 0n) {
  const memory = new LinearMemory(4 << 20);
  const broken: string[] = [];
  const drivers = device.queueSizes.map((_, i) => new DriverQueue(memory, 'split', 0x10000 * (i + 1), 8));
  const queues = drivers.map((driver) => new Virtqueue(new SplitRing(memory, driver.place), 8, { interrupt: () => {}, broken: (reason) => void broken.push(reason) }));
  device.start({ features, begins: true, queues, configChanged: () => {} });
  const bytes = (length: number): number[] => {
    const target = new Uint8Array(length);
    memory.read(DATA, target);
    return [...target];
  };
  return { memory, drivers, bytes, broken };
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

describe('virtio-input', () => {
  it('says what it is, sends what happens, and drops it whole when nobody takes it', () => {
    const keyboard = makeKeyboard();
    const ask = (select: number, subsel = 0): number[] => {
      keyboard.writeConfig(0, 1, select);
      keyboard.writeConfig(1, 1, subsel);
      return [...keyboard.config.subarray(8, 8 + keyboard.config[2]!)];
    };
    expect([String.fromCharCode(...ask(1)), ask(3), ask(0x11, 3), ask(0x11, 1).length, ask(0x12, 0), ask(99)]).toEqual(['Polyvisor keyboard', [6, 0, 0xf4, 0x1a, 1, 0, 1, 0], [], 16, [], []]);
    expect(keyEvent(Uint8Array.of(0xe0, 0xf0, 0x75))).toEqual({ type: 1, code: 103, value: 0 });
    expect([keyEvent(Uint8Array.of(0x1c))!.code, keyEvent(Uint8Array.of(0xe0, 0x10))]).toEqual([30, undefined]);
    keyboard.send([{ type: 1, code: 30, value: 1 }]); // nobody listens yet
    const { drivers: [events], memory, bytes } = attach(keyboard);
    for (let i = 0; i < 3; i++) events!.add([{ address: DATA + 8 * i, length: 8, write: true }]);
    keyboard.send([{ type: 1, code: 30, value: 1 }]);
    keyboard.send([{ type: 1, code: 30, value: 0 }]);
    expect([events!.take().length, bytes(24)]).toEqual([3, [1, 0, 30, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 30, 0, 0, 0, 0, 0]]);
    for (let i = 0; i < 2000; i++) keyboard.send([{ type: 1, code: 30, value: 1 }]);
    const other = makeKeyboard();
    other.load(keyboard.save());
    expect([other.save(), (keyboard.save() as { readonly waiting: unknown[] }).waiting.length <= 1024]).toEqual([keyboard.save(), true]);
    expect(() => other.load({ select: 0, subsel: 0, waiting: [new Uint8Array(7)] })).toThrow(/8 bytes/);
    memory.write(DATA, new Uint8Array(8));
    const tablet = makeTablet();
    tablet.writeConfig(0, 2, 0x0112);
    expect([[...tablet.config.subarray(8, 8 + tablet.config[2]!)].slice(0, 8), pointerEvents(2, -1, 4, 0).map(({ value }) => value)]).toEqual([[0, 0, 0, 0, 0xff, 0x7f, 0, 0], [0x7fff, 0, 0, 0, 1]]);
  });
});

describe('virtio-console', () => {
  it('writes what the guest sends, whatever its pieces', () => {
    const written: number[] = [];
    const device = new VirtioConsole({ console: { write: (bytes) => void written.push(...bytes) } });
    const { drivers: [, transmit], memory } = attach(device);
    memory.write(DATA, Uint8Array.of(1, 2, 3, 4));
    transmit!.add([{ address: DATA + 2, length: 2 }, { address: DATA, length: 1 }]);
    transmit!.add([{ address: DATA + 1, length: 1 }]);
    device.notified(1);
    expect(written).toEqual([3, 4, 1, 2]);
    expect(transmit!.take()).toHaveLength(2);
  });

  it('takes no buffer of any length: the host must keep what it takes', () => {
    let written = 0;
    const device = new VirtioConsole({ console: { write: (bytes) => void (written += bytes.length) } });
    const { drivers: [, transmit], broken } = attach(device);
    transmit!.add(Array.from({ length: 8 }, () => ({ address: 0, length: 1 << 20 })));
    device.notified(1);
    expect([written, broken]).toEqual([8 << 20, []]);
    transmit!.take();
    transmit!.add([{ address: 0, length: 1 }, ...Array.from({ length: 4 }, () => ({ address: 0, length: 4 << 20 }))]);
    device.notified(1);
    expect([written, broken]).toEqual([8 << 20, ['a buffer to be sent is longer than 16 MiB']]);
  });

  it('keeps what is typed until there is room, over save and load too', () => {
    const first = new VirtioConsole({ console: { write: () => {} } });
    first.receive(Uint8Array.of(1, 2, 3, 4, 5));
    const device = new VirtioConsole({ console: { write: () => {} } });
    device.load(first.save());
    expect([device.unread(), device.save()]).toEqual([5, first.save()]);
    const { drivers: [receive], bytes } = attach(device);
    receive!.add([{ address: DATA, length: 3, write: true }]);
    device.notified(0);
    expect([receive!.take().map((used) => used.written), bytes(3), device.unread()]).toEqual([[3], [1, 2, 3], 2]);
    receive!.add([{ address: DATA, length: 16, write: true }]);
    device.notified(0);
    receive!.add([{ address: DATA + 8, length: 16, write: true }]);
    device.receive(Uint8Array.of(6));
    expect([receive!.take().map((used) => used.written), bytes(2), device.unread()]).toEqual([[2, 1], [4, 5], 0]);
  });

  it('has further ports by name, which guest and host open and close', async () => {
    const written: string[] = [];
    let full: Promise<void> | undefined;
    const port = (name: string) => ({ name, sink: { write: (bytes: Uint8Array) => void written.push(`${name}:${String.fromCharCode(...bytes)}`), ready: () => full } });
    const make = (): VirtioConsole => new VirtioConsole({ ports: [port('org.a'), port('org.b')] });
    const device = make();
    const { drivers, memory, bytes } = attach(device, 2n);
    const [receiveControl, transmitControl] = [drivers[2]!, drivers[3]!];
    const control = (id: number, event: number, value: number): void => {
      memory.write(DATA + 0x1000, Uint8Array.of(id, 0, 0, 0, event, 0, value, 0));
      transmitControl.add([{ address: DATA + 0x1000, length: 8 }]);
      device.notified(3);
      transmitControl.take();
    };
    const offered = new Map<number, number>();
    let count = 0;
    const told = (): string[] => {
      while (receiveControl.free > 0) {
        const address = DATA + 0x2000 + 64 * (count++ % 64);
        offered.set(receiveControl.add([{ address, length: 40, write: true }]), address);
      }
      device.notified(2);
      return receiveControl.take().map(({ id, written }) => {
        const message = new Uint8Array(written);
        memory.read(offered.get(id)!, message);
        offered.delete(id);
        return String(message);
      });
    };
    expect([device.queueSizes.length, device.config[4]]).toEqual([8, 3]);
    control(0, 0, 1);
    expect(told()).toEqual(['1,0,0,0,1,0,1,0', '2,0,0,0,1,0,1,0']);
    control(2, 3, 1);
    expect(told()).toEqual([`2,0,0,0,7,0,1,0,${[...'org.b'].map((letter) => letter.charCodeAt(0)).join()}`, '2,0,0,0,6,0,1,0']);
    device.setHostOpen('org.b', false);
    expect(told()).toEqual(['2,0,0,0,6,0,0,0']);
    // Queues 6 and 7. What is typed waits until the guest has the port open.
    drivers[6]!.add([{ address: DATA, length: 16, write: true }]);
    device.receive(Uint8Array.of(65, 66), 'org.b');
    expect([device.unread('org.b'), drivers[6]!.take()]).toEqual([2, []]);
    const other = make();
    other.load(device.save());
    expect(other.save()).toEqual(device.save());
    control(2, 6, 1);
    expect([device.unread('org.b'), drivers[6]!.take().length, bytes(2), device.guestOpen('org.b')]).toEqual([0, 1, [65, 66], true]);
    memory.write(DATA, Uint8Array.of(67, 68));
    const send = (): void => {
      drivers[7]!.add([{ address: DATA, length: 2 }]);
      device.notified(7);
    };
    send();
    expect([written, drivers[7]!.take().length]).toEqual([[], 1]); // nobody is there
    device.setHostOpen('org.b', true);
    let drained = (): void => {};
    full = new Promise((resolve) => (drained = resolve));
    send();
    expect([written, drivers[7]!.take().length]).toEqual([[], 0]);
    full = undefined;
    drained();
    await new Promise((resolve) => setTimeout(resolve));
    expect([written, drivers[7]!.take().length]).toEqual([['org.b:CD'], 1]);
    for (const [id, event] of [[0, 3], [99, 3], [1, 9], [1, 1]] as const) control(id, event, 1);
    // A driver that only asks is not listened to for ever.
    while (told().length > 0);
    for (let i = 0; i < 500; i++) control(1, 3, 1);
    expect((device.save() as { readonly messages: unknown[] }).messages.length).toBeLessThan(70);
  });
});
