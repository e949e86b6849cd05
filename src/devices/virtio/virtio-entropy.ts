import type { Plain } from '../../base/plain.ts';
import type { Entropy } from '../../host/entropy.ts';
import type { DriverSide, VirtioDevice } from './virtio-device.ts';
import type { Virtqueue } from './virtqueue.ts';

/** Of one buffer: a driver that wants more asks again. */
const MOST_BYTES = 0x10000;

/** Entropy device (virtio 1.2, section 5.4). */
export class VirtioEntropy implements VirtioDevice {
  readonly name = 'virtio-rng';
  readonly type = 4;
  readonly classCode = 0x00ff00;
  readonly features = 0n;
  readonly queueSizes = [64];
  readonly config = new Uint8Array(0);
  readonly #entropy: Entropy;
  #queue: Virtqueue | undefined;

  constructor(entropy: Entropy) {
    this.#entropy = entropy;
  }

  writeConfig(): void {}
  start(driver: DriverSide): void {
    this.#queue = driver.queues[0];
  }
  stop(): void {
    this.#queue = undefined;
  }

  notified(): void {
    const queue = this.#queue;
    for (let chain = queue?.pop(); chain !== undefined; chain = queue?.pop()) {
      const bytes = new Uint8Array(Math.min(chain.writable.bytes, MOST_BYTES));
      this.#entropy.fill(bytes);
      queue!.push(chain, chain.writable.write(0, bytes));
    }
  }

  save(): Plain {
    return null;
  }
  load(): void {}
}
