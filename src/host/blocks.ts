import type { ByteRuns } from '../base/byte-runs.ts';

/**
 * The contents of a disk, whatever keeps them. Offsets and lengths are in bytes and may be anything within the disk; who
 * calls checks them, a RangeError here is a mistake of the caller's. Requests may be in flight together; those that
 * overlap may be done in any order, so who needs an order waits. A promise rejects when the host cannot do what is
 * asked: the guest then sees a medium error.
 */
export interface BlockPort {
  /** Size, a multiple of 512. */
  readonly bytes: number;
  /** Writes reject. */
  readonly readOnly: boolean;
  /** Fills the whole of `target`. */
  read(offset: number, target: Uint8Array): Promise<void>;
  /**
   * Fills the target if that takes no waiting, as when the host has the bytes in its memory. False: nothing is known of
   * what it holds, and `read` is to be asked.
   */
  readNow(offset: number, target: ByteRuns): boolean;
  /** `source` must stay as it is until the promise settles. */
  write(offset: number, source: Uint8Array): Promise<void>;
  /** The bytes read as zeros afterwards. Where `releases` is true the storage gives their room back, as far as it can. */
  zero(offset: number, bytes: number): Promise<void>;
  /** Whether `zero` frees room: then it suits what a guest discards. */
  readonly releases: boolean;
  /** Settles when all that was written before the call is on stable storage. */
  flush(): Promise<void>;
  /** Settles when everything in flight is done and the storage is let go. Nothing but `close` again may be asked after it. */
  close(): Promise<void>;
}
