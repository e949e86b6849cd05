import * as aml from './aml.ts';
import type { Aml } from './aml.ts';

export interface DsdtOptions {
  /** SLP_TYP value of S5. */
  readonly sleepTypeS5: number;
  /** First byte of the power-management ports, 64 of which are claimed. */
  readonly pmBase: number;
  readonly serialPorts: readonly { readonly port: number; readonly interrupt: number }[];
  /** The registers of the HPET, if there is one. */
  readonly hpet?: { readonly address: number };
  /** False where a keyboard controller is absent. */
  readonly keyboardController: boolean;
  /** First and last byte of the window for PCI memory below 4 GiB. */
  readonly pciWindow: readonly [number, number];
  /** Window above 4 GiB, if any. */
  readonly pciWideWindow?: readonly [number, number];
  /** Global interrupt number of a PCI slot's pin (1 to 4). */
  readonly pciInterrupt: (slot: number, pin: number) => number;
}

/** The DSDT's definition block: what a PC has that software cannot find by itself. */
export function dsdtContent(options: DsdtOptions): Aml {
  const s = options.sleepTypeS5;
  return [
    ...aml.name('\\_S5', aml.pack([aml.integer(s), aml.integer(s), aml.integer(0), aml.integer(0)])),
    ...aml.scope('\\_SB', [
      aml.device('PCI0', [
        aml.name('_HID', aml.eisaId('PNP0A03')),
        aml.name('_UID', aml.integer(0)),
        aml.name('_BBN', aml.integer(0)),
        aml.name('_CRS', rootWindows(options)),
        aml.name('_PRT', routing(options.pciInterrupt)),
        ...(options.hpet === undefined ? [] : [hpetDevice(options.hpet.address)]),
        aml.device('ISA', [aml.name('_ADR', aml.integer(0x10000)), ...isaDevices(options)]),
      ]),
    ]),
  ];
}

function hpetDevice(address: number): Aml {
  return aml.device('HPET', [aml.name('_HID', aml.eisaId('PNP0103')), aml.name('_UID', aml.integer(0)), aml.name('_CRS', aml.resources([aml.memory(address, 0x400)]))]);
}

function rootWindows(options: DsdtOptions): Aml {
  return aml.resources([
    aml.busNumbers(0, 0),
    aml.ioPorts(0xcf8, 8),
    aml.ioWindow(0x0000, 0x0cf7),
    aml.ioWindow(0x0d00, 0xffff),
    aml.memoryWindow(0xa0000, 0xbffff, true),
    aml.memoryWindow(...options.pciWindow),
    ...(options.pciWideWindow ? [aml.wideMemoryWindow(...options.pciWideWindow)] : []),
  ]);
}

/** Every slot's pins, wired to fixed inputs: a source of zero means a global interrupt number (ACPI 6.5, 6.2.13). */
function routing(pciInterrupt: DsdtOptions['pciInterrupt']): Aml {
  const entries: Aml[] = [];
  for (let slot = 0; slot < 32; slot++) {
    for (let pin = 0; pin < 4; pin++) {
      const address = slot * 0x10000 + 0xffff;
      entries.push(aml.pack([aml.integer(address), aml.integer(pin), aml.integer(0), aml.integer(pciInterrupt(slot, pin + 1))]));
    }
  }
  return aml.pack(entries);
}

function isaDevices(options: DsdtOptions): readonly Aml[] {
  const devices = [
    isaDevice('RTC', 'PNP0B00', [aml.ioPorts(0x70, 2), aml.isaInterrupt(8)]),
    isaDevice('SYSR', 'PNP0C02', [aml.ioPorts(0x92, 1), aml.ioPorts(0xb2, 2), aml.ioPorts(options.pmBase, 0x40)]),
  ];
  if (options.keyboardController) {
    devices.push(
      isaDevice('KBD', 'PNP0303', [aml.ioPorts(0x60, 1), aml.ioPorts(0x64, 1), aml.isaInterrupt(1)]),
      isaDevice('MOU', 'PNP0F13', [aml.isaInterrupt(12)]),
    );
  }
  options.serialPorts.forEach(({ port, interrupt }, index) => {
    devices.push(isaDevice(`COM${index + 1}`, 'PNP0501', [aml.ioPorts(port, 8), aml.isaInterrupt(interrupt)], index + 1));
  });
  return devices;
}

/** A device with fixed ports and interrupts. */
export function isaDevice(segment: string, id: string, descriptors: readonly Aml[], uid?: number): Aml {
  return aml.device(segment, [
    aml.name('_HID', aml.eisaId(id)),
    ...(uid === undefined ? [] : [aml.name('_UID', aml.integer(uid))]),
    aml.name('_CRS', aml.resources(descriptors)),
  ]);
}
