import { describe, expect, it } from 'vitest';
import { ByteRuns } from '../base/byte-runs.ts';
import { MemoryPort, exercise } from './memory-port.test-support.ts';
import { concatenated, striped } from './spread-disk.ts';

describe('disks of several', () => {
  it('concatenates', async () => {
    const parts = [new MemoryPort(1024, () => 1), new MemoryPort(512, () => 2), new MemoryPort(300_032, () => 3)];
    const disk = concatenated(parts);
    expect(disk.bytes).toBe(301_568);
    await exercise(disk, Uint8Array.from({ length: disk.bytes }, (_, i) => (i < 1024 ? 1 : i < 1536 ? 2 : 3)), 1, 300);
    await disk.write(1023, Uint8Array.of(9, 8));
    expect([parts[0]!.contents[1023], parts[1]!.contents[0]]).toEqual([9, 8]);
  });

  it('stripes, as much as the smallest has', async () => {
    const parts = [new MemoryPort(8192, () => 1), new MemoryPort(9000, () => 2), new MemoryPort(12288, () => 3)];
    const disk = striped(parts, 1024);
    expect(disk.bytes).toBe(3 * 8192);
    await exercise(disk, Uint8Array.from({ length: disk.bytes }, (_, i) => 1 + (Math.floor(i / 1024) % 3)), 2, 300);
    await disk.write(0, Uint8Array.from({ length: disk.bytes }, (_, i) => i >> 10));
    expect(parts.map(({ contents }) => [0, 1023, 1024, 8191].map((at) => contents[at]))).toEqual([[0, 0, 3, 21], [1, 1, 4, 22], [2, 2, 5, 23]]);
  });

  it('has at hand what all parts have at hand', async () => {
    const parts = [1, 2, 3].map(() => new MemoryPort(40_960, (i) => i >> 4));
    for (const part of parts) part.quick = true;
    for (const disk of [striped(parts, 1024), concatenated(parts)]) {
      const target = new Uint8Array(5000);
      expect(disk.readNow(700, new ByteRuns(target, [0, 1, 1, 2999, 3000, 2000]))).toBe(true);
      const wanted = new Uint8Array(5000);
      await disk.read(700, wanted);
      expect(target).toEqual(wanted);
    }
    parts[1]!.quick = false;
    expect(striped(parts, 1024).readNow(0, new ByteRuns(new Uint8Array(1024), [0, 1024]))).toBe(true);
    expect(striped(parts, 1024).readNow(0, new ByteRuns(new Uint8Array(1025), [0, 1025]))).toBe(false);
  });

  it('fails when a part fails, after all have answered', async () => {
    const parts = [new MemoryPort(512), new MemoryPort(512)];
    parts[0]!.fail = true;
    const disk = concatenated(parts);
    await expect(disk.write(0, new Uint8Array(1024).fill(5))).rejects.toThrow('damaged');
    expect(parts[1]!.contents[0]).toBe(5);
    await expect(disk.flush()).rejects.toThrow('damaged');
  });
});
