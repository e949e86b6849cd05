import type { GuestMemory } from '../memory/guest-memory.ts';
import type { AcpiTables } from './acpi-image.ts';
import { RESET_VECTOR } from './boot-layout.ts';
import { placeSmbios } from './smbios.ts';
import type { SmbiosOptions } from './smbios.ts';

/** Port CF9h, written 6: a hard reset (82371SB data sheet 290550, TRC). */
const RESET_CODE = [0xb0, 0x06, 0xba, 0xf9, 0x0c, 0xee, 0xf4]; // mov al, 6; mov dx, 0xcf9; out dx, al; hlt

/**
 * What firmware would leave in memory for a kernel that is booted directly: ACPI and SMBIOS tables, and code at the reset vector,
 * where Linux jumps to when it knows no other way to reset. Returns the address of the RSDP.
 */
export function placeBootTables(memory: GuestMemory, acpi: AcpiTables, smbios: SmbiosOptions): number {
  memory.write(acpi.address, acpi.bytes);
  const { address, bytes } = placeSmbios(smbios);
  memory.write(address, bytes);
  memory.write(RESET_VECTOR, Uint8Array.from(RESET_CODE));
  return acpi.rsdp;
}
