import type { AccessSize } from '../../base/addresses.ts';
import { StateError } from '../../base/errors.ts';
import type { Plain, Stateful } from '../../base/plain.ts';
import { StateFields } from '../state-fields.ts';
import type { BusChange } from './bus-change.ts';

/** One function of a PCI device as the bus sees it. Offsets are 0..255; a size never crosses a doubleword. */
export interface PciFunction extends Stateful {
  readConfig(offset: number, size: AccessSize): number;
  /** Returns what the write changed on the outer bus, for the owner to apply. */
  writeConfig(offset: number, size: AccessSize, value: number): readonly BusChange[];
  /** Back to power-on; returns the unmapping of what was decoded. */
  reset(): readonly BusChange[];
  /** As `load`, and returns the changes that bring the outer bus in line with the loaded state. */
  loadMapped(state: Plain, version: number): readonly BusChange[];
  /**
   * The machine has ended, and the host's disks are about to be closed: what is under way stays under way, so that a
   * state saved from now on has it done anew.
   */
  halt?(): void;
}

export const SLOTS = 32;
const FUNCTIONS = 8;

/** A function with a bus behind it. */
export interface BridgeFunction extends PciFunction {
  readonly bus: PciBus;
  readonly secondary: number;
  readonly subordinate: number;
}

/** A PCI bus: number 0, or the one behind a bridge. Functions are added while the machine is put together. */
export class PciBus implements Stateful {
  readonly stateName = 'pci-bus';
  readonly stateVersion = 1;
  readonly #functions = new Map<number, PciFunction>();
  readonly #bridges: BridgeFunction[] = [];
  readonly #apply: (change: BusChange) => void;

  /** `apply` maps and unmaps register blocks on the outer bus; it is called inside configuration writes. */
  constructor(apply: (change: BusChange) => void) {
    this.#apply = apply;
  }

  /** Throws when the place is taken or no place: a mistake of the caller's. */
  add(slot: number, func: number, device: PciFunction): void {
    const key = place(slot, func);
    if (slot < 0 || slot >= SLOTS || func < 0 || func >= FUNCTIONS) throw new Error(`no PCI place ${slot}.${func}`);
    if (this.#functions.has(key)) throw new Error(`PCI place ${slot}.${func} is taken`);
    this.#functions.set(key, device);
  }

  addBridge(slot: number, bridge: BridgeFunction): void {
    this.add(slot, 0, bridge);
    this.#bridges.push(bridge);
  }

  /** The bus of that number, as bridges are set up now. */
  #bus(number: number): PciBus | undefined {
    if (number === 0) return this;
    return this.#bridges.find((bridge) => bridge.secondary === number && bridge.subordinate >= number)?.bus;
  }

  /** The bridge in a slot, if there is one. */
  bridge(slot: number): BridgeFunction | undefined {
    return this.#bridges.find((bridge) => bridge === this.#functions.get(place(slot, 0)));
  }

  /** The lowest slot where nothing is, from `first` up; undefined when the bus is full. */
  freeSlot(first = 2): number | undefined {
    for (let slot = first; slot < SLOTS; slot++) {
      let free = true;
      for (let func = 0; func < FUNCTIONS; func++) free &&= !this.#functions.has(place(slot, func));
      if (free) return slot;
    }
    return undefined;
  }

  /** Absent functions read as all ones (master abort). */
  readConfig(bus: number, slot: number, func: number, offset: number, size: AccessSize): number {
    const on = this.#bus(bus);
    const target = on === undefined ? undefined : on.#functions.get(place(slot, func));
    return target === undefined ? (size === 4 ? 0xffffffff : 2 ** (8 * size) - 1) : target.readConfig(offset, size);
  }

  writeConfig(bus: number, slot: number, func: number, offset: number, size: AccessSize, value: number): void {
    const on = this.#bus(bus);
    const target = on === undefined ? undefined : on.#functions.get(place(slot, func));
    if (on !== undefined && target !== undefined) on.#applyAll(target.writeConfig(offset, size, value));
  }

  reset(): void {
    for (const device of this.#functions.values()) this.#applyAll(device.reset());
  }

  halt(): void {
    for (const device of this.#functions.values()) device.halt?.();
  }

  #applyAll(changes: readonly BusChange[]): void {
    for (const change of changes) this.#apply(change);
  }

  /** Functions by place, each with its name and version. */
  save(): Plain {
    const functions: Record<string, Plain> = {};
    for (const [key, device] of [...this.#functions].sort(([a], [b]) => a - b)) {
      functions[String(key)] = { name: device.stateName, version: device.stateVersion, state: device.save() };
    }
    return { functions };
  }

  load(state: Plain, version: number): void {
    const outer = new StateFields(this.stateName, state, version, this.stateVersion);
    const stored = outer.nested('functions');
    const functions = new StateFields(this.stateName, stored, 1, 1);
    if (Object.keys(stored as object).length !== this.#functions.size) {
      throw new StateError(`${this.stateName}: the stored machine has other PCI functions than this one`);
    }
    for (const [key, device] of this.#functions) {
      const entry = functions.nested(String(key));
      const fields = new StateFields(device.stateName, entry, 1, 1);
      if (fields.nested('name') !== device.stateName) {
        throw new StateError(`${this.stateName}: place ${key >> 3}.${key & 7} holds ${device.stateName}, not the stored function`);
      }
      this.#applyAll(device.loadMapped(fields.nested('state'), fields.integer('version', 0xffff)));
    }
  }
}

function place(slot: number, func: number): number {
  return slot * FUNCTIONS + func;
}
