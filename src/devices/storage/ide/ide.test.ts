import { isDeepStrictEqual } from 'node:util';
import { describe, expect, it } from 'vitest';
import { StateError } from '../../../base/errors.ts';
import { LinearMemory } from '../../../memory/linear-memory.ts';
import type { IdeMedium } from './ide-channel.ts';
import { MemoryDisk, settled } from '../memory-disk.test-support.ts';
import { PiixIde } from './piix-ide.ts';

const SECTOR = 512;
const BSY = 0x80;
const DRQ = 0x08;
const ERR = 0x01;

function make(media: readonly (IdeMedium | undefined)[]) {
  const memory = new LinearMemory(1 << 20);
  const irq = { high: false, edges: 0 };
  const line = { kind: 'level' as const, set: (high: boolean) => {
    if (high && !irq.high) irq.edges++;
    irq.high = high;
  } };
  const ide = new PiixIde({ memory, lines: [line, { kind: 'level', set: () => {} }], media });
  const [channel] = ide.channels;
  const { commandBlock: command, controlBlock: control, busMaster } = channel;
  const out = (offset: number, value: number) => command.write(offset, 1, value);
  const status = () => control.read(0, 1);
  /** A command with a 28-bit address, first drive. */
  const lba = (code: number, sector: number, count: number) => {
    [count, sector, sector >> 8, sector >> 16, 0xe0 | (sector >> 24)].forEach((value, i) => out(2 + i, value & 0xff));
    out(7, code);
  };
  const lba48 = (code: number, sector: number, count: number) => {
    out(6, 0x40);
    [count >> 8, sector >>> 24, 0, 0, count, sector, sector >> 8, sector >> 16].forEach((value, i) => out(2 + (i & 3), value & 0xff));
    out(7, code);
  };
  const take = (bytes: number) => {
    const data = new Uint8Array(bytes);
    for (let i = 0; i < bytes; i += 2) {
      const word = command.read(0, 2);
      data[i] = word;
      data[i + 1] = word >> 8;
    }
    return data;
  };
  const give = (data: Uint8Array) => {
    for (let i = 0; i < data.length; i += 2) command.write(0, 2, data[i]! | (data[i + 1]! << 8));
  };
  const acknowledge = () => command.read(7, 1);
  /** Region table at 1000h: each [address, bytes]. */
  const dma = (regions: readonly (readonly [number, number])[], toMemory: boolean) => {
    regions.forEach(([address, bytes], i) => {
      memory.writeU32(0x1000 + 8 * i, address);
      memory.writeU32(0x1004 + 8 * i, ((bytes & 0xffff) | (i === regions.length - 1 ? 0x80000000 : 0)) >>> 0);
    });
    busMaster.registers.write(4, 4, 0x1000);
    busMaster.registers.write(0, 1, toMemory ? 9 : 1);
  };
  return { memory, irq, ide, command, control, busMaster, out, status, lba, lba48, take, give, acknowledge, dma };
}

const disk = (block: MemoryDisk): IdeMedium => ({ kind: 'disk', block, name: 'test' });

describe('hard disk', () => {
  it('identifies itself', () => {
    const { lba, status, take, acknowledge, irq } = make([{ kind: 'disk', name: 'test', block: { ...new MemoryDisk(0), bytes: 300 << 20 } as unknown as MemoryDisk }]);
    lba(0xec, 0, 0);
    expect([status() & (BSY | DRQ), irq.high]).toEqual([DRQ, true]);
    acknowledge();
    expect(irq.high).toBe(false);
    const bytes = take(512);
    const words = new Uint16Array(bytes.buffer);
    expect([words[60]! | (words[61]! << 16), words[100]! | (words[101]! << 16), words[49]! & 0x300]).toEqual([614400, 614400, 0x300]);
    expect(String.fromCharCode(...Array.from(words.subarray(27, 34), (word) => [word >> 8, word & 0xff]).flat())).toBe('Polyvisor disk');
    expect([status() & (BSY | DRQ), irq.edges]).toEqual([0, 1]);
  });

  it('reads sector by sector, an interrupt for each', async () => {
    const block = new MemoryDisk(64 * SECTOR);
    const { lba, status, take, acknowledge, irq } = make([disk(block)]);
    lba(0x20, 5, 3);
    expect(status()).toBe(BSY);
    await settled();
    for (let i = 0; i < 3; i++) {
      expect([status() & (BSY | DRQ), irq.high, irq.edges]).toEqual([DRQ, true, i + 1]);
      acknowledge();
      expect(Buffer.from(take(SECTOR)).equals(block.contents.subarray((5 + i) * SECTOR, (6 + i) * SECTOR))).toBe(true);
    }
    expect([status() & (BSY | DRQ | ERR), irq.edges]).toEqual([0, 3]);
    expect(block.log).toEqual(['read 2560 1536']);
  });

  it('writes by PIO in blocks of several sectors, and flushes', async () => {
    const block = new MemoryDisk(64 * SECTOR);
    const { lba, status, give, acknowledge, irq } = make([disk(block)]);
    lba(0xc6, 0, 4);
    acknowledge();
    lba(0xc5, 9, 6);
    const data = Uint8Array.from({ length: 6 * SECTOR }, (_, i) => i * 3);
    expect([status() & DRQ, irq.high]).toEqual([DRQ, false]);
    give(data.subarray(0, 4 * SECTOR));
    expect([status() & DRQ, irq.high]).toEqual([DRQ, true]);
    acknowledge();
    give(data.subarray(4 * SECTOR));
    expect(status()).toBe(BSY);
    await settled();
    expect([status() & (BSY | DRQ | ERR), irq.high]).toEqual([0, true]);
    expect(Buffer.from(block.contents.subarray(9 * SECTOR, 15 * SECTOR)).equals(data)).toBe(true);
    lba(0xe7, 0, 0);
    await settled();
    expect(block.log.at(-1)).toBe('flush');
  });

  it('moves data by DMA, more than fits one request, through a scattered table', async () => {
    const block = new MemoryDisk(1024 * SECTOR);
    const { memory, lba48, dma, busMaster, status, acknowledge, irq } = make([disk(block)]);
    lba48(0x25, 100, 300);
    dma([[0x20000, 0x10000], [0x40000, 0x8000], [0x50001, 0xd800]], true);
    await settled();
    expect([busMaster.registers.read(2, 1), irq.edges, acknowledge() & (BSY | DRQ | ERR)]).toEqual([4, 1, 0]);
    const read = new Uint8Array(300 * SECTOR);
    memory.read(0x20000, read.subarray(0, 0x10000));
    memory.read(0x40000, read.subarray(0x10000, 0x18000));
    memory.read(0x50000, read.subarray(0x18000));
    expect(Buffer.from(read).equals(block.contents.subarray(100 * SECTOR, 400 * SECTOR))).toBe(true);
    busMaster.registers.write(0, 1, 0);
    busMaster.registers.write(2, 1, 4);
    lba48(0x35, 600, 300);
    dma([[0x20000, 0x10000], [0x40000, 0x8000], [0x50000, 0xd800]], false);
    await settled();
    expect([busMaster.registers.read(2, 1), status() & (BSY | DRQ | ERR)]).toEqual([4, 0]);
    expect(Buffer.from(read).equals(block.contents.subarray(600 * SECTOR, 900 * SECTOR))).toBe(true);
  });

  it('a table shorter than the transfer stops the bus master, a longer one leaves it active', async () => {
    const { lba, dma, busMaster, status } = make([disk(new MemoryDisk(64 * SECTOR))]);
    lba(0xc8, 0, 4);
    dma([[0x20000, 1024]], true);
    await settled();
    expect([busMaster.registers.read(2, 1), status() & DRQ]).toEqual([0, DRQ]);
    busMaster.registers.write(0, 1, 0);
    const other = make([disk(new MemoryDisk(64 * SECTOR))]);
    other.lba(0xc8, 0, 1);
    other.dma([[0x20000, 1024]], true);
    await settled();
    expect(other.busMaster.registers.read(2, 1)).toBe(5);
  });

  it('refuses what lies outside, unknown commands, writes when read-only, and tells of damage', async () => {
    const block = new MemoryDisk(64 * SECTOR, true);
    const { lba, lba48, status, command, acknowledge } = make([disk(block)]);
    const error = () => [acknowledge() & ERR, command.read(1, 1)];
    lba(0x20, 63, 2);
    expect(error()).toEqual([ERR, 0x10]);
    lba48(0x25, 0xffffff00, 65535);
    expect(error()).toEqual([ERR, 0x10]);
    lba(0x30, 0, 1);
    expect(error()).toEqual([ERR, 0x04]);
    lba(0xf5, 0, 1);
    expect(error()).toEqual([ERR, 0x04]);
    lba(0xc4, 0, 1);
    expect(error()).toEqual([ERR, 0x04]);
    block.fail = true;
    lba(0x20, 7, 1);
    await settled();
    expect([error(), command.read(3, 1), status() & DRQ]).toEqual([[ERR, 0x40], 7, 0]);
  });

  it('addresses cylinders, heads and sectors as it was told', async () => {
    const block = new MemoryDisk(4096 * SECTOR);
    const { out, acknowledge, command } = make([disk(block)]);
    out(2, 17);
    out(6, 0xa0 | 3);
    out(7, 0x91);
    acknowledge();
    [1, 5, 2, 0, 0xa0 | 1].forEach((value, i) => out(2 + i, value));
    out(7, 0x20);
    await settled();
    expect(block.log).toEqual([`read ${((2 * 4 + 1) * 17 + 4) * SECTOR} 512`]);
    for (let i = 0; i < 256; i++) command.read(0, 2);
    [1, 0, 2, 0, 0xa0].forEach((value, i) => out(2 + i, value));
    out(7, 0x20);
    expect(acknowledge() & ERR).toBe(ERR);
  });

  it('a reset ends what is under way, and shows the signature', async () => {
    const block = new MemoryDisk(64 * SECTOR);
    const { lba, control, status, command, irq } = make([disk(block)]);
    block.hold();
    lba(0x20, 0, 1);
    control.write(0, 1, 4);
    expect(status()).toBe(BSY);
    control.write(0, 1, 0);
    block.release();
    await settled();
    expect([status(), command.read(1, 1), command.read(2, 1), command.read(3, 1), command.read(4, 1), command.read(5, 1), irq.edges]).toEqual([0x50, 1, 1, 1, 0, 0, 0]);
  });

  it('nobody answers for an empty cable, and the only drive for its absent neighbour', () => {
    const { ide, out, status, command } = make([disk(new MemoryDisk(64 * SECTOR))]);
    expect(ide.channels[1].commandBlock.read(7, 1)).toBe(0x7f);
    out(6, 0xb0);
    out(7, 0xec);
    expect([status(), command.read(6, 1)]).toEqual([0, 0xb0]);
  });
});

describe('CD-ROM', () => {
  const cd = (block: MemoryDisk) => make([{ kind: 'cdrom', block }]);
  const packet = (made: ReturnType<typeof make>, bytes: readonly number[], limit = 0xfffe, dma = false) => {
    made.out(1, dma ? 1 : 0);
    made.out(4, limit & 0xff);
    made.out(5, limit >> 8);
    made.out(6, 0xa0);
    made.out(7, 0xa0);
    made.give(Uint8Array.from([...bytes, ...new Array<number>(12 - bytes.length).fill(0)]));
  };
  const length = (made: ReturnType<typeof make>) => made.command.read(4, 1) | (made.command.read(5, 1) << 8);

  it('reads in blocks of the size that the guest takes', async () => {
    const block = new MemoryDisk(100 * 2048, true);
    const made = cd(block);
    packet(made, [0x28, 0, 0, 0, 0, 10, 0, 0, 3], 4096);
    await settled();
    const got: Uint8Array[] = [];
    for (const expected of [4096, 2048]) {
      expect([made.irq.high, made.acknowledge() & (BSY | DRQ), made.command.read(2, 1), length(made)]).toEqual([true, DRQ, 2, expected]);
      got.push(made.take(expected));
    }
    expect([made.irq.high, made.acknowledge() & (BSY | DRQ | ERR), made.command.read(2, 1)]).toEqual([true, 0, 3]);
    expect(Buffer.concat(got).equals(block.contents.subarray(10 * 2048, 13 * 2048))).toBe(true);
  });

  it('reads by DMA', async () => {
    const block = new MemoryDisk(100 * 2048, true);
    const made = cd(block);
    packet(made, [0xa8, 0, 0, 0, 0, 1, 0, 0, 0, 80], 0, true);
    made.dma([[0x20000, 0x10000], [0x30000, 0x10000], [0x40000, 0x8000]], true);
    await settled();
    const read = new Uint8Array(80 * 2048);
    made.memory.read(0x20000, read);
    expect(Buffer.from(read).equals(block.contents.subarray(2048, 81 * 2048))).toBe(true);
    expect([made.busMaster.registers.read(2, 1), made.acknowledge() & ERR, made.irq.edges]).toEqual([4, 0, 1]);
  });

  it('tells capacity, contents and what it is', async () => {
    const made = cd(new MemoryDisk(100 * 2048, true));
    packet(made, [0x25]);
    expect([...made.take(8)]).toEqual([0, 0, 0, 99, 0, 0, 8, 0]);
    packet(made, [0x43, 2, 0, 0, 0, 0, 0, 0, 20]);
    expect([...made.take(20)]).toEqual([0, 18, 1, 1, 0, 0x14, 1, 0, 0, 0, 2, 0, 0, 0x14, 0xaa, 0, 0, 0, 3, 25]);
    packet(made, [0x12, 0, 0, 0, 36]);
    expect(String.fromCharCode(...made.take(36).subarray(8))).toBe('POLYVSR CD-ROM          1.0 ');
    made.out(7, 0xec);
    expect([made.acknowledge() & ERR, made.command.read(4, 1), made.command.read(5, 1)]).toEqual([ERR, 0x14, 0xeb]);
    made.out(7, 0xa1);
    expect(made.take(2)).toEqual(Uint8Array.of(0x80, 0x85));
  });

  it('says what was wrong when it is asked', async () => {
    const block = new MemoryDisk(100 * 2048, true);
    const made = cd(block);
    const sense = () => {
      expect(made.acknowledge() & ERR).toBe(ERR);
      packet(made, [0x03, 0, 0, 0, 18]);
      const bytes = made.take(18);
      return [bytes[2], bytes[12]];
    };
    packet(made, [0x28, 0, 0, 0, 0, 99, 0, 0, 2]);
    expect(sense()).toEqual([5, 0x21]);
    packet(made, [0x04]);
    expect(sense()).toEqual([5, 0x20]);
    packet(made, [0x1b, 0, 0, 0, 2]);
    packet(made, [0x00]);
    expect(sense()).toEqual([2, 0x3a]);
    packet(made, [0x1b, 0, 0, 0, 3]);
    packet(made, [0x00]);
    expect(sense()).toEqual([6, 0x28]);
    packet(made, [0x00]);
    expect(made.acknowledge() & ERR).toBe(0);
    block.fail = true;
    packet(made, [0x28, 0, 0, 0, 0, 0, 0, 0, 1]);
    await settled();
    expect(sense()).toEqual([3, 0x11]);
  });
});

describe('change of the disc', () => {
  const packet = (made: ReturnType<typeof make>, ...bytes: readonly number[]) => {
    for (const [offset, value] of [[1, 0], [4, 0xfe], [5, 0xff], [6, 0xa0], [7, 0xa0]] as const) made.out(offset, value);
    made.give(Uint8Array.from([...bytes, ...new Array<number>(12 - bytes.length).fill(0)]));
  };
  const sense = (made: ReturnType<typeof make>) => {
    if ((made.acknowledge() & ERR) === 0) return 'good';
    packet(made, 0x03, 0, 0, 0, 18);
    const bytes = made.take(18);
    return [bytes[2], bytes[12]];
  };
  const event = (made: ReturnType<typeof make>) => {
    packet(made, 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8);
    return [...made.take(8).subarray(4, 6)];
  };
  const discs = [new MemoryDisk(100 * 2048, true), new MemoryDisk(50 * 2048, true)] as const;

  it('is told to guests that ask, and to the next command', async () => {
    const made = make([{ kind: 'cdrom', block: undefined }]);
    const drive = made.ide.cdrom!;
    packet(made, 0x25);
    expect([sense(made), event(made)]).toEqual([[2, 0x3a], [0, 0]]);
    drive.change(discs[0]);
    expect([event(made), event(made)]).toEqual([[2, 2], [0, 2]]);
    packet(made, 0x00);
    expect(sense(made)).toEqual([6, 0x28]);
    packet(made, 0x25);
    expect([...made.take(8)]).toEqual([0, 0, 0, 99, 0, 0, 8, 0]);
    drive.change(discs[1]);
    packet(made, 0x00);
    expect(sense(made)).toEqual([6, 0x28]);
    packet(made, 0x25);
    expect([...made.take(8)]).toEqual([0, 0, 0, 49, 0, 0, 8, 0]);
    drive.change(undefined);
    expect(event(made)).toEqual([3, 0]);
    packet(made, 0x28, 0, 0, 0, 0, 0, 0, 0, 1);
    expect(sense(made)).toEqual([2, 0x3a]);
  });

  it('waits for a guest that keeps the drive shut, or pulls the disc from what is being read', async () => {
    const held = new MemoryDisk(100 * 2048, true);
    const made = make([{ kind: 'cdrom', block: held }]);
    const drive = made.ide.cdrom!;
    packet(made, 0x1e, 0, 0, 0, 1);
    expect(drive.locked).toBe(true);
    packet(made, 0x1b, 0, 0, 0, 2);
    expect(sense(made)).toEqual([5, 0x53]);
    drive.pressEject();
    expect(event(made)).toEqual([1, 2]);
    held.hold();
    packet(made, 0x28, 0, 0, 0, 0, 0, 0, 0, 1);
    drive.change(discs[1]);
    expect([made.status() & BSY, drive.locked]).toEqual([0, false]);
    held.release();
    await settled();
    expect(sense(made)).toEqual([2, 0x3a]);
    const other = make([{ kind: 'cdrom', block: discs[1] }]);
    other.ide.load(made.ide.save(), 2);
    expect(isDeepStrictEqual(other.ide.save(), made.ide.save())).toBe(true);
    packet(other, 0x00);
    expect(sense(other)).toEqual([6, 0x28]);
  });

  it('in the middle of a long read does not mix two discs', async () => {
    const made = make([{ kind: 'cdrom', block: discs[0] }]);
    packet(made, 0x28, 0, 0, 0, 0, 0, 0, 0, 80); // more than the host is asked for at once
    await settled();
    made.ide.cdrom!.change(discs[1]);
    for (let left = 0x20000; left > 0; left -= 2) made.command.read(0, 2);
    await settled();
    expect(sense(made)).toEqual([2, 0x3a]);
  });
});

describe('stored state', () => {
  it('goes on in the middle of a sector, and asks the host again for what was on its way', async () => {
    const block = new MemoryDisk(64 * SECTOR);
    const first = make([disk(block)]);
    first.lba(0x20, 3, 2);
    await settled();
    const head = first.take(100);
    const middle = make([disk(block)]);
    middle.ide.load(first.ide.save(), 2);
    expect(isDeepStrictEqual(middle.ide.save(), first.ide.save())).toBe(true);
    expect(middle.irq.high).toBe(true);
    expect(Buffer.concat([head, middle.take(924)]).equals(block.contents.subarray(3 * SECTOR, 5 * SECTOR))).toBe(true);

    block.hold();
    middle.lba(0x30, 20, 1);
    middle.give(new Uint8Array(SECTOR).fill(9));
    const state = middle.ide.save();
    const copy = new MemoryDisk(64 * SECTOR);
    const last = make([disk(copy)]);
    last.ide.load(state, 2);
    expect(last.status()).toBe(BSY);
    await settled();
    expect([last.status() & BSY, copy.contents[20 * SECTOR]]).toEqual([0, 9]);
  });

  it('is refused when it does not fit', () => {
    const one = make([disk(new MemoryDisk(64 * SECTOR))]);
    const other = make([undefined, disk(new MemoryDisk(64 * SECTOR))]);
    expect(() => one.ide.load(other.ide.save(), 2)).toThrow(StateError);
    expect(() => one.ide.load({ channels: [] }, 2)).toThrow(StateError);
  });
});
