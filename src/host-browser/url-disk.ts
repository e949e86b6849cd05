import type { ByteRuns } from '../base/byte-runs.ts';
import { UserError } from '../base/errors.ts';
import { ReadOnlyDisk } from './read-only-disk.ts';
import { refused, request } from './sources.ts';

const BLOCK = 1 << 17;
/** Of blocks that are kept. */
const CACHE_BYTES = 64 << 20;
/** Blocks that are asked for before the guest does when it reads one behind the other. */
const AHEAD = 3;
const TRIES = 3;
const RETRY_MS = 500;
/** A server that cannot send parts may send the whole, if that is no more. */
const MOST_WHOLE = 512 << 20;

/** A file on a server, of which blocks are fetched when they are read; never written to. */
export class UrlDisk extends ReadOnlyDisk {
  readonly bytes: number;
  /** What tells this version of the file from others. */
  readonly version: string;
  readonly #url: string;
  readonly #complain: (line: string) => void;
  /** The least recently used first. */
  readonly #blocks = new Map<number, Uint8Array>();
  readonly #coming = new Map<number, Promise<Uint8Array>>();
  readonly #cancel = new AbortController();
  #last = -1;

  private constructor(url: string, bytes: number, version: string, complain: (line: string) => void) {
    super();
    this.#url = url;
    this.bytes = bytes - (bytes % 512);
    this.version = version;
    this.#complain = complain;
  }

  /** A disk, or all of the file where the server cannot send parts of it. Throws UserError. */
  static async open(what: string, url: string, complain: (line: string) => void): Promise<UrlDisk | Blob> {
    const response = await request(what, url, { headers: { range: 'bytes=0-0' }, cache: 'no-store' });
    const size = /\/([0-9]+)$/.exec(response.headers.get('content-range') ?? '')?.[1];
    if (response.status === 206 && size !== undefined) {
      await response.body?.cancel();
      return new UrlDisk(url, Number(size), versionOf(response), complain);
    }
    if (!response.ok) throw refused(what, url, response.status);
    const length = Number(response.headers.get('content-length') ?? Number.NaN);
    if (!(length <= MOST_WHOLE)) {
      await response.body?.cancel();
      const large = Number.isNaN(length) ? 'does not say how long it is' : `has ${length >> 20} MiB`;
      throw new UserError(`${what} ${url}: its server does not support range requests, and the file ${large}; put it on a server that does (nginx, Caddy, GitHub Pages), or download it and choose it as a file`);
    }
    complain(`${what} ${url}: its server does not support range requests, so all of it is loaded (${(length / 2 ** 20).toFixed(1)} MiB)`);
    return response.blob();
  }

  async read(offset: number, target: Uint8Array): Promise<void> {
    const first = Math.floor(offset / BLOCK);
    const last = Math.floor((offset + target.length - 1) / BLOCK);
    const blocks = Array.from({ length: last - first + 1 }, (_, i) => this.#block(first + i));
    if (first === this.#last || first === this.#last + 1) for (let i = 1; i <= AHEAD && (last + i) * BLOCK < this.bytes; i++) this.#block(last + i).catch(() => {});
    this.#last = last;
    for (const [i, coming] of blocks.entries()) copy(await coming, (first + i) * BLOCK, offset, target);
  }

  readNow(offset: number, target: ByteRuns): boolean {
    for (let index = Math.floor(offset / BLOCK); index * BLOCK < offset + target.bytes; index++) if (!this.#blocks.has(index)) return false;
    target.each(offset, (part, at) => {
      for (let index = Math.floor(at / BLOCK); index * BLOCK < at + part.length; index++) copy(this.#blocks.get(index)!, index * BLOCK, at, part);
    });
    return true;
  }

  async #block(index: number): Promise<Uint8Array> {
    const block = this.#blocks.get(index);
    if (block !== undefined) {
      this.#blocks.delete(index);
      this.#blocks.set(index, block);
      return block;
    }
    const coming = this.#coming.get(index) ?? this.#fetch(index).finally(() => this.#coming.delete(index));
    this.#coming.set(index, coming);
    return coming;
  }

  async #fetch(index: number): Promise<Uint8Array> {
    const first = index * BLOCK;
    const last = Math.min(first + BLOCK, this.bytes) - 1;
    for (let tried = 1; ; tried++) {
      try {
        const block = await this.#fetchOnce(first, last);
        this.#blocks.set(index, block);
        for (const oldest of this.#blocks.keys()) {
          if (this.#blocks.size * BLOCK <= CACHE_BYTES) break;
          this.#blocks.delete(oldest);
        }
        return block;
      } catch (error) {
        if (tried < TRIES && !this.#cancel.signal.aborted) {
          await new Promise((resolve) => setTimeout(resolve, RETRY_MS * tried));
          continue;
        }
        if (!this.#cancel.signal.aborted) this.#complain(`disk ${this.#url}: bytes ${first} to ${last} cannot be fetched (${(error as Error).message}); the guest sees a read error: check the network and the server`);
        throw error;
      }
    }
  }

  async #fetchOnce(first: number, last: number): Promise<Uint8Array> {
    const response = await fetch(this.#url, { headers: { range: `bytes=${first}-${last}` }, signal: this.#cancel.signal });
    if (response.status !== 206) throw new Error(`the server answers ${response.status}`);
    if (versionOf(response) !== this.version) throw new Error('the file on the server has been changed');
    const bytes = new Uint8Array(await response.arrayBuffer());
    if (bytes.length !== last - first + 1) throw new Error(`the server sends ${bytes.length} bytes`);
    return bytes;
  }

  override async close(): Promise<void> {
    this.#cancel.abort();
  }
}

function versionOf(response: Response): string {
  return response.headers.get('etag') ?? response.headers.get('last-modified') ?? '';
}

/** What of a block lies in the range. */
function copy(block: Uint8Array, at: number, offset: number, target: Uint8Array): void {
  const from = Math.max(0, offset - at);
  const count = Math.min(block.length - from, offset + target.length - Math.max(at, offset));
  target.set(block.subarray(from, from + count), at + from - offset);
}
