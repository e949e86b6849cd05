import type { FolderPath, FolderPort } from '../../host/folders.ts';
import type { Fid } from './fids.ts';

/** The most folders whose names are kept; one that was dropped is listed anew. */
const MOST_LISTINGS = 16;

/** What folders held when a guest began to read them: it reads on where it was, whatever it has deleted meanwhile. */
export class DirectoryListings {
  readonly #folder: FolderPort;
  /** Those asked for last come last. */
  readonly #listings = new Map<Fid, Promise<readonly string[]>>();

  constructor(folder: FolderPort) {
    this.#folder = folder;
  }

  /** Names in the folder of a fid, `.` and `..` in front; `again`: as it is now. */
  list(fid: Fid, again: boolean): Promise<readonly string[]> {
    const known = again ? undefined : this.#listings.get(fid);
    const listing = known ?? this.#read(fid.path);
    this.#listings.delete(fid);
    this.#listings.set(fid, listing);
    listing.catch(() => this.#listings.delete(fid));
    for (const other of this.#listings.keys()) {
      if (this.#listings.size <= MOST_LISTINGS) break;
      this.#listings.delete(other);
    }
    return listing;
  }
  async #read(path: FolderPath): Promise<readonly string[]> {
    return ['.', '..', ...(await this.#folder.list(path))];
  }

  forget(fid: Fid): void {
    this.#listings.delete(fid);
  }
  clear(): void {
    this.#listings.clear();
  }
}
