import type { ByteRuns } from '../base/byte-runs.ts';
import { UserError } from '../base/errors.ts';
import type { BlockPort } from '../host/blocks.ts';
import type { FileReader, FileWriter } from '../host/files.ts';

// The file of an overlay. Every number little-endian:
//
//   0   16  "Polyvisor disk1\n"
//   16  8   size of the disk in bytes
//   24  8   stamp: another number whenever the contents may be other ones than when it was asked for last
//   32  4   length of what follows: which disk is below, in UTF-16 code units
//   36      that text
//   4096    a number of 4 bytes for each block of the disk: 0, or 1 and the place of its contents
//           then, on the next multiple of 4096, the places, 4096 bytes each
//
// So a file is as large as what was written, wherever that lies, and a place is written before it is named.

const MAGIC = 'Polyvisor disk1\n';
const BLOCK = 4096;
const TABLE = 4096;
const MOST_TEXT = 1024;

/** A file that is read and written at once. */
export interface OverlayFile extends FileReader, FileWriter {
  /** As it is now. */
  readonly bytes: number;
  flush(): void;
  close(): void;
}

/** A disk over another one, which is never written to: what the guest writes goes to a file. */
export class OverlayDisk implements BlockPort {
  readonly bytes: number;
  readonly readOnly = false;
  readonly releases = false;
  readonly #file: OverlayFile;
  readonly #below: BlockPort;
  readonly #table: Uint32Array;
  readonly #places: number;
  #used: number;
  #stamp: bigint;
  /** The stamp is of what is there now, and somebody knows it. */
  #stampKnown: boolean;
  readonly #random: () => bigint;
  /** Writes of parts of blocks, in order: they read before they write. */
  #partial: Promise<void> = Promise.resolve();
  #closed = false;

  /**
   * Takes over file and disk. `identity`: what tells the disk below from others; a file that was made over another one is refused
   * with a UserError, which calls it `name`. `random`: 64 bits.
   */
  constructor(file: OverlayFile, below: BlockPort, identity: string, name: string, random: () => bigint) {
    this.#file = file;
    this.#below = below;
    this.bytes = below.bytes;
    this.#random = random;
    const blocks = Math.ceil(this.bytes / BLOCK);
    this.#places = Math.ceil((TABLE + blocks * 4) / BLOCK) * BLOCK;
    this.#table = new Uint32Array(blocks);
    const text = identity.slice(0, MOST_TEXT);
    if (file.bytes === 0) {
      this.#stamp = random();
      this.#used = 0;
      file.write(this.#places - 1, new Uint8Array(1));
      file.write(0, this.#head(text));
    } else {
      this.#stamp = this.#checkHead(text, name);
      this.#used = Math.ceil(Math.max(0, file.bytes - this.#places) / BLOCK);
      file.read(TABLE, new Uint8Array(this.#table.buffer));
      if (this.#table.some((place) => place > this.#used)) throw new UserError(`the changes kept as "${name}" are damaged: a block lies behind the file's end; remove them`);
    }
    this.#stampKnown = true;
  }

  #head(identity: string): Uint8Array {
    const head = new Uint8Array(36 + 2 * identity.length);
    const view = new DataView(head.buffer);
    head.set(Uint8Array.from(MAGIC, (character) => character.charCodeAt(0)));
    view.setBigUint64(16, BigInt(this.bytes), true);
    view.setBigUint64(24, this.#stamp, true);
    view.setUint32(32, identity.length, true);
    for (let i = 0; i < identity.length; i++) view.setUint16(36 + 2 * i, identity.charCodeAt(i), true);
    return head;
  }

  #checkHead(identity: string, name: string): bigint {
    const damaged = (why: string): UserError => new UserError(`the changes kept as "${name}" are damaged: ${why}; remove them`);
    if (this.#file.bytes < this.#places) throw this.#file.bytes < TABLE ? damaged('their file is too short') : this.#other(name);
    const head = new Uint8Array(TABLE);
    this.#file.read(0, head);
    const view = new DataView(head.buffer);
    if (String.fromCharCode(...head.subarray(0, MAGIC.length)) !== MAGIC) throw damaged('their file is of another kind');
    const length = Math.min(view.getUint32(32, true), MOST_TEXT);
    const below = Array.from({ length }, (_, i) => String.fromCharCode(view.getUint16(36 + 2 * i, true))).join('');
    if (view.getBigUint64(16, true) !== BigInt(this.bytes) || below !== identity) throw this.#other(name, below);
    return view.getBigUint64(24, true);
  }
  #other(name: string, below?: string): UserError {
    return new UserError(`the changes kept as "${name}" were made to another disk${below === undefined ? '' : ` (${below})`}; give that one, another name to keep changes under, or remove them`);
  }

  /** What tells these contents from those before and after; another one once they have changed. */
  stamp(): string {
    this.#stampKnown = true;
    return this.#stamp.toString(16);
  }
  #changes(): void {
    if (!this.#stampKnown) return;
    this.#stampKnown = false;
    this.#stamp = this.#random();
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, this.#stamp, true);
    this.#file.write(24, bytes);
  }

  async read(offset: number, target: Uint8Array): Promise<void> {
    const below: Promise<void>[] = [];
    for (const run of this.#runs(offset, target.length)) {
      const part = target.subarray(run.at, run.at + run.count);
      if (run.place === undefined) below.push(this.#below.read(offset + run.at, part));
      else this.#file.read(run.place, part);
    }
    await Promise.all(below);
  }

  readNow(offset: number, target: ByteRuns): boolean {
    const runs = this.#runs(offset, target.bytes);
    if (!runs.every((run) => run.place !== undefined)) return false;
    target.each(offset, (part, at) => void this.read(at, part)); // at once, as nothing below is asked
    return true;
  }

  write(offset: number, source: Uint8Array): Promise<void> {
    return this.#ordered(offset, source.length, async () => {
      this.#changes();
      for (const run of this.#runs(offset, source.length)) {
        const part = source.subarray(run.at, run.at + run.count);
        if (run.place !== undefined) this.#file.write(run.place, part);
        else await this.#fresh(offset + run.at, part);
      }
    });
  }

  /** Blocks that are not in the file yet: whole ones together, parts with what is below around them. */
  async #fresh(offset: number, source: Uint8Array): Promise<void> {
    for (let at = 0; at < source.length;) {
      const from = (offset + at) % BLOCK;
      const left = source.length - at;
      const whole = offset + source.length === this.bytes ? left : left - (left % BLOCK);
      const count = from === 0 && whole > 0 ? whole : Math.min(BLOCK - from, left);
      const part = source.subarray(at, at + count);
      if (from === 0 && whole > 0) this.#append((offset + at) / BLOCK, part);
      else await this.#patch(offset + at, part);
      at += count;
    }
  }

  /** Part of a block. */
  async #patch(offset: number, part: Uint8Array): Promise<void> {
    const block = Math.floor(offset / BLOCK);
    const contents = new Uint8Array(Math.min(BLOCK, this.bytes - block * BLOCK));
    await this.#below.read(block * BLOCK, contents);
    // While the rest came somebody may have written the whole.
    const there = this.#table[block]!;
    if (there > 0) {
      this.#file.write(this.#placeOf(there) + (offset % BLOCK), part);
      return;
    }
    contents.set(part, offset % BLOCK);
    this.#append(block, contents);
  }

  /** Contents of blocks from `block` on; only the disk's last one may be shorter than a block. */
  #append(block: number, contents: Uint8Array): void {
    const count = Math.ceil(contents.length / BLOCK);
    const place = this.#used + 1;
    this.#file.write(this.#placeOf(place), contents);
    this.#used += count;
    const entries = new Uint8Array(4 * count);
    const view = new DataView(entries.buffer);
    for (let i = 0; i < count; i++) view.setUint32(4 * i, place + i, true);
    this.#file.write(TABLE + block * 4, entries);
    for (let i = 0; i < count; i++) this.#table[block + i] = place + i;
  }

  /** Whole blocks go at once; parts wait for those before them. */
  #ordered(offset: number, length: number, work: () => Promise<void>): Promise<void> {
    const whole = offset % BLOCK === 0 && (length % BLOCK === 0 || offset + length === this.bytes);
    const done = whole ? work() : this.#partial.then(work);
    if (!whole) this.#partial = done.catch(() => {});
    return done;
  }

  #placeOf(entry: number): number {
    return this.#places + (entry - 1) * BLOCK;
  }

  async zero(offset: number, bytes: number): Promise<void> {
    const zeros = new Uint8Array(Math.min(bytes, 1 << 16));
    for (let done = 0; done < bytes; done += zeros.length) await this.write(offset + done, zeros.subarray(0, bytes - done));
  }

  async flush(): Promise<void> {
    await this.#partial;
    this.#file.flush();
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#partial;
    this.#file.flush();
    this.#file.close();
    await this.#below.close();
  }

  /** A range as pieces within blocks. */
  #pieces(offset: number, length: number): { at: number; count: number }[] {
    const pieces = [];
    for (let at = 0; at < length;) {
      const count = Math.min(BLOCK - ((offset + at) % BLOCK), length - at);
      pieces.push({ at, count });
      at += count;
    }
    return pieces;
  }

  /** A range as runs of what lies together in the file, or below (`place` undefined). */
  #runs(offset: number, length: number): { at: number; count: number; place: number | undefined }[] {
    const runs: { at: number; count: number; place: number | undefined }[] = [];
    for (const { at, count } of this.#pieces(offset, length)) {
      const entry = this.#table[Math.floor((offset + at) / BLOCK)]!;
      const place = entry === 0 ? undefined : this.#placeOf(entry) + ((offset + at) % BLOCK);
      const last = runs.at(-1);
      if (last !== undefined && (last.place === undefined ? place === undefined : last.place + last.count === place)) last.count += count;
      else runs.push({ at, count, place });
    }
    return runs;
  }
}
