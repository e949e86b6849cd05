import type { AccessSize } from '../../base/addresses.ts';
import type { RegisterBlock } from '../../wiring/register-block.ts';
import type { PciBus } from './pci-bus.ts';

// Enhanced configuration access mechanism (PCI Express Base Specification 3.0, section 7.2.2): 4 KiB for each function.

const BUS_BYTES = 1 << 20;
const FUNCTION_BYTES = 1 << 12;
/** The functions here are conventional ones: nothing lies behind their 256 bytes. */
const CONVENTIONAL_BYTES = 256;

/** The configuration space of the first buses as memory. */
export class Ecam implements RegisterBlock {
  readonly name = 'pci-ecam';
  readonly length: number;
  readonly #bus: PciBus;

  constructor(bus: PciBus, buses: number) {
    this.#bus = bus;
    this.length = buses * BUS_BYTES;
  }

  read(offset: number, size: AccessSize): number {
    const { bus, slot, func, register } = place(offset);
    return reaches(register, size) ? this.#bus.readConfig(bus, slot, func, register, size) >>> 0 : 0xffffffff >>> (32 - 8 * size);
  }

  write(offset: number, size: AccessSize, value: number): void {
    const { bus, slot, func, register } = place(offset);
    if (reaches(register, size)) this.#bus.writeConfig(bus, slot, func, register, size, value);
  }
}

/** An access that crosses a doubleword is one that no root complex has to make. */
function reaches(register: number, size: AccessSize): boolean {
  return register < CONVENTIONAL_BYTES && (register & 3) + size <= 4;
}

function place(offset: number): { bus: number; slot: number; func: number; register: number } {
  return { bus: offset >>> 20, slot: (offset >>> 15) & 31, func: (offset >>> 12) & 7, register: offset & (FUNCTION_BYTES - 1) };
}
