import { ACPI_TABLES, ACPI_TABLES_END } from './boot-layout.ts';
import { dsdtContent } from './dsdt.ts';

// ACPI specification 6.5, chapter 5.

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

export interface AcpiTables {
  /** Where `bytes` must lie: the tables point to each other. */
  readonly address: number;
  readonly bytes: Uint8Array;
  /** Physical address of the RSDP. */
  readonly rsdp: number;
}

/** Tables that firmware places: each pointer holds an offset into `tables`, each table of `checksums` has a 0 there. */
export interface RelocatableAcpiTables {
  readonly rsdp: Uint8Array;
  readonly tables: Uint8Array;
  readonly rsdpPointers: readonly AcpiPointer[];
  readonly pointers: readonly AcpiPointer[];
  readonly checksums: readonly { readonly at: number; readonly first: number; readonly bytes: number }[];
  readonly rsdpChecksums: readonly { readonly at: number; readonly first: number; readonly bytes: number }[];
}

export interface AcpiPointer {
  readonly at: number;
  readonly bytes: 4 | 8;
}

const LOCAL_APIC = 0xfee00000;
const IO_APIC = 0xfec00000;
const SCI_INTERRUPT = 9;
/** A multiple of the FACS's alignment. */
const RSDP_ROOM = 64;
const OEM = 'POLYVM';
const OEM_TABLE = 'POLYVISR';
const CREATOR = 'PLVR';

/** All tables in one image, RSDP first, where a scan finds it at once. */
export function buildAcpiTables(options: AcpiOptions, address = ACPI_TABLES): AcpiTables {
  const { rsdp, tables } = placeAcpiTables(options, address + RSDP_ROOM);
  if (RSDP_ROOM + tables.length > ACPI_TABLES_END - ACPI_TABLES) throw new RangeError('ACPI tables do not fit their area');
  const bytes = new Uint8Array(RSDP_ROOM + tables.length);
  bytes.set(rsdp, 0);
  bytes.set(tables, RSDP_ROOM);
  return { address, bytes, rsdp: address };
}

/** The same for firmware that places them and fixes their pointers. */
export function buildRelocatableAcpiTables(options: AcpiOptions): RelocatableAcpiTables {
  return placeAcpiTables(options, 0);
}

/** Tables for an address that is a multiple of 64. The IRQ 0 override says that the interval timer is wired to I/O APIC input 2. */
function placeAcpiTables(options: AcpiOptions, address: number): RelocatableAcpiTables {
  const image: number[] = [];
  const pointers: AcpiPointer[] = [];
  const checksums: { at: number; first: number; bytes: number }[] = [];
  const place = (bytes: Uint8Array, pointersInside: readonly AcpiPointer[] = []): number => {
    while (image.length % 16 !== 0) image.push(0);
    const first = image.length;
    image.push(...bytes);
    for (const pointer of pointersInside) pointers.push({ ...pointer, at: first + pointer.at });
    if (first > 0) checksums.push({ at: first + 9, first, bytes: bytes.length }); // the FACS has none
    return address + first;
  };
  const list = (entries: readonly number[], size: 4 | 8): AcpiPointer[] => entries.map((_, i) => ({ at: 36 + i * size, bytes: size }));
  const facs = place(buildFacs()); // first, for its alignment is 64
  const dsdt = place(table('DSDT', 2, Uint8Array.from(dsdtContent({ ...options, pciWindow: pciWindow(options.lowBytes) }))));
  const fadt = place(buildFadt(options, facs, dsdt), [{ at: 36, bytes: 4 }, { at: 40, bytes: 4 }, { at: 140, bytes: 8 }]);
  const root = [fadt, place(buildMadt(options)), ...(options.hpet === undefined ? [] : [place(buildHpet(options.hpet))])];
  const rsdt = place(table('RSDT', 1, pointerBytes(root, 4)), list(root, 4));
  const xsdt = place(table('XSDT', 1, pointerBytes(root, 8)), list(root, 8));
  return {
    rsdp: buildRsdp(rsdt, xsdt), tables: Uint8Array.from(image), pointers, checksums,
    rsdpPointers: [{ at: 16, bytes: 4 }, { at: 24, bytes: 8 }],
    rsdpChecksums: [{ at: 8, first: 0, bytes: 20 }, { at: 32, first: 0, bytes: 36 }],
  };
}

/** From the end of RAM, on a whole MiB, to the I/O APIC. */
function pciWindow(lowBytes: number): readonly [number, number] {
  const mebibyte = 2 ** 20;
  return [Math.ceil(lowBytes / mebibyte) * mebibyte, IO_APIC - 1];
}

function ascii(text: string, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i < text.length ? text.charCodeAt(i) : 0x20));
}

function checksum(bytes: Uint8Array): number {
  let sum = 0;
  for (const byte of bytes) sum += byte;
  return -sum & 0xff;
}

/** System description table header (5.2.6) with the content after it, checksum filled in. */
function table(signature: string, revision: number, content: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(36 + content.length);
  const view = new DataView(bytes.buffer);
  bytes.set(ascii(signature, 4), 0);
  view.setUint32(4, bytes.length, true);
  bytes[8] = revision;
  bytes.set(ascii(OEM, 6), 10);
  bytes.set(ascii(OEM_TABLE, 8), 16);
  view.setUint32(24, 1, true);
  bytes.set(ascii(CREATOR, 4), 28);
  view.setUint32(32, 1, true);
  bytes.set(content, 36);
  bytes[9] = checksum(bytes);
  return bytes;
}

function pointerBytes(addresses: readonly number[], size: 4 | 8): Uint8Array {
  const bytes = new Uint8Array(addresses.length * size);
  const view = new DataView(bytes.buffer);
  addresses.forEach((address, i) => view.setUint32(i * size, address, true));
  return bytes;
}

/** 5.2.5.3 */
function buildRsdp(rsdt: number, xsdt: number): Uint8Array {
  const bytes = new Uint8Array(36);
  const view = new DataView(bytes.buffer);
  bytes.set(ascii('RSD PTR ', 8), 0);
  bytes.set(ascii(OEM, 6), 9);
  bytes[15] = 2;
  view.setUint32(16, rsdt, true);
  view.setUint32(20, bytes.length, true);
  view.setUint32(24, xsdt, true);
  bytes[8] = checksum(bytes.subarray(0, 20));
  bytes[32] = checksum(bytes);
  return bytes;
}

/** 5.2.10: no checksum, no standard header. */
function buildFacs(): Uint8Array {
  const bytes = new Uint8Array(64);
  bytes.set(ascii('FACS', 4), 0);
  new DataView(bytes.buffer).setUint32(4, 64, true);
  bytes[32] = 2;
  return bytes;
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
  return table('FACP', 6, bytes);
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
  return table('APIC', 5, Uint8Array.from(bytes));
}

/** IA-PC HPET specification 1.0a, section 3.2.4. */
function buildHpet(hpet: { readonly address: number; readonly capabilities: number }): Uint8Array {
  const memory = [0, 64, 0, 0];
  return table('HPET', 1, Uint8Array.from([...u32le(hpet.capabilities), ...memory, ...u32le(hpet.address), ...u32le(0), 0, ...[SHORTEST_HPET_PERIOD & 0xff, SHORTEST_HPET_PERIOD >> 8], 0]));
}

function u32le(value: number): number[] {
  return [value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, value >>> 24];
}
