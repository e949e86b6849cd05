import * as aml from './aml.ts';
import type { Aml } from './aml.ts';

export interface DsdtOptions {
  /** SLP_TYP value of S5. */
  readonly sleepTypeS5: number;
  /** First byte of the power-management ports, 64 of which are claimed. */
  readonly pmBase: number;
  readonly serialPorts: readonly { readonly port: number; readonly interrupt: number }[];
  readonly parallelPorts: readonly { readonly port: number; readonly interrupt: number }[];
  /** The registers of the HPET, if there is one. */
  readonly hpet?: { readonly address: number };
  /** False where a keyboard controller is absent. */
  readonly keyboardController: boolean;
  /** First and last byte of the window for PCI memory below 4 GiB. */
  readonly pciWindow: readonly [number, number];
  /** Window above 4 GiB, if any. */
  readonly pciWideWindow?: readonly [number, number];
  /** Number of buses, and the memory where their configuration space shows. */
  readonly pciBuses: number;
  readonly pciConfigSpace: readonly [number, number];
  /** Which of the ISA bridge's four PIRQ# inputs a slot's pin (1 to 4) is wired to. */
  readonly pirqOf: (slot: number, pin: number) => number;
  /** Interrupts that they can be routed to. */
  readonly pciInterrupts: readonly number[];
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
        aml.name('_PRT', routing(options.pirqOf)),
        ...(options.hpet === undefined ? [] : [hpetDevice(options.hpet.address)]),
        aml.device('ISA', [
          aml.name('_ADR', aml.integer(0x10000)),
          aml.operationRegion('PIRR', aml.PCI_CONFIG, 0x60, 4),
          aml.byteFields('PIRR', LINKS.map((_, i) => [`PRQ${i}`, 8])),
          ...isaDevices(options),
        ]),
        ...LINKS.map((name, i) => linkDevice(name, i, options.pciInterrupts)),
      ]),
    ]),
  ];
}

function hpetDevice(address: number): Aml {
  return aml.device('HPET', [aml.name('_HID', aml.eisaId('PNP0103')), aml.name('_UID', aml.integer(0)), aml.name('_CRS', aml.resources([aml.memory(address, 0x400)]))]);
}

function rootWindows(options: DsdtOptions): Aml {
  return aml.resources([
    aml.busNumbers(0, options.pciBuses - 1),
    aml.ioPorts(0xcf8, 8),
    aml.ioWindow(0x0000, 0x0cf7),
    aml.ioWindow(0x0d00, 0xffff),
    aml.memoryWindow(0xa0000, 0xbffff, true),
    aml.memoryWindow(options.pciWindow[0], options.pciConfigSpace[0] - 1),
    aml.memoryWindow(options.pciConfigSpace[1] + 1, options.pciWindow[1]),
    ...(options.pciWideWindow ? [aml.wideMemoryWindow(...options.pciWideWindow)] : []),
  ]);
}

/** Of PIRQA# to PIRQD#. */
const LINKS = ['LNKA', 'LNKB', 'LNKC', 'LNKD'] as const;
const PIRQ_OFF = 0x80;

/** A PCI interrupt link device (ACPI 6.5, section 6.2.13): what routes one PIRQ#, by the ISA bridge's register. */
function linkDevice(name: string, index: number, interrupts: readonly number[]): Aml {
  const register = aml.nameString(`\\_SB.PCI0.ISA.PRQ${index}`);
  return aml.device(name, [
    aml.name('_HID', aml.eisaId('PNP0C0F')),
    aml.name('_UID', aml.integer(index)),
    aml.name('_PRS', aml.resources([aml.levelInterrupt(...interrupts)])),
    aml.method('_STA', 0, [aml.ifThen(aml.and(register, aml.integer(PIRQ_OFF)), [aml.returns(aml.integer(0x09))]), aml.returns(aml.integer(0x0b))]),
    aml.method('_DIS', 0, [aml.or(register, aml.integer(PIRQ_OFF), register)]),
    aml.name('BUFR', aml.resources([aml.levelInterrupt(0)])),
    aml.method('_CRS', 0, [
      aml.doublewordField(aml.nameString('BUFR'), aml.INTERRUPT_NUMBER, 'IRQV'),
      aml.store(aml.and(register, aml.integer(0x0f)), aml.nameString('IRQV')),
      aml.returns(aml.nameString('BUFR')),
    ]),
    aml.method('_SRS', 1, [aml.doublewordField(aml.arg0, aml.INTERRUPT_NUMBER, 'IRQV'), aml.store(aml.nameString('IRQV'), register)]),
  ]);
}

/** Every slot's pins, wired to the PIRQ# inputs of the ISA bridge (ACPI 6.5, 6.2.13). */
function routing(pirqOf: DsdtOptions['pirqOf']): Aml {
  const entries: Aml[] = [];
  for (let slot = 0; slot < 32; slot++) {
    for (let pin = 0; pin < 4; pin++) {
      const address = slot * 0x10000 + 0xffff;
      entries.push(aml.pack([aml.integer(address), aml.integer(pin), aml.nameString(LINKS[pirqOf(slot, pin + 1)]!), aml.integer(0)]));
    }
  }
  return aml.pack(entries);
}

function isaDevices(options: DsdtOptions): readonly Aml[] {
  const devices = [
    isaDevice('RTC', 'PNP0B00', [aml.ioPorts(0x70, 2), aml.isaInterrupt(8)]),
    isaDevice('SYSR', 'PNP0C02', [aml.ioPorts(0x92, 1), aml.ioPorts(0xb2, 2), aml.ioPorts(options.pmBase, 0x40), aml.memory(options.pciConfigSpace[0], options.pciConfigSpace[1] - options.pciConfigSpace[0] + 1, true)]),
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
  options.parallelPorts.forEach(({ port, interrupt }, index) => {
    devices.push(isaDevice(`LPT${index + 1}`, 'PNP0400', [aml.ioPorts(port, 3), aml.isaInterrupt(interrupt)], index + 1));
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
