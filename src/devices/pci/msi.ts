import { CAPABILITY_MSI } from './capabilities.ts';
import type { PciCapability } from './capabilities.ts';

// MSI with one message and a 64-bit address (PCI Local Bus Specification 3.0, section 6.8.1). All its state lies in
// configuration space.

export const MSI_CONTROL = 2;
export const MSI_ADDRESS = 4;
export const MSI_ADDRESS_HIGH = 8;
export const MSI_DATA = 12;
export const MSI_ENABLE = 1;
const WIDE_ADDRESS = 0x80;

export const msiCapability: PciCapability = {
  id: CAPABILITY_MSI,
  length: 16,
  registers: [
    { offset: MSI_CONTROL, size: 2, reset: WIDE_ADDRESS, writable: MSI_ENABLE | 0x70 },
    { offset: MSI_ADDRESS, size: 4, reset: 0, writable: 0xfffffffc },
    { offset: MSI_ADDRESS_HIGH, size: 4, reset: 0, writable: 0xffffffff },
    { offset: MSI_DATA, size: 2, reset: 0, writable: 0xffff },
  ],
};
