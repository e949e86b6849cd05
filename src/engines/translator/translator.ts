import { PAGE_MASK, PAGE_SIZE } from '../../base/addresses.ts';
import type { TranslationFigures } from '../../cpu/vcpu.ts';
import type { MonotonicClock } from '../../host/clock.ts';
import { REC_HANDLER, REC_IMMEDIATE, REC_LOOKED_AT } from '../../isa/x86/decode/record.ts';
import { CPL, FLAT_SEGMENTS, MODE, MODE_CODE16, MODE_CODE64, MODE_CODE_MASK, MODE_REAL, MODE_V86, RECORD, RIP } from '../../isa/x86/state/layout.ts';
import type { Profiler } from '../profile/profiler.ts';
import { HANDLER_COUNT } from '../interpreter/handler-places.ts';
import { Interpreter } from '../interpreter/interpreter.ts';
import type { InterpreterCore, InterpreterOptions } from '../interpreter/interpreter.ts';
import type { Tier } from '../interpreter/code-cache.ts';
import { Pauses } from './pauses.ts';
import { CallGuesses } from './call-guesses.ts';
import { CalleeFinder, isUnchanged, pageOf } from './callees.ts';
import type { CalleeCode, FoundCallee } from './callees.ts';
import type { BuildResult, BuiltModule, RegionCompiler, RegionRequest } from './region-builder.ts';
import { TranslationCache } from './translation-cache.ts';

/** Regions of one module: many in one cost less (DESIGN D3), but the first of them waits for the last. */
const BATCH = 64;
/** Blocks that are executed so many times less than the hottest wait for the next batch: a loop is not to wait for a program's start. */
const COOLER = 16;
/** Slices from one look for what is finished to the next: a look takes 2 us, of a slice's 100. */
const LOOK_EVERY = 4;
/** Executions until hot from which on blocks are looked at before, and when: after an eighth of them. */
const LOOKS_FROM = 64;
const LOOK_SHIFT = 3;
/** Slices after which a page's code may be translated twice as soon again: it no longer changes as often. */
const FORGIVING_SLICES = 4096;

/** Bound on translated code, in bytes of memory that it takes, unless the options say. */
export const DEFAULT_CACHE_BYTES = 128 << 20;

/** When code is translated. */
export interface TranslatorTuning {
  /** Executions of a block until it is hot. */
  readonly hot: number;
  /** Slices that a hot block waits for company; 0: it is translated at once. */
  readonly wait: number;
  /** How often the threshold of a page doubles at most when its code keeps being overwritten. */
  readonly doublings: number;
}

export const DEFAULT_TUNING: TranslatorTuning = { hot: 2000, wait: 8, doublings: 16 };

export interface TranslatorOptions extends InterpreterOptions {
  /** Where regions are made. What makes them is large, and loaded only where that is. */
  readonly compiler: RegionCompiler;
  readonly tuning?: TranslatorTuning;
  /** Bound on translated code, in bytes of memory that it takes. */
  readonly cacheBytes?: number;
  /** For measuring pauses. */
  readonly clock?: MonotonicClock;
}

/** How often a page's code has been given up, and when last. */
interface Restlessness {
  times: number;
  slice: number;
}

interface HotBlock {
  /** Host address of the first instruction. */
  readonly host: number;
  readonly mode: number;
  readonly flat: boolean;
  readonly rip: bigint;
  readonly user: boolean;
  /** Segments do not count in its addresses. */
  readonly linear: boolean;
  /** Functions of other pages that its page calls. */
  readonly callees: readonly FoundCallee[];
  /** When a profile is made, its counters once it has some. */
  counters?: number | undefined;
}

/** A vCPU that interprets cold code and translates hot code (DESIGN D3). */
export function createTranslator(options: TranslatorOptions): Interpreter {
  return new Interpreter({ ...options, tier: (core) => new Translator(core, options) });
}

/** Puts functions for hot regions in the place of the records that count their executions. */
export class Translator implements Tier {
  readonly #core: InterpreterCore;
  readonly #compiler: RegionCompiler;
  readonly #tuning: TranslatorTuning;
  readonly #cache: TranslationCache;
  readonly #view: DataView;
  readonly #bytes: Uint8Array;
  readonly #fetchBlock: (cpu: number) => number;
  readonly #callees: CalleeFinder;
  readonly #guesses: CallGuesses;
  readonly #flushJumps: () => void;
  readonly #waiting: HotBlock[] = [];
  /** Slices ever, and since the last batch. */
  #slice = 0;
  #slices = 0;
  #busy = false;
  /** Modules that are ready to be put in place between blocks. */
  readonly #ready: { readonly result: BuildResult; readonly requests: readonly RegionRequest[]; readonly blocks: readonly HotBlock[] }[] = [];
  readonly #restless = new Map<number, Restlessness>();
  readonly #pauses = new Pauses();
  readonly #clock: MonotonicClock | undefined;
  readonly #profiler: Profiler | undefined;
  #instructions = 0;
  #kept = 0;
  #wasmBytes = 0;

  constructor(core: InterpreterCore, options: Pick<TranslatorOptions, 'modules' | 'compiler' | 'tuning' | 'cacheBytes' | 'clock' | 'profiler'>) {
    this.#core = core;
    this.#compiler = options.compiler;
    this.#tuning = options.tuning ?? DEFAULT_TUNING;
    this.#clock = options.clock;
    this.#profiler = options.profiler;
    this.#view = new DataView(core.memory.buffer);
    this.#flushJumps = () => void core.runtime.call('flushJumpCaches');
    this.#cache = new TranslationCache(options.cacheBytes ?? DEFAULT_CACHE_BYTES, {
      view: this.#view, table: core.table, givenUp: (page) => this.#giveUp(page), flushJumps: this.#flushJumps, released: (id) => this.#compiler.release?.(id),
    });
    this.#bytes = new Uint8Array(core.memory.buffer);
    this.#fetchBlock = core.runtime.bind('fetchBlock');
    this.#callees = new CalleeFinder(core);
    this.#guesses = new CallGuesses(core);
  }

  /** When a block has been executed an eighth as often as makes it hot, only who called it is looked at: in time for its callers' regions. */
  threshold(page: number): number {
    const executions = this.#untilHot(page);
    return executions < LOOKS_FROM ? executions : executions >>> LOOK_SHIFT;
  }
  #untilHot(page: number): number {
    return this.#tuning.hot << Math.min(this.#timesGivenUp(page), this.#tuning.doublings);
  }

  /** How often the page's translations were given up, less what is forgiven by now. */
  #timesGivenUp(page: number): number {
    const restless = this.#restless.get(page);
    if (restless === undefined) return 0;
    const forgiven = Math.floor((this.#slice - restless.slice) / FORGIVING_SLICES);
    if (forgiven < restless.times) return restless.times - forgiven;
    this.#restless.delete(page);
    return 0;
  }

  hot(): void {
    const { cpu } = this.#core;
    const record = this.#view.getUint32(cpu + RECORD, true);
    if (this.#cache.wanted(record)) return;
    const mode = this.#view.getUint32(cpu + MODE, true);
    if ((mode & (MODE_REAL | MODE_V86)) !== 0 || (mode & MODE_CODE_MASK) === MODE_CODE16) return;
    const host = this.#fetchBlock(cpu) >>> 0;
    if (host === 0) return;
    const flat = this.#view.getUint32(cpu + FLAT_SEGMENTS, true) !== 0;
    const rip = this.#view.getBigUint64(cpu + RIP, true);
    const user = this.#view.getUint32(cpu + CPL, true) === 3;
    const long = (mode & MODE_CODE_MASK) === MODE_CODE64;
    const linear = flat || long;
    if (linear) this.#guesses.note(rip, long);
    if (this.#isOnlyWarm(record, pageOf(host))) return;
    const callees = linear ? this.#callees.find(rip - BigInt(host & PAGE_MASK), mode, user, this.#core.cache().outgoing(pageOf(host))) : [];
    this.#waiting.push({ host, mode, flat, rip, user, linear, callees });
    if (this.#waiting.length >= BATCH || this.#tuning.wait === 0) this.translate();
  }

  /** The block has been looked at for the first time, and goes on being counted. */
  #isOnlyWarm(record: number, page: number): boolean {
    if (this.#view.getUint16(record + REC_LOOKED_AT, true) !== 0) return false;
    this.#view.setUint16(record + REC_LOOKED_AT, 1, true);
    const left = this.#view.getInt32(record + REC_IMMEDIATE, true) + this.#untilHot(page) - this.threshold(page);
    if (left <= 0) return false;
    this.#view.setInt32(record + REC_IMMEDIATE, left, true);
    return true;
  }

  /** One batch is under way at a time: while it is made, the next one grows. */
  translate(): void {
    this.#slice++;
    // Turns of the event loop are milliseconds apart, as long as making a few regions takes.
    if (this.#busy && this.#slice % LOOK_EVERY === 0) this.#compiler.poll?.();
    const due = this.#waiting.length > 0 && !this.#busy && (++this.#slices >= this.#tuning.wait || this.#waiting.length >= BATCH);
    if (!due && this.#ready.length === 0) {
      this.#cache.sweep();
      return;
    }
    const began = this.#clock?.now();
    if (due) this.#request();
    for (const { result, requests, blocks } of this.#ready.splice(0)) this.#installAll(result, requests, blocks);
    this.#cache.trim();
    if (began !== undefined) this.#pauses.add(this.#clock!.now() - began);
  }

  #request(): void {
    this.#slices = 0;
    const code = new Map<number, CalleeCode>();
    const pages = new Map<string, Pick<RegionRequest, 'bytes' | 'executed'>>();
    const blocks = this.#hottest();
    if (blocks.length === 0) return;
    const requests = blocks.map((block): RegionRequest => {
      const { host, mode, flat, rip, user, linear, callees } = block;
      block.counters = this.#profiler?.takeCounter();
      const page = pageOf(host);
      const key = `${page} ${mode & MODE_CODE_MASK}`;
      let known = pages.get(key);
      if (known === undefined) {
        const executed = new Uint8Array(PAGE_SIZE / 8);
        for (const offset of this.#core.cache().blockOffsets(page, mode)) executed[offset >> 3]! |= 1 << (offset & 7);
        known = { bytes: this.#bytes.slice(host - (host & PAGE_MASK), host - (host & PAGE_MASK) + PAGE_SIZE), executed };
        pages.set(key, known);
      }
      const base = rip - BigInt(host & PAGE_MASK);
      const long = (mode & MODE_CODE_MASK) === MODE_CODE64;
      const guesses = linear ? this.#guesses.of(page, base, long) : undefined;
      const guessed = this.#callees.find(base, mode, user, new Set([...(guesses?.values() ?? [])].flat())).filter(({ at }) => (at < 0 || at >= PAGE_SIZE) && !callees.some((callee) => callee.at === at));
      return {
        page, ...known, offset: host & PAGE_MASK, long, flat, counters: block.counters, guesses, callees: this.#callees.read([...callees, ...guessed], mode, code),
      };
    });
    this.#busy = true;
    this.#compiler.build(requests, (result) => {
      this.#busy = false;
      this.#ready.push({ result, requests, blocks });
    });
  }

  /** Takes a batch out of those that wait: those executed most since they became hot, if not much less than the others. */
  #hottest(): HotBlock[] {
    const heat = (block: HotBlock): number => {
      const record = this.#recordOf(block);
      // The count goes on below 0.
      return record === undefined ? -1 : -this.#view.getInt32(record + REC_IMMEDIATE, true);
    };
    const ranked = this.#waiting.splice(0).map((block) => ({ block, heat: heat(block) })).filter((entry) => entry.heat >= 0).sort((a, b) => b.heat - a.heat);
    const taken = ranked.slice(0, BATCH).filter((entry) => entry.heat * COOLER >= ranked[0]!.heat);
    this.#waiting.push(...ranked.slice(taken.length).map(({ block }) => block));
    return taken.map(({ block }) => block);
  }

  /** The record that counts the block's executions; undefined when it has been overwritten or translated meanwhile. */
  #recordOf({ host, mode }: HotBlock): number | undefined {
    const record = this.#core.cache().recordAt(pageOf(host), host & PAGE_MASK, mode);
    return record === undefined || this.#cache.has(record) || this.#view.getUint16(record + REC_HANDLER, true) !== HANDLER_COUNT ? undefined : record;
  }

  #installAll(result: BuildResult, requests: readonly RegionRequest[], blocks: readonly HotBlock[]): void {
    for (const number of result.covered) {
      const record = this.#recordOf(blocks[number]!);
      if (record !== undefined) this.#view.setUint32(record + REC_IMMEDIATE, this.#untilHot(pageOf(blocks[number]!.host)), true);
    }
    for (const module of result.modules) this.#install(module, requests, blocks);
    if (result.modules.length > 0) this.#flushJumps();
  }

  #install({ id, module, bytes, globals, made, regions }: BuiltModule, requests: readonly RegionRequest[], blocks: readonly HotBlock[]): void {
    const { memory, runtime, functions } = this.#core;
    const callees: Record<string, number> = Object.fromEntries(Array.from({ length: globals }, (_, k) => [k, 0]));
    for (const { inlined } of regions) for (const { callee, global } of inlined) if (global !== undefined) callees[global] = callee.record;
    const instance = new WebAssembly.Instance(module, { env: { memory }, runtime: runtime.functions, core: functions, callees });
    const cached = this.#cache.addModule(id, bytes, made);
    if (made) this.#wasmBytes += bytes;
    for (const { request, exported, ranges, inlined, instructions, kept, functionBytes } of regions) {
      const block = blocks[request]!;
      const record = this.#recordOf(block);
      const page = pageOf(block.host);
      if (record === undefined || !isUnchanged(this.#bytes, block.host - (block.host & PAGE_MASK), requests[request]!.bytes, 0, ranges)) continue;
      if (!inlined.every(({ callee, ranges: own }) => this.#callees.isUnchanged(callee, own, block.mode))) {
        this.#view.setUint32(record + REC_IMMEDIATE, this.#untilHot(page), true);
        continue;
      }
      this.#core.cache().depend(page, ranges);
      for (const { callee, ranges: own } of inlined) this.#core.cache().depend(callee.page, own);
      const others = [...new Set(inlined.map(({ callee }) => callee.page))].filter((other) => other !== page);
      if (this.#cache.addRegion(cached, record, page, others, instance.exports[`r${exported}`] as WebAssembly.ExportedFunction)) {
        this.#instructions += instructions;
        if (kept) this.#kept++;
      }
      if (block.counters !== undefined) {
        const base = block.rip - BigInt(block.host & PAGE_MASK);
        this.#profiler!.addRegion({ entry: block.rip, start: base + BigInt(Math.min(...ranges)), end: base + BigInt(Math.max(...ranges)), user: block.user, size: instructions, translatedBytes: functionBytes }, block.counters);
      }
    }
  }

  dropped(page: number, why: 'overwritten' | 'evicted'): void {
    this.#guesses.forget(page);
    if (this.#cache.dropPage(page) && why === 'overwritten') this.#giveUp(page);
  }
  /** Notes that translations of a page's code are given up, once a slice; returns the threshold from now on. */
  #giveUp(page: number): number {
    const times = this.#timesGivenUp(page);
    if (this.#restless.get(page)?.slice !== this.#slice) this.#restless.set(page, { times: Math.min(times, this.#tuning.doublings) + 1, slice: this.#slice });
    return this.#untilHot(page);
  }
  cleared(): void {
    this.#waiting.length = 0;
    this.#guesses.clear();
    this.#cache.clear();
  }
  figures(): TranslationFigures {
    const figures = this.#cache.figures();
    return { ...figures, regions: { ...figures.regions, kept: this.#kept }, instructions: this.#instructions, wasmBytes: this.#wasmBytes, pauses: this.#pauses.figures() };
  }
}
