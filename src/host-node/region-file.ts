import { closeSync, fstatSync, mkdirSync, openSync, readSync, readdirSync, statSync, unlinkSync, writeSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { deserialize, serialize } from 'node:v8';
import { crc32 } from 'node:zlib';
import type { KeptRegion, RegionShelf } from '../engines/translator/kept-regions.ts';

// The file is a sequence of batches, each written at once, by any number of processes:
//   u32 MAGIC, number of regions, checksum of what follows as index, bytes of all regions
//   for each region: i32 key, u32 bytes, u32 checksum
//   the regions, one behind the other, as v8.serialize has them
// Little-endian. Who finds something else at its end takes what is before it.

const MAGIC = 0x31525650;
const HEAD = 16;
const ENTRY = 12;
/** What is made is written so long after the first of it, so that a process that is killed loses little. */
const DELAY_MS = 200;
/** A file of this size takes no more, and is begun anew by who opens it next: a guest that makes code endlessly has no more of the disk. */
const FULL_BYTES = 64 << 20;
/** A broken batch is somebody's who is at it, unless the file has not been written to for so long. */
const STILL_MS = 10_000;
/** Files of versions that nobody has used for so long go. */
const FORGOTTEN_MS = 30 * 24 * 3600 * 1000;

interface Place {
  readonly position: number;
  readonly length: number;
  readonly checksum: number;
}

/**
 * Regions in a file that all processes of one version of ours share. A file that cannot be read or written is as good as an empty one:
 * regions are then made each time.
 */
export class RegionFile implements RegionShelf {
  readonly #path: string;
  readonly #fullBytes: number;
  #full = false;
  readonly #places = new Map<number, Place[]>();
  /** What was put and is still to be written. */
  #waiting: { readonly key: number; readonly region: KeptRegion }[] = [];
  #timer: NodeJS.Timeout | undefined;
  #file: number | undefined;
  /** Key and checksum of what was written: what is made a second time is there already. */
  readonly #written = new Set<string>();

  /** `path` names the version, too; its folder is made when something is written. */
  constructor(path: string, fullBytes = FULL_BYTES) {
    this.#path = path;
    this.#fullBytes = fullBytes;
    try {
      this.#file = openSync(path, 'r');
      if (!this.#readIndex(this.#file)) this.#beginAnew();
    } catch {
      // There is none yet, or it is not for us.
    }
  }

  * take(key: number): Generator<KeptRegion> {
    const places = this.#places.get(key);
    for (let k = (places?.length ?? 0) - 1; k >= 0; k--) {
      const region = this.#read(places![k]!);
      if (region !== undefined) yield region;
    }
  }

  put(key: number, region: KeptRegion): void {
    if (this.#full) return;
    this.#waiting.push({ key, region });
    this.#timer ??= setTimeout(() => this.write(), DELAY_MS);
  }

  /** Writes what was put. */
  write(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const batch = this.#waiting.splice(0).map(({ key, region }) => {
      const bytes = serialize(region);
      return { key, bytes, checksum: crc32(bytes) };
    }).filter(({ key, checksum }) => {
      const name = `${key} ${checksum}`;
      if (this.#written.has(name)) return false;
      this.#written.add(name);
      return true;
    });
    if (batch.length === 0) return;
    const index = Buffer.alloc(batch.length * ENTRY);
    batch.forEach(({ key, bytes, checksum }, k) => {
      index.writeInt32LE(key, k * ENTRY);
      index.writeUInt32LE(bytes.length, k * ENTRY + 4);
      index.writeUInt32LE(checksum, k * ENTRY + 8);
    });
    const head = Buffer.alloc(HEAD);
    [MAGIC, batch.length, crc32(index), batch.reduce((sum, { bytes }) => sum + bytes.length, 0)].forEach((word, k) => head.writeUInt32LE(word, k * 4));
    this.#append(Buffer.concat([head, index, ...batch.map(({ bytes }) => bytes)]));
  }

  close(): void {
    this.write();
    if (this.#file !== undefined) closeSync(this.#file);
    this.#file = undefined;
  }

  #append(bytes: Buffer): void {
    try {
      mkdirSync(dirname(this.#path), { recursive: true, mode: 0o700 });
      const file = openSync(this.#path, 'a', 0o600);
      try {
        const { size } = fstatSync(file);
        if (size === 0) this.#removeForgotten();
        if (size >= this.#fullBytes) this.#full = true;
        else writeSync(file, bytes);
      } finally {
        closeSync(file);
      }
    } catch {
      // No room, or no right to: see the class.
    }
  }

  /** False when the file is to be begun anew. */
  #readIndex(file: number): boolean {
    const { size, mtimeMs } = fstatSync(file);
    const head = Buffer.alloc(HEAD);
    let at = 0;
    while (at < size) {
      const whole = readSync(file, head, 0, HEAD, at) === HEAD && head.readUInt32LE(0) === MAGIC;
      const [count, checksum, length] = [4, 8, 12].map((offset) => head.readUInt32LE(offset)) as [number, number, number];
      const first = at + HEAD + count * ENTRY;
      if (!whole || first + length > size) return Date.now() - mtimeMs < STILL_MS;
      const index = Buffer.alloc(count * ENTRY);
      if (readSync(file, index, 0, index.length, at + HEAD) !== index.length || crc32(index) !== checksum) return Date.now() - mtimeMs < STILL_MS;
      let position = first;
      for (let k = 0; k < index.length; k += ENTRY) {
        const place = { position, length: index.readUInt32LE(k + 4), checksum: index.readUInt32LE(k + 8) };
        const key = index.readInt32LE(k);
        const others = this.#places.get(key);
        if (others === undefined) this.#places.set(key, [place]);
        else others.push(place);
        position += place.length;
      }
      at = first + length;
    }
    return size < this.#fullBytes;
  }

  #beginAnew(): void {
    this.#places.clear();
    unlinkSync(this.#path);
  }

  #removeForgotten(): void {
    const folder = dirname(this.#path);
    for (const name of readdirSync(folder)) {
      const other = join(folder, name);
      if (name !== basename(this.#path) && Date.now() - statSync(other).mtimeMs > FORGOTTEN_MS) unlinkSync(other);
    }
  }

  #read({ position, length, checksum }: Place): KeptRegion | undefined {
    try {
      const bytes = Buffer.alloc(length);
      return readSync(this.#file!, bytes, 0, length, position) === length && crc32(bytes) === checksum ? deserialize(bytes) as KeptRegion : undefined;
    } catch {
      return undefined;
    }
  }
}
