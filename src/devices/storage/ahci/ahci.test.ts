import { describe, expect, it } from 'vitest';
import { random } from '../../../../test/support/random.ts';
import { LinearMemory } from '../../../memory/linear-memory.ts';
import type { RegisterBlock } from '../../../wiring/register-block.ts';
import { PciBus } from '../../pci/pci-bus.ts';
import { MemoryDisk, settled } from '../memory-disk.test-support.ts';
import { AhciController } from './ahci-controller.ts';

const MIB = 1 << 20;
const LIST = 0x10000;
const FIS = 0x11000;
const TABLES = 0x12000;
const DATA = 0x40000;
const PORT = 0x100;
const IS = PORT + 0x10;
const IE = PORT + 0x14;
const CMD = PORT + 0x18;
const TFD = PORT + 0x20;
const SACT = PORT + 0x34;
const CI = PORT + 0x38;

interface Request {
  readonly command: number;
  readonly lba?: number;
  readonly count?: number;
  readonly features?: number;
  readonly device?: number;
  readonly data?: readonly (readonly [address: number, length: number])[];
  /** Byte 1 and byte 15 of the frame. */
  readonly flags?: number;
  readonly control?: number;
}

/** A driver as small as can be. */
function make(disk = new MemoryDisk(4096 * 512), memory = new LinearMemory(2 * MIB)) {
  const messages: number[] = [];
  const line = { kind: 'level' as const, high: false, set: (high: boolean) => void (line.high = high) };
  const card = new AhciController([{ serial: 'serial-7', block: disk }], { memory, intx: line, messages: { send: (_, data) => void messages.push(data) } });
  let bar: RegisterBlock | undefined;
  const bus = new PciBus((change) => (bar = change.kind === 'map' ? change.block : undefined));
  bus.add(3, 0, card);
  const config = (offset: number, size: 1 | 2 | 4, value: number): void => bus.writeConfig(0, 3, 0, offset, size, value);
  const read = (offset: number): number => bar!.read(offset, 4) >>> 0;
  const write = (offset: number, value: number): void => bar!.write(offset, 4, value >>> 0);
  const start = (): void => {
    config(0x24, 4, 0xe0000000);
    config(4, 2, 6);
    write(4, 2);
    [LIST, 0, FIS, 0].forEach((word, i) => write(PORT + 4 * i, word));
    write(IE, 0xffffffff);
    write(CMD, 0x10);
    write(CMD, 0x11);
  };
  const prepare = (slot: number, request: Request): void => {
    const { command, lba = 0, count = 0, features = 0, device = 0x40, data = [], flags = 0x80, control = 0 } = request;
    const table = TABLES + 0x200 * slot;
    [5 | (data.length << 16), 0, table, 0].forEach((word, i) => memory.writeU32(LIST + 32 * slot + 4 * i, word));
    const byte = (n: number): number => Math.floor(lba / 2 ** (8 * n)) & 0xff;
    memory.write(table, Uint8Array.of(0x27, flags, command, features, byte(0), byte(1), byte(2), device, byte(3), byte(4), byte(5), features >> 8, count, count >> 8, 0, control, 0, 0, 0, 0));
    data.forEach(([address, length], i) => [address, 0, 0, length - 1].forEach((word, j) => memory.writeU32(table + 0x80 + 16 * i + 4 * j, word)));
  };
  const issue = (slot: number, request: Request, queued = false): void => {
    prepare(slot, queued ? { ...request, features: request.count ?? 0, count: slot << 3 } : request);
    if (queued) write(SACT, 1 << slot);
    write(CI, 1 << slot);
  };
  const bytes = (address: number, length: number): Uint8Array => {
    const target = new Uint8Array(length);
    memory.read(address, target);
    return target;
  };
  /** Status and error when it is done; what PRDBC says. */
  const ask = async (request: Request): Promise<readonly [taskFile: number, bytes: number]> => {
    issue(0, request);
    await settled();
    const result = [read(TFD), memory.readU32(LIST + 4)] as const;
    if (read(CI) !== 0) {
      // Failed: stop the port and start it again, as the specification wants.
      write(CMD, 0x10);
      write(CMD, 0x11);
    }
    write(IS, 0xffffffff);
    write(8, 1);
    return result;
  };
  return { bus, disk, memory, messages, line, config, start, read, write, issue, ask, bytes };
}

function ready(disk?: MemoryDisk) {
  const t = make(disk);
  t.start();
  t.write(PORT + 0x30, 0xffffffff);
  t.write(IS, 0xffffffff);
  t.write(8, 1);
  return t;
}

const GOOD = 0x50;
const ABORTED = 0x451;
const whole = (length: number) => [[DATA, length]] as const;

describe('AHCI', () => {
  it('shows a controller with a disk at its port', async () => {
    const t = make();
    t.start();
    expect([t.read(0) & 0x1f, t.read(0x0c), t.read(0x10)]).toEqual([0, 1, 0x10301]);
    expect([t.read(PORT + 0x24), t.read(PORT + 0x28), t.read(TFD)]).toEqual([0x101, 0x133, 0x150]);
    expect([...t.bytes(FIS + 0x40, 4)]).toEqual([0x34, 0, 0x50, 1]); // the disk's first frame
    // A link reset: no link while it lasts, then the frame again, and the change is noted until it is acknowledged.
    t.memory.write(FIS, new Uint8Array(0x100));
    t.write(PORT + 0x2c, 1);
    expect(t.read(PORT + 0x28)).toBe(0);
    t.write(PORT + 0x2c, 0);
    expect([t.read(PORT + 0x28), t.read(IS), t.bytes(FIS + 0x40, 1)[0]]).toEqual([0x133, 0x40, 0x34]);
    t.write(PORT + 0x30, 0xffffffff);
    expect(t.read(IS)).toBe(0);
    expect(t.read(0x104)).toBe(0);
  });

  it('identifies the disk', async () => {
    const t = ready();
    expect(await t.ask({ command: 0xec, data: whole(512) })).toEqual([GOOD, 512]);
    const data = t.bytes(DATA, 512);
    const word = (n: number): number => data[2 * n]! | (data[2 * n + 1]! << 8);
    expect([word(100), word(60), word(76) & 0x100]).toEqual([4096, 4096, 0x100]);
    expect(String.fromCharCode(...[0, 1, 2, 3].flatMap((i) => [word(10 + i) >> 8, word(10 + i) & 0xff]))).toBe('serial-7');
    expect(data.reduce((sum, byte) => sum + byte, 0) & 0xff).toBe(0);
    expect(t.bytes(FIS + 0x20, 1)[0]).toBe(0x5f);
  });

  it('reads and writes by PIO, DMA and queue, and flushes', async () => {
    const t = ready();
    const at = (sector: number, count: number): Uint8Array => t.disk.contents.slice(512 * sector, 512 * (sector + count));
    for (const command of [0x20, 0x24, 0x25, 0xc8]) {
      t.memory.write(DATA, new Uint8Array(2048));
      expect(await t.ask({ command, lba: 7, count: 3, data: [[DATA, 514], [DATA + 0x1000, 1022]] })).toEqual([GOOD, 1536]);
      expect(new Uint8Array([...t.bytes(DATA, 514), ...t.bytes(DATA + 0x1000, 1022)])).toEqual(at(7, 3));
    }
    for (const [i, command] of [0x30, 0x34, 0x35, 0xca, 0x3d].entries()) {
      t.memory.write(DATA, new Uint8Array(512).fill(i + 1));
      expect(await t.ask({ command, lba: 20 + i, count: 1, data: whole(512) })).toEqual([GOOD, 512]);
      expect(at(20 + i, 1)).toEqual(new Uint8Array(512).fill(i + 1));
    }
    expect(t.disk.log.at(-1)).toBe('flush'); // the last one forces unit access
    expect(await t.ask({ command: 0xea })).toEqual([GOOD, 0]);
    t.disk.hold();
    t.issue(3, { command: 0x60, lba: 9, count: 2, data: whole(1024) }, true);
    t.issue(5, { command: 0x61, lba: 40, count: 1, data: [[DATA + 0x2000, 512]] }, true);
    await settled();
    expect([t.read(CI), t.read(SACT)]).toEqual([0, (1 << 3) | (1 << 5)]);
    t.disk.release();
    await settled();
    expect([t.read(CI), t.read(SACT), t.read(TFD), t.read(IS)]).toEqual([0, 0, GOOD, 8]);
    expect(t.bytes(DATA, 1024)).toEqual(at(9, 2));
    expect(t.bytes(FIS + 0x58, 1)[0]).toBe(0xa1);
  });

  it('does other commands one after the other', async () => {
    const t = ready();
    t.disk.hold();
    for (const slot of [0, 1, 2]) t.issue(slot, { command: 0xe7 });
    await settled();
    expect([t.disk.log.length, t.read(CI), t.read(TFD) & 0x80]).toEqual([1, 7, 0x80]);
    t.disk.release();
    await settled();
    expect([t.disk.log.length, t.read(CI), t.read(TFD)]).toEqual([3, 0, GOOD]);
  });

  it('refuses what cannot be, and stands still until it is started anew', async () => {
    const t = ready();
    expect(await t.ask({ command: 0x25, lba: 4095, count: 2, data: whole(1024) })).toEqual([0x1051, 0]);
    expect(await t.ask({ command: 0x25, lba: 2 ** 47, count: 1, data: whole(512) })).toEqual([0x1051, 0]);
    expect(await t.ask({ command: 0x25, count: 2, data: whole(512) })).toEqual([ABORTED, 0]); // no room
    expect(await t.ask({ command: 0x25, count: 1, device: 0, data: whole(512) })).toEqual([ABORTED, 0]);
    expect(await t.ask({ command: 0x99 })).toEqual([ABORTED, 0]);
    expect(await t.ask({ command: 0xef, features: 0x99 })).toEqual([ABORTED, 0]);
    t.disk.fail = true;
    expect(await t.ask({ command: 0x25, count: 1, data: whole(512) })).toEqual([0x4051, 0]);
    t.disk.fail = false;
    t.issue(0, { command: 0x99 });
    await settled();
    expect([t.read(IS) >>> 0, t.read(CI)]).toEqual([0x40000001, 1]);
    t.issue(1, { command: 0xe7 });
    await settled();
    expect(t.read(CI)).toBe(3);
    const readOnly = ready(new MemoryDisk(8192, true));
    expect(await readOnly.ask({ command: 0x35, count: 1, data: whole(512) })).toEqual([ABORTED, 0]);
  });

  it('tells which queued command has failed', async () => {
    const t = ready();
    t.issue(4, { command: 0x60, lba: 5000, count: 1, data: whole(512) }, true);
    await settled();
    expect([t.read(SACT), t.read(TFD), t.read(IS) >>> 0]).toEqual([16, 0x1051, 0x40000008]);
    t.write(CMD, 0x10);
    t.write(CMD, 0x11);
    expect(await t.ask({ command: 0x2f, lba: 0x10, count: 1, data: whole(512) })).toEqual([GOOD, 512]);
    const page = t.bytes(DATA, 512);
    expect([page[0], page[2], page[3], page[4]! | (page[5]! << 8)]).toEqual([4, 0x51, 0x10, 5000]);
    // A tag that is not its slot's.
    t.issue(0, { command: 0x60, features: 1, count: 9 << 3, data: whole(512) });
    await settled();
    expect(t.read(TFD)).toBe(ABORTED);
  });

  it('takes slots that lie nowhere for what they are', async () => {
    const nowhere: ((t: ReturnType<typeof make>) => void)[] = [
      (t) => t.write(PORT, 2 * MIB),
      (t) => t.memory.writeU32(LIST + 8, 0xffffff80),
      (t) => t.memory.writeU32(LIST + 12, 0xffffffff),
      (t) => t.memory.write(TABLES, Uint8Array.of(0x46)),
    ];
    for (const spoil of nowhere) {
      const t = ready();
      t.write(CMD, 0x10); // prepare, do not start
      t.issue(0, { command: 0x25, count: 1, data: whole(512) });
      spoil(t);
      t.write(CMD, 0x11);
      t.write(CI, 1);
      await settled();
      expect([t.read(IS) & 0x20000000, t.disk.log]).toEqual([0x20000000, []]);
    }
  });

  it('looks at no memory that a command does not use', async () => {
    const t = ready();
    expect(await t.ask({ command: 0xe7, data: [[2 * MIB, 0x400000]] })).toEqual([GOOD, 0]);
    expect(await t.ask({ command: 0x25, count: 1, data: [[DATA, 512], [2 * MIB, 512]] })).toEqual([GOOD, 512]);
    expect(await t.ask({ command: 0x25, count: 2, data: [[DATA, 512], [2 * MIB, 512]] })).toEqual([ABORTED, 0]);
  });

  it('is reset by software, by frames and as a whole', async () => {
    const t = ready();
    t.issue(0, { command: 0, flags: 0, control: 4 });
    t.memory.write(FIS, new Uint8Array(0x100));
    t.issue(1, { command: 0, flags: 0, control: 0 });
    expect([t.read(CI), t.bytes(FIS + 0x40, 1)[0], t.read(TFD)]).toEqual([0, 0x34, 0x150]);
    t.disk.hold();
    t.issue(0, { command: 0x25, count: 1, data: whole(512) });
    await settled();
    t.write(4, 1);
    t.disk.release();
    await settled();
    expect([t.read(CI), t.read(CMD) & 0x11, t.read(4)]).toEqual([0, 0, 0x80000000]);
    expect(t.bytes(DATA, 512).every((byte) => byte === 0)).toBe(true);
    t.start();
    expect(await t.ask({ command: 0xe7 })).toEqual([GOOD, 0]);
  });

  it('interrupts by its pin and by a message', async () => {
    const t = ready();
    t.issue(0, { command: 0xe7 });
    await settled();
    expect([t.line.high, t.read(8), t.read(IS)]).toEqual([true, 1, 1]);
    t.write(8, 1); // the port still has its cause
    expect(t.line.high).toBe(true);
    t.write(IS, 1);
    t.write(8, 1);
    expect(t.line.high).toBe(false);
    const msi = t.bus.readConfig(0, 3, 0, 0x34, 1);
    t.config(msi + 4, 4, 0xfee00000);
    t.config(msi + 12, 2, 0x61);
    t.config(msi + 2, 2, 1);
    t.issue(0, { command: 0xe7 });
    await settled();
    expect([t.line.high, t.messages]).toEqual([false, [0x61]]);
  });

  it('takes commands at work along when it is saved', async () => {
    for (const queued of [false, true]) {
      const t = ready();
      t.disk.hold();
      t.issue(2, { command: queued ? 0x60 : 0x25, lba: 11, count: 1, data: whole(512) }, queued);
      t.issue(3, { command: queued ? 0x60 : 0x25, lba: 12, count: 1, data: [[DATA + 512, 512]] }, queued);
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
      expect([u.read(CI), u.read(SACT), u.line.high]).toEqual([0, 0, true]);
      expect(u.bytes(DATA, 1024)).toEqual(t.disk.contents.slice(11 * 512, 13 * 512));
    }
  });

  it('survives whatever a driver does', async () => {
    const below = random(4242);
    const t = ready(new MemoryDisk(64 * 512));
    const commands = [0x20, 0x25, 0x35, 0x60, 0x61, 0x06, 0x2f, 0xec, 0xef, 0xe7, 0x27, 0xe5, 0x99];
    for (let i = 0; i < 3000; i++) {
      const slot = below(32);
      if (below(10) === 0) t.write(below(0x180) & ~3, below(2 ** 32));
      else {
        const data = Array.from({ length: below(4) }, () => [below(8) === 0 ? below(2 ** 32) : DATA + below(0x10000), 1 + below(0x1000)] as const);
        t.issue(slot, { command: commands[below(commands.length)]!, lba: below(80), count: below(8), features: below(8), data, flags: below(20) === 0 ? below(256) : 0x80, control: below(256) }, below(2) === 0);
        if (below(30) === 0) t.memory.writeU32(LIST + 32 * slot + 4 * below(4), below(2 ** 32));
      }
      if (i % 4 === 3) {
        await settled();
        t.write(4, 1);
        t.config(4, 2, 6);
        t.start();
      }
    }
    await settled();
    expect(t.disk.log.length).toBeGreaterThan(100);
    expect(await t.ask({ command: 0xe7 })).toEqual([GOOD, 0]);
  });
});
