import { readSync, writeSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';

/** Fills `target` with what a file has from `offset` on; false where the file ends before. Throws as readSync does. */
export function readFully(file: number, offset: number, target: Uint8Array): boolean {
  for (let done = 0; done < target.length; ) {
    const count = readSync(file, target, done, target.length - done, offset + done);
    if (count === 0) return false;
    done += count;
  }
  return true;
}

/** Writes all of `source` at a file's `offset`. Throws as writeSync does. */
export function writeFully(file: number, offset: number, source: Uint8Array): void {
  for (let done = 0; done < source.length; ) done += writeSync(file, source, done, source.length - done, offset + done);
}

/** The same without waiting in this thread. Rejects as the file's own `write` does. */
export async function writeAll(file: FileHandle, offset: number, source: Uint8Array): Promise<void> {
  for (let done = 0; done < source.length; ) done += (await file.write(source, done, source.length - done, offset + done)).bytesWritten;
}
