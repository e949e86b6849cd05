import { PAGE_SIZE } from '../../base/addresses.ts';
import { Decoder } from '../../isa/x86/decode/decoder.ts';
import { implementedFeatures } from '../../isa/x86/features.ts';
import type { HandlerMap } from '../modules.ts';
import { guessedIn, pieceOf } from './kept-regions.ts';
import type { FoundRegion, KeptRegion, KeptRegions } from './kept-regions.ts';
import { formRegion } from './region.ts';
import type { Callee, Guesses, Region } from './region.ts';
import { buildRegionFunction } from './region-function.ts';
import { RegionModule } from './region-module.ts';
import { Scratch } from './scratch.ts';

/** A hot block to be translated; plain data, so that another thread can do it. */
export interface RegionRequest {
  /** Identity of the page, and its 4096 bytes as they were when it was asked. */
  readonly page: number;
  readonly bytes: Uint8Array;
  /** Of the block in its page. */
  readonly offset: number;
  readonly long: boolean;
  readonly flat: boolean;
  /** Address of counters, when a profile is made. */
  readonly counters?: number | undefined;
  /** One bit for each offset at which a block has begun that was executed. */
  readonly executed: Uint8Array;
  readonly callees: readonly Callee[];
  readonly guesses?: Guesses | undefined;
}

export interface BuiltRegion {
  /** Index of the request. */
  readonly request: number;
  /** N: its module exports its function as rN. */
  readonly exported: number;
  /** Offsets of the page's bytes that count: first, end, first, end, ... */
  readonly ranges: readonly number[];
  /** Functions of other pages that are part of it, their ranges, and which of its module's globals is the vCPU's record of it. */
  readonly inlined: readonly { readonly callee: Callee; readonly ranges: readonly number[]; readonly global: number | undefined }[];
  readonly instructions: number;
  /** It was translated before: only the module is new. */
  readonly kept: boolean;
  /** Of its function. */
  readonly functionBytes: number;
}

export interface BuiltModule {
  /** Names it to `release`. */
  readonly id: number;
  readonly module: WebAssembly.Module;
  /** Size of it, or of what is asked for if others have it already. */
  readonly bytes: number;
  /** Globals that an instance is given: `callees` 0, 1, ... */
  readonly globals: number;
  /** It was made for these requests; else others have it already. */
  readonly made: boolean;
  /** Those that were asked for. */
  readonly regions: readonly BuiltRegion[];
}

export interface BuildResult {
  readonly modules: readonly BuiltModule[];
  /** Indices of requests whose block is part of another's region, which may do for both. */
  readonly covered: readonly number[];
}

/** Makes regions out of hot blocks; `done` is called when they are there, at once or later. */
export interface RegionCompiler {
  build(requests: readonly RegionRequest[], done: (result: BuildResult) => void): void;
  /** Calls `done` for what is there, where the host can look for it without a turn of the event loop. */
  poll?(): void;
  /** Nothing of a module is in use any more; once for each time that it was part of a result. */
  release?(id: number): void;
}

/** A region for a request. */
interface Answer extends FoundRegion {
  readonly request: number;
  readonly kept: boolean;
}

/** Translates in the calling thread. */
export class RegionBuilder implements RegionCompiler {
  readonly #decoder = new Decoder(implementedFeatures);
  readonly #scratch = new Scratch();
  readonly #handlers: HandlerMap;
  readonly #kept: KeptRegions | undefined;
  readonly #maxInstructions: number | undefined;
  #modules = 0;

  /** `maxInstructions`: of a region; fewer than usual to find out which one is translated wrongly. `kept`: regions that were made before. */
  constructor(handlers: HandlerMap, maxInstructions?: number, kept?: KeptRegions) {
    this.#handlers = handlers;
    this.#kept = kept;
    this.#maxInstructions = maxInstructions;
  }

  build(requests: readonly RegionRequest[], done: (result: BuildResult) => void): void {
    const module = new RegionModule();
    const covered: number[] = [];
    const regions: BuiltRegion[] = [];
    const blocks = new Set<string>();
    const keyOf = ({ page, long }: RegionRequest, offset: number): string => `${page} ${offset} ${long}`;
    /** A block that is part of another's region needs no region of its own yet. */
    const isCovered = (number: number): boolean => {
      const request = requests[number]!;
      if (!blocks.has(keyOf(request, request.offset))) return false;
      covered.push(number);
      return true;
    };
    const add = ({ request: number, region, callees, kept }: Answer): void => {
      const request = requests[number]!;
      for (let k = 0; k < region.ranges.length; k += 2) blocks.add(keyOf(request, region.ranges[k]!));
      const globals = module.add(region.code, (place) => valueAt(place, request, callees));
      const inlined = region.inlined.map(({ ranges }, i) => ({ callee: callees[i]!, ranges, global: globals[i] }));
      regions.push({ request: number, exported: regions.length, ranges: region.ranges, inlined, instructions: region.instructions, kept, functionBytes: region.code.bytes.length });
    };
    const found: Answer[] = [];
    const missing: number[] = [];
    requests.forEach((request, number) => {
      const kept = this.#kept?.find(request);
      if (kept === undefined) missing.push(number);
      else found.push({ request: number, ...kept, kept: true });
    });
    // The largest first, so that what is part of it is covered.
    for (const answer of found.sort((a, b) => b.region.ranges.length - a.region.ranges.length)) if (!isCovered(answer.request)) add(answer);
    const formed = missing.filter((number) => !isCovered(number)).map((number) => ({ number, region: this.#form(requests[number]!) }));
    for (const { number, region } of formed.sort((a, b) => b.region.blocks.length - a.region.blocks.length)) {
      if (region.blocks.length > 0 && !isCovered(number)) add({ request: number, ...this.#translate(requests[number]!, region), kept: false });
    }
    if (regions.length === 0) {
      done({ modules: [], covered });
      return;
    }
    const wasm = module.toBytes();
    done({ modules: [{ id: this.#modules++, module: new WebAssembly.Module(wasm), bytes: wasm.length, globals: module.calleeRecords, made: true, regions }], covered });
  }

  #form({ bytes, offset, long, executed, callees, guesses }: RegionRequest): Region {
    const page = { bytes, callees, guesses, codeSize: long ? 64 as const : 32 as const, executed: (at: number) => at >= 0 && at < PAGE_SIZE && (executed[at >> 3]! & (1 << (at & 7))) !== 0 };
    return formRegion(page, offset, this.#decoder, this.#handlers, this.#maxInstructions);
  }

  #translate(request: RegionRequest, formed: Region): FoundRegion {
    const { offset, long, flat, counters, bytes } = request;
    const { code, instructions, ends } = buildRegionFunction(formed, { long, flat: !long && flat, counters }, this.#scratch);
    const callees = formed.calls.map(({ callee }) => callee);
    const inlined = callees.map((callee, i) => ({ at: callee.at, offset: callee.offset, ...pieceOf(callee.bytes, callee.offset, rangesOf(formed, ends, i + 1)) }));
    const ranges = rangesOf(formed, ends, 0);
    const region: KeptRegion = { offset, long, flat, ...pieceOf(bytes, 0, ranges), inlined, guessed: guessedIn(request, ranges), instructions, code };
    this.#kept?.keep(request, region);
    return { region, callees };
  }
}

/** Of the region's own page, or of an inlined call: offsets of the first byte and behind the last one of each block that is part of it. */
function rangesOf(region: Region, ends: readonly (number | undefined)[], inlined: number): number[] {
  return region.blocks.flatMap((block, i) => (block.inlined === inlined && ends[i] !== undefined ? [block.offset, ends[i]] : []));
}

/** The four bytes at a place of the guest code that a region is made of. */
function valueAt(place: number, request: RegionRequest, callees: readonly Callee[]): number {
  const callee = place < PAGE_SIZE ? undefined : callees[Math.floor(place / PAGE_SIZE) - 1]!;
  const [bytes, at] = callee === undefined ? [request.bytes, place] : [callee.bytes, place % PAGE_SIZE - callee.offset];
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
}
