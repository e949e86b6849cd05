import type { AccessSize } from '../../base/addresses.ts';
import type { Plain, Stateful } from '../../base/plain.ts';
import type { RegisterBlock } from '../../wiring/register-block.ts';
import { StateFields } from '../state-fields.ts';
import type { A20Gate } from './a20-gate.ts';

const FAST_RESET = 1;
const FAST_A20 = 2;

/** System control port A (92h): fast A20 (bit 1), processor reset at a rising bit 0 (Intel 82371SB data sheet). */
export class Port92 implements RegisterBlock, Stateful {
  readonly name = 'port-92';
  readonly length = 1;
  readonly stateName = 'port-92';
  readonly stateVersion = 1;
  readonly #gate: A20Gate;
  readonly #reset: () => void;
  #value = 0;

  constructor(gate: A20Gate, reset: () => void) {
    this.#gate = gate;
    this.#reset = reset;
  }

  reset(): void {
    this.#value = 0;
    this.#gate.setFast(false);
  }

  read(_offset: number, _size: AccessSize): number {
    return this.#value;
  }

  write(_offset: number, _size: AccessSize, value: number): void {
    const rising = value & ~this.#value & FAST_RESET;
    this.#value = value & (FAST_RESET | FAST_A20);
    this.#gate.setFast((value & FAST_A20) !== 0);
    if (rising) this.#reset();
  }

  save(): Plain {
    return { value: this.#value };
  }

  load(state: Plain, version: number): void {
    this.#value = new StateFields(this.stateName, state, version, this.stateVersion).integer('value', 3);
    this.#gate.setFast((this.#value & FAST_A20) !== 0);
  }
}
