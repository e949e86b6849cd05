import { acpiTable } from './acpi-image.ts';

// Fixed ACPI description table (ACPI specification 6.5, section 5.2.9).

export const FADT_WBINVD = 1 << 0;
export const FADT_C1 = 1 << 2;
export const FADT_NO_POWER_BUTTON = 1 << 4;
export const FADT_NO_SLEEP_BUTTON = 1 << 5;
export const FADT_NO_FIXED_CLOCK_WAKE = 1 << 6;
export const FADT_TIMER_32_BITS = 1 << 8;
export const FADT_RESET_REGISTER = 1 << 10;
export const FADT_REDUCED_HARDWARE = 1 << 20;

export const BOOT_LEGACY_DEVICES = 1 << 0;
export const BOOT_8042 = 1 << 1;
export const BOOT_NO_VGA = 1 << 2;

/** Sets fields by their offset in the whole table. */
export interface FadtFields {
  u8(offset: number, value: number): void;
  u16(offset: number, value: number): void;
  u32(offset: number, value: number): void;
  /** A generic address of ports: width in bits, access size 1 for bytes to 3 for doublewords. */
  port(offset: number, port: number, width: number, accessSize: number): void;
}

const HEADER = 36;
const BYTES = 276;

/** Revision 6, pointers and the clock's century byte set; `fill` says the rest. */
export function buildFadt(facs: number, dsdt: number, fill: (fields: FadtFields) => void): Uint8Array {
  const bytes = new Uint8Array(BYTES - HEADER);
  const view = new DataView(bytes.buffer);
  const fields: FadtFields = {
    u8: (offset, value) => view.setUint8(offset - HEADER, value),
    u16: (offset, value) => view.setUint16(offset - HEADER, value, true),
    u32: (offset, value) => view.setUint32(offset - HEADER, value, true),
    port: (offset, port, width, accessSize) => {
      fields.u8(offset, 1); // system I/O
      fields.u8(offset + 1, width);
      fields.u8(offset + 3, accessSize);
      fields.u32(offset + 4, port);
    },
  };
  fields.u32(36, facs);
  fields.u32(40, dsdt);
  fields.u32(140, dsdt); // X_DSDT; X_FIRMWARE_CTRL stays 0 where FIRMWARE_CTRL is given
  fields.u8(108, 0x32); // century byte of the CMOS clock
  fill(fields);
  return acpiTable('FACP', 6, bytes);
}
