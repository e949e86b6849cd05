import type { Plain } from '../../base/plain.ts';
import type { FolderPort } from '../../host/folders.ts';
import { HEADER_BYTES } from '../sharing/messages.ts';
import { ERROR_BYTES, P9Server } from '../sharing/p9-server.ts';
import type { DescriptorChain } from './descriptor-chain.ts';
import type { DriverSide, VirtioDevice } from './virtio-device.ts';
import type { Virtqueue } from './virtqueue.ts';

// 9P transport (device type 9 of virtio 1.2, chapter 5, which says no more of it; Linux's include/uapi/linux/virtio_9p.h does): a
// request is what the device reads, its answer what it writes, and the configuration holds the name to mount by.

const MOUNT_TAG = 1n;
const QUEUE_SIZE = 128;

export interface Virtio9pOptions {
  /** By which the guest mounts it: ASCII. */
  readonly tag: string;
  readonly folder: FolderPort;
}

export class Virtio9p implements VirtioDevice {
  readonly name = 'virtio-9p';
  readonly type = 9;
  readonly classCode = 0x018000;
  readonly features = MOUNT_TAG;
  readonly queueSizes = [QUEUE_SIZE];
  readonly config: Uint8Array;
  readonly #server: P9Server;
  readonly #running = new Set<Promise<void>>();
  #queue: Virtqueue | undefined;

  constructor({ tag, folder }: Virtio9pOptions) {
    this.#server = new P9Server(folder);
    this.config = Uint8Array.of(tag.length, 0, ...Uint8Array.from(tag, (letter) => letter.charCodeAt(0)));
  }

  writeConfig(): void {} // nothing in it is the driver's to write

  start(driver: DriverSide): void {
    this.#queue = driver.queues[0];
    if (driver.begins) void this.#server.reset();
    for (const chain of this.#queue?.inFlight ?? []) this.#serve(this.#queue!, chain);
  }
  stop(): void {
    this.#queue = undefined;
  }

  notified(): void {
    const queue = this.#queue;
    for (let chain = queue?.pop(); chain !== undefined; chain = queue!.pop()) this.#serve(queue!, chain);
  }

  #serve(queue: Virtqueue, chain: DescriptorChain): void {
    if (chain.readable.bytes < HEADER_BYTES || chain.writable.bytes < ERROR_BYTES) {
      queue.fail('a request has no header, or no room for an answer');
      return;
    }
    const message = new Uint8Array(Math.min(chain.readable.bytes, this.#server.longest));
    chain.readable.read(0, message);
    const work = this.#server.answer(message, chain.writable.bytes).then((answer) => {
      // The device was reset meanwhile: nobody waits, and the memory is not ours any more.
      if (this.#queue === queue) queue.push(chain, chain.writable.write(0, answer));
    });
    this.#running.add(work);
    void work.then(() => this.#running.delete(work));
  }

  /** Settles when nothing is under way. */
  async idle(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  /** Files by their places. What is under way is done anew after a load. */
  save(): Plain {
    return this.#server.save();
  }
  load(state: Plain): void {
    this.#server.load(state);
  }
}
