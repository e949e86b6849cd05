import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import type { ByteRuns } from '../base/byte-runs.ts';
import { UserError } from '../base/errors.ts';
import type { BlockPort } from '../host/blocks.ts';
import { writeAll } from './file-bytes.ts';
import { FileCalls } from './file-calls.ts';
import { fileTrouble } from './words.ts';

const SECTOR = 512;
const ZEROS = new Uint8Array(1 << 20);

export interface BlockFileOptions {
  readonly readOnly: boolean;
  /** How messages call it: `disk`, `CD-ROM image`. */
  readonly what: string;
  /** Gets a line for the user when the host cannot do what the guest asks, once for each kind of trouble. */
  readonly complain?: (line: string) => void;
  /** Another file may stand in for this one: trouble with it need not be the guest's. */
  readonly replaceable?: boolean;
}

/** A raw image: byte n of the disk is byte n of the file. */
export class BlockFile implements BlockPort {
  readonly bytes: number;
  readonly readOnly: boolean;
  readonly releases: boolean;
  readonly #file: FileHandle;
  readonly #path: string;
  readonly #options: BlockFileOptions;
  /** Size of the file; up to the next sector the disk has zeros. */
  readonly #fileBytes: number;
  readonly #inFlight = new Set<Promise<unknown>>();
  readonly #complained = new Set<string>();

  private constructor(file: FileHandle, path: string, fileBytes: number, options: BlockFileOptions) {
    this.#file = file;
    this.#path = path;
    this.#fileBytes = fileBytes;
    this.#options = options;
    this.bytes = Math.ceil(fileBytes / SECTOR) * SECTOR;
    this.readOnly = options.readOnly;
    this.releases = !options.readOnly && (FileCalls.available?.canRelease(file.fd) ?? false);
  }

  /** Throws UserError. */
  static async open(path: string, options: BlockFileOptions): Promise<BlockFile> {
    const { readOnly, what } = options;
    let file: FileHandle | undefined;
    try {
      file = await open(path, readOnly ? 'r' : 'r+');
      const found = await file.stat();
      if (!found.isFile()) throw new UserError(`${what} ${path} is no regular file; give a disk image`);
      if (found.size === 0) throw new UserError(`${what} ${path} is empty; give an image, or make one: truncate -s 1G ${path}`);
      if (FileCalls.available?.claim(file.fd, !readOnly) === false) {
        throw new UserError(`${what} ${path} is in use by another machine; end that one first, or let both only read it (readonly)`);
      }
      return new BlockFile(file, path, found.size, options);
    } catch (error) {
      await file?.close();
      if (error instanceof UserError) throw error;
      const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
      const remedy = readOnly ? 'give the path of a readable file' : missing ? `give an image, or make one: truncate -s 1G ${path}` : 'give the path of a file that can be read and written, or add readonly';
      throw new UserError(`${what} ${path} ${fileTrouble(error)}; ${remedy}`);
    }
  }

  read(offset: number, target: Uint8Array): Promise<void> {
    this.#check(offset, target.length);
    return this.#track(this.#read(offset, target), 'reading');
  }

  async #read(offset: number, target: Uint8Array): Promise<void> {
    const inFile = Math.max(0, Math.min(target.length, this.#fileBytes - offset));
    let done = 0;
    while (done < inFile) {
      const { bytesRead } = await this.#file.read(target, done, inFile - done, offset + done);
      if (bytesRead === 0) throw new Error('has become shorter meanwhile');
      done += bytesRead;
    }
    target.fill(0, inFile);
  }

  readNow(offset: number, target: ByteRuns): boolean {
    this.#check(offset, target.bytes);
    return offset + target.bytes <= this.#fileBytes && (FileCalls.available?.readCached(this.#file.fd, offset, target) ?? false);
  }

  write(offset: number, source: Uint8Array): Promise<void> {
    this.#check(offset, source.length);
    if (this.readOnly) return Promise.reject(new Error('the disk is read-only'));
    return this.#track(writeAll(this.#file, offset, source), 'writing');
  }

  zero(offset: number, bytes: number): Promise<void> {
    this.#check(offset, bytes);
    if (this.readOnly) return Promise.reject(new Error('the disk is read-only'));
    return this.#track(this.#zero(offset, bytes), 'writing');
  }

  async #zero(offset: number, bytes: number): Promise<void> {
    if (this.releases && (await FileCalls.available!.release(this.#file.fd, offset, bytes))) return;
    for (let done = 0; done < bytes; done += ZEROS.length) await writeAll(this.#file, offset + done, ZEROS.subarray(0, Math.min(ZEROS.length, bytes - done)));
  }

  flush(): Promise<void> {
    if (this.readOnly) return Promise.resolve();
    return this.#track(this.#flush([...this.#inFlight]), 'flushing');
  }

  /** What was asked before may still be on its way to the file. */
  async #flush(before: readonly Promise<unknown>[]): Promise<void> {
    await Promise.allSettled(before);
    await this.#file.datasync();
    // The data of a file without a name are gone when the machine ends: they cannot be called stable.
    if ((await this.#file.stat()).nlink === 0) throw new Error('has been deleted');
  }

  async close(): Promise<void> {
    await Promise.allSettled([...this.#inFlight]);
    await this.#file.close(); // again: no harm
  }

  #track(promise: Promise<void>, doing: string): Promise<void> {
    const over = (): void => void this.#inFlight.delete(promise);
    this.#inFlight.add(promise);
    promise.then(over, (error: unknown) => {
      over();
      this.#complain(doing, error);
    });
    return promise;
  }

  #complain(doing: string, error: unknown): void {
    const { code, message } = error as NodeJS.ErrnoException;
    const trouble = code === undefined ? message : fileTrouble(error);
    const key = `${doing} ${trouble}`;
    if (this.#complained.has(key)) return;
    this.#complained.add(key);
    const { what, complain, replaceable } = this.#options;
    complain?.(`${what} ${this.#path} ${trouble}${replaceable === true ? '' : `; the guest gets an error when ${doing}`}`);
  }

  #check(offset: number, length: number): void {
    if (!Number.isSafeInteger(offset) || offset < 0 || offset + length > this.bytes) throw new RangeError(`bytes ${offset} to ${offset + length} do not lie on the disk`);
  }
}
