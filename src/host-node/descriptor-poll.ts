import { loadKoffi } from './koffi.ts';
import type { CFunction } from './koffi.ts';

// Descriptors that Node's event loop does not watch, character devices say: one thread of its pool sleeps in poll(2) for all of
// them, and only while somebody waits.

const POLLIN = 1;
/** struct pollfd: descriptor, events, what happened. */
const ENTRY_BYTES = 8;
const EFD_FLAGS = 0o2004000; // EFD_CLOEXEC | EFD_NONBLOCK

export class DescriptorPoll {
  readonly #poll: CFunction;
  readonly #read: CFunction;
  readonly #write: CFunction;
  /** An eventfd that ends a poll early. */
  readonly #bell: number;
  readonly #waiting = new Map<number, () => void>();
  #polling = false;

  private constructor() {
    const c = loadKoffi().load(null);
    this.#poll = c.func('int poll(void *descriptors, unsigned long count, int timeout)');
    this.#read = c.func('long read(int fd, void *bytes, size_t count)');
    this.#write = c.func('long write(int fd, void *bytes, size_t count)');
    this.#bell = c.func('int eventfd(unsigned int value, int flags)')(0, EFD_FLAGS);
    // A thread that sleeps on would keep the process from ending.
    process.on('exit', () => this.#ring());
  }

  static #shared: DescriptorPoll | undefined;
  /** Throws where there is no FFI. */
  static shared(): DescriptorPoll {
    return (this.#shared ??= new DescriptorPoll());
  }

  /** Calls `ready` once, from the event loop, when there is something to read. */
  wait(fd: number, ready: () => void): void {
    this.#waiting.set(fd, ready);
    if (this.#polling) this.#ring();
    else this.#start();
  }
  /** To be called before the descriptor is closed. */
  forget(fd: number): void {
    if (this.#waiting.delete(fd) && this.#polling) this.#ring();
  }

  #ring(): void {
    this.#write(this.#bell, new Uint8Array(BigUint64Array.of(1n).buffer), 8);
  }

  #start(): void {
    const watched = [this.#bell, ...this.#waiting.keys()];
    const entries = new DataView(new ArrayBuffer(ENTRY_BYTES * watched.length));
    watched.forEach((fd, i) => {
      entries.setInt32(ENTRY_BYTES * i, fd, true);
      entries.setInt16(ENTRY_BYTES * i + 4, POLLIN, true);
    });
    this.#polling = true;
    this.#poll.async(new Uint8Array(entries.buffer), watched.length, -1, () => {
      this.#polling = false;
      const happened = watched.filter((_, i) => entries.getInt16(ENTRY_BYTES * i + 6, true) !== 0);
      if (happened.includes(this.#bell)) this.#read(this.#bell, new Uint8Array(8), 8);
      for (const fd of happened) this.#tell(fd);
      if (!this.#polling && this.#waiting.size > 0) this.#start();
    });
  }

  #tell(fd: number): void {
    const ready = this.#waiting.get(fd);
    this.#waiting.delete(fd);
    ready?.();
  }
}
