import type { PhysicalAddress } from '../base/addresses.ts';
import { PAGE_MASK, PAGE_SHIFT, PAGE_SIZE } from '../base/addresses.ts';
import { StateError } from '../base/errors.ts';
import type { Plain, Stateful } from '../base/plain.ts';
import type { GuestMemory } from './guest-memory.ts';
import {
  MACHINE_THREADS, PAGE_FLAGS, PAGE_FLAG_CODE, PAGE_FLAG_COPIED, PAGE_FLAG_TRACK, RAM_BASE, RAM_MAX_BYTES, REGIONS, REGIONS_MAX, REGION_BYTES, REGION_FIRST_PAGE, REGION_HOST, REGION_KIND, REGION_KIND_RAM, REGION_KIND_ROM, REGION_PAGES,
} from './layout.ts';
import { copyFromShared, copyToShared } from './shared-copy.ts';

/** RAM above this goes to 4 GiB and up; the space between belongs to devices. */
export const PCI_HOLE_START = 0xc0000000;
const HIGH_RAM_START = 0x100000000;
const WASM_PAGE = 65536;
/** Bytes up to which a loop copies faster than a view that is made for it. */
const FEW = 32;

interface Region {
  readonly first: PhysicalAddress;
  readonly bytes: number;
  readonly host: number;
  readonly kind: number;
}

/** Storage in the linear memory besides RAM: a ROM image, video memory. */
export interface Storage {
  readonly host: number;
  readonly data: Uint8Array;
}

/**
 * What is seen at a range of physical addresses instead of RAM: storage to read and write, storage that swallows writes
 * (they go to the bus), or the bus. Whole pages.
 */
export type MemoryWindow =
  | { readonly first: PhysicalAddress; readonly bytes: number; readonly kind: 'ram' | 'rom'; readonly host: number }
  | { readonly first: PhysicalAddress; readonly bytes: number; readonly kind: 'bus' };

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
  readonly #ram: readonly Region[];
  /** Windows by their owner, in the order in which they lie over each other. */
  readonly #windows = new Map<object, readonly MemoryWindow[]>();
  readonly #mapChanged: (() => void)[] = [];
  #exclusively = (change: () => void): void => change();
  #regions: readonly Region[] = [];
  /** Where the last address was found: the next one is likely to be there too. */
  #lastFound: Region;
  #written: ((host: number, length: number) => void) | undefined;
  readonly #codeWritten: ((page: number, offset: number, length: number) => void)[] = [];
  #nextHost: number;
  #logging = false;
  readonly #logged: ((on: boolean) => void)[] = [];

  /** `bytes`: guest RAM, a multiple of 4 KiB, 1 MiB to RAM_MAX_BYTES. `storageBytes`: room for `allocate`. */
  constructor(bytes: number, storageBytes = 0) {
    if (bytes % PAGE_SIZE !== 0 || bytes < 0x100000 || bytes + storageBytes > RAM_MAX_BYTES) throw new RangeError(`guest RAM of ${bytes} bytes does not fit`);
    this.bytes = bytes;
    this.lowBytes = Math.min(bytes, PCI_HOLE_START);
    const pages = Math.ceil((RAM_BASE + bytes + storageBytes) / WASM_PAGE);
    this.wasm = new WebAssembly.Memory({ initial: pages, maximum: WASM_PAGE, shared: true });
    this.#bytes = new Uint8Array(this.wasm.buffer);
    this.#words = new Int32Array(this.wasm.buffer);
    this.#halves = new Uint16Array(this.wasm.buffer);
    this.#view = new DataView(this.wasm.buffer);
    const low = { first: 0, bytes: this.lowBytes, host: RAM_BASE, kind: REGION_KIND_RAM };
    const high = { first: HIGH_RAM_START, bytes: bytes - this.lowBytes, host: RAM_BASE + this.lowBytes, kind: REGION_KIND_RAM };
    this.#ram = high.bytes > 0 ? [low, high] : [low];
    this.#lastFound = low;
    this.#nextHost = RAM_BASE + bytes;
    this.#remap();
  }

  /** Takes storage of whole pages out of the room that was asked for. Legal before the engines start. */
  allocate(bytes: number): Storage {
    const host = this.#nextHost;
    if (bytes % PAGE_SIZE !== 0 || host + bytes > this.#bytes.length) throw new RangeError(`storage of ${bytes} bytes does not fit`);
    this.#nextHost += bytes;
    return { host, data: this.#bytes.subarray(host, host + bytes) };
  }

  /** Where the RAM of an address below 3 GiB is kept, whatever window lies over it. */
  ramHost(address: PhysicalAddress): number {
    return RAM_BASE + address;
  }

  /** Replaces the windows of an owner, whatever it is; those of owners that came later lie on top. */
  setWindows(owner: object, windows: readonly MemoryWindow[]): void {
    this.#windows.set(owner, windows);
    let changed = false;
    this.#exclusively(() => {
      changed = this.#remap();
    });
    if (changed) for (const callback of this.#mapChanged) callback();
  }

  /** Has every change of the region table made under a guard: where threads look it up while this one changes it. */
  changeMapUnder(exclusively: (change: () => void) => void): void {
    this.#exclusively = exclusively;
  }

  /** Calls back when addresses have come to mean something else: translations must be forgotten. */
  onMapChanged(callback: () => void): void {
    this.#mapChanged.push(callback);
  }

  /** Calls back for every write by a device or loader into a page that holds decoded code. */
  onCodeWritten(callback: (page: number, offset: number, length: number) => void): void {
    this.#codeWritten.push(callback);
  }

  /** Calls back behind every write by a device or loader: where in the linear memory, how many bytes. For one who keeps a copy. */
  onWritten(callback: (host: number, length: number) => void): void {
    this.#written = callback;
  }

  /** Calls back when processors have to say what they have written, see `Vcpu.logWrites`. */
  onLogged(callback: (on: boolean) => void): void {
    this.#logged.push(callback);
  }

  /** From now on (or no longer) it is known which pages of RAM anybody writes. Legal while no processor executes. Off it costs nothing. */
  logWrites(on: boolean): void {
    for (const callback of this.#logged) callback(on);
    this.#logging = on;
    const flags = this.#pageFlags;
    for (let page = 0; page < flags.length; page++) flags[page] = on ? flags[page]! | PAGE_FLAG_TRACK : flags[page]! & ~PAGE_FLAG_TRACK;
  }

  /** Pages of RAM, counted from its start, that were written since the log began or was taken last, ascending. Legal as `logWrites` is, while the log is on. */
  takeWritten(): number[] {
    if (!this.#logging) throw new Error('no log of writes is kept');
    for (const callback of this.#logged) callback(true);
    const flags = this.#pageFlags;
    const written: number[] = [];
    for (let page = 0; page < flags.length; page++) {
      if ((flags[page]! & PAGE_FLAG_TRACK) !== 0) continue;
      flags[page]! |= PAGE_FLAG_TRACK;
      written.push(page);
    }
    return written;
  }
  /** Of the pages of RAM. */
  get #pageFlags(): Uint8Array {
    return this.#bytes.subarray(PAGE_FLAGS, PAGE_FLAGS + this.bytes / PAGE_SIZE);
  }

  contains(address: PhysicalAddress, length: number): boolean {
    const region = this.#find(address);
    return region !== undefined && region.kind === REGION_KIND_RAM && address - region.first + length <= region.bytes;
  }
  read(address: PhysicalAddress, target: Uint8Array): void {
    const { length } = target;
    if (length <= FEW) {
      const region = this.#find(address);
      if (region !== undefined && address - region.first + length <= region.bytes) {
        const host = region.host + (address - region.first);
        for (let i = 0; i < length; i++) target[i] = this.#bytes[host + i]!;
        return;
      }
    }
    let done = 0;
    while (done < target.length) {
      const region = this.#find(address + done);
      const count = Math.min(target.length - done, region === undefined ? PAGE_SIZE - ((address + done) & PAGE_MASK) : region.bytes - (address + done - region.first));
      if (region === undefined) target.fill(0xff, done, done + count);
      else copyFromShared(this.#bytes, region.host + (address + done - region.first), target, done, count);
      done += count;
    }
  }
  write(address: PhysicalAddress, source: Uint8Array): void {
    let done = 0;
    while (done < source.length) {
      const at = address + done;
      const region = this.#find(at);
      const count = Math.min(source.length - done, PAGE_SIZE - (at & PAGE_MASK));
      if (region !== undefined && region.kind === REGION_KIND_RAM) {
        const host = region.host + (at - region.first);
        this.writeHost(host, source.subarray(done, done + count));
      }
      done += count;
    }
  }
  get storage(): Uint8Array {
    return this.#bytes;
  }
  place(address: PhysicalAddress, length: number): number | undefined {
    return this.contains(address, length) ? this.hostAddress(address) : undefined;
  }
  wrote(address: PhysicalAddress, length: number): void {
    const host = this.hostAddress(address)!;
    for (let at = host; at < host + length; at = (at | PAGE_MASK) + 1) this.#changed(at, Math.min((at | PAGE_MASK) + 1, host + length) - at);
  }
  /** Writes bytes of one page, wherever guests see it (`ramHost`, storage). */
  writeHost(host: number, source: Uint8Array): void {
    copyToShared(source, this.#bytes, host);
    this.#changed(host, source.length);
  }
  #changed(host: number, length: number): void {
    this.#written?.(host, length);
    const page = (host - RAM_BASE) >>> PAGE_SHIFT;
    const flags = this.#flagsOf(page);
    if (flags === 0) return;
    if ((flags & PAGE_FLAG_TRACK) !== 0) Atomics.and(this.#bytes, PAGE_FLAGS + page, ~PAGE_FLAG_TRACK);
    if ((flags & (PAGE_FLAG_CODE | PAGE_FLAG_COPIED)) !== 0) for (const callback of this.#codeWritten) callback(page, host & PAGE_MASK, length);
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
    if (host === undefined) this.write(address, Uint8Array.of(value, value >>> 8));
    else {
      Atomics.store(this.#halves, host, value & 0xffff);
      this.#changed(2 * host, 2);
    }
  }
  /** Index of an aligned half word of RAM. */
  #half(address: PhysicalAddress): number | undefined {
    const region = (address & 1) === 0 ? this.#find(address) : undefined;
    return region?.kind === REGION_KIND_RAM ? (region.host + (address - region.first)) >>> 1 : undefined;
  }
  #flagsOf(page: number): number {
    // Who decodes in another thread sets the flag before it reads: a locked access keeps this look behind the store.
    return this.#words[MACHINE_THREADS >> 2] === 0 ? this.#bytes[PAGE_FLAGS + page]! : Atomics.or(this.#bytes, PAGE_FLAGS + page, 0);
  }
  readU32(address: PhysicalAddress): number {
    const half = (address & 3) === 0 ? this.#half(address) : undefined;
    if (half !== undefined) return this.#words[half >>> 1]! >>> 0;
    const bytes = new Uint8Array(4);
    this.read(address, bytes);
    return new DataView(bytes.buffer).getUint32(0, true);
  }
  writeU32(address: PhysicalAddress, value: number): void {
    const half = (address & 3) === 0 ? this.#half(address) : undefined;
    if (half !== undefined) {
      this.#words[half >>> 1] = value;
      this.#changed(2 * half, 4);
      return;
    }
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setUint32(0, value, true);
    this.write(address, bytes);
  }

  /** Where a byte of RAM or ROM lies in the linear memory; undefined where there is neither. */
  hostAddress(address: PhysicalAddress): number | undefined {
    const region = this.#find(address);
    return region === undefined ? undefined : region.host + (address - region.first);
  }

  /**
   * RAM as runs of pages that are not all zero; offsets count from the start of RAM, the PCI hole left out. The data
   * are RAM itself: good until the guest or a device writes.
   */
  runs(): { offset: number; data: Uint8Array }[] {
    const runs: { offset: number; data: Uint8Array }[] = [];
    for (let page = 0, pages = this.bytes / PAGE_SIZE; page < pages; page++) {
      if (this.#isZero(page)) continue;
      const first = page;
      while (page + 1 < pages && !this.#isZero(page + 1)) page++;
      runs.push({ offset: first * PAGE_SIZE, data: this.view(first * PAGE_SIZE, (page + 1 - first) * PAGE_SIZE) });
    }
    return runs;
  }

  /** Part of RAM itself, counted from its start. Decoded code is not told of writes. */
  view(offset: number, length: number): Uint8Array {
    if (offset < 0 || offset + length > this.bytes) throw new RangeError(`bytes ${offset} to ${offset + length} do not lie in RAM`);
    return this.#bytes.subarray(RAM_BASE + offset, RAM_BASE + offset + length);
  }

  save(): Plain {
    return { bytes: this.bytes, runs: this.runs().map(({ offset, data }) => ({ offset, data: data.slice() })) };
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
    // Whoever keeps a log has to take all of it.
    if (this.#logging) for (let page = 0; page < this.bytes / PAGE_SIZE; page++) Atomics.and(this.#bytes, PAGE_FLAGS + page, ~PAGE_FLAG_TRACK);
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
    // Eight at a time: three times as fast, and a machine that is saved has many of these.
    for (let i = first; i < first + PAGE_SIZE / 4; i += 8) {
      if ((words[i]! | words[i + 1]! | words[i + 2]! | words[i + 3]! | words[i + 4]! | words[i + 5]! | words[i + 6]! | words[i + 7]!) !== 0) return false;
    }
    return true;
  }

  #find(address: PhysicalAddress): Region | undefined {
    const last = this.#lastFound;
    if (address >= last.first && address < last.first + last.bytes) return last;
    for (const region of this.#regions) if (address >= region.first && address < region.first + region.bytes) return (this.#lastFound = region);
    return undefined;
  }

  /** Puts the region table together anew; true when it is another one. */
  #remap(): boolean {
    let regions = [...this.#ram];
    for (const window of [...this.#windows.values()].flat()) {
      regions = regions.flatMap((region) => outside(region, window));
      if (window.kind !== 'bus') regions.push({ first: window.first, bytes: window.bytes, host: window.host, kind: window.kind === 'ram' ? REGION_KIND_RAM : REGION_KIND_ROM });
    }
    regions = joined(regions.sort((a, b) => a.first - b.first));
    if (regions.length > REGIONS_MAX) throw new RangeError('more memory regions than the table has room for');
    const same = regions.length === this.#regions.length && regions.every((region, i) => isSame(region, this.#regions[i]!));
    this.#regions = regions;
    this.#lastFound = regions[0]!;
    this.#view.setUint32(REGIONS, regions.length, true);
    regions.forEach((region, i) => {
      const at = REGIONS + 16 + i * REGION_BYTES;
      this.#view.setUint32(at + REGION_FIRST_PAGE, region.first / PAGE_SIZE, true);
      this.#view.setUint32(at + REGION_PAGES, region.bytes / PAGE_SIZE, true);
      this.#view.setUint32(at + REGION_HOST, region.host, true);
      this.#view.setUint32(at + REGION_KIND, region.kind, true);
    });
    return !same;
  }
}

function isSame(a: Region, b: Region): boolean {
  return a.first === b.first && a.bytes === b.bytes && a.host === b.host && a.kind === b.kind;
}

/** The parts of a region, none to two, that a window leaves uncovered. */
function outside(region: Region, window: MemoryWindow): Region[] {
  const end = region.first + region.bytes;
  const windowEnd = window.first + window.bytes;
  if (windowEnd <= region.first || window.first >= end) return [region];
  const parts: Region[] = [];
  if (window.first > region.first) parts.push({ ...region, bytes: window.first - region.first });
  if (windowEnd < end) parts.push({ ...region, first: windowEnd, bytes: end - windowEnd, host: region.host + (windowEnd - region.first) });
  return parts;
}

/** Neighbours that continue each other become one. */
function joined(sorted: readonly Region[]): Region[] {
  const regions: Region[] = [];
  for (const region of sorted) {
    const last = regions.at(-1);
    if (last !== undefined && last.kind === region.kind && last.first + last.bytes === region.first && last.host + last.bytes === region.host) {
      regions[regions.length - 1] = { ...last, bytes: last.bytes + region.bytes };
    } else regions.push(region);
  }
  return regions;
}
