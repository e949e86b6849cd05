import type { Plain } from '../../base/plain.ts';
import type { ByteSink } from '../../host/bytes.ts';
import { ByteQueue } from '../byte-queue.ts';
import { StateFields } from '../state-fields.ts';
import type { Virtqueue } from './virtqueue.ts';

const PIECE = 0x10000;
/** Of one buffer: what the host keeps of it until it can hand it on. */
const LONGEST_BUFFER = 16 << 20;
export const STORED_INPUT_MAX = 1 << 30;

/** One stream of a console device, both ways. */
export class ConsolePort {
  readonly id: number;
  /** Undefined: the console itself. */
  readonly name: string | undefined;
  readonly #sink: ByteSink;
  readonly #waiting = new ByteQueue();
  /** Waits for the sink. */
  #held = false;
  #receive: Virtqueue | undefined;
  #transmit: Virtqueue | undefined;
  /** The guest has it open, so it takes what is typed. */
  guestOpen = false;
  /** Somebody on the host has it open. */
  hostOpen = true;
  /** The driver wants to know, and what it was told of that. */
  ready = false;
  told = false;

  constructor(id: number, name: string | undefined, sink: ByteSink) {
    this.id = id;
    this.name = name;
    this.#sink = sink;
  }

  attach(receive: Virtqueue | undefined, transmit: Virtqueue | undefined): void {
    this.#receive = receive;
    this.#transmit = transmit;
  }
  /** As a driver finds it that begins. `open`: it cannot say whether it has it open. */
  begin(open: boolean): void {
    this.guestOpen = open;
    this.ready = false;
    this.told = false;
  }

  type(bytes: Uint8Array): void {
    this.#waiting.pushAll(bytes);
    this.deliver();
  }
  get unread(): number {
    return this.#waiting.length;
  }

  /** To the guest. */
  deliver(): void {
    const queue = this.#receive;
    while (queue !== undefined && this.guestOpen && this.#waiting.length > 0) {
      const chain = queue.pop();
      if (chain === undefined) return;
      const bytes = Uint8Array.from({ length: Math.min(this.#waiting.length, chain.writable.bytes) }, () => this.#waiting.shift()!);
      queue.push(chain, chain.writable.write(0, bytes));
    }
  }

  /** From the guest, as long as the host takes it; what nobody on the host is there for is lost, as on a serial line. */
  transmit(): void {
    const queue = this.#transmit;
    while (queue !== undefined && !this.#held) {
      const full = this.#sink.ready?.();
      if (full !== undefined) return this.#hold(full);
      const chain = queue.pop();
      if (chain === undefined) return;
      if (chain.readable.bytes > LONGEST_BUFFER) return queue.fail('a buffer to be sent is longer than 16 MiB');
      for (let at = 0; at < chain.readable.bytes && this.hostOpen; at += PIECE) {
        const bytes = new Uint8Array(Math.min(PIECE, chain.readable.bytes - at));
        chain.readable.read(at, bytes);
        this.#sink.write(bytes);
      }
      queue.push(chain, 0);
    }
  }
  #hold(full: Promise<void>): void {
    this.#held = true;
    const goOn = (): void => {
      this.#held = false;
      this.transmit();
    };
    void full.then(goOn, goOn);
  }

  save(): Readonly<Record<string, Plain>> {
    return { waiting: this.#waiting.toBytes(), guestOpen: this.guestOpen, ready: this.ready, told: this.told };
  }
  load(fields: StateFields): void {
    const waiting = fields.bytes('waiting', STORED_INPUT_MAX);
    this.guestOpen = fields.boolean('guestOpen');
    this.ready = fields.boolean('ready');
    this.told = fields.boolean('told');
    this.#waiting.replace(waiting);
  }
}
