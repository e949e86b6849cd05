import { PcBus } from '../buses/system-bus.ts';
import type { Vcpu } from '../cpu/vcpu.ts';
import { Serial16550 } from '../devices/legacy/serial-16550.ts';
import { NumericError } from '../devices/legacy/numeric-error.ts';
import { ticksAt, timeOfOrigin } from '../host/clock.ts';
import { randomWords } from '../host/entropy.ts';
import { ApicBus } from '../interrupts/apic-bus.ts';
import { IoApic } from '../interrupts/io-apic.ts';
import { IrqRouter } from '../interrupts/irq-router.ts';
import { LOCAL_APIC_WINDOW, LocalApic } from '../interrupts/local-apic.ts';
import { PicPair } from '../interrupts/pic.ts';
import type { SmbiosOptions } from '../firmware/smbios.ts';
import type { LinearMemory } from '../memory/linear-memory.ts';
import { Pit } from '../timers/pit.ts';
import { Rtc } from '../timers/rtc.ts';
import { TimerQueue } from '../timers/timer-queue.ts';
import type { BoardOptions, Part } from './board.ts';
import type { MachineName } from './configuration.ts';
import { paravirtFeatures } from './paravirt.ts';
import { legacyTimerLines } from './legacy-timer-lines.ts';
import type { LegacyTimerLines } from './legacy-timer-lines.ts';
import { ONE_PROCESSOR } from './topology.ts';
import { ThreadedVcpus } from './processors/threaded-vcpus.ts';
import type { ProcessorThreads } from './processors/threaded-vcpus.ts';
import { traceInterrupts } from './trace.ts';

const IO_APIC = 0xfec00000;
export const COM1 = { port: 0x3f8, interrupt: 4 } as const;

/** What the guest finds in SMBIOS tables about a board. */
export function describeBoard(product: MachineName, memory: LinearMemory, { tscKhz, processors }: Pick<BoardOptions, 'tscKhz' | 'processors'>): SmbiosOptions {
  return { topology: processors?.topology ?? ONE_PROCESSOR, megahertz: Math.round((tscKhz?.() ?? 1_000_000) / 1000), bytes: memory.bytes, lowBytes: memory.lowBytes, product, version: '1' };
}

/** What every board begins with: the processor, its interrupt controllers, interval timer and clock, a serial port. */
export interface CoreParts {
  readonly bus: PcBus;
  readonly timers: TimerQueue;
  readonly vcpu: Vcpu;
  readonly apicBus: ApicBus;
  readonly pic: PicPair;
  readonly ioApic: IoApic;
  /** Sets the first processor's local APIC up as a BIOS does. */
  readonly virtualWire: () => void;
  readonly irq: IrqRouter;
  readonly legacyTimers: LegacyTimerLines;
  readonly rtc: Rtc;
  readonly com1: Serial16550;
  /** All of them that have state: controllers before what drives their lines. */
  readonly parts: readonly Part[];
}

export function buildCoreParts(options: BoardOptions, memory: LinearMemory): CoreParts {
  const { clock, log } = options;
  const bus = new PcBus(log);
  const timers = new TimerQueue();

  // Interrupts.
  const apicBus = new ApicBus();
  const pic: PicPair = new PicPair(() => processors.picChanged());
  const ioApic = new IoApic(apicBus);
  const irq = new IrqRouter(pic, ioApic);
  bus.ports.map(0x20, pic.master);
  bus.ports.map(0xa0, pic.slave);
  bus.ports.map(0x4d0, pic.edgeLevel);
  bus.mmio.map(IO_APIC, ioApic);

  // Timers.
  const legacyTimers = legacyTimerLines(irq);
  const pit = new Pit({ clock, timers, irq: legacyTimers.intervalTimer });
  const rtc = new Rtc({ wall: options.wallClock, clock, timers, line: legacyTimers.clock });
  bus.ports.map(0x40, pit);
  bus.ports.map(0x61, pit.port61);
  bus.ports.map(0x70, rtc);

  // Processors, and what PC/AT boards put beside them for x87 errors.
  const numericError = new NumericError(irq.level(13));
  bus.ports.map(0xf0, numericError);
  const surroundings = { memory, bus, timers, apicBus, pic, numericError };
  const processors = options.processors === undefined ? oneProcessor(options, surroundings) : severalProcessors(options, options.processors, surroundings);
  const { vcpu, virtualWire } = processors;
  memory.onMapChanged(() => vcpu.memoryMapChanged());
  memory.onLogged((on) => vcpu.logWrites(on));
  memory.onCodeWritten((page, offset, length) => vcpu.codeWritten(page, offset, length));

  const com1 = new Serial16550({ name: 'com1', sink: options.serial, line: irq.level(COM1.interrupt) });
  bus.ports.map(COM1.port, com1);
  return { bus, timers, vcpu, apicBus, pic, ioApic, virtualWire, irq, legacyTimers, rtc, com1, parts: [vcpu, pic, ioApic, ...processors.apics, pit, rtc, com1, numericError] };
}

/** What processors are wired to. */
interface Surroundings {
  readonly memory: LinearMemory;
  readonly bus: PcBus;
  readonly timers: TimerQueue;
  readonly apicBus: ApicBus;
  readonly pic: PicPair;
  readonly numericError: NumericError;
}

interface Processors {
  readonly vcpu: Vcpu;
  /** Those that are parts of their own. */
  readonly apics: readonly LocalApic[];
  readonly virtualWire: () => void;
  readonly picChanged: () => void;
}

/** One, in the machine's thread. */
function oneProcessor(options: BoardOptions, { memory, bus, timers, apicBus, pic, numericError }: Surroundings): Processors {
  const { clock, events, log, tscKhz = () => 1_000_000 } = options;
  // One clock for all: the time stamp counter runs from it too, so that the guest's calibrations agree.
  const hostTsc = (): number => ticksAt(clock.now(), tscKhz());
  const localApic: LocalApic = new LocalApic({
    id: 0, boot: true, bus: apicBus, clock, timers, kick: { kick: () => events.kick() }, tsc: hostTsc, tscKhz, pic,
    processor: { init: () => {}, startup: () => {} },
    windowMoved: (address) => moveWindow(bus, localApic, address),
  });
  apicBus.add(localApic);
  bus.mmio.map(LOCAL_APIC_WINDOW, localApic.registers);
  const vcpu = options.createVcpu({
    memory: memory.wasm, ram: memory, bus, interrupts: traceInterrupts(localApic, log), hostTsc, tscKhz, clock, log, index: 0,
    paravirt: paravirtFeatures(options.paravirt === true, 'one'), bootTime: () => timeOfOrigin(options.wallClock, clock),
    numericError: (pending) => numericError.error(pending),
    random32: randomWords(options.entropy),
  });
  return { vcpu, apics: [localApic], virtualWire: () => localApic.virtualWire(), picChanged: () => localApic.picChanged() };
}

/** Each in a thread of its own, its local APIC with it. */
function severalProcessors({ clock, wallClock, log, tscKhz = () => 1_000_000, events, paravirt = false }: BoardOptions, processors: ProcessorThreads, { memory, bus, apicBus, pic, numericError }: Surroundings): Processors {
  const vcpus = new ThreadedVcpus({ processors, memory, bus, apicBus, pic, clock, wallClock, tscKhz, paravirt, log, numericError: (pending) => numericError.error(pending), wake: () => events.kick() });
  memory.changeMapUnder(vcpus.exclusively);
  return { vcpu: vcpus, apics: [], virtualWire: () => vcpus.virtualWire(), picChanged: () => vcpus.picChanged() };
}

function moveWindow(bus: PcBus, apic: LocalApic, address: number): void {
  bus.mmio.unmap(apic.registers);
  try {
    bus.mmio.map(address, apic.registers);
  } catch {
    // Another device is there: the guest has lost its registers.
  }
}
