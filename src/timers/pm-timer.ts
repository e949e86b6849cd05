import type { AccessSize } from '../base/addresses.ts';
import type { MonotonicClock } from '../host/clock.ts';
import type { RegisterBlock } from '../wiring/register-block.ts';

/** ACPI power-management timer: 3.579545 MHz, 32 bits (ACPI 6.4, 4.8.3.3). It has no state but the clock's. */
export class PmTimer implements RegisterBlock {
  readonly name = 'pm-timer';
  readonly length = 4;
  readonly #clock: MonotonicClock;

  constructor(clock: MonotonicClock) {
    this.#clock = clock;
  }
  read(offset: number, size: AccessSize): number {
    const count = Math.floor((this.#clock.now() * 3579545) / 1e9) >>> 0;
    const shifted = count >>> (8 * offset);
    return size === 4 ? shifted : shifted & ((1 << (8 * size)) - 1);
  }
  write(): void {}
}
