import { describe, expect, it } from 'vitest';
import { MemoryPort, exercise, randomNumbers } from './memory-port.test-support.ts';
import { MirrorDisk } from './mirror-disk.ts';

const MIB = 1 << 20;

function mirror(legs: readonly MemoryPort[], stale: readonly boolean[] = legs.map(() => false)): { disk: MirrorDisk; events: string[] } {
  const events: string[] = [];
  const disk = new MirrorDisk(legs.map((block, i) => ({ block, stale: stale[i]! })), {
    failed: async (leg) => void events.push(`failed ${leg}`),
    returned: async (leg) => void events.push(`returned ${leg}`),
  });
  return { disk, events };
}

describe('MirrorDisk', () => {
  it('writes to all legs', async () => {
    const legs = [new MemoryPort(MIB + 512), new MemoryPort(MIB + 512), new MemoryPort(MIB + 512)];
    const { disk } = mirror(legs);
    await exercise(disk, new Uint8Array(disk.bytes), 1, 200);
    for (const leg of legs) expect(Buffer.compare(leg.contents, legs[0]!.contents)).toBe(0);
  });

  it('goes on when a leg fails, by reading or by writing, and says so once', async () => {
    const legs = [new MemoryPort(4096, () => 1), new MemoryPort(4096, () => 1)];
    const { disk, events } = mirror(legs);
    legs[0]!.fail = true;
    const target = new Uint8Array(512);
    await Promise.all(Array.from({ length: 4 }, () => disk.read(0, target)));
    expect(target[0]).toBe(1);
    await disk.write(0, Uint8Array.of(5));
    expect([events, disk.health, legs[0]!.contents[0], legs[1]!.contents[0]]).toEqual([['failed 0'], ['failed', 'good'], 1, 5]);
    legs[1]!.fail = true;
    await expect(disk.read(0, target)).rejects.toThrow('damaged');
    await expect(disk.write(0, target)).rejects.toThrow('damaged');
    // The last leg stays: it may work again.
    legs[1]!.fail = false;
    await disk.read(0, target);
    expect(events).toEqual(['failed 0']);
  });

  it('brings a leg up to date while the guest reads and writes', async () => {
    const legs = [new MemoryPort(4 * MIB, (i) => i >> 7), new MemoryPort(4 * MIB, (i) => i >> 7)];
    const expected = legs[0]!.contents.slice();
    const { disk, events } = mirror(legs);
    legs[1]!.fail = true;
    await disk.flush();
    await exercise(disk, expected, 3, 60);
    legs[1]!.fail = false;
    const back = disk.giveBack(1, legs[1]!);
    // Small writes all over, more than one at a time, race with the copying.
    const random = randomNumbers(4);
    for (let i = 0; i < 300; i++) {
      const writes = Array.from({ length: 4 }, (_, k) => ({ offset: k * MIB + random(MIB - 600), bytes: new Uint8Array(1 + random(600)).fill(i + k) }));
      await Promise.all(writes.map(({ offset, bytes }) => disk.write(offset, bytes)));
      for (const { offset, bytes } of writes) expected.set(bytes, offset);
    }
    await back;
    expect([events, disk.health]).toEqual([['failed 1', 'returned 1'], ['good', 'good']]);
    for (const leg of legs) expect(Buffer.compare(leg.contents, expected)).toBe(0);
  });

  it('does not read a stale leg before it is filled, and leaves it when it fails meanwhile', async () => {
    const legs = [new MemoryPort(2 * MIB, () => 9), new MemoryPort(2 * MIB, () => 1), new MemoryPort(2 * MIB, () => 2)];
    const { disk, events } = mirror(legs, [true, false, true]);
    legs[2]!.fail = true;
    const target = new Uint8Array(64);
    for (let i = 0; i < 8; i++) {
      await disk.read(i * 4096, target);
      expect(target.every((byte) => byte === 1)).toBe(true);
    }
    await disk.settled();
    expect([events, disk.health]).toEqual([['returned 0', 'failed 2'], ['good', 'good', 'failed']]);
    expect(Buffer.compare(legs[0]!.contents, legs[1]!.contents)).toBe(0);
    await disk.close();
    expect(legs.every(({ closed }) => closed)).toBe(true);
  });
});
