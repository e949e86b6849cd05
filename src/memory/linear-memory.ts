import type { PhysicalAddress } from '../base/addresses.ts';
import { PAGE_MASK, PAGE_SHIFT, PAGE_SIZE } from '../base/addresses.ts';
import { StateError } from '../base/errors.ts';
import type { Plain, Stateful } from '../base/plain.ts';
import type { GuestMemory } from './guest-memory.ts';
import {
  PAGE_FLAGS, PAGE_FLAG_CODE, RAM_BASE, RAM_MAX_BYTES, REGIONS, REGION_BYTES, REGION_FIRST_PAGE, REGION_HOST, REGION_KIND, REGION_KIND_RAM, REGION_KIND_ROM, REGION_PAGES,
} from './layout.ts';

/** RAM above this goes to 4 GiB and up; the space between belongs to devices. */
export const PCI_HOLE_START = 0xc0000000;
const HIGH_RAM_START = 0x100000000;
const WASM_PAGE = 65536;

interface Region {
  readonly first: PhysicalAddress;
  readonly bytes: number;
  readonly host: number;
  readonly kind: number;
}

/**
 * The one linear memory of a machine (DESIGN D1): engine state below, RAM and ROM from RAM_BASE. Devices see it as
 * GuestMemory; engines find RAM through the region table inside it.
 */
export class LinearMemory implements GuestMemory, Stateful {
  readonly stateName = 'ram';
  readonly stateVersion = 1;
  readonly bytes: number;
  readonly lowBytes: number;
  readonly wasm: WebAssembly.Memory;
  readonly #bytes: Uint8Array;
  readonly #words: Int32Array;
  readonly #halves: Uint16Array;
  readonly #view: DataView;
  readonly #regions: Region[] = [];
  readonly #codeWritten: ((page: number, offset: number, length: number) => void)[] = [];
  #nextHost = RAM_BASE;

  /** `bytes`: guest RAM, a multiple of 4 KiB, 1 MiB to RAM_MAX_BYTES. `romBytes`: room for ROM images behind it. */
  constructor(bytes: number, romBytes = 0) {
    if (bytes % PAGE_SIZE !== 0 || bytes < 0x100000 || bytes + romBytes > RAM_MAX_BYTES) throw new RangeError(`guest RAM of ${bytes} bytes does not fit`);
    this.bytes = bytes;
    this.lowBytes = Math.min(bytes, PCI_HOLE_START);
    const pages = Math.ceil((RAM_BASE + bytes + romBytes) / WASM_PAGE);
    this.wasm = new WebAssembly.Memory({ initial: pages, maximum: WASM_PAGE, shared: true });
    this.#bytes = new Uint8Array(this.wasm.buffer);
    this.#words = new Int32Array(this.wasm.buffer);
    this.#halves = new Uint16Array(this.wasm.buffer);
    this.#view = new DataView(this.wasm.buffer);
    this.#addRegion(0, this.lowBytes, REGION_KIND_RAM);
    if (bytes > this.lowBytes) this.#addRegion(HIGH_RAM_START, bytes - this.lowBytes, REGION_KIND_RAM);
  }

  /** Maps a ROM image (a multiple of 4 KiB) at a physical address. Legal before the engines start. */
  addRom(first: PhysicalAddress, image: Uint8Array): void {
    const region = this.#addRegion(first, image.length, REGION_KIND_ROM);
    this.#bytes.set(image, region.host);
  }

  /** Calls back for every write by a device or loader into a page that holds decoded code. */
  onCodeWritten(callback: (page: number, offset: number, length: number) => void): void {
    this.#codeWritten.push(callback);
  }

  contains(address: PhysicalAddress, length: number): boolean {
    const region = this.#find(address);
    return region !== undefined && region.kind === REGION_KIND_RAM && address - region.first + length <= region.bytes;
  }
  read(address: PhysicalAddress, target: Uint8Array): void {
    let done = 0;
    while (done < target.length) {
      const region = this.#find(address + done);
      const count = Math.min(target.length - done, region === undefined ? PAGE_SIZE - ((address + done) & PAGE_MASK) : region.bytes - (address + done - region.first));
      if (region === undefined) target.fill(0xff, done, done + count);
      else {
        const host = region.host + (address + done - region.first);
        target.set(this.#bytes.subarray(host, host + count), done);
      }
      done += count;
    }
  }
  write(address: PhysicalAddress, source: Uint8Array): void {
    let done = 0;
    while (done < source.length) {
      const at = address + done;
      const region = this.#find(at);
      const count = Math.min(source.length - done, PAGE_SIZE - (at % PAGE_SIZE));
      if (region !== undefined && region.kind === REGION_KIND_RAM) {
        const host = region.host + (at - region.first);
        this.#bytes.set(source.subarray(done, done + count), host);
        const page = (host - RAM_BASE) >>> PAGE_SHIFT;
        if (this.#holdsCode(host)) for (const callback of this.#codeWritten) callback(page, host & PAGE_MASK, count);
      }
      done += count;
    }
  }
  readU16(address: PhysicalAddress): number {
    const host = this.#half(address);
    if (host !== undefined) return Atomics.load(this.#halves, host);
    const bytes = new Uint8Array(2);
    this.read(address, bytes);
    return bytes[0]! | (bytes[1]! << 8);
  }
  writeU16(address: PhysicalAddress, value: number): void {
    const host = this.#half(address);
    if (host === undefined || this.#holdsCode(2 * host)) this.write(address, Uint8Array.of(value, value >>> 8));
    else Atomics.store(this.#halves, host, value & 0xffff);
  }
  /** Index of an aligned half word of RAM. */
  #half(address: PhysicalAddress): number | undefined {
    const region = address % 2 === 0 ? this.#find(address) : undefined;
    return region?.kind === REGION_KIND_RAM ? (region.host + (address - region.first)) / 2 : undefined;
  }
  #holdsCode(host: number): boolean {
    return (this.#bytes[PAGE_FLAGS + ((host - RAM_BASE) >>> PAGE_SHIFT)]! & PAGE_FLAG_CODE) !== 0;
  }
  readU32(address: PhysicalAddress): number {
    const bytes = new Uint8Array(4);
    this.read(address, bytes);
    return new DataView(bytes.buffer).getUint32(0, true);
  }
  writeU32(address: PhysicalAddress, value: number): void {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setUint32(0, value, true);
    this.write(address, bytes);
  }

  /** Where a byte of RAM or ROM lies in the linear memory; undefined where there is neither. */
  hostAddress(address: PhysicalAddress): number | undefined {
    const region = this.#find(address);
    return region === undefined ? undefined : region.host + (address - region.first);
  }

  /** RAM as runs of pages that are not all zero; offsets count from the start of RAM, the PCI hole left out. */
  save(): Plain {
    const runs: { offset: number; data: Uint8Array }[] = [];
    for (let page = 0, pages = this.bytes / PAGE_SIZE; page < pages; page++) {
      if (this.#isZero(page)) continue;
      const first = page;
      while (page + 1 < pages && !this.#isZero(page + 1)) page++;
      runs.push({ offset: first * PAGE_SIZE, data: this.#bytes.slice(RAM_BASE + first * PAGE_SIZE, RAM_BASE + (page + 1) * PAGE_SIZE) });
    }
    return { bytes: this.bytes, runs };
  }

  /** Decoded code is not told: legal when the engines load their state after it, which drops what they have decoded. */
  load(state: Plain, version: number): void {
    if (version !== 1) throw new StateError(`ram: state version ${version} is unknown, expected 1`);
    const stored = state as { readonly bytes?: Plain; readonly runs?: Plain } | null;
    if (stored?.bytes !== this.bytes) throw new StateError(`ram: the stored machine has ${String(stored?.bytes)} bytes, this one ${this.bytes}`);
    if (!Array.isArray(stored.runs)) throw new StateError('ram: field runs must be a list');
    const runs = stored.runs.map((run: Plain) => this.#checkRun(run));
    for (let page = 0; page < this.bytes / PAGE_SIZE; page++) {
      // Pages that are zero already stay untouched: the host need not back them.
      if (!this.#isZero(page)) this.#bytes.fill(0, RAM_BASE + page * PAGE_SIZE, RAM_BASE + (page + 1) * PAGE_SIZE);
    }
    for (const { offset, data } of runs) this.#bytes.set(data, RAM_BASE + offset);
  }

  #checkRun(run: Plain): { offset: number; data: Uint8Array } {
    const { offset, data } = (run ?? {}) as { readonly offset?: Plain; readonly data?: Plain };
    if (typeof offset !== 'number' || !Number.isInteger(offset) || offset < 0 || !(data instanceof Uint8Array) || offset + data.length > this.bytes) {
      throw new StateError('ram: a stored run of pages does not lie in RAM');
    }
    return { offset, data };
  }

  #isZero(page: number): boolean {
    const words = this.#words;
    const first = (RAM_BASE + page * PAGE_SIZE) >>> 2;
    for (let i = first; i < first + PAGE_SIZE / 4; i++) if (words[i] !== 0) return false;
    return true;
  }

  #find(address: PhysicalAddress): Region | undefined {
    return this.#regions.find((region) => address >= region.first && address < region.first + region.bytes);
  }

  #addRegion(first: PhysicalAddress, bytes: number, kind: number): Region {
    const region = { first, bytes, host: this.#nextHost, kind };
    const at = REGIONS + 16 + this.#regions.length * REGION_BYTES;
    this.#regions.push(region);
    this.#view.setUint32(REGIONS, this.#regions.length, true);
    this.#view.setUint32(at + REGION_FIRST_PAGE, first / PAGE_SIZE, true);
    this.#view.setUint32(at + REGION_PAGES, bytes / PAGE_SIZE, true);
    this.#view.setUint32(at + REGION_HOST, region.host, true);
    this.#view.setUint32(at + REGION_KIND, kind, true);
    this.#nextHost += bytes;
    return region;
  }
}
