import { UserError } from '../../base/errors.ts';
import type { Plain, Stateful } from '../../base/plain.ts';
import { PcBus } from '../../buses/system-bus.ts';
import type { PortAccess } from '../../buses/system-bus.ts';
import type { Vcpu } from '../../cpu/vcpu.ts';
import { PowerManagement, SLEEP_TYPE_S5, SMI_ACPI_DISABLE, SMI_ACPI_ENABLE } from '../../devices/acpi/power-management.ts';
import { RESET_CONTROL_HARD_RESET, ResetControl } from '../../devices/acpi/reset-control.ts';
import type { Display } from '../../devices/display/vga.ts';
import { A20Gate } from '../../devices/legacy/a20-gate.ts';
import { DebugExit } from '../../devices/legacy/debug-exit.ts';
import { I8042 } from '../../devices/legacy/i8042.ts';
import { NumericError } from '../../devices/legacy/numeric-error.ts';
import { Port92 } from '../../devices/legacy/port-92.ts';
import { Serial16550 } from '../../devices/legacy/serial-16550.ts';
import { PCI_INTERRUPTS, PowerManagementFunction, addChipset, enablePowerPorts, pciInterrupt } from '../../devices/pci/chipset.ts';
import { PciConfigPorts } from '../../devices/pci/config-ports.ts';
import { PciBus } from '../../devices/pci/pci-bus.ts';
import { TestDevice } from '../../devices/test-device.ts';
import { buildAcpiTables } from '../../firmware/acpi-tables.ts';
import type { AcpiOptions } from '../../firmware/acpi-tables.ts';
import { VirtioConsole } from '../../devices/virtio/virtio-console.ts';
import { VirtioEntropy } from '../../devices/virtio/virtio-entropy.ts';
import { VirtioPci } from '../../devices/virtio/virtio-pci.ts';
import type { ByteSink } from '../../host/bytes.ts';
import type { MonotonicClock, WallClock } from '../../host/clock.ts';
import type { Entropy } from '../../host/entropy.ts';
import type { Log } from '../../host/log.ts';
import { ApicBus } from '../../interrupts/apic-bus.ts';
import { IoApic } from '../../interrupts/io-apic.ts';
import { IrqRouter, ioApicPin } from '../../interrupts/irq-router.ts';
import { powerPorts } from './power-ports.ts';
import { LOCAL_APIC_WINDOW, LocalApic } from '../../interrupts/local-apic.ts';
import { PicPair } from '../../interrupts/pic.ts';
import { LinearMemory } from '../../memory/linear-memory.ts';
import { HPET_CAPABILITIES, Hpet } from '../../timers/hpet.ts';
import { Pit } from '../../timers/pit.ts';
import { PmTimer } from '../../timers/pm-timer.ts';
import { Rtc } from '../../timers/rtc.ts';
import { TimerQueue } from '../../timers/timer-queue.ts';
import type { LevelLine } from '../../wiring/interrupt-line.ts';
import { DEFAULT_BOOT_ORDER } from '../boot-source.ts';
import type { FirmwareFiles } from '../boot-source.ts';
import type { Drive } from '../drives.ts';
import type { EngineFactory } from '../engine-factory.ts';
import { setUpCmos } from './cmos.ts';
import { addIde, ideMedia } from './ide-drives.ts';
import { VIDEO_MEMORY, addDisplay, addDisplayFunction } from './display.ts';
import { addFloppy, floppyDrive } from './floppy-drive.ts';
import { addFirmware, firmwareBytes } from './firmware.ts';
import { loadSection, saveSection } from '../sections.ts';
import { traceInterrupts } from '../trace.ts';
import { legacyTimerLines } from './legacy-timer-lines.ts';
import { addPciDevice, addPciDisks } from './pci-devices.ts';

/** Where the ACPI ports are until firmware says otherwise. */
const PM_BASE = 0x600;
const PORT92_A20 = 2;
const IO_APIC = 0xfec00000;
const HPET_ADDRESS = 0xfed00000;
const COM1 = { port: 0x3f8, interrupt: 4 } as const;

/** What the guest's hardware asks of the machine. Called inside port writes: acted on when the slice has ended. */
export interface BoardEvents {
  powerOff(): void;
  reset(): void;
  debugExit(value: number): void;
  /** A vCPU has something to look at. */
  kick(): void;
}

export interface BoardOptions {
  readonly memoryBytes: number;
  readonly debugExitPort: number | undefined;
  readonly drives: readonly Drive[];
  /** Missing: a kernel is booted directly. */
  readonly firmware: FirmwareFiles | undefined;
  readonly testDevice?: boolean;
  /** A virtio entropy device. */
  readonly rng?: boolean;
  readonly serial: ByteSink;
  /** A virtio console besides the serial port; missing: none. */
  readonly virtioConsole?: ByteSink;
  readonly clock: MonotonicClock;
  /** Rate of the time stamp counter; missing: 1 GHz. */
  readonly tscKhz?: () => number;
  readonly wallClock: WallClock;
  readonly entropy: Entropy;
  readonly log: Log;
  readonly createVcpu: EngineFactory;
  readonly events: BoardEvents;
}

export interface Board {
  readonly memory: LinearMemory;
  readonly vcpu: Vcpu;
  readonly timers: TimerQueue;
  readonly com1: Serial16550;
  readonly virtioConsole: VirtioConsole | undefined;
  powerButton(): void;
  /** Set 2 scan codes, each key's code whole. */
  keyboard(scancodes: Uint8Array): void;
  /** Undefined on a machine without one. */
  readonly display: Display | undefined;
  /** For a kernel booted directly: writes the ACPI tables and returns the physical address of the RSDP. */
  placeTables(): number;
  reset(): void;
  /** The machine has ended: nothing that devices have under way with the host is answered any more. */
  halt(): void;
  recentPorts(): PortAccess[];
  /** Everything but RAM. */
  save(): Readonly<Record<string, Plain>>;
  /** Legal between slices, once RAM is loaded: the processor forgets decoded code. A StateError half-way leaves the board in no usable state. */
  load(state: Plain): void;
}

/** The wiring list of a PC. */
export function buildPcBoard(options: BoardOptions): Board {
  const { clock, events, log, tscKhz = () => 1_000_000 } = options;
  const { firmware } = options;
  const memory = new LinearMemory(options.memoryBytes, firmware === undefined ? 0 : firmwareBytes(firmware) + VIDEO_MEMORY);
  const bus = new PcBus(log);
  // A kernel that is booted directly would find a display that no firmware has set up.
  const display = firmware?.vgaBios === undefined ? undefined : addDisplay(memory, bus, clock);
  const timers = new TimerQueue();
  // One clock for all: the time stamp counter runs from it too, so that the guest's calibrations agree.
  const hostTsc = (): bigint => BigInt(Math.floor((clock.now() * tscKhz()) / 1e6));

  // Interrupts.
  const kick = { kick: () => events.kick() };
  const apicBus = new ApicBus();
  const pic = new PicPair(() => localApic.picChanged());
  const localApic: LocalApic = new LocalApic({
    id: 0, boot: true, bus: apicBus, clock, timers, kick, tsc: hostTsc, tscKhz, pic,
    processor: { init: () => {}, startup: () => {} },
    windowMoved: (address) => moveWindow(bus, localApic, address),
  });
  apicBus.add(localApic);
  const ioApic = new IoApic(apicBus);
  const irq = new IrqRouter(pic, ioApic);
  bus.ports.map(0x20, pic.master);
  bus.ports.map(0xa0, pic.slave);
  bus.ports.map(0x4d0, pic.edgeLevel);
  bus.mmio.map(IO_APIC, ioApic);
  bus.mmio.map(LOCAL_APIC_WINDOW, localApic.registers);

  // Timers.
  const legacy = legacyTimerLines(irq);
  const pit = new Pit({ clock, timers, irq: legacy.intervalTimer });
  const rtc = new Rtc({ wall: options.wallClock, clock, timers, line: legacy.clock });
  const hpet = new Hpet({ clock, timers, legacy: [irq.edge(0), irq.edge(8)], replaces: legacy.replace, inputs: (input) => ({ level: irq.level(input), edge: irq.edge(input) }), messages: apicBus });
  const pmTimer = new PmTimer(clock);
  bus.mmio.map(HPET_ADDRESS, hpet);
  bus.ports.map(0x40, pit);
  bus.ports.map(0x61, pit.port61);
  bus.ports.map(0x70, rtc);
  setUpCmos(rtc, { memory, cpus: 1, bootOrder: firmware?.bootOrder ?? DEFAULT_BOOT_ORDER, floppy: floppyDrive(options.drives)?.format.drive ?? 0 });

  // Processor, and what PC/AT boards put beside it for x87 errors.
  const numericError = new NumericError(irq.level(13));
  bus.ports.map(0xf0, numericError);
  const random = new Uint8Array(4);
  const vcpu = options.createVcpu({
    memory: memory.wasm, ram: memory, bus, interrupts: traceInterrupts(localApic, log), hostTsc, tscKhz, clock, log, index: 0,
    numericError: (pending) => numericError.error(pending),
    random32: () => {
      options.entropy.fill(random);
      return random[0]! | (random[1]! << 8) | (random[2]! << 16) | (random[3]! << 24);
    },
  });
  memory.onMapChanged(() => vcpu.memoryMapChanged());
  memory.onCodeWritten((page, offset, length) => vcpu.codeWritten(page, offset, length));

  // Legacy devices.
  const a20 = new A20Gate((enabled) => vcpu.setA20(enabled));
  const com1 = new Serial16550({ name: 'com1', sink: options.serial, line: irq.level(COM1.interrupt) });
  const i8042 = new I8042({ keyboardLine: irq.level(1), mouseLine: irq.level(12), a20, reset: () => events.reset() });
  const port92 = new Port92(a20, () => events.reset());
  bus.ports.map(COM1.port, com1);
  bus.ports.map(0x60, i8042.dataPort);
  bus.ports.map(0x64, i8042.commandPort);
  bus.ports.map(0x92, port92);

  // ACPI fixed hardware and PCI.
  const power = new PowerManagement({ sci: irq.level(9), powerOff: () => events.powerOff() });
  const resetControl = new ResetControl(() => events.reset());
  const pci = new PciBus((change) => {
    if (display?.moved(change)) return;
    const map = change.space === 'port' ? bus.ports : bus.mmio;
    if (change.kind === 'unmap') map.unmap(change.block);
    else map.mapMovable(change.base, change.block);
  });
  const acpi: AcpiOptions = {
    cpus: 1, lowBytes: memory.lowBytes, pmBase: PM_BASE, pmTimer: true, hpet: { address: HPET_ADDRESS, capabilities: Number(HPET_CAPABILITIES & 0xffffffffn) }, smiCommandPort: 0xb2, smiEnable: SMI_ACPI_ENABLE, smiDisable: SMI_ACPI_DISABLE,
    sleepTypeS5: SLEEP_TYPE_S5, resetPort: 0xcf9, resetValue: RESET_CONTROL_HARD_RESET, pciInterrupt, pciInterrupts: PCI_INTERRUPTS,
    serialPorts: [COM1], keyboardController: true, vga: firmware?.vgaBios !== undefined,
  };
  const firmwareParts = firmware === undefined ? undefined : addFirmware(firmware, acpi, memory, bus, log);
  // A kernel that is booted directly has RAM everywhere.
  const powerFunction = new PowerManagementFunction(powerPorts(power, pmTimer), (base) => {
    if (base !== undefined) firmwareParts?.describe({ ...acpi, pmBase: base });
  });
  addChipset(pci, powerFunction, (pam) => firmwareParts?.shadow.apply(pam));
  if (display !== undefined) addDisplayFunction(display, pci, firmware!.vgaBios!);
  const pciPorts = new PciConfigPorts(pci, resetControl);
  bus.ports.map(0xb2, power.smiCommand);
  bus.ports.map(0xcf8, pciPorts);

  const slots = { pci, memory, messages: apicBus, interrupt: (number: number) => irq.level(number), log };
  addPciDisks(slots, options.drives);
  if (options.rng === true) addPciDevice(slots, (wiring) => new VirtioPci(new VirtioEntropy(options.entropy), wiring));
  const virtioConsole = options.virtioConsole === undefined ? undefined : new VirtioConsole(options.virtioConsole);
  if (virtioConsole !== undefined) addPciDevice(slots, (wiring) => new VirtioPci(virtioConsole, wiring));
  const media = ideMedia(options.drives);
  const floppy = floppyDrive(options.drives);
  const diskettes = floppy === undefined ? [] : addFloppy(floppy, bus, memory, irq.level(6));
  const ide = media === undefined ? [] : [addIde(media, bus, pci, memory, [irq.level(14), irq.level(15)])];
  if (options.debugExitPort !== undefined) addDebugExit(bus, options.debugExitPort, events);
  const tests = options.testDevice === true ? [addTestDevice(bus, pic, ioApic)] : [];

  // Controllers before what drives their lines.
  const optional = [...(firmwareParts?.devices ?? []), ...(display === undefined ? [] : [display.vga]), ...ide, ...diskettes, ...tests];
  const resettable: readonly (Stateful & { reset(): void })[] = [
    vcpu, pic, ioApic, localApic, pit, rtc, hpet, com1, i8042, port92, numericError, power, resetControl, pci, pciPorts, ...optional,
  ];
  // A kernel that is booted without firmware finds what firmware would have set up: address line 20 is open, the ACPI
  // ports are where the tables say, and the 8259 reaches the processor.
  const asFirmware = (): void => {
    port92.write(0, 1, PORT92_A20);
    enablePowerPorts(pci, PM_BASE);
    localApic.virtualWire();
    if (options.testDevice === true) programPic(bus);
  };
  if (firmware === undefined) asFirmware();

  return {
    memory, vcpu, timers, com1, virtioConsole,
    powerButton: () => power.press(),
    keyboard: (scancodes) => i8042.keyboard(scancodes),
    display: display?.vga,
    placeTables: () => {
      const tables = buildAcpiTables(acpi);
      memory.write(tables.address, tables.bytes);
      return tables.rsdp;
    },
    reset: () => {
      // RAM keeps its contents over a reset, as on hardware.
      for (const part of resettable) part.reset();
      if (firmware === undefined) asFirmware();
    },
    halt: () => {
      pci.halt();
      vcpu.close?.();
    },
    recentPorts: () => bus.recentPorts(),
    save: () => Object.fromEntries(resettable.map(saveSection)),
    load: (state) => {
      for (const part of resettable) loadSection(state, part);
    },
  };
}

/** At a port that the user chose: the only block that may meet another one. */
function addDebugExit(bus: PcBus, port: number, events: BoardEvents): void {
  try {
    bus.ports.map(port, new DebugExit((value) => events.debugExit(value)));
  } catch (error) {
    throw new UserError(`the debug exit port is taken: ${(error as Error).message}; give a free one, for instance 0xf4`);
  }
}

function moveWindow(bus: PcBus, apic: LocalApic, address: number): void {
  bus.mmio.unmap(apic.registers);
  try {
    bus.mmio.map(address, apic.registers);
  } catch {
    // Another device is there: the guest has lost its registers.
  }
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
