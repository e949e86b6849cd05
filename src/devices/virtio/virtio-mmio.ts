import type { AccessSize } from '../../base/addresses.ts';
import type { Plain, Stateful } from '../../base/plain.ts';
import type { Log } from '../../host/log.ts';
import type { GuestMemory } from '../../memory/guest-memory.ts';
import type { LevelLine } from '../../wiring/interrupt-line.ts';
import type { RegisterBlock } from '../../wiring/register-block.ts';
import { readBytewise } from '../byte-registers.ts';
import { StateFields } from '../state-fields.ts';
import { VirtioCore, withHalf } from './virtio-core.ts';
import type { VirtioDevice } from './virtio-device.ts';

// Virtio over MMIO (virtio 1.2, section 4.2), without the legacy interface.

export const VIRTIO_MMIO_BYTES = 0x1000;
const MAGIC = 0x74726976; // "virt"
const VERSION = 2;
const VENDOR = 0x504c5652;
const CONFIG = 0x100;
const INTERRUPT_QUEUE = 1;
const INTERRUPT_CONFIG = 2;
const U32 = 2 ** 32;
/** What length and base of a shared memory region say that is not there (4.2.2.1). */
const NO_SHARED_MEMORY = 0xffffffff;

export interface MmioWiring {
  readonly line: LevelLine;
  readonly memory: GuestMemory;
  readonly log: Log;
}

/** A virtio device whose registers are a page of memory, with an interrupt line of its own. */
export class VirtioMmio implements RegisterBlock, Stateful {
  readonly name: string;
  readonly length = VIRTIO_MMIO_BYTES;
  readonly stateName: string;
  readonly stateVersion = 1;
  readonly #core: VirtioCore;
  readonly #line: LevelLine;
  #deviceSelect = 0;
  #driverSelect = 0;
  #queueSelect = 0;
  #interrupts = 0;

  /** `place` tells devices of a machine apart. */
  constructor(device: VirtioDevice, place: number, wiring: MmioWiring) {
    this.name = device.name;
    this.stateName = `virtio-mmio-${place}`;
    this.#line = wiring.line;
    this.#core = new VirtioCore(device, wiring.memory, {
      queueInterrupt: () => this.#interrupt(INTERRUPT_QUEUE),
      configInterrupt: () => this.#interrupt(INTERRUPT_CONFIG),
      mayAccessMemory: () => true,
      complain: (reason) => wiring.log.trace('device', reason),
    });
  }

  #interrupt(cause: number): void {
    this.#setInterrupts(this.#interrupts | cause);
  }

  #setInterrupts(causes: number): void {
    this.#interrupts = causes;
    this.#line.set(causes !== 0);
  }

  /** Registers answer to aligned words only, the configuration to every width (4.2.2.2). */
  read(offset: number, size: AccessSize): number {
    const core = this.#core;
    if (offset >= CONFIG) return readBytewise(offset - CONFIG, size, (at) => core.device.config[at] ?? 0);
    if (size !== 4) return 0;
    const queue = core.settings(this.#queueSelect);
    switch (offset) {
      case 0x000: return MAGIC;
      case 0x004: return VERSION;
      case 0x008: return core.device.type;
      case 0x00c: return VENDOR;
      case 0x010: return core.deviceFeatures(this.#deviceSelect);
      case 0x034: return core.device.queueSizes[this.#queueSelect] ?? 0;
      case 0x044: return queue?.enabled === true ? 1 : 0;
      case 0x060: return this.#interrupts;
      case 0x070: return core.status;
      case 0x0b0: case 0x0b4: case 0x0b8: case 0x0bc: return NO_SHARED_MEMORY;
      case 0x0fc: return core.configGeneration;
      default: return 0;
    }
  }

  write(offset: number, size: AccessSize, value: number): void {
    if (offset >= CONFIG) {
      this.#core.device.writeConfig(offset - CONFIG, size, value);
      return;
    }
    if (size !== 4) return;
    switch (offset) {
      case 0x014: this.#deviceSelect = value; return;
      case 0x020: this.#core.setDriverFeatures(this.#driverSelect, value); return;
      case 0x024: this.#driverSelect = value; return;
      case 0x030: this.#queueSelect = value; return;
      case 0x044: this.#setReady(value); return;
      case 0x050: this.#core.notify(value); return;
      case 0x064: this.#setInterrupts(this.#interrupts & ~value); return;
      case 0x070: this.#setStatus(value); return;
      default: this.#writeQueue(offset, value);
    }
  }

  #setStatus(value: number): void {
    this.#core.setStatus(value);
    if (value === 0) this.#clear();
  }

  #setReady(value: number): void {
    if (value === 1) this.#core.enableQueue(this.#queueSelect);
    else if (value === 0) this.#core.disableQueue(this.#queueSelect);
  }

  #writeQueue(offset: number, value: number): void {
    const queue = this.#core.settings(this.#queueSelect);
    if (queue === undefined || queue.enabled) return;
    const high = (offset & 4) !== 0;
    switch (offset) {
      case 0x038: queue.size = Math.min(value, this.#core.device.queueSizes[this.#queueSelect]!); return;
      case 0x080: case 0x084: queue.descriptors = withHalf(queue.descriptors, high, value); return;
      case 0x090: case 0x094: queue.driver = withHalf(queue.driver, high, value); return;
      case 0x0a0: case 0x0a4: queue.device = withHalf(queue.device, high, value); return;
      default: // nothing there
    }
  }

  #clear(): void {
    this.#deviceSelect = this.#driverSelect = this.#queueSelect = 0;
    this.#setInterrupts(0);
  }

  reset(): void {
    this.#core.reset();
    this.#clear();
  }

  /** The machine has ended: what is under way stays under way. */
  halt(): void {
    this.#core.device.stop();
  }

  save(): Plain {
    return {
      device: this.name, deviceSelect: this.#deviceSelect, driverSelect: this.#driverSelect, queueSelect: this.#queueSelect, interrupts: this.#interrupts, core: this.#core.save(),
    };
  }

  load(state: Plain, version: number): void {
    const fields = new StateFields(this.stateName, state, version, this.stateVersion);
    fields.choice('device', [this.name]);
    const selects = [fields.integer('deviceSelect', U32 - 1), fields.integer('driverSelect', U32 - 1), fields.integer('queueSelect', U32 - 1)] as const;
    const interrupts = fields.integer('interrupts', INTERRUPT_QUEUE | INTERRUPT_CONFIG);
    this.#core.load(fields.nested('core'));
    [this.#deviceSelect, this.#driverSelect, this.#queueSelect] = selects;
    this.#setInterrupts(interrupts);
  }
}
