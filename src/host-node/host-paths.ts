import { constants } from 'node:fs';
import type { BigIntStats } from 'node:fs';
import { lstat, open, readdir } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { resolve } from 'node:path';
import { FolderError } from '../host/folders.ts';

// Ways into a folder that lead nowhere else. On Linux none can, whoever moves or replaces files meanwhile: each folder on the way is
// opened relative to the one before it without following a link (open(2), O_PATH and O_NOFOLLOW), and what is done is done to
// a name in the last one, by /proc/self/fd/N/NAME (proc(5)). Elsewhere each folder on the way is looked at before the next,
// so there somebody on the host who puts a link into its place at that moment can lead a guest astray.

/** Whether paths may begin with an open descriptor. */
export const DESCRIPTORS = process.platform === 'linux';
const O_PATH = 0o10000000;
const { O_DIRECTORY, O_NOFOLLOW } = constants;

/** A folder on the way: others are reached through `at`, a character for each byte, as long as it is not closed. */
export interface Step {
  readonly at: string;
  close(): Promise<void>;
}

export function hostPath(path: string): Buffer {
  return Buffer.from(path, 'latin1');
}
export function characters(name: Uint8Array): string {
  return Buffer.from(name).toString('latin1');
}

/** What the user names: that may be a link. */
export async function openRoot(folder: string): Promise<Step> {
  if (DESCRIPTORS) return stepOf(await open(folder, O_PATH | O_DIRECTORY));
  await readdir(folder);
  return { at: characters(Buffer.from(resolve(folder))), close: async () => {} };
}

/** The folder at a path in the one before; ENOTDIR for what is none, a link say. */
export async function enter(at: Buffer): Promise<Step> {
  if (DESCRIPTORS) return stepOf(await open(at, O_PATH | O_DIRECTORY | O_NOFOLLOW));
  if (!(await lstat(at)).isDirectory()) throw new FolderError('ENOTDIR');
  return { at: characters(at), close: async () => {} };
}
function stepOf(folder: FileHandle): Step {
  return { at: `/proc/self/fd/${folder.fd}`, close: () => folder.close() };
}

/** Does some work on a file that stays the same under the name `place`, however it is called; a link is not followed. */
export async function pinned<T>(at: Buffer, work: (place: Buffer, status: BigIntStats) => Promise<T>): Promise<T> {
  if (!DESCRIPTORS) return work(at, await lstat(at, { bigint: true }));
  const file = await open(at, O_PATH | O_NOFOLLOW);
  try {
    return await work(hostPath(`/proc/self/fd/${file.fd}`), await file.stat({ bigint: true }));
  } finally {
    await file.close();
  }
}
