import type { AccessSize } from '../../base/addresses.ts';
import type { Plain } from '../../base/plain.ts';
import type { Virtqueue } from './virtqueue.ts';

/** What a driver has agreed to: handed to the device when it is ready. */
export interface DriverSide {
  readonly features: bigint;
  /** The driver has just become ready: what it, or another, has told the device over queues before does not count. */
  readonly begins: boolean;
  /** By number; undefined where the driver has enabled none. */
  readonly queues: readonly (Virtqueue | undefined)[];
  /** Tells the driver that the configuration has changed. */
  configChanged(): void;
}

/** A virtio device without its transport (virtio 1.2, chapter 5). */
export interface VirtioDevice {
  readonly name: string;
  /** Device type (chapter 5). */
  readonly type: number;
  /** PCI class code, 0xCCSSPP. */
  readonly classCode: number;
  /** Features of this type of device; those of queues and transport are not its business. */
  readonly features: bigint;
  /** The largest number of entries of each queue, powers of two. */
  readonly queueSizes: readonly number[];
  /** Device-specific configuration as it reads now. */
  readonly config: Uint8Array;
  writeConfig(offset: number, size: AccessSize, value: number): void;
  /** The driver is ready (DRIVER_OK), or a stored state is taken up: then queues may have buffers in flight. */
  start(driver: DriverSide): void;
  /** There may be new buffers in a queue. Only between `start` and `stop`. */
  notified(queue: number): void;
  /** Reset, by the driver or the machine: no guest memory is touched afterwards. */
  stop(): void;
  /** State besides queues and configuration. */
  save(): Plain;
  load(state: Plain): void;
}
