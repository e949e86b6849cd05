import { constants } from 'node:fs';
import type { BigIntStats } from 'node:fs';
import { lutimes, open, utimes } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { getSystemErrorName } from 'node:util';
import { FolderError } from '../host/folders.ts';
import type { FileStatus, OpenedFile } from '../host/folders.ts';
import { writeAll } from './file-bytes.ts';
import { FileCalls } from './file-calls.ts';

/** A file of a shared folder while it is open. */
export class HostFile implements OpenedFile {
  readonly #handle: FileHandle;
  readonly #closed: () => void;
  #closing: Promise<void> | undefined;

  constructor(handle: FileHandle, closed: () => void) {
    this.#handle = handle;
    this.#closed = closed;
  }

  /** At once where the system has the bytes in its memory: to ask another thread takes longer than to copy them. */
  read(offset: number, target: Uint8Array): Promise<number> {
    return told(async () => {
      const { fd } = this.#handle; // negative once it is being closed
      if (fd >= 0 && FileCalls.available?.readCachedBytes(fd, offset, target) === true) return target.length;
      return (await this.#handle.read(target, 0, target.length, offset)).bytesRead;
    });
  }
  write(offset: number, source: Uint8Array): Promise<void> {
    return told(() => writeAll(this.#handle, offset, source));
  }
  status(): Promise<FileStatus> {
    return told(async () => fileStatus(await this.#handle.stat({ bigint: true })));
  }
  resize(bytes: number): Promise<void> {
    return told(() => this.#handle.truncate(bytes));
  }
  sync(dataOnly: boolean): Promise<void> {
    return told(() => (dataOnly ? this.#handle.datasync() : this.#handle.sync()));
  }
  /** Waits for what is under way. */
  close(): Promise<void> {
    this.#closed();
    return (this.#closing ??= told(() => this.#handle.close()));
  }
}

/** What the system complains of, in the port's terms. */
export async function told<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof FolderError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    throw new FolderError(code === undefined || code.startsWith('ERR_') ? 'EIO' : code);
  }
}

export function fileStatus(status: BigIntStats): FileStatus {
  const { mode, uid, gid, dev, ino, nlink, rdev, size, blksize, blocks, atimeNs, mtimeNs, ctimeNs } = status;
  return {
    mode: Number(mode), uid: Number(uid), gid: Number(gid), device: dev, inode: ino, links: nlink, special: rdev, bytes: size, blockBytes: blksize, blocks,
    accessed: atimeNs, modified: mtimeNs, changed: ctimeNs,
  };
}

/** Of a file that is not open. */
export async function resize(place: Buffer, bytes: number): Promise<void> {
  const handle = await open(place, constants.O_WRONLY);
  try {
    await handle.truncate(bytes);
  } finally {
    await handle.close();
  }
}

type Time = bigint | 'now' | undefined;

/** In ns since 1970, missing ones stay; `at` is the file's name, where it is a link, `place` what it is, where it is none. */
export async function changeTimes(at: Buffer, place: Buffer, status: BigIntStats, accessed: Time, modified: Time): Promise<void> {
  const isLink = status.isSymbolicLink();
  const calls = FileCalls.available;
  if (calls !== undefined) {
    const error = calls.changeTimes(isLink ? at : place, accessed, modified, !isLink);
    if (error !== 0) throw new FolderError(getSystemErrorName(-error));
    return;
  }
  // Node takes seconds, which are exact to a quarter of a microsecond.
  const seconds = (time: Time, before: bigint): number => (time === 'now' ? Date.now() / 1000 : Number(time ?? before) / 1e9);
  await (isLink ? lutimes(at, seconds(accessed, status.atimeNs), seconds(modified, status.mtimeNs)) : utimes(place, seconds(accessed, status.atimeNs), seconds(modified, status.mtimeNs)));
}
