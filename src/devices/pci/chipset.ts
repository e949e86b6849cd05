import type { AccessSize } from '../../base/addresses.ts';
import type { Plain } from '../../base/plain.ts';
import type { LevelLine } from '../../wiring/interrupt-line.ts';
import type { RegisterBlock } from '../../wiring/register-block.ts';
import type { BusChange } from './bus-change.ts';
import type { ConfigRegister } from './config-space.ts';
import type { PciBus } from './pci-bus.ts';
import { RegisterFunction } from './register-function.ts';

export interface PciIdentity {
  readonly vendor: number;
  readonly device: number;
  readonly revision: number;
  /** Class, subclass and programming interface: 0xCCSSPP. */
  readonly classCode: number;
  readonly headerType?: number;
  /** 1 for INTA# to 4 for INTD#; 0 or missing: the function uses none. */
  readonly interruptPin?: number;
  readonly subsystemVendor?: number;
  readonly subsystem?: number;
}

/** The predefined header of a type 0 function (PCI Local Bus Specification 3.0, section 6.1). */
export function pciHeader(identity: PciIdentity): readonly ConfigRegister[] {
  return [
    { offset: 0x00, size: 2, reset: identity.vendor },
    { offset: 0x02, size: 2, reset: identity.device },
    { offset: 0x04, size: 2, reset: 0, writable: 0x0546 }, // memory, master, parity, SERR#, interrupt disable
    { offset: 0x06, size: 2, reset: 0x0200, clearable: 0xf900 }, // medium DEVSEL#
    { offset: 0x08, size: 1, reset: identity.revision },
    { offset: 0x09, size: 1, reset: identity.classCode },
    { offset: 0x0a, size: 2, reset: identity.classCode >> 8 },
    { offset: 0x0c, size: 2, reset: 0, writable: 0xffff }, // cache line size, latency timer
    { offset: 0x0e, size: 1, reset: identity.headerType ?? 0 },
    { offset: 0x2c, size: 2, reset: identity.subsystemVendor ?? 0 },
    { offset: 0x2e, size: 2, reset: identity.subsystem ?? 0 },
    { offset: 0x3c, size: 1, reset: 0, writable: 0xff },
    { offset: 0x3d, size: 1, reset: identity.interruptPin ?? 0 },
  ];
}

/** Interrupts that may serve PCI, level-triggered: the same numbers at the PIC and at the I/O APIC. */
export const PCI_INTERRUPTS = [5, 10, 11] as const;
/** Where PIRQA# to PIRQD# of the ISA bridge lead: what firmware for this chipset programs. */
const PIRQ_ROUTES = [10, 10, 11, 11] as const;

/** Which of PIRQA# (0) to PIRQD# a pin (1 for INTA#) of a slot is wired to: rotated, so that neighbours share less. */
export function pirqOf(slot: number, pin: number): number {
  return (slot - 1 + pin - 1) & 3;
}
/** The pin of a bridge's own slot that a pin behind it comes out at (PCI-to-PCI Bridge Architecture Specification 1.2, section 9.1). */
export function pinBehindBridge(slot: number, pin: number): number {
  return ((pin - 1 + slot) & 3) + 1;
}

const PAM = 0x59;
const PAM_REGISTERS = 7;

/** Intel 82441FX host bridge (data sheet 290549). The subsystem is what firmware made for QEMU's PC looks for. */
export class HostBridge extends RegisterFunction {
  readonly #shadow: (pam: Uint8Array) => void;

  /** `shadow` gets PAM0 to PAM6, which say what lies in C0000h..FFFFFh: at each write, reset and load. */
  constructor(shadow: (pam: Uint8Array) => void) {
    super({
      name: 'pci-host-bridge',
      registers: [
        ...pciHeader({ vendor: 0x8086, device: 0x1237, revision: 2, classCode: 0x060000, subsystemVendor: 0x1af4, subsystem: 0x1100 }),
        { offset: PAM, size: 1, reset: 0, writable: 0x30 },
        { offset: PAM + 1, size: 2, reset: 0, writable: 0x3333 },
        { offset: PAM + 3, size: 4, reset: 0, writable: 0x33333333 },
        { offset: 0x72, size: 1, reset: 0x02, writable: 0x78 }, // SMRAM control
      ],
    });
    this.#shadow = shadow;
  }

  override writeConfig(offset: number, size: AccessSize, value: number): readonly BusChange[] {
    const changes = super.writeConfig(offset, size, value);
    if (offset < PAM + PAM_REGISTERS && offset + size > PAM) this.#apply();
    return changes;
  }
  override reset(): readonly BusChange[] {
    const changes = super.reset();
    this.#apply();
    return changes;
  }
  override loadMapped(state: Plain, version: number): readonly BusChange[] {
    const changes = super.loadMapped(state, version);
    this.#apply();
    return changes;
  }
  #apply(): void {
    this.#shadow(Uint8Array.from({ length: PAM_REGISTERS }, (_, i) => this.config.read(PAM + i, 1)));
  }
}

const PIRQ_REGISTERS = 0x60;
const PIRQS = 4;
const PIRQ_OFF = 0x80;

/** Intel 82371SB ISA bridge (data sheet 290550), which routes PIRQA# to PIRQD# to ISA interrupts. */
export class IsaBridge extends RegisterFunction {
  readonly #interrupt: (irq: number) => LevelLine;
  /** How many devices hold each PIRQ# low. */
  readonly #holders = [0, 0, 0, 0];
  readonly #lines = new Map<number, LevelLine>();
  /** The interrupt that each PIRQ# raises now; undefined: none. */
  readonly #raised: (LevelLine | undefined)[] = [undefined, undefined, undefined, undefined];

  /** `interrupt` gives a line of its own at each call. */
  constructor(interrupt: (irq: number) => LevelLine) {
    super({
      name: 'pci-isa-bridge',
      registers: [
        ...pciHeader({ vendor: 0x8086, device: 0x7000, revision: 0, classCode: 0x060100, headerType: 0x80 }),
        { offset: 0x04, size: 2, reset: 0x0007, writable: 0x0008 },
        { offset: 0x4c, size: 1, reset: 0x4d, writable: 0xff }, // ISA I/O recovery
        { offset: 0x4e, size: 2, reset: 0x0003, writable: 0xffff }, // X-bus chip select
        { offset: PIRQ_REGISTERS, size: 4, reset: 0x80808080, writable: 0x8f8f8f8f },
        { offset: 0x82, size: 1, reset: 0, writable: 0xff }, // passive release and delayed transaction
      ],
    });
    this.#interrupt = interrupt;
  }

  /** A line to one of the PIRQ# inputs, 0 to 3; those who share it are ORed. */
  pirq(number: number): LevelLine {
    let asserted = false;
    return {
      kind: 'level',
      set: (next) => {
        if (next === asserted) return;
        asserted = next;
        this.#holders[number]! += next ? 1 : -1;
        this.#route(number);
      },
    };
  }

  #route(number: number): void {
    const line = this.#holders[number]! > 0 ? this.#target(number) : undefined;
    const before = this.#raised[number];
    if (line === before) return;
    this.#raised[number] = line;
    before?.set(false);
    line?.set(true);
  }

  /** PIRQRC: 0, 1, 2, 8 and 13 are reserved. */
  #target(number: number): LevelLine | undefined {
    const route = this.config.read(PIRQ_REGISTERS + number, 1);
    const irq = route & 0x0f;
    if ((route & PIRQ_OFF) !== 0 || irq < 3 || irq === 8 || irq === 13) return undefined;
    const key = number * 16 + irq;
    const line = this.#lines.get(key) ?? this.#interrupt(irq);
    this.#lines.set(key, line);
    return line;
  }

  #routeAll<T>(changes: T): T {
    for (let number = 0; number < PIRQS; number++) this.#route(number);
    return changes;
  }

  override writeConfig(offset: number, size: AccessSize, value: number): readonly BusChange[] {
    return this.#routeAll(super.writeConfig(offset, size, value));
  }
  override reset(): readonly BusChange[] {
    return this.#routeAll(super.reset());
  }
  override loadMapped(state: Plain, version: number): readonly BusChange[] {
    return this.#routeAll(super.loadMapped(state, version));
  }
}

const PM_BASE_REGISTER = 0x40;
const PM_BASE_MASK = 0xffc0;
const PM_MISCELLANEOUS = 0x80;
const PM_PORTS_ENABLE = 1;

/** Intel 82371AB power management function (data sheet 290562): says where the ACPI ports are. */
export class PowerManagementFunction extends RegisterFunction {
  readonly #ports: RegisterBlock;
  readonly #moved: (base: number | undefined) => void;
  #mapped: number | undefined;

  /** `moved` is told where the ports are, undefined: nowhere. They appear there by themselves. */
  constructor(ports: RegisterBlock, moved: (base: number | undefined) => void) {
    super({
      name: 'pci-power-management',
      registers: [
        ...pciHeader({ vendor: 0x8086, device: 0x7113, revision: 3, classCode: 0x068000 }),
        { offset: 0x04, size: 2, reset: 0x0000, writable: 0x0001 },
        { offset: PM_BASE_REGISTER, size: 4, reset: 1, writable: PM_BASE_MASK },
        // Device activity B, APMC_EN: system management mode counts as set up, for there is none.
        { offset: 0x58, size: 4, reset: 0x02000000 },
        { offset: PM_MISCELLANEOUS, size: 1, reset: 0, writable: PM_PORTS_ENABLE },
      ],
    });
    this.#ports = ports;
    this.#moved = moved;
  }

  override writeConfig(offset: number, size: AccessSize, value: number): readonly BusChange[] {
    return [...super.writeConfig(offset, size, value), ...this.#apply()];
  }
  override reset(): readonly BusChange[] {
    return [...super.reset(), ...this.#apply()];
  }
  override loadMapped(state: Plain, version: number): readonly BusChange[] {
    return [...super.loadMapped(state, version), ...this.#apply()];
  }

  #apply(): readonly BusChange[] {
    const enabled = (this.config.read(PM_MISCELLANEOUS, 1) & PM_PORTS_ENABLE) !== 0;
    const base = this.config.read(PM_BASE_REGISTER, 4) & PM_BASE_MASK;
    const next = enabled && base !== 0 ? base : undefined;
    if (next === this.#mapped) return [];
    const change = (kind: 'map' | 'unmap', at: number | undefined): readonly BusChange[] => (at === undefined ? [] : [{ kind, space: 'port', base: at, block: this.#ports }]);
    const changes = [...change('unmap', this.#mapped), ...change('map', next)];
    this.#mapped = next;
    this.#moved(next);
    return changes;
  }
}

/** Where the bridges and the power management function are. */
const ISA_SLOT = 1;
const PM_FUNCTION = 3;

/** Puts them there. */
export function addChipset(bus: PciBus, isa: IsaBridge, powerManagement: PowerManagementFunction, shadow: (pam: Uint8Array) => void): void {
  bus.add(0, 0, new HostBridge(shadow));
  bus.add(ISA_SLOT, 0, isa);
  bus.add(ISA_SLOT, PM_FUNCTION, powerManagement);
}

/** As firmware does: says where the ACPI ports are, and routes the interrupts. */
export function setUpChipset(bus: PciBus, base: number): void {
  PIRQ_ROUTES.forEach((irq, number) => bus.writeConfig(0, ISA_SLOT, 0, PIRQ_REGISTERS + number, 1, irq));
  bus.writeConfig(0, ISA_SLOT, PM_FUNCTION, PM_BASE_REGISTER, 4, base);
  bus.writeConfig(0, ISA_SLOT, PM_FUNCTION, PM_MISCELLANEOUS, 1, PM_PORTS_ENABLE);
}
