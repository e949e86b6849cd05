import { fromTimespec, timespec } from '../../base/seconds.ts';
import type { FileChanges, FileStatus } from '../../host/folders.ts';
import { FolderError } from '../../host/folders.ts';
import type { MessageReader, MessageWriter, Qid } from './messages.ts';

// What 9P2000.L says of files, in the numbers of Linux.

const TYPE = 0o170000;
const FOLDER = 0o040000;
const LINK = 0o120000;

const QID_FOLDER = 0x80;
const QID_LINK = 0x02;

export function isFolder({ mode }: FileStatus): boolean {
  return (mode & TYPE) === FOLDER;
}

export function qidOf({ mode, device, inode, modified, bytes }: FileStatus): Qid {
  const type = mode & TYPE;
  return {
    type: type === FOLDER ? QID_FOLDER : type === LINK ? QID_LINK : 0,
    version: Number(BigInt.asUintN(32, modified ^ (modified >> 32n) ^ (bytes << 8n))),
    // Files of several file systems in one folder are not the same because they have the same inode number.
    path: BigInt.asUintN(64, inode ^ (device << 44n)),
  };
}

/** As readdir(3) gives it: DT_REG say. */
export function entryType({ mode }: FileStatus): number {
  return (mode & TYPE) >> 12;
}

/** P9_GETATTR_BASIC: all that stat(2) has. */
const BASIC = 0x7ffn;

export function putStatus(answer: MessageWriter, status: FileStatus): MessageWriter {
  const time = (ns: bigint): MessageWriter => {
    const [seconds, part] = timespec(ns);
    return answer.u64(BigInt.asUintN(64, seconds)).u64(part);
  };
  const wide = (value: bigint): MessageWriter => answer.u64(BigInt.asUintN(64, value));
  answer.u64(BASIC).qid(qidOf(status)).u32(status.mode).u32(status.uid).u32(status.gid);
  for (const value of [status.links, status.special, status.bytes, status.blockBytes, status.blocks]) wide(value);
  for (const ns of [status.accessed, status.modified, status.changed, 0n]) time(ns);
  return answer.u64(0n).u64(0n); // generation and version of the contents: unknown
}

const [SET_MODE, SET_UID, SET_GID, SET_SIZE, SET_ATIME, SET_MTIME, ATIME_GIVEN, MTIME_GIVEN] = [1, 2, 4, 8, 0x10, 0x20, 0x80, 0x100] as const;

/** The fields of Tsetattr behind the fid. */
export function readChanges(message: MessageReader): FileChanges {
  const valid = message.u32();
  const [mode, uid, gid] = [message.u32(), message.u32(), message.u32()];
  const bytes = message.u64();
  const has = (bit: number): boolean => (valid & bit) !== 0;
  const time = (): bigint => fromTimespec(BigInt.asIntN(64, message.u64()), message.u64());
  const [accessed, modified] = [time(), time()];
  if (has(SET_SIZE) && bytes > BigInt(Number.MAX_SAFE_INTEGER)) throw new FolderError('EFBIG');
  const owner = { ...(has(SET_UID) ? { uid } : {}), ...(has(SET_GID) ? { gid } : {}) };
  return {
    ...(has(SET_MODE) ? { mode: mode & 0o7777 } : {}),
    ...(has(SET_UID | SET_GID) ? { owner } : {}),
    ...(has(SET_SIZE) ? { bytes: Number(bytes) } : {}),
    ...(has(SET_ATIME) ? { accessed: has(ATIME_GIVEN) ? accessed : 'now' } : {}),
    ...(has(SET_MTIME) ? { modified: has(MTIME_GIVEN) ? modified : 'now' } : {}),
  };
}
