import { acpiTable, placeAcpiTables, relocatableAcpiTables, u32le } from './acpi-image.ts';
import type { AcpiContents, AcpiTables, RelocatableAcpiTables } from './acpi-image.ts';
import { dsdtContent } from './dsdt.ts';
import {
  BOOT_8042, BOOT_LEGACY_DEVICES, BOOT_NO_VGA, FADT_C1, FADT_NO_FIXED_CLOCK_WAKE, FADT_NO_SLEEP_BUTTON, FADT_RESET_REGISTER, FADT_TIMER_32_BITS, FADT_WBINVD, buildFadt,
} from './fadt.ts';
import { buildMadt } from './madt.ts';

// ACPI specification 6.5, chapter 5: the tables of a PC.

export interface AcpiOptions {
  /** The local APICs' identifiers, in the order in which an operating system should start them. */
  readonly apicIds: readonly number[];
  /** RAM below 4 GiB in bytes: PCI memory follows it. */
  readonly lowBytes: number;
  /** First and last byte of a window for wide BARs above RAM, within the processor's physical address width. */
  readonly pciWideWindow?: readonly [number, number];
  /** Ports: PM1a event at +0, control at +4, timer at +8. */
  readonly pmBase: number;
  /** True when the power-management timer (32 bits wide) is there. */
  readonly pmTimer: boolean;
  /** Where the HPET is, if there is one, and the low half of its capabilities. */
  readonly hpet?: { readonly address: number; readonly capabilities: number };
  readonly smiCommandPort: number;
  readonly smiEnable: number;
  readonly smiDisable: number;
  readonly sleepTypeS5: number;
  readonly resetPort: number;
  readonly resetValue: number;
  /** Where the configuration space of how many PCI buses shows in memory. */
  readonly pciConfigSpace: { readonly address: number; readonly buses: number };
  readonly pirqOf: (slot: number, pin: number) => number;
  /** ISA interrupts that PCI uses: level-triggered. */
  readonly pciInterrupts: readonly number[];
  readonly serialPorts: readonly { readonly port: number; readonly interrupt: number }[];
  readonly parallelPorts: readonly { readonly port: number; readonly interrupt: number }[];
  readonly keyboardController: boolean;
  readonly vga: boolean;
}

const IO_APIC = 0xfec00000;
const SCI_INTERRUPT = 9;
/** Of configuration space, a PCI bus. */
const BUS_BYTES = 1 << 20;

export function buildAcpiTables(options: AcpiOptions, address?: number): AcpiTables {
  return placeAcpiTables(pcTables(options), address);
}

/** The same for firmware that places them and fixes their pointers. */
export function buildRelocatableAcpiTables(options: AcpiOptions): RelocatableAcpiTables {
  return relocatableAcpiTables(pcTables(options));
}

/** The IRQ 0 override says that the interval timer is wired to I/O APIC input 2. */
function pcTables(options: AcpiOptions): AcpiContents {
  const { address, buses } = options.pciConfigSpace;
  return {
    dsdt: dsdtContent({ ...options, pciWindow: pciWindow(options.lowBytes), pciBuses: buses, pciConfigSpace: [address, address + buses * BUS_BYTES - 1] }),
    fadt: (facs, dsdt) => fadt(options, facs, dsdt),
    tables: [buildMadt({ ...options, levelInterrupts: [SCI_INTERRUPT, ...options.pciInterrupts] }), ...(options.hpet === undefined ? [] : [buildHpet(options.hpet)]), buildMcfg(options.pciConfigSpace)],
  };
}

/** PCI Firmware Specification 3.3, section 4.1.2: segment 0, from bus 0 on. */
function buildMcfg({ address, buses }: AcpiOptions['pciConfigSpace']): Uint8Array {
  return acpiTable('MCFG', 1, Uint8Array.from([...u32le(0), ...u32le(0), ...u32le(address), ...u32le(0), 0, 0, 0, buses - 1, ...u32le(0)]));
}

/** From the end of RAM, on a whole MiB, to the I/O APIC. */
function pciWindow(lowBytes: number): readonly [number, number] {
  const mebibyte = 2 ** 20;
  return [Math.ceil(lowBytes / mebibyte) * mebibyte, IO_APIC - 1];
}

function fadt(options: AcpiOptions, facs: number, dsdt: number): Uint8Array {
  return buildFadt(facs, dsdt, ({ u8, u16, u32, port }) => {
    const event = options.pmBase;
    const control = options.pmBase + 4;
    const timer = options.pmBase + 8;
    u16(46, SCI_INTERRUPT);
    u32(48, options.smiCommandPort);
    u8(52, options.smiEnable);
    u8(53, options.smiDisable);
    u32(56, event);
    u32(64, control);
    u8(88, 4);
    u8(89, 2);
    u16(96, 0xfff); // no C2, no C3
    u16(98, 0xfff);
    u16(109, (options.serialPorts.length > 0 ? BOOT_LEGACY_DEVICES : 0) | (options.keyboardController ? BOOT_8042 : 0) | (options.vga ? 0 : BOOT_NO_VGA));
    u32(112, FADT_WBINVD | FADT_C1 | FADT_NO_SLEEP_BUTTON | FADT_NO_FIXED_CLOCK_WAKE | FADT_TIMER_32_BITS | FADT_RESET_REGISTER);
    port(116, options.resetPort, 8, 1);
    u8(128, options.resetValue);
    port(148, event, 32, 2);
    port(172, control, 16, 2);
    if (options.pmTimer) {
      u32(76, timer);
      u8(91, 4);
      port(208, timer, 32, 3);
    }
  });
}

/** Ticks: what a guest's interrupt takes is more than a microsecond. */
const SHORTEST_HPET_PERIOD = 100;

/** IA-PC HPET specification 1.0a, section 3.2.4. */
function buildHpet(hpet: { readonly address: number; readonly capabilities: number }): Uint8Array {
  const memory = [0, 64, 0, 0];
  return acpiTable('HPET', 1, Uint8Array.from([...u32le(hpet.capabilities), ...memory, ...u32le(hpet.address), ...u32le(0), 0, ...[SHORTEST_HPET_PERIOD & 0xff, SHORTEST_HPET_PERIOD >> 8], 0]));
}
