import type { AccessSize } from '../../base/addresses.ts';
import type { Plain, Stateful } from '../../base/plain.ts';
import type { LevelLine } from '../../wiring/interrupt-line.ts';
import type { RegisterBlock } from '../../wiring/register-block.ts';
import { readBytewise, writeBytewise } from '../byte-registers.ts';
import { StateFields } from '../state-fields.ts';

// What a hardware-reduced ACPI platform has instead of the fixed hardware (ACPI specification 6.5, section 4.1).

/** Sleep control register (4.8.3.7), sleep status register, and events, which the DSDT of this board reads. */
export const SLEEP_CONTROL = 0;
export const SLEEP_STATUS = 1;
export const EVENTS = 2;
/** Bit of EVENTS. */
export const EVENT_POWER_BUTTON = 1;
/** SLP_TYPx of S5; the \_S5 package of the DSDT must say the same. */
export const REDUCED_SLEEP_TYPE_S5 = 5;

const SLEEP_TYPE_SHIFT = 2;
const SLEEP_TYPE_MASK = 7 << SLEEP_TYPE_SHIFT;
const SLEEP_ENABLE = 1 << 5;

/** Three ports: sleep control and status, and events, which reading clears. */
export class ReducedHardware implements RegisterBlock, Stateful {
  readonly name = 'acpi-reduced';
  readonly length = 4;
  readonly stateName = 'acpi-reduced';
  readonly stateVersion = 1;
  readonly #line: LevelLine;
  readonly #powerOff: () => void;
  #control = 0;
  #events = 0;

  /** `line`: the interrupt of the generic event device. `powerOff` is called inside a port write: stop the machine after it. */
  constructor(options: { readonly line: LevelLine; readonly powerOff: () => void }) {
    this.#line = options.line;
    this.#powerOff = options.powerOff;
  }

  /** The host pressed the power button: the guest is asked to shut down. */
  press(): void {
    this.#setEvents(this.#events | EVENT_POWER_BUTTON);
  }

  #setEvents(events: number): void {
    this.#events = events;
    this.#line.set(events !== 0);
  }

  reset(): void {
    this.#control = 0;
    this.#setEvents(0);
  }

  read(offset: number, size: AccessSize): number {
    return readBytewise(offset, size, (at) => (at === SLEEP_CONTROL ? this.#control : at === EVENTS ? this.#takeEvents() : 0));
  }

  #takeEvents(): number {
    const events = this.#events;
    this.#setEvents(0);
    return events;
  }

  write(offset: number, size: AccessSize, value: number): void {
    writeBytewise(offset, size, value, (at, byte) => {
      if (at !== SLEEP_CONTROL) return;
      this.#control = byte & SLEEP_TYPE_MASK;
      if (byte & SLEEP_ENABLE && this.#control >> SLEEP_TYPE_SHIFT === REDUCED_SLEEP_TYPE_S5) this.#powerOff();
    });
  }

  save(): Plain {
    return { control: this.#control, events: this.#events };
  }

  load(state: Plain, version: number): void {
    const fields = new StateFields(this.stateName, state, version, this.stateVersion);
    const control = fields.integer('control', SLEEP_TYPE_MASK);
    const events = fields.integer('events', EVENT_POWER_BUTTON);
    this.#control = control & SLEEP_TYPE_MASK;
    this.#setEvents(events);
  }
}
