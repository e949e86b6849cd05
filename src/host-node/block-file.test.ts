import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { UserError } from '../base/errors.ts';
import { BlockFile } from './block-file.ts';

const folder = mkdtempSync(join(tmpdir(), 'polyvisor-block-'));
afterAll(() => rmSync(folder, { recursive: true }));

function image(name: string, bytes: number): string {
  const path = join(folder, name);
  writeFileSync(path, Uint8Array.from({ length: bytes }, (_, i) => (i * 7) ^ (i >> 8)));
  return path;
}

describe('BlockFile', () => {
  it('reads and writes at any offset, and what is written is in the file', async () => {
    const path = image('plain', 4096);
    const before = readFileSync(path);
    const disk = await BlockFile.open(path, { readOnly: false, what: 'disk' });
    expect([disk.bytes, disk.readOnly]).toEqual([4096, false]);
    const read = new Uint8Array(700);
    await disk.read(333, read);
    expect(Buffer.from(read).equals(before.subarray(333, 1033))).toBe(true);
    await disk.write(511, Uint8Array.of(1, 2, 3));
    await disk.flush();
    before.set([1, 2, 3], 511);
    expect(readFileSync(path).equals(before)).toBe(true);
    await disk.close();
  });

  it('fills the last sector of an odd-sized file with zeros', async () => {
    const disk = await BlockFile.open(image('odd', 700), { readOnly: true, what: 'disk' });
    expect(disk.bytes).toBe(1024);
    const read = new Uint8Array(512).fill(9);
    await disk.read(512, read);
    expect(read[187]).toBe(((699 * 7) ^ 2) & 0xff);
    expect(read.subarray(188).every((byte) => byte === 0)).toBe(true);
    await disk.close();
  });

  it('refuses what lies outside, and writes to a read-only disk', async () => {
    const disk = await BlockFile.open(image('small', 512), { readOnly: true, what: 'disk' });
    expect(() => disk.read(1, new Uint8Array(512))).toThrow(RangeError);
    expect(() => disk.read(-1, new Uint8Array(1))).toThrow(RangeError);
    await expect(disk.write(0, new Uint8Array(512))).rejects.toThrow('read-only');
    await disk.close();
  });

  it('ends what is in flight before it closes', async () => {
    const path = image('flight', 1 << 20);
    const disk = await BlockFile.open(path, { readOnly: false, what: 'disk' });
    const writes = Array.from({ length: 64 }, (_, i) => disk.write(i * 16384, new Uint8Array(16384).fill(i)));
    await disk.close();
    expect(readFileSync(path).every((byte, i) => byte === i >> 14)).toBe(true);
    await Promise.all(writes);
  });

  it('says in one line what is wrong with a file', async () => {
    const open = (path: string) => BlockFile.open(path, { readOnly: false, what: 'disk' });
    await expect(open(join(folder, 'none'))).rejects.toThrow(new UserError(`disk ${join(folder, 'none')} does not exist; give the path of a file that can be read and written, or add readonly`));
    await expect(open(folder)).rejects.toThrow(/is a folder/);
    await expect(open('/dev/null')).rejects.toThrow(/no regular file/);
    writeFileSync(join(folder, 'empty'), '');
    await expect(open(join(folder, 'empty'))).rejects.toThrow(/is empty/);
  });
});
