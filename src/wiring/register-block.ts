import type { AccessSize } from '../base/addresses.ts';

/**
 * A device's registers as the bus sees them. The device knows offsets inside its block, never where the block is
 * mapped, so that a BAR can move. `offset + size <= length` is guaranteed by the bus; any width may come, and values
 * are unsigned 32-bit numbers (`>>> 0`). A device never throws for what a guest writes.
 */
export interface RegisterBlock {
  readonly name: string;
  /** Bytes the block covers. */
  readonly length: number;
  read(offset: number, size: AccessSize): number;
  write(offset: number, size: AccessSize, value: number): void;
}
