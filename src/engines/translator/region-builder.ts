import { PAGE_SIZE } from '../../base/addresses.ts';
import { Decoder } from '../../isa/x86/decode/decoder.ts';
import { implementedFeatures } from '../../isa/x86/features.ts';
import type { HandlerMap } from '../modules.ts';
import { formRegion } from './region.ts';
import type { Callee, Guesses, Region } from './region.ts';
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

/** Translates in the calling thread. */
export class RegionBuilder implements RegionCompiler {
  readonly #decoder = new Decoder(implementedFeatures);
  readonly #scratch = new Scratch();
  readonly #handlers: HandlerMap;
  readonly #maxInstructions: number | undefined;
  #modules = 0;

  /** `maxInstructions`: of a region; fewer than usual to find out which one is translated wrongly. */
  constructor(handlers: HandlerMap, maxInstructions?: number) {
    this.#handlers = handlers;
    this.#maxInstructions = maxInstructions;
  }

  build(requests: readonly RegionRequest[], done: (result: BuildResult) => void): void {
    const candidates = requests.map((request, number) => ({ request, number, region: this.#form(request) })).filter(({ region }) => region.blocks.length > 0);
    // The largest first: what is part of it needs no region of its own yet.
    candidates.sort((a, b) => b.region.blocks.length - a.region.blocks.length);
    const module = new RegionModule(this.#scratch);
    const covered: number[] = [];
    const regions: BuiltRegion[] = [];
    const blocks = new Set<string>();
    for (const { request, number, region } of candidates) {
      const key = (offset: number): string => `${request.page} ${offset} ${request.long}`;
      if (blocks.has(key(request.offset))) {
        covered.push(number);
        continue;
      }
      for (const block of region.blocks) if (block.inlined === 0) blocks.add(key(block.offset));
      const { instructions, body, calleeRecords } = module.add(region, { long: request.long, flat: !request.long && request.flat, counters: request.counters });
      const inlined = region.calls.map(({ callee }, i) => ({ callee, ranges: rangesOf(region, i + 1), global: calleeRecords[i] }));
      regions.push({ request: number, exported: regions.length, ranges: rangesOf(region, 0), inlined, instructions, functionBytes: body.length });
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
}

/** Of the region's own page, or of an inlined call: offsets of the first byte and behind the last one of each block. */
function rangesOf(region: Region, inlined: number): number[] {
  return region.blocks.filter((block) => block.inlined === inlined).flatMap((block) => [block.offset, block.next]);
}
