import type { AccessSize } from '../../base/addresses.ts';
import type { Plain } from '../../base/plain.ts';
import { StateFields } from '../state-fields.ts';
import type { DriverSide, VirtioDevice } from './virtio-device.ts';
import type { Virtqueue } from './virtqueue.ts';

// Input device (virtio 1.2, section 5.8). Events are Linux's (its include/uapi/linux/input-event-codes.h).

const QUEUE_SIZE = 64;
const EVENTS = 0;
const STATUS = 1;
const EVENT_BYTES = 8;
/** What waits for the driver's buffers; more is lost, the whole of what happened at a time. */
const MOST_WAITING = 1024;

/** What the driver may ask of the configuration (5.8.4). */
const ASK = { name: 1, serial: 2, ids: 3, properties: 0x10, events: 0x11, axis: 0x12 } as const;
const CONFIG_BYTES = 136;
const SIZE_AT = 2;
const ANSWER_AT = 8;
const BUS_VIRTUAL = 6;

export const EVENT = { synchronize: 0, key: 1, relative: 2, absolute: 3, repeat: 0x14 } as const;

/** One thing that has happened. */
export interface InputEvent {
  readonly type: number;
  readonly code: number;
  readonly value: number;
}

export interface InputAxis {
  readonly code: number;
  readonly min: number;
  readonly max: number;
}

export interface VirtioInputOptions {
  /** Shown by the guest: at most 128 ASCII characters. */
  readonly name: string;
  /** Tells devices of one maker apart. */
  readonly product: number;
  /** Codes by type of event. */
  readonly codes: Readonly<Partial<Record<number, readonly number[]>>>;
  readonly axes: readonly InputAxis[];
}

/** A keyboard, a pointer: whatever sends events. */
export class VirtioInput implements VirtioDevice {
  readonly name = 'virtio-input';
  readonly type = 18;
  readonly classCode = 0x090000;
  readonly features = 0n;
  readonly queueSizes = [QUEUE_SIZE, QUEUE_SIZE];
  readonly config = new Uint8Array(CONFIG_BYTES);
  readonly #options: VirtioInputOptions;
  #queues: readonly (Virtqueue | undefined)[] = [];
  #waiting: Uint8Array[] = [];

  constructor(options: VirtioInputOptions) {
    this.#options = options;
  }

  /** A driver listens. */
  get active(): boolean {
    return this.#queues.length > 0;
  }

  /** What has happened at once. */
  send(events: readonly InputEvent[]): void {
    if (!this.active || this.#waiting.length + events.length >= MOST_WAITING) return;
    this.#waiting.push(...[...events, { type: EVENT.synchronize, code: 0, value: 0 }].map(encode));
    this.#deliver();
  }

  writeConfig(offset: number, size: AccessSize, value: number): void {
    // 5.8.5.1: select and subsel; a driver may write both at once.
    for (let i = 0; i < size; i++) if (offset + i < SIZE_AT) this.config[offset + i] = (value >>> (8 * i)) & 0xff;
    this.#answer();
  }
  #answer(): void {
    const [select, subsel] = this.config;
    const answer = this.#asked(select!, subsel!);
    this.config.fill(0, SIZE_AT);
    this.config[SIZE_AT] = answer.length;
    this.config.set(answer, ANSWER_AT);
  }
  /** Nothing: there is none such. */
  #asked(select: number, subsel: number): Uint8Array {
    const { name, product, codes, axes } = this.#options;
    const axis = axes.find(({ code }) => code === subsel);
    switch (select) {
      case ASK.name: return Uint8Array.from(name, (letter) => letter.charCodeAt(0));
      case ASK.ids: return new Uint8Array(Uint16Array.of(BUS_VIRTUAL, 0x1af4, product, 1).buffer);
      case ASK.events: return bitmap(codes[subsel] ?? []);
      case ASK.axis: return axis === undefined ? new Uint8Array() : new Uint8Array(Uint32Array.of(axis.min, axis.max, 0, 0, 0).buffer);
      default: return new Uint8Array();
    }
  }

  start(driver: DriverSide): void {
    this.#queues = driver.queues;
    if (driver.begins) this.#waiting = [];
  }
  stop(): void {
    this.#queues = [];
  }

  notified(index: number): void {
    if (index === EVENTS) this.#deliver();
    else if (index === STATUS) this.#takeStatus();
  }

  #deliver(): void {
    const queue = this.#queues[EVENTS];
    while (this.#waiting.length > 0) {
      const chain = queue?.pop();
      if (chain === undefined) return;
      queue!.push(chain, chain.writable.write(0, this.#waiting.shift()!));
    }
  }

  /** Lamps, which there are none of. */
  #takeStatus(): void {
    const queue = this.#queues[STATUS];
    for (let chain = queue?.pop(); chain !== undefined; chain = queue!.pop()) queue!.push(chain, 0);
  }

  save(): Plain {
    return { select: this.config[0]!, subsel: this.config[1]!, waiting: this.#waiting };
  }
  load(state: Plain): void {
    const fields = new StateFields(this.name, state, 1, 1);
    const waiting = fields.list('waiting', MOST_WAITING + 1).map((bytes) => new StateFields(this.name, { bytes }, 1, 1).exactBytes('bytes', EVENT_BYTES));
    this.config.set([fields.byte('select'), fields.byte('subsel')]);
    this.#answer();
    this.#waiting = waiting;
  }
}

function encode({ type, code, value }: InputEvent): Uint8Array {
  const bytes = new Uint8Array(EVENT_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, type, true);
  view.setUint16(2, code, true);
  view.setInt32(4, value, true);
  return bytes;
}

function bitmap(codes: readonly number[]): Uint8Array {
  const bits = new Uint8Array(codes.length === 0 ? 0 : (Math.max(...codes) >> 3) + 1);
  for (const code of codes) bits[code >> 3]! |= 1 << (code & 7);
  return bits;
}
