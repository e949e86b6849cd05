import { assertNever } from '../../base/assert-never.ts';
import { UserError } from '../../base/errors.ts';
import { pinBehindBridge, pirqOf } from '../../devices/pci/chipset.ts';
import type { IsaBridge } from '../../devices/pci/chipset.ts';
import type { BusChange } from '../../devices/pci/bus-change.ts';
import { PciBridge } from '../../devices/pci/pci-bridge.ts';
import type { PciWiring } from '../../devices/pci/endpoint.ts';
import { SLOTS } from '../../devices/pci/pci-bus.ts';
import type { PciBus, PciFunction } from '../../devices/pci/pci-bus.ts';
import { AHCI_PORTS, AhciController } from '../../devices/storage/ahci/ahci-controller.ts';
import { NvmeController } from '../../devices/storage/nvme/nvme-controller.ts';
import { E1000 } from '../../devices/network/e1000/e1000.ts';
import type { NetworkCard } from '../../devices/network/network-card.ts';
import { Rtl8139 } from '../../devices/network/rtl8139/rtl8139.ts';
import { VirtioBlock } from '../../devices/virtio/virtio-block.ts';
import { VirtioNet } from '../../devices/virtio/virtio-net.ts';
import { SCSI_TARGETS, VirtioScsi } from '../../devices/virtio/virtio-scsi.ts';
import { VirtioPci } from '../../devices/virtio/virtio-pci.ts';
import type { BlockPort } from '../../host/blocks.ts';
import type { MonotonicClock } from '../../host/clock.ts';
import type { Log } from '../../host/log.ts';
import type { Timers } from '../../host/timers.ts';
import type { GuestMemory } from '../../memory/guest-memory.ts';
import type { MsiSink } from '../../wiring/interrupt-line.ts';
import type { Drive } from '../drives.ts';
import type { Nic } from '../nics.ts';
import { pciPath } from './boot-devices.ts';
import type { BootDevice, PciPlace } from './boot-devices.ts';

export interface PciBoard {
  readonly pci: PciBus;
  readonly memory: GuestMemory;
  readonly messages: MsiSink;
  readonly isa: IsaBridge;
  /** Changes of what is decoded, as the bus gets them. */
  readonly apply: (change: BusChange) => void;
  readonly clock: MonotonicClock;
  readonly timers: Timers;
  readonly log: Log;
}

interface Placed<T> {
  readonly device: T;
  readonly place: PciPlace;
}

type DeviceWiring = PciWiring & Pick<PciBoard, 'memory' | 'clock' | 'timers' | 'log'>;

/**
 * Puts disks with PCI controllers into free slots, in order. Virtio and NVMe disks have a controller each, AHCI and SCSI
 * disks share. Returns them in the sequence in which SeaBIOS numbers them by itself: by kinds, those of a kind by place.
 */
export function addPciDisks(board: PciBoard, drives: readonly Drive[]): readonly BootDevice[] {
  const ahci: { serial: string; block: BlockPort }[] = [];
  const scsi: { serial: string; block: BlockPort }[] = [];
  const found = { ahci: [] as string[], scsi: [] as string[], virtio: [] as string[], nvme: [] as string[] };
  drives.forEach((drive, number) => {
    if (drive.kind !== 'disk') return;
    const { block } = drive;
    const serial = `polyvisor-${number}`;
    if (drive.interface === 'virtio') {
      const { place } = addPciDevice(board, (wiring) => new VirtioPci(new VirtioBlock({ name: 'virtio-blk', serial, block }), wiring));
      found.virtio.push(`${pciPath('scsi', place)}/disk@0,0`);
    } else if (drive.interface === 'nvme') {
      const { place } = addPciDevice(board, (wiring) => new NvmeController({ serial, block }, wiring));
      found.nvme.push(`${pciPath('nvme', place)}/namespace@1,0`);
    } else if (drive.interface === 'ahci') ahci.push({ serial, block });
    else if (drive.interface === 'scsi') scsi.push({ serial, block });
  });
  for (let first = 0; first < ahci.length; first += AHCI_PORTS) {
    const disks = ahci.slice(first, first + AHCI_PORTS);
    const { place } = addPciDevice(board, (wiring) => new AhciController(disks, wiring));
    // OVMF knows ports of this controller by this name only, which is its vendor and device.
    disks.forEach((_, port) => found.ahci.push(`${pciPath('pci8086,2922', place)}/drive@${port}/disk@0`));
  }
  for (let first = 0; first < scsi.length; first += SCSI_TARGETS) {
    const disks = scsi.slice(first, first + SCSI_TARGETS);
    const { place } = addPciDevice(board, (wiring) => new VirtioPci(new VirtioScsi(disks), wiring));
    disks.forEach((_, target) => found.scsi.push(`${pciPath('scsi', place)}/channel@0/disk@${target.toString(16)},0`));
  }
  return [...found.ahci, ...found.scsi, ...found.virtio, ...found.nvme].map((path) => ({ kind: 'c', path }));
}

/** Puts a network card into a free slot; `rom`: in its socket, for firmware. */
export function addPciCard(board: PciBoard, nic: Nic, rom: Uint8Array | undefined): { readonly card: NetworkCard; readonly boot: BootDevice } {
  const { device, place } = plugInCard(board, nic, rom === undefined ? {} : { rom });
  return { card: device, boot: { kind: 'n', path: `${pciPath('ethernet', place)}/ethernet-phy@0` } };
}

function plugInCard(board: PciBoard, { model, mac, port }: Nic, socket: { readonly rom?: Uint8Array }): Placed<NetworkCard> {
  switch (model) {
    case 'virtio': {
      const device = new VirtioNet({ mac, port });
      return { device, place: addPciDevice(board, (wiring) => new VirtioPci(device, { ...wiring, ...socket })).place };
    }
    case 'e1000': return addPciDevice(board, (wiring) => new E1000({ mac, port }, { ...wiring, ...socket }));
    case 'rtl8139': return addPciDevice(board, (wiring) => new Rtl8139({ chip: 'c+', mac, port }, { ...wiring, ...socket }));
    case 'rtl8139d': return addPciDevice(board, (wiring) => new Rtl8139({ chip: 'd', mac, port }, { ...wiring, ...socket }));
    default: return assertNever(model);
  }
}

/** The first slot of a bus behind a bridge, and how many buses there may be. */
const FIRST_BEHIND = 1;
const MOST_BRIDGES = 8;

/** Puts a device into the next free slot: of bus 0, whose last slots have bridges to further buses when it is full. */
export function addPciDevice<T extends PciFunction>(board: PciBoard, make: (wiring: DeviceWiring) => T): Placed<T> {
  const { pci, isa, messages, memory, clock, timers, log } = board;
  const wiring = (pirq: number): DeviceWiring => ({ intx: isa.pirq(pirq), messages, memory, clock, timers, log });
  const slot = pci.freeSlot();
  if (slot !== undefined && slot < SLOTS - MOST_BRIDGES) {
    const device = make(wiring(pirqOf(slot, 1)));
    pci.add(slot, 0, device);
    return { device, place: { slot } };
  }
  for (let at = SLOTS - MOST_BRIDGES; at < SLOTS; at++) {
    const { bus } = pci.bridge(at) ?? addBridge(board, at);
    const behind = bus.freeSlot(FIRST_BEHIND);
    if (behind === undefined) continue;
    const device = make(wiring(pirqOf(at, pinBehindBridge(behind, 1))));
    bus.add(behind, 0, device);
    return { device, place: { bridge: at, slot: behind } };
  }
  throw new UserError('the PCI buses are full; give fewer disks, network cards and devices');
}

function addBridge({ pci, apply }: PciBoard, slot: number): PciBridge {
  const bridge = new PciBridge('pci-bridge', apply);
  pci.addBridge(slot, bridge);
  return bridge;
}
