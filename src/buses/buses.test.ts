import { describe, expect, it } from 'vitest';
import type { RegisterBlock } from '../wiring/register-block.ts';
import { BlockMap } from './block-map.ts';
import { PcBus } from './system-bus.ts';

function block(name: string, length: number): RegisterBlock & { seen: number[][] } {
  const seen: number[][] = [];
  return { name, length, seen, read: (offset, size) => { seen.push([offset, size]); return 0x10 + offset; }, write: (offset, size, value) => void seen.push([offset, size, value]) };
}

describe('block map', () => {
  it('gives offsets to the block, ones where nobody answers, and refuses overlaps', () => {
    const map = new BlockMap();
    const a = block('a', 4);
    map.map(0x100, a);
    expect([map.read(0x102, 1), map.read(0x200, 1), map.read(0x200, 2), map.read(0x200, 4)]).toEqual([0x12, 0xff, 0xffff, 0xffffffff]);
    map.write(0x100, 4, -1);
    expect(a.seen).toEqual([[2, 1], [0, 4, 0xffffffff]]);
    expect(() => map.map(0x103, block('b', 1))).toThrow(/b at 0x103 overlaps a/);
  });
  it('splits accesses that span blocks, also around a small one in the middle', () => {
    const map = new BlockMap();
    const a = block('a', 1);
    map.map(0x101, a);
    expect(map.read(0x100, 4)).toBe(0xffff10ff);
    map.write(0x100, 4, 0x44332211);
    expect(a.seen).toEqual([[0, 1], [0, 1, 0x22]]);
  });
  it('keeps what guests map over others silent until the place is free', () => {
    const map = new BlockMap();
    const [a, b, c] = [block('a', 4), block('b', 4), block('c', 4)];
    map.map(0x100, a);
    map.mapMovable(0x102, b);
    map.mapMovable(0x103, c);
    expect([map.read(0x102, 1), map.read(0x105, 1)]).toEqual([0x12, 0xff]);
    map.unmap(a);
    expect([map.read(0x100, 1), map.read(0x102, 1), map.read(0x105, 1)]).toEqual([0xff, 0x10, 0x13]);
    map.unmap(c);
    map.unmap(b);
    expect(map.read(0x103, 1)).toBe(0xff);
  });
  it('forgets an unmapped block and finds it where it moved', () => {
    const map = new BlockMap();
    const a = block('a', 4);
    map.map(0x100, a);
    map.read(0x100, 1);
    map.unmap(a);
    expect(map.read(0x100, 1)).toBe(0xff);
    map.map(0x300, a);
    expect(map.read(0x301, 1)).toBe(0x11);
  });
});

describe('bus', () => {
  it('separates ports from memory and remembers the last sixteen port accesses, oldest first', () => {
    const bus = new PcBus({ warn: () => {}, tracing: () => false, trace: () => {} });
    bus.ports.map(0x10, block('p', 1));
    expect([bus.readPort(0x10, 1), bus.readMmio(0x10, 1)]).toEqual([0x10, 0xff]);
    for (let i = 0; i < 17; i++) bus.writePort(0x80 + i, 1, i);
    expect(bus.recentPorts().map((access) => access.value)).toEqual(Array.from({ length: 16 }, (_, i) => i + 1));
  });
});
