import { PAGE_MASK, PAGE_SHIFT, PAGE_SIZE } from '../../base/addresses.ts';
import type { TranslationFigures } from '../../cpu/vcpu.ts';
import { isDirectBranch } from '../../isa/x86/decode/instruction.ts';
import { RECORD_BYTES, REC_HANDLER, REC_LENGTH, REC_LINK } from '../../isa/x86/decode/record.ts';
import { BLOCKS, CODE_EPOCH, CODE_LEFT, COUNT_CODE_INVALIDATIONS, IP_BASE, LINK_FROM, MODE, MODE_CODE_MASK, VECTOR_GP } from '../../isa/x86/state/layout.ts';
import { BLOCK_SETS, BLOCK_SET_BYTES, BLOCK_SLOT_BYTES, RAM_BASE } from '../../memory/layout.ts';
import type { Runtime } from '../runtime-module.ts';
import { ENDS_BLOCK } from '../modules.ts';
import type { HandlerMap } from '../modules.ts';
import { HANDLER_STALE, HANDLER_TOO_LONG, HANDLER_UNDEFINED, LINK_NEVER } from './handler-places.ts';
import { TABLE_BYTES } from './code-area.ts';
import type { CodeArea } from './code-area.ts';
import type { CodeOwners } from './code-owners.ts';
import { CHUNK_RECORDS, MAX_BLOCK, RecordArena } from './record-arena.ts';
import type { ChunkList } from './record-arena.ts';
import { RecordWriter } from './record-writer.ts';

/** Instructions of a function that is so small that a region may have it in itself. */
const LEAF_INSTRUCTIONS = 24;
/** One bit of `covered` stands for this many bytes of a page. */
const GRANULE_SHIFT = 5;
/** Part of the arena that is made free when there is none left, and that is taken between two looks at which pages are in use. */
const FREED_PART = 1 / 8;
const CENSUS_PART = 1 / 16;

/** A second tier: it replaces the first record of a hot block by translated code. */
export interface Tier {
  /** The block at RIP has been executed as often as its record counts. */
  hot(): void;
  /** Whatever is due gets translated. Legal between blocks. */
  translate(): void;
  /** Executions of a new block in this page (counted from the start of RAM) until `hot` is called. */
  threshold(page: number): number;
  /** What was decoded of the page is gone: its code is another now, or it has not been executed for long. */
  dropped(page: number, why: 'overwritten' | 'evicted'): void;
  /** Everything decoded is gone. */
  cleared(): void;
  /** For the report. */
  figures(): TranslationFigures;
}

interface Crossing {
  readonly record: number;
  readonly records: number;
  /** Host address of the page that it reaches into. */
  readonly secondPage: number;
}

/** What is decoded of one page of RAM. */
interface CodePage extends ChunkList {
  /** Number of the last census that has found it executed. */
  used: number;
  /** Record of the block that begins at offset | code size << 12. */
  readonly blocks: Map<number, number>;
  /** Blocks of one instruction that crosses into another page. */
  readonly crossing: Map<number, Crossing>;
  /** Granules of the page that instructions were decoded from. */
  readonly covered: Uint8Array;
  /** Pages with an instruction that reaches into this one. */
  readonly dependents: Set<number>;
  /** Where direct calls and jumps lead that leave the page, counted from its start. */
  readonly outgoing: Set<number>;
}

/** A block that runs to a near return in at most LEAF_INSTRUCTIONS, unless a branch is taken. */
export interface Leaf {
  /** Counted from the start of RAM, and where it begins in that. */
  readonly page: number;
  readonly offset: number;
}

/**
 * Decoded blocks by physical page (DESIGN D3, D4). Records live in an arena of linear memory; when it is full, pages go that have
 * not been executed for long. A store into decoded bytes marks the page's records stale, so that execution, the running block
 * included, comes back here before the next instruction. With a page all goes that knows its records by address: jump caches, block
 * table, links (which stay within a page), the second tier's regions.
 */
export class CodeCache {
  readonly #cpu: number;
  readonly #runtime: Runtime;
  readonly #view: DataView;
  readonly #bytes: Uint8Array;
  readonly #words: Int32Array;
  readonly #handlers: HandlerMap;
  readonly #writer: RecordWriter;
  readonly #arena: RecordArena;
  readonly #pages = new Map<number, CodePage>();
  /** By first record. */
  readonly #leaves = new Map<number, Leaf>();
  readonly #fetchBlock: (cpu: number) => number;
  readonly #fetchNextPage: (cpu: number) => number;
  readonly #rememberBlock: (cpu: number, record: number) => number;
  readonly #counts = { blocksDecoded: 0, instructionsDecoded: 0, codePagesEvicted: 0 };
  readonly #tier: Tier | undefined;
  readonly #area: CodeArea;
  readonly #owners: CodeOwners;
  /** Looks at which pages are in use, and chunks taken before the last. */
  #census = 0;
  #takenAtCensus = 0;

  constructor(memory: WebAssembly.Memory, cpu: number, runtime: Runtime, handlers: HandlerMap, area: CodeArea, owners: CodeOwners, tier?: Tier) {
    this.#tier = tier;
    this.#area = area;
    this.#owners = owners;
    this.#arena = new RecordArena(memory, area.base, area.end);
    this.#writer = new RecordWriter(memory, cpu, runtime, handlers);
    new DataView(memory.buffer).setUint32(cpu + BLOCKS, area.table, true);
    this.#cpu = cpu;
    this.#runtime = runtime;
    this.#view = new DataView(memory.buffer);
    this.#bytes = new Uint8Array(memory.buffer);
    this.#words = new Int32Array(memory.buffer);
    this.#handlers = handlers;
    this.#fetchBlock = runtime.bind('fetchBlock');
    this.#fetchNextPage = runtime.bind('fetchNextPage');
    this.#rememberBlock = runtime.bind('rememberBlock');
    // Another engine may have had this memory before; from here on only blocks of `#pages` have slots.
    this.#bytes.fill(0, area.table, area.table + TABLE_BYTES);
  }

  /** Address of a chunk of records that nothing keeps. */
  get scratch(): number {
    return this.#arena.scratch;
  }

  /** Drops everything decoded. Legal between blocks. */
  clear(): void {
    for (const [number, page] of this.#pages) {
      this.#owners.release(number);
      this.#forgetSlots(number, page);
    }
    this.#pages.clear();
    this.#leaves.clear();
    this.#arena.clear();
    this.#view.setUint32(this.#cpu + LINK_FROM, 0, true);
    this.#runtime.call('flushJumpCaches');
    this.#tier?.cleared();
  }

  /** First record of the block at an offset of a page (counted from the start of RAM) for a mode's code size. */
  recordAt(number: number, offset: number, mode: number): number | undefined {
    return this.#pages.get(number)?.blocks.get(offset | ((mode & MODE_CODE_MASK) << PAGE_SHIFT));
  }

  /**
   * Record of the block at RIP, decoded when it is not yet; 0 with a fault pending when RIP cannot be fetched.
   * `linkFrom`: record of the direct branch that leads here, to be joined to the block when both lie in one page. Legal between blocks.
   */
  find(linkFrom: number): number {
    const cpu = this.#cpu;
    const view = this.#view;
    const baseLow = view.getUint32(cpu + IP_BASE, true);
    const baseHigh = view.getUint32(cpu + IP_BASE + 4, true);
    const host = this.#fetchBlock(cpu) >>> 0;
    if (host === 0) return 0;
    // Where the code segment ends inside the page, each instruction is checked by itself.
    if (view.getUint32(cpu + CODE_LEFT, true) !== 0) return this.#single(host);
    const number = (host - RAM_BASE) >>> PAGE_SHIFT;
    const key = this.#key(host);
    let page = this.#pages.get(number);
    let record = page?.blocks.get(key);
    if (linkFrom !== 0) {
      const from = this.#arena.pageOf(linkFrom);
      if (from !== undefined && from !== number) view.setUint32(linkFrom + REC_LINK, LINK_NEVER, true);
      // Where the branch's page has been dropped meanwhile, its record is soon another's.
      if (from !== number) linkFrom = 0;
    }
    if (record === undefined) {
      const crossing = page?.crossing.get(key);
      if (crossing !== undefined) {
        const second = this.#fetchNextPage(cpu) >>> 0;
        if (second === 0) return 0;
        if (second === crossing.secondPage) {
          if (linkFrom !== 0) view.setUint32(linkFrom + REC_LINK, LINK_NEVER, true);
          this.#rememberBlock(cpu, crossing.record);
          return crossing.record;
        }
      }
      if (!this.#makeRoom(number)) {
        this.clear();
        linkFrom = 0;
        page = undefined;
      }
      page ??= this.#addPage(number);
      record = this.#decodeBlock(host, number, page, key);
      if (record === 0) return 0;
    }
    if (linkFrom !== 0) {
      const same = baseLow === view.getUint32(cpu + IP_BASE, true) && baseHigh === view.getUint32(cpu + IP_BASE + 4, true) && page!.blocks.has(key);
      view.setUint32(linkFrom + REC_LINK, same ? record : LINK_NEVER, true);
    }
    this.#rememberBlock(cpu, record);
    // A block that crosses into the next page holds only for where that page is now: the table knows physical addresses.
    if (page!.blocks.has(key)) this.#rememberSlot(host, key, record);
    return record;
  }

  #rememberSlot(host: number, key: number, record: number): void {
    const slot = this.#area.table + blockSet(host);
    // What was there last has the other place from now on.
    const words = this.#words;
    const first = slot >> 2;
    if (words[first] !== (host | 0)) for (let k = 0; k < BLOCK_SLOT_BYTES >> 2; k++) words[first + (BLOCK_SLOT_BYTES >> 2) + k] = words[first + k]!;
    words[first] = host;
    words[first + 1] = key >> PAGE_SHIFT;
    words[first + 2] = record;
  }
  #forgetSlots(number: number, page: CodePage): void {
    for (const key of page.blocks.keys()) {
      const host = RAM_BASE + number * PAGE_SIZE + (key & PAGE_MASK);
      const set = this.#area.table + blockSet(host);
      for (let slot = set; slot < set + BLOCK_SET_BYTES; slot += BLOCK_SLOT_BYTES) if (this.#view.getUint32(slot, true) === host) this.#view.setUint32(slot, 0, true);
    }
  }

  /** A block of exactly the one instruction at RIP, not kept; 0 with a fault pending. */
  findSingle(): number {
    const host = this.#fetchBlock(this.#cpu) >>> 0;
    return host === 0 ? 0 : this.#single(host);
  }

  #single(host: number): number {
    const start = this.#arena.scratch;
    const result = this.#writer.instruction(host, start, 1);
    if (result === 0) return 0;
    const left = this.#view.getUint32(this.#cpu + CODE_LEFT, true);
    const defined = this.#view.getUint16(start + REC_HANDLER, true) !== HANDLER_UNDEFINED;
    if (left !== 0 && defined && this.#view.getUint8(start + REC_LENGTH) > left) {
      this.#runtime.call('raiseFault', VECTOR_GP, 1, 0);
      return 0;
    }
    this.#writer.end(start + RECORD_BYTES, (host & PAGE_MASK) + this.#view.getUint8(start + REC_LENGTH), 2);
    return start;
  }

  /** Drops what a store has overwritten that could not be announced. */
  recheck(): void {
    this.#owners.recheck((number, copy) => {
      const page = this.#pages.get(number);
      if (page === undefined) return;
      if (this.#differs(page.covered, (RAM_BASE + number * PAGE_SIZE) >> 2, copy)) this.#invalidate(number, page);
    });
  }
  /** Whether code of the page at this index of words is another than it was. */
  #differs(covered: Uint8Array, first: number, copy: Int32Array): boolean {
    const words = this.#words;
    const shift = GRANULE_SHIFT - 2;
    for (let granule = 0; granule < covered.length; granule++) {
      if (covered[granule] === 0) continue;
      for (let i = granule << shift, end = i + (1 << shift); i < end; i++) if (copy[i] !== words[first + i]) return true;
    }
    return false;
  }

  /** As if every page with decoded code had been written to. */
  dropAll(): void {
    for (const [number, page] of [...this.#pages]) this.#invalidate(number, page);
  }

  /** Bytes of a page with decoded code were written. */
  written(number: number, offset: number, length: number): void {
    const page = this.#pages.get(number);
    if (page === undefined) return;
    const last = Math.min(offset + length - 1, PAGE_MASK) >> GRANULE_SHIFT;
    for (let granule = offset >> GRANULE_SHIFT; granule <= last; granule++) {
      if (page.covered[granule] !== 0) {
        this.#invalidate(number, page);
        return;
      }
    }
  }

  /** Offsets in a page at which blocks of a mode's code size begin. */
  *blockOffsets(number: number, mode: number): Iterable<number> {
    for (const key of this.#pages.get(number)?.blocks.keys() ?? []) if (key >> PAGE_SHIFT === (mode & MODE_CODE_MASK)) yield key & PAGE_MASK;
  }
  /** Where direct calls and jumps lead out of a page, as offsets from its start. */
  outgoing(number: number): Iterable<number> {
    return this.#pages.get(number)?.outgoing ?? [];
  }
  /** The leaf that begins with a record; undefined when it is none, or no more. */
  leafAt(record: number): Leaf | undefined {
    return this.#leaves.get(record);
  }
  /** A store to these bytes of a page (first, end, first, end, ...) makes what was decoded of it stale from now on. */
  depend(number: number, ranges: readonly number[]): void {
    const page = this.#pages.get(number);
    if (page === undefined) return;
    for (let k = 0; k < ranges.length; k += 2) if (ranges[k + 1]! > ranges[k]!) this.#cover(page, ranges[k]!, ranges[k + 1]! - 1);
  }

  counts(): Readonly<Record<string, number>> {
    return this.#counts;
  }

  #invalidate(number: number, page: CodePage): void {
    const counter = this.#cpu + COUNT_CODE_INVALIDATIONS;
    this.#view.setBigUint64(counter, this.#view.getBigUint64(counter, true) + 1n, true);
    this.#view.setUint32(this.#cpu + CODE_EPOCH, this.#view.getUint32(this.#cpu + CODE_EPOCH, true) + 1, true);
    this.#tier?.dropped(number, 'overwritten');
    this.#forget(number, page);
    this.#runtime.call('flushJumpCaches');
  }

  /** Behind it the jump caches have to be emptied. */
  #forget(number: number, page: CodePage): void {
    this.#pages.delete(number);
    this.#forgetSlots(number, page);
    this.#owners.release(number);
    for (const record of page.blocks.values()) this.#leaves.delete(record);
    for (const chunk of page.chunks) this.#markStale(chunk, CHUNK_RECORDS);
    this.#arena.give(page);
    // Of the pages before, what reaches into this one: nothing else of them came from here.
    for (const dependent of page.dependents) {
      const { crossing = [] } = this.#pages.get(dependent) ?? {};
      for (const [key, { record, records, secondPage }] of crossing) {
        if ((secondPage - RAM_BASE) >>> PAGE_SHIFT !== number) continue;
        this.#markStale(record, records);
        this.#pages.get(dependent)!.crossing.delete(key);
      }
    }
  }

  #markStale(first: number, records: number): void {
    for (let k = 0; k < records; k++) this.#view.setUint16(first + k * RECORD_BYTES + REC_HANDLER, HANDLER_STALE, true);
  }

  /** There is a free chunk from now on; evicts pages but one. False: that one has them all. */
  #makeRoom(kept: number): boolean {
    const { chunks, taken } = this.#arena;
    const full = this.#arena.free === 0;
    if (!full && taken - this.#takenAtCensus < chunks * CENSUS_PART) return true;
    this.#takenAtCensus = taken;
    this.#census++;
    for (const marked of this.#arena.takeMarked()) this.#pages.get(marked)!.used = this.#census;
    if (full) {
      for (const [number, page] of [...this.#pages].sort(([, a], [, b]) => a.used - b.used)) {
        if (this.#arena.free >= chunks * FREED_PART) break;
        if (number === kept) continue;
        this.#counts.codePagesEvicted++;
        this.#tier?.dropped(number, 'evicted');
        this.#forget(number, page);
      }
    }
    // Who is executed from here on is marked again.
    this.#runtime.call('flushJumpCaches');
    return this.#arena.free > 0;
  }

  #key(host: number): number {
    return (host & PAGE_MASK) | ((this.#view.getUint32(this.#cpu + MODE, true) & MODE_CODE_MASK) << PAGE_SHIFT);
  }

  #addPage(number: number): CodePage {
    const page: CodePage = {
      chunks: [], next: 0, end: 0, used: this.#census, blocks: new Map(), crossing: new Map(), covered: new Uint8Array(PAGE_SIZE >> GRANULE_SHIFT), dependents: new Set(), outgoing: new Set(),
    };
    this.#pages.set(number, page);
    this.#owners.claim(number);
    return page;
  }

  #decodeBlock(host: number, number: number, page: CodePage, key: number): number {
    const { scratch } = this.#arena;
    let offset = host & PAGE_MASK;
    let record = scratch;
    if (this.#tier !== undefined) record = this.#writer.count(record, offset, this.#tier.threshold(number));
    const pageHost = host - offset;
    let count = 1;
    let ends = false;
    for (;;) {
      const result = this.#writer.instruction(pageHost + offset, record, count);
      if (result === 0) {
        if (count > 1) break; // decode the crossing instruction when execution gets there
        return 0;
      }
      if (result < 0) {
        // Crosses into the next page: a block of its own.
        if (count > 1) break;
        const second = -result;
        this.#cover(page, offset, PAGE_MASK);
        const secondNumber = (second - RAM_BASE) >>> PAGE_SHIFT;
        const other = this.#pages.get(secondNumber) ?? this.#addPage(secondNumber);
        const length = this.#view.getUint8(record + REC_LENGTH);
        this.#cover(other, 0, offset + length - PAGE_SIZE - 1);
        other.dependents.add(number);
        const end = this.#writer.end(record + RECORD_BYTES, offset + length, 2);
        const first = this.#place(number, page, end, 2);
        page.crossing.set(key, { record: first, records: (end - scratch) / RECORD_BYTES, secondPage: second });
        return first;
      }
      this.#cover(page, offset, offset + result - 1);
      offset += result;
      ends = (this.#handlers.traits[this.#view.getUint16(record + REC_HANDLER, true)]! & ENDS_BLOCK) !== 0;
      record += RECORD_BYTES;
      count++;
      if (ends || offset >= PAGE_SIZE || count > MAX_BLOCK) break;
    }
    const last = this.#view.getUint16(record - RECORD_BYTES + REC_HANDLER, true);
    const first = this.#place(number, page, this.#writer.end(record, offset, count), count);
    if (ends && last !== HANDLER_UNDEFINED && last !== HANDLER_TOO_LONG) this.#noteEnd(page, { page: number, offset: host & PAGE_MASK }, first, offset, count - 1);
    page.blocks.set(key, first);
    return first;
  }

  /** The block at `first`, of `count` instructions, ends with the one decoded last, behind which `offset` is. */
  #noteEnd(page: CodePage, place: Leaf, first: number, offset: number, count: number): void {
    const { row, immediate } = this.#writer.last;
    if (row.semantics === 'ret') {
      if (count <= LEAF_INSTRUCTIONS) this.#leaves.set(first, place);
    } else if (isDirectBranch(this.#writer.last)) {
      const target = offset + immediate;
      if (target < 0 || target >= PAGE_SIZE) page.outgoing.add(target);
    }
  }

  /** The block in the scratch chunk, up to the record before `end`, has been decoded: returns where it is kept. */
  #place(number: number, page: CodePage, end: number, count: number): number {
    this.#counts.blocksDecoded++;
    this.#counts.instructionsDecoded += count - 1;
    return this.#arena.place(number, page, end - this.#arena.scratch);
  }

  #cover(page: CodePage, first: number, last: number): void {
    for (let granule = first >> GRANULE_SHIFT; granule <= last >> GRANULE_SHIFT; granule++) page.covered[granule] = 1;
  }
}

/** Offset of a block's set in the table of all blocks. */
function blockSet(host: number): number {
  return ((host ^ (host >>> PAGE_SHIFT)) & (BLOCK_SETS - 1)) * BLOCK_SET_BYTES;
}
