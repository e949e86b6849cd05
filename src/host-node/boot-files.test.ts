import { existsSync, mkdtempSync, readdirSync, rmSync, truncateSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import type { KernelFiles } from '../machine/boot-source.ts';
import { closeBootFiles } from '../machine/boot-source.ts';
import { readBootFiles } from './boot-files.ts';

const folder = mkdtempSync(join(tmpdir(), 'polyvisor-boot-files-'));
afterAll(() => rmSync(folder, { recursive: true }));

const CONTENTS = Uint8Array.of(1, 2, 3, 4, 5);

async function open(name: string): Promise<{ path: string; files: KernelFiles }> {
  const path = join(folder, name);
  writeFileSync(path, CONTENTS);
  const files = await readBootFiles({ kernel: Uint8Array.of(9), initrd: path }, () => {}, () => {});
  return { path, files: files as unknown as KernelFiles };
}

test('a file that was removed meanwhile can still be read', async () => {
  const { path, files } = await open('removed');
  unlinkSync(path);
  expect([files.kernel.read(), files.initrd!.read(), files.initrd!.read()]).toEqual([Uint8Array.of(9), CONTENTS, CONTENTS]);
  closeBootFiles(files);
  closeBootFiles(files);
});

test('a file that became shorter meanwhile is named', async () => {
  const { path, files } = await open('shorter');
  truncateSync(path, 3);
  expect(() => files.initrd!.read()).toThrow(`initrd ${path} has become shorter since the machine was started`);
  closeBootFiles(files);
});

test('a file that cannot be read is named at once', async () => {
  await expect(readBootFiles({ kernel: join(folder, 'nowhere') }, () => {}, () => {})).rejects.toThrow(/^kernel .*nowhere/);
  await expect(readBootFiles({ kernel: `${folder}/${'x'.repeat(300)}` }, () => {}, () => {})).rejects.toThrow(/^kernel .*; give the path of a readable file$/);
  await expect(readBootFiles({ kernel: folder }, () => {}, () => {})).rejects.toThrow(/^kernel .* is a folder/);
});

test.skipIf(!existsSync('/proc/self/fd'))('a file that is too large is refused, and closed (skipped where no /proc says what is open)', async () => {
  const path = join(folder, 'disk');
  writeFileSync(path, '');
  truncateSync(path, 0x100000001);
  const open = readdirSync('/proc/self/fd').length;
  await expect(readBootFiles({ kernel: path }, () => {}, () => {})).rejects.toThrow('larger than any guest\'s memory');
  expect(readdirSync('/proc/self/fd').length).toBe(open);
});
