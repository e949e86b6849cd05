import type { ByteRuns } from '../base/byte-runs.ts';
import type { BlockPort } from '../host/blocks.ts';

/** What a disk that is never written to has of a disk's writing side. */
export abstract class ReadOnlyDisk implements BlockPort {
  readonly readOnly = true;
  readonly releases = false;
  abstract readonly bytes: number;
  abstract read(offset: number, target: Uint8Array): Promise<void>;
  abstract readNow(offset: number, target: ByteRuns): boolean;

  write(): Promise<void> {
    return Promise.reject(new Error('the disk is read-only'));
  }
  zero(): Promise<void> {
    return this.write();
  }
  async flush(): Promise<void> {}
  async close(): Promise<void> {}
}
