import type { AccessSize } from '../../base/addresses.ts';
import type { Plain, Stateful } from '../../base/plain.ts';
import type { LevelLine } from '../../wiring/interrupt-line.ts';
import type { RegisterBlock } from '../../wiring/register-block.ts';
import { StateFields } from '../state-fields.ts';

/**
 * The coprocessor error logic of the PC/AT, ports F0h and F1h (Intel 82371SB data sheet, FERR# and IGNNE#): FERR# raises
 * IRQ 13; a write to F0h drops the interrupt and asserts IGNNE# until FERR# is gone.
 */
export class NumericError implements RegisterBlock, Stateful {
  readonly name = 'numeric-error';
  readonly length = 2;
  readonly stateName = 'numeric-error';
  readonly stateVersion = 1;
  readonly #line: LevelLine;
  #raised = false;
  #ignore = false;

  constructor(line: LevelLine) {
    this.#line = line;
  }

  /** FERR# as the processor drives it; returns IGNNE#. */
  error(pending: boolean): boolean {
    if (!pending) this.#set(false, false);
    else if (!this.#ignore) this.#set(true, false);
    return this.#ignore;
  }

  #set(raised: boolean, ignore: boolean): void {
    this.#raised = raised;
    this.#ignore = ignore;
    this.#line.set(raised);
  }

  reset(): void {
    this.#set(false, false);
  }

  read(_offset: number, size: AccessSize): number {
    return size === 1 ? 0xff : 0xffff;
  }

  write(offset: number, _size: AccessSize, _value: number): void {
    if (offset === 0 && this.#raised) this.#set(false, true);
  }

  save(): Plain {
    return { raised: this.#raised, ignore: this.#ignore };
  }

  load(state: Plain, version: number): void {
    const fields = new StateFields(this.stateName, state, version, this.stateVersion);
    this.#set(fields.boolean('raised'), fields.boolean('ignore'));
  }
}
