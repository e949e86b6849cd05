import { StateError } from '../../base/errors.ts';
import type { Plain } from '../../base/plain.ts';
import { FolderError } from '../../host/folders.ts';
import type { FolderPath, FolderPort, OpenRequest, OpenedFile } from '../../host/folders.ts';
import { StateFields } from '../state-fields.ts';
import { LONGEST_PATH, isPath } from './names.ts';

/** What a guest may hold: names of files, their letters in all, files open. */
const MOST_FIDS = 1 << 18;
const MOST_LETTERS = 1 << 26;
const MOST_OPEN = 1024;
const U32 = 2 ** 32 - 1;

/** What a guest calls by a number: a file by its place, perhaps open. */
export interface Fid {
  path: FolderPath;
  /** The guest's user who got hold of it. */
  readonly uid: number;
  /** The file is missing after a load, until it is asked for. */
  open?: { readonly request: OpenRequest; file: Promise<OpenedFile> | undefined };
  /** The guest has taken its number back. */
  gone?: true;
}

/** The numbers that a guest has given to files. Who has none in mind is told EBADF. */
export class Fids {
  readonly #folder: FolderPort;
  readonly #fids = new Map<number, Fid>();
  #letters = 0;
  #open = 0;

  constructor(folder: FolderPort) {
    this.#folder = folder;
  }

  get(number: number): Fid {
    const fid = this.#fids.get(number);
    if (fid === undefined) throw new FolderError('EBADF');
    return fid;
  }
  /** EINVAL for a number that is in use. */
  checkFree(number: number): void {
    if (this.#fids.has(number)) throw new FolderError('EINVAL');
  }

  add(number: number, fid: Fid): void {
    this.checkFree(number);
    if (this.#fids.size >= MOST_FIDS) throw new FolderError('ENFILE');
    this.#checkLetters(fid.path.length);
    this.#letters += fid.path.length;
    this.#fids.set(number, fid);
  }

  /** The guest has no more use for a number. Settles when its file is closed. */
  async remove(number: number): Promise<void> {
    const fid = this.get(number);
    this.#fids.delete(number);
    this.#letters -= fid.path.length;
    await this.#close(fid);
  }
  async #close(fid: Fid): Promise<void> {
    const { open } = fid;
    fid.gone = true;
    if (open === undefined) return;
    this.#open--;
    // One that could not be opened needs no closing.
    const file = await open.file?.catch(() => undefined);
    await file?.close();
  }
  /** Nobody is told of what goes wrong. */
  async clear(): Promise<void> {
    const all = [...this.#fids.values()];
    this.#fids.clear();
    this.#letters = 0;
    await Promise.allSettled(all.map((fid) => this.#close(fid)));
  }

  /** Opens the file of a fid by `opening`; the fid stays as it is when that fails. */
  async open(fid: Fid, request: OpenRequest, opening: () => Promise<OpenedFile>): Promise<void> {
    if (fid.open !== undefined) throw new FolderError('EBADF');
    if (this.#open >= MOST_OPEN) throw new FolderError('ENFILE');
    this.#open++;
    let file: OpenedFile | undefined;
    try {
      file = await opening();
      // The guest may have said other things about the fid meanwhile.
      if (fid.gone === true || fid.open !== undefined) throw new FolderError('EBADF');
      fid.open = { request, file: Promise.resolve(file) };
    } catch (error) {
      this.#open--;
      await file?.close();
      throw error;
    }
  }

  /** The open file of a fid; after a load it is opened anew when it is asked for. */
  file({ path, open }: Fid): Promise<OpenedFile> {
    if (open === undefined) throw new FolderError('EBADF');
    return (open.file ??= this.#folder.open(path, open.request));
  }

  /** ENFILE where a fid's path would get so much longer that there are too many letters in all. */
  checkMove(fid: Fid, path: FolderPath): void {
    this.#checkLetters(path.length - fid.path.length);
  }
  #checkLetters(more: number): void {
    if (more > 0 && this.#letters + more > MOST_LETTERS) throw new FolderError('ENFILE');
  }

  /** A file that is open now is another one. */
  move(fid: Fid, path: FolderPath): void {
    if (fid.gone !== true) this.#letters += path.length - fid.path.length;
    fid.path = path;
  }

  /** What is at a place, and in it. */
  #below(place: FolderPath): readonly Fid[] {
    return [...this.#fids.values()].filter(({ path }) => path === place || path.startsWith(`${place}/`));
  }
  /** ENAMETOOLONG where a file that has a number would get too long a path by a new name; ENFILE as `checkMove`. */
  checkRename(from: FolderPath, to: FolderPath): void {
    const below = this.#below(from);
    if (below.some(({ path }) => path.length - from.length + to.length > LONGEST_PATH)) throw new FolderError('ENAMETOOLONG');
    this.#checkLetters(below.length * (to.length - from.length));
  }
  /** A file has another place; so has all that is in it. */
  renamed(from: FolderPath, to: FolderPath): void {
    for (const fid of this.#below(from)) this.move(fid, to + fid.path.slice(from.length));
  }

  save(): Plain {
    return [...this.#fids].map(([number, { path, uid, open }]) => ({
      number, path, uid,
      open: open === undefined ? null : { read: open.request.read, write: open.request.write, append: open.request.append ?? false, sync: open.request.sync ?? false },
    }));
  }

  /** Into a table without any. Throws StateError. */
  load(list: readonly Plain[]): void {
    for (const entry of list) {
      const fields = new StateFields('shared folder', entry, 1, 1);
      const path = fields.text('path', LONGEST_PATH);
      const open = fields.nested('open');
      if (!isPath(path)) throw new StateError(`shared folder: ${JSON.stringify(path)} is no place in it`);
      try {
        this.add(fields.integer('number', U32), { path, uid: fields.integer('uid', U32), ...(open === null ? {} : { open: { request: loadRequest(open), file: undefined } }) });
      } catch (error) {
        if (error instanceof FolderError) throw new StateError(`shared folder: a file's number is there twice, or too many are`);
        throw error;
      }
      if (open !== null && ++this.#open > MOST_OPEN) throw new StateError('shared folder: too many files are open');
    }
  }
}

export const STORED_FIDS_MAX = MOST_FIDS;

function loadRequest(state: Plain): OpenRequest {
  const fields = new StateFields('shared folder', state, 1, 1);
  return { read: fields.boolean('read'), write: fields.boolean('write'), append: fields.boolean('append'), sync: fields.boolean('sync') };
}
