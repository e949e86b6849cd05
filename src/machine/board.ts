import type { Plain, Stateful } from '../base/plain.ts';
import type { PortAccess } from '../buses/system-bus.ts';
import type { Vcpu } from '../cpu/vcpu.ts';
import type { Display } from '../devices/display/vga.ts';
import type { Serial16550 } from '../devices/legacy/serial-16550.ts';
import type { NetworkCard } from '../devices/network/network-card.ts';
import type { Virtio9p } from '../devices/virtio/virtio-9p.ts';
import type { VirtioBalloon } from '../devices/virtio/virtio-balloon.ts';
import type { VirtioConsole } from '../devices/virtio/virtio-console.ts';
import type { ByteSink } from '../host/bytes.ts';
import type { MonotonicClock, WallClock } from '../host/clock.ts';
import type { FrameBuffer } from '../firmware/boot-input.ts';
import type { Entropy } from '../host/entropy.ts';
import type { Log } from '../host/log.ts';
import type { ReleasePages } from '../host/pages.ts';
import type { LinearMemory } from '../memory/linear-memory.ts';
import type { TimerQueue } from '../timers/timer-queue.ts';
import type { FirmwareFiles } from './boot-source.ts';
import type { Drive, MediumKind, RemovableDrive } from './drives.ts';
import type { EngineFactory } from './engine-factory.ts';
import type { Nic } from './nics.ts';
import type { ProcessorThreads } from './processors/threaded-vcpus.ts';
import type { Share } from './shares.ts';
import type { Vsock } from './vsock.ts';
import { loadSection, saveSection } from './sections.ts';

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
  readonly nics: readonly Nic[];
  readonly shares: readonly Share[];
  /** Missing: none. */
  readonly vsock?: Vsock;
  /** A virtio keyboard and tablet. */
  readonly input?: boolean;
  /** Missing: a kernel is booted directly. */
  readonly firmware: FirmwareFiles | undefined;
  readonly testDevice?: boolean;
  /** A virtio entropy device. */
  readonly rng?: boolean;
  /** A display for a kernel that is booted directly. */
  readonly display?: boolean;
  readonly serial: ByteSink;
  /** A virtio console besides the serial port; missing: none. */
  readonly virtioConsole?: ByteSink;
  /** Further ports of that device, by name. */
  readonly ports: readonly { readonly name: string; readonly sink: ByteSink }[];
  /** A virtio balloon, and what becomes of pages that the guest gives back; missing: none. */
  readonly balloon?: ReleasePages;
  /** What is printed on the parallel port; missing: there is none. */
  readonly parallel?: ByteSink;
  readonly clock: MonotonicClock;
  /** Rate of the time stamp counter; missing: 1 GHz. */
  readonly tscKhz?: () => number;
  readonly wallClock: WallClock;
  readonly entropy: Entropy;
  readonly log: Log;
  /** KVM's paravirtual interface is offered to the guest. */
  readonly paravirt?: boolean;
  readonly createVcpu: EngineFactory;
  /** Several processors, each in a thread; missing: one, which `createVcpu` makes. */
  readonly processors?: ProcessorThreads;
  readonly events: BoardEvents;
}

export interface Board {
  readonly memory: LinearMemory;
  readonly vcpu: Vcpu;
  readonly timers: TimerQueue;
  readonly com1: Serial16550;
  readonly virtioConsole: VirtioConsole | undefined;
  readonly cards: readonly NetworkCard[];
  readonly balloon: VirtioBalloon | undefined;
  readonly shares: readonly Virtio9p[];
  powerButton(): void;
  /** Takes set 2 scan codes, each key's code whole. Undefined on a machine without one. */
  readonly keyboard: ((scancodes: Uint8Array) => void) | undefined;
  /** Moves the mouse: counts to the right, up, and of the wheel; buttons: bit 0 left, 1 right, 2 middle. Undefined on a machine without one. */
  readonly mouse?: (dx: number, dy: number, buttons: number, wheel: number) => void;
  /** Puts an absolute pointer at a place of the display, as fractions of its width and height; buttons and wheel as the mouse has them. */
  readonly pointer?: (x: number, y: number, buttons: number, wheel: number) => void;
  /** Undefined on a machine without one. */
  readonly display: Display | undefined;
  /** What a kernel that is booted directly finds on the display; missing: nothing. */
  readonly frameBuffer?: FrameBuffer | undefined;
  /** Missing: it has none. */
  readonly removable?: Readonly<Partial<Record<MediumKind, RemovableDrive>>>;
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

/** A component of a board. */
export type Part = Stateful & { reset(): void };

/** State of all parts, by their names. */
export function saveParts(parts: readonly Part[]): Readonly<Record<string, Plain>> {
  return Object.fromEntries(parts.map(saveSection));
}

export function loadParts(parts: readonly Part[], state: Plain): void {
  for (const part of parts) loadSection(state, part);
}
