import { assertNever } from '../../base/assert-never.ts';
import { UserError } from '../../base/errors.ts';
import { pciInterrupt } from '../../devices/pci/chipset.ts';
import type { PciEndpoint, PciWiring } from '../../devices/pci/endpoint.ts';
import type { PciBus } from '../../devices/pci/pci-bus.ts';
import { NvmeController } from '../../devices/storage/nvme/nvme-controller.ts';
import { VirtioBlock } from '../../devices/virtio/virtio-block.ts';
import { VirtioPci } from '../../devices/virtio/virtio-pci.ts';
import type { Log } from '../../host/log.ts';
import type { GuestMemory } from '../../memory/guest-memory.ts';
import type { LevelLine, MsiSink } from '../../wiring/interrupt-line.ts';
import type { DiskInterface, Drive } from '../drives.ts';

export interface PciBoard {
  readonly pci: PciBus;
  readonly memory: GuestMemory;
  readonly messages: MsiSink;
  readonly interrupt: (irq: number) => LevelLine;
  readonly log: Log;
}

type Disk = Drive & { readonly kind: 'disk' };
export type PciDisk = Disk & { readonly interface: Exclude<DiskInterface, 'ide'> };

/** Puts a disk with a controller of its own into the next free slot. `number` tells the machine's disks apart. */
export function addPciDisk(board: PciBoard, disk: PciDisk, number: number): void {
  const slot = board.pci.freeSlot();
  if (slot === undefined) throw new UserError('the PCI bus is full; give fewer disks');
  const wiring = { intx: board.interrupt(pciInterrupt(slot, 1)), messages: board.messages, memory: board.memory, log: board.log };
  board.pci.add(slot, 0, makeController(disk, `polyvisor-${number}`, wiring));
}

function makeController(disk: PciDisk, serial: string, wiring: PciWiring & { readonly memory: GuestMemory; readonly log: Log }): PciEndpoint {
  switch (disk.interface) {
    case 'virtio':
      return new VirtioPci(new VirtioBlock({ name: 'virtio-blk', serial, block: disk.block }), wiring);
    case 'nvme':
      return new NvmeController({ serial, block: disk.block }, wiring);
    case 'ahci':
      throw new UserError(`disk interface ${disk.interface} is not part of this version yet`);
    default:
      return assertNever(disk.interface);
  }
}
