import { FolderError } from '../../host/folders.ts';
import type { FileChanges, FileStatus, FolderPath, FolderPort, FolderSpace, OpenRequest, OpenedFile } from '../../host/folders.ts';
import { folderOf } from './names.ts';

interface Node {
  mode: number;
  bytes: Uint8Array;
  target: string;
  readonly inode: bigint;
}

const MOST_BYTES = 1 << 20;

/** A folder in memory that checks what it is asked: a place that is none is an error of who asks. */
export class MemoryFolder implements FolderPort {
  readonly readOnly = false;
  readonly #nodes = new Map<FolderPath, Node>([['', { mode: 0o040755, bytes: new Uint8Array(), target: '', inode: 1n }]]);
  #last = 1n;
  asked = 0;

  async #get(path: FolderPath): Promise<Node> {
    this.asked++;
    if (path !== '' && path.split('/').some((name) => ['', '.', '..'].includes(name) || name.includes('\0'))) throw new RangeError(`${JSON.stringify(path)} is no place`);
    await undefined;
    const node = this.#nodes.get(path);
    if (node === undefined) throw new FolderError('ENOENT');
    return node;
  }
  async #add(path: FolderPath, mode: number, more: Partial<Node> = {}): Promise<Node> {
    if (await this.#get(path).then(() => true, (error: unknown) => !(error instanceof FolderError))) throw new FolderError('EEXIST');
    if (((await this.#get(folderOf(path))).mode & 0o170000) !== 0o040000) throw new FolderError('ENOTDIR');
    const node = { mode, bytes: new Uint8Array(), target: '', inode: ++this.#last, ...more };
    this.#nodes.set(path, node);
    return node;
  }

  async status(path: FolderPath): Promise<FileStatus> {
    return statusOf(await this.#get(path));
  }
  async space(): Promise<FolderSpace> {
    return { blockBytes: 4096, blocks: 5n, free: 4n, available: 3n, files: 2n, filesFree: 1n };
  }
  async list(path: FolderPath): Promise<readonly string[]> {
    await this.#get(path);
    return [...this.#nodes.keys()].filter((other) => other !== '' && folderOf(other) === path).map((other) => other.slice(path === '' ? 0 : path.length + 1));
  }
  async open(path: FolderPath, { truncate }: OpenRequest): Promise<OpenedFile> {
    const node = await this.#get(path);
    if (truncate === true) node.bytes = new Uint8Array();
    return open(node);
  }
  async create(path: FolderPath, _: OpenRequest, mode: number): Promise<OpenedFile> {
    return open(await this.#add(path, 0o100000 | mode));
  }
  async makeFolder(path: FolderPath, mode: number): Promise<void> {
    await this.#add(path, 0o040000 | mode);
  }
  async makeLink(path: FolderPath, target: string): Promise<void> {
    await this.#add(path, 0o120777, { target });
  }
  async readLink(path: FolderPath): Promise<string> {
    return (await this.#get(path)).target;
  }
  async addName(file: FolderPath, path: FolderPath): Promise<void> {
    const node = await this.#get(file);
    await this.#add(path, node.mode);
    this.#nodes.set(path, node);
  }
  async rename(from: FolderPath, to: FolderPath): Promise<void> {
    await this.#get(from);
    await this.#get(folderOf(to));
    if (to.startsWith(`${from}/`)) throw new FolderError('EINVAL');
    for (const [path, node] of [...this.#nodes]) {
      if (path !== from && !path.startsWith(`${from}/`)) continue;
      this.#nodes.delete(path);
      this.#nodes.set(to + path.slice(from.length), node);
    }
  }
  async remove(path: FolderPath): Promise<void> {
    await this.#get(path);
    if ((await this.list(path)).length > 0) throw new FolderError('ENOTEMPTY');
    this.#nodes.delete(path);
  }
  async change(path: FolderPath, { mode, bytes }: FileChanges): Promise<void> {
    const node = await this.#get(path);
    if (mode !== undefined) node.mode = (node.mode & 0o170000) | mode;
    if (bytes !== undefined) await open(node).resize(bytes);
  }
  async close(): Promise<void> {}
}

function statusOf({ mode, bytes, inode }: Node): FileStatus {
  return { mode, uid: 1, gid: 2, device: 3n, inode, links: 1n, special: 0n, bytes: BigInt(bytes.length), blockBytes: 4096n, blocks: 0n, accessed: 5n, modified: 6n, changed: 7n };
}

function open(node: Node): OpenedFile {
  const resize = (bytes: number): void => {
    if (bytes > MOST_BYTES) throw new FolderError('EFBIG');
    const before = node.bytes;
    node.bytes = new Uint8Array(bytes);
    node.bytes.set(before.subarray(0, bytes));
  };
  return {
    async read(offset, target) {
      const found = node.bytes.subarray(offset, offset + target.length);
      target.set(found);
      return found.length;
    },
    async write(offset, source) {
      if (offset + source.length > node.bytes.length) resize(offset + source.length);
      node.bytes.set(source, offset);
    },
    status: async () => statusOf(node),
    resize: async (bytes) => resize(bytes),
    async sync() {},
    async close() {},
  };
}
