import type { ConfigRegister } from './config-space.ts';

// The list of capabilities in configuration space (PCI Local Bus Specification 3.0, section 6.7).

const FIRST = 0x40;
const LAST = 0x100;
const POINTER = 0x34;
const STATUS = 0x06;
const STATUS_CAPABILITIES = 0x10;

export const CAPABILITY_MSI = 0x05;
export const CAPABILITY_VENDOR = 0x09;
export const CAPABILITY_MSIX = 0x11;

/** Registers count from the capability's first byte; identifier and link (bytes 0 and 1) are not among them. */
export interface PciCapability {
  readonly id: number;
  readonly length: number;
  readonly registers: readonly ConfigRegister[];
}

export interface PlacedCapabilities {
  readonly registers: readonly ConfigRegister[];
  /** Where each capability begins, in the order given. */
  readonly offsets: readonly number[];
}

/** Lays the capabilities out one behind the other. `status` is the status register's own reset value. */
export function placeCapabilities(capabilities: readonly PciCapability[], status = 0): PlacedCapabilities {
  const offsets: number[] = [];
  let next = FIRST;
  for (const { length } of capabilities) {
    offsets.push(next);
    next += Math.ceil(length / 4) * 4;
  }
  if (next > LAST) throw new Error('the capabilities do not fit configuration space');
  const registers: ConfigRegister[] = [];
  if (capabilities.length > 0) {
    registers.push({ offset: STATUS, size: 2, reset: status | STATUS_CAPABILITIES, clearable: 0xf900 }, { offset: POINTER, size: 1, reset: FIRST });
  }
  capabilities.forEach((capability, index) => {
    const base = offsets[index]!;
    registers.push({ offset: base, size: 1, reset: capability.id }, { offset: base + 1, size: 1, reset: offsets[index + 1] ?? 0 });
    for (const register of capability.registers) registers.push({ ...register, offset: base + register.offset });
  });
  return { registers, offsets };
}
