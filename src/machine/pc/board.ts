import type { PcBus } from '../../buses/system-bus.ts';
import { PowerManagement, SLEEP_TYPE_S5, SMI_ACPI_DISABLE, SMI_ACPI_ENABLE } from '../../devices/acpi/power-management.ts';
import { RESET_CONTROL_HARD_RESET, ResetControl } from '../../devices/acpi/reset-control.ts';
import { A20Gate } from '../../devices/legacy/a20-gate.ts';
import { I8042 } from '../../devices/legacy/i8042.ts';
import { ParallelPort } from '../../devices/legacy/parallel-port.ts';
import { Port92 } from '../../devices/legacy/port-92.ts';
import { IsaBridge, PCI_INTERRUPTS, PowerManagementFunction, addChipset, pirqOf, setUpChipset } from '../../devices/pci/chipset.ts';
import { PciConfigPorts } from '../../devices/pci/config-ports.ts';
import { Ecam } from '../../devices/pci/ecam.ts';
import type { BusChange } from '../../devices/pci/bus-change.ts';
import { PciBus } from '../../devices/pci/pci-bus.ts';
import { TestDevice } from '../../devices/test-device.ts';
import { Virtio9p } from '../../devices/virtio/virtio-9p.ts';
import { VirtioEntropy } from '../../devices/virtio/virtio-entropy.ts';
import { VirtioPci } from '../../devices/virtio/virtio-pci.ts';
import { VirtioVsock } from '../../devices/virtio/virtio-vsock.ts';
import { buildAcpiTables } from '../../firmware/acpi-tables.ts';
import { placeBootTables } from '../../firmware/boot-tables.ts';
import type { AcpiOptions } from '../../firmware/acpi-tables.ts';
import type { IoApic } from '../../interrupts/io-apic.ts';
import { ioApicPin } from '../../interrupts/irq-router.ts';
import type { PicPair } from '../../interrupts/pic.ts';
import { LinearMemory } from '../../memory/linear-memory.ts';
import { HPET_CAPABILITIES, Hpet } from '../../timers/hpet.ts';
import { PmTimer } from '../../timers/pm-timer.ts';
import type { LevelLine } from '../../wiring/interrupt-line.ts';
import { makeBalloon } from '../balloon.ts';
import { loadParts, saveParts } from '../board.ts';
import type { Board, BoardOptions, Part } from '../board.ts';
import { DEFAULT_BOOT_ORDER } from '../boot-source.ts';
import { COM1, buildCoreParts, describeBoard } from '../core-parts.ts';
import { makeConsole } from '../virtio-console.ts';
import { makeInput } from '../virtio-input.ts';
import { addDebugExit } from '../debug-exit.ts';
import { setUpCmos } from '../cmos.ts';
import { FRAME_BUFFER, VIDEO_MEMORY, addDisplay, addDisplayFunction, setUpDisplay } from './display.ts';
import { addFirmware, firmwareBytes } from './firmware.ts';
import { FLOPPY_BOOT_DEVICE, addFloppy, floppyDrive } from './floppy-drive.ts';
import { addIde, ideBootDevices, ideMedia } from './ide-drives.ts';
import { addPciCard, addPciDevice, addPciDisks } from './pci-devices.ts';
import { ONE_PROCESSOR, bootOrderOf, processorCount } from '../topology.ts';
import { processorStorage } from '../processors/threaded-vcpus.ts';
import { powerPorts } from './power-ports.ts';

/** Where the ACPI ports are until firmware says otherwise. */
const PM_BASE = 0x600;
const PORT92_A20 = 2;
const LPT1 = { port: 0x378, interrupt: 7 } as const;
const HPET_ADDRESS = 0xfed00000;
/** Between what SeaBIOS and what OVMF gives to BARs: the one from above, the other from below. */
const ECAM_ADDRESS = 0xe0000000;
const PCI_BUSES = 16;

/** The wiring list of a PC. */
export function buildPcBoard(options: BoardOptions): Board {
  const { clock, events, firmware, log, processors } = options;
  const topology = processors?.topology ?? ONE_PROCESSOR;
  const hasDisplay = firmware === undefined ? options.display === true : firmware.vgaBios !== undefined;
  const memory = new LinearMemory(options.memoryBytes, (firmware === undefined ? 0 : firmwareBytes(firmware)) + (hasDisplay ? VIDEO_MEMORY : 0) + processorStorage(processors));
  const core = buildCoreParts(options, memory);
  const { bus, timers, vcpu, irq, apicBus } = core;
  // Firmware sets it up by its ROM.
  const display = hasDisplay ? addDisplay(memory, bus, clock) : undefined;
  const floppy = floppyDrive(options.drives);
  setUpCmos(core.rtc, { memory, cpus: processorCount(topology), bootOrder: firmware?.bootOrder ?? DEFAULT_BOOT_ORDER, floppy: floppy?.format.drive ?? 0 });
  const hpet = new Hpet({ clock, timers, legacy: [irq.edge(0), irq.edge(8)], replaces: core.legacyTimers.replace, inputs: (input) => ({ level: irq.level(input), edge: irq.edge(input) }), messages: apicBus });
  bus.mmio.map(HPET_ADDRESS, hpet);

  // Legacy devices.
  const a20 = new A20Gate((enabled) => vcpu.setA20(enabled));
  const i8042 = new I8042({ keyboardLine: irq.level(1), mouseLine: irq.level(12), a20, reset: () => events.reset() });
  const port92 = new Port92(a20, () => events.reset());
  bus.ports.map(0x60, i8042.dataPort);
  bus.ports.map(0x64, i8042.commandPort);
  bus.ports.map(0x92, port92);

  const printer = options.parallel === undefined ? [] : [new ParallelPort({ sink: options.parallel, line: irq.edge(LPT1.interrupt) })];
  for (const port of printer) bus.ports.map(LPT1.port, port);

  // ACPI fixed hardware and PCI.
  const power = new PowerManagement({ sci: irq.level(9), powerOff: () => events.powerOff() });
  const resetControl = new ResetControl(() => events.reset());
  const applyBusChange = (change: BusChange): void => {
    if (display?.moved(change)) return;
    const map = change.space === 'port' ? bus.ports : bus.mmio;
    if (change.kind === 'unmap') map.unmap(change.block);
    else map.mapMovable(change.base, change.block);
  };
  const pci = new PciBus(applyBusChange);
  const isa = new IsaBridge((number) => irq.level(number));
  const acpi: AcpiOptions = {
    apicIds: bootOrderOf(topology), lowBytes: memory.lowBytes, pmBase: PM_BASE, pmTimer: true, hpet: { address: HPET_ADDRESS, capabilities: Number(HPET_CAPABILITIES & 0xffffffffn) }, smiCommandPort: 0xb2, smiEnable: SMI_ACPI_ENABLE, smiDisable: SMI_ACPI_DISABLE,
    sleepTypeS5: SLEEP_TYPE_S5, resetPort: 0xcf9, resetValue: RESET_CONTROL_HARD_RESET, pciConfigSpace: { address: ECAM_ADDRESS, buses: PCI_BUSES }, pirqOf, pciInterrupts: PCI_INTERRUPTS,
    serialPorts: [COM1], parallelPorts: printer.map(() => LPT1), keyboardController: true, vga: hasDisplay,
  };
  const smbios = describeBoard('pc', memory, options);
  const firmwareParts = firmware === undefined ? undefined : addFirmware(firmware, acpi, smbios, memory, bus, log);
  // A kernel that is booted directly has RAM everywhere.
  const powerFunction = new PowerManagementFunction(powerPorts(power, new PmTimer(clock)), (base) => {
    if (base !== undefined) firmwareParts?.describe({ ...acpi, pmBase: base });
  });
  addChipset(pci, isa, powerFunction, (pam) => firmwareParts?.shadow.apply(pam));
  if (display !== undefined) addDisplayFunction(display, pci, firmware?.vgaBios);
  const pciPorts = new PciConfigPorts(pci, resetControl);
  bus.ports.map(0xb2, power.smiCommand);
  bus.ports.map(0xcf8, pciPorts);
  bus.mmio.map(ECAM_ADDRESS, new Ecam(pci, PCI_BUSES));

  const slots = { pci, isa, memory, messages: apicBus, apply: applyBusChange, clock, timers, log };
  const disks = addPciDisks(slots, options.drives);
  const nics = options.nics.map((nic) => addPciCard(slots, nic, firmware?.cardRoms?.[nic.model]));
  if (options.rng === true) addPciDevice(slots, (wiring) => new VirtioPci(new VirtioEntropy(options.entropy), wiring));
  const virtioConsole = makeConsole(options);
  const balloon = options.balloon === undefined ? undefined : makeBalloon(memory, options.balloon);
  if (balloon !== undefined) addPciDevice(slots, (wiring) => new VirtioPci(balloon, wiring));
  if (virtioConsole !== undefined) addPciDevice(slots, (wiring) => new VirtioPci(virtioConsole, wiring));
  const shares = options.shares.map((share) => new Virtio9p(share));
  for (const share of shares) addPciDevice(slots, (wiring) => new VirtioPci(share, wiring));
  const { vsock } = options;
  if (vsock !== undefined) addPciDevice(slots, (wiring) => new VirtioPci(new VirtioVsock(vsock), wiring));
  const ps2 = (scancodes: Uint8Array): void => i8042.keyboard(scancodes);
  const input = options.input === true ? makeInput(ps2) : undefined;
  for (const device of input?.devices ?? []) addPciDevice(slots, (wiring) => new VirtioPci(device, wiring));
  const media = ideMedia(options.drives);
  const diskettes = floppy === undefined ? undefined : addFloppy(floppy, bus, memory, irq.level(6));
  const ide = media === undefined ? undefined : addIde(media, bus, pci, memory, [irq.level(14), irq.level(15)]);
  firmwareParts?.bootFrom([...(floppy === undefined ? [] : [FLOPPY_BOOT_DEVICE]), ...(media === undefined ? [] : ideBootDevices(media)), ...disks, ...nics.map((nic) => nic.boot)]);
  if (options.debugExitPort !== undefined) addDebugExit(bus, options.debugExitPort, events);
  const tests = options.testDevice === true ? [addTestDevice(bus, core.pic, core.ioApic)] : [];

  // Controllers before what drives their lines.
  const optional = [...printer, ...(firmwareParts?.devices ?? []), ...(display === undefined ? [] : [display.vga]), ...(ide === undefined ? [] : [ide]), ...(diskettes?.parts ?? []), ...tests];
  const parts: readonly Part[] = [...core.parts, hpet, i8042, port92, power, resetControl, pci, pciPorts, ...optional];
  // A kernel that is booted without firmware finds what firmware would have set up: address line 20 is open, the ACPI
  // ports are where the tables say, and the 8259 reaches the processor.
  const asFirmware = (): void => {
    port92.write(0, 1, PORT92_A20);
    setUpChipset(pci, PM_BASE);
    if (display !== undefined) setUpDisplay(display, pci);
    core.virtualWire();
    if (options.testDevice === true) programPic(bus);
  };
  if (firmware === undefined) asFirmware();

  return {
    memory, vcpu, timers, virtioConsole, cards: nics.map((nic) => nic.card), balloon, shares,
    com1: core.com1,
    powerButton: () => power.press(),
    keyboard: input?.keyboard ?? ps2,
    ...(input === undefined ? {} : { pointer: input.pointer }),
    mouse: (dx, dy, buttons, wheel) => i8042.mouse(dx, dy, buttons, wheel),
    display: display?.vga,
    frameBuffer: firmware === undefined && display !== undefined ? FRAME_BUFFER : undefined,
    removable: { ...(ide?.cdrom === undefined ? {} : { cdrom: ide.cdrom }), ...(diskettes === undefined ? {} : { floppy: diskettes.removable }) },
    placeTables: () => placeBootTables(memory, buildAcpiTables(acpi), smbios),
    reset: () => {
      // RAM keeps its contents over a reset, as on hardware.
      for (const part of parts) part.reset();
      if (firmware === undefined) asFirmware();
    },
    halt: () => {
      pci.halt();
      vcpu.close?.();
    },
    recentPorts: () => bus.recentPorts(),
    save: () => saveParts(parts),
    load: (state) => loadParts(parts, state),
  };
}

/** As a BIOS leaves the 8259: vectors 08h and 70h; of the lines only 11 is open, which tests of real-address mode raise. */
function programPic(bus: PcBus): void {
  for (const [port, vector, cascade, mask] of [[0x20, 0x08, 4, 0xfb], [0xa0, 0x70, 2, 0xf7]] as const) {
    bus.writePort(port, 1, 0x11);
    for (const value of [vector, cascade, 1, mask]) bus.writePort(port + 1, 1, value);
  }
}

/** At the addresses of QEMU's pc-testdev. To the 8259 each rise is an edge that stays, as tests drop the line before they look. */
function addTestDevice(bus: PcBus, pic: PicPair, ioApic: IoApic): TestDevice {
  const line = (irq: number): LevelLine => ({
    kind: 'level',
    set: (high) => {
      ioApic.setLine(ioApicPin(irq), high);
      if (high && irq < 16) pic.pulse(irq);
    },
  });
  const device = new TestDevice(Array.from({ length: 24 }, (_, irq) => line(irq)));
  bus.ports.map(0xe0, device.ports);
  bus.ports.map(0x2000, device.interrupts);
  bus.mmio.map(0xff000000, device.memory);
  return device;
}
