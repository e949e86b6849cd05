import { describe, expect, it } from 'vitest';
import { StateError } from '../base/errors.ts';
import { MemoryPort, exercise } from './memory-port.test-support.ts';
import { RamDisk } from './ram-disk.ts';

describe('RamDisk', () => {
  it('holds what was written to it, and is empty before', async () => {
    const disk = new RamDisk(700 * 512);
    await exercise(disk, new Uint8Array(disk.bytes), 1, 400);
  });

  it('shows another disk until it is written, and never writes to that', async () => {
    const below = new MemoryPort(700 * 512, (i) => i >> 3);
    const before = below.contents.slice();
    const disk = new RamDisk(below.bytes, below);
    await exercise(disk, before.slice(), 2, 400);
    expect(below.contents).toEqual(before);
    await disk.close();
    expect(below.closed).toBe(true);
  });

  it('keeps both of two writes to one chunk that is still on its way', async () => {
    const disk = new RamDisk(65536, new MemoryPort(65536, () => 7));
    await Promise.all([disk.write(512, Uint8Array.of(1)), disk.write(1024, Uint8Array.of(2)), disk.zero(2048, 1), disk.write(0, new Uint8Array(256).fill(3))]);
    const all = new Uint8Array(65536);
    await disk.read(0, all);
    expect([all[0], all[255], all[256], all[512], all[513], all[1024], all[2048], all[2049]]).toEqual([3, 3, 7, 1, 7, 2, 0, 7]);
  });

  it('is stored and loaded, without what is below', async () => {
    const below = (): MemoryPort => new MemoryPort(200_000 - (200_000 % 512), () => 7);
    const disk = new RamDisk(below().bytes, below(), 'disk');
    await disk.write(70_000, Uint8Array.of(1, 2, 3));
    await disk.zero(131_072, disk.bytes - 131_072);
    const state = disk.save();
    const other = new RamDisk(disk.bytes, below(), 'disk');
    await other.write(0, Uint8Array.of(9));
    other.load(state, 1);
    expect(other.save()).toEqual(state);
    const [wanted, found] = [new Uint8Array(disk.bytes), new Uint8Array(disk.bytes)];
    await disk.read(0, wanted);
    await other.read(0, found);
    expect(Buffer.compare(wanted, found)).toBe(0);
    for (const bad of [null, { bytes: 512, chunks: [] }, { bytes: disk.bytes, chunks: [{ index: 9, data: new Uint8Array(0) }] }, { bytes: disk.bytes, chunks: [{ index: 0, data: new Uint8Array(5) }] }]) {
      expect(() => other.load(bad, 1)).toThrow(StateError);
    }
    expect(() => other.load(state, 2)).toThrow('version 2');
  });

  it('passes an error of the disk below on, and can be asked again', async () => {
    const below = new MemoryPort(65536, () => 7);
    const disk = new RamDisk(65536, below);
    below.fail = true;
    await expect(disk.write(0, Uint8Array.of(1))).rejects.toThrow('damaged');
    below.fail = false;
    await disk.write(0, Uint8Array.of(1));
    const two = new Uint8Array(2);
    await disk.read(0, two);
    expect([...two]).toEqual([1, 7]);
  });
});
