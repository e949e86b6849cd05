import { describe, expect, it } from 'vitest';
import { UserError } from '../base/errors.ts';
import { MemoryPort, exercise } from './memory-port.test-support.ts';
import { OverlayDisk } from './overlay-disk.ts';
import type { OverlayFile } from './overlay-disk.ts';

/** A file in memory. */
class MemoryFile implements OverlayFile {
  #room = new Uint8Array(1 << 20);
  bytes = 0;
  most = Number.POSITIVE_INFINITY;
  open = true;
  get contents(): Uint8Array {
    return this.#room.subarray(0, this.bytes);
  }
  set contents(contents: Uint8Array) {
    this.#room = new Uint8Array(Math.max(1 << 20, contents.length));
    this.#room.set(contents);
    this.bytes = contents.length;
  }
  read(offset: number, target: Uint8Array): void {
    target.set(this.contents.subarray(offset, offset + target.length));
  }
  write(offset: number, source: Uint8Array): void {
    const end = offset + source.length;
    if (end > this.most) throw new Error('no room');
    if (end > this.#room.length) {
      const longer = new Uint8Array(2 * end);
      longer.set(this.#room);
      this.#room = longer;
    }
    this.#room.set(source, offset);
    this.bytes = Math.max(this.bytes, end);
  }
  flush(): void {}
  close(): void {
    this.open = false;
  }
}

let drawn = 0n;
const open = (file: MemoryFile, below: MemoryPort, identity = 'debian.img'): OverlayDisk => new OverlayDisk(file, below, identity, 'mine', () => ++drawn);
const SIZE = 701 * 512;

describe('OverlayDisk', () => {
  it('keeps what is written, over what is below, which stays as it was; opened again too', async () => {
    const below = new MemoryPort(SIZE, (i) => i >> 3);
    const expected = below.contents.slice();
    const before = below.contents.slice();
    const file = new MemoryFile();
    for (let round = 0; round < 3; round++) {
      const disk = open(file, below);
      await exercise(disk, expected, 5 + round, 40);
      await disk.close();
      expect(file.open).toBe(false);
    }
    expect(below.contents).toEqual(before);
    expect(below.closed).toBe(true);
  });

  it('takes room for what was written only', async () => {
    const below = new MemoryPort(1 << 22);
    const file = new MemoryFile();
    const disk = open(file, below);
    await disk.write(3 << 20, new Uint8Array(8192).fill(1));
    await disk.write((3 << 20) + 4096, new Uint8Array(4096).fill(2));
    expect(file.bytes).toBe(4096 + 4096 + 8192);
  });

  it('keeps both of two writes to parts of one block', async () => {
    const disk = open(new MemoryFile(), new MemoryPort(8192, () => 7));
    await Promise.all([disk.write(512, Uint8Array.of(1)), disk.write(1024, Uint8Array.of(2)), disk.write(4096, new Uint8Array(4096))]);
    const all = new Uint8Array(8192);
    await disk.read(0, all);
    expect([all[511], all[512], all[513], all[1024], all[4095], all[4096]]).toEqual([7, 1, 7, 2, 7, 0]);
  });

  it('tells contents apart by their stamp', async () => {
    const below = new MemoryPort(8192);
    const file = new MemoryFile();
    const disk = open(file, below);
    const first = disk.stamp();
    expect(disk.stamp()).toBe(first);
    await disk.close();
    const again = open(file, below);
    expect(again.stamp()).toBe(first);
    await again.write(0, Uint8Array.of(1));
    const second = again.stamp();
    expect(second).not.toBe(first);
    await again.write(1, Uint8Array.of(1));
    expect(again.stamp()).not.toBe(second);
  });

  it('refuses the changes of another disk, and damaged ones', async () => {
    const file = new MemoryFile();
    await open(file, new MemoryPort(SIZE)).write(4096, new Uint8Array(4096));
    expect(() => open(file, new MemoryPort(SIZE), 'other.img')).toThrow(/kept as "mine" were made to another disk \(debian.img\); give that one/);
    expect(() => open(file, new MemoryPort(512))).toThrow(UserError);
    expect(() => open(file, new MemoryPort(1 << 24))).toThrow(UserError);
    const whole = file.contents.slice();
    for (const length of [1, 100, 4095, 4096, 5000]) {
      file.contents = whole.slice(0, length);
      expect(() => open(file, new MemoryPort(SIZE))).toThrow(UserError);
    }
    file.contents = whole;
    new DataView(file.contents.buffer).setUint32(4096, 0xffffffff, true);
    expect(() => open(file, new MemoryPort(SIZE))).toThrow(/damaged: a block lies behind the file's end/);
  });

  it('a write for which there is no room is refused, and what was there stays', async () => {
    const file = new MemoryFile();
    const disk = open(file, new MemoryPort(SIZE, () => 3));
    await disk.write(0, new Uint8Array(4096).fill(9));
    file.most = file.bytes;
    await expect(disk.write(8192, new Uint8Array(4096))).rejects.toThrow('no room');
    const target = new Uint8Array(12288);
    await disk.read(0, target);
    expect([target[0], target[4096], target[8192]]).toEqual([9, 3, 3]);
  });
});
