import { fstatSync } from 'node:fs';
import type { ByteRuns } from '../base/byte-runs.ts';
import { timespec } from '../base/seconds.ts';
import { ofLinux } from './koffi.ts';
import type { CFunction, Koffi } from './koffi.ts';

// What Node's own file functions lack: system calls of Linux, through FFI.

const RWF_NOWAIT = 8;
/** Smaller arrays may lie in V8's heap, which moves them. */
const LEAST_CACHED = 4096;
/** The most pieces of one call (UIO_MAXIOV). */
const MOST_PIECES = 1024;

const FALLOC_KEEP_SIZE = 1;
const FALLOC_PUNCH_HOLE = 2;
/** In place of nanoseconds: leave that time as it is. */
const UTIME_OMIT = 0x3ffffffen;
/** The same: the time that it is. */
const UTIME_NOW = 0x3fffffffn;
const AT_FDCWD = -100;
const AT_SYMLINK_NOFOLLOW = 0x100;
const F_OFD_GETLK = 36;
const F_OFD_SETLK = 37;
const F_RDLCK = 0;
const F_WRLCK = 1;
const F_UNLCK = 2;

// Bytes of an image whose locks say what it is used for, as QEMU has them (its docs/system/images, "Disk image file
// locking"): a shared lock at `USED` for each way of using it, at `UNSHARED` for each way that others must not.
const USED = 100;
const UNSHARED = 200;
const READ = 0;
const WRITE = 1;
const RESIZE = 3;

type Preadv2 = (fd: number, vectors: Uint8Array, count: number, offset: number, flags: number) => number;

export class FileCalls {
  readonly #koffi: Koffi;
  readonly #preadv2: Preadv2;
  readonly #fallocate: CFunction;
  readonly #fcntl: CFunction;
  readonly #futimens: CFunction;
  readonly #utimensat: CFunction;
  /** struct iovec: address and length, 64 bits each. */
  readonly #vectors = new Uint32Array(4 * MOST_PIECES);
  readonly #addresses = new WeakMap<SharedArrayBuffer, number>();
  readonly #vectorBytes = new Uint8Array(this.#vectors.buffer);

  private constructor(koffi: Koffi) {
    const c = koffi.load(null);
    this.#koffi = koffi;
    this.#preadv2 = c.func('long preadv2(int fd, void *vectors, int count, int64_t offset, int flags)') as Preadv2;
    this.#fallocate = c.func('int fallocate(int fd, int mode, int64_t offset, int64_t bytes)');
    this.#fcntl = c.func('int fcntl(int fd, int command, void *lock)');
    this.#utimensat = c.func('int utimensat(int folder, void *path, void *times, int flags)');
    this.#futimens = c.func('int futimens(int fd, void *times)');
  }

  static readonly #found = ofLinux((koffi) => new FileCalls(koffi));
  /** Undefined where the system has no such calls. */
  static get available(): FileCalls | undefined {
    return FileCalls.#found();
  }

  /**
   * Reads from a file what the system has in its page cache (preadv2(2), RWF_NOWAIT) into runs of shared memory, which
   * never moves. True when all of them are filled.
   */
  readCached(fd: number, offset: number, { memory, places, bytes }: ByteRuns): boolean {
    const { buffer } = memory;
    if (!(buffer instanceof SharedArrayBuffer) || places.length > 2 * MOST_PIECES) return false;
    const base = this.#address(buffer) + memory.byteOffset;
    const vectors = this.#vectors;
    for (let i = 0; i < places.length; i += 2) {
      const address = base + places[i]!;
      vectors[2 * i] = address;
      vectors[2 * i + 1] = address / 2 ** 32;
      vectors[2 * i + 2] = places[i + 1]!;
    }
    return this.#preadv2(fd, this.#vectorBytes, places.length / 2, offset, RWF_NOWAIT) === bytes;
  }

  /** The same into memory that is not shared; false for less than a page, which is not worth it. */
  readCachedBytes(fd: number, offset: number, target: Uint8Array): boolean {
    if (target.length < LEAST_CACHED) return false;
    const address = Number(this.#koffi.address(target));
    this.#vectors[0] = address;
    this.#vectors[1] = address / 2 ** 32;
    this.#vectors[2] = target.length;
    return this.#preadv2(fd, this.#vectorBytes, 1, offset, RWF_NOWAIT) === target.length;
  }

  #address(buffer: SharedArrayBuffer): number {
    let known = this.#addresses.get(buffer);
    if (known === undefined) this.#addresses.set(buffer, (known = Number(this.#koffi.address(new Uint8Array(buffer)))));
    return known;
  }

  /** Whether room in the middle of the file can be given back. */
  canRelease(fd: number): boolean {
    // Only trying tells. A hole behind the end changes nothing but the time of the last write, which is put back.
    const { size, mtimeNs } = fstatSync(fd, { bigint: true });
    const can = this.#fallocate(fd, FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE, Number(size), 1) === 0;
    this.#futimens(fd, new Uint8Array(BigInt64Array.of(0n, UTIME_OMIT, ...timespec(mtimeNs)).buffer));
    return can;
  }
  /** Makes a hole, which reads as zeros; false when the system refuses. */
  release(fd: number, offset: number, bytes: number): Promise<boolean> {
    return new Promise((resolve) => {
      this.#fallocate.async(fd, FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE, offset, bytes, (error: unknown, result: number) => resolve(error === null && result === 0));
    });
  }

  /** Times of a file in ns since 1970, exactly; missing ones stay. Returns 0 or the number of an error. */
  changeTimes(path: Uint8Array, accessed: bigint | 'now' | undefined, modified: bigint | 'now' | undefined, followLink: boolean): number {
    const times = BigInt64Array.from([accessed, modified].flatMap((time) => {
      if (time === undefined) return [0n, UTIME_OMIT];
      return time === 'now' ? [0n, UTIME_NOW] : timespec(time);
    }));
    const done = this.#utimensat(AT_FDCWD, Uint8Array.of(...path, 0), new Uint8Array(times.buffer), followLink ? 0 : AT_SYMLINK_NOFOLLOW);
    return done === 0 ? 0 : this.#koffi.errno();
  }

  /**
   * Says to others that the image is read or written here, until the file is closed; false when somebody else uses it in a way
   * that does not go with that. True where the file system has no such locks.
   */
  claim(fd: number, writes: boolean): boolean {
    const used = writes ? [READ, WRITE] : [READ];
    const unshared = [WRITE, RESIZE];
    for (const byte of [...used.map((way) => USED + way), ...unshared.map((way) => UNSHARED + way)]) if (this.#fcntl(fd, F_OFD_SETLK, flock(F_RDLCK, byte)) !== 0) return true;
    return [...used.map((way) => UNSHARED + way), ...unshared.map((way) => USED + way)].every((byte) => {
      const lock = flock(F_WRLCK, byte);
      return this.#fcntl(fd, F_OFD_GETLK, lock) !== 0 || lock[0] === F_UNLCK;
    });
  }
}

/** struct flock of a 64-bit Linux: type, whence (from the start), first byte, length, owner. */
function flock(type: number, byte: number): Uint8Array {
  const lock = new Uint8Array(32);
  const view = new DataView(lock.buffer);
  view.setInt16(0, type, true);
  view.setBigInt64(8, BigInt(byte), true);
  view.setBigInt64(16, 1n, true);
  return lock;
}
