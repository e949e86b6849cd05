import type { AccessSize, PhysicalAddress } from '../base/addresses.ts';

/**
 * What an execution engine sees of the machine around it (DESIGN D7). Values are unsigned 32-bit numbers.
 * Addresses nobody answers read as all ones and swallow writes, as on a PC.
 */
export interface SystemBus {
  readPort(port: number, size: AccessSize): number;
  writePort(port: number, size: AccessSize, value: number): void;
  readMmio(address: PhysicalAddress, size: AccessSize): number;
  writeMmio(address: PhysicalAddress, size: AccessSize, value: number): void;
}
