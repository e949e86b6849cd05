import type { AccessSize } from '../../base/addresses.ts';
import type { Plain } from '../../base/plain.ts';
import type { RegisterBlock } from '../../wiring/register-block.ts';
import { StateFields } from '../state-fields.ts';
import type { BarSpace, BusChange } from './bus-change.ts';
import { PCI_COMMAND, PciConfigSpace } from './config-space.ts';
import type { PciFunction } from './pci-bus.ts';
import { PciBus } from './pci-bus.ts';

// PCI-to-PCI Bridge Architecture Specification 1.2: a type 1 function and the bus behind it.

const SECONDARY = 0x19;
const SUBORDINATE = 0x1a;
const IO_BASE = 0x1c;
const IO_LIMIT = 0x1d;
const MEMORY_BASE = 0x20;
const MEMORY_LIMIT = 0x22;
const PREFETCHABLE_BASE = 0x24;
const PREFETCHABLE_LIMIT = 0x26;
const COMMAND_PORTS = 1;
const COMMAND_MEMORY = 2;
const CONTROL = 0x3e;
const CONTROL_RESET = 1 << 6;

interface Wanted {
  readonly space: BarSpace;
  readonly base: number;
  /** It lies in an open window, so the bus above has it. */
  mapped: boolean;
}

/** Without interrupts and option ROM. What functions behind it decode is passed on as far as the windows are open. */
export class PciBridge implements PciFunction {
  readonly stateName: string;
  readonly stateVersion = 1;
  /** The bus behind it. */
  readonly bus: PciBus;
  readonly #config: PciConfigSpace;
  readonly #wanted = new Map<RegisterBlock, Wanted>();
  /** Changes that wait to be passed on. */
  #changes: BusChange[] = [];
  readonly #apply: (change: BusChange) => void;
  #collecting = false;

  /** `apply`: as the bus above gets it. */
  constructor(name: string, apply: (change: BusChange) => void) {
    this.stateName = name;
    this.#apply = apply;
    this.bus = new PciBus((change) => this.#behind(change));
    this.#config = new PciConfigSpace({
      name,
      registers: [
        { offset: 0x00, size: 2, reset: 0x1b36 }, // the generic bridge of QEMU, which firmware knows
        { offset: 0x02, size: 2, reset: 0x0001 },
        { offset: PCI_COMMAND, size: 2, reset: 0, writable: 0x0147 },
        { offset: 0x06, size: 2, reset: 0x0200, clearable: 0xf900 },
        { offset: 0x09, size: 1, reset: 0x00 },
        { offset: 0x0a, size: 2, reset: 0x0604 },
        { offset: 0x0c, size: 2, reset: 0, writable: 0xffff },
        { offset: 0x0e, size: 1, reset: 0x01 },
        { offset: 0x18, size: 4, reset: 0, writable: 0xffffffff }, // bus numbers, latency timer
        { offset: IO_BASE, size: 2, reset: 0, writable: 0xf0f0 },
        { offset: 0x1e, size: 2, reset: 0x0200, clearable: 0xf900 },
        { offset: MEMORY_BASE, size: 4, reset: 0, writable: 0xfff0fff0 },
        { offset: PREFETCHABLE_BASE, size: 4, reset: 0, writable: 0xfff0fff0 },
        { offset: 0x3c, size: 1, reset: 0, writable: 0xff },
        { offset: CONTROL, size: 2, reset: 0, writable: 0x004f },
      ],
    });
  }

  /** The number of the bus behind it, and of the last one that is reached through it. */
  get secondary(): number {
    return this.#config.read(SECONDARY, 1);
  }
  get subordinate(): number {
    return this.#config.read(SUBORDINATE, 1);
  }

  readConfig(offset: number, size: AccessSize): number {
    return this.#config.read(offset, size);
  }

  writeConfig(offset: number, size: AccessSize, value: number): readonly BusChange[] {
    const inReset = this.#inReset();
    this.#config.write(offset, size, value);
    return this.#collect(() => {
      if (!inReset && this.#inReset()) this.bus.reset();
      this.#openWindows();
    });
  }

  #inReset(): boolean {
    return (this.#config.read(CONTROL, 2) & CONTROL_RESET) !== 0;
  }

  /** A function behind the bridge has begun or ceased to decode a range. */
  #behind(change: BusChange): void {
    const { kind, space, base, block } = change;
    const before = this.#wanted.get(block);
    if (before?.mapped === true) this.#pass({ kind: 'unmap', space: before.space, base: before.base, block });
    this.#wanted.delete(block);
    if (kind === 'unmap') return;
    this.#wanted.set(block, { space, base, mapped: false });
    this.#openWindows();
  }

  #openWindows(): void {
    const closing = [...this.#wanted].filter(([block, wanted]) => wanted.mapped && !this.#passes(wanted, block.length));
    const opening = [...this.#wanted].filter(([block, wanted]) => !wanted.mapped && this.#passes(wanted, block.length));
    for (const [kind, changing] of [['unmap', closing], ['map', opening]] as const) {
      for (const [block, wanted] of changing) {
        wanted.mapped = kind === 'map';
        this.#pass({ kind, space: wanted.space, base: wanted.base, block });
      }
    }
  }

  /** Sections 3.2.5.6 to 3.2.5.9: a window whose limit lies below its base is closed. */
  #passes({ space, base }: Wanted, length: number): boolean {
    const command = this.#config.read(PCI_COMMAND, 2);
    const within = (first: number, last: number): boolean => base >= first && base + length - 1 <= last;
    if (space === 'port') {
      return (command & COMMAND_PORTS) !== 0 && within((this.#config.read(IO_BASE, 1) & 0xf0) << 8, ((this.#config.read(IO_LIMIT, 1) & 0xf0) << 8) | 0xfff);
    }
    const window = (first: number, last: number): boolean => within((this.#config.read(first, 2) & 0xfff0) * 0x10000, (this.#config.read(last, 2) & 0xfff0) * 0x10000 + 0xfffff);
    return (command & COMMAND_MEMORY) !== 0 && (window(MEMORY_BASE, MEMORY_LIMIT) || window(PREFETCHABLE_BASE, PREFETCHABLE_LIMIT));
  }

  #pass(change: BusChange): void {
    if (this.#collecting) this.#changes.push(change);
    else this.#apply(change);
  }

  /** The changes that come of `work`, for the bus above to apply. */
  #collect(work: () => void): readonly BusChange[] {
    this.#collecting = true;
    try {
      work();
      return this.#changes;
    } finally {
      this.#collecting = false;
      this.#changes = [];
    }
  }

  reset(): readonly BusChange[] {
    return this.#collect(() => {
      this.bus.reset();
      this.#config.reset();
    });
  }

  halt(): void {
    this.bus.halt();
  }

  save(): Plain {
    return { config: this.#config.save(), bus: this.bus.save() };
  }

  load(state: Plain, version: number): void {
    this.loadMapped(state, version);
  }

  loadMapped(state: Plain, version: number): readonly BusChange[] {
    const fields = new StateFields(this.stateName, state, version, this.stateVersion);
    return this.#collect(() => {
      this.#config.load(fields.nested('config'), 1);
      this.bus.load(fields.nested('bus'), 1);
      this.#openWindows();
    });
  }
}
