import type { AccessSize } from '../../base/addresses.ts';
import type { Plain, Stateful } from '../../base/plain.ts';
import type { RegisterBlock } from '../../wiring/register-block.ts';
import { StateFields } from '../state-fields.ts';

const SYSTEM_RESET = 0x02;
const RESET_CPU = 0x04;

/** Value for the FADT's RESET_VALUE: hard reset. */
export const RESET_CONTROL_HARD_RESET = SYSTEM_RESET | RESET_CPU;

/**
 * Turbo and reset control register at port CF9h (Intel 82371SB data sheet, TRC): a rising bit 2 resets. The port lies
 * in the middle of PCI's CF8h: hand this block to PciConfigPorts, which passes byte accesses on.
 */
export class ResetControl implements RegisterBlock, Stateful {
  readonly name = 'reset-control';
  readonly length = 1;
  readonly stateName = 'reset-control';
  readonly stateVersion = 1;
  readonly #reset: () => void;
  #value = 0;

  /** `reset` is called inside the port write: stop or reset the machine after it, not in it. */
  constructor(reset: () => void) {
    this.#reset = reset;
  }

  reset(): void {
    this.#value = 0;
  }

  read(_offset: number, _size: AccessSize): number {
    return this.#value;
  }

  write(_offset: number, _size: AccessSize, value: number): void {
    const rising = value & ~this.#value & RESET_CPU;
    this.#value = value & (SYSTEM_RESET | RESET_CPU);
    if (rising) this.#reset();
  }

  save(): Plain {
    return { value: this.#value };
  }

  load(state: Plain, version: number): void {
    const value = new StateFields(this.stateName, state, version, this.stateVersion).byte('value');
    this.#value = value & (SYSTEM_RESET | RESET_CPU);
  }
}
