import type { AccessSize } from '../../base/addresses.ts';
import type { Plain, Stateful } from '../../base/plain.ts';
import type { RegisterBlock } from '../../wiring/register-block.ts';
import { StateFields } from '../state-fields.ts';
import type { PciBus } from './pci-bus.ts';

const ENABLE = 0x80000000;
const ADDRESS_BITS = 0x80fffffc;

/**
 * Configuration mechanism #1 (PCI Local Bus Specification 3.0, section 3.2.2.3.2): eight ports from CF8h. Only a
 * doubleword access reaches CONFIG_ADDRESS; narrower ones are ordinary I/O, of which CF9h is the reset register.
 */
export class PciConfigPorts implements RegisterBlock, Stateful {
  readonly name = 'pci-config';
  readonly length = 8;
  readonly stateName = 'pci-config-ports';
  readonly stateVersion = 1;
  readonly #bus: PciBus;
  readonly #resetControl: RegisterBlock | undefined;
  #address = 0;

  constructor(bus: PciBus, resetControl?: RegisterBlock) {
    this.#bus = bus;
    this.#resetControl = resetControl;
  }

  reset(): void {
    this.#address = 0;
  }

  read(offset: number, size: AccessSize): number {
    if (offset >= 4) return this.#data(offset, size);
    if (offset === 0 && size === 4) return this.#address;
    if (offset === 1 && size === 1 && this.#resetControl) return this.#resetControl.read(0, 1);
    return 0xffffffff >>> (32 - 8 * size);
  }

  #data(offset: number, size: AccessSize): number {
    // An access that runs over the doubleword's end reads nothing; the bus splits those of real processors.
    if (!(this.#address & ENABLE) || offset + size > 8) return 0xffffffff >>> (32 - 8 * size);
    const { bus, slot, func, register } = this.#target();
    return this.#bus.readConfig(bus, slot, func, register + offset - 4, size) >>> 0;
  }

  write(offset: number, size: AccessSize, value: number): void {
    if (offset >= 4) {
      if (!(this.#address & ENABLE) || offset + size > 8) return;
      const { bus, slot, func, register } = this.#target();
      this.#bus.writeConfig(bus, slot, func, register + offset - 4, size, value);
    } else if (offset === 0 && size === 4) {
      this.#address = (value & ADDRESS_BITS) >>> 0;
    } else if (offset === 1 && size === 1) {
      this.#resetControl?.write(0, 1, value);
    }
  }

  #target(): { bus: number; slot: number; func: number; register: number } {
    const address = this.#address;
    return { bus: (address >>> 16) & 0xff, slot: (address >>> 11) & 31, func: (address >>> 8) & 7, register: address & 0xfc };
  }

  save(): Plain {
    return { address: this.#address };
  }

  load(state: Plain, version: number): void {
    const address = new StateFields(this.stateName, state, version, this.stateVersion).integer('address', 0xffffffff);
    this.#address = (address & ADDRESS_BITS) >>> 0;
  }
}
