import { randomUUID } from 'node:crypto';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { UserError } from '../base/errors.ts';
import { MirrorDisk } from '../disk/mirror-disk.ts';
import type { Log } from '../host/log.ts';
import { BlockFile } from './block-file.ts';
import { fileTrouble } from './words.ts';

// A mirror of image files. Beside each file lies FILE.mirror, which says whether the file is up to date.

/** What FILE.mirror holds, as JSON. */
interface LegRecord {
  /** The same for all files of a mirror. */
  readonly mirror: string;
  /** Raised whenever a leg is lost: files with a lower one are old. */
  readonly generation: number;
  /** False while a machine runs: after a crash, the files may differ in what was written last. */
  readonly clean: boolean;
}

const PIECE = 1 << 20;
const recordPath = (file: string): string => `${file}.mirror`;

async function readRecord(file: string): Promise<LegRecord | undefined> {
  let text: string;
  try {
    text = await readFile(recordPath(file), 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new UserError(`${recordPath(file)} ${fileTrouble(error)}; it says whether ${file} is up to date, and must be readable`);
  }
  try {
    const { mirror, generation, clean } = JSON.parse(text) as Partial<LegRecord>;
    if (typeof mirror === 'string' && Number.isSafeInteger(generation) && typeof clean === 'boolean') return { mirror, generation: generation!, clean };
  } catch {
    // no JSON
  }
  throw new UserError(`${recordPath(file)} is damaged; delete it when ${file} is to be filled anew`);
}

/** On stable storage when it settles. */
async function writeRecord(file: string, record: LegRecord): Promise<void> {
  const unfinished = `${recordPath(file)}.new`;
  await writeFile(unfinished, `${JSON.stringify(record)}\n`, { flush: true });
  await rename(unfinished, recordPath(file));
}

/** The first bytes that differ; undefined where `leg` is equal to `source`, or all zeros. */
async function foreign(source: BlockFile, leg: BlockFile): Promise<number | undefined> {
  const [wanted, found] = [new Uint8Array(PIECE), new Uint8Array(PIECE)];
  let [equal, empty] = [true, true];
  for (let at = 0; at < source.bytes; at += PIECE) {
    const length = Math.min(PIECE, source.bytes - at);
    await Promise.all([source.read(at, wanted.subarray(0, length)), leg.read(at, found.subarray(0, length))]);
    empty &&= !found.subarray(0, length).some((byte) => byte !== 0);
    equal &&= Buffer.compare(wanted.subarray(0, length), found.subarray(0, length)) === 0;
    if (!empty && !equal) return at;
  }
  return undefined;
}

/** The files of a mirror, opened; those that are old are filled anew while the guest runs. */
export class MirrorFiles extends MirrorDisk {
  readonly #files: readonly string[];
  readonly #log: Log;
  #record: LegRecord;

  constructor(files: readonly string[], blocks: readonly BlockFile[], stale: readonly boolean[], record: LegRecord, log: Log) {
    super(blocks.map((block, i) => ({ block, stale: stale[i]! })), {
      failed: (leg) => this.#failed(leg),
      returned: (leg) => this.#returned(leg),
    });
    this.#files = files;
    this.#log = log;
    this.#record = record;
  }

  /** The legs that are left must be known as newer than the lost one before the guest hears of another write. */
  async #failed(leg: number): Promise<void> {
    this.#record = { ...this.#record, generation: this.#record.generation + 1 };
    await this.#writeRecords();
    this.#log.warn(`mirror: ${this.#files[leg]} is left out from now on; ${this.#files.filter((_, i) => this.health[i] === 'good').join(', ')} goes on without it`);
  }

  async #returned(leg: number): Promise<void> {
    await this.#writeRecords();
    this.#log.warn(`mirror: ${this.#files[leg]} is up to date`);
  }

  async #writeRecords(): Promise<void> {
    await Promise.all(this.#files.map(async (file, i) => {
      if (this.health[i] === 'good') await writeRecord(file, this.#record);
    }));
  }

  /** Opens files anew that had failed, and brings them up to date while the guest runs; settles when they are. Throws UserError. */
  async repair(): Promise<void> {
    for (const [index, file] of this.#files.entries()) {
      if (this.health[index] !== 'failed') continue;
      const block = await openLeg(file, this.#log);
      try {
        if (block.bytes !== this.bytes) throw new UserError(`disk ${file} has ${block.bytes} bytes now, the mirror has ${this.bytes}`);
        await this.giveBack(index, block);
      } catch (error) {
        await block.close();
        throw error;
      }
    }
  }

  override async close(): Promise<void> {
    await super.close();
    this.#record = { ...this.#record, clean: true };
    await this.#writeRecords();
  }
}

function openLeg(file: string, log: Log): Promise<BlockFile> {
  return BlockFile.open(file, { readOnly: false, what: 'disk', complain: log.warn, replaceable: true });
}

/**
 * Opens a mirror: files without a record join it, if they are empty or equal to the others; the newest of the others are
 * what it holds. Throws UserError.
 */
export async function openMirror(files: readonly string[], log: Log): Promise<MirrorFiles> {
  const blocks: BlockFile[] = [];
  try {
    for (const file of files) blocks.push(await openLeg(file, log));
    const other = files.find((_, i) => blocks[i]!.bytes !== blocks[0]!.bytes);
    if (other !== undefined) throw new UserError(`disk ${other} has another size than ${files[0]}; files of a mirror must have the same`);
    const records = await Promise.all(files.map(readRecord));
    const known = records.filter((record) => record !== undefined);
    if (known.some(({ mirror }) => mirror !== known[0]!.mirror)) throw new UserError(`${files.join(', ')} belong to different mirrors; delete ${recordPath(files.at(-1)!)} of files that are to be filled anew`);
    const newest = Math.max(0, ...known.map(({ generation }) => generation));
    const source = known.length === 0 ? 0 : records.findIndex((record) => record?.generation === newest);
    for (const [i, record] of records.entries()) {
      if (record !== undefined || i === source) continue;
      if (await foreign(blocks[source]!, blocks[i]!) !== undefined) throw new UserError(`disk ${files[i]} holds other data than ${files[source]}; a file that joins a mirror must be empty (truncate -s 0 FILE, then truncate -s SIZE FILE) or a copy`);
    }
    const stale = records.map((record, i) => i !== source && !(record?.generation === newest && record.clean));
    const record = { mirror: known[0]?.mirror ?? randomUUID(), generation: stale.includes(true) ? newest + 1 : newest, clean: false };
    // A file that is being filled is known as old until it is full, also to the next machine.
    await Promise.all(files.map((file, i) => writeRecord(file, stale[i]! ? { ...record, generation: newest } : record)));
    return new MirrorFiles(files, blocks, stale, record, log);
  } catch (error) {
    await Promise.all(blocks.map((block) => block.close()));
    if (error instanceof UserError) throw error;
    throw new UserError(`the mirror of ${files.join(', ')} ${fileTrouble(error)}`);
  }
}
