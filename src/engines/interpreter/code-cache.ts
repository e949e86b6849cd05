import { PAGE_MASK, PAGE_SHIFT, PAGE_SIZE } from '../../base/addresses.ts';
import type { TranslationFigures } from '../../cpu/vcpu.ts';
import { Decoder } from '../../isa/x86/decode/decoder.ts';
import { implementedFeatures } from '../../isa/x86/features.ts';
import { createInstruction } from '../../isa/x86/decode/instruction.ts';
import {
  RECORD_BYTES, REC_COUNT, REC_HANDLER, REC_IMMEDIATE, REC_LENGTH, REC_LINK, REC_PAGE_OFFSET,
} from '../../isa/x86/decode/record.ts';
import { BLOCKS, CODE_EPOCH, CODE_LEFT, COUNT_CODE_INVALIDATIONS, IP_BASE, LINK_FROM, MODE, MODE_CODE16, MODE_CODE32, MODE_CODE_MASK, VECTOR_GP } from '../../isa/x86/state/layout.ts';
import { BLOCK_SETS, BLOCK_SET_BYTES, BLOCK_SLOT_BYTES, RAM_BASE } from '../../memory/layout.ts';
import type { Runtime } from '../runtime-module.ts';
import { handlerIndexOf } from '../modules.ts';
import type { HandlerMap } from '../modules.ts';
import { HANDLER_CONTINUE, HANDLER_COUNT, HANDLER_STALE, HANDLER_TOO_LONG, HANDLER_UNDEFINED, LINK_NEVER } from './handler-places.ts';
import { TABLE_BYTES } from './code-area.ts';
import type { CodeArea } from './code-area.ts';
import type { CodeOwners } from './code-owners.ts';
import { encodeRecord } from './encode-record.ts';

/** Instructions a block may have; REC_COUNT is a byte. */
const MAX_BLOCK = 64;
/** The longest instruction; a buffer for one that crosses into the next page. */
const MAX_INSTRUCTION = 15;
/** Records kept free at the end of the arena for the block being decoded. */
const ARENA_RESERVE = (MAX_BLOCK + 3) * RECORD_BYTES;
/** Instructions of a function that is so small that a region may have it in itself. */
const LEAF_INSTRUCTIONS = 24;
/** One bit of `covered` stands for this many bytes of a page. */
const GRANULE_SHIFT = 5;

/** A second tier: it replaces the first record of a hot block by translated code. */
export interface Tier {
  /** The block at RIP is hot. */
  hot(): void;
  /** Whatever is due gets translated. Legal between blocks. */
  translate(): void;
  /** Executions of a new block in this page (counted from the start of RAM) until it is hot. */
  threshold(page: number): number;
  /** What was decoded of the page is no longer true. */
  dropped(page: number): void;
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
interface CodePage {
  /** Record of the block that begins at offset | code size << 12. */
  readonly blocks: Map<number, number>;
  /** Blocks of one instruction that crosses into another page. */
  readonly crossing: Map<number, Crossing>;
  /** First record and number of records of every block, for marking them stale. */
  readonly extents: number[];
  /** Granules of the page that instructions were decoded from. */
  readonly covered: Uint8Array;
  /** Pages with an instruction that reaches into this one. */
  readonly dependents: Set<number>;
  /** Where direct calls and jumps lead that leave the page, counted from its start. */
  readonly outgoing: Set<number>;
  /** Blocks (as in `blocks`) that run to a near return in at most LEAF_INSTRUCTIONS, unless a branch is taken. */
  readonly leaves: Set<number>;
}

/**
 * Decoded blocks by physical page (DESIGN D3, D4). Records live in an arena of linear memory; when it is full everything
 * is dropped. A store into decoded bytes marks the page's records stale, so that execution, the running block
 * included, comes back here before the next instruction.
 */
export class CodeCache {
  readonly #cpu: number;
  readonly #runtime: Runtime;
  readonly #view: DataView;
  readonly #bytes: Uint8Array;
  readonly #handlers: HandlerMap;
  readonly #decoder = new Decoder(implementedFeatures);
  readonly #instruction = createInstruction();
  readonly #buffer = new Uint8Array(MAX_INSTRUCTION * 2);
  readonly #pages = new Map<number, CodePage>();
  readonly #fetchBlock: (cpu: number) => number;
  readonly #fetchNextPage: (cpu: number) => number;
  readonly #rememberBlock: (cpu: number, record: number) => number;
  readonly #counts = { blocksDecoded: 0, instructionsDecoded: 0, arenaFlushes: 0 };
  readonly #tier: Tier | undefined;
  readonly #area: CodeArea;
  readonly #owners: CodeOwners;
  #next: number;

  constructor(memory: WebAssembly.Memory, cpu: number, runtime: Runtime, handlers: HandlerMap, area: CodeArea, owners: CodeOwners, tier?: Tier) {
    this.#tier = tier;
    this.#area = area;
    this.#owners = owners;
    this.#next = area.base + ARENA_RESERVE;
    new DataView(memory.buffer).setUint32(cpu + BLOCKS, area.table, true);
    this.#cpu = cpu;
    this.#runtime = runtime;
    this.#view = new DataView(memory.buffer);
    this.#bytes = new Uint8Array(memory.buffer);
    this.#handlers = handlers;
    this.#fetchBlock = runtime.bind('fetchBlock');
    this.#fetchNextPage = runtime.bind('fetchNextPage');
    this.#rememberBlock = runtime.bind('rememberBlock');
    // Another engine may have had this memory before; from here on only blocks of `#pages` have slots.
    this.#bytes.fill(0, area.table, area.table + TABLE_BYTES);
  }

  /** Drops everything decoded. Legal between blocks. */
  clear(): void {
    for (const [number, page] of this.#pages) {
      this.#owners.release(number);
      this.#forgetSlots(number, page);
    }
    this.#pages.clear();
    this.#next = this.#area.base + ARENA_RESERVE;
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
   * `linkFrom`: record of the direct branch that leads here, to be joined to the block when both lie in one page.
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
      if (this.#next > this.#area.end - ARENA_RESERVE) {
        this.#counts.arenaFlushes++;
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
    if (this.#view.getUint32(slot, true) !== host) this.#bytes.copyWithin(slot + BLOCK_SLOT_BYTES, slot, slot + BLOCK_SLOT_BYTES);
    this.#view.setUint32(slot, host, true);
    this.#view.setUint32(slot + 4, key >> PAGE_SHIFT, true);
    this.#view.setUint32(slot + 8, record, true);
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
    const start = this.#area.base;
    const result = this.#decodeOne(host, start, 1);
    if (result === 0) return 0;
    const left = this.#view.getUint32(this.#cpu + CODE_LEFT, true);
    const defined = this.#view.getUint16(start + REC_HANDLER, true) !== HANDLER_UNDEFINED;
    if (left !== 0 && defined && this.#view.getUint8(start + REC_LENGTH) > left) {
      this.#runtime.call('raiseFault', VECTOR_GP, 1, 0);
      return 0;
    }
    this.#writeEnd(start + RECORD_BYTES, (host & PAGE_MASK) + this.#view.getUint8(start + REC_LENGTH), 2);
    return start;
  }

  /** Drops what a store has overwritten that could not be announced. */
  recheck(): void {
    this.#owners.recheck((number, copy) => {
      const page = this.#pages.get(number);
      if (page === undefined) return;
      const first = RAM_BASE + number * PAGE_SIZE;
      const differs = copy.some((byte, offset) => page.covered[offset >> GRANULE_SHIFT] !== 0 && byte !== this.#bytes[first + offset]);
      if (differs) this.#invalidate(number, page);
    });
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
  /** Does a block run to a near return in a few instructions? */
  isLeaf(number: number, offset: number, mode: number): boolean {
    return this.#pages.get(number)?.leaves.has(offset | ((mode & MODE_CODE_MASK) << PAGE_SHIFT)) ?? false;
  }
  /** A store to these bytes of a page (first, end) makes what was decoded of it stale from now on. */
  depend(number: number, first: number, end: number): void {
    const page = this.#pages.get(number);
    if (page !== undefined && end > first) this.#cover(page, first, end - 1);
  }

  counts(): Readonly<Record<string, number>> {
    return this.#counts;
  }

  #invalidate(number: number, page: CodePage): void {
    const counter = this.#cpu + COUNT_CODE_INVALIDATIONS;
    this.#view.setBigUint64(counter, this.#view.getBigUint64(counter, true) + 1n, true);
    this.#view.setUint32(this.#cpu + CODE_EPOCH, this.#view.getUint32(this.#cpu + CODE_EPOCH, true) + 1, true);
    this.#tier?.dropped(number);
    this.#pages.delete(number);
    this.#forgetSlots(number, page);
    this.#owners.release(number);
    for (let i = 0; i < page.extents.length; i += 2) this.#markStale(page.extents[i]!, page.extents[i + 1]!);
    this.#runtime.call('flushJumpCaches');
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

  #key(host: number): number {
    return (host & PAGE_MASK) | ((this.#view.getUint32(this.#cpu + MODE, true) & MODE_CODE_MASK) << PAGE_SHIFT);
  }

  #codeSize(): 16 | 32 | 64 {
    const mode = this.#view.getUint32(this.#cpu + MODE, true) & MODE_CODE_MASK;
    return mode === MODE_CODE16 ? 16 : mode === MODE_CODE32 ? 32 : 64;
  }

  #addPage(number: number): CodePage {
    const page: CodePage = { blocks: new Map(), crossing: new Map(), extents: [], covered: new Uint8Array(PAGE_SIZE >> GRANULE_SHIFT), dependents: new Set(), outgoing: new Set(), leaves: new Set() };
    this.#pages.set(number, page);
    this.#owners.claim(number);
    return page;
  }

  #decodeBlock(host: number, number: number, page: CodePage, key: number): number {
    const first = this.#next;
    let offset = host & PAGE_MASK;
    let record = first;
    if (this.#tier !== undefined) record = this.#writeCount(first, offset, this.#tier.threshold(number));
    const pageHost = host - offset;
    let count = 1;
    for (;;) {
      const result = this.#decodeOne(pageHost + offset, record, count);
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
        this.#finishBlock(page, first, record + RECORD_BYTES, offset + length, 2);
        page.crossing.set(key, { record: first, records: (this.#next - first) / RECORD_BYTES, secondPage: second });
        return first;
      }
      this.#cover(page, offset, offset + result - 1);
      offset += result;
      const ends = this.#handlers.terminates[this.#view.getUint16(record + REC_HANDLER, true)] !== 0;
      record += RECORD_BYTES;
      count++;
      if (ends) this.#noteEnd(page, key, record - RECORD_BYTES, offset, count - 1);
      if (ends || offset >= PAGE_SIZE || count > MAX_BLOCK) break;
    }
    this.#finishBlock(page, first, record, offset, count);
    page.blocks.set(key, first);
    return first;
  }

  /** A block of `count` instructions ends with the one at `record`, behind which `offset` is. */
  #noteEnd(page: CodePage, key: number, record: number, offset: number, count: number): void {
    const handler = this.#view.getUint16(record + REC_HANDLER, true);
    if (handler === HANDLER_UNDEFINED || handler === HANDLER_TOO_LONG) return;
    const { row, immediate } = this.#instruction;
    if (row.semantics === 'ret') {
      if (count <= LEAF_INSTRUCTIONS) page.leaves.add(key);
    } else if (row.operands.some((operand) => operand[0] === 'J')) {
      const target = offset + immediate;
      if (target < 0 || target >= PAGE_SIZE) page.outgoing.add(target);
    }
  }

  #finishBlock(page: CodePage, first: number, end: number, offset: number, count: number): void {
    this.#writeEnd(end, offset, count);
    this.#next = end + RECORD_BYTES;
    page.extents.push(first, (this.#next - first) / RECORD_BYTES);
    this.#counts.blocksDecoded++;
    this.#counts.instructionsDecoded += count - 1;
  }

  /** Returns where the block's first instruction goes. */
  #writeCount(record: number, offset: number, threshold: number): number {
    const view = this.#view;
    view.setUint16(record + REC_HANDLER, HANDLER_COUNT, true);
    view.setUint16(record + REC_PAGE_OFFSET, offset, true);
    // As the first instruction would have: gone stale, the record counts as none.
    view.setUint8(record + REC_COUNT, 1);
    view.setUint32(record + REC_IMMEDIATE, threshold, true);
    return record + RECORD_BYTES;
  }

  #writeEnd(record: number, offset: number, count: number): void {
    const view = this.#view;
    view.setUint16(record + REC_HANDLER, HANDLER_CONTINUE, true);
    view.setUint16(record + REC_PAGE_OFFSET, offset, true);
    view.setUint8(record + REC_COUNT, count);
  }

  #cover(page: CodePage, first: number, last: number): void {
    for (let granule = first >> GRANULE_SHIFT; granule <= last >> GRANULE_SHIFT; granule++) page.covered[granule] = 1;
  }

  /**
   * Decodes the instruction at a host address into a record. Returns its length; minus the host address of the next page when
   * it crosses into it; 0 when that page cannot be fetched (a fault is pending then) or need not be yet (`count` > 1).
   */
  #decodeOne(host: number, record: number, count: number): number {
    const offset = host & PAGE_MASK;
    const available = PAGE_SIZE - offset;
    const instruction = this.#instruction;
    let status = this.#decoder.decode(this.#bytes, host, Math.min(available, MAX_INSTRUCTION), this.#codeSize(), instruction);
    let second = 0;
    if (status === 'truncated') {
      if (available >= MAX_INSTRUCTION) status = 'too-long';
      else if (count > 1) return 0;
      else {
        second = this.#crossPage(host, available);
        if (second === 0) return 0;
        status = this.#decoder.decode(this.#buffer, 0, MAX_INSTRUCTION, this.#codeSize(), instruction);
        if (status === 'truncated') status = 'too-long';
      }
    }
    const view = this.#view;
    if (status === 'ok') {
      encodeRecord(view, record, instruction, offset, count, this.#handlers.places[handlerIndexOf(instruction)]! || HANDLER_UNDEFINED);
      return second === 0 ? instruction.length : -second;
    }
    // The exception is raised when the record is executed; it takes no bytes with it.
    view.setUint16(record + REC_HANDLER, status === 'undefined' ? HANDLER_UNDEFINED : HANDLER_TOO_LONG, true);
    view.setUint16(record + REC_PAGE_OFFSET, offset, true);
    const length = second === 0 ? Math.min(available, MAX_INSTRUCTION) : available + 1;
    view.setUint8(record + REC_LENGTH, length);
    view.setUint8(record + REC_COUNT, count);
    return second === 0 ? length : -second;
  }

  #crossPage(host: number, available: number): number {
    const second = this.#fetchNextPage(this.#cpu) >>> 0;
    if (second === 0) return 0;
    this.#buffer.set(this.#bytes.subarray(host, host + available));
    this.#buffer.set(this.#bytes.subarray(second, second + MAX_INSTRUCTION), available);
    return second;
  }
}

/** Offset of a block's set in the table of all blocks. */
function blockSet(host: number): number {
  return ((host ^ (host >>> PAGE_SHIFT)) & (BLOCK_SETS - 1)) * BLOCK_SET_BYTES;
}
