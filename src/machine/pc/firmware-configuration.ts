import type { FwCfgContents } from '../../devices/firmware/fw-cfg.ts';
import type { RelocatableAcpiTables } from '../../firmware/acpi-image.ts';
import type { SmbiosTables } from '../../firmware/smbios.ts';
import { acpiFiles } from '../../firmware/table-loader.ts';
import type { GuestMemory } from '../../memory/guest-memory.ts';

export interface FirmwareMachine {
  readonly memory: GuestMemory;
  readonly apicIds: readonly number[];
  readonly acpi: RelocatableAcpiTables;
  readonly smbios: SmbiosTables;
  readonly bootMenu: boolean;
  /** OpenFirmware device paths of what to boot from, in order; none: firmware goes by its own order. */
  readonly bootPaths: readonly string[];
}

// Items by number (QEMU's docs/specs/fw_cfg).
const RAM_SIZE = 0x03;
const CPUS = 0x05;
const BOOT_MENU = 0x0e;
/** Above the highest APIC identifier, as QEMU's PC has it. */
const MAX_CPUS = 0x0f;
/** x86: the interval timer is wired to I/O APIC input 2. */
const IRQ0_OVERRIDE = 0x8002;

const COM1 = 0x3f8;
const FOUR_GIB = 2 ** 32;
const E820_RAM = 1;

/** What firmware is told about this machine. */
export function firmwareConfiguration(machine: FirmwareMachine): FwCfgContents {
  const { memory, apicIds, bootPaths } = machine;
  return {
    items: new Map([
      [RAM_SIZE, littleEndian(memory.bytes, 8)],
      [CPUS, littleEndian(apicIds.length, 2)],
      [BOOT_MENU, littleEndian(machine.bootMenu ? 1 : 0, 2)],
      [MAX_CPUS, littleEndian(Math.max(...apicIds) + 1, 2)],
      [IRQ0_OVERRIDE, Uint8Array.of(1)],
    ]),
    files: new Map([
      ['etc/e820', memoryRanges(memory)],
      // SeaBIOS shows what it writes to the screen on the first serial port too, and takes keys from there.
      ['etc/sercon-port', littleEndian(COM1, 2)],
      // Nothing to boot: say so and stay there.
      ['etc/boot-fail-wait', littleEndian(0xffffffff, 4)],
      ['etc/smbios/smbios-anchor', machine.smbios.anchor],
      ['etc/smbios/smbios-tables', machine.smbios.structures],
      ...acpiFiles(machine.acpi),
      ...(bootPaths.length === 0 ? [] : [['bootorder', lines(bootPaths)]] as const),
    ]),
  };
}

/** RAM only, as base, length (64 bits) and type (32 bits): firmware adds what it takes for itself. */
function memoryRanges(memory: GuestMemory): Uint8Array {
  const range = (base: number, length: number): number[] => [...littleEndian(base, 8), ...littleEndian(length, 8), ...littleEndian(E820_RAM, 4)];
  const high = memory.bytes - memory.lowBytes;
  return Uint8Array.from([...range(0, memory.lowBytes), ...(high > 0 ? range(FOUR_GIB, high) : [])]);
}

/** One a line, the last with a zero behind it instead of a line feed. */
function lines(texts: readonly string[]): Uint8Array {
  return Uint8Array.from(`${texts.join('\n')}\0`, (letter) => letter.charCodeAt(0));
}

function littleEndian(value: number, bytes: number): Uint8Array {
  return Uint8Array.from({ length: bytes }, (_, i) => Math.floor(value / 2 ** (8 * i)) % 256);
}
