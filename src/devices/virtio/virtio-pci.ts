import type { AccessSize } from '../../base/addresses.ts';
import type { Plain } from '../../base/plain.ts';
import type { Log } from '../../host/log.ts';
import type { GuestMemory } from '../../memory/guest-memory.ts';
import type { RegisterBlock } from '../../wiring/register-block.ts';
import { readBytewise } from '../byte-registers.ts';
import type { BusChange } from '../pci/bus-change.ts';
import { CAPABILITY_VENDOR } from '../pci/capabilities.ts';
import type { PciCapability } from '../pci/capabilities.ts';
import { PciEndpoint } from '../pci/endpoint.ts';
import type { PciWiring } from '../pci/endpoint.ts';
import { StateFields } from '../state-fields.ts';
import { CommonConfig } from './common-config.ts';
import { VirtioCore } from './virtio-core.ts';
import type { VirtioDevice } from './virtio-device.ts';

// Virtio over PCI (virtio 1.2, section 4.1), without the legacy interface.

const VENDOR = 0x1af4;
const DEVICE_BASE = 0x1040;
const BAR = 0;
const BAR_BYTES = 0x8000;
const COMMON = 0x0000;
const ISR = 0x1000;
const DEVICE = 0x2000;
const NOTIFY = 0x3000;
const MSIX = 0x4000;
const PART_BYTES = 0x1000;
const NOTIFY_MULTIPLIER = 4;
const ISR_QUEUE = 1;
const ISR_CONFIG = 2;

// The window's capability holds the accessed part and, behind it, the data (4.1.4.9).
const WINDOW_BAR = 4;
const WINDOW_OFFSET = 8;
const WINDOW_LENGTH = 12;
const WINDOW_DATA = 16;

/** struct virtio_pci_cap; `more` are registers behind it. */
function part(type: number, offset: number, length: number, more: PciCapability['registers'] = []): PciCapability {
  const bytes = 16 + 4 * more.length;
  return {
    id: CAPABILITY_VENDOR,
    length: bytes,
    registers: [{ offset: 2, size: 1, reset: bytes }, { offset: 3, size: 1, reset: type }, { offset: 4, size: 1, reset: BAR }, { offset: 8, size: 4, reset: offset }, { offset: 12, size: 4, reset: length }, ...more],
  };
}

const capabilities: readonly PciCapability[] = [
  part(1, COMMON, CommonConfig.BYTES),
  part(2, NOTIFY, PART_BYTES, [{ offset: 16, size: 4, reset: NOTIFY_MULTIPLIER }]),
  part(3, ISR, 1),
  part(4, DEVICE, PART_BYTES),
  {
    id: CAPABILITY_VENDOR,
    length: 20,
    registers: [
      { offset: 2, size: 1, reset: 20 }, { offset: 3, size: 1, reset: 5 }, { offset: WINDOW_BAR, size: 1, reset: 0, writable: 0xff },
      { offset: WINDOW_OFFSET, size: 4, reset: 0, writable: 0xffffffff }, { offset: WINDOW_LENGTH, size: 4, reset: 0, writable: 0xffffffff },
    ],
  },
];

export class VirtioPci extends PciEndpoint {
  readonly #core: VirtioCore;
  readonly #common: CommonConfig;
  readonly #bar: RegisterBlock;
  readonly #windowAt: number;
  #isr = 0;

  constructor(device: VirtioDevice, wiring: PciWiring & { readonly memory: GuestMemory; readonly log: Log }) {
    const bar: RegisterBlock = { name: device.name, length: BAR_BYTES, read: (offset, size) => this.#read(offset, size), write: (offset, size, value) => this.#write(offset, size, value) };
    super({
      name: device.name,
      identity: { vendor: VENDOR, device: DEVICE_BASE + device.type, revision: 1, classCode: device.classCode, subsystemVendor: VENDOR, subsystem: DEVICE_BASE + device.type },
      bars: [{ index: BAR, space: 'memory', block: bar }],
      capabilities,
      // One vector for the configuration, one a queue.
      msix: { vectors: device.queueSizes.length + 1, bar: BAR, tableOffset: MSIX },
    }, wiring);
    this.#bar = bar;
    this.#windowAt = this.capabilityOffsets[4]!;
    this.#core = new VirtioCore(device, wiring.memory, {
      queueInterrupt: (queue) => this.#interrupt(ISR_QUEUE, this.#common.queueVector(queue)),
      configInterrupt: () => this.#interrupt(ISR_CONFIG, this.#common.configVector),
      mayAccessMemory: () => this.master,
      complain: (reason) => wiring.log.trace('device', reason),
    });
    this.#common = new CommonConfig(this.#core, device.queueSizes.length + 1);
  }

  /** 4.1.4.5: the ISR register serves INTx only. */
  #interrupt(cause: number, vector: number): void {
    if (this.messagesEnabled) {
      this.sendVector(vector);
      return;
    }
    this.#isr |= cause;
    this.setIntx(true);
  }

  protected override mastering(): void {
    this.#core.notifyAll();
  }

  #read(offset: number, size: AccessSize): number {
    if (offset < ISR) return this.#common.read(offset - COMMON, size);
    if (offset < DEVICE) return offset === ISR ? this.#takeIsr() : 0;
    if (offset < NOTIFY) return readBytewise(offset - DEVICE, size, (at) => this.#core.device.config[at] ?? 0);
    return offset < MSIX ? 0 : this.msix!.read(offset - MSIX, size);
  }

  #takeIsr(): number {
    const isr = this.#isr;
    this.#isr = 0;
    this.setIntx(false);
    return isr;
  }

  #write(offset: number, size: AccessSize, wide: number): void {
    const value = size === 4 ? wide : wide & (2 ** (8 * size) - 1);
    if (offset < ISR) {
      const before = this.#core.status;
      this.#common.write(offset - COMMON, size, value);
      // A reset of the device takes back its interrupts.
      if (before !== 0 && this.#core.status === 0) this.#takeIsr();
    } else if (offset >= MSIX) this.msix!.write(offset - MSIX, size, value);
    else if (offset >= NOTIFY) this.#core.notify((offset - NOTIFY) / NOTIFY_MULTIPLIER);
    else if (offset >= DEVICE) this.#core.device.writeConfig(offset - DEVICE, size, value);
  }

  override readConfig(offset: number, size: AccessSize): number {
    const window = this.#window(offset);
    return window === undefined ? super.readConfig(offset, size) : this.#read(window.offset, window.size);
  }

  override writeConfig(offset: number, size: AccessSize, value: number): readonly BusChange[] {
    const window = this.#window(offset);
    if (window !== undefined) this.#write(window.offset, window.size, value);
    return super.writeConfig(offset, size, value);
  }

  /** 4.1.4.9: where an access to the window's data goes; undefined elsewhere, and while the window makes no sense. */
  #window(offset: number): { offset: number; size: AccessSize } | undefined {
    if (offset !== this.#windowAt + WINDOW_DATA) return undefined;
    const at = this.config.read(this.#windowAt + WINDOW_OFFSET, 4);
    const length = this.config.read(this.#windowAt + WINDOW_LENGTH, 4);
    if (length !== 1 && length !== 2 && length !== 4) return undefined;
    if (this.config.read(this.#windowAt + WINDOW_BAR, 1) !== BAR || at % length !== 0 || at + length > this.#bar.length) return undefined;
    return { offset: at, size: length };
  }

  halt(): void {
    this.#core.device.stop();
  }

  protected override resetDevice(): void {
    this.#core.reset();
    this.#common.reset();
    this.#isr = 0;
  }

  protected override saveDevice(): Plain {
    return { core: this.#core.save(), common: this.#common.save(), isr: this.#isr };
  }

  protected override loadDevice(state: Plain): void {
    const fields = new StateFields(this.stateName, state, 1, 1);
    const isr = fields.integer('isr', ISR_QUEUE | ISR_CONFIG);
    this.#common.load(fields.nested('common'));
    this.#core.load(fields.nested('core'));
    this.#isr = isr;
  }
}
