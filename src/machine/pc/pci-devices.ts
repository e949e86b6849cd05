import { UserError } from '../../base/errors.ts';
import { pciInterrupt } from '../../devices/pci/chipset.ts';
import type { PciWiring } from '../../devices/pci/endpoint.ts';
import type { PciBus, PciFunction } from '../../devices/pci/pci-bus.ts';
import { AHCI_PORTS, AhciController } from '../../devices/storage/ahci/ahci-controller.ts';
import { NvmeController } from '../../devices/storage/nvme/nvme-controller.ts';
import { VirtioBlock } from '../../devices/virtio/virtio-block.ts';
import { SCSI_TARGETS, VirtioScsi } from '../../devices/virtio/virtio-scsi.ts';
import { VirtioPci } from '../../devices/virtio/virtio-pci.ts';
import type { BlockPort } from '../../host/blocks.ts';
import type { Log } from '../../host/log.ts';
import type { GuestMemory } from '../../memory/guest-memory.ts';
import type { LevelLine, MsiSink } from '../../wiring/interrupt-line.ts';
import type { Drive } from '../drives.ts';

export interface PciBoard {
  readonly pci: PciBus;
  readonly memory: GuestMemory;
  readonly messages: MsiSink;
  readonly interrupt: (irq: number) => LevelLine;
  readonly log: Log;
}

type DeviceWiring = PciWiring & { readonly memory: GuestMemory; readonly log: Log };

/** Puts disks with PCI controllers into free slots, in order. Virtio and NVMe disks have a controller each, AHCI and SCSI disks share. */
export function addPciDisks(board: PciBoard, drives: readonly Drive[]): void {
  const ahci: { serial: string; block: BlockPort }[] = [];
  const scsi: { serial: string; block: BlockPort }[] = [];
  drives.forEach((drive, number) => {
    if (drive.kind !== 'disk') return;
    const { block } = drive;
    const serial = `polyvisor-${number}`;
    if (drive.interface === 'virtio') addPciDevice(board, (wiring) => new VirtioPci(new VirtioBlock({ name: 'virtio-blk', serial, block }), wiring));
    else if (drive.interface === 'nvme') addPciDevice(board, (wiring) => new NvmeController({ serial, block }, wiring));
    else if (drive.interface === 'ahci') ahci.push({ serial, block });
    else if (drive.interface === 'scsi') scsi.push({ serial, block });
  });
  for (let first = 0; first < ahci.length; first += AHCI_PORTS) addPciDevice(board, (wiring) => new AhciController(ahci.slice(first, first + AHCI_PORTS), wiring));
  for (let first = 0; first < scsi.length; first += SCSI_TARGETS) addPciDevice(board, (wiring) => new VirtioPci(new VirtioScsi(scsi.slice(first, first + SCSI_TARGETS)), wiring));
}

/** Puts a device into the next free slot. */
export function addPciDevice(board: PciBoard, make: (wiring: DeviceWiring) => PciFunction): void {
  const slot = board.pci.freeSlot();
  if (slot === undefined) throw new UserError('the PCI bus is full; give fewer disks and devices');
  board.pci.add(slot, 0, make({ intx: board.interrupt(pciInterrupt(slot, 1)), messages: board.messages, memory: board.memory, log: board.log }));
}
