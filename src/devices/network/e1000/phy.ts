import type { Plain } from '../../../base/plain.ts';
import { StateFields } from '../../state-fields.ts';

// The Ethernet transceiver behind MDIC (8254x manual, section 13.4.6 and chapter 8; registers 0 to 15: IEEE 802.3, clause 22). It has always
// agreed with the other end on 1 Gbit/s, full duplex.

const REGISTERS = 32;
const CONTROL = 0;
const CONTROL_RESET = 0x8000;
const CONTROL_RESTART = 0x0200;
const STATUS = 1;
const STATUS_LINKED = 0x0024;
const SPECIFIC_STATUS = 17;
const SPECIFIC_LINKED = 0xac00;

/** Power-on values of the registers that are not zero. */
const VALUES: Readonly<Record<number, number>> = {
  [CONTROL]: 0x1140, [STATUS]: 0x7949, 2: 0x0141, 3: 0x0c20, 4: 0x0de1, 5: 0xcde1, 6: 0x000f, 9: 0x0e00, 10: 0x3c00, 15: 0x3000, 16: 0x0068, 20: 0x0d60,
};
const READ_ONLY: readonly number[] = [1, 2, 3, 5, 6, 10, 15, SPECIFIC_STATUS, 19, 21];

export class Phy {
  readonly #linked: boolean;
  readonly #values = new Uint16Array(REGISTERS);

  constructor(linked: boolean) {
    this.#linked = linked;
    this.reset();
  }

  read(register: number): number {
    const value = this.#values[register]!;
    if (!this.#linked) return register === 5 || register === 10 ? 0 : value;
    return register === STATUS ? value | STATUS_LINKED : register === SPECIFIC_STATUS ? SPECIFIC_LINKED : value;
  }

  /** True when both ends have agreed anew. */
  write(register: number, value: number): boolean {
    if (READ_ONLY.includes(register)) return false;
    if (register === CONTROL && (value & CONTROL_RESET) !== 0) this.reset();
    else this.#values[register] = register === CONTROL ? value & ~CONTROL_RESTART : value;
    return register === CONTROL && (value & (CONTROL_RESET | CONTROL_RESTART)) !== 0;
  }

  reset(): void {
    this.#values.fill(0);
    for (const [register, value] of Object.entries(VALUES)) this.#values[Number(register)] = value;
  }
  save(): Plain {
    return { values: [...this.#values] };
  }
  load(state: Plain): void {
    const values = new StateFields('e1000 transceiver', state, 1, 1).integers('values', REGISTERS, 0xffff);
    this.reset();
    this.#values.set(values);
  }
}
