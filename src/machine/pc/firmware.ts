import type { Stateful } from '../../base/plain.ts';
import type { PcBus } from '../../buses/system-bus.ts';
import { DebugPort } from '../../devices/firmware/debug-port.ts';
import { Flash } from '../../devices/firmware/flash.ts';
import { FwCfg } from '../../devices/firmware/fw-cfg.ts';
import type { FwCfgContents } from '../../devices/firmware/fw-cfg.ts';
import { ShadowMemory } from '../../devices/pci/shadow-memory.ts';
import { buildRelocatableAcpiTables } from '../../firmware/acpi-tables.ts';
import { buildSmbios } from '../../firmware/smbios.ts';
import type { SmbiosOptions } from '../../firmware/smbios.ts';
import type { AcpiOptions } from '../../firmware/acpi-tables.ts';
import type { Log } from '../../host/log.ts';
import type { LinearMemory } from '../../memory/linear-memory.ts';
import type { FirmwareFiles, Nvram } from '../boot-source.ts';
import { inBootOrder } from './boot-devices.ts';
import type { BootDevice } from './boot-devices.ts';
import { firmwareConfiguration } from './firmware-configuration.ts';

const FOUR_GIB = 2 ** 32;

export interface FirmwareParts {
  /** Tells firmware of another machine than before: what it reads next is about that. */
  describe(acpi: AcpiOptions): void;
  /** Tells it what there is to boot from, if the user gave an order; by itself it goes by an order of its own. */
  bootFrom(devices: readonly BootDevice[]): void;
  readonly shadow: ShadowMemory;
  readonly devices: readonly (Stateful & { reset(): void })[];
}

/** Storage in the linear memory that firmware needs. */
export function firmwareBytes(files: FirmwareFiles): number {
  return files.firmware.length + (files.nvram?.contents.length ?? 0);
}

/** Flash ROM, flash memory for variables, and the ports that firmware made for QEMU's PC talks to. */
export function addFirmware(files: FirmwareFiles, acpi: AcpiOptions, smbios: SmbiosOptions, memory: LinearMemory, bus: PcBus, log: Log): FirmwareParts {
  const rom = memory.allocate(files.firmware.length);
  rom.data.set(files.firmware);
  const shadow = new ShadowMemory(memory, rom);
  bus.mmio.map(0xc0000, shadow);
  let machine = acpi;
  let bootPaths: readonly string[] = [];
  const configuration = (): FwCfgContents => firmwareConfiguration({ memory, apicIds: machine.apicIds, acpi: buildRelocatableAcpiTables(machine), smbios: buildSmbios(smbios), bootMenu: files.bootMenu ?? false, bootPaths });
  const fwCfg = new FwCfg(memory, configuration());
  const debugPort = new DebugPort((line) => log.trace('firmware', line));
  bus.ports.map(0x510, fwCfg);
  bus.ports.map(0x402, debugPort);
  const flash = files.nvram === undefined ? [] : [addFlash(files.nvram, FOUR_GIB - files.firmware.length, memory, bus)];
  return {
    shadow,
    describe: (options) => {
      machine = options;
      fwCfg.provide(configuration());
    },
    bootFrom: (devices) => {
      if (files.bootOrder === undefined) return;
      bootPaths = inBootOrder(files.bootOrder, devices);
      fwCfg.provide(configuration());
    },
    devices: [fwCfg, debugPort, ...flash],
  };
}

/** Right below the ROM, where firmware that keeps variables looks for it. */
function addFlash(nvram: Nvram, end: number, memory: LinearMemory, bus: PcBus): Flash {
  const bytes = nvram.contents.length;
  const storage = memory.allocate(bytes);
  storage.data.set(nvram.contents);
  const flash: Flash = new Flash({
    data: storage.data,
    readsArray: (array) => memory.setWindows(flash, array ? [{ first: end - bytes, bytes, kind: 'rom', host: storage.host }] : []),
    changed: (offset, changed) => nvram.store?.(offset, changed),
  });
  memory.setWindows(flash, [{ first: end - bytes, bytes, kind: 'rom', host: storage.host }]);
  bus.mmio.map(end - bytes, flash);
  return flash;
}
