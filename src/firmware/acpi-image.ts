import { ACPI_TABLES, ACPI_TABLES_END } from './boot-layout.ts';
import type { Aml } from './aml.ts';

// ACPI specification 6.5, section 5.2: tables of whatever content, put into memory and joined.

/** Tables of a machine. */
export interface AcpiContents {
  readonly dsdt: Aml;
  /** The fixed description table, once it is known where FACS and DSDT lie. Its pointers are at the usual places. */
  readonly fadt: (facs: number, dsdt: number) => Uint8Array;
  /** The others, none of which holds an address of a table. */
  readonly tables: readonly Uint8Array[];
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

/** A multiple of the FACS's alignment. */
const RSDP_ROOM = 64;
const OEM = 'POLYVM';
const OEM_TABLE = 'POLYVISR';
const CREATOR = 'PLVR';

/** All tables in one image, RSDP first, where a scan finds it at once. */
export function placeAcpiTables(contents: AcpiContents, address = ACPI_TABLES): AcpiTables {
  const { rsdp, tables } = joinTables(contents, address + RSDP_ROOM);
  if (RSDP_ROOM + tables.length > ACPI_TABLES_END - ACPI_TABLES) throw new RangeError('ACPI tables do not fit their area');
  const bytes = new Uint8Array(RSDP_ROOM + tables.length);
  bytes.set(rsdp, 0);
  bytes.set(tables, RSDP_ROOM);
  return { address, bytes, rsdp: address };
}

/** The same for firmware that places them and fixes their pointers. */
export function relocatableAcpiTables(contents: AcpiContents): RelocatableAcpiTables {
  return joinTables(contents, 0);
}

/** Tables for an address that is a multiple of 64. */
function joinTables(contents: AcpiContents, address: number): RelocatableAcpiTables {
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
  const dsdt = place(acpiTable('DSDT', 2, Uint8Array.from(contents.dsdt)));
  const fadt = place(contents.fadt(facs, dsdt), [{ at: 36, bytes: 4 }, { at: 40, bytes: 4 }, { at: 140, bytes: 8 }]);
  const root = [fadt, ...contents.tables.map((table) => place(table))];
  const rsdt = place(acpiTable('RSDT', 1, pointerBytes(root, 4)), list(root, 4));
  const xsdt = place(acpiTable('XSDT', 1, pointerBytes(root, 8)), list(root, 8));
  return {
    rsdp: buildRsdp(rsdt, xsdt), tables: Uint8Array.from(image), pointers, checksums,
    rsdpPointers: [{ at: 16, bytes: 4 }, { at: 24, bytes: 8 }],
    rsdpChecksums: [{ at: 8, first: 0, bytes: 20 }, { at: 32, first: 0, bytes: 36 }],
  };
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
export function acpiTable(signature: string, revision: number, content: Uint8Array): Uint8Array {
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

export function u32le(value: number): number[] {
  return [value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, value >>> 24];
}
