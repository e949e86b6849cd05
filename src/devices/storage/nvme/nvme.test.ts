import { describe, expect, it } from 'vitest';
import { random } from '../../../../test/support/random.ts';
import { LinearMemory } from '../../../memory/linear-memory.ts';
import { ScatterList } from '../../../memory/scatter-list.ts';
import type { RegisterBlock } from '../../../wiring/register-block.ts';
import { PciBus } from '../../pci/pci-bus.ts';
import { MemoryDisk, settled } from '../memory-disk.test-support.ts';
import { STATUS } from './nvme-command.ts';
import { NvmeController } from './nvme-controller.ts';
import { readPrps } from './prp.ts';

const MIB = 1 << 20;
const ADMIN_SQ = 0x10000;
const ADMIN_CQ = 0x11000;
const IO_SQ = 0x12000;
const IO_CQ = 0x13000;
const DATA = 0x40000;
const ENTRIES = 8;

interface Answer {
  readonly id: number;
  readonly status: number;
  readonly result: number;
  readonly head: number;
}

/** A driver as small as can be. */
function make(disk = new MemoryDisk(4096 * 512), memory = new LinearMemory(2 * MIB)) {
  const messages: number[] = [];
  const line = { kind: 'level' as const, high: false, set: (high: boolean) => void (line.high = high) };
  const card = new NvmeController({ serial: 'serial-7', block: disk }, { memory, intx: line, log: { warn: () => {}, tracing: () => false, trace: () => {} }, messages: { send: (_, data) => void messages.push(data) } });
  let bar: RegisterBlock | undefined;
  const bus = new PciBus((change) => (bar = change.kind === 'map' ? change.block : undefined));
  bus.add(3, 0, card);
  const config = (offset: number, size: 1 | 2 | 4, value: number): void => bus.writeConfig(0, 3, 0, offset, size, value);
  const start = (): void => {
    config(0x10, 4, 0xe0000000);
    config(4, 2, 6);
  };
  const read = (offset: number): number => bar!.read(offset, 4);
  const write = (offset: number, value: number): void => bar!.write(offset, 4, value >>> 0);
  const place = { sq: [ADMIN_SQ, IO_SQ], cq: [ADMIN_CQ, IO_CQ], tail: [0, 0], head: [0, 0], phase: [1, 1] };
  let nextId = 1;
  const submit = (queue: 0 | 1, words: Readonly<Record<number, number>>): number => {
    const at = place.sq[queue]! + 64 * place.tail[queue]!;
    memory.write(at, new Uint8Array(64));
    for (const [index, value] of Object.entries(words)) memory.writeU32(at + 4 * Number(index), value >>> 0);
    memory.writeU16(at + 2, nextId);
    place.tail[queue] = (place.tail[queue]! + 1) % ENTRIES;
    write(0x1000 + 8 * queue, place.tail[queue]!);
    return nextId++;
  };
  const take = (queue: 0 | 1): Answer[] => {
    const found: Answer[] = [];
    for (;;) {
      const at = place.cq[queue]! + 16 * place.head[queue]!;
      const end = memory.readU16(at + 14);
      if ((end & 1) !== place.phase[queue]) break;
      found.push({ id: memory.readU16(at + 12), status: end >>> 1, result: memory.readU32(at), head: memory.readU16(at + 8) });
      place.head[queue] = (place.head[queue]! + 1) % ENTRIES;
      if (place.head[queue] === 0) place.phase[queue]! ^= 1;
    }
    return found;
  };
  const acknowledge = (queue: 0 | 1): void => write(0x1004 + 8 * queue, place.head[queue]!);
  const ask = async (queue: 0 | 1, words: Readonly<Record<number, number>>): Promise<Answer> => {
    const id = submit(queue, words);
    await settled();
    const answers = take(queue);
    expect(answers.map((answer) => answer.id)).toEqual([id]);
    acknowledge(queue);
    return answers[0]!;
  };
  const enable = (): void => {
    write(0x24, (ENTRIES - 1) * 0x10001);
    [ADMIN_SQ, 0, ADMIN_CQ, 0].forEach((word, i) => write(0x28 + 4 * i, word));
    write(0x14, 0x460001);
  };
  const createQueues = async (): Promise<void> => {
    expect((await ask(0, { 0: 5, 6: IO_CQ, 10: ((ENTRIES - 1) << 16) | 1, 11: (1 << 16) | 3 })).status).toBe(0);
    expect((await ask(0, { 0: 1, 6: IO_SQ, 10: ((ENTRIES - 1) << 16) | 1, 11: (1 << 16) | 1 })).status).toBe(0);
  };
  const bytes = (address: number, length: number): Uint8Array => {
    const target = new Uint8Array(length);
    memory.read(address, target);
    return target;
  };
  return { bus, disk, memory, messages, line, config, start, read, write, submit, take, acknowledge, ask, enable, createQueues, bytes, place };
}

async function ready(disk?: MemoryDisk) {
  const t = make(disk);
  t.start();
  t.enable();
  expect(t.read(0x1c)).toBe(1);
  await t.createQueues();
  return t;
}

describe('NVMe', () => {
  it('says what it is', async () => {
    const t = await ready();
    expect([t.read(8), t.read(0) & 0xffff]).toEqual([0x10400, 1023]);
    expect((await t.ask(0, { 0: 6, 6: DATA, 10: 1 })).status).toBe(0);
    expect(String.fromCharCode(...t.bytes(DATA + 4, 8))).toBe('serial-7');
    expect((await t.ask(0, { 0: 6, 1: 1, 6: DATA, 10: 0 })).status).toBe(0);
    expect(t.memory.readU32(DATA)).toBe(4096);
    expect((await t.ask(0, { 0: 6, 1: 2, 6: DATA, 10: 0 })).status).toBe(STATUS.invalidNamespace);
    expect((await t.ask(0, { 0: 6, 6: DATA, 10: 2 })).status).toBe(0);
    expect([t.memory.readU32(DATA), t.memory.readU32(DATA + 4)]).toEqual([1, 0]);
    expect((await t.ask(0, { 0: 9, 10: 7, 11: 0x00ff00ff })).result).toBe(0x00030003);
    expect((await t.ask(0, { 0: 2, 6: DATA, 10: (127 << 16) | 2 })).status).toBe(0);
    expect((await t.ask(0, { 0: 0x55 })).status).toBe(STATUS.invalidOpcode);
  });

  it('reads, writes, zeroes and flushes, over lists of pages', async () => {
    const t = await ready();
    const sectors = 40;
    // 20 KiB that begin in the middle of a page: one entry, then a list.
    const list = 0x30000;
    [0, 1, 2, 3, 4].forEach((page, i) => t.memory.writeU32(list + 8 * i, DATA + 0x10000 + 2 * 4096 * page));
    expect((await t.ask(1, { 0: 2, 1: 1, 6: DATA + 0x800, 8: list, 10: 8, 12: sectors - 1 })).status).toBe(0);
    const wanted = t.disk.contents.subarray(8 * 512, (8 + sectors) * 512);
    expect(t.bytes(DATA + 0x800, 0x800)).toEqual(wanted.slice(0, 0x800));
    for (const page of [0, 1, 2, 3]) expect(t.bytes(DATA + 0x10000 + 2 * 4096 * page, 4096)).toEqual(wanted.slice(0x800 + 4096 * page, 0x1800 + 4096 * page));
    expect(t.bytes(DATA + 0x10000 + 8 * 4096, 0x800)).toEqual(wanted.slice(0x4800));
    t.memory.write(DATA, new Uint8Array(8192).fill(0x5a));
    expect((await t.ask(1, { 0: 1, 1: 1, 6: DATA, 8: DATA + 4096, 10: 100, 12: 15 })).status).toBe(0);
    expect([...t.disk.contents.subarray(100 * 512, 116 * 512)].every((byte) => byte === 0x5a)).toBe(true);
    expect((await t.ask(1, { 0: 8, 1: 1, 10: 101, 12: 1 })).status).toBe(0);
    expect([100, 101, 102, 103].map((sector) => t.disk.contents[512 * sector])).toEqual([0x5a, 0, 0, 0x5a]);
    expect((await t.ask(1, { 0: 0, 1: 1 })).status).toBe(0);
    expect(t.disk.log.at(-1)).toBe('flush');
    expect((await t.ask(1, { 0: 1, 1: 1, 6: DATA, 10: 1, 12: 0x40000000 })).status).toBe(0);
    expect(t.disk.log.slice(-2)).toEqual(['write 512 512', 'flush']);
    expect((await t.ask(0, { 0: 9, 10: 6, 11: 0 })).status).toBe(0);
    await t.ask(1, { 0: 1, 1: 1, 6: DATA, 10: 1 });
    expect(t.disk.log.at(-1)).toBe('flush');
  });

  it('refuses what cannot be', async () => {
    const t = await ready();
    const status = async (words: Record<number, number>): Promise<number> => (await t.ask(1, { 1: 1, 6: DATA, ...words })).status;
    expect(await status({ 0: 2, 10: 4095, 12: 1 })).toBe(STATUS.outOfRange);
    expect(await status({ 0: 2, 10: 0, 11: 0xffffffff })).toBe(STATUS.outOfRange);
    expect(await status({ 0: 2, 6: DATA + 1 })).toBe(STATUS.invalidPrpOffset);
    expect(await status({ 0: 2, 6: DATA, 8: 0x1004, 12: 15 })).toBe(STATUS.invalidPrpOffset);
    expect(await status({ 0: 2, 6: 0xfffff000 })).toBe(STATUS.dataTransferError);
    expect(await status({ 0: 2, 8: 0xfffff000, 12: 100 })).toBe(STATUS.dataTransferError);
    expect(await status({ 0: 2, 12: 0x900 })).toBe(STATUS.invalidField); // more than 1 MiB
    expect(await status({ 0: 2 | (0x40 << 8) })).toBe(STATUS.invalidField);
    expect(await status({ 0: 0x99 })).toBe(STATUS.invalidOpcode);
    t.disk.fail = true;
    expect(await status({ 0: 2 })).toBe(STATUS.readError);
    expect(await status({ 0: 1 })).toBe(STATUS.writeFault);
    const u = await ready(new MemoryDisk(8192, true));
    expect((await u.ask(1, { 0: 1, 1: 1, 6: DATA })).status).toBe(STATUS.namespaceWriteProtected);
    expect((await u.ask(0, { 0: 5, 6: IO_CQ, 10: (7 << 16) | 1, 11: 1 })).status).toBe(STATUS.invalidQueueIdentifier);
    expect((await u.ask(0, { 0: 5, 6: 2 * MIB, 10: (7 << 16) | 2, 11: 1 })).status).toBe(STATUS.invalidField);
    expect((await u.ask(0, { 0: 5, 6: IO_CQ, 10: 2, 11: 1 })).status).toBe(STATUS.invalidQueueSize);
    expect((await u.ask(0, { 0: 1, 6: IO_SQ, 10: (7 << 16) | 2, 11: (3 << 16) | 1 })).status).toBe(STATUS.invalidCompletionQueue);
    expect((await u.ask(0, { 0: 4, 10: 1 })).status).toBe(STATUS.invalidQueueDeletion);
  });

  it('finds the pages of every transfer, or says why not', () => {
    const memory = new LinearMemory(2 * MIB);
    const whole = readPrps(memory, 0x1234 * 4, 0x2000 * 4, 4096) as ScatterList;
    expect(whole.pieces).toEqual([0x48d0, 0x730, 0x8000, 0x8d0]);
    // A list that begins in the last place of its page goes on where that place points.
    memory.writeU32(0x10ff8, 0x20000);
    for (let i = 0; i < 4; i++) memory.writeU32(0x20000 + 8 * i, 0x30000 + 0x1000 * i);
    const chained = readPrps(memory, 0x5000, 0x10ff8, 5 * 4096) as ScatterList;
    expect(chained.pieces).toEqual([0x5000, 4096, 0x30000, 4 * 4096]);
    memory.writeU32(0x10ff8, 0x10000); // to its own page: zeros, so page zero
    expect((readPrps(memory, 0x5000, 0x10ff8, 1 << 20) as ScatterList).bytes).toBe(1 << 20);
  });

  it('waits for room in the completion queue, and no more than the queue holds', async () => {
    const t = await ready();
    t.disk.hold();
    for (let i = 0; i < 7; i++) t.submit(1, { 0: 0, 1: 1 });
    await settled();
    expect(t.disk.log.length).toBe(7);
    t.disk.release();
    await settled();
    for (let round = 0; round < 9; round++) {
      for (let i = 0; i < 7; i++) t.submit(1, { 0: 0, 1: 1 });
      await settled();
    }
    // Seven answers in the ring, eight waiting; the driver has taken none.
    expect(t.disk.log.length).toBeLessThanOrEqual(7 + 8 + 8);
    expect(t.take(1)).toHaveLength(7);
    t.acknowledge(1);
    await settled();
    expect(t.take(1)).toHaveLength(7);
  });

  it('interrupts by its pin, with masks, and by messages', async () => {
    const t = await ready();
    expect(t.line.high).toBe(false);
    t.submit(1, { 0: 0, 1: 1 });
    await settled();
    expect(t.line.high).toBe(true);
    t.write(0x0c, 2);
    expect(t.line.high).toBe(false);
    t.write(0x10, 2);
    expect(t.line.high).toBe(true);
    t.take(1);
    t.acknowledge(1);
    expect([t.line.high, t.messages]).toEqual([false, []]);
    [0xfee00000, 0, 0x51, 0].forEach((word, i) => t.write(0x2010 + 4 * i, word));
    const msix = t.bus.readConfig(0, 3, 0, 0x34, 1);
    t.config(msix + 2, 2, 0x8000);
    await t.ask(1, { 0: 0, 1: 1 });
    expect([t.line.high, t.messages]).toEqual([false, [0x51]]);
  });

  it('reports wrong doorbells once, until the log was read', async () => {
    const t = await ready();
    const requests = [t.submit(0, { 0: 0x0c }), t.submit(0, { 0: 0x0c })];
    await settled();
    t.write(0x1000 + 8 * 3, 1);
    t.write(0x1000 + 8 * 3, 1);
    expect(t.take(0)).toMatchObject([{ id: requests[0], result: 0x10000 }]);
    t.acknowledge(0);
    t.write(0x1008, 8);
    expect(t.take(0)).toMatchObject([{ id: requests[1], result: 0x10100 }]);
  });

  it('is reset with commands in flight, which touch no memory afterwards', async () => {
    const t = await ready();
    t.disk.hold();
    t.submit(1, { 0: 2, 1: 1, 6: DATA });
    await settled();
    t.write(0x14, 0);
    expect(t.read(0x1c)).toBe(0);
    t.disk.release();
    await settled();
    expect(t.bytes(DATA, 512).every((byte) => byte === 0)).toBe(true);
    expect(t.take(1)).toEqual([]);
    t.write(0x28, 2 * MIB);
    t.write(0x14, 0x460001);
    expect(t.read(0x1c)).toBe(2); // fatal
    const u = await ready();
    u.write(0x14, 0x464001);
    await settled();
    expect([u.read(0x1c), u.disk.log]).toEqual([9, ['flush']]);
  });

  it('deletes a queue when its commands are done', async () => {
    const t = await ready();
    t.disk.hold();
    t.submit(1, { 0: 0, 1: 1 });
    await settled();
    const id = t.submit(0, { 0: 0, 10: 1 });
    await settled();
    expect(t.take(0)).toEqual([]);
    t.disk.release();
    await settled();
    expect(t.take(1)).toHaveLength(1);
    expect(t.take(0)).toMatchObject([{ id, status: 0 }]);
  });

  it('takes commands in flight along when it is saved', async () => {
    const t = await ready();
    t.submit(0, { 0: 0x0c });
    t.disk.hold();
    const id = t.submit(1, { 0: 2, 1: 1, 6: DATA, 10: 9 });
    await settled();
    const state = t.bus.save();
    const memory = new LinearMemory(2 * MIB);
    memory.load(t.memory.save(), 1);
    const u = make(new MemoryDisk(4096 * 512), memory);
    u.bus.load(state, 1);
    expect(u.bus.save()).toEqual(state);
    t.bus.halt();
    t.disk.fail = true;
    t.disk.release();
    await settled();
    expect(t.bus.save()).toEqual(state);
    expect(u.take(1)).toMatchObject([{ id, status: 0 }]);
    expect(u.bytes(DATA, 512)).toEqual(t.disk.contents.slice(9 * 512, 10 * 512));
  });

  it('survives whatever a driver does', async () => {
    const below = random(99);
    const t = await ready(new MemoryDisk(64 * 512));
    let answered = 0;
    for (let i = 0; i < 3000; i++) {
      const kind = below(20);
      if (kind === 0) t.write(below(0x1040) & ~3, below(2 ** 32));
      else if (kind === 1) t.write(0x1000 + 4 * below(12), below(12));
      else {
        const words: Record<number, number> = { 0: below(16) | (below(12) === 0 ? below(0x10000) << 8 : 0), 1: below(8) === 0 ? below(2 ** 32) : 1 };
        for (const word of [6, 8, 10, 11, 12, 13]) words[word] = [0, below(8), below(0x200000) & ~0xfff, below(2 ** 32)][below(4)]!;
        t.submit(below(2) as 0 | 1, words);
      }
      if (i % 10 === 9) {
        await settled();
        for (const queue of [0, 1] as const) {
          answered += t.take(queue).length;
          t.acknowledge(queue);
        }
        // Back to a working controller now and then: random writes stop it soon.
        if (i % 100 === 99) {
          t.write(0x14, 0);
          Object.assign(t.place, { tail: [0, 0], head: [0, 0], phase: [1, 1] });
          t.memory.write(ADMIN_SQ, new Uint8Array(0x4000));
          t.enable();
          await t.createQueues();
        }
      }
    }
    expect(answered).toBeGreaterThan(500);
  });
});
