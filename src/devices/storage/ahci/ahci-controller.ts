import type { AccessSize } from '../../../base/addresses.ts';
import { StateError } from '../../../base/errors.ts';
import type { Plain } from '../../../base/plain.ts';
import type { BlockPort } from '../../../host/blocks.ts';
import type { GuestMemory } from '../../../memory/guest-memory.ts';
import type { RegisterBlock } from '../../../wiring/register-block.ts';
import { PciEndpoint } from '../../pci/endpoint.ts';
import type { PciWiring } from '../../pci/endpoint.ts';
import { StateFields } from '../../state-fields.ts';
import { AtaDisk } from '../ata/ata-disk.ts';
import { AhciPort } from './ahci-port.ts';

// A Serial ATA controller (AHCI 1.3.1) as of Intel's ICH9, a disk at each of its ports.

export const AHCI_PORTS = 6;
const VENDOR = 0x8086;
const DEVICE = 0x2922;
const BAR_BYTES = 0x1000;
const PORTS = 0x100;
const PORT_BYTES = 0x80;

const CAPABILITIES = 0x00;
const CONTROL = 0x04;
const INTERRUPTS = 0x08;
const PORTS_PRESENT = 0x0c;
const VERSION = 0x10;

/** 64-bit addresses, native queuing, override, 6 Gb/s, AHCI only, 32 slots. */
const CAPABILITY_BITS = 0x80000000 | 0x40000000 | 0x01000000 | 0x00300000 | 0x00040000 | (31 << 8);
const CONTROL_RESET = 1;
const CONTROL_INTERRUPTS = 2;
const CONTROL_AHCI = 0x80000000;

export interface AhciDisk {
  readonly serial: string;
  readonly block: BlockPort;
}

export class AhciController extends PciEndpoint {
  readonly #ports: readonly AhciPort[];
  #control = 0;
  /** By port. */
  #interrupts = 0;

  constructor(disks: readonly AhciDisk[], wiring: PciWiring & { readonly memory: GuestMemory }) {
    const bar: RegisterBlock = { name: 'ahci', length: BAR_BYTES, read: (offset, size) => this.#read(offset, size), write: (offset, size, value) => this.#write(offset, size, value) };
    super({ name: 'ahci', identity: { vendor: VENDOR, device: DEVICE, revision: 2, classCode: 0x010601 }, bars: [{ index: 5, space: 'memory', block: bar }], msi: true }, wiring);
    this.#ports = disks.map(({ block, serial }) => new AhciPort(new AtaDisk(block, serial), wiring.memory, { changed: () => this.#update(), mayAccessMemory: () => this.master }));
  }

  #read(offset: number, size: AccessSize): number {
    const value = this.#register(offset & ~3);
    return (value >>> (8 * (offset & 3))) & (size === 4 ? -1 : (1 << (8 * size)) - 1);
  }

  #register(offset: number): number {
    if (offset >= PORTS) return this.#ports[Math.floor((offset - PORTS) / PORT_BYTES)]?.read((offset - PORTS) % PORT_BYTES) ?? 0;
    switch (offset) {
      case CAPABILITIES: return (CAPABILITY_BITS | (this.#ports.length - 1)) >>> 0;
      case CONTROL: return (this.#control | CONTROL_AHCI) >>> 0;
      case INTERRUPTS: return this.#interrupts;
      case PORTS_PRESENT: return (1 << this.#ports.length) - 1;
      case VERSION: return 0x00010301;
      default: return 0;
    }
  }

  #write(offset: number, size: AccessSize, value: number): void {
    if (size !== 4) return; // 3: software writes registers whole
    if (offset >= PORTS) this.#ports[Math.floor((offset - PORTS) / PORT_BYTES)]?.write((offset - PORTS) % PORT_BYTES, value);
    else if (offset === INTERRUPTS) this.#acknowledge(value);
    else if (offset === CONTROL) {
      this.#control = value & CONTROL_INTERRUPTS;
      if ((value & CONTROL_RESET) !== 0) this.resetDevice();
      this.#update();
    }
  }

  /** A port that still has a cause sets its bit again, and sends another message. */
  #acknowledge(value: number): void {
    this.#interrupts &= ~value;
    this.#update();
  }

  #update(): void {
    const before = this.#interrupts;
    this.#ports.forEach((port, index) => (this.#interrupts |= port.interrupting ? 1 << index : 0));
    const enabled = (this.#control & CONTROL_INTERRUPTS) !== 0;
    this.setIntx(enabled && this.#interrupts !== 0);
    if (enabled && this.messagesEnabled && (this.#interrupts & ~before) !== 0) this.sendVector(0);
  }

  protected override mastering(): void {
    for (const port of this.#ports) port.work();
  }

  halt(): void {
    for (const port of this.#ports) port.halt();
  }

  protected override resetDevice(): void {
    this.#control = 0;
    this.#interrupts = 0;
    for (const port of this.#ports) port.reset();
    this.setIntx(false);
  }

  protected override saveDevice(): Plain {
    return { control: this.#control, interrupts: this.#interrupts, ports: this.#ports.map((port) => port.save()) };
  }
  protected override loadDevice(state: Plain): void {
    const fields = new StateFields('ahci', state, 1, 1);
    const [control, interrupts] = [fields.integer('control', CONTROL_INTERRUPTS), fields.integer('interrupts', (1 << AHCI_PORTS) - 1)];
    const ports = fields.list('ports', AHCI_PORTS);
    if (ports.length !== this.#ports.length) throw new StateError('ahci: the stored controller has other disks');
    this.#control = control;
    this.#interrupts = interrupts;
    ports.forEach((port, index) => this.#ports[index]!.load(port));
  }
}
