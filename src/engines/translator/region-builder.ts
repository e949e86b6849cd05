import { PAGE_SIZE } from '../../base/addresses.ts';
import { Decoder } from '../../isa/x86/decode/decoder.ts';
import { implementedFeatures } from '../../isa/x86/features.ts';
import type { HandlerMap } from '../modules.ts';
import { formRegion } from './region.ts';
import type { Callee, Region } from './region.ts';
import { RegionModule } from './region-module.ts';
import { Scratch } from './scratch.ts';

/** A hot block to be translated; plain data, so that another thread can do it. */
export interface RegionRequest {
  /** Address of the vCPU that is to run it. */
  readonly cpu: number;
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
}

export interface BuiltRegion {
  /** Index of the request. */
  readonly request: number;
  /** Offsets of the page's bytes that count: first, end, first, end, ... */
  readonly ranges: readonly number[];
  /** Functions of other pages that are part of it, and their ranges. */
  readonly inlined: readonly { readonly callee: Callee; readonly ranges: readonly number[] }[];
  readonly instructions: number;
  /** Of its function. */
  readonly functionBytes: number;
}

export interface BuildResult {
  /** Exports the regions' functions as r0, r1, ...; undefined when there is none. */
  readonly module: WebAssembly.Module | undefined;
  readonly moduleBytes: number;
  readonly regions: readonly BuiltRegion[];
  /** Indices of requests whose block is part of another's region, which may do for both. */
  readonly covered: readonly number[];
}

/** Makes regions out of hot blocks; `done` is called when the module is there, at once or later. */
export interface RegionCompiler {
  build(requests: readonly RegionRequest[], done: (result: BuildResult) => void): void;
}

/** Translates in the calling thread. */
export class RegionBuilder implements RegionCompiler {
  readonly #decoder = new Decoder(implementedFeatures);
  readonly #scratch = new Scratch();
  readonly #handlers: HandlerMap;
  readonly #maxInstructions: number | undefined;

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
      const { instructions, body } = module.add(region, { cpu: request.cpu, long: request.long, flat: !request.long && request.flat, counters: request.counters });
      regions.push({ request: number, ranges: rangesOf(region, 0), inlined: region.calls.map(({ callee }, i) => ({ callee, ranges: rangesOf(region, i + 1) })), instructions, functionBytes: body.length });
    }
    const wasm = regions.length === 0 ? undefined : module.toBytes();
    done({ module: wasm === undefined ? undefined : new WebAssembly.Module(wasm), moduleBytes: wasm?.length ?? 0, regions, covered });
  }

  #form({ bytes, offset, long, executed, callees }: RegionRequest): Region {
    const page = { bytes, callees, codeSize: long ? 64 as const : 32 as const, executed: (at: number) => at >= 0 && at < PAGE_SIZE && (executed[at >> 3]! & (1 << (at & 7))) !== 0 };
    return formRegion(page, offset, this.#decoder, this.#handlers, this.#maxInstructions);
  }
}

/** Of the region's own page, or of an inlined call: offsets of the first byte and behind the last one of each block. */
function rangesOf(region: Region, inlined: number): number[] {
  return region.blocks.filter((block) => block.inlined === inlined).flatMap((block) => [block.offset, block.next]);
}
