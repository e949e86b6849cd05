import type { RelocatableAcpiTables } from './acpi-image.ts';

// The script by which firmware puts ACPI tables into memory (QEMU: file etc/table-loader): records of 128 bytes that
// name other files.

const RECORD = 128;
const NAME = 56;
const ALLOCATE = 1;
const ADD_POINTER = 2;
const ADD_CHECKSUM = 3;
const ZONE_HIGH = 1;
/** Below 1 MiB, where operating systems scan for the RSDP. */
const ZONE_LOW = 2;

const RSDP_FILE = 'etc/acpi/rsdp';
const TABLES_FILE = 'etc/acpi/tables';

/** The files that make firmware place the tables. */
export function acpiFiles(acpi: RelocatableAcpiTables): ReadonlyMap<string, Uint8Array> {
  const script: Uint8Array[] = [allocate(TABLES_FILE, 64, ZONE_HIGH), allocate(RSDP_FILE, 16, ZONE_LOW)];
  for (const { at, bytes } of acpi.pointers) script.push(addPointer(TABLES_FILE, at, bytes));
  for (const { at, bytes } of acpi.rsdpPointers) script.push(addPointer(RSDP_FILE, at, bytes));
  for (const sum of acpi.checksums) script.push(addChecksum(TABLES_FILE, sum));
  for (const sum of acpi.rsdpChecksums) script.push(addChecksum(RSDP_FILE, sum));
  // Firmware subtracts the sum from what is there.
  const tables = acpi.tables.slice();
  const rsdp = acpi.rsdp.slice();
  for (const { at } of acpi.checksums) tables[at] = 0;
  for (const { at } of acpi.rsdpChecksums) rsdp[at] = 0;
  const loader = new Uint8Array(script.length * RECORD);
  script.forEach((record, i) => loader.set(record, i * RECORD));
  return new Map([[RSDP_FILE, rsdp], [TABLES_FILE, tables], ['etc/table-loader', loader]]);
}

function record(command: number, names: readonly string[], fill: (view: DataView, at: number) => void): Uint8Array {
  const bytes = new Uint8Array(RECORD);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, command, true);
  names.forEach((name, i) => bytes.set([...name].map((letter) => letter.charCodeAt(0)), 4 + i * NAME));
  fill(view, 4 + names.length * NAME);
  return bytes;
}

function allocate(file: string, alignment: number, zone: number): Uint8Array {
  return record(ALLOCATE, [file], (view, at) => {
    view.setUint32(at, alignment, true);
    view.setUint8(at + 4, zone);
  });
}

/** All pointers lead into the tables. */
function addPointer(file: string, offset: number, size: number): Uint8Array {
  return record(ADD_POINTER, [file, TABLES_FILE], (view, at) => {
    view.setUint32(at, offset, true);
    view.setUint8(at + 4, size);
  });
}

function addChecksum(file: string, sum: { readonly at: number; readonly first: number; readonly bytes: number }): Uint8Array {
  return record(ADD_CHECKSUM, [file], (view, at) => {
    view.setUint32(at, sum.at, true);
    view.setUint32(at + 4, sum.first, true);
    view.setUint32(at + 8, sum.bytes, true);
  });
}
