import type { AccessSize } from '../../../base/addresses.ts';
import { StateError } from '../../../base/errors.ts';
import type { Plain, Stateful } from '../../../base/plain.ts';
import type { GuestMemory } from '../../../memory/guest-memory.ts';
import type { LevelLine } from '../../../wiring/interrupt-line.ts';
import type { RegisterBlock } from '../../../wiring/register-block.ts';
import { pciHeader } from '../../pci/chipset.ts';
import { RegisterFunction } from '../../pci/register-function.ts';
import { StateFields } from '../../state-fields.ts';
import type { IdeCdrom } from './ide-cdrom.ts';
import { IdeChannel } from './ide-channel.ts';
import type { IdeMedium } from './ide-channel.ts';

export interface PiixIdeOptions {
  readonly memory: GuestMemory;
  /** IRQ 14 and IRQ 15. */
  readonly lines: readonly [LevelLine, LevelLine];
  /** First and second drive of the first channel, then of the second. */
  readonly media: readonly (IdeMedium | undefined)[];
}

/** Both IDE channels of the Intel 82371SB (data sheet 290550), in compatibility mode. */
export class PiixIde implements Stateful {
  readonly stateName = 'ide';
  readonly stateVersion = 2;
  readonly channels: readonly [IdeChannel, IdeChannel];
  /** Function 1 of the ISA bridge's slot. */
  readonly function: RegisterFunction;

  constructor(options: PiixIdeOptions) {
    const { memory, lines, media } = options;
    this.channels = [
      new IdeChannel('ide-0', { memory, line: lines[0], media: [media[0], media[1]] }),
      new IdeChannel('ide-1', { memory, line: lines[1], media: [media[2], media[3]] }),
    ];
    const [first, second] = this.channels;
    const at = (offset: number): RegisterBlock => (offset < 8 ? first : second).busMaster.registers;
    const busMaster: RegisterBlock = {
      name: 'ide-bus-master',
      length: 16,
      read: (offset: number, size: AccessSize) => at(offset).read(offset & 7, size),
      write: (offset: number, size: AccessSize, value: number) => at(offset).write(offset & 7, size, value),
    };
    this.function = new RegisterFunction({
      name: 'pci-ide',
      registers: [
        ...pciHeader({ vendor: 0x8086, device: 0x7010, revision: 0, classCode: 0x010180 }),
        // Timing registers, both channels decoded: what they say has no effect.
        { offset: 0x40, size: 4, reset: 0x80008000, writable: 0xffffffff },
        { offset: 0x44, size: 4, reset: 0, writable: 0xffffffff },
      ],
      bars: [{ index: 4, space: 'port', block: busMaster }],
    });
  }

  /** The first CD-ROM drive. */
  get cdrom(): IdeCdrom | undefined {
    return this.channels[1].cdrom ?? this.channels[0].cdrom;
  }

  reset(): void {
    for (const channel of this.channels) channel.reset();
  }

  save(): Plain {
    return { channels: this.channels.map((channel) => channel.save()) };
  }

  load(state: Plain, version: number): void {
    const channels = new StateFields(this.stateName, state, version, this.stateVersion).nested('channels');
    if (!Array.isArray(channels) || channels.length !== this.channels.length) throw new StateError(`${this.stateName}: field channels must be a list of two`);
    this.channels.forEach((channel, i) => channel.load((channels as readonly Plain[])[i]!));
  }
}
