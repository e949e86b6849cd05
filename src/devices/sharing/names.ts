import { FolderError } from '../../host/folders.ts';
import type { FolderPath } from '../../host/folders.ts';

/** Of Linux: NAME_MAX, PATH_MAX. */
const LONGEST_NAME = 255;
export const LONGEST_PATH = 4096;

/** A name that a file may have. Throws FolderError. */
export function checkName(name: string): string {
  if (name === '' || name.includes('/') || name.includes('\0')) throw new FolderError('ENOENT');
  if (name === '.' || name === '..') throw new FolderError('EINVAL');
  if (name.length > LONGEST_NAME) throw new FolderError('ENAMETOOLONG');
  return name;
}

/** A file in a folder. Throws FolderError. */
export function inside(folder: FolderPath, name: string): FolderPath {
  checkName(name);
  const path = folder === '' ? name : `${folder}/${name}`;
  if (path.length > LONGEST_PATH) throw new FolderError('ENAMETOOLONG');
  return path;
}

/** The folder that a file is in; of the shared folder itself, that folder. */
export function folderOf(path: FolderPath): FolderPath {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')));
}

export function isPath(path: string): boolean {
  if (path.length > LONGEST_PATH) return false;
  try {
    if (path !== '') path.split('/').forEach(checkName);
    return true;
  } catch {
    return false;
  }
}
