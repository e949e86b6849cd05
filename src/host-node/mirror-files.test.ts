import { existsSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import type { Log } from '../host/log.ts';
import { openMirror } from './mirror-files.ts';

const folder = mkdtempSync(join(tmpdir(), 'polyvisor-mirror-'));
afterAll(() => rmSync(folder, { recursive: true }));

const BYTES = 3 << 20;
const [a, b] = [join(folder, 'a.img'), join(folder, 'b.img')];
let lines: string[] = [];
const log: Log = { warn: (line) => lines.push(line), tracing: () => false, trace: () => {} };

beforeEach(() => {
  lines = [];
  for (const file of [a, b]) rmSync(`${file}.mirror`, { force: true });
  writeFileSync(a, Uint8Array.from({ length: BYTES }, (_, i) => i >> 9));
  writeFileSync(b, '');
  truncateSync(b, BYTES);
});
const equal = (): boolean => readFileSync(a).equals(readFileSync(b));

describe('a mirror of files', () => {
  it('fills an empty file from the first, and knows both the next time', async () => {
    const first = await openMirror([a, b], log);
    await first.settled();
    await first.write(5, Uint8Array.of(1, 2, 3));
    await first.close();
    expect([equal(), lines]).toEqual([true, [`mirror: ${b} is up to date`]]);
    const second = await openMirror([a, b], log);
    expect(second.health).toEqual(['good', 'good']);
    await second.close();
  });

  it('takes the newer file when a run without one lies between, and fills the older', async () => {
    // Closed before the second is full, and filled by the next machine.
    await (await openMirror([a, b], log)).close();
    const next = await openMirror([b, a], log);
    await next.settled();
    await next.close();
    expect(equal()).toBe(true);
    // A machine that lost a: as its record would be.
    const record = JSON.parse(readFileSync(`${b}.mirror`, 'utf8')) as { generation: number };
    writeFileSync(`${b}.mirror`, JSON.stringify({ ...record, generation: record.generation + 1 }));
    writeFileSync(b, new Uint8Array(BYTES).fill(7));
    const again = await openMirror([a, b], log);
    const target = new Uint8Array(100);
    await again.read(1 << 20, target);
    expect(target.every((byte) => byte === 7)).toBe(true);
    await again.settled();
    await again.close();
    expect(equal()).toBe(true);
  });

  it('makes the files equal after a crash', async () => {
    const crashed = await openMirror([a, b], log);
    await crashed.settled();
    const records = [a, b].map((file) => readFileSync(`${file}.mirror`));
    await crashed.close();
    [a, b].forEach((file, i) => writeFileSync(`${file}.mirror`, records[i]!));
    writeFileSync(b, new Uint8Array(BYTES).fill(7));
    const again = await openMirror([a, b], log);
    await again.settled();
    await again.close();
    expect([equal(), readFileSync(a)[1 << 20]]).toEqual([true, (1 << 11) & 0xff]);
  });

  it('goes on when a file is lost, and takes it back', async () => {
    const mirror = await openMirror([a, b], log);
    await mirror.settled();
    truncateSync(b, 4096);
    await mirror.write(0, Uint8Array.of(1));
    const target = new Uint8Array(512);
    for (let i = 0; i < 4; i++) await Promise.all([mirror.read(1 << 20, target), mirror.read(1 << 20, target)]);
    expect(mirror.health).toEqual(['good', 'failed']);
    await expect(mirror.repair()).rejects.toThrow(`disk ${b} has 4096 bytes now, the mirror has ${BYTES}`);
    truncateSync(b, BYTES);
    await mirror.repair();
    await mirror.close();
    expect([mirror.health, equal()]).toEqual([['good', 'good'], true]);
    expect(lines.slice(1)).toEqual([`disk ${b} has become shorter meanwhile`, `mirror: ${b} is left out from now on; ${a} goes on without it`, `mirror: ${b} is up to date`]);
  });

  it('refuses files that do not belong together', async () => {
    const open = (): Promise<unknown> => openMirror([a, b], log);
    writeFileSync(b, new Uint8Array(BYTES).fill(1));
    await expect(open()).rejects.toThrow(`disk ${b} holds other data than ${a}`);
    writeFileSync(b, new Uint8Array(BYTES - 512));
    await expect(open()).rejects.toThrow('another size');
    writeFileSync(b, readFileSync(a));
    writeFileSync(`${a}.mirror`, '{"mirror":"x","generation":1,"clean":true}');
    writeFileSync(`${b}.mirror`, '{"mirror":"y","generation":1,"clean":true}');
    await expect(open()).rejects.toThrow('different mirrors');
    writeFileSync(`${b}.mirror`, 'nonsense');
    await expect(open()).rejects.toThrow(`${b}.mirror is damaged`);
    expect(existsSync(`${a}.mirror.new`)).toBe(false);
  });
});
