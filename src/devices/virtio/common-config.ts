import type { AccessSize } from '../../base/addresses.ts';
import type { Plain } from '../../base/plain.ts';
import { StateFields } from '../state-fields.ts';
import { withHalf } from './virtio-core.ts';
import type { QueueSettings, VirtioCore } from './virtio-core.ts';

// struct virtio_pci_common_cfg (virtio 1.2, section 4.1.4.3).

const NO_VECTOR = 0xffff;
const U32 = 2 ** 32;

export class CommonConfig {
  static readonly BYTES = 56;
  readonly #core: VirtioCore;
  readonly #vectors: number;
  readonly #queueVectors: number[];
  #deviceSelect = 0;
  #driverSelect = 0;
  #queueSelect = 0;
  #configVector = NO_VECTOR;

  constructor(core: VirtioCore, vectors: number) {
    this.#core = core;
    this.#vectors = vectors;
    this.#queueVectors = Array.from({ length: core.queueCount }, () => NO_VECTOR);
  }

  get configVector(): number {
    return this.#configVector;
  }
  queueVector(queue: number): number {
    return this.#queueVectors[queue]!;
  }

  read(offset: number, size: AccessSize): number {
    const image = new DataView(new ArrayBuffer(CommonConfig.BYTES + 4));
    const core = this.#core;
    image.setUint32(0, this.#deviceSelect, true);
    image.setUint32(4, core.deviceFeatures(this.#deviceSelect), true);
    image.setUint32(8, this.#driverSelect, true);
    image.setUint32(12, core.driverFeatures(this.#driverSelect), true);
    image.setUint16(16, this.#configVector, true);
    image.setUint16(18, core.queueCount, true);
    image.setUint8(20, core.status);
    image.setUint8(21, core.configGeneration);
    image.setUint16(22, this.#queueSelect, true);
    const queue = core.settings(this.#queueSelect);
    if (queue !== undefined) this.#describe(image, queue);
    if (offset + size > CommonConfig.BYTES) return 0;
    return size === 4 ? image.getUint32(offset, true) : size === 2 ? image.getUint16(offset, true) : image.getUint8(offset);
  }

  #describe(image: DataView, queue: QueueSettings): void {
    image.setUint16(24, queue.size, true);
    image.setUint16(26, this.#queueVectors[this.#queueSelect]!, true);
    image.setUint16(28, queue.enabled ? 1 : 0, true);
    image.setUint16(30, this.#queueSelect, true); // notification offset, in multiples
    [queue.descriptors, queue.driver, queue.device].forEach((address, i) => {
      image.setUint32(32 + 8 * i, address % U32, true);
      image.setUint32(36 + 8 * i, Math.floor(address / U32), true);
    });
  }

  /** Every field by its own width, the addresses also by halves: drivers must do so (4.1.3.1). */
  write(offset: number, size: AccessSize, value: number): void {
    const core = this.#core;
    switch (offset) {
      case 0:
        if (size === 4) this.#deviceSelect = value;
        return;
      case 8:
        if (size === 4) this.#driverSelect = value;
        return;
      case 12:
        if (size === 4) core.setDriverFeatures(this.#driverSelect, value);
        return;
      case 16:
        if (size === 2) this.#configVector = this.#checkVector(value);
        return;
      case 20:
        if (size === 1) this.#setStatus(value);
        return;
      case 22:
        if (size === 2) this.#queueSelect = value;
        return;
      default:
        this.#writeQueue(offset, size, value);
    }
  }

  #setStatus(value: number): void {
    this.#core.setStatus(value);
    if (value === 0) this.reset();
  }

  #writeQueue(offset: number, size: AccessSize, value: number): void {
    const queue = this.#core.settings(this.#queueSelect);
    if (queue === undefined) return;
    if (offset === 26 && size === 2) this.#queueVectors[this.#queueSelect] = this.#checkVector(value);
    if (queue.enabled) return;
    if (offset === 24 && size === 2) queue.size = Math.min(value, this.#core.device.queueSizes[this.#queueSelect]!);
    else if (offset === 28 && size === 2 && value === 1) this.#core.enableQueue(this.#queueSelect);
    else if (size === 4) setHalf(queue, offset, value);
  }

  /** A vector that is not there reads back as none (4.1.5.1.2). */
  #checkVector(value: number): number {
    return value < this.#vectors ? value : NO_VECTOR;
  }

  reset(): void {
    this.#deviceSelect = this.#driverSelect = this.#queueSelect = 0;
    this.#configVector = NO_VECTOR;
    this.#queueVectors.fill(NO_VECTOR);
  }

  save(): Plain {
    return { deviceSelect: this.#deviceSelect, driverSelect: this.#driverSelect, queueSelect: this.#queueSelect, configVector: this.#configVector, queueVectors: [...this.#queueVectors] };
  }
  load(state: Plain): void {
    const fields = new StateFields('virtio-pci', state, 1, 1);
    const selects = [fields.integer('deviceSelect', U32 - 1), fields.integer('driverSelect', U32 - 1), fields.integer('queueSelect', 0xffff)] as const;
    const configVector = fields.integer('configVector', NO_VECTOR);
    const queueVectors = fields.integers('queueVectors', this.#queueVectors.length, NO_VECTOR);
    [this.#deviceSelect, this.#driverSelect, this.#queueSelect] = selects;
    this.#configVector = this.#checkVector(configVector);
    this.#queueVectors.forEach((_, queue) => (this.#queueVectors[queue] = this.#checkVector(queueVectors[queue] ?? NO_VECTOR)));
  }
}

function setHalf(queue: QueueSettings, offset: number, value: number): void {
  const field = (['descriptors', 'driver', 'device'] as const)[(offset - 32) >> 3];
  if (field === undefined || offset % 4 !== 0) return;
  queue[field] = withHalf(queue[field], offset % 8 !== 0, value);
}
