import { StateError } from '../base/errors.ts';
import type { FileReader, FileWriter, Packing } from '../host/files.ts';

// The file of a stored machine. Every number little-endian:
//
//   0   16  "Polyvisor state\n"
//   16  4   version of the container's format
//   20  4   CRC-32 of the index
//   24  8   where the index begins
//   32  8   its length
//   40  4   CRC-32 of bytes 0 to 39
//
// then, from 4096 on, the sections, each beginning on a page boundary; then the index, JSON in ASCII, which names them.
// A section's data are cut into blocks of 1 MiB, the last one shorter. A block whose stored length is less than its
// length is compressed (raw DEFLATE); the checksum is that of the data as they were. These rules stay for all versions.

const MAGIC = 'Polyvisor state\n';
const FORMAT = 1;
const HEAD_BYTES = 44;
const PAGE = 4096;
const BLOCK = 1 << 20;
const LARGEST_INDEX = 64 << 20;
const LARGEST_SECTION = 2 ** 32;

/** Stored length and CRC-32 of a block. */
type Block = readonly [stored: number, checksum: number];

/** A section as the index has it. `bytes` is the length of its data. */
interface Section {
  readonly name: string;
  readonly version: number;
  readonly offset: number;
  readonly bytes: number;
  readonly blocks: readonly Block[];
}

/** What the index says of the whole. */
export interface ContainerDescription {
  /** The program's version that wrote the file. */
  readonly program: string;
  /** What the stored machine is: plain JSON. */
  readonly machine: unknown;
}

/** Writes a container; `finish` comes last, and until it has run the file is none. */
export class ContainerWriter {
  readonly #file: FileWriter;
  readonly #packing: Packing;
  readonly #compress: boolean;
  readonly #sections: Section[] = [];
  readonly #staging = new Uint8Array(BLOCK);
  #at = PAGE;

  constructor(file: FileWriter, packing: Packing, compress: boolean) {
    this.#file = file;
    this.#packing = packing;
    this.#compress = compress;
  }

  /** Adds a section whose data are the pieces one behind the other. */
  add(name: string, version: number, pieces: Iterable<Uint8Array>): void {
    const offset = this.#at;
    const blocks: Block[] = [];
    let bytes = 0;
    let staged = 0;
    for (const piece of pieces) {
      bytes += piece.length;
      for (let done = 0; done < piece.length; ) {
        const count = Math.min(BLOCK - staged, piece.length - done);
        this.#staging.set(piece.subarray(done, done + count), staged);
        staged += count;
        done += count;
        if (staged === BLOCK) {
          blocks.push(this.#block(staged));
          staged = 0;
        }
      }
    }
    if (staged > 0) blocks.push(this.#block(staged));
    this.#at = Math.ceil(this.#at / PAGE) * PAGE;
    this.#sections.push({ name, version, offset, bytes, blocks });
  }

  #block(length: number): Block {
    const data = this.#staging.subarray(0, length);
    const packed = this.#compress ? this.#packing.deflate(data) : data;
    const stored = packed.length < length ? packed : data;
    this.#file.write(this.#at, stored);
    this.#at += stored.length;
    return [stored.length, this.#packing.checksum(data)];
  }

  finish(description: ContainerDescription): void {
    const index = toAscii(JSON.stringify({ ...description, sections: this.#sections }));
    this.#file.write(this.#at, index);
    const head = new Uint8Array(HEAD_BYTES);
    const view = new DataView(head.buffer);
    head.set(toAscii(MAGIC));
    view.setUint32(16, FORMAT, true);
    view.setUint32(20, this.#packing.checksum(index), true);
    view.setBigUint64(24, BigInt(this.#at), true);
    view.setBigUint64(32, BigInt(index.length), true);
    view.setUint32(40, this.#packing.checksum(head.subarray(0, 40)), true);
    this.#file.write(0, head);
  }
}

/** Looks at a block in the file once more. Throws StateError when its checksum does not fit. */
export type Check = () => void;

/** A container that was opened: its head and index are sound, its sections are checked when they are read. */
export class ContainerReader {
  readonly program: string;
  readonly machine: unknown;
  readonly #file: FileReader;
  readonly #packing: Packing;
  readonly #sections: ReadonlyMap<string, Section>;

  /** Throws StateError: the message goes behind the file's name. */
  constructor(file: FileReader, packing: Packing) {
    this.#file = file;
    this.#packing = packing;
    const index = checkIndex(readIndex(file, packing));
    this.program = index.program;
    this.machine = index.machine;
    this.#sections = new Map(index.sections.map((section) => [section.name, section]));
    for (const { name, offset, bytes, blocks } of index.sections) {
      const end = offset + blocks.reduce((sum, [stored]) => sum + stored, 0);
      if (blocks.length !== Math.ceil(bytes / BLOCK)) throw damaged(`section ${name} has a wrong number of blocks`);
      if (end > file.bytes) throw new StateError(`is truncated: it has ${file.bytes} bytes, section ${name} ends at ${end}`);
    }
  }

  get names(): readonly string[] {
    return [...this.#sections.keys()];
  }
  /** Undefined where there is no such section. */
  version(name: string): number | undefined {
    return this.#sections.get(name)?.version;
  }

  /** The data of a section. Throws StateError. */
  read(name: string): Uint8Array {
    const data = new Uint8Array(this.#section(name).bytes);
    this.readInto(name, [data]);
    return data;
  }

  /**
   * Spreads the data of a section over the targets, which take all of them. With `unchecked` they are shared memory, which may come
   * to show the file itself: the checks of such blocks are put there and not made. Throws StateError, with some of them filled.
   */
  readInto(name: string, targets: Iterable<Uint8Array>, unchecked?: Check[]): void {
    const { offset, bytes, blocks } = this.#section(name);
    const rest = new Pieces(targets);
    let at = offset;
    for (const [i, [stored, checksum]] of blocks.entries()) {
      const length = Math.min(BLOCK, bytes - i * BLOCK);
      if (stored > length) throw damaged(`section ${name} has a block that is too long`);
      const packed = stored < length ? this.#inflate(name, at, stored, length) : undefined;
      const filled: Uint8Array[] = [];
      let shown = packed === undefined && unchecked !== undefined;
      for (let done = 0; done < length; ) {
        const piece = rest.next(length - done);
        if (piece === undefined) throw damaged(`section ${name} is too long`);
        // What is not compressed goes where it belongs without a copy in between: RAM is large.
        if (packed === undefined) {
          const mapped = unchecked !== undefined && this.#file.map?.(at + done, piece) === true;
          if (!mapped) this.#file.read(at + done, piece);
          shown &&= mapped;
        } else piece.set(packed.subarray(done, done + piece.length));
        filled.push(piece);
        done += piece.length;
      }
      const place = at;
      if (shown) unchecked!.push(() => this.#check(name, [this.#bytes(place, length)], checksum));
      else this.#check(name, filled, checksum);
      at += stored;
    }
    if (rest.next(1) !== undefined) throw damaged(`section ${name} is too short`);
  }

  #check(name: string, pieces: readonly Uint8Array[], checksum: number): void {
    const found = pieces.reduce((before, piece) => this.#packing.checksum(piece, before), 0);
    if (found !== checksum) throw damaged(`the checksum of section ${name} does not fit`);
  }
  #bytes(at: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    this.#file.read(at, bytes);
    return bytes;
  }

  #inflate(name: string, at: number, stored: number, length: number): Uint8Array {
    const packed = this.#bytes(at, stored);
    try {
      return this.#packing.inflate(packed, length);
    } catch {
      throw damaged(`section ${name} cannot be decompressed`);
    }
  }

  #section(name: string): Section {
    const section = this.#sections.get(name);
    if (section === undefined) throw damaged(`there is no section ${name}`);
    return section;
  }
}

/** Targets as pieces of whatever length is wanted. */
class Pieces {
  readonly #targets: Iterator<Uint8Array>;
  #target: Uint8Array = new Uint8Array(0);

  constructor(targets: Iterable<Uint8Array>) {
    this.#targets = targets[Symbol.iterator]();
  }

  /** The next piece, of `most` bytes at most; undefined behind the last. */
  next(most: number): Uint8Array | undefined {
    while (this.#target.length === 0) {
      const { done, value } = this.#targets.next();
      if (done === true) return undefined;
      this.#target = value;
    }
    const piece = this.#target.subarray(0, most);
    this.#target = this.#target.subarray(piece.length);
    return piece;
  }
}

function damaged(why: string): StateError {
  return new StateError(`is damaged: ${why}`);
}

function readIndex(file: FileReader, packing: Packing): string {
  const head = new Uint8Array(Math.min(HEAD_BYTES, file.bytes));
  file.read(0, head);
  const magic = fromAscii(head.subarray(0, MAGIC.length));
  if (magic !== MAGIC) {
    if (file.bytes >= HEAD_BYTES && head.every((byte) => byte === 0)) throw new StateError('was not written to its end');
    throw new StateError('is no stored machine');
  }
  if (head.length < HEAD_BYTES) throw new StateError(`is truncated: it has ${file.bytes} bytes`);
  const view = new DataView(head.buffer);
  const format = view.getUint32(16, true);
  if (packing.checksum(head.subarray(0, 40)) !== view.getUint32(40, true)) throw damaged('the checksum of its head does not fit');
  if (format !== FORMAT) throw new StateError(`was written by a newer version: its format is ${format}, this version reads ${FORMAT}`);
  const [offset, length] = [Number(view.getBigUint64(24, true)), Number(view.getBigUint64(32, true))];
  if (offset + length > file.bytes) throw new StateError(`is truncated: it has ${file.bytes} bytes, its index ends at ${offset + length}`);
  if (length > LARGEST_INDEX) throw damaged('its index is too long');
  const index = new Uint8Array(length);
  file.read(offset, index);
  if (packing.checksum(index) !== view.getUint32(20, true)) throw damaged('the checksum of its index does not fit');
  return fromAscii(index);
}

/** Who writes a wrong index with the right checksum did it on purpose, so every value is looked at. */
function checkIndex(text: string): ContainerDescription & { readonly sections: readonly Section[] } {
  let index: { readonly [key: string]: unknown };
  try {
    index = JSON.parse(text);
  } catch {
    throw damaged('its index is no JSON');
  }
  if (typeof index !== 'object' || index === null || typeof index['program'] !== 'string' || !Array.isArray(index['sections'])) throw damaged('its index names no sections');
  const isCount = (value: unknown, most: number): value is number => typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= most;
  const isBlock = (value: unknown): value is Block => Array.isArray(value) && value.length === 2 && isCount(value[0], BLOCK) && isCount(value[1], 0xffffffff);
  const isSection = (value: unknown): value is Section => {
    const section = (value ?? {}) as Partial<Section>;
    return typeof section.name === 'string' && isCount(section.version, 0xffffffff) && isCount(section.offset, Number.MAX_SAFE_INTEGER)
      && isCount(section.bytes, LARGEST_SECTION) && Array.isArray(section.blocks) && section.blocks.every(isBlock);
  };
  const sections: readonly unknown[] = index['sections'];
  if (!sections.every(isSection)) throw damaged('its index has a section that makes no sense');
  return { program: index['program'], machine: index['machine'], sections };
}

/** Everything else is escaped, as JSON allows. */
function toAscii(text: string): Uint8Array {
  const plain = text.replace(/[\u007f-\uffff]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
  return Uint8Array.from(plain, (character) => character.charCodeAt(0));
}

function fromAscii(bytes: Uint8Array): string {
  const parts: string[] = [];
  for (let at = 0; at < bytes.length; at += 8192) parts.push(String.fromCharCode(...bytes.subarray(at, at + 8192)));
  return parts.join('');
}
