// Where direct boot puts what it hands to a guest: conventional memory that every kernel has copied from or taken
// over before it uses it for something else. Physical addresses.

/** Global descriptor table that the start state's segment registers stand for. */
export const BOOT_GDT = 0x1000;
/** Identity page tables of the 64-bit entry: PML4, PDPT, four page directories. */
export const BOOT_PAGE_TABLES = 0x2000;
/** PVH start info or multiboot information with what they point to, below BOOT_PARAMS. */
export const BOOT_INFORMATION = 0x8000;
export const BOOT_INFORMATION_END = 0x10000;
/** Linux boot_params ("zero page"); in the 16-bit protocol the kernel's real-mode part. */
export const BOOT_PARAMS = 0x10000;
export const BOOT_COMMAND_LINE = 0x20000;
/** Room for the command line with its terminator. */
export const BOOT_COMMAND_LINE_BYTES = 0x10000;
/**
 * Command line and information of a multiboot kernel, which may itself be linked to low addresses: as high as conventional
 * memory goes.
 */
export const MULTIBOOT_COMMAND_LINE = 0x80000;
export const MULTIBOOT_INFORMATION = 0x90000;
/** Extended BIOS data area, and with it the end of free conventional memory. */
export const CONVENTIONAL_MEMORY_END = 0x9fc00;
/** ACPI tables: in the area that kernels scan for the RSDP (ACPI 6.5, section 5.2.5.1). */
export const ACPI_TABLES = 0xe0000;
export const ACPI_TABLES_END = 0xf0000;
/** SMBIOS tables: where kernels scan for their entry point (DSP0134, section 5.2). */
export const SMBIOS_TABLES = 0xf0000;
/** Where a processor goes that is reset in real-address mode, F000h:FFF0h. */
export const RESET_VECTOR = 0xffff0;
export const HIGH_MEMORY = 0x100000;
