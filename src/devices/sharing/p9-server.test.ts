import { expect, it } from 'vitest';
import { FolderError } from '../../host/folders.ts';
import type { OpenedFile } from '../../host/folders.ts';
import { MemoryFolder } from './memory-folder.test-support.ts';
import { P9Client } from './p9-client.test-support.ts';
import { P9Server } from './p9-server.ts';

const ENFILE = 'errno 23';

it('bounds the letters of all the files that a guest has numbers for, however they get their names', async () => {
  const server = new P9Server(new MemoryFolder());
  const guest = new P9Client(server);
  await guest.begin();
  const names = Array.from({ length: 16 }, () => 'x'.repeat(255));
  await guest.walk(0, 1);
  for (const name of names) {
    await guest.mkdir(1, name);
    await guest.walk(1, 1, name);
  }
  // 64 MiB of them, less four.
  for (let fid = 2; fid <= 16388; fid++) await guest.walk(1, fid);
  await expect(guest.walk(1, 20_000)).rejects.toThrow(ENFILE);
  await guest.walk(0, 20_001);
  await expect(guest.walk(20_001, 20_001, ...names)).rejects.toThrow(ENFILE);
  await guest.clunk(2);
  await guest.mkdir(0, 'y');
  for (let fid = 30_000; fid < 30_300; fid++) await guest.walk(0, fid, 'y');
  await expect(guest.renameat(0, 'y', 0, 'z'.repeat(255))).rejects.toThrow(ENFILE);
  await guest.renameat(0, 'y', 0, 'z');
  expect(await guest.walk(0, 40_000, 'z')).toBe(1);
});

it('ends a session whose files the host cannot close', async () => {
  class FullFolder extends MemoryFolder {
    override async create(): Promise<OpenedFile> {
      const file = await super.create('file', { read: true, write: true }, 0o644);
      return Object.assign(Object.create(file) as OpenedFile, { close: () => Promise.reject(new FolderError('ENOSPC')) });
    }
  }
  const server = new P9Server(new FullFolder());
  const guest = new P9Client(server);
  await guest.begin();
  await guest.walk(0, 1);
  await guest.create(1, 'file');
  await guest.walk(0, 2);
  await expect(server.reset()).resolves.toBeUndefined();
  await guest.begin();
  expect(await guest.walk(0, 1, 'file')).toBe(1);
});
