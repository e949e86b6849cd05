import { StateError, UserError } from '../base/errors.ts';
import type { OverlayFile } from '../disk/overlay-disk.ts';
import type { Shelf } from './requests.ts';

// Files in the page's own storage (File System Standard: origin private file system).

const NAME = /^[\w .+-]{1,100}$/;

/** Throws UserError for what may not be a name. */
export function checkName(name: string): string {
  if (!NAME.test(name) || name.startsWith('.')) throw new UserError(`"${name}" is no name to keep something under; give up to 100 letters, digits, spaces and -_+.`);
  return name;
}

async function folderOf(shelf: Shelf): Promise<FileSystemDirectoryHandle> {
  if (navigator.storage?.getDirectory === undefined) throw new UserError('this page has no storage of its own: serve it over https, or from localhost; or do not keep anything');
  try {
    const root = await navigator.storage.getDirectory();
    return await (await root.getDirectoryHandle('polyvisor', { create: true })).getDirectoryHandle(shelf, { create: true });
  } catch (error) {
    if (isFull(error)) throw new UserError(new StorageFull('nothing can be kept').message);
    throw new UserError(`the browser does not let this page store anything (${(error as Error).message}); allow site data for it, or leave private browsing`);
  }
}

/** Opens a file, made when it is not there and that is wanted. Throws UserError when it is not there, or in use. */
export async function openStored(shelf: Shelf, name: string, create: boolean): Promise<OverlayFile> {
  const folder = await folderOf(shelf);
  let handle: FileSystemFileHandle;
  try {
    handle = await folder.getFileHandle(checkName(name), { create });
  } catch (error) {
    if (error instanceof UserError) throw error;
    if (isFull(error)) throw new UserError(new StorageFull(`"${name}" cannot be kept`).message);
    throw new UserError(`nothing is kept as "${name}" in this browser (${shelf}); give the name of what is`);
  }
  try {
    return new StoredFile(await handle.createSyncAccessHandle(), name);
  } catch {
    throw new UserError(`"${name}" is in use by another machine, perhaps in another tab; end that one, or keep this one under another name`);
  }
}

export async function removeStored(shelf: Shelf, name: string): Promise<void> {
  try {
    await (await folderOf(shelf)).removeEntry(checkName(name));
  } catch (error) {
    const { name: kind } = error as Error;
    if (error instanceof UserError) throw error;
    if (kind !== 'NotFoundError') throw new UserError(`"${name}" is in use, perhaps in another tab; end that machine first`);
  }
}

/** Gives a file its last name, in place of what had it. */
export async function renameStored(shelf: Shelf, from: string, to: string): Promise<void> {
  const handle = (await (await folderOf(shelf)).getFileHandle(from)) as FileSystemFileHandle & { move(name: string): Promise<void> };
  await handle.move(to);
}

/** As a file to read, at its contents of now. Throws UserError when it is not there. */
export async function storedBlob(shelf: Shelf, name: string): Promise<File> {
  const folder = await folderOf(shelf);
  try {
    return await (await folder.getFileHandle(checkName(name))).getFile();
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(`nothing is kept as "${name}" in this browser (${shelf}); give the name of what is`);
  }
}

export async function namesStored(shelf: Shelf): Promise<string[]> {
  const names: string[] = [];
  for await (const name of (await folderOf(shelf)).keys()) if (!name.endsWith('.new')) names.push(name);
  return names.sort();
}

class StoredFile implements OverlayFile {
  readonly #handle: FileSystemSyncAccessHandle;
  readonly #name: string;

  constructor(handle: FileSystemSyncAccessHandle, name: string) {
    this.#handle = handle;
    this.#name = name;
  }

  get bytes(): number {
    return this.#handle.getSize();
  }
  read(offset: number, target: Uint8Array): void {
    // Chromium refuses views of shared memory.
    const bytes = target.buffer instanceof ArrayBuffer ? target : new Uint8Array(target.length);
    if (this.#handle.read(bytes as Uint8Array<ArrayBuffer>, { at: offset }) !== target.length) throw new StateError('is truncated');
    if (bytes !== target) target.set(bytes);
  }
  write(offset: number, source: Uint8Array): void {
    const bytes = source.buffer instanceof ArrayBuffer ? source : source.slice();
    let written: number;
    try {
      written = this.#handle.write(bytes as Uint8Array<ArrayBuffer>, { at: offset });
    } catch (error) {
      throw new StorageFull(`"${this.#name}" cannot grow (${(error as Error).message})`);
    }
    if (written !== source.length) throw new StorageFull(`"${this.#name}" cannot grow`);
  }
  flush(): void {
    this.#handle.flush();
  }
  close(): void {
    this.#handle.close();
  }
}

function isFull(error: unknown): boolean {
  return (error as Error).name === 'QuotaExceededError';
}

/** The browser gives no more room. */
export class StorageFull extends Error {
  override readonly name = 'StorageFull';
  constructor(message: string) {
    super(`${message}; the browser gives this page no more room: remove what is kept and not needed, or free space on the device`);
  }
}
