import { UserError } from '../../base/errors.ts';
import type { PcBus } from '../../buses/system-bus.ts';
import { Dma8237 } from '../../devices/legacy/dma-8237.ts';
import { FloppyController } from '../../devices/storage/floppy/floppy-controller.ts';
import { fitsDrive, floppyFormat } from '../../devices/storage/floppy/geometry.ts';
import type { FloppyFormat } from '../../devices/storage/floppy/geometry.ts';
import type { BlockPort } from '../../host/blocks.ts';
import type { GuestMemory } from '../../memory/guest-memory.ts';
import type { LevelLine } from '../../wiring/interrupt-line.ts';
import type { Part } from '../board.ts';
import type { Drive, RemovableDrive } from '../drives.ts';
import { pciPath } from './boot-devices.ts';
import type { BootDevice } from './boot-devices.ts';

export interface FloppyDrive {
  readonly block: BlockPort | undefined;
  /** What kind of drive it is: for this format and those that it can read besides. */
  readonly format: FloppyFormat;
}

/** 1.44 MB: the drive when there is no disk in it. */
const USUAL_BYTES = 1474560;

/** The drive as firmware finds it: behind the ISA bridge, at its controller's port. */
export const FLOPPY_BOOT_DEVICE: BootDevice = { kind: 'a', path: `${pciPath('isa', { slot: 1 })}/fdc@03f0/floppy@0` };

/** The floppy disk among the drives. Throws UserError. */
export function floppyDrive(drives: readonly Drive[]): FloppyDrive | undefined {
  const [drive, another] = drives.filter((candidate) => candidate.kind === 'floppy');
  if (drive === undefined) return undefined;
  if (another !== undefined) throw new UserError('two floppy disks are asked for, but there is one drive; give one');
  return { block: drive.block, format: checkFormat(drive.block?.bytes ?? USUAL_BYTES) };
}

function checkFormat(bytes: number): FloppyFormat {
  const format = floppyFormat(bytes);
  if (format === undefined) throw new UserError(`the floppy disk image has ${bytes} bytes; give one of 1474560 (1.44 MB), 2949120, 1228800, 737280 or 368640`);
  return format;
}

/** The controller with its drive, and the DMA controllers that it needs: its parts, and the drive for who changes disks. */
export function addFloppy(drive: FloppyDrive, bus: PcBus, memory: GuestMemory, line: LevelLine): { readonly parts: readonly Part[]; readonly removable: RemovableDrive } {
  const dma = new Dma8237(memory);
  bus.ports.map(0x00, dma.low);
  bus.ports.map(0x80, dma.pages);
  bus.ports.map(0xc0, dma.high);
  const floppy = new FloppyController({ block: drive.block, line, dma: dma.channel(2) });
  bus.ports.map(0x3f0, floppy.registers);
  bus.ports.map(0x3f7, floppy.changeRegister);
  const removable: RemovableDrive = {
    locked: false,
    pressEject: () => {},
    change: (block) => {
      if (block !== undefined && !fitsDrive(checkFormat(block.bytes), drive.format)) throw new UserError(`the floppy drive is none for a disk of ${block.bytes} bytes; start the machine with this disk in it`);
      floppy.change(block);
    },
  };
  return { parts: [dma, floppy], removable };
}
