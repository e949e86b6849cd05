import { describe, expect, it } from 'vitest';
import { StateError } from '../../base/errors.ts';
import { LinearMemory } from '../../memory/linear-memory.ts';
import { DESCRIPTOR_INDIRECT, DESCRIPTOR_NEXT, DESCRIPTOR_WRITE, QueueError } from './descriptor-chain.ts';
import { DriverQueue } from './driver-queue.test-support.ts';
import type { DriverBuffer, RingFormat } from './driver-queue.test-support.ts';
import { PackedRing } from './packed-ring.ts';
import type { RingPlace } from './ring.ts';
import { SplitRing } from './split-ring.ts';
import { Virtqueue } from './virtqueue.ts';

const MIB = 1 << 20;
const RINGS = 0x10000;
const DATA = 0x80000;

function make(format: RingFormat, size: number, features: { indirect?: boolean; eventIndex?: boolean } = {}) {
  const memory = new LinearMemory(MIB);
  const driver = new DriverQueue(memory, format, RINGS, size, features);
  const seen = { interrupts: 0, broken: [] as string[] };
  const device = (place: RingPlace = driver.place): Virtqueue =>
    new Virtqueue(format === 'split' ? new SplitRing(memory, place) : new PackedRing(memory, place), size, { interrupt: () => seen.interrupts++, broken: (reason) => seen.broken.push(reason) });
  return { memory, driver, seen, device, queue: device() };
}

const part = (n: number, write = false, length = 16): DriverBuffer => ({ address: DATA + 0x100 * n, length, write });

describe.each(['split', 'packed'] as const)('%s virtqueue', (format) => {
  it('hands buffers over in order and takes them back in any, round after round', () => {
    const { driver, queue, memory, seen } = make(format, 8);
    for (let round = 0; round < 40; round++) {
      memory.write(DATA, Uint8Array.of(round, 2, 3));
      const ids = [driver.add([part(0, false, 3), part(1, true)]), driver.add([part(2, true, 7)]), driver.add([part(3), part(4), part(5, true)])];
      const chains = [queue.pop()!, queue.pop()!, queue.pop()!];
      expect(queue.pop()).toBeUndefined();
      expect(chains.map((chain) => chain.id)).toEqual(ids);
      expect(chains.map((chain) => [chain.readable.bytes, chain.writable.bytes])).toEqual([[3, 16], [0, 7], [32, 16]]);
      const read = new Uint8Array(10);
      expect(chains[0]!.readable.read(0, read)).toBe(3);
      expect(read[0]).toBe(round);
      for (const index of [2, 0, 1]) queue.push(chains[index]!, index);
      queue.push(chains[0]!, 99); // already given back
      expect(driver.take()).toEqual([2, 0, 1].map((index) => ({ id: ids[index], written: index })));
    }
    expect(seen).toEqual({ interrupts: 120, broken: [] });
  });

  it('shows buffers that belong together all at once, over the ring\'s end too', () => {
    const { driver, queue, memory, seen } = make(format, 8);
    for (let round = 0; round < 10; round++) {
      const ids = [0, 1, 2].map((n) => driver.add([part(n, true)]));
      const buffers = ids.map((_, written) => ({ chain: queue.pop()!, written }));
      const shown: number[] = [];
      memory.onWritten(() => {
        const taken = driver.take();
        if (taken.length > 0) shown.push(...taken.map(({ id }) => id), -1);
      });
      queue.pushAll(buffers);
      memory.onWritten(() => {});
      expect(shown).toEqual([...ids, -1]);
    }
    expect(seen).toEqual({ interrupts: 10, broken: [] });
  });

  it('follows an indirect table', () => {
    const { driver, queue } = make(format, 4, { indirect: true });
    driver.add([part(0), part(1), part(2, true), part(3, true)], true);
    driver.add([part(4, true)]);
    expect([queue.pop()!, queue.pop()!].map((chain) => [chain.readable.bytes, chain.writable.bytes])).toEqual([[32, 32], [0, 16]]);
  });

  it('interrupts and asks for notifications where the event index says', () => {
    const { driver, queue, seen } = make(format, 4, { eventIndex: true });
    driver.interruptAfter(1);
    [0, 1, 2].forEach((n) => driver.add([part(n, true)]));
    queue.pushAll([0, 1, 2].map((written) => ({ chain: queue.pop()!, written })));
    driver.take();
    expect(seen.interrupts).toBe(1);
    seen.interrupts = 0;
    for (let round = 0; round < 20; round++) {
      driver.interruptAfter(2);
      expect(queue.pop()).toBeUndefined();
      const chains = [0, 1, 2, 3].map((n) => {
        driver.add([part(n, true)]);
        expect(driver.wantsNotification).toBe(n === 0);
        return n;
      }).map(() => queue.pop()!);
      const interrupts = chains.map((chain) => {
        queue.push(chain, 0);
        return seen.interrupts;
      });
      expect(interrupts).toEqual([0, 0, 1, 1].map((n) => n + round));
      driver.take();
    }
  });

  it('leaves interrupts away when the driver does not want them', () => {
    const { driver, queue, seen } = make(format, 4);
    driver.suppressInterrupts(true);
    driver.add([part(0, true)]);
    queue.push(queue.pop()!, 1);
    expect(seen.interrupts).toBe(0);
    expect(driver.take()).toHaveLength(1);
  });

  it('keeps buffers in flight over save and load', () => {
    const { driver, queue, device, memory } = make(format, 8, { indirect: true, eventIndex: true });
    for (let n = 0; n < 11; n++) {
      driver.add([part(n, true)]);
      queue.push(queue.pop()!, 0);
      driver.take();
    }
    const ids = [driver.add([part(0), part(1, true)], true), driver.add([part(2)]), driver.add([part(3)])];
    queue.push([queue.pop()!, queue.pop()!][1]!, 0);
    const state = queue.save();
    const other = device();
    other.load(state, memory);
    expect(other.save()).toEqual(state);
    expect(other.inFlight.map((chain) => [chain.id, chain.readable.bytes, chain.writable.bytes])).toEqual([[ids[0], 16, 16]]);
    other.push(other.inFlight[0]!, 5);
    other.push(other.pop()!, 6);
    expect(driver.take()).toEqual([{ id: ids[1], written: 0 }, { id: ids[0], written: 5 }, { id: ids[2], written: 6 }]);
    const damaged = structuredClone(state) as { inFlight: { writable: number[] }[] };
    damaged.inFlight[0]!.writable = [MIB, 1];
    expect(() => device().load(damaged, memory)).toThrow(StateError);
  });

  it('refuses rings that do not lie in memory', () => {
    const { device, driver } = make(format, 8);
    const wrong = [{ descriptors: MIB }, { driver: MIB - 2 }, { device: 2 ** 52 }, { descriptors: 8 }, { size: 0 }, { size: 65536 }];
    for (const change of wrong) expect(() => device({ ...driver.place, ...change }), JSON.stringify(change)).toThrow(QueueError);
  });

  const hostile: Record<string, DriverBuffer[]> = {
    'outside of memory': [{ address: MIB - 8, length: 16 }],
    'beyond any address': [{ address: 2 ** 63, length: 16 }],
    'empty': [{ address: DATA, length: 0 }],
    'in the wrong order': [part(0, true), part(1)],
  };
  for (const [name, parts] of Object.entries(hostile)) {
    it(`gives up on a buffer ${name}, once and for all`, () => {
      for (const indirect of [false, true]) {
        const { driver, queue, seen } = make(format, 8, { indirect: true });
        driver.add(parts, indirect);
        expect(queue.pop()).toBeUndefined();
        driver.add([part(0)]);
        expect(queue.pop()).toBeUndefined();
        expect(seen.broken).toHaveLength(1);
      }
    });
  }

  it('gives up on indirect tables that are none', () => {
    const tables: readonly (readonly [number, number])[] = [[DATA, 0], [DATA, 17], [MIB - 16, 32], [DATA, 0xfffffff0]];
    for (const [address, length] of tables) {
      const { driver, queue, seen } = make(format, 8, { indirect: true });
      const flags = DESCRIPTOR_INDIRECT | (format === 'packed' ? 0x80 : 0);
      driver.descriptor(RINGS, address, length, format === 'split' ? flags : 0, format === 'split' ? 0 : flags);
      if (format === 'split') driver.offer(0);
      expect(queue.pop()).toBeUndefined();
      expect(seen.broken).toHaveLength(1);
    }
    const { driver, queue, seen } = make(format, 8);
    driver.add([part(0)], true); // not negotiated
    expect([queue.pop(), seen.broken.length]).toEqual([undefined, 1]);
  });

  it('survives whatever lies in its rings', () => {
    let seed = 12345;
    const random = (below: number): number => {
      seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
      return Math.floor((seed / 2 ** 32) * below);
    };
    let popped = 0;
    let broken = 0;
    for (let run = 0; run < 400; run++) {
      const { driver, queue, memory, seen } = makeShared(format, 8);
      for (let i = 0; i < 8; i++) {
        const flags = random(16) | (format === 'packed' ? (random(4) === 0 ? random(0x10000) : 0x80) : 0);
        // Mostly addresses and lengths that could be, so that the walk gets somewhere.
        const address = random(4) === 0 ? random(2 ** 32) * 2 ** random(33) : random(MIB);
        const length = random(4) === 0 ? random(2 ** 32) : 16 * random(20);
        driver.descriptor(RINGS + 16 * i, address, length, format === 'split' ? flags : random(9), format === 'split' ? random(9) : flags);
        if (format === 'split') driver.offer(random(9));
      }
      if (random(8) === 0) memory.writeU16(driver.place.driver + 2, random(0x10000));
      for (let chain = queue.pop(), most = 50; chain !== undefined && most > 0; chain = queue.pop(), most--) {
        popped++;
        queue.push(chain, chain.writable.bytes);
      }
      broken += seen.broken.length;
    }
    expect(popped).toBeGreaterThan(50);
    expect(broken).toBeGreaterThan(100);
  });
});

const shared = new LinearMemory(MIB);
/** One memory for all runs, full of what the runs before have left. */
function makeShared(format: RingFormat, size: number) {
  const driver = new DriverQueue(shared, format, RINGS, size, { indirect: true, eventIndex: true });
  const seen = { broken: [] as string[] };
  const ring = format === 'split' ? new SplitRing(shared, driver.place) : new PackedRing(shared, driver.place);
  return { memory: shared, driver, seen, queue: new Virtqueue(ring, size, { interrupt: () => {}, broken: (reason) => seen.broken.push(reason) }) };
}

describe('split virtqueue', () => {
  const split = (place: { indirect?: boolean } = {}) => make('split', 8, place);
  it('takes no more buffers than there can be, however often they are offered', () => {
    const { driver, queue, seen } = split();
    driver.add([part(0)]);
    for (let i = 1; i < 20; i++) driver.offer(0);
    let taken = 0;
    for (let round = 0; round < 3; round++) while (queue.pop() !== undefined) taken++;
    expect(taken).toBeLessThanOrEqual(8);
    expect(seen.broken).toHaveLength(1);
    const again = split();
    again.driver.add([part(0)]);
    for (let i = 0; i < 20; i++) {
      again.queue.pop();
      again.driver.offer(0);
    }
    expect([again.queue.inFlight.length, again.seen.broken.length]).toEqual([8, 1]);
  });

  it('gives up on loops, on descriptors that do not exist and on rings that overflow', () => {
    const cases: ((driver: DriverQueue, memory: LinearMemory) => void)[] = [
      (driver) => {
        driver.descriptor(RINGS, DATA, 16, DESCRIPTOR_NEXT, 1);
        driver.descriptor(RINGS + 16, DATA, 16, DESCRIPTOR_NEXT, 0);
        driver.offer(0);
      },
      (driver) => driver.offer(8),
      (driver) => {
        driver.descriptor(RINGS, DATA, 16, DESCRIPTOR_NEXT, 0xffff);
        driver.offer(0);
      },
      (driver, memory) => memory.writeU16(driver.place.driver + 2, 9),
    ];
    for (const prepare of cases) {
      const { driver, queue, memory, seen } = split();
      prepare(driver, memory);
      expect([queue.pop(), seen.broken.length]).toEqual([undefined, 1]);
    }
  });
  it('takes direct descriptors before an indirect table, but no table in a table', () => {
    const { driver, queue, seen } = split({ indirect: true });
    driver.descriptor(RINGS, DATA, 16, DESCRIPTOR_NEXT, 1);
    driver.descriptor(RINGS + 16, DATA + 0x100, 16, DESCRIPTOR_INDIRECT, 0);
    driver.descriptor(DATA + 0x100, DATA, 5, DESCRIPTOR_WRITE, 0);
    driver.offer(0);
    const chain = queue.pop()!;
    expect([chain.readable.bytes, chain.writable.bytes]).toEqual([16, 5]);
    driver.descriptor(DATA + 0x100, DATA + 0x200, 16, DESCRIPTOR_INDIRECT, 0);
    driver.offer(0);
    expect([queue.pop(), seen.broken.length]).toEqual([undefined, 1]);
  });
});
