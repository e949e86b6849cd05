import { ReadOnlyDisk } from './read-only-disk.ts';

/** The contents of a file that the user has chosen, or of a blob; never written to. */
export class BlobDisk extends ReadOnlyDisk {
  readonly bytes: number;
  readonly #blob: Blob;

  /** What is behind the last whole sector is left out. */
  constructor(blob: Blob) {
    super();
    this.#blob = blob;
    this.bytes = blob.size - (blob.size % 512);
  }

  async read(offset: number, target: Uint8Array): Promise<void> {
    target.set(new Uint8Array(await this.#blob.slice(offset, offset + target.length).arrayBuffer()));
  }
  readNow(): boolean {
    return false;
  }
}
