import type { AccessSize } from '../../base/addresses.ts';
import type { Plain, Stateful } from '../../base/plain.ts';
import type { GuestMemory } from '../../memory/guest-memory.ts';
import type { RegisterBlock } from '../../wiring/register-block.ts';
import { StateFields } from '../state-fields.ts';

// The firmware configuration device, as QEMU's documentation specifies it (docs/specs/fw_cfg): numbered items that
// firmware reads, byte by byte or by DMA. Items from FILES up are files, named by a directory item.

const SIGNATURE = 0x0000;
const INTERFACES = 0x0001;
const DIRECTORY = 0x0019;
const FILES = 0x0020;
const NAME_BYTES = 56;
const INTERFACE_PORTS = 1;
const INTERFACE_DMA = 2;

const DMA_ERROR = 1;
const DMA_READ = 2;
const DMA_SKIP = 4;
const DMA_SELECT = 8;
const DMA_WRITE = 16;
/** What the DMA address register reads as: "QEMU CFG". */
const DMA_SIGNATURE = [0x51, 0x45, 0x4d, 0x55, 0x20, 0x43, 0x46, 0x47] as const;
/** Where RAM is that has no room below the PCI hole. */
const HIGH_RAM = 2 ** 32;
const ZEROS = new Uint8Array(65536);

export interface FwCfgContents {
  /** Items by their number. */
  readonly items: ReadonlyMap<number, Uint8Array>;
  /** Files by their name. */
  readonly files: ReadonlyMap<string, Uint8Array>;
}

/** Ports 510h (selector, 16 bits), 511h (data) and 514h to 51Bh (DMA address, big-endian). All items are read-only. */
export class FwCfg implements RegisterBlock, Stateful {
  readonly name = 'fw-cfg';
  readonly length = 12;
  readonly stateName = 'fw-cfg';
  readonly stateVersion = 1;
  readonly #memory: GuestMemory;
  readonly #items = new Map<number, Uint8Array>();
  #selector = 0;
  #offset = 0;
  /** High half of the DMA address, waiting for the low one. */
  #dmaHigh = 0;

  constructor(memory: GuestMemory, contents: FwCfgContents) {
    this.#memory = memory;
    this.provide(contents);
  }

  /** Replaces everything that firmware may read. */
  provide(contents: FwCfgContents): void {
    this.#items.clear();
    for (const [key, data] of contents.items) this.#items.set(key, data);
    this.#items.set(SIGNATURE, ascii('QEMU', 4));
    this.#items.set(INTERFACES, Uint8Array.of(INTERFACE_PORTS | INTERFACE_DMA, 0, 0, 0));
    const files = [...contents.files].sort(([a], [b]) => (a < b ? -1 : 1));
    files.forEach(([, data], i) => this.#items.set(FILES + i, data));
    this.#items.set(DIRECTORY, directory(files));
  }

  reset(): void {
    this.#selector = this.#offset = this.#dmaHigh = 0;
  }

  read(offset: number, size: AccessSize): number {
    if (offset === 1 && size === 1) return this.#next();
    let value = 0;
    for (let i = 0; i < size; i++) value |= (offset + i >= 4 ? DMA_SIGNATURE[offset + i - 4]! : 0) << (8 * i);
    return value >>> 0;
  }

  write(offset: number, size: AccessSize, value: number): void {
    if (offset === 0 && size === 2) this.#select(value & 0xffff);
    else if (offset === 4 && size === 4) this.#dmaHigh = swap(value);
    else if (offset === 8 && size === 4) {
      const address = this.#dmaHigh * 2 ** 32 + swap(value);
      this.#dmaHigh = 0;
      this.#transfer(address);
    }
  }

  #select(key: number): void {
    this.#selector = key;
    this.#offset = 0;
  }

  /** Behind an item's end, and in items that are not there, all is zero. */
  #next(): number {
    return this.#items.get(this.#selector)?.[this.#offset++] ?? 0;
  }

  /** Control (selector in its upper half), length and address, big-endian; the control word takes the result. */
  #transfer(descriptor: number): void {
    const bytes = new Uint8Array(16);
    this.#memory.read(descriptor, bytes);
    const view = new DataView(bytes.buffer);
    const control = view.getUint32(0);
    const length = view.getUint32(4);
    const address = view.getUint32(8) * 2 ** 32 + view.getUint32(12);
    if (control & DMA_SELECT) this.#select(control >>> 16);
    if (control & DMA_READ) this.#copy(address, length);
    else if (control & DMA_SKIP) this.#offset += length;
    view.setUint32(0, (control & (DMA_READ | DMA_SKIP)) === 0 && control & DMA_WRITE ? DMA_ERROR : 0);
    this.#memory.write(descriptor, bytes.subarray(0, 4));
  }

  #copy(address: number, length: number): void {
    const item = this.#items.get(this.#selector) ?? new Uint8Array(0);
    const data = item.subarray(this.#offset, this.#offset + length);
    this.#memory.write(address, data);
    this.#clear(address + data.length, address + length);
    this.#offset += length;
  }

  /** Only where there is RAM: a guest may ask for 4 GiB of zeros. */
  #clear(from: number, to: number): void {
    const { bytes, lowBytes } = this.#memory;
    for (const [first, end] of [[0, lowBytes], [HIGH_RAM, HIGH_RAM + bytes - lowBytes]] as const) {
      const last = Math.min(to, end);
      for (let at = Math.max(from, first); at < last; at += ZEROS.length) this.#memory.write(at, ZEROS.subarray(0, Math.min(ZEROS.length, last - at)));
    }
  }

  save(): Plain {
    return { selector: this.#selector, offset: this.#offset, dmaHigh: this.#dmaHigh };
  }

  load(state: Plain, version: number): void {
    const fields = new StateFields(this.stateName, state, version, this.stateVersion);
    const selector = fields.integer('selector', 0xffff);
    const offset = fields.integer('offset', Number.MAX_SAFE_INTEGER);
    this.#dmaHigh = fields.integer('dmaHigh', 0xffffffff);
    this.#selector = selector;
    this.#offset = offset;
  }
}

function swap(value: number): number {
  return ((value << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | (value >>> 24)) >>> 0;
}

function ascii(text: string, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => text.charCodeAt(i) || 0);
}

/** Number of files, then for each its size, its item's number and its name; big-endian. */
function directory(files: readonly (readonly [string, Uint8Array])[]): Uint8Array {
  const bytes = new Uint8Array(4 + 64 * files.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, files.length);
  files.forEach(([name, data], i) => {
    const at = 4 + 64 * i;
    view.setUint32(at, data.length);
    view.setUint16(at + 4, FILES + i);
    bytes.set(ascii(name.slice(0, NAME_BYTES - 1), NAME_BYTES), at + 8);
  });
  return bytes;
}
