import { describe, expect, it } from 'vitest';
import { StateError } from '../../base/errors.ts';
import { LinearMemory } from '../../memory/linear-memory.ts';
import { Dma8237 } from './dma-8237.ts';

function make() {
  const memory = new LinearMemory(1 << 20);
  const dma = new Dma8237(memory);
  /** Channel 2 as BIOSes set it up. */
  const setUp = (mode: number, address: number, bytes: number) => {
    const out = (port: number, value: number) => dma.low.write(port, 1, value);
    out(10, 6);
    out(12, 0);
    out(11, mode);
    out(4, address & 0xff);
    out(4, (address >> 8) & 0xff);
    dma.pages.write(1, 1, address >> 16);
    out(5, (bytes - 1) & 0xff);
    out(5, (bytes - 1) >> 8);
    out(10, 2);
  };
  const read = (address: number, bytes: number) => {
    const data = new Uint8Array(bytes);
    memory.read(address, data);
    return [...data];
  };
  return { memory, dma, setUp, read, channel: dma.channel(2) };
}

describe('Dma8237', () => {
  it('writes to memory up to the terminal count, which masks the channel', () => {
    const { dma, setUp, read, channel } = make();
    setUp(0x46, 0x23456, 6);
    expect([channel.ready('fromMemory'), channel.ready('toMemory')]).toEqual([0, 6]);
    expect(channel.write(Uint8Array.of(1, 2, 3, 4))).toBe(false);
    expect(channel.ready('toMemory')).toBe(2);
    expect(channel.write(Uint8Array.of(5, 6, 7, 8))).toBe(true);
    expect(read(0x23456, 8)).toEqual([1, 2, 3, 4, 5, 6, 0, 0]);
    expect([dma.low.read(8, 1), dma.low.read(8, 1), channel.ready('toMemory')]).toEqual([4, 0, 0]);
    dma.low.write(12, 1, 0);
    expect([dma.low.read(4, 1), dma.low.read(4, 1), dma.low.read(5, 1), dma.low.read(5, 1)]).toEqual([0x5c, 0x34, 0xff, 0xff]);
  });

  it('reads from memory, wraps within 64 KiB, begins again by itself, goes down', () => {
    const { memory, setUp, read, channel } = make();
    memory.write(0x1fffe, Uint8Array.of(9, 8));
    memory.write(0x10000, Uint8Array.of(7));
    setUp(0x5a, 0x1fffe, 3);
    const target = new Uint8Array(3);
    expect(channel.read(target)).toBe(true);
    expect([...target]).toEqual([9, 8, 7]);
    expect(channel.ready('fromMemory')).toBe(3);
    setUp(0x66, 0x3002, 3);
    channel.write(Uint8Array.of(1, 2, 3));
    expect(read(0x3000, 3)).toEqual([3, 2, 1]);
    setUp(0x42, 0x3000, 3);
    expect(channel.write(Uint8Array.of(7, 7, 7))).toBe(true); // verify: nothing is moved
    expect(read(0x3000, 3)).toEqual([3, 2, 1]);
  });

  it('saves and loads to the bit', () => {
    const { dma, setUp, channel } = make();
    setUp(0x46, 0x23456, 600);
    channel.write(new Uint8Array(10));
    dma.low.write(5, 1, 3);
    const other = make();
    other.dma.load(dma.save(), 1);
    expect(other.dma.save()).toEqual(dma.save());
    expect(() => other.dma.load({ ...(dma.save() as object), masks: 256 }, 1)).toThrow(StateError);
  });
});
