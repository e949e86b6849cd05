import { FolderError } from '../../host/folders.ts';

// Messages of 9P (Plan 9's intro(5)): size[4] type[1] tag[2], then fields; numbers little-endian, texts count[2] and so many bytes.

export const HEADER_BYTES = 7;
/** A tag that no request has. */
export const NO_TAG = 0xffff;

/** Types of requests (Linux's include/net/9p/9p.h); the answer's is one more. */
export const REQUEST = {
  statfs: 8, lopen: 12, lcreate: 14, symlink: 16, mknod: 18, rename: 20, readlink: 22, getattr: 24, setattr: 26, xattrwalk: 30, xattrcreate: 32, readdir: 40,
  fsync: 50, lock: 52, getlock: 54, link: 70, mkdir: 72, renameat: 74, unlinkat: 76, version: 100, auth: 102, attach: 104, flush: 108, walk: 110, read: 116,
  write: 118, clunk: 120, remove: 122,
} as const;
export const ANSWER_ERROR = 7;

/** A file's identity: its type, a number that changes with its contents, and one that no other file has. */
export interface Qid {
  readonly type: number;
  readonly version: number;
  readonly path: bigint;
}
export const QID_BYTES = 13;

/** Takes a message apart; where it ends too early, FolderError EPROTO. */
export class MessageReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = HEADER_BYTES;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  #take(count: number): number {
    const at = this.#at;
    if (count > this.#bytes.length - at) throw new FolderError('EPROTO');
    this.#at += count;
    return at;
  }
  u8(): number {
    return this.#view.getUint8(this.#take(1));
  }
  u16(): number {
    return this.#view.getUint16(this.#take(2), true);
  }
  u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }
  u64(): bigint {
    return this.#view.getBigUint64(this.#take(8), true);
  }
  /** An offset or a length; what no file has is EINVAL. */
  offset(): number {
    const value = this.u64();
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new FolderError('EINVAL');
    return Number(value);
  }
  /** A character for each byte. */
  text(): string {
    const count = this.u16();
    const at = this.#take(count);
    return String.fromCharCode(...this.#bytes.subarray(at, at + count));
  }
  /** As they lie in the message. */
  bytes(count: number): Uint8Array {
    const at = this.#take(count);
    return this.#bytes.subarray(at, at + count);
  }
}

/** Puts an answer together. */
export class MessageWriter {
  #bytes: Uint8Array;
  #view: DataView;
  #at = HEADER_BYTES;

  constructor(room = 64) {
    this.#bytes = new Uint8Array(HEADER_BYTES + room);
    this.#view = new DataView(this.#bytes.buffer);
  }

  get length(): number {
    return this.#at;
  }

  #put(count: number): number {
    const at = this.#at;
    this.#at += count;
    if (this.#at > this.#bytes.length) {
      const more = new Uint8Array(2 * this.#at);
      more.set(this.#bytes);
      this.#bytes = more;
      this.#view = new DataView(more.buffer);
    }
    return at;
  }
  u8(value: number): this {
    const at = this.#put(1);
    this.#view.setUint8(at, value);
    return this;
  }
  u16(value: number): this {
    const at = this.#put(2);
    this.#view.setUint16(at, value, true);
    return this;
  }
  u32(value: number): this {
    const at = this.#put(4);
    this.#view.setUint32(at, value, true);
    return this;
  }
  u64(value: bigint): this {
    const at = this.#put(8);
    this.#view.setBigUint64(at, value, true);
    return this;
  }
  text(value: string): this {
    this.u16(value.length);
    const at = this.#put(value.length);
    for (let i = 0; i < value.length; i++) this.#bytes[at + i] = value.charCodeAt(i);
    return this;
  }
  qid({ type, version, path }: Qid): this {
    return this.u8(type).u32(version).u64(path);
  }
  /** Room to be filled in place, before anything else is put. */
  room(count: number): Uint8Array {
    const at = this.#put(count);
    return this.#bytes.subarray(at, at + count);
  }
  /** In place of the first field. */
  first32(value: number): this {
    this.#view.setUint32(HEADER_BYTES, value, true);
    return this;
  }
  /** Takes back what was put last. */
  shorten(count: number): this {
    this.#at -= count;
    return this;
  }

  message(type: number, tag: number): Uint8Array {
    this.#view.setUint32(0, this.#at, true);
    this.#view.setUint8(4, type);
    this.#view.setUint16(5, tag, true);
    return this.#bytes.subarray(0, this.#at);
  }
}
