/**
 * A file's place in a shared folder: names from the folder down with "/" between, the folder itself ''. No name is empty, `.` or
 * `..`; each character is a byte, as Linux names files by bytes.
 */
export type FolderPath = string;

/** What is known of a file, in Linux's terms (stat(2)). */
export interface FileStatus {
  /** Type and permissions. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Of the file system that the file lies in. */
  readonly device: bigint;
  readonly inode: bigint;
  readonly links: bigint;
  /** Of a device file: which device. */
  readonly special: bigint;
  readonly bytes: bigint;
  readonly blockBytes: bigint;
  /** Room taken, in units of 512 bytes. */
  readonly blocks: bigint;
  /** Times in ns since 1970. */
  readonly accessed: bigint;
  readonly modified: bigint;
  readonly changed: bigint;
}

/** Room in the file system of a folder (statfs(2)). */
export interface FolderSpace {
  readonly blockBytes: number;
  readonly blocks: bigint;
  readonly free: bigint;
  /** Of the free blocks, those that are not kept for the system's administrator. */
  readonly available: bigint;
  readonly files: bigint;
  readonly filesFree: bigint;
}

export interface OpenRequest {
  readonly read: boolean;
  readonly write: boolean;
  readonly append?: boolean;
  /** Cut to no bytes. */
  readonly truncate?: boolean;
  /** Each write is on stable storage when it is done. */
  readonly sync?: boolean;
}

/** Who shall own a new file, where the host's user may say that; else it is the host's user. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** What is to be other; what is missing stays. */
export interface FileChanges {
  /** Permissions. A file does not get those that would run it with its owner's rights on the host. */
  readonly mode?: number;
  readonly owner?: Partial<Owner>;
  readonly bytes?: number;
  /** Times in ns since 1970. */
  readonly accessed?: bigint | 'now';
  readonly modified?: bigint | 'now';
}

/** A file that stays open, whatever becomes of its name. */
export interface OpenedFile {
  /** Returns how many bytes there were, 0 at the end. */
  read(offset: number, target: Uint8Array): Promise<number>;
  /** All of `source`, which must stay as it is meanwhile. */
  write(offset: number, source: Uint8Array): Promise<void>;
  status(): Promise<FileStatus>;
  resize(bytes: number): Promise<void>;
  /** Settles when what was written is on stable storage; `dataOnly`: its times may not be. */
  sync(dataOnly: boolean): Promise<void>;
  close(): Promise<void>;
}

/** Why something cannot be done: Linux's name for it, `ENOENT` say. */
export class FolderError extends Error {
  override readonly name = 'FolderError';
  readonly code: string;
  constructor(code: string) {
    super(code);
    this.code = code;
  }
}

/**
 * A folder of the host that is shared with a guest. Nothing outside of it is reached, whoever changes it meanwhile: symbolic links
 * are never followed, neither on the way to a file nor at its end. Promises reject with FolderError.
 */
export interface FolderPort {
  /** All that changes something rejects with EROFS. */
  readonly readOnly: boolean;
  /** Of the file itself, be it a symbolic link. */
  status(path: FolderPath): Promise<FileStatus>;
  space(): Promise<FolderSpace>;
  /** Names in a folder, without `.` and `..`. */
  list(path: FolderPath): Promise<readonly string[]>;
  /** Opens a file, or a folder to read nothing from it; devices, pipes and sockets are EACCES. */
  open(path: FolderPath, request: OpenRequest): Promise<OpenedFile>;
  /** Makes a file that must not exist yet. */
  create(path: FolderPath, request: OpenRequest, mode: number, owner: Owner): Promise<OpenedFile>;
  makeFolder(path: FolderPath, mode: number, owner: Owner): Promise<void>;
  makeLink(path: FolderPath, target: string, owner: Owner): Promise<void>;
  readLink(path: FolderPath): Promise<string>;
  /** Another name for a file. */
  addName(file: FolderPath, path: FolderPath): Promise<void>;
  rename(from: FolderPath, to: FolderPath): Promise<void>;
  remove(path: FolderPath, kind: 'file' | 'folder'): Promise<void>;
  change(path: FolderPath, changes: FileChanges): Promise<void>;
  /** Closes all that is open. Nothing else may be asked afterwards. Legal again and again. */
  close(): Promise<void>;
}
