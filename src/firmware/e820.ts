import { CONVENTIONAL_MEMORY_END, HIGH_MEMORY } from './boot-layout.ts';

/** Address range types of INT 15h, E820h (ACPI 6.5, table 15.7). */
export const E820_RAM = 1;
export const E820_RESERVED = 2;

export interface E820Entry {
  readonly base: number;
  readonly length: number;
  readonly type: number;
}

const FOUR_GIB = 2 ** 32;
/** Below 1 MiB the BIOS area, where the ACPI tables lie. */
const BIOS_AREA = 0xe0000;
/** I/O APIC, local APIC and the reset vector's ROM. */
const FIXED_DEVICES = 0xfec00000;

/** The memory map of a PC with `bytes` of RAM, of which `lowBytes` lie below 4 GiB: ascending, no overlaps. */
export function memoryMap(memory: { readonly bytes: number; readonly lowBytes: number }): readonly E820Entry[] {
  const { bytes, lowBytes } = memory;
  const entries: E820Entry[] = [
    { base: 0, length: CONVENTIONAL_MEMORY_END, type: E820_RAM },
    { base: CONVENTIONAL_MEMORY_END, length: 0xa0000 - CONVENTIONAL_MEMORY_END, type: E820_RESERVED },
    { base: BIOS_AREA, length: HIGH_MEMORY - BIOS_AREA, type: E820_RESERVED },
  ];
  if (lowBytes > HIGH_MEMORY) entries.push({ base: HIGH_MEMORY, length: lowBytes - HIGH_MEMORY, type: E820_RAM });
  entries.push({ base: FIXED_DEVICES, length: FOUR_GIB - FIXED_DEVICES, type: E820_RESERVED });
  if (bytes > lowBytes) entries.push({ base: FOUR_GIB, length: bytes - lowBytes, type: E820_RAM });
  return entries;
}
