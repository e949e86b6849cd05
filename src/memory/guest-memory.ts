import type { PhysicalAddress } from '../base/addresses.ts';

/**
 * Guest RAM as devices and loaders see it: bounds-checked copies by physical address. Ranges outside RAM read as
 * 0xff and swallow writes (a device doing DMA to nowhere). Writes invalidate decoded and translated code.
 */
export interface GuestMemory {
  /** Total RAM in bytes. RAM lies at 0..lowBytes and, where there is more, at 4 GiB and up. */
  readonly bytes: number;
  /** RAM below the PCI hole, in bytes. */
  readonly lowBytes: number;
  /** True when [address, address + length) lies wholly in RAM. */
  contains(address: PhysicalAddress, length: number): boolean;
  read(address: PhysicalAddress, target: Uint8Array): void;
  write(address: PhysicalAddress, source: Uint8Array): void;
  /** What RAM is kept in, to be filled by the host in place; `wrote` must follow. */
  readonly storage: Uint8Array;
  /** Where RAM lies in `storage`; undefined where it does not lie in one piece. */
  place(address: PhysicalAddress, length: number): number | undefined;
  wrote(address: PhysicalAddress, length: number): void;
  /**
   * Aligned 16-bit accesses are atomic and in order with one another, as seen by processors on other threads: what the
   * indices of rings shared with a guest need.
   */
  readU16(address: PhysicalAddress): number;
  writeU16(address: PhysicalAddress, value: number): void;
  readU32(address: PhysicalAddress): number;
  writeU32(address: PhysicalAddress, value: number): void;
}
