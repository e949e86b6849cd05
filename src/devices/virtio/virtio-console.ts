import type { Plain } from '../../base/plain.ts';
import type { ByteSink } from '../../host/bytes.ts';
import { ByteQueue } from '../byte-queue.ts';
import { StateFields } from '../state-fields.ts';
import type { DriverSide, VirtioDevice } from './virtio-device.ts';
import type { Virtqueue } from './virtqueue.ts';

const RECEIVE = 0;
const TRANSMIT = 1;
const PIECE = 0x10000;
const STORED_INPUT_MAX = 1 << 30;

/** Console device with one port (virtio 1.2, section 5.3). */
export class VirtioConsole implements VirtioDevice {
  readonly name = 'virtio-console';
  readonly type = 3;
  readonly classCode = 0x078000;
  readonly features = 0n;
  readonly queueSizes = [64, 64];
  /** Nothing in it is valid without features. */
  readonly config = new Uint8Array(12);
  readonly #sink: ByteSink;
  readonly #waiting = new ByteQueue();
  #queues: readonly (Virtqueue | undefined)[] = [];

  constructor(sink: ByteSink) {
    this.#sink = sink;
  }

  /** Bytes typed; they wait until the guest has room for them. */
  receive(bytes: Uint8Array): void {
    this.#waiting.pushAll(bytes);
    this.#deliver();
  }
  get unread(): number {
    return this.#waiting.length;
  }

  writeConfig(): void {}
  start(driver: DriverSide): void {
    this.#queues = driver.queues;
  }
  stop(): void {
    this.#queues = [];
  }

  notified(index: number): void {
    if (index === RECEIVE) this.#deliver();
    else if (index === TRANSMIT) this.#transmit();
  }

  #transmit(): void {
    const queue = this.#queues[TRANSMIT];
    for (let chain = queue?.pop(); chain !== undefined; chain = queue?.pop()) {
      for (let at = 0; at < chain.readable.bytes; at += PIECE) {
        const bytes = new Uint8Array(Math.min(PIECE, chain.readable.bytes - at));
        chain.readable.read(at, bytes);
        this.#sink.write(bytes);
      }
      queue!.push(chain, 0);
    }
  }

  #deliver(): void {
    const queue = this.#queues[RECEIVE];
    while (queue !== undefined && this.#waiting.length > 0) {
      const chain = queue.pop();
      if (chain === undefined) return;
      const bytes = Uint8Array.from({ length: Math.min(this.#waiting.length, chain.writable.bytes) }, () => this.#waiting.shift()!);
      queue.push(chain, chain.writable.write(0, bytes));
    }
  }

  save(): Plain {
    return { waiting: this.#waiting.toBytes() };
  }
  load(state: Plain): void {
    this.#waiting.replace(new StateFields(this.name, state, 1, 1).bytes('waiting', STORED_INPUT_MAX));
  }
}
