import { RECORD_BYTES } from '../../isa/x86/decode/record.ts';
import { RECORD_CHUNK_BYTES, RECORD_CHUNK_SHIFT, RECORD_MARKS_BYTES } from '../../memory/layout.ts';

/** Records of a chunk. */
export const CHUNK_RECORDS = Math.floor(RECORD_CHUNK_BYTES / RECORD_BYTES);
/** Instructions a block may have: with its counting record and the one behind it, it fits into a chunk. */
export const MAX_BLOCK = CHUNK_RECORDS - 2;
const NOBODY = -1;

/** Where a page's next records go. */
export interface ChunkList {
  readonly chunks: number[];
  /** Address behind the last record in the last chunk, and of that chunk's end. */
  next: number;
  end: number;
}

/**
 * Room for decoded records: chunks of one size, each of one page of code at a time. What is given back may still be executed
 * until the running block ends: so nothing is taken but between blocks.
 */
export class RecordArena {
  /** A chunk that is never taken, for records that are not kept. */
  readonly scratch: number;
  readonly chunks: number;
  readonly #words: Int32Array;
  /** One byte a chunk, which jumps set (`remember` in runtime/blocks.ts). */
  readonly #marks: Uint8Array;
  readonly #first: number;
  /** Page by chunk. */
  readonly #owners: Int32Array;
  /** Chunks that are free, the last one goes first; and how many. */
  readonly #stack: Int32Array;
  #free = 0;
  #taken = 0;

  /** `base`, `end`: where the arena lies. */
  constructor(memory: WebAssembly.Memory, base: number, end: number) {
    this.#words = new Int32Array(memory.buffer);
    this.scratch = base + RECORD_MARKS_BYTES;
    this.#first = this.scratch + RECORD_CHUNK_BYTES;
    this.chunks = (end - this.#first) >>> RECORD_CHUNK_SHIFT;
    this.#marks = new Uint8Array(memory.buffer, base + ((this.#first - base) >>> RECORD_CHUNK_SHIFT), this.chunks);
    this.#owners = new Int32Array(this.chunks);
    this.#stack = new Int32Array(this.chunks);
    this.clear();
  }

  clear(): void {
    this.#owners.fill(NOBODY);
    this.#free = this.chunks;
    for (let k = 0; k < this.chunks; k++) this.#stack[k] = this.chunks - 1 - k;
    this.#marks.fill(0);
  }

  get free(): number {
    return this.#free;
  }
  /** Chunks taken ever. */
  get taken(): number {
    return this.#taken;
  }

  /** The page that a record is of; undefined when it is of none, or not in the arena. */
  pageOf(record: number): number | undefined {
    const page = this.#owners[(record - this.#first) >> RECORD_CHUNK_SHIFT];
    return page === NOBODY ? undefined : page;
  }

  /** Puts `bytes` bytes of records, which begin at `scratch`, where those of a page are; returns their address. There must be a free chunk. */
  place(page: number, list: ChunkList, bytes: number): number {
    if (list.next + bytes > list.end) {
      const chunk = this.#stack[--this.#free]!;
      this.#taken++;
      this.#owners[chunk] = page;
      list.next = this.#first + (chunk << RECORD_CHUNK_SHIFT);
      list.end = list.next + RECORD_CHUNK_BYTES;
      list.chunks.push(list.next);
    }
    const at = list.next;
    // A few dozen words: quicker than `copyWithin`, whose way in costs more than they do.
    for (let from = this.scratch >> 2, to = at >> 2, end = from + (bytes >> 2); from < end; from++, to++) this.#words[to] = this.#words[from]!;
    list.next += bytes;
    return at;
  }

  /** A page's chunks are free. */
  give(list: ChunkList): void {
    for (const address of list.chunks) {
      const chunk = (address - this.#first) >> RECORD_CHUNK_SHIFT;
      this.#owners[chunk] = NOBODY;
      this.#stack[this.#free++] = chunk;
    }
    list.chunks.length = 0;
  }

  /** Pages that jumps have led to since the last call, some of them several times. The jump caches must be emptied with it. */
  *takeMarked(): Iterable<number> {
    for (let chunk = 0; chunk < this.chunks; chunk++) {
      if (this.#marks[chunk] === 0) continue;
      this.#marks[chunk] = 0;
      const page = this.#owners[chunk]!;
      if (page !== NOBODY) yield page;
    }
  }
}
