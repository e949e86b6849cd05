import { UserError } from '../../base/errors.ts';
import type { IdeMedium } from '../../devices/storage/ide/ide-channel.ts';
import { PiixIde } from '../../devices/storage/ide/piix-ide.ts';
import type { PcBus } from '../../buses/system-bus.ts';
import type { PciBus } from '../../devices/pci/pci-bus.ts';
import type { GuestMemory } from '../../memory/guest-memory.ts';
import type { LevelLine } from '../../wiring/interrupt-line.ts';
import type { Drive } from '../drives.ts';
import { pciPath } from './boot-devices.ts';
import type { BootDevice } from './boot-devices.ts';

/** CD-ROM drives come second on the cables, first master, so that a hard disk finds its usual places. */
const CDROM_PLACES = [2, 3, 1, 0] as const;
const PLACES = 4;
/** With the ISA bridge, as its function 1. */
const CONTROLLER = { slot: 1, func: 1 } as const;

export type IdeMedia = readonly (IdeMedium | undefined)[];

/** The IDE drives among all, by their place: first and second of the first cable, then of the second. Throws UserError. */
export function ideMedia(drives: readonly Drive[]): IdeMedia | undefined {
  const media = new Array<IdeMedium | undefined>(PLACES).fill(undefined);
  const put = (medium: IdeMedium, places: readonly number[]): void => {
    const place = places.find((at) => media[at] === undefined);
    if (place === undefined) throw new UserError(`more than ${PLACES} IDE drives are asked for; give fewer, or disks with if=virtio`);
    media[place] = medium;
  };
  for (const drive of drives) if (drive.kind === 'cdrom') put({ kind: 'cdrom', block: drive.block }, CDROM_PLACES);
  drives.forEach((drive, number) => {
    if (drive.kind === 'disk' && drive.interface === 'ide') put({ kind: 'disk', block: drive.block, name: `polyvisor-${number}` }, [0, 1, 2, 3]);
  });
  return media.some((medium) => medium !== undefined) ? media : undefined;
}

/** The controller with its drives, at the addresses and interrupts that every PC has them. */
export function addIde(media: IdeMedia, bus: PcBus, pci: PciBus, memory: GuestMemory, lines: readonly [LevelLine, LevelLine]): PiixIde {
  const ide = new PiixIde({ memory, lines, media });
  for (const [channel, command, control] of [[ide.channels[0], 0x1f0, 0x3f6], [ide.channels[1], 0x170, 0x376]] as const) {
    bus.ports.map(command, channel.commandBlock);
    bus.ports.map(control, channel.controlBlock);
  }
  pci.add(CONTROLLER.slot, CONTROLLER.func, ide.function);
  return ide;
}

/** The drives as firmware finds them: cable, and place on it. */
export function ideBootDevices(media: IdeMedia): readonly BootDevice[] {
  const controller = pciPath('ide', CONTROLLER);
  return media.flatMap((medium, place) => (medium === undefined ? [] : [{ kind: medium.kind === 'cdrom' ? 'd' : 'c', path: `${controller}/drive@${place >> 1}/disk@${place & 1}` }]));
}
