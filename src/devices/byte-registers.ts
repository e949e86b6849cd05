import type { AccessSize } from '../base/addresses.ts';

/** Splits a read of byte-wide registers into byte reads, low offset first, as an 8-bit ISA device sees it. */
export function readBytewise(offset: number, size: AccessSize, read: (offset: number) => number): number {
  let value = 0;
  for (let i = 0; i < size; i++) value |= (read(offset + i) & 0xff) << (8 * i);
  return value >>> 0;
}

/** Splits a write to byte-wide registers into byte writes, low offset first. */
export function writeBytewise(offset: number, size: AccessSize, value: number, write: (offset: number, value: number) => void): void {
  for (let i = 0; i < size; i++) write(offset + i, (value >>> (8 * i)) & 0xff);
}
