import type { AccessSize } from '../../base/addresses.ts';
import type { Plain, Stateful } from '../../base/plain.ts';
import type { LevelLine } from '../../wiring/interrupt-line.ts';
import type { RegisterBlock } from '../../wiring/register-block.ts';
import { readBytewise, writeBytewise } from '../byte-registers.ts';
import { StateFields } from '../state-fields.ts';

// ACPI fixed hardware, ACPI specification 6.5, section 4.8.3.

const TIMER = 1 << 0;
const GLOBAL_LOCK = 1 << 5;
const POWER_BUTTON = 1 << 8;
const SLEEP_BUTTON = 1 << 9;
const CLOCK_ALARM = 1 << 10;
const WAKE = 1 << 15;
const ENABLE_MASK = TIMER | GLOBAL_LOCK | POWER_BUTTON | SLEEP_BUTTON | CLOCK_ALARM;
const STATUS_MASK = ENABLE_MASK | (1 << 4) | WAKE;

const SCI_ENABLE = 1 << 0;
const BUS_MASTER_RELOAD = 1 << 1;
const SLEEP_TYPE_SHIFT = 10;
const SLEEP_TYPE_MASK = 7 << SLEEP_TYPE_SHIFT;
const SLEEP_ENABLE = 1 << 13;

/** SLP_TYP of S5; the \_S5 package of the DSDT must say the same. */
export const SLEEP_TYPE_S5 = 5;
/** What firmware that knows the chip writes instead: soft off (82371AB data sheet 290562, PMCNTRL, SUS_TYP). */
const SUSPEND_SOFT_OFF = 0;
/** Values for the SMI command port (FADT fields ACPI_ENABLE and ACPI_DISABLE). */
export const SMI_ACPI_ENABLE = 0xa1;
export const SMI_ACPI_DISABLE = 0xa0;

export interface PowerManagementOptions {
  /** System control interrupt. */
  readonly sci: LevelLine;
  /** The guest entered S5. Called inside a port write: stop the machine after it, not in it. */
  readonly powerOff: () => void;
}

/** PM1a event and control blocks and the SMI command port. */
export class PowerManagement implements Stateful {
  readonly stateName = 'acpi-pm';
  readonly stateVersion = 1;
  /** PM1a_EVT_BLK: status at 0, enable at 2. */
  readonly eventBlock: RegisterBlock;
  /** PM1a_CNT_BLK. */
  readonly controlBlock: RegisterBlock;
  /** APM control and status ports, B2h and B3h. */
  readonly smiCommand: RegisterBlock;

  readonly #options: PowerManagementOptions;
  #status = 0;
  #enable = 0;
  #control = 0;
  #smiCommand = 0;
  #smiData = 0;

  constructor(options: PowerManagementOptions) {
    this.#options = options;
    this.eventBlock = block('acpi-pm1-event', 4, (at) => this.#readEvent(at), (at, byte) => this.#writeEvent(at, byte));
    this.controlBlock = {
      name: 'acpi-pm1-control',
      length: 2,
      read: (offset: number, size: AccessSize) => readBytewise(offset, size, (at) => this.#control >> (8 * at)),
      write: (offset: number, size: AccessSize, value: number) => this.#writeControl(offset, size, value),
    };
    this.smiCommand = block('smi-command', 2, (at) => (at === 0 ? this.#smiCommand : this.#smiData), (at, byte) => this.#writeSmi(at, byte));
  }

  reset(): void {
    this.#status = this.#enable = this.#control = this.#smiCommand = this.#smiData = 0;
    this.#update();
  }

  /** The host pressed the power button: the guest is asked to shut down. */
  press(): void {
    this.#raise(POWER_BUTTON);
  }

  /** The most significant bit of the power-management timer changed (section 4.8.2.1). */
  timerCarry(): void {
    this.#raise(TIMER);
  }

  /** True once the guest has switched to ACPI mode; before that the power button reaches nobody. */
  get acpiMode(): boolean {
    return (this.#control & SCI_ENABLE) !== 0;
  }

  #raise(status: number): void {
    this.#status |= status;
    this.#update();
  }

  #update(): void {
    this.#options.sci.set(this.acpiMode && (this.#status & this.#enable & ENABLE_MASK) !== 0);
  }

  #readEvent(offset: number): number {
    return offset < 2 ? this.#status >> (8 * offset) : this.#enable >> (8 * (offset - 2));
  }

  #writeEvent(offset: number, byte: number): void {
    if (offset < 2) {
      this.#status &= ~(byte << (8 * offset)); // write one to clear
    } else {
      const shift = 8 * (offset - 2);
      this.#enable = ((this.#enable & ~(0xff << shift)) | (byte << shift)) & ENABLE_MASK;
    }
    this.#update();
  }

  #writeControl(offset: number, size: AccessSize, value: number): void {
    let next = this.#control;
    writeBytewise(offset, size, value, (at, byte) => {
      next = (next & ~(0xff << (8 * at))) | (byte << (8 * at));
    });
    // SCI_EN belongs to the firmware (SMI command port). GBL_RLS and SLP_EN read as zero.
    this.#control = (next & (SLEEP_TYPE_MASK | BUS_MASTER_RELOAD)) | (this.#control & SCI_ENABLE);
    const type = (next & SLEEP_TYPE_MASK) >> SLEEP_TYPE_SHIFT;
    if (next & SLEEP_ENABLE && (type === SLEEP_TYPE_S5 || type === SUSPEND_SOFT_OFF)) this.#options.powerOff();
  }

  #writeSmi(offset: number, byte: number): void {
    if (offset === 1) {
      this.#smiData = byte;
      return;
    }
    this.#smiCommand = byte;
    if (byte === SMI_ACPI_ENABLE) this.#control |= SCI_ENABLE;
    else if (byte === SMI_ACPI_DISABLE) this.#control &= ~SCI_ENABLE;
    this.#update();
  }

  save(): Plain {
    return {
      status: this.#status,
      enable: this.#enable,
      control: this.#control,
      smiCommand: this.#smiCommand,
      smiData: this.#smiData,
    };
  }

  load(state: Plain, version: number): void {
    const fields = new StateFields(this.stateName, state, version, this.stateVersion);
    const status = fields.integer('status', STATUS_MASK);
    const enable = fields.integer('enable', ENABLE_MASK);
    const control = fields.integer('control', 0xffff);
    const smiCommand = fields.byte('smiCommand');
    const smiData = fields.byte('smiData');
    this.#status = status & STATUS_MASK;
    this.#enable = enable & ENABLE_MASK;
    this.#control = control & (SLEEP_TYPE_MASK | BUS_MASTER_RELOAD | SCI_ENABLE);
    this.#smiCommand = smiCommand;
    this.#smiData = smiData;
    this.#update();
  }
}

function block(name: string, length: number, read: (at: number) => number, write: (at: number, byte: number) => void): RegisterBlock {
  return {
    name,
    length,
    read: (offset: number, size: AccessSize) => readBytewise(offset, size, read),
    write: (offset: number, size: AccessSize, value: number) => writeBytewise(offset, size, value, write),
  };
}
