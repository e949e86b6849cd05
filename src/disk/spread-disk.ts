import type { ByteRuns } from '../base/byte-runs.ts';
import type { BlockPort } from '../host/blocks.ts';

/** Where a byte of the whole lies, and how many follow it there. */
interface Place {
  readonly part: BlockPort;
  readonly offset: number;
  readonly run: number;
}

/** One disk out of several, each byte on one of them. Parts are closed with it; read-only as soon as one part is. */
class SpreadDisk implements BlockPort {
  readonly bytes: number;
  readonly readOnly: boolean;
  readonly releases: boolean;
  readonly #parts: readonly BlockPort[];
  readonly #locate: (offset: number) => Place;

  constructor(parts: readonly BlockPort[], bytes: number, locate: (offset: number) => Place) {
    this.#parts = parts;
    this.#locate = locate;
    this.bytes = bytes;
    this.readOnly = parts.some((part) => part.readOnly);
    this.releases = parts.some((part) => part.releases);
  }

  async read(offset: number, target: Uint8Array): Promise<void> {
    await this.#each(offset, target.length, ({ part, offset: there }, at, count) => part.read(there, target.subarray(at, at + count)));
  }
  readNow(offset: number, target: ByteRuns): boolean {
    for (let at = 0; at < target.bytes;) {
      const { part, offset: there, run } = this.#locate(offset + at);
      const count = Math.min(run, target.bytes - at);
      if (!part.readNow(there, count === target.bytes ? target : target.slice(at, count))) return false;
      at += count;
    }
    return true;
  }
  async write(offset: number, source: Uint8Array): Promise<void> {
    await this.#each(offset, source.length, ({ part, offset: there }, at, count) => part.write(there, source.subarray(at, at + count)));
  }
  async zero(offset: number, bytes: number): Promise<void> {
    await this.#each(offset, bytes, ({ part, offset: there }, _, count) => part.zero(there, count));
  }
  async flush(): Promise<void> {
    await settle(this.#parts.map((part) => part.flush()));
  }
  async close(): Promise<void> {
    await settle(this.#parts.map((part) => part.close()));
  }

  async #each(offset: number, length: number, ask: (place: Place, at: number, count: number) => Promise<void>): Promise<void> {
    const asked: Promise<void>[] = [];
    for (let at = 0; at < length;) {
      const place = this.#locate(offset + at);
      const count = Math.min(place.run, length - at);
      asked.push(ask(place, at, count));
      at += count;
    }
    await settle(asked);
  }
}

/** Waits for all, also when one fails: buffers are lent until then. */
async function settle(asked: readonly Promise<void>[]): Promise<void> {
  for (const outcome of await Promise.allSettled(asked)) if (outcome.status === 'rejected') throw outcome.reason;
}

/** The disks one behind the other. */
export function concatenated(parts: readonly BlockPort[]): BlockPort {
  const starts: number[] = [];
  let bytes = 0;
  for (const part of parts) {
    starts.push(bytes);
    bytes += part.bytes;
  }
  return new SpreadDisk(parts, bytes, (offset) => {
    const index = starts.findLastIndex((start) => start <= offset);
    const part = parts[index]!;
    return { part, offset: offset - starts[index]!, run: starts[index]! + part.bytes - offset };
  });
}

/** Pieces of `chunk` bytes in turn on each of the disks, as much of each as the smallest has. */
export function striped(parts: readonly BlockPort[], chunk: number): BlockPort {
  const rows = Math.floor(Math.min(...parts.map((part) => part.bytes)) / chunk);
  return new SpreadDisk(parts, rows * chunk * parts.length, (offset) => {
    const index = Math.floor(offset / chunk);
    const inside = offset - index * chunk;
    return { part: parts[index % parts.length]!, offset: Math.floor(index / parts.length) * chunk + inside, run: chunk - inside };
  });
}
