import type { PhysicalAddress } from '../../base/addresses.ts';
import type { Plain } from '../../base/plain.ts';
import type { DescriptorChain } from './descriptor-chain.ts';

/** Where a driver has put a queue, and what it has negotiated about it. */
export interface RingPlace {
  readonly size: number;
  readonly descriptors: PhysicalAddress;
  /** Split: available ring; packed: driver event suppression. */
  readonly driver: PhysicalAddress;
  /** Split: used ring; packed: device event suppression. */
  readonly device: PhysicalAddress;
  /** VIRTIO_F_INDIRECT_DESC was negotiated. */
  readonly indirect: boolean;
  /** VIRTIO_F_EVENT_IDX was negotiated. */
  readonly eventIndex: boolean;
}

/** A buffer that is done, with `written` bytes in it. */
export interface UsedBuffer {
  readonly chain: DescriptorChain;
  readonly written: number;
}

/** The device's end of a queue in one of the two formats. Throws QueueError for what a driver must not do. */
export interface Ring {
  /** The next buffer; undefined when there is none, and then the driver has been told to notify. */
  pop(): DescriptorChain | undefined;
  /** Gives buffers back, which the driver sees all at once; true when it wants an interrupt for them. */
  push(buffers: readonly UsedBuffer[]): boolean;
  save(): Plain;
  load(state: Plain): void;
}
