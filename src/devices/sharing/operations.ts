import { FolderError } from '../../host/folders.ts';
import type { FileStatus, FolderPath, OpenRequest } from '../../host/folders.ts';
import { entryType, isFolder, putStatus, qidOf, readChanges } from './attributes.ts';
import type { Fid } from './fids.ts';
import { HEADER_BYTES, MessageWriter, QID_BYTES, REQUEST } from './messages.ts';
import type { MessageReader, Qid } from './messages.ts';
import { folderOf, inside } from './names.ts';
import type { Session } from './p9-server.ts';

/** Takes a request's fields, gives the answer's, of a message of at most `room` bytes. Rejects with FolderError. */
type Operation = (session: Session, message: MessageReader, room: number) => Promise<MessageWriter>;

const done = (): MessageWriter => new MessageWriter(0);

// Flags of open(2).
const ACCESS = 3;
const [WRITE_ONLY, READ_WRITE] = [1, 2];
const EXCLUSIVE = 0o200;
const TRUNCATE = 0o1000;
const APPEND = 0o2000;
const DATA_SYNC = 0o10000;
const FOLDER_ONLY = 0o200000;
/** Of unlinkat(2). */
const REMOVE_FOLDER = 0x200;

function openRequest(flags: number): OpenRequest {
  const access = flags & ACCESS;
  if (access === ACCESS) throw new FolderError('EINVAL');
  return {
    read: access !== WRITE_ONLY, write: access === WRITE_ONLY || access === READ_WRITE,
    append: (flags & APPEND) !== 0, truncate: (flags & TRUNCATE) !== 0, sync: (flags & DATA_SYNC) !== 0,
  };
}

/** How much fits into one message at a time: the guest may ask for what it likes. */
const ROOM_FOR_IO = (room: number): number => room - HEADER_BYTES - 4;

const attach: Operation = async ({ folder, fids }, message) => {
  const [number] = [message.u32(), message.u32(), message.text(), message.text()];
  const uid = message.u32();
  fids.checkFree(number);
  const root = await folder.status('');
  fids.add(number, { path: '', uid });
  return done().qid(qidOf(root));
};

/** walk(5): as far as the names go; the new number counts only when all of them do. */
const walk: Operation = async ({ folder, fids }, message) => {
  const [number, newNumber, count] = [message.u32(), message.u32(), message.u16()];
  if (count > MOST_NAMES) throw new FolderError('EINVAL');
  const names = Array.from({ length: count }, () => message.text());
  const fid = fids.get(number);
  if (newNumber === number && fid.open !== undefined) throw new FolderError('EBADF');
  if (newNumber !== number) fids.checkFree(newNumber);
  let { path } = fid;
  const qids: Qid[] = [];
  try {
    for (const name of names) {
      path = step(path, name);
      qids.push(qidOf(await folder.status(path)));
    }
  } catch (error) {
    if (qids.length === 0) throw error;
  }
  if (qids.length === count) {
    if (newNumber !== number) fids.add(newNumber, { path, uid: fid.uid });
    else {
      fids.checkMove(fid, path);
      fids.move(fid, path);
    }
  }
  const answer = done().u16(qids.length);
  for (const qid of qids) answer.qid(qid);
  return answer;
};
const MOST_NAMES = 16;

/** `..` of the shared folder is that folder. */
function step(path: FolderPath, name: string): FolderPath {
  return name === '.' ? path : name === '..' ? folderOf(path) : inside(path, name);
}

const clunk: Operation = async ({ fids, listings }, message) => {
  const number = message.u32();
  listings.forget(fids.get(number));
  await fids.remove(number);
  return done();
};

const lopen: Operation = async ({ folder, fids }, message) => {
  const [fid, flags] = [fids.get(message.u32()), message.u32()];
  const request = openRequest(flags);
  const status = await folder.status(fid.path);
  if ((flags & FOLDER_ONLY) !== 0 && !isFolder(status)) throw new FolderError('ENOTDIR');
  await fids.open(fid, request, () => folder.open(fid.path, request));
  return done().qid(qidOf(status)).u32(0);
};

/** Makes a file and opens it; the fid, which was its folder, is the file then. */
const lcreate: Operation = async ({ folder, fids }, message) => {
  const fid = fids.get(message.u32());
  const path = inside(fid.path, message.text());
  const [flags, mode, gid] = [message.u32(), message.u32(), message.u32()];
  const request = openRequest(flags);
  fids.checkMove(fid, path);
  await fids.open(fid, request, async () => {
    try {
      return await folder.create(path, request, mode & 0o7777, { uid: fid.uid, gid });
    } catch (error) {
      // One that is there already will do, unless it must be new.
      if (!(error instanceof FolderError) || error.code !== 'EEXIST' || (flags & EXCLUSIVE) !== 0) throw error;
      return folder.open(path, request);
    }
  });
  fids.move(fid, path);
  return done().qid(qidOf(await (await fids.file(fid)).status())).u32(0);
};

const read: Operation = async ({ fids }, message, room) => {
  const [fid, offset, count] = [fids.get(message.u32()), message.offset(), message.u32()];
  const file = await fids.file(fid);
  if (!fid.open!.request.read) throw new FolderError('EBADF');
  const wanted = Math.min(count, ROOM_FOR_IO(room));
  const answer = new MessageWriter(4 + wanted).u32(0);
  const bytes = await file.read(offset, answer.room(wanted));
  return answer.shorten(wanted - bytes).first32(bytes);
};

const write: Operation = async ({ fids }, message) => {
  const [fid, offset, count] = [fids.get(message.u32()), message.offset(), message.u32()];
  const bytes = message.bytes(count);
  const file = await fids.file(fid);
  if (!fid.open!.request.write) throw new FolderError('EBADF');
  await file.write(offset, bytes);
  return done().u32(count);
};

const fsync: Operation = async ({ fids }, message) => {
  const [fid, dataOnly] = [fids.get(message.u32()), message.u32()];
  await (await fids.file(fid)).sync(dataOnly !== 0);
  return done();
};

/** Entry: qid, the number by which one goes on behind it, type, name. */
const ENTRY_BYTES = QID_BYTES + 8 + 1 + 2;

const readdir: Operation = async (session, message, room) => {
  const [fid, offset, count] = [session.fids.get(message.u32()), message.offset(), message.u32()];
  if (fid.open === undefined) throw new FolderError('EBADF');
  const names = await session.listings.list(fid, offset === 0);
  const space = Math.min(count, ROOM_FOR_IO(room));
  const answer = new MessageWriter(4 + space).u32(0);
  const start = answer.length;
  // Files that are gone are left out; but nothing at all would mean the end.
  for (let at = offset; at < names.length && answer.length === start;) {
    const first = at;
    for (let bytes = 0; at < names.length && (bytes += ENTRY_BYTES + names[at]!.length) <= space;) at++;
    if (at === first) throw new FolderError('EINVAL');
    const found = await Promise.all(names.slice(first, at).map((name) => entry(session, fid.path, name)));
    found.forEach((status, i) => {
      if (status !== undefined) answer.qid(qidOf(status)).u64(BigInt(first + i + 1)).u8(entryType(status)).text(names[first + i]!);
    });
  }
  return answer.first32(answer.length - start);
};

async function entry({ folder }: Session, path: FolderPath, name: string): Promise<FileStatus | undefined> {
  try {
    return await folder.status(step(path, name));
  } catch (error) {
    if (error instanceof FolderError) return undefined;
    throw error;
  }
}

const getattr: Operation = async ({ folder, fids }, message) => {
  const fid = fids.get(message.u32());
  message.u64();
  // An open file may have no name any more.
  return putStatus(new MessageWriter(160), fid.open === undefined ? await folder.status(fid.path) : await (await fids.file(fid)).status());
};

const setattr: Operation = async ({ folder, fids }, message) => {
  const fid = fids.get(message.u32());
  const { bytes, ...changes } = readChanges(message);
  if (bytes !== undefined) await resize(fid, bytes);
  if (Object.keys(changes).length > 0) await folder.change(fid.path, changes);
  return done();

  async function resize({ path, open }: Fid, size: number): Promise<void> {
    if (open?.request.write === true) await (await fids.file(fid)).resize(size);
    else await folder.change(path, { bytes: size });
  }
};

const statfs: Operation = async ({ folder, fids }, message) => {
  fids.get(message.u32());
  const { blockBytes, blocks, free, available, files, filesFree } = await folder.space();
  const answer = done().u32(V9FS_MAGIC).u32(blockBytes);
  for (const value of [blocks, free, available, files, filesFree, 0n]) answer.u64(BigInt.asUintN(64, value));
  return answer.u32(255);
};
const V9FS_MAGIC = 0x01021997;

const mkdir: Operation = async ({ folder, fids }, message) => {
  const fid = fids.get(message.u32());
  const path = inside(fid.path, message.text());
  const [mode, gid] = [message.u32(), message.u32()];
  await folder.makeFolder(path, mode & 0o7777, { uid: fid.uid, gid });
  return done().qid(qidOf(await folder.status(path)));
};

const symlink: Operation = async ({ folder, fids }, message) => {
  const fid = fids.get(message.u32());
  const path = inside(fid.path, message.text());
  const target = message.text();
  if (target === '' || target.includes('\0')) throw new FolderError('ENOENT');
  await folder.makeLink(path, target, { uid: fid.uid, gid: message.u32() });
  return done().qid(qidOf(await folder.status(path)));
};

const readlink: Operation = async ({ folder, fids }, message) => done().text(await folder.readLink(fids.get(message.u32()).path));

const link: Operation = async ({ folder, fids }, message) => {
  const [into, file] = [fids.get(message.u32()), fids.get(message.u32())];
  await folder.addName(file.path, inside(into.path, message.text()));
  return done();
};

async function move({ folder, fids }: Session, from: FolderPath, to: FolderPath): Promise<MessageWriter> {
  if (from === '') throw new FolderError('EBUSY');
  fids.checkRename(from, to);
  await folder.rename(from, to);
  if (from !== to) fids.renamed(from, to);
  return done();
}

const rename: Operation = async (session, message) => {
  const [file, into] = [session.fids.get(message.u32()), session.fids.get(message.u32())];
  return move(session, file.path, inside(into.path, message.text()));
};

const renameat: Operation = async (session, message) => {
  const from = inside(session.fids.get(message.u32()).path, message.text());
  return move(session, from, inside(session.fids.get(message.u32()).path, message.text()));
};

const unlinkat: Operation = async ({ folder, fids }, message) => {
  const path = inside(fids.get(message.u32()).path, message.text());
  await folder.remove(path, (message.u32() & REMOVE_FOLDER) !== 0 ? 'folder' : 'file');
  return done();
};

/** remove(5): the number is given back, whether the file could be removed or not. */
const remove: Operation = async ({ folder, fids, listings }, message) => {
  const number = message.u32();
  const fid = fids.get(number);
  listings.forget(fid);
  await fids.remove(number);
  if (fid.path === '') throw new FolderError('EBUSY');
  await folder.remove(fid.path, isFolder(await folder.status(fid.path)) ? 'folder' : 'file');
  return done();
};

const LOCK_SUCCESS = 0;
const UNLOCKED = 2;

/** One guest has all locks to itself: its own kernel keeps them. */
const lock: Operation = async ({ fids }, message) => {
  fids.get(message.u32());
  return done().u8(LOCK_SUCCESS);
};
const getlock: Operation = async ({ fids }, message) => {
  fids.get(message.u32());
  message.u8();
  const [start, length, process, client] = [message.u64(), message.u64(), message.u32(), message.text()];
  return done().u8(UNLOCKED).u64(start).u64(length).u32(process).text(client);
};

const refuse = (code: string): Operation => async () => {
  throw new FolderError(code);
};

/** By type of message. */
export const OPERATIONS: ReadonlyMap<number, Operation> = new Map<number, Operation>([
  [REQUEST.attach, attach], [REQUEST.walk, walk], [REQUEST.clunk, clunk], [REQUEST.remove, remove],
  [REQUEST.lopen, lopen], [REQUEST.lcreate, lcreate], [REQUEST.read, read], [REQUEST.write, write], [REQUEST.fsync, fsync], [REQUEST.readdir, readdir],
  [REQUEST.getattr, getattr], [REQUEST.setattr, setattr], [REQUEST.statfs, statfs],
  [REQUEST.mkdir, mkdir], [REQUEST.symlink, symlink], [REQUEST.readlink, readlink], [REQUEST.link, link],
  [REQUEST.rename, rename], [REQUEST.renameat, renameat], [REQUEST.unlinkat, unlinkat], [REQUEST.lock, lock], [REQUEST.getlock, getlock],
  // Device files would be the host's own; who attaches need not say who he is; files have no further attributes.
  [REQUEST.mknod, refuse('EPERM')], [REQUEST.auth, refuse('EOPNOTSUPP')], [REQUEST.xattrwalk, refuse('EOPNOTSUPP')], [REQUEST.xattrcreate, refuse('EOPNOTSUPP')],
]);
