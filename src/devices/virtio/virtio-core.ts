import { StateError } from '../../base/errors.ts';
import type { Plain } from '../../base/plain.ts';
import type { GuestMemory } from '../../memory/guest-memory.ts';
import { StateFields } from '../state-fields.ts';
import { QueueError } from './descriptor-chain.ts';
import { PackedRing } from './packed-ring.ts';
import type { RingPlace } from './ring.ts';
import { SplitRing } from './split-ring.ts';
import type { VirtioDevice } from './virtio-device.ts';
import { Virtqueue } from './virtqueue.ts';

// Status, features and queues of a virtio device (virtio 1.2, chapters 2 and 3, section 6), whatever its transport.

export const STATUS_DRIVER_OK = 4;
export const STATUS_FEATURES_OK = 8;
export const STATUS_NEEDS_RESET = 64;
const STATUS_BITS = 0xcf;

const feature = (bit: number): bigint => 1n << BigInt(bit);
export const FEATURE_INDIRECT = feature(28);
export const FEATURE_EVENT_INDEX = feature(29);
export const FEATURE_VERSION_1 = feature(32);
export const FEATURE_PACKED = feature(34);
const QUEUE_FEATURES = FEATURE_INDIRECT | FEATURE_EVENT_INDEX | FEATURE_VERSION_1 | FEATURE_PACKED;

/** What a driver has written about a queue. */
export interface QueueSettings {
  size: number;
  enabled: boolean;
  descriptors: number;
  driver: number;
  device: number;
}

const U32 = 2 ** 32;

/** A 64-bit address with one half replaced: drivers write addresses by halves. */
export function withHalf(address: number, high: boolean, value: number): number {
  return high ? value * U32 + (address % U32) : Math.floor(address / U32) * U32 + value;
}

export interface TransportEvents {
  queueInterrupt(queue: number): void;
  configInterrupt(): void;
  /** False while the transport keeps the device from guest memory. */
  mayAccessMemory(): boolean;
  /** A driver has broken a rule. */
  complain(reason: string): void;
}

export class VirtioCore {
  readonly device: VirtioDevice;
  readonly offered: bigint;
  readonly #memory: GuestMemory;
  readonly #events: TransportEvents;
  readonly #settings: QueueSettings[];
  readonly #queues: (Virtqueue | undefined)[];
  #status = 0;
  #accepted = 0n;
  #generation = 0;
  #running = false;

  constructor(device: VirtioDevice, memory: GuestMemory, events: TransportEvents) {
    this.device = device;
    this.offered = device.features | QUEUE_FEATURES;
    this.#memory = memory;
    this.#events = events;
    this.#settings = device.queueSizes.map((size) => ({ size, enabled: false, descriptors: 0, driver: 0, device: 0 }));
    this.#queues = device.queueSizes.map(() => undefined);
  }

  get status(): number {
    return this.#status;
  }
  /** Changes with every change of the configuration (2.5.1), modulo 256. */
  get configGeneration(): number {
    return this.#generation;
  }
  get queueCount(): number {
    return this.#settings.length;
  }

  /** Bits 32 * select and up. */
  deviceFeatures(select: number): number {
    return select > 1 ? 0 : Number((this.offered >> BigInt(32 * select)) & 0xffffffffn);
  }
  driverFeatures(select: number): number {
    return select > 1 ? 0 : Number((this.#accepted >> BigInt(32 * select)) & 0xffffffffn);
  }
  setDriverFeatures(select: number, value: number): void {
    if (select > 1 || (this.#status & STATUS_FEATURES_OK) !== 0) return;
    const shift = BigInt(32 * select);
    this.#accepted = (this.#accepted & ~(0xffffffffn << shift)) | (BigInt(value >>> 0) << shift);
  }

  /** 2.1 and 3.1: a driver adds bits in order, or resets with 0. */
  setStatus(value: number): void {
    if (value === 0) {
      this.reset();
      return;
    }
    const before = this.#status;
    let next = before | (value & STATUS_BITS & ~STATUS_NEEDS_RESET);
    if ((next & ~before & STATUS_FEATURES_OK) !== 0 && !this.#acceptable()) next &= ~STATUS_FEATURES_OK;
    if ((next & STATUS_FEATURES_OK) === 0) next &= ~STATUS_DRIVER_OK;
    this.#status = next;
    if ((next & ~before & STATUS_DRIVER_OK) !== 0) this.#start();
  }

  /** 6: only what was offered, and nothing without VERSION_1. */
  #acceptable(): boolean {
    return (this.#accepted & ~this.offered) === 0n && (this.#accepted & FEATURE_VERSION_1) !== 0n;
  }

  /** What the driver says about a queue, to be read and, until it is enabled, changed. */
  settings(queue: number): QueueSettings | undefined {
    return this.#settings[queue];
  }

  enableQueue(queue: number): void {
    const settings = this.#settings[queue];
    if (settings === undefined || settings.enabled || (this.#status & STATUS_FEATURES_OK) === 0) return;
    settings.enabled = true;
    try {
      if (settings.size > this.device.queueSizes[queue]!) throw new QueueError(`queue ${queue} has no ${settings.size} entries`);
      this.#queues[queue] = this.#makeQueue(queue, settings);
    } catch (error) {
      if (!(error instanceof QueueError)) throw error;
      this.#needsReset(error.message);
    }
  }

  /** The driver takes a queue back: its memory and what its buffers hold are not touched any more. */
  disableQueue(queue: number): void {
    const settings = this.#settings[queue];
    if (settings === undefined) return;
    settings.enabled = false;
    if (this.#queues[queue] === undefined) return;
    this.#queues[queue] = undefined;
    if (!this.#running) return;
    // What the device has under way is abandoned, and taken up again in the queues that are left.
    this.device.stop();
    this.#handOver(false);
  }

  #makeQueue(index: number, settings: QueueSettings): Virtqueue {
    const has = (bit: bigint): boolean => (this.#accepted & bit) !== 0n;
    const place: RingPlace = { ...settings, indirect: has(FEATURE_INDIRECT), eventIndex: has(FEATURE_EVENT_INDEX) };
    const ring = has(FEATURE_PACKED) ? new PackedRing(this.#memory, place) : new SplitRing(this.#memory, place);
    return new Virtqueue(ring, settings.size, { interrupt: () => this.#events.queueInterrupt(index), broken: (reason) => this.#needsReset(reason) });
  }

  #start(): void {
    this.#running = true;
    this.#handOver(true);
    this.notifyAll();
  }

  #handOver(begins: boolean): void {
    this.device.start({ features: this.#accepted, begins, queues: this.#queues.slice(), configChanged: () => this.#configChanged() });
  }

  /** 2.1.2: says so, and does no more until the driver resets. */
  #needsReset(reason: string): void {
    this.#events.complain(`${this.device.name}: ${reason}`);
    if (this.#running) this.device.stop();
    this.#running = false;
    const told = (this.#status & STATUS_DRIVER_OK) !== 0;
    this.#status |= STATUS_NEEDS_RESET;
    if (told) this.#configChanged();
  }

  #configChanged(): void {
    this.#generation = (this.#generation + 1) & 0xff;
    this.#events.configInterrupt();
  }

  notify(queue: number): void {
    if (this.#running && this.#queues[queue] !== undefined && this.#events.mayAccessMemory()) this.device.notified(queue);
  }
  /** A look at all queues: notifications before the device was ready have had no effect. */
  notifyAll(): void {
    for (let queue = 0; queue < this.#queues.length; queue++) this.notify(queue);
  }

  reset(): void {
    if (this.#running) this.device.stop();
    this.#running = false;
    this.#status = 0;
    this.#accepted = 0n;
    this.#settings.forEach((settings, queue) => {
      Object.assign(settings, { size: this.device.queueSizes[queue]!, enabled: false, descriptors: 0, driver: 0, device: 0 });
      this.#queues[queue] = undefined;
    });
  }

  save(): Plain {
    return {
      status: this.#status, accepted: this.#accepted, generation: this.#generation, running: this.#running,
      settings: this.#settings.map((settings) => ({ ...settings })),
      queues: this.#queues.map((queue) => queue?.save() ?? null),
      device: this.device.save(),
    };
  }

  /** Takes up buffers in flight: the device does anew what it has not answered. */
  load(state: Plain): void {
    const { name } = this.device;
    const fields = new StateFields(name, state, 1, 1);
    const accepted = (state as { readonly accepted?: Plain }).accepted;
    const [status, generation, running] = [fields.integer('status', STATUS_BITS), fields.byte('generation'), fields.boolean('running')];
    // Until both sides have agreed, a driver may have written anything.
    const possible = (status & STATUS_FEATURES_OK) !== 0 ? this.offered : 2n ** 64n - 1n;
    if (typeof accepted !== 'bigint' || (accepted & ~possible) !== 0n) throw new StateError(`${name}: field accepted has features that this device has not`);
    const settings = fields.list('settings', this.queueCount).map((entry, queue) => loadSettings(name, entry, this.device.queueSizes[queue]!));
    const queues = fields.list('queues', this.queueCount);
    if (settings.length !== this.queueCount || queues.length !== this.queueCount) throw new StateError(`${name}: the stored device has other queues`);
    this.reset();
    this.#accepted = accepted;
    this.#status = status;
    this.#generation = generation;
    settings.forEach((stored, queue) => {
      Object.assign(this.#settings[queue]!, stored);
      const contents = queues[queue]!;
      if (contents === null) return;
      this.#queues[queue] = this.#loadQueue(queue, stored, contents);
    });
    this.device.load(fields.nested('device'));
    this.#running = running;
    if (running) this.#handOver(false);
  }

  #loadQueue(index: number, settings: QueueSettings, contents: Plain): Virtqueue {
    try {
      const queue = this.#makeQueue(index, settings);
      queue.load(contents, this.#memory);
      return queue;
    } catch (error) {
      if (error instanceof QueueError) throw new StateError(`${this.device.name}: ${error.message}`);
      throw error;
    }
  }
}

function loadSettings(name: string, state: Plain, largest: number): QueueSettings {
  const fields = new StateFields(name, state, 1, 1);
  const address = (key: string): number => fields.integer(key, 2 ** 64);
  return { size: fields.integer('size', largest), enabled: fields.boolean('enabled'), descriptors: address('descriptors'), driver: address('driver'), device: address('device') };
}
