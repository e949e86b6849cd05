import { PAGE_MASK, PAGE_SHIFT } from '../../base/addresses.ts';
import { Decoder } from '../../isa/x86/decode/decoder.ts';
import { implementedFeatures } from '../../isa/x86/features.ts';
import { REC_HANDLER, REC_IMMEDIATE } from '../../isa/x86/decode/record.ts';
import { FLAT_SEGMENTS, MODE, MODE_CODE16, MODE_CODE64, MODE_CODE_MASK, MODE_REAL, MODE_V86 } from '../../isa/x86/state/layout.ts';
import { RAM_BASE } from '../../memory/layout.ts';
import { HANDLER_COUNT } from '../interpreter/handler-places.ts';
import { Interpreter } from '../interpreter/interpreter.ts';
import type { InterpreterCore, InterpreterOptions } from '../interpreter/interpreter.ts';
import type { Tier } from '../interpreter/code-cache.ts';
import { formRegion } from './region.ts';
import type { CodePageView, Region } from './region.ts';
import { RegionModule } from './region-module.ts';
import { Scratch } from './scratch.ts';
import type { Assumptions } from './translator-builder.ts';

/** Executions of a block until it is translated. */
const HOT = 400;
/** Hot blocks that wait for the end of the slice at most; many regions in one module cost less (DESIGN D3). */
const BATCH = 32;
/** Slices that the first of them waits. */
const PATIENCE = 16;
/** How often the threshold of a page doubles when its code keeps being overwritten. */
const MAX_PATIENCE = 16;
const TABLE_GROWTH = 512;
/** REC_HANDLER has 16 bits. */
const TABLE_LIMIT = 65_535;

interface HotBlock {
  /** Host address of the first instruction. */
  readonly host: number;
  readonly mode: number;
  readonly flat: boolean;
}

interface Candidate {
  readonly host: number;
  readonly page: number;
  /** The record that counts the block's executions. */
  readonly record: number;
  readonly region: Region;
  readonly assumptions: Assumptions;
}

/** A vCPU that interprets cold code and translates hot code (DESIGN D3). */
export function createTranslator(options: InterpreterOptions): Interpreter {
  return new Interpreter({ ...options, tier: (core) => new Translator(core) });
}

/** Puts functions for hot regions in the place of the records that count their executions. */
export class Translator implements Tier {
  readonly #core: InterpreterCore;
  readonly #view: DataView;
  readonly #bytes: Uint8Array;
  readonly #decoder = new Decoder(implementedFeatures);
  readonly #fetchBlock: (cpu: number) => number;
  readonly #scratch = new Scratch();
  readonly #waiting: HotBlock[] = [];
  #slices = 0;
  /** Table places that may be filled. */
  readonly #free: number[] = [];
  /** Places of regions that are no longer entered but may still run. */
  readonly #retired: number[] = [];
  /** Table places of the regions in each page. */
  readonly #regions = new Map<number, number[]>();
  readonly #invalidations = new Map<number, number>();
  readonly #counts = { regions: 0, regionsLive: 0, translatedInstructions: 0, translatedBytes: 0, modules: 0 };

  constructor(core: InterpreterCore) {
    this.#core = core;
    this.#view = new DataView(core.memory.buffer);
    this.#bytes = new Uint8Array(core.memory.buffer);
    this.#fetchBlock = core.runtime.bind('fetchBlock');
  }

  threshold(page: number): number {
    return HOT << Math.min(this.#invalidations.get(page) ?? 0, MAX_PATIENCE);
  }

  hot(): void {
    const { cpu } = this.#core;
    const mode = this.#view.getUint32(cpu + MODE, true);
    if ((mode & (MODE_REAL | MODE_V86)) !== 0 || (mode & MODE_CODE_MASK) === MODE_CODE16) return;
    const host = this.#fetchBlock(cpu) >>> 0;
    if (host === 0) return;
    this.#waiting.push({ host, mode, flat: this.#view.getUint32(cpu + FLAT_SEGMENTS, true) !== 0 });
    if (this.#waiting.length >= BATCH) this.#translateNow();
  }

  /** Hot blocks wait for company until the slices or the blocks are enough. */
  translate(): void {
    if (this.#waiting.length === 0 || ++this.#slices < PATIENCE) return;
    this.#translateNow();
  }

  #translateNow(): void {
    this.#slices = 0;
    for (const place of this.#retired.splice(0)) this.#free.push(place);
    const candidates = this.#waiting.splice(0).map((block) => this.#form(block)).filter((candidate) => candidate !== undefined);
    // The largest first: what is part of it needs no region of its own yet.
    candidates.sort((a, b) => b.region.blocks.length - a.region.blocks.length);
    const module = new RegionModule(this.#core, this.#scratch);
    const covered = new Set<number>();
    const chosen: Candidate[] = [];
    for (const candidate of candidates) {
      if (covered.has(candidate.host)) {
        this.#view.setUint32(candidate.record + REC_IMMEDIATE, this.threshold(candidate.page), true);
        continue;
      }
      const pageHost = candidate.host - (candidate.host & PAGE_MASK);
      for (const block of candidate.region.blocks) covered.add(pageHost + block.offset);
      this.#counts.translatedInstructions += module.add(candidate.region, candidate.assumptions);
      chosen.push(candidate);
    }
    if (chosen.length === 0) return;
    const { functions, bytes } = module.instantiate();
    this.#counts.modules++;
    this.#counts.translatedBytes += bytes;
    chosen.forEach(({ record, page }, i) => this.#install(record, page, functions[i]!));
  }

  #form({ host, mode, flat }: HotBlock): Candidate | undefined {
    const cache = this.#core.cache();
    const offset = host & PAGE_MASK;
    const page = (host - RAM_BASE) >>> PAGE_SHIFT;
    const record = cache.recordAt(page, offset, mode);
    // It may have been overwritten meanwhile.
    if (record === undefined || this.#view.getUint16(record + REC_HANDLER, true) !== HANDLER_COUNT) return undefined;
    const long = (mode & MODE_CODE_MASK) === MODE_CODE64;
    const view: CodePageView = {
      bytes: this.#bytes, start: host - offset, codeSize: long ? 64 : 32, executed: (at) => cache.recordAt(page, at, mode) !== undefined,
    };
    const region = formRegion(view, offset, this.#decoder, this.#core.handlers);
    return region.blocks.length === 0 ? undefined : { host, page, record, region, assumptions: { long, flat: !long && flat } };
  }

  #install(record: number, page: number, region: WebAssembly.ExportedFunction): void {
    const { table } = this.#core;
    if (this.#free.length === 0) {
      const length = table.length;
      if (length + TABLE_GROWTH > TABLE_LIMIT) return;
      table.grow(TABLE_GROWTH);
      for (let place = length + TABLE_GROWTH - 1; place >= length; place--) this.#free.push(place);
    }
    const place = this.#free.pop()!;
    table.set(place, region);
    this.#view.setUint16(record + REC_HANDLER, place, true);
    const places = this.#regions.get(page);
    if (places === undefined) this.#regions.set(page, [place]);
    else places.push(place);
    this.#counts.regions++;
    this.#counts.regionsLive++;
  }

  dropped(page: number): void {
    const places = this.#regions.get(page);
    if (places === undefined) return;
    this.#invalidations.set(page, (this.#invalidations.get(page) ?? 0) + 1);
    this.#retire(page, places);
  }
  cleared(): void {
    this.#waiting.length = 0;
    for (const [page, places] of this.#regions) this.#retire(page, places);
  }
  #retire(page: number, places: readonly number[]): void {
    this.#retired.push(...places);
    this.#regions.delete(page);
    this.#counts.regionsLive -= places.length;
  }
  counts(): Readonly<Record<string, number>> {
    return this.#counts;
  }
}
