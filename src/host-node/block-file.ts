import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { UserError } from '../base/errors.ts';
import type { BlockPort } from '../host/blocks.ts';
import { fileTrouble } from './words.ts';

const SECTOR = 512;

/** A raw image: byte n of the disk is byte n of the file. */
export class BlockFile implements BlockPort {
  readonly bytes: number;
  readonly readOnly: boolean;
  readonly #file: FileHandle;
  readonly #inFlight = new Set<Promise<unknown>>();

  private constructor(file: FileHandle, bytes: number, readOnly: boolean) {
    this.#file = file;
    this.bytes = bytes;
    this.readOnly = readOnly;
  }

  /** `what` is how messages call it: `disk`, `CD-ROM image`. Throws UserError. */
  static async open(path: string, options: { readonly readOnly: boolean; readonly what: string }): Promise<BlockFile> {
    const { readOnly, what } = options;
    let file: FileHandle | undefined;
    try {
      file = await open(path, readOnly ? 'r' : 'r+');
      const found = await file.stat();
      if (!found.isFile()) throw new UserError(`${what} ${path} is no regular file; give a disk image`);
      if (found.size === 0) throw new UserError(`${what} ${path} is empty; give an image, or make one: truncate -s 1G ${path}`);
      return new BlockFile(file, Math.ceil(found.size / SECTOR) * SECTOR, readOnly);
    } catch (error) {
      await file?.close();
      if (error instanceof UserError) throw error;
      const remedy = readOnly ? 'give the path of a readable file' : 'give the path of a file that can be read and written, or add readonly';
      throw new UserError(`${what} ${path} ${fileTrouble(error)}; ${remedy}`);
    }
  }

  read(offset: number, target: Uint8Array): Promise<void> {
    this.#check(offset, target.length);
    return this.#track(this.#read(offset, target));
  }

  async #read(offset: number, target: Uint8Array): Promise<void> {
    let done = 0;
    while (done < target.length) {
      const { bytesRead } = await this.#file.read(target, done, target.length - done, offset + done);
      if (bytesRead === 0) break;
      done += bytesRead;
    }
    // Behind the end of the file the last sector is zeros.
    target.fill(0, done);
  }

  write(offset: number, source: Uint8Array): Promise<void> {
    this.#check(offset, source.length);
    if (this.readOnly) return Promise.reject(new Error('the disk is read-only'));
    return this.#track(this.#write(offset, source));
  }

  async #write(offset: number, source: Uint8Array): Promise<void> {
    let done = 0;
    while (done < source.length) done += (await this.#file.write(source, done, source.length - done, offset + done)).bytesWritten;
  }

  flush(): Promise<void> {
    if (this.readOnly) return Promise.resolve();
    // What was asked before may still be on its way to the file.
    return this.#track(Promise.allSettled([...this.#inFlight]).then(() => this.#file.datasync()));
  }

  async close(): Promise<void> {
    await Promise.allSettled([...this.#inFlight]);
    await this.#file.close(); // again: no harm
  }

  #track<T>(promise: Promise<T>): Promise<T> {
    const done = (): void => void this.#inFlight.delete(promise);
    this.#inFlight.add(promise);
    promise.then(done, done);
    return promise;
  }

  #check(offset: number, length: number): void {
    if (!Number.isSafeInteger(offset) || offset < 0 || offset + length > this.bytes) throw new RangeError(`bytes ${offset} to ${offset + length} do not lie on the disk`);
  }
}
