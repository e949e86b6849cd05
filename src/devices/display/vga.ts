import type { AccessSize } from '../../base/addresses.ts';
import { StateError } from '../../base/errors.ts';
import type { Plain, Stateful } from '../../base/plain.ts';
import type { MonotonicClock } from '../../host/clock.ts';
import type { RegisterBlock } from '../../wiring/register-block.ts';
import { readBytewise, writeBytewise } from '../byte-registers.ts';
import { pciHeader } from '../pci/chipset.ts';
import { RegisterFunction } from '../pci/register-function.ts';
import { StateFields } from '../state-fields.ts';
import { Dispi } from './dispi.ts';
import { VgaMemory } from './vga-memory.ts';
import { VgaRegisters } from './vga-registers.ts';
import { VgaScreen } from './vga-screen.ts';
import type { Picture, TextCells } from './vga-screen.ts';

/** VGA registers and display interface in the memory BAR (QEMU: docs/specs/standard-vga). */
const MMIO_BYTES = 0x1000;
const MMIO_VGA = 0x400;
const MMIO_VGA_END = 0x420;
const MMIO_DISPI = 0x500;
const MMIO_DISPI_END = 0x516;
/** Ports 3C0h to 3DFh, from where the port block begins. */
const PORTS_FROM_3C0 = 0x10;

/** What a monitor shows now. */
export interface Display {
  picture(): Picture;
  /** Undefined in graphics modes, and while the screen is dark. */
  text(): TextCells | undefined;
}

/** VGA with the Bochs display interface. Video memory is storage that the PCI function's owner shows at BAR 0. */
export class Vga implements Stateful, Display {
  readonly stateName = 'vga';
  readonly stateVersion = 1;
  /** Ports 3B0h to 3DFh. */
  readonly ports: RegisterBlock;
  /** Ports 1CEh to 1D1h: index and data of the display interface. */
  readonly dispiPorts: RegisterBlock;
  /** A0000h to BFFFFh. */
  readonly window: RegisterBlock;
  readonly mmio: RegisterBlock;
  /** Video memory as a register block: what BAR 0 shows unless its storage is mapped directly. */
  readonly frameBuffer: RegisterBlock;
  readonly #storage: Uint8Array;
  readonly #registers: VgaRegisters;
  readonly #memory: VgaMemory;
  readonly #dispi: Dispi;
  readonly #screen: VgaScreen;
  #dispiIndex = 0;

  /** `storage`: video memory, a power of two of 64 KiB or more. */
  constructor(storage: Uint8Array, clock: MonotonicClock) {
    this.#storage = storage;
    const registers = new VgaRegisters(clock);
    this.#registers = registers;
    this.#memory = new VgaMemory(registers, storage);
    this.#dispi = new Dispi(storage, (wide) => (registers.wideDac = wide));
    this.#screen = new VgaScreen(registers, storage);
    this.ports = bytewise('vga-ports', 0x30, (at) => registers.read(at), (at, value) => registers.write(at, value));
    this.window = bytewise('vga-window', 0x20000, (at) => this.#memory.read(at, this.#dispi.bank), (at, value) => this.#memory.write(at, value, this.#dispi.bank));
    this.frameBuffer = bytewise('vga-memory', storage.length, (at) => storage[at]!, (at, value) => (storage[at] = value));
    this.dispiPorts = {
      name: 'vga-dispi', length: 4,
      read: (offset: number, size: AccessSize) => (offset === 0 ? this.#dispiIndex : size === 2 ? this.#dispi.read(this.#dispiIndex) : 0xffff),
      write: (offset: number, size: AccessSize, value: number) => {
        if (offset === 0) this.#dispiIndex = value & 0xffff;
        else if (size === 2) this.#dispi.write(this.#dispiIndex, value);
      },
    };
    this.mmio = {
      name: 'vga-mmio', length: MMIO_BYTES,
      read: (offset: number, size: AccessSize) => this.#readMmio(offset, size),
      write: (offset: number, size: AccessSize, value: number) => this.#writeMmio(offset, size, value),
    };
  }

  #readMmio(offset: number, size: AccessSize): number {
    if (offset >= MMIO_VGA && offset + size <= MMIO_VGA_END) return this.ports.read(offset - MMIO_VGA + PORTS_FROM_3C0, size);
    if (offset >= MMIO_DISPI && offset + size <= MMIO_DISPI_END) return size === 2 ? this.#dispi.read((offset - MMIO_DISPI) >> 1) : 0;
    return 0;
  }

  #writeMmio(offset: number, size: AccessSize, value: number): void {
    if (offset >= MMIO_VGA && offset + size <= MMIO_VGA_END) this.ports.write(offset - MMIO_VGA + PORTS_FROM_3C0, size, value);
    else if (offset >= MMIO_DISPI && offset + size <= MMIO_DISPI_END && size === 2) this.#dispi.write((offset - MMIO_DISPI) >> 1, value);
  }

  reset(): void {
    this.#registers.reset();
    this.#dispi.reset();
    this.#dispiIndex = 0;
    this.#memory.latch = 0;
    // What the last guest drew is not the next one's.
    this.#storage.fill(0, 0, usedBytes(this.#storage));
  }

  /** Shows a linear picture of 32 bits a pixel from the start of video memory, as firmware leaves it. */
  showFrameBuffer(width: number, height: number): void {
    this.#dispi.setMode(width, height);
  }

  picture(): Picture {
    return this.#screen.picture(this.#dispi.mode());
  }
  text(): TextCells | undefined {
    return this.#dispi.mode() === undefined && this.#screen.isText && this.#registers.displaying ? this.#screen.text() : undefined;
  }

  save(): Plain {
    return {
      registers: this.#registers.save(), dispi: this.#dispi.save(), dispiIndex: this.#dispiIndex, latch: this.#memory.latch >>> 0,
      memory: this.#storage.slice(0, usedBytes(this.#storage)),
    };
  }

  load(state: Plain, version: number): void {
    const fields = new StateFields(this.stateName, state, version, this.stateVersion);
    const dispiIndex = fields.integer('dispiIndex', 0xffff);
    const latch = fields.integer('latch', 0xffffffff);
    const memory = fields.nested('memory');
    // Not a copy: it may be large.
    if (!(memory instanceof Uint8Array) || memory.length > this.#storage.length) throw new StateError(`${this.stateName}: field memory must be at most ${this.#storage.length} bytes`);
    this.#dispi.load(fields.nested('dispi'));
    this.#registers.load(fields.nested('registers'));
    this.#dispiIndex = dispiIndex;
    this.#memory.latch = latch;
    this.#storage.fill(0, memory.length, Math.max(memory.length, usedBytes(this.#storage)));
    this.#storage.set(memory);
  }
}

/** The display's PCI function: linear frame buffer in BAR 0, registers in BAR 2, option ROM. */
export function vgaFunction(vga: Vga, rom: RegisterBlock | undefined): RegisterFunction {
  return new RegisterFunction({
    name: 'pci-vga',
    registers: [
      ...pciHeader({ vendor: 0x1234, device: 0x1111, revision: 2, classCode: 0x030000, subsystemVendor: 0x1af4, subsystem: 0x1100 }),
      { offset: 0x04, size: 2, reset: 0, writable: 0x0547 }, // ports too, though no BAR has any: the VGA's own
    ],
    bars: [{ index: 0, space: 'memory', prefetchable: true, block: vga.frameBuffer }, { index: 2, space: 'memory', block: vga.mmio }],
    ...(rom === undefined ? {} : { rom }),
  });
}

/** Bytes up to the last one that is not zero. */
function usedBytes(storage: Uint8Array): number {
  const words = new Uint32Array(storage.buffer, storage.byteOffset, storage.length >> 2);
  let used = words.length;
  while (used > 0 && words[used - 1] === 0) used--;
  return used * 4;
}

function bytewise(name: string, length: number, read: (at: number) => number, write: (at: number, value: number) => void): RegisterBlock {
  return {
    name, length,
    read: (offset: number, size: AccessSize) => readBytewise(offset, size, read),
    write: (offset: number, size: AccessSize, value: number) => writeBytewise(offset, size, value, write),
  };
}
