import { getSystemErrorMap } from 'node:util';

const WORDS: Readonly<Record<string, string>> = {
  ENOENT: 'does not exist',
  EISDIR: 'is a folder',
  ENOTDIR: 'has a file where a folder should be',
  EACCES: 'is not accessible: permission denied',
  EPERM: 'is not accessible: not permitted',
  EROFS: 'is on a read-only file system',
  ENOSPC: 'has no room: the disk is full',
  EDQUOT: 'has no room: the quota is used up',
  ENAMETOOLONG: 'is too long a name',
  ELOOP: 'is a loop of symbolic links',
  ERR_FS_FILE_TOO_LARGE: 'is too large',
};

/** What the system complained of, to stand behind a file's name: `does not exist`. */
export function fileTrouble(error: unknown): string {
  const { code, errno, message } = error as NodeJS.ErrnoException;
  const known = code === undefined ? undefined : WORDS[code];
  if (known !== undefined) return known;
  const system = errno === undefined ? undefined : getSystemErrorMap().get(errno)?.[1];
  return `fails: ${system ?? message}`;
}

/** The same of a file that is to be written, and would have been made. */
export function outputTrouble(error: unknown): string {
  return (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'lies in a folder that does not exist' : fileTrouble(error);
}
