import * as aml from './aml.ts';
import type { Aml } from './aml.ts';
import { placeAcpiTables } from './acpi-image.ts';
import type { AcpiTables } from './acpi-image.ts';
import { BOOT_LEGACY_DEVICES, BOOT_NO_VGA, FADT_C1, FADT_NO_POWER_BUTTON, FADT_NO_SLEEP_BUTTON, FADT_REDUCED_HARDWARE, FADT_RESET_REGISTER, FADT_WBINVD, buildFadt } from './fadt.ts';
import { isaDevice } from './dsdt.ts';
import { buildMadt } from './madt.ts';

/** A board without PCI and fixed ACPI hardware (ACPI specification 6.5, section 4.1). */
export interface MicrovmTables {
  /** The local APICs' identifiers, in the order in which an operating system should start them. */
  readonly apicIds: readonly number[];
  readonly sleepControlPort: number;
  readonly sleepStatusPort: number;
  /** Reading says and clears what has happened. */
  readonly eventPort: number;
  /** The bit of it that is the power button. */
  readonly powerButtonEvent: number;
  /** Interrupt that is raised while there are events. */
  readonly eventInterrupt: number;
  readonly sleepTypeS5: number;
  readonly resetPort: number;
  readonly resetValue: number;
  readonly serialPorts: readonly { readonly port: number; readonly interrupt: number }[];
  /** Windows of virtio devices. */
  readonly virtio: readonly { readonly address: number; readonly bytes: number; readonly interrupt: number }[];
}

export function buildMicrovmTables(options: MicrovmTables): AcpiTables {
  return placeAcpiTables({
    dsdt: dsdt(options),
    fadt: (facs, place) => buildFadt(facs, place, ({ u8, u16, u32, port }) => {
      u16(109, BOOT_LEGACY_DEVICES | BOOT_NO_VGA);
      u32(112, FADT_WBINVD | FADT_C1 | FADT_NO_POWER_BUTTON | FADT_NO_SLEEP_BUTTON | FADT_RESET_REGISTER | FADT_REDUCED_HARDWARE);
      port(116, options.resetPort, 8, 1);
      u8(128, options.resetValue);
      port(244, options.sleepControlPort, 8, 1);
      port(256, options.sleepStatusPort, 8, 1);
    }),
    tables: [buildMadt({ apicIds: options.apicIds, levelInterrupts: [] })],
  });
}

function dsdt(options: MicrovmTables): Aml {
  const s = options.sleepTypeS5;
  return [
    ...aml.name('\\_S5', aml.pack([aml.integer(s), aml.integer(s), aml.integer(0), aml.integer(0)])),
    ...aml.scope('\\_SB', [
      isaDevice('RTC', 'PNP0B00', [aml.ioPorts(0x70, 2), aml.isaInterrupt(8)]),
      isaDevice('SYSR', 'PNP0C02', [aml.ioPorts(options.resetPort, 1), aml.ioPorts(options.sleepControlPort, 4)]),
      ...options.serialPorts.map(({ port, interrupt }, index) => isaDevice(`COM${index + 1}`, 'PNP0501', [aml.ioPorts(port, 8), aml.isaInterrupt(interrupt)], index + 1)),
      ...options.virtio.map(virtioDevice),
      aml.device('PWRB', [aml.name('_HID', aml.eisaId('PNP0C0C')), aml.name('_UID', aml.integer(0))]),
      eventDevice(options),
    ]),
  ];
}

function virtioDevice({ address, bytes, interrupt }: MicrovmTables['virtio'][number], index: number): Aml {
  return aml.device(`VR${String(index).padStart(2, '0')}`, [
    aml.name('_HID', aml.text('LNRO0005')),
    aml.name('_UID', aml.integer(index)),
    aml.name('_CCA', aml.integer(1)),
    aml.name('_CRS', aml.resources([aml.memory(address, bytes, true), aml.levelInterrupt(interrupt)])),
  ]);
}

/** Generic event device (5.6.9.2): its method finds out what has happened. */
function eventDevice({ eventPort, eventInterrupt, powerButtonEvent }: MicrovmTables): Aml {
  return aml.device('GED', [
    aml.name('_HID', aml.text('ACPI0013')),
    aml.name('_CRS', aml.resources([aml.levelInterrupt(eventInterrupt)])),
    aml.operationRegion('EVTR', aml.SYSTEM_IO, eventPort, 1),
    aml.byteFields('EVTR', [['EVTS', 8]]),
    aml.method('_EVT', 1, [
      aml.store(aml.nameString('EVTS'), aml.local0),
      aml.ifThen(aml.and(aml.local0, aml.integer(powerButtonEvent)), [aml.notify('PWRB', 0x80)]),
    ]),
  ]);
}
