import type { AccessSize } from '../../base/addresses.ts';
import type { Plain, Stateful } from '../../base/plain.ts';
import type { RegisterBlock } from '../../wiring/register-block.ts';
import { StateFields } from '../state-fields.ts';
import type { BarSpace, BusChange } from './bus-change.ts';

// PCI Local Bus Specification 3.0, chapter 6: configuration space as a table of registers.

const BYTES = 256;
export const PCI_COMMAND = 0x04;
const COMMAND_PORTS = 1;
const COMMAND_MEMORY = 2;
const BAR_FIRST = 0x10;
const ROM_BAR = 0x30;
const ROM_ENABLE = 1;
export const ROM_SMALLEST = 2048;
const NO_CHANGES: readonly BusChange[] = [];

/** One register: reset value, the bits a guest may write, and those it clears by writing one. Size in bytes. */
export interface ConfigRegister {
  readonly offset: number;
  readonly size: AccessSize;
  readonly reset: number;
  readonly writable?: number;
  readonly clearable?: number;
}

/** One base address register. The size is the block's length, a power of two (ports >= 4, memory >= 16). */
export interface BarDefinition {
  readonly index: 0 | 1 | 2 | 3 | 4 | 5;
  readonly space: BarSpace;
  /** A memory BAR that takes two registers. */
  readonly wide?: boolean;
  readonly prefetchable?: boolean;
  readonly block: RegisterBlock;
}

export interface ConfigSpaceDefinition {
  readonly name: string;
  readonly registers: readonly ConfigRegister[];
  readonly bars?: readonly BarDefinition[];
  /** Option ROM behind the expansion ROM base address (section 6.2.5.2). */
  readonly rom?: RegisterBlock;
}

interface Bar {
  readonly space: BarSpace;
  readonly wide: boolean;
  readonly block: RegisterBlock;
  readonly offset: number;
  /** Bit in the register itself that must be set, besides the command register's. */
  readonly enable: number;
  mapped: number | undefined;
}

/** A function's configuration space, BARs included. Writes return what changed on the bus. */
export class PciConfigSpace implements Stateful {
  readonly stateName: string;
  readonly stateVersion = 1;
  readonly #values = new Uint8Array(BYTES);
  readonly #initial = new Uint8Array(BYTES);
  readonly #writable = new Uint8Array(BYTES);
  readonly #clearable = new Uint8Array(BYTES);
  readonly #bars: readonly Bar[];

  /** Throws on a definition that contradicts itself: a mistake of the device's author, never of the guest. */
  constructor(definition: ConfigSpaceDefinition) {
    this.stateName = `pci-config-${definition.name}`;
    for (const register of definition.registers) {
      this.#define(register.offset, register.size, register.reset, register.writable ?? 0, register.clearable ?? 0);
    }
    const bars = (definition.bars ?? []).map((bar) => this.#defineBar(definition.name, bar));
    this.#bars = definition.rom === undefined ? bars : [...bars, this.#defineRom(definition.name, definition.rom)];
    // Space bits of the command register are there when a BAR of that space is (section 6.2.2).
    for (const bar of this.#bars) {
      this.#writable[PCI_COMMAND] = this.#writable[PCI_COMMAND]! | (bar.space === 'port' ? COMMAND_PORTS : COMMAND_MEMORY);
    }
    this.#values.set(this.#initial);
  }

  #define(offset: number, size: number, reset: number, writable: number, clearable: number): void {
    for (let i = 0; i < size; i++) {
      this.#initial[offset + i] = reset >>> (8 * i);
      this.#writable[offset + i] = writable >>> (8 * i);
      this.#clearable[offset + i] = clearable >>> (8 * i);
    }
  }

  #defineBar(name: string, bar: BarDefinition): Bar {
    const { length } = bar.block;
    checkLength(`${name}: BAR ${bar.index}`, length, bar.space === 'port' ? 4 : 16);
    const wide = bar.wide === true && bar.space === 'memory';
    const flags = bar.space === 'port' ? 1 : (wide ? 4 : 0) | (bar.prefetchable ? 8 : 0);
    const offset = BAR_FIRST + 4 * bar.index;
    this.#define(offset, 4, flags, -length, 0);
    if (wide) this.#define(offset + 4, 4, 0, -1, 0);
    return { space: bar.space, block: bar.block, wide, offset, enable: 0, mapped: undefined };
  }

  #defineRom(name: string, block: RegisterBlock): Bar {
    checkLength(`${name}: option ROM`, block.length, ROM_SMALLEST);
    this.#define(ROM_BAR, 4, 0, -block.length | ROM_ENABLE, 0);
    return { space: 'memory', block, wide: false, offset: ROM_BAR, enable: ROM_ENABLE, mapped: undefined };
  }

  read(offset: number, size: AccessSize): number {
    let value = 0;
    for (let i = 0; i < size; i++) value |= (this.#values[offset + i] ?? 0xff) << (8 * i);
    return value >>> 0;
  }

  write(offset: number, size: AccessSize, value: number): readonly BusChange[] {
    for (let i = 0; i < size && offset + i < BYTES; i++) {
      const at = offset + i;
      const byte = (value >>> (8 * i)) & 0xff;
      const writable = this.#writable[at]!;
      const kept = this.#values[at]! & ~(byte & this.#clearable[at]!);
      this.#values[at] = (kept & ~writable) | (byte & writable);
    }
    const touchesDecoding = offset < PCI_COMMAND + 2 || (offset < ROM_BAR + 4 && offset + size > BAR_FIRST);
    return touchesDecoding ? this.#remap() : NO_CHANGES;
  }

  /** The device's own side: sets a register whatever its masks, an interrupt status bit for instance. */
  set(offset: number, size: AccessSize, value: number): void {
    for (let i = 0; i < size; i++) this.#values[offset + i] = value >>> (8 * i);
  }

  /** Back to the reset values; returns the BARs' unmapping. */
  reset(): readonly BusChange[] {
    this.#values.set(this.#initial);
    return this.#remap();
  }

  #remap(): readonly BusChange[] {
    const unmapped: BusChange[] = [];
    const mapped: BusChange[] = [];
    for (const bar of this.#bars) {
      const base = this.#decoded(bar);
      if (base === bar.mapped) continue;
      if (bar.mapped !== undefined) unmapped.push({ kind: 'unmap', space: bar.space, base: bar.mapped, block: bar.block });
      if (base !== undefined) mapped.push({ kind: 'map', space: bar.space, base, block: bar.block });
      bar.mapped = base;
    }
    return unmapped.length + mapped.length === 0 ? NO_CHANGES : [...unmapped, ...mapped];
  }

  /** Where a BAR is decoded now; undefined while its space is off, it is unset, or it is being sized (all ones). */
  #decoded(bar: Bar): number | undefined {
    const command = this.#values[PCI_COMMAND]!;
    if (!(command & (bar.space === 'port' ? COMMAND_PORTS : COMMAND_MEMORY))) return undefined;
    const register = this.read(bar.offset, 4);
    if ((register & bar.enable) !== bar.enable) return undefined;
    const low = register & (bar.space === 'port' ? ~3 : ~15);
    const base = (low >>> 0) + (bar.wide ? this.read(bar.offset + 4, 4) * 2 ** 32 : 0);
    const end = base + bar.block.length;
    const limit = bar.space === 'port' ? 0x10000 : bar.wide ? 2 ** 52 : 2 ** 32;
    // The topmost address is what sizing leaves behind; below 4 GiB it would hide the reset vector besides.
    return base === 0 || end > limit || end === 2 ** 32 ? undefined : base;
  }

  save(): Plain {
    return { values: this.#values.slice() };
  }

  load(state: Plain, version: number): void {
    this.loadMapped(state, version);
  }

  /** As `load`; returns the changes that bring the bus in line. */
  loadMapped(state: Plain, version: number): readonly BusChange[] {
    const values = new StateFields(this.stateName, state, version, this.stateVersion).exactBytes('values', BYTES);
    this.#values.set(values);
    return this.#remap();
  }
}

function checkLength(what: string, length: number, smallest: number): void {
  if (length < smallest || length > 0x80000000 || !Number.isInteger(Math.log2(length))) throw new Error(`${what} covers ${length} bytes, wanted a power of two from ${smallest}`);
}
