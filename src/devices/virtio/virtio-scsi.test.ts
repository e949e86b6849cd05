import { describe, expect, it } from 'vitest';
import { LinearMemory } from '../../memory/linear-memory.ts';
import { MemoryDisk, settled } from '../storage/memory-disk.test-support.ts';
import { DriverQueue } from './driver-queue.test-support.ts';
import { SplitRing } from './split-ring.ts';
import { VirtioScsi } from './virtio-scsi.ts';
import { Virtqueue } from './virtqueue.ts';

const HEADER = 0x80000;
const RESPONSE = 0x81000;
const DATA = 0x82000;
const SENSE = 96;

/** Two disks, of which the second is read-only, and what a driver needs. */
function make() {
  const disks = [new MemoryDisk(64 * 512), new MemoryDisk(32 * 512, true)] as const;
  const device = new VirtioScsi(disks.map((block, i) => ({ block, serial: `serial-${i}` })));
  const memory = new LinearMemory(1 << 20);
  const broken: string[] = [];
  const drivers = device.queueSizes.map((_, i) => new DriverQueue(memory, 'split', 0x10000 * (i + 1), 8));
  const queues = drivers.map((driver) => new Virtqueue(new SplitRing(memory, driver.place), 8, { interrupt: () => {}, broken: (reason) => void broken.push(reason) }));
  device.start({ features: 0n, begins: true, queues, configChanged: () => {} });
  const bytes = (address: number, length: number): Uint8Array => {
    const target = new Uint8Array(length);
    memory.read(address, target);
    return target;
  };
  const control = async (...words: readonly [number, Uint8Array | number][]): Promise<number[]> => {
    let at = 0;
    for (const [length, value] of words) {
      memory.write(HEADER + at, typeof value === 'number' ? Uint8Array.of(value, 0, 0, 0).subarray(0, length) : value);
      at += length;
    }
    drivers[0]!.add([{ address: HEADER, length: at }, { address: RESPONSE, length: 5, write: true }]);
    device.notified(0);
    await settled();
    const [used] = drivers[0]!.take();
    return [...bytes(RESPONSE, used?.written ?? 0)];
  };
  /** Status, response, sense and data of a command; `data`: to the guest (a length) or from it. */
  const command = async (cdb: readonly number[], data: number | Uint8Array = 0, target = 0, unit = 0) => {
    const header = new Uint8Array(51);
    header.set([1, target, 0x40, unit]);
    header.set(cdb, 19);
    memory.write(HEADER, header);
    memory.write(RESPONSE, new Uint8Array(12 + SENSE).fill(0xee));
    if (typeof data !== 'number') memory.write(DATA, data);
    const [length, write] = typeof data === 'number' ? [data, true] : [data.length, false];
    const payload = length === 0 ? [] : [{ address: DATA, length, write }];
    const response = { address: RESPONSE, length: 12 + SENSE, write: true };
    drivers[2]!.add(write ? [{ address: HEADER, length: 51 }, response, ...payload] : [{ address: HEADER, length: 51 }, ...payload, response]);
    device.notified(2);
    await settled();
    const used = drivers[2]!.take();
    const view = new DataView(bytes(RESPONSE, 12).buffer);
    const sense = bytes(RESPONSE + 12, Math.min(view.getUint32(0, true), SENSE));
    return {
      used: used[0]?.written, status: view.getUint8(10), response: view.getUint8(11), residual: view.getUint32(4, true),
      sense: sense.length === 0 ? undefined : [sense[2], sense[12], sense[13]], data: bytes(DATA, write ? length : 0),
    };
  };
  return { device, disks, memory, drivers, broken, command, control };
}

async function ready() {
  const t = make();
  for (const target of [0, 1]) await t.command([0], 0, target);
  return t;
}

describe('virtio-scsi', () => {
  it('says once that it was switched on, and then that it is ready', async () => {
    const t = make();
    expect((await t.command([0x12, 0, 0, 0, 36], 36)).status).toBe(0);
    expect(await t.command([0])).toMatchObject({ status: 2, sense: [6, 0x29, 0], residual: 0 });
    expect(await t.command([0])).toMatchObject({ status: 0, response: 0, sense: undefined, used: 108 });
  });

  it('says what it is', async () => {
    const t = await ready();
    const { data } = await t.command([0x12, 0, 0, 0, 36], 36);
    expect(Buffer.from(data.subarray(8)).toString()).toBe('POLYVSR Polyvisor disk  1.0 ');
    expect(Buffer.from((await t.command([0x12, 1, 0x80, 0, 255], 255, 1)).data.subarray(4, 12)).toString()).toBe('serial-1');
    expect((await t.command([0x12, 1, 0xc0, 0, 255], 255)).sense).toEqual([5, 0x24, 0]);
    expect([...(await t.command([0x25], 8)).data]).toEqual([0, 0, 0, 63, 0, 0, 2, 0]);
    const capacity = await t.command([0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32], 40);
    expect([capacity.residual, capacity.used, capacity.data[7], capacity.data[14]]).toEqual([8, 140, 63, 0xc0]);
    expect((await t.command([0x1a, 8, 0x3f, 0, 255], 255, 1)).data[2]).toBe(0x90);
    expect((await t.command([0x1a, 8, 0x08, 0, 255], 255)).data.subarray(0, 7)).toEqual(Uint8Array.of(23, 0, 0x10, 0, 8, 18, 4));
    expect((await t.command([0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 16], 16)).data[3]).toBe(8);
  });

  it('reads and writes with commands of every length', async () => {
    const t = await ready();
    const { contents } = t.disks[0];
    for (const cdb of [[0x08, 0, 0, 3, 2], [0x28, 0, 0, 0, 0, 3, 0, 0, 2], [0xa8, 0, 0, 0, 0, 3, 0, 0, 0, 2], [0x88, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 2]]) {
      expect((await t.command(cdb, 1024)).data).toEqual(contents.slice(3 * 512, 5 * 512));
    }
    const written = new Uint8Array(512).map((_, i) => i * 3);
    const writes = [[0x0a, 0, 0, 7, 1], [0x2a, 0, 0, 0, 0, 8, 0, 0, 1], [0xaa, 8, 0, 0, 0, 9, 0, 0, 0, 1], [0x8a, 0, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 1], [0x2e, 0, 0, 0, 0, 11, 0, 0, 1]];
    for (const cdb of writes) expect(await t.command(cdb, written)).toMatchObject({ status: 0, residual: 0 });
    for (const sector of [7, 8, 9, 10, 11]) expect(contents.slice(sector * 512, sector * 512 + 512)).toEqual(written);
    expect(t.disks[0].log.filter((line) => line === 'flush')).toHaveLength(2); // force unit access, and verify
    await t.command([0x35]);
    expect(t.disks[0].log.at(-1)).toBe('flush');
  });

  it('lets sectors go', async () => {
    const t = await ready();
    const list = new Uint8Array(24);
    list.set([0, 22, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 20, 0, 0, 0, 4]);
    expect(await t.command([0x42, 0, 0, 0, 0, 0, 0, 0, 24], list)).toMatchObject({ status: 0 });
    await t.command([0x93, 8, 0, 0, 0, 0, 0, 0, 0, 30, 0, 0, 0, 2], new Uint8Array(512));
    await t.command([0x93, 9, 0, 0, 0, 0, 0, 0, 0, 40, 0, 0, 0, 1]);
    expect(t.disks[0].log.slice(-3)).toEqual(['zero 10240 2048', 'zero 15360 1024', 'zero 20480 512']);
    expect((await t.command([0x93, 8, 0, 0, 0, 0, 0, 0, 0, 30, 0, 0, 0, 2], new Uint8Array(512).fill(1))).sense).toEqual([5, 0x24, 0]);
    list[15] = 62;
    expect((await t.command([0x42, 0, 0, 0, 0, 0, 0, 0, 24], list)).sense).toEqual([5, 0x21, 0]);
  });

  it('refuses what it cannot do, with the reason', async () => {
    const t = await ready();
    expect((await t.command([0x28, 0, 0, 0, 0, 63, 0, 0, 2], 1024)).sense).toEqual([5, 0x21, 0]);
    expect((await t.command([0x88, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 2], 1024)).sense).toEqual([5, 0x21, 0]);
    expect((await t.command([0xff])).sense).toEqual([5, 0x20, 0]);
    expect((await t.command([0x2a, 0, 0, 0, 0, 0, 0, 0, 1], new Uint8Array(512), 1)).sense).toEqual([7, 0x27, 0]);
    expect(await t.command([0], 0, 2)).toMatchObject({ response: 3, status: 0 });
    expect((await t.command([0], 0, 0, 1)).sense).toEqual([5, 0x25, 0]);
    expect((await t.command([0x12, 0, 0, 0, 36], 36, 0, 1)).data[0]).toBe(0x7f);
    t.disks[0].fail = true;
    expect((await t.command([0x28, 0, 0, 0, 0, 0, 0, 0, 1], 512)).sense).toEqual([3, 0x11, 0]);
    expect((await t.command([0x2a, 0, 0, 0, 0, 0, 0, 0, 1], new Uint8Array(512))).sense).toEqual([3, 0x0c, 0]);
  });

  it('moves what there is room for, and says how much is left', async () => {
    const t = await ready();
    expect(await t.command([0x28, 0, 0, 0, 0, 0, 0, 0, 2], 512)).toMatchObject({ status: 0, residual: 0 });
    expect(await t.command([0x28, 0, 0, 0, 0, 0, 0, 0, 1], 1024)).toMatchObject({ status: 0, residual: 512, used: 108 + 512 });
  });

  it('manages tasks: waits for those under way, and tells of a reset', async () => {
    const t = await ready();
    t.disks[0].hold();
    const reading = t.command([0x28, 0, 0, 0, 0, 0, 0, 0, 1], 512);
    await settled();
    const lun = Uint8Array.of(1, 0, 0x40, 0, 0, 0, 0, 0);
    const id = new Uint8Array(8);
    expect(await t.control([4, 0], [4, 5], [8, lun], [8, id])).toEqual([]);
    t.disks[0].release();
    await reading;
    await settled();
    expect(t.drivers[0]!.take()).toMatchObject([{ written: 1 }]);
    expect((await t.command([0])).sense).toEqual([6, 0x29, 3]);
    expect(await t.control([4, 0], [4, 0], [8, Uint8Array.of(1, 9, 0x40, 0, 0, 0, 0, 0)], [8, id])).toEqual([3]);
    expect(await t.control([4, 0], [4, 77], [8, lun], [8, id])).toEqual([11]);
    expect(await t.control([4, 2], [8, lun], [4, 1])).toEqual([0, 0, 0, 0, 0]);
    expect(t.broken).toEqual([]);
    await t.control([4, 9], [8, lun]);
    expect(t.broken).toEqual(['a control request of type 9 is not known']);
  });

  it('has sizes that the driver may change until a reset, and a state', async () => {
    const t = await ready();
    t.device.writeConfig(20, 4, 18);
    t.device.writeConfig(24, 4, 16);
    t.device.writeConfig(0, 4, 9);
    const state = t.device.save();
    const other = make();
    other.device.load(state);
    expect(other.device.save()).toEqual(state);
    expect([...other.device.config.subarray(16, 28)]).toEqual([0, 0, 0, 0, 18, 0, 0, 0, 16, 0, 0, 0]);
    expect(other.device.config[0]).toBe(2);
    t.device.stop();
    expect([...t.device.config.subarray(20, 28)]).toEqual([96, 0, 0, 0, 32, 0, 0, 0]);
    expect(() => other.device.load({ senseSize: 1, commandSize: 1, disks: [] })).toThrow('0 disks');
  });
});
