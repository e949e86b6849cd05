import { Vga, vgaFunction } from '../../devices/display/vga.ts';
import type { BusChange } from '../../devices/pci/bus-change.ts';
import { PCI_COMMAND } from '../../devices/pci/config-space.ts';
import { romBlock } from '../../devices/pci/option-rom.ts';
import type { PciBus } from '../../devices/pci/pci-bus.ts';
import type { PcBus } from '../../buses/system-bus.ts';
import type { FrameBuffer } from '../../firmware/boot-input.ts';
import type { MonotonicClock } from '../../host/clock.ts';
import type { LinearMemory } from '../../memory/linear-memory.ts';

/** Video memory: what QEMU's standard display has by default. */
export const VIDEO_MEMORY = 16 << 20;
const SLOT = 2;
const BAR_0 = 0x10;
const BAR_2 = 0x18;
const DECODE_PORTS_AND_MEMORY = 3;

export interface DisplayParts {
  readonly vga: Vga;
  /** Takes a change of the PCI bus upon itself when it moves the frame buffer, which is mapped as memory. */
  moved(change: BusChange): boolean;
}

/** The display, its video memory out of the room that `memory` has for storage. `addDisplayFunction` is due once the bus exists. */
export function addDisplay(memory: LinearMemory, bus: PcBus, clock: MonotonicClock): DisplayParts {
  const storage = memory.allocate(VIDEO_MEMORY);
  const vga = new Vga(storage.data, clock);
  bus.ports.map(0x3b0, vga.ports);
  bus.ports.map(0x1ce, vga.dispiPorts);
  bus.mmio.map(0xa0000, vga.window);
  return {
    vga,
    moved: (change) => {
      if (change.block !== vga.frameBuffer) return false;
      memory.setWindows(vga, change.kind === 'map' ? [{ first: change.base, bytes: VIDEO_MEMORY, kind: 'ram', host: storage.host }] : []);
      return true;
    },
  };
}

/** `rom`: with which firmware sets it up. */
export function addDisplayFunction(display: DisplayParts, pci: PciBus, rom: Uint8Array | undefined): void {
  pci.add(SLOT, 0, vgaFunction(display.vga, rom === undefined ? undefined : romBlock('vga', rom)));
}

/** What a kernel that is booted directly finds. */
export const FRAME_BUFFER: FrameBuffer = { address: 0xfd000000, width: 800, height: 600 };
const MMIO_ADDRESS = 0xfe000000;

/** As firmware does: gives the display its addresses, and shows the frame buffer. */
export function setUpDisplay(display: DisplayParts, pci: PciBus): void {
  pci.writeConfig(0, SLOT, 0, BAR_0, 4, FRAME_BUFFER.address);
  pci.writeConfig(0, SLOT, 0, BAR_2, 4, MMIO_ADDRESS);
  pci.writeConfig(0, SLOT, 0, PCI_COMMAND, 2, DECODE_PORTS_AND_MEMORY);
  display.vga.showFrameBuffer(FRAME_BUFFER.width, FRAME_BUFFER.height);
}
