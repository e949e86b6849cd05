import { constants } from 'node:fs';
import { chmod, lchown, link, lstat, mkdir, open, readdir, readlink, rename, rmdir, statfs, symlink, unlink } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { UserError } from '../base/errors.ts';
import { FolderError } from '../host/folders.ts';
import type { FileChanges, FileStatus, FolderPath, FolderPort, FolderSpace, OpenRequest, OpenedFile, Owner } from '../host/folders.ts';
import { HostFile, changeTimes, fileStatus, resize, told } from './host-file.ts';
import { DESCRIPTORS, characters, enter, hostPath, openRoot, pinned } from './host-paths.ts';
import type { Step } from './host-paths.ts';
import { fileTrouble } from './words.ts';

const { O_RDONLY, O_WRONLY, O_RDWR, O_APPEND, O_CREAT, O_EXCL, O_NOFOLLOW = 0, O_NONBLOCK = 0, O_SYNC = 0, O_TRUNC } = constants;
/** Permissions without those that run a program with its owner's rights. */
const FILE_MODE = 0o1777;
const FOLDER_MODE = 0o3777;
/** Of chown(2). */
const UNCHANGED = 2 ** 32 - 1;

/**
 * A folder of this host for a guest. Who it is on the host is the user of this process: as root, new files belong to the guest's
 * users, else all of them to that user.
 */
export class HostFolder implements FolderPort {
  readonly readOnly: boolean;
  readonly #root: Step;
  readonly #files = new Set<HostFile>();
  readonly #running = new Set<Promise<unknown>>();
  #closing: Promise<void> | undefined;

  private constructor(root: Step, readOnly: boolean) {
    this.#root = root;
    this.readOnly = readOnly;
  }

  /** Throws UserError. */
  static async open(folder: string, readOnly: boolean): Promise<HostFolder> {
    try {
      return new HostFolder(await openRoot(folder), readOnly);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      throw new UserError(`the folder ${folder} to be shared ${code === 'ENOTDIR' ? 'is no folder' : fileTrouble(error)}; give an existing one`);
    }
  }

  /** Does some work on a file; `at` is a path of the host that leads to it, and nowhere else, until the work is done. */
  #at<T>(path: FolderPath, work: (at: Buffer) => Promise<T>): Promise<T> {
    return this.#run(async () => {
      const names = path === '' ? [] : path.split('/');
      const name = names.pop() ?? '.';
      const folder = await this.#descend(names);
      try {
        return await work(hostPath(`${folder.at}/${name}`));
      } finally {
        await folder.close();
      }
    });
  }
  /** The same for what changes something. */
  #change<T>(path: FolderPath, work: (at: Buffer) => Promise<T>): Promise<T> {
    return this.readOnly ? Promise.reject(new FolderError('EROFS')) : this.#at(path, work);
  }
  /** The descriptors that paths go through must stay what they are while somebody uses them. */
  #run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#closing !== undefined) return Promise.reject(new FolderError('EIO'));
    const running = told(work);
    const settled = running.then(() => {}, () => {});
    this.#running.add(settled);
    void settled.then(() => this.#running.delete(settled));
    return running;
  }

  async #descend(names: readonly string[]): Promise<Step> {
    let folder: Step = { at: this.#root.at, close: async () => {} };
    for (const name of names) {
      try {
        const next = await enter(hostPath(`${folder.at}/${name}`));
        await folder.close();
        folder = next;
      } catch (error) {
        await folder.close();
        throw error;
      }
    }
    return folder;
  }

  status(path: FolderPath): Promise<FileStatus> {
    return this.#at(path, async (at) => fileStatus(await lstat(at, { bigint: true })));
  }

  space(): Promise<FolderSpace> {
    return this.#at('', async (at) => {
      const { bsize, blocks, bfree, bavail, files, ffree } = await statfs(at, { bigint: true });
      return { blockBytes: Number(bsize), blocks, free: bfree, available: bavail, files, filesFree: ffree };
    });
  }

  list(path: FolderPath): Promise<readonly string[]> {
    return this.#at(path, async (at) => {
      const folder = await enter(at);
      try {
        return (await readdir(hostPath(folder.at), { encoding: 'buffer' })).map(characters);
      } finally {
        await folder.close();
      }
    });
  }

  open(path: FolderPath, request: OpenRequest): Promise<OpenedFile> {
    const open_ = (at: Buffer): Promise<OpenedFile> => pinned(at, async (place, status) => {
      if (status.isSymbolicLink()) throw new FolderError('ELOOP');
      // To open a device or a pipe may do something, or never end.
      if (!status.isFile() && !status.isDirectory()) throw new FolderError('EACCES');
      return this.#opened(await open(place, flagsOf(request) | O_NONBLOCK | (DESCRIPTORS ? 0 : O_NOFOLLOW)));
    });
    return request.write || request.truncate === true ? this.#change(path, open_) : this.#at(path, open_);
  }
  #opened(handle: FileHandle): OpenedFile {
    const file = new HostFile(handle, () => this.#files.delete(file));
    this.#files.add(file);
    return file;
  }

  create(path: FolderPath, request: OpenRequest, mode: number, owner: Owner): Promise<OpenedFile> {
    return this.#change(path, async (at) => {
      const handle = await open(at, flagsOf(request) | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
      // Whoever made the process has said what permissions are usual (umask), but the guest has its own idea of that.
      if (ownsFiles()) await handle.chown(owner.uid, owner.gid);
      await permit(() => handle.chmod(mode & FILE_MODE));
      return this.#opened(handle);
    });
  }

  makeFolder(path: FolderPath, mode: number, owner: Owner): Promise<void> {
    return this.#change(path, async (at) => {
      await mkdir(at, 0o700);
      await pinned(at, async (place, status) => {
        if (!status.isDirectory()) throw new FolderError('ENOENT'); // somebody was faster
        await changeOwner(at, owner);
        await permit(() => chmod(place, mode & FOLDER_MODE));
      });
    });
  }

  makeLink(path: FolderPath, target: string, owner: Owner): Promise<void> {
    return this.#change(path, async (at) => {
      await symlink(hostPath(target), at);
      await changeOwner(at, owner);
    });
  }

  readLink(path: FolderPath): Promise<string> {
    return this.#at(path, async (at) => characters(await readlink(at, { encoding: 'buffer' })));
  }

  addName(file: FolderPath, path: FolderPath): Promise<void> {
    return this.#change(file, (from) => this.#change(path, (to) => link(from, to)));
  }
  rename(from: FolderPath, to: FolderPath): Promise<void> {
    return this.#change(from, (old) => this.#change(to, (at) => rename(old, at)));
  }
  remove(path: FolderPath, kind: 'file' | 'folder'): Promise<void> {
    return this.#change(path, kind === 'folder' ? rmdir : unlink);
  }

  change(path: FolderPath, { mode, owner, bytes: size, accessed, modified }: FileChanges): Promise<void> {
    return this.#change(path, (at) => pinned(at, async (place, status) => {
      if (size !== undefined) {
        if (!status.isFile()) throw new FolderError(status.isDirectory() ? 'EISDIR' : 'EINVAL');
        await resize(place, size);
      }
      // A change of the owner by name changes a link's own.
      if (owner !== undefined) await lchown(at, owner.uid ?? UNCHANGED, owner.gid ?? UNCHANGED);
      if (mode !== undefined) {
        if (status.isSymbolicLink()) throw new FolderError('EOPNOTSUPP');
        await chmod(place, mode & (status.isDirectory() ? FOLDER_MODE : FILE_MODE));
      }
      if (accessed !== undefined || modified !== undefined) await changeTimes(at, place, status, accessed, modified);
    }));
  }

  close(): Promise<void> {
    return (this.#closing ??= this.#closeAll());
  }
  async #closeAll(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
    await Promise.all([...this.#files].map((file) => file.close()));
    await this.#root.close();
  }
}

function flagsOf({ read, write, append, truncate, sync }: OpenRequest): number {
  return (write ? (read ? O_RDWR : O_WRONLY) : O_RDONLY) | (append === true ? O_APPEND : 0) | (truncate === true ? O_TRUNC : 0) | (sync === true ? O_SYNC : 0);
}

/** Only root may give files away. */
function ownsFiles(): boolean {
  return process.geteuid?.() === 0;
}
async function changeOwner(at: Buffer, { uid, gid }: Owner): Promise<void> {
  if (ownsFiles()) await lchown(at, uid, gid);
}

/** Some file systems have no permissions; a new file is there all the same. */
async function permit(change: () => Promise<void>): Promise<void> {
  await change().catch(() => {});
}
