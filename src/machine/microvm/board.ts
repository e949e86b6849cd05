import { UserError } from '../../base/errors.ts';
import { EVENTS, EVENT_POWER_BUTTON, REDUCED_SLEEP_TYPE_S5, ReducedHardware, SLEEP_CONTROL, SLEEP_STATUS } from '../../devices/acpi/reduced-hardware.ts';
import { RESET_CONTROL_HARD_RESET, ResetControl } from '../../devices/acpi/reset-control.ts';
import { VirtioBlock } from '../../devices/virtio/virtio-block.ts';
import { VirtioVsock } from '../../devices/virtio/virtio-vsock.ts';
import { Virtio9p } from '../../devices/virtio/virtio-9p.ts';
import { VirtioNet } from '../../devices/virtio/virtio-net.ts';
import { VirtioEntropy } from '../../devices/virtio/virtio-entropy.ts';
import { VIRTIO_MMIO_BYTES, VirtioMmio } from '../../devices/virtio/virtio-mmio.ts';
import type { VirtioDevice } from '../../devices/virtio/virtio-device.ts';
import { placeBootTables } from '../../firmware/boot-tables.ts';
import { buildMicrovmTables } from '../../firmware/microvm-tables.ts';
import { LinearMemory } from '../../memory/linear-memory.ts';
import { makeBalloon } from '../balloon.ts';
import { loadParts, saveParts } from '../board.ts';
import type { Board, BoardOptions, Part } from '../board.ts';
import { COM1, buildCoreParts, describeBoard } from '../core-parts.ts';
import { makeConsole } from '../virtio-console.ts';
import { makeInput } from '../virtio-input.ts';
import { addDebugExit } from '../debug-exit.ts';
import type { Drive } from '../drives.ts';
import type { Nic } from '../nics.ts';
import { setUpCmos } from '../cmos.ts';
import { ONE_PROCESSOR, bootOrderOf, processorCount } from '../topology.ts';
import { processorStorage } from '../processors/threaded-vcpus.ts';

const ACPI_PORTS = 0x600;
const RESET_PORT = 0xcf9;
const EVENT_INTERRUPT = 9;
/** Where the virtio devices are, one page each. */
const VIRTIO_BASE = 0xfeb00000;
/** Their interrupts in order: first those that reach the 8259 too, for kernels that know no ACPI. */
const VIRTIO_INTERRUPTS = [5, 6, 7, 10, 11, 12, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23] as const;

/** The wiring list of a board for kernels that are booted directly: no PCI, no display, no keyboard; virtio over MMIO. */
export function buildMicrovmBoard(options: BoardOptions): Board {
  const { events, log } = options;
  const topology = options.processors?.topology ?? ONE_PROCESSOR;
  if (options.firmware !== undefined) throw new UserError('machine microvm boots a kernel directly; leave --firmware out, or give --machine pc');
  if (options.testDevice === true) throw new UserError('machine microvm has no test device; give --machine pc');
  if (options.parallel !== undefined) throw new UserError('machine microvm has no parallel port; leave --parallel out, or give --machine pc');
  if (options.display === true) throw new UserError('machine microvm has no display; leave --display out, or give --machine pc');
  const memory = new LinearMemory(options.memoryBytes, processorStorage(options.processors));
  const core = buildCoreParts(options, memory);
  const { bus, timers, vcpu, irq } = core;
  setUpCmos(core.rtc, { memory, cpus: processorCount(topology), bootOrder: [], floppy: 0 });

  const power = new ReducedHardware({ line: irq.level(EVENT_INTERRUPT), powerOff: () => events.powerOff() });
  const resetControl = new ResetControl(() => events.reset());
  bus.ports.map(ACPI_PORTS, power);
  bus.ports.map(RESET_PORT, resetControl);

  const virtioConsole = makeConsole(options);
  const cards = options.nics.map(virtioCard);
  const balloon = options.balloon === undefined ? undefined : makeBalloon(memory, options.balloon);
  const shares = options.shares.map((share) => new Virtio9p(share));
  const input = options.input === true ? makeInput(() => {}) : undefined;
  const devices: readonly VirtioDevice[] = [
    ...options.drives.map(virtioDisk),
    ...cards,
    ...(options.rng === true ? [new VirtioEntropy(options.entropy)] : []),
    ...(virtioConsole === undefined ? [] : [virtioConsole]),
    ...(balloon === undefined ? [] : [balloon]),
    ...shares,
    ...(input?.devices ?? []),
    ...(options.vsock === undefined ? [] : [new VirtioVsock(options.vsock)]),
  ];
  if (devices.length > VIRTIO_INTERRUPTS.length) throw new UserError(`machine microvm has room for ${VIRTIO_INTERRUPTS.length} disks and devices; give fewer, or --machine pc`);
  const virtio = devices.map((device, place) => new VirtioMmio(device, place, { line: irq.level(VIRTIO_INTERRUPTS[place]!), memory, log }));
  const windows = virtio.map((_, place) => ({ address: VIRTIO_BASE + place * VIRTIO_MMIO_BYTES, bytes: VIRTIO_MMIO_BYTES, interrupt: VIRTIO_INTERRUPTS[place]! }));
  windows.forEach(({ address }, place) => bus.mmio.map(address, virtio[place]!));
  if (options.debugExitPort !== undefined) addDebugExit(bus, options.debugExitPort, events);

  const parts: readonly Part[] = [...core.parts, power, resetControl, ...virtio];
  /** There is no gate for address line 20, and the 8259 reaches the processor. */
  const start = (): void => {
    vcpu.setA20(true);
    core.virtualWire();
  };
  start();

  return {
    memory, vcpu, timers, virtioConsole, cards, balloon, shares,
    com1: core.com1,
    powerButton: () => power.press(),
    keyboard: input?.keyboard,
    ...(input === undefined ? {} : { pointer: input.pointer }),
    display: undefined,
    placeTables: () => {
      const tables = buildMicrovmTables({
        apicIds: bootOrderOf(topology), virtio: windows, serialPorts: [COM1],
        sleepControlPort: ACPI_PORTS + SLEEP_CONTROL, sleepStatusPort: ACPI_PORTS + SLEEP_STATUS, sleepTypeS5: REDUCED_SLEEP_TYPE_S5,
        eventPort: ACPI_PORTS + EVENTS, eventInterrupt: EVENT_INTERRUPT, powerButtonEvent: EVENT_POWER_BUTTON,
        resetPort: RESET_PORT, resetValue: RESET_CONTROL_HARD_RESET,
      });
      return placeBootTables(memory, tables, describeBoard('microvm', memory, options));
    },
    reset: () => {
      for (const part of parts) part.reset();
      start();
    },
    halt: () => {
      for (const device of virtio) device.halt();
      vcpu.close?.();
    },
    recentPorts: () => bus.recentPorts(),
    save: () => saveParts(parts),
    load: (state) => {
      loadParts(parts, state);
      vcpu.setA20(true);
    },
  };
}

function virtioDisk(drive: Drive, number: number): VirtioDevice {
  if (drive.kind !== 'disk') throw new UserError(`machine microvm has no ${drive.kind === 'cdrom' ? 'CD-ROM' : 'floppy disk'} drive; give the image as a disk (--disk FILE,readonly), or --machine pc`);
  if (drive.interface !== 'virtio') throw new UserError(`machine microvm has virtio disks only; leave if=${drive.interface} out, or give --machine pc`);
  return new VirtioBlock({ name: 'virtio-blk', serial: `polyvisor-${number}`, block: drive.block });
}

function virtioCard({ model, mac, port }: Nic): VirtioNet {
  if (model !== 'virtio') throw new UserError(`machine microvm has virtio network cards only; give --nic virtio instead of ${model}, or --machine pc`);
  return new VirtioNet({ mac, port });
}
