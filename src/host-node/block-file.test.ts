import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { ByteRuns } from '../base/byte-runs.ts';
import { UserError } from '../base/errors.ts';
import { BlockFile } from './block-file.ts';
import { FileCalls } from './file-calls.ts';
import { fileTrouble } from './words.ts';

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

  it('reads what the system has in its memory at once, into shared memory', async () => {
    const path = image('cached', 20_000);
    const contents = readFileSync(path);
    const disk = await BlockFile.open(path, { readOnly: true, what: 'disk' });
    const shared = new Uint8Array(new SharedArrayBuffer(65536));
    const runs = new ByteRuns(shared, [100, 600, 2000, 4300, 60_000, 1]);
    expect(disk.readNow(512, runs)).toBe(FileCalls.available !== undefined);
    if (FileCalls.available !== undefined) expect(Buffer.concat(runs.arrays()).equals(contents.subarray(512, 512 + 4901))).toBe(true);
    // Not all of it is in the file.
    expect(disk.readNow(19_968, new ByteRuns(shared, [0, 512]))).toBe(false);
    expect(disk.readNow(0, new ByteRuns(new Uint8Array(512), [0, 512]))).toBe(false);
    await disk.close();
  });

  it.skipIf(FileCalls.available === undefined)('gives room back for zeros', async () => {
    const path = image('holes', 1 << 20);
    const { mtimeMs } = statSync(path);
    const disk = await BlockFile.open(path, { readOnly: false, what: 'disk' });
    expect(disk.releases).toBe(true);
    // A stored machine goes by the time of the last write.
    expect(statSync(path).mtimeMs).toBe(mtimeMs);
    await disk.zero(100, (1 << 20) - 200);
    await disk.flush();
    const found = statSync(path);
    expect([found.size, found.blocks * 512 < 100_000, readFileSync(path).findIndex((byte, i) => i >= 100 && byte !== 0)]).toEqual([1 << 20, true, (1 << 20) - 100]);
    await disk.close();
  });

  it.skipIf(FileCalls.available === undefined)('lets nobody else open what is written to', async () => {
    const path = image('claimed', 4096);
    const open = (readOnly: boolean): Promise<BlockFile> => BlockFile.open(path, { readOnly, what: 'disk' });
    const writer = await open(false);
    for (const readOnly of [false, true]) await expect(open(readOnly)).rejects.toThrow(new UserError(`disk ${path} is in use by another machine; end that one first, or let both only read it (readonly)`));
    await writer.close();
    const readers = [await open(true), await open(true)];
    await expect(open(false)).rejects.toThrow('in use');
    for (const reader of readers) await reader.close();
    await (await open(false)).close();
  });

  it('fails, and says so once, when the file is cut short or deleted', async () => {
    const lines: string[] = [];
    const path = image('vanishing', 8192);
    const disk = await BlockFile.open(path, { readOnly: false, what: 'disk', complain: (line) => lines.push(line) });
    truncateSync(path, 4096);
    for (let i = 0; i < 2; i++) await expect(disk.read(4096, new Uint8Array(512))).rejects.toThrow('shorter');
    unlinkSync(path);
    await expect(disk.flush()).rejects.toThrow('deleted');
    expect(lines).toEqual([`disk ${path} has become shorter meanwhile; the guest gets an error when reading`, `disk ${path} has been deleted; the guest gets an error when flushing`]);
    await disk.close();
  });

  // A device of the system that is always full stands for a full disk of the host's.
  it.skipIf(!existsSync('/dev/full'))('has words for a full disk', () => {
    let trouble = '';
    try {
      writeFileSync('/dev/full', 'x');
    } catch (error) {
      trouble = fileTrouble(error);
    }
    expect(trouble).toBe('has no room: the disk is full');
  });

  it('says in one line what is wrong with a file', async () => {
    const open = (path: string) => BlockFile.open(path, { readOnly: false, what: 'disk' });
    await expect(open(join(folder, 'none'))).rejects.toThrow(new UserError(`disk ${join(folder, 'none')} does not exist; give an image, or make one: truncate -s 1G ${join(folder, 'none')}`));
    await expect(open(folder)).rejects.toThrow(/is a folder/);
    await expect(open('/dev/null')).rejects.toThrow(/no regular file/);
    writeFileSync(join(folder, 'empty'), '');
    await expect(open(join(folder, 'empty'))).rejects.toThrow(/is empty/);
  });
});
