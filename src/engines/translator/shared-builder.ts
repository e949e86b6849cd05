import { isUnchanged } from './callees.ts';
import type { BuildResult, BuiltModule, BuiltRegion, RegionCompiler, RegionRequest } from './region-builder.ts';
import type { Callee } from './region.ts';

/** A module that somebody has regions of. */
interface SharedModule {
  readonly built: BuiltModule;
  readonly keys: readonly string[];
  /** Answers that it was part of and that nobody has given back. */
  uses: number;
}

/** A region that was made, and what it was made from of its page: the bytes from `start` on. */
interface SharedRegion {
  readonly module: SharedModule;
  readonly region: BuiltRegion;
  readonly bytes: Uint8Array;
  readonly start: number;
}

/**
 * Makes the regions of all vCPUs of a machine. What was made for one of them the others get too, as long as one has it in use:
 * regions of the same module, for which V8 has machine code once.
 */
export class SharedBuilder implements RegionCompiler {
  readonly #builder: RegionCompiler;
  readonly #modules = new Map<number, SharedModule>();
  readonly #regions = new Map<string, SharedRegion[]>();

  constructor(builder: RegionCompiler) {
    this.#builder = builder;
  }

  build(requests: readonly RegionRequest[], done: (result: BuildResult) => void): void {
    const found = new Map<SharedModule, BuiltRegion[]>();
    const missing: number[] = [];
    requests.forEach((request, number) => {
      const known = this.#find(request);
      if (known === undefined) {
        missing.push(number);
        return;
      }
      const { region, module } = known;
      const regions = found.get(module);
      const own = { ...region, request: number, inlined: region.inlined.map((call) => ({ ...call, callee: sameCallee(request, call.callee)! })) };
      if (regions === undefined) found.set(module, [own]);
      else regions.push(own);
    });
    const shared = [...found].map(([module, regions]): BuiltModule => {
      module.uses++;
      return { ...module.built, made: false, bytes: regions.reduce((sum, { functionBytes }) => sum + functionBytes, 0), regions };
    });
    if (missing.length === 0) {
      done({ modules: shared, covered: [] });
      return;
    }
    this.#builder.build(missing.map((number) => requests[number]!), ({ modules, covered }) => {
      const made = modules.map((module) => ({ ...module, regions: module.regions.map((region) => ({ ...region, request: missing[region.request]! })) }));
      for (const module of made) this.#keep(module, requests);
      done({ modules: [...shared, ...made], covered: covered.map((number) => missing[number]!) });
    });
  }

  release(id: number): void {
    const module = this.#modules.get(id);
    if (module === undefined || --module.uses > 0) return;
    this.#modules.delete(id);
    for (const key of module.keys) {
      const others = this.#regions.get(key)!.filter((region) => region.module !== module);
      if (others.length > 0) this.#regions.set(key, others);
      else this.#regions.delete(key);
    }
  }

  /** Modules that can be had. */
  get size(): number {
    return this.#modules.size;
  }

  #find(request: RegionRequest): SharedRegion | undefined {
    // Counters are those of one vCPU.
    if (request.counters !== undefined) return undefined;
    return this.#regions.get(keyOf(request))?.find(({ region, bytes, start }) => isUnchanged(request.bytes, 0, bytes, start, region.ranges) && region.inlined.every(({ callee, ranges }) => {
      const own = sameCallee(request, callee);
      return own !== undefined && isUnchanged(own.bytes, -own.offset, callee.bytes, callee.offset, ranges);
    }));
  }

  #keep(built: BuiltModule, requests: readonly RegionRequest[]): void {
    const sharable = built.regions.filter(({ request }) => requests[request]!.counters === undefined);
    const module: SharedModule = { built, keys: [...new Set(sharable.map(({ request }) => keyOf(requests[request]!)))], uses: 1 };
    this.#modules.set(built.id, module);
    for (const region of sharable) {
      const request = requests[region.request]!;
      const start = Math.min(...region.ranges);
      const shared: SharedRegion = { module, region, bytes: request.bytes.slice(start, Math.max(...region.ranges)), start };
      const key = keyOf(request);
      const others = this.#regions.get(key);
      if (others === undefined) this.#regions.set(key, [shared]);
      else others.push(shared);
    }
  }
}

function keyOf({ page, offset, long, flat }: RegionRequest): string {
  return `${page} ${offset} ${long} ${flat}`;
}

/** The requester's own entry for a function, where it calls the same one. */
function sameCallee(request: RegionRequest, { at, page, offset }: Callee): Callee | undefined {
  return request.callees.find((callee) => callee.at === at && callee.page === page && callee.offset === offset);
}
