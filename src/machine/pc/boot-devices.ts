import type { BootOrder } from '../boot-source.ts';

/** A device that firmware may boot from. */
export interface BootDevice {
  /** Its letter in a boot order. */
  readonly kind: BootOrder[number];
  /** Its OpenFirmware device path: `/NAME@UNIT` for each node (IEEE 1275-1994, section 3.2.1), with the names that SeaBIOS and OVMF look for. */
  readonly path: string;
}

/** Where a device is on the PCI buses: on bus 0, or behind the bridge in a slot of bus 0. */
export interface PciPlace {
  readonly bridge?: number;
  readonly slot: number;
  /** 0 if missing. */
  readonly func?: number;
}

/** What is tried behind the kinds that an order names: SeaBIOS's sequence of kinds without any order. */
const REST: BootOrder = ['a', 'c', 'd', 'n'];

/** The path of a PCI function: slots and functions are hexadecimal, function 0 is left out. */
export function pciPath(name: string, { bridge, slot, func = 0 }: PciPlace): string {
  const behind = bridge === undefined ? '' : `/pci-bridge@${bridge.toString(16)}`;
  return `/pci@i0cf8${behind}/${name}@${slot.toString(16)}${func === 0 ? '' : `,${func}`}`;
}

/**
 * The paths of all devices: kinds in the order that is asked for, those that it leaves out behind them, devices of one
 * kind as they are given. None may be missing: OVMF removes the boot options of PCI devices that it does not find in
 * its list, also those that an operating system made and that the NVRAM file keeps.
 */
export function inBootOrder(order: BootOrder, devices: readonly BootDevice[]): readonly string[] {
  const kinds = new Set([...order, ...REST]);
  return [...kinds].flatMap((kind) => devices.filter((device) => device.kind === kind).map((device) => device.path));
}
