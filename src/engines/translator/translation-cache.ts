import type { TranslationFigures } from '../../cpu/vcpu.ts';
import { REC_HANDLER, REC_IMMEDIATE } from '../../isa/x86/decode/record.ts';
import { HANDLER_COUNT } from '../interpreter/handler-places.ts';

const TABLE_GROWTH = 512;
/** REC_HANDLER has 16 bits. */
const TABLE_LIMIT = 65_535;

/**
 * Resident memory of translated code, which V8 does not tell: for a module and its instance, and for a byte of its
 * WebAssembly (the bytes, V8's tables, machine code of its first and, where hot, its second compiler). An estimate that is
 * still to be fitted to runs of `npm run bench:memory`.
 */
const MODULE_COST = 32 << 10;
const BYTE_COST = 8;

/** Estimated resident bytes of a module of regions. */
export function moduleCost(moduleBytes: number): number {
  return MODULE_COST + BYTE_COST * moduleBytes;
}

/** Translated code that is given up together: what V8 can free. */
interface CachedModule {
  readonly id: number;
  /** For this vCPU. */
  readonly made: boolean;
  readonly cost: number;
  readonly regions: Set<CachedRegion>;
  /** When one of its regions was last known to run. */
  used: number;
}

interface CachedRegion {
  readonly record: number;
  /** The page that it begins in, and those of functions that it has in itself. */
  readonly page: number;
  readonly others: readonly number[];
  readonly place: number;
  readonly module: CachedModule;
  /** Out of its record until it is wanted again. */
  probed: boolean;
}

/** What the cache needs of the vCPU. */
export interface CacheSurroundings {
  readonly view: DataView;
  readonly table: WebAssembly.Table;
  /** A page loses a region; returns executions until its block is hot again. */
  givenUp(page: number): number;
  /** Handlers of first records have changed: the jump caches have to learn them anew. */
  flushJumps(): void;
  /** Nothing of a module is in use any more. */
  released(id: number): void;
}

/**
 * The regions in use, by module, up to a limit of memory. What goes first was used least recently, which is found out
 * without a cost to running code, as operating systems do it for pages: now and then (a census) every region is taken out
 * of its record, and whoever comes to the record puts it back.
 */
export class TranslationCache {
  readonly #surroundings: CacheSurroundings;
  readonly #limit: number;
  readonly #modules = new Set<CachedModule>();
  readonly #byRecord = new Map<number, CachedRegion>();
  readonly #byPage = new Map<number, Set<CachedRegion>>();
  /** Table places that may be filled. */
  readonly #free: number[] = [];
  /** Places of regions that are no longer entered but may still run. */
  readonly #retired: number[] = [];
  #tableFull = false;
  #now = 0;
  #cost = 0;
  #costAtCensus = 0;
  readonly #regions = { made: 0, shared: 0, live: 0, invalidated: 0, evicted: 0 };
  readonly #made = { made: 0, evicted: 0 };
  #peak = 0;

  constructor(limit: number, surroundings: CacheSurroundings) {
    this.#limit = limit;
    this.#surroundings = surroundings;
  }

  has(record: number): boolean {
    return this.#byRecord.has(record);
  }

  /** A module of `moduleBytes` bytes: its regions are added to what is returned. `made`: for this vCPU; else others have it, too. */
  addModule(id: number, moduleBytes: number, made: boolean): CachedModule {
    const module: CachedModule = { id, made, cost: moduleCost(moduleBytes), regions: new Set(), used: ++this.#now };
    this.#modules.add(module);
    this.#cost += module.cost;
    if (made) this.#made.made++;
    return module;
  }

  /** Puts a region in the place of a record; false when the table is full. Behind the last one `flushJumps` is due. */
  addRegion(module: CachedModule, record: number, page: number, others: readonly number[], region: WebAssembly.ExportedFunction): boolean {
    const place = this.#takePlace();
    if (place === undefined) return false;
    const { table, view } = this.#surroundings;
    table.set(place, region);
    view.setUint16(record + REC_HANDLER, place, true);
    const cached: CachedRegion = { record, page, others, place, module, probed: false };
    module.regions.add(cached);
    this.#byRecord.set(record, cached);
    for (const number of [page, ...others]) {
      const ofPage = this.#byPage.get(number);
      if (ofPage === undefined) this.#byPage.set(number, new Set([cached]));
      else ofPage.add(cached);
    }
    this.#regions.made++;
    if (!module.made) this.#regions.shared++;
    this.#regions.live++;
    return true;
  }

  #takePlace(): number | undefined {
    const { table } = this.#surroundings;
    if (this.#free.length === 0) {
      const { length } = table;
      if (length + TABLE_GROWTH > TABLE_LIMIT) {
        this.#tableFull = true;
        return undefined;
      }
      table.grow(TABLE_GROWTH);
      for (let place = length + TABLE_GROWTH - 1; place >= length; place--) this.#free.push(place);
    }
    return this.#free.pop()!;
  }

  /** The block of a record is about to run: true when it has a region, which is in its place again. */
  wanted(record: number): boolean {
    const region = this.#byRecord.get(record);
    if (region === undefined) return false;
    region.probed = false;
    region.module.used = ++this.#now;
    this.#surroundings.view.setUint16(record + REC_HANDLER, region.place, true);
    this.#surroundings.flushJumps();
    return true;
  }

  /** The records of a page have become stale; false when no region was made from them. Behind it `flushJumps` is due. */
  dropPage(page: number): boolean {
    const regions = this.#byPage.get(page);
    if (regions === undefined) return false;
    this.#regions.invalidated += regions.size;
    for (const region of regions) {
      if (region.page !== page) this.#countAgain(region);
      this.#remove(region);
    }
    return true;
  }
  /** The record of a region that is given up counts its executions from the start. */
  #countAgain({ record, page }: CachedRegion): void {
    const { view } = this.#surroundings;
    view.setUint16(record + REC_HANDLER, HANDLER_COUNT, true);
    view.setUint32(record + REC_IMMEDIATE, this.#surroundings.givenUp(page), true);
  }

  /** All records are gone. */
  clear(): void {
    for (const module of this.#modules) for (const region of module.regions) this.#remove(region);
  }

  /** Takes a region out, with its module when it was the last one. */
  #remove(region: CachedRegion): void {
    const { module } = region;
    this.#retired.push(region.place);
    this.#byRecord.delete(region.record);
    for (const number of [region.page, ...region.others]) {
      const ofPage = this.#byPage.get(number)!;
      ofPage.delete(region);
      if (ofPage.size === 0) this.#byPage.delete(number);
    }
    module.regions.delete(region);
    this.#regions.live--;
    if (module.regions.size === 0) this.#removeModule(module);
  }
  #removeModule(module: CachedModule): void {
    if (!this.#modules.delete(module)) return;
    this.#cost -= module.cost;
    this.#surroundings.released(module.id);
  }

  /** Empties the places of regions that are gone, so that V8 frees them. Legal between blocks, as all below. */
  sweep(): void {
    if (this.#retired.length === 0) return;
    for (const place of this.#retired.splice(0)) {
      this.#surroundings.table.set(place, null);
      this.#free.push(place);
    }
  }

  /** Keeps to the limit when modules have come. */
  trim(): void {
    for (const module of this.#modules) if (module.regions.size === 0) this.#removeModule(module);
    this.#peak = Math.max(this.#peak, this.#cost);
    if (this.#cost > this.#limit || this.#tableFull) this.#evict(Math.min(this.#cost, this.#limit) * 7 / 8);
    if (this.#cost > this.#limit / 2 && Math.abs(this.#cost - this.#costAtCensus) > this.#limit / 16) this.#census();
  }

  #census(): void {
    this.#costAtCensus = this.#cost;
    const { view } = this.#surroundings;
    for (const region of this.#byRecord.values()) {
      region.probed = true;
      view.setUint16(region.record + REC_HANDLER, HANDLER_COUNT, true);
      view.setUint32(region.record + REC_IMMEDIATE, 1, true);
    }
    this.#surroundings.flushJumps();
  }

  /** Modules least recently used first, down to `goal` bytes. */
  #evict(goal: number): void {
    for (const module of [...this.#modules].sort((a, b) => a.used - b.used)) {
      if (this.#cost <= goal) break;
      this.#made.evicted++;
      this.#regions.evicted += module.regions.size;
      for (const region of [...module.regions]) {
        this.#countAgain(region);
        this.#remove(region);
      }
    }
    this.#surroundings.flushJumps();
    this.#costAtCensus = this.#cost;
    this.#tableFull = false;
    this.sweep();
  }

  figures(): Pick<TranslationFigures, 'modules' | 'cache'> & { readonly regions: Omit<TranslationFigures['regions'], 'kept'> } {
    return {
      regions: { ...this.#regions },
      modules: { ...this.#made, live: this.#modules.size },
      cache: { limitBytes: this.#limit, bytes: this.#cost, peakBytes: this.#peak },
    };
  }
}
