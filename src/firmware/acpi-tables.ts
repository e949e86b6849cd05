import { acpiTable, placeAcpiTables, relocatableAcpiTables, u32le } from './acpi-image.ts';
import type { AcpiContents, AcpiTables, RelocatableAcpiTables } from './acpi-image.ts';
import { dsdtContent } from './dsdt.ts';

// ACPI specification 6.5, chapter 5: the tables of a PC.

export interface AcpiOptions {
  /** Number of processors; local APIC identifiers are 0 and up, or as `apicIds` says. */
  readonly cpus: number;
  readonly apicIds?: readonly number[];
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
  readonly pciInterrupt: (slot: number, pin: number) => number;
  /** ISA interrupts that PCI uses: level-triggered. */
  readonly pciInterrupts: readonly number[];
  readonly serialPorts: readonly { readonly port: number; readonly interrupt: number }[];
  readonly keyboardController: boolean;
  readonly vga: boolean;
}

const LOCAL_APIC = 0xfee00000;
const IO_APIC = 0xfec00000;
const SCI_INTERRUPT = 9;

export function buildAcpiTables(options: AcpiOptions, address?: number): AcpiTables {
  return placeAcpiTables(pcTables(options), address);
}

/** The same for firmware that places them and fixes their pointers. */
export function buildRelocatableAcpiTables(options: AcpiOptions): RelocatableAcpiTables {
  return relocatableAcpiTables(pcTables(options));
}

/** The IRQ 0 override says that the interval timer is wired to I/O APIC input 2. */
function pcTables(options: AcpiOptions): AcpiContents {
  return {
    dsdt: dsdtContent({ ...options, pciWindow: pciWindow(options.lowBytes) }),
    fadt: (facs, dsdt) => buildFadt(options, facs, dsdt),
    tables: [buildMadt(options), ...(options.hpet === undefined ? [] : [buildHpet(options.hpet)])],
  };
}

/** From the end of RAM, on a whole MiB, to the I/O APIC. */
function pciWindow(lowBytes: number): readonly [number, number] {
  const mebibyte = 2 ** 20;
  return [Math.ceil(lowBytes / mebibyte) * mebibyte, IO_APIC - 1];
}

const FLAG_WBINVD = 1 << 0;
const FLAG_C1 = 1 << 2;
const FLAG_NO_SLEEP_BUTTON = 1 << 5;
const FLAG_NO_FIXED_CLOCK_WAKE = 1 << 6;
const FLAG_TIMER_32_BITS = 1 << 8;
const FLAG_RESET_REGISTER = 1 << 10;

const BOOT_LEGACY_DEVICES = 1 << 0;
const BOOT_8042 = 1 << 1;
const BOOT_NO_VGA = 1 << 2;

/** FADT, revision 6 (5.2.9); offsets are those of the whole table. */
function buildFadt(options: AcpiOptions, facs: number, dsdt: number): Uint8Array {
  const HEADER = 36;
  const bytes = new Uint8Array(276 - HEADER);
  const view = new DataView(bytes.buffer);
  const u8 = (offset: number, value: number): void => view.setUint8(offset - HEADER, value);
  const u16 = (offset: number, value: number): void => view.setUint16(offset - HEADER, value, true);
  const u32 = (offset: number, value: number): void => view.setUint32(offset - HEADER, value, true);
  const portRegister = (offset: number, port: number, width: number, accessSize: number): void => {
    u8(offset, 1); // system I/O
    u8(offset + 1, width);
    u8(offset + 3, accessSize);
    u32(offset + 4, port);
  };
  const event = options.pmBase;
  const control = options.pmBase + 4;
  const timer = options.pmBase + 8;
  u32(36, facs);
  u32(40, dsdt);
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
  u8(108, 0x32); // century byte of the CMOS clock
  u16(109, (options.serialPorts.length > 0 ? BOOT_LEGACY_DEVICES : 0) | (options.keyboardController ? BOOT_8042 : 0) | (options.vga ? 0 : BOOT_NO_VGA));
  u32(112, FLAG_WBINVD | FLAG_C1 | FLAG_NO_SLEEP_BUTTON | FLAG_NO_FIXED_CLOCK_WAKE | FLAG_TIMER_32_BITS | FLAG_RESET_REGISTER);
  portRegister(116, options.resetPort, 8, 1);
  u8(128, options.resetValue);
  u32(140, dsdt); // X_DSDT; X_FIRMWARE_CTRL stays 0 where FIRMWARE_CTRL is given
  portRegister(148, event, 32, 2);
  portRegister(172, control, 16, 2);
  if (options.pmTimer) {
    u32(76, timer);
    u8(91, 4);
    portRegister(208, timer, 32, 3);
  }
  return acpiTable('FACP', 6, bytes);
}

/** Ticks: what a guest's interrupt takes is more than a microsecond. */
const SHORTEST_HPET_PERIOD = 100;

const ACTIVE_HIGH_EDGE = 0b0101;
const ACTIVE_HIGH_LEVEL = 0b1101;

/** MADT, revision 5 (5.2.12). */
function buildMadt(options: AcpiOptions): Uint8Array {
  const bytes: number[] = [...u32le(LOCAL_APIC), ...u32le(1)]; // a PIC is there too
  for (let i = 0; i < options.cpus; i++) {
    const apicId = options.apicIds?.[i] ?? i;
    if (apicId < 255) bytes.push(0, 8, i, apicId, ...u32le(1));
    else bytes.push(9, 16, 0, 0, ...u32le(apicId), ...u32le(1), ...u32le(i)); // local x2APIC
  }
  // The I/O APIC's identifier must differ from the processors' on old buses only; 0 is what its register says at reset.
  bytes.push(1, 12, 0, 0, ...u32le(IO_APIC), ...u32le(0));
  const override = (irq: number, input: number, flags: number): void => {
    bytes.push(2, 10, 0, irq, ...u32le(input), flags, 0);
  };
  override(0, 2, ACTIVE_HIGH_EDGE);
  const level = new Set([SCI_INTERRUPT, ...options.pciInterrupts]);
  for (const irq of [...level].sort((a, b) => a - b)) override(irq, irq, ACTIVE_HIGH_LEVEL);
  bytes.push(4, 6, 0xff, ACTIVE_HIGH_EDGE, 0, 1); // NMI at LINT1 of all processors
  return acpiTable('APIC', 5, Uint8Array.from(bytes));
}

/** IA-PC HPET specification 1.0a, section 3.2.4. */
function buildHpet(hpet: { readonly address: number; readonly capabilities: number }): Uint8Array {
  const memory = [0, 64, 0, 0];
  return acpiTable('HPET', 1, Uint8Array.from([...u32le(hpet.capabilities), ...memory, ...u32le(hpet.address), ...u32le(0), 0, ...[SHORTEST_HPET_PERIOD & 0xff, SHORTEST_HPET_PERIOD >> 8], 0]));
}
