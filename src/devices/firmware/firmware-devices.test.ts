import { describe, expect, it } from 'vitest';
import { StateError } from '../../base/errors.ts';
import { LinearMemory } from '../../memory/linear-memory.ts';
import { DebugPort } from './debug-port.ts';
import { FwCfg } from './fw-cfg.ts';

const LONG_NAME = 'x'.repeat(80);

function make() {
  const memory = new LinearMemory(1 << 20);
  const device = new FwCfg(memory, {
    items: new Map([[0x05, Uint8Array.of(2, 0)]]),
    files: new Map([['etc/b', Uint8Array.of(1, 2, 3)], ['etc/a', new Uint8Array(70_000).fill(7)], [LONG_NAME, new Uint8Array(1)]]),
  });
  const select = (key: number) => device.write(0, 2, key);
  const take = (count: number) => Array.from({ length: count }, () => device.read(1, 1));
  /** Runs a DMA transfer whose descriptor lies at 1000h; returns its control word. */
  const transfer = (control: number, length: number, address: number): number => {
    const view = new DataView(new ArrayBuffer(16));
    view.setUint32(0, control);
    view.setUint32(4, length);
    view.setBigUint64(8, BigInt(address));
    memory.write(0x1000, new Uint8Array(view.buffer));
    device.write(4, 4, 0);
    device.write(8, 4, 0x00100000);
    const result = new Uint8Array(4);
    memory.read(0x1000, result);
    return new DataView(result.buffer).getUint32(0);
  };
  return { memory, device, select, take, transfer };
}

describe('FwCfg', () => {
  it('names its files in a directory, in order, and gives zeros behind the end', () => {
    const { select, take } = make();
    select(0);
    expect(String.fromCharCode(...take(4))).toBe('QEMU');
    select(0x19);
    const bytes = Uint8Array.from(take(4 + 3 * 64));
    const view = new DataView(bytes.buffer);
    const entries = Array.from({ length: view.getUint32(0) }, (_, i) => ({
      size: view.getUint32(4 + 64 * i), key: view.getUint16(8 + 64 * i), name: String.fromCharCode(...bytes.subarray(12 + 64 * i, 68 + 64 * i)).replace(/\0+$/, ''),
    }));
    expect(entries).toEqual([{ size: 70_000, key: 0x20, name: 'etc/a' }, { size: 3, key: 0x21, name: 'etc/b' }, { size: 1, key: 0x22, name: 'x'.repeat(55) }]);
    select(0x21);
    expect(take(5)).toEqual([1, 2, 3, 0, 0]);
    select(0x7777);
    expect(take(2)).toEqual([0, 0]);
  });

  it('copies by DMA, which shows the same position as the data port', () => {
    const { memory, device, take, transfer } = make();
    expect([device.read(4, 4), device.read(8, 4)]).toEqual([0x554d4551, 0x47464320]);
    expect(transfer((0x21 << 16) | 8 | 2, 2, 0x2000)).toBe(0);
    expect(take(1)).toEqual([3]);
    const read = new Uint8Array(3);
    memory.read(0x2000, read);
    expect([...read]).toEqual([1, 2, 0]);
    expect(transfer((0x20 << 16) | 8 | 4, 69_999, 0)).toBe(0);
    expect(transfer(2, 4, 0x2000)).toBe(0);
    memory.read(0x2000, read);
    expect([...read]).toEqual([7, 0, 0]);
  });

  it('refuses writes, and survives transfers to nowhere', () => {
    const { transfer } = make();
    expect(transfer((0x21 << 16) | 8 | 16, 1, 0x2000)).toBe(1);
    expect(transfer((0x20 << 16) | 8 | 2, 0x20000, 0xfff00000000)).toBe(0);
  });

  it('writes zeros behind the end as far as there is RAM', () => {
    const { memory, device, transfer } = make();
    memory.write(0xf0000, new Uint8Array(0x10000).fill(9));
    expect(transfer((0x21 << 16) | 8 | 2, 0xffffffff, 0xf0000)).toBe(0);
    const read = new Uint8Array(0x10000);
    memory.read(0xf0000, read);
    expect([...read.subarray(0, 3)]).toEqual([1, 2, 3]);
    expect(read.subarray(3).every((byte) => byte === 0)).toBe(true);
    expect(device.save()).toMatchObject({ offset: 0xffffffff });
  });

  it('saves and loads to the bit', () => {
    const { device, select, take } = make();
    select(0x21);
    take(1);
    device.write(4, 4, 0x12345678);
    const other = make();
    other.device.load(device.save(), 1);
    expect(other.device.save()).toEqual(device.save());
    expect(other.take(2)).toEqual([2, 3]);
    expect(() => other.device.load({ selector: 0x10000, offset: 0, dmaHigh: 0 }, 1)).toThrow(StateError);
  });
});

describe('DebugPort', () => {
  it('hands on lines, of bounded length, and keeps the unfinished one', () => {
    const lines: string[] = [];
    const port = new DebugPort((line) => lines.push(line));
    for (const letter of 'Hello\x1b\tworld\nunfin') port.write(0, 1, letter.charCodeAt(0));
    expect([port.read(0, 1), lines]).toEqual([0xe9, ['Hello world']]);
    const other = new DebugPort((line) => lines.push(line));
    other.load(port.save(), 1);
    for (const letter of 'ished\n') other.write(0, 1, letter.charCodeAt(0));
    expect(lines.at(-1)).toBe('unfinished');
    for (let i = 0; i < 3000; i++) port.write(0, 1, 0x41);
    expect(lines.every((line) => line.length <= 1024)).toBe(true);
  });
});
