import { UserError } from '../base/errors.ts';
import type { FolderPort } from '../host/folders.ts';

/** A folder of the host that the guest may mount (9P over virtio). Plain data. */
export interface ShareConfiguration {
  /** Its path on the host. */
  readonly folder: string;
  /** By which the guest mounts it: `mount -t 9p -o trans=virtio TAG /mnt`. */
  readonly tag: string;
  /** The guest can change nothing in it. */
  readonly readOnly?: boolean;
}

/** A shared folder, ready to be wired. */
export interface Share {
  readonly tag: string;
  readonly folder: FolderPort;
}

const WANTED = 'give DIR:TAG, and ,readonly behind it as needed';
const MOST_SHARES = 8;
const READ_ONLY = ',readonly';

/** `DIR:TAG[,readonly]`. Throws UserError. */
export function parseShare(text: string): ShareConfiguration {
  const readOnly = text.endsWith(READ_ONLY);
  const both = readOnly ? text.slice(0, -READ_ONLY.length) : text;
  const colon = both.lastIndexOf(':');
  if (colon <= 0) throw new UserError(`shared folder "${text}" is not understood; ${WANTED}`);
  return checkShare({ folder: both.slice(0, colon), tag: both.slice(colon + 1), ...(readOnly ? { readOnly } : {}) });
}

function checkShare(share: ShareConfiguration): ShareConfiguration {
  const { folder, tag, readOnly = false } = share;
  if (typeof folder !== 'string' || folder === '' || folder.includes('\0')) throw new UserError(`shared folder "${folder}" has no path; ${WANTED}`);
  if (typeof tag !== 'string' || !/^[A-Za-z0-9._-]{1,31}$/.test(tag)) throw new UserError(`shared folder "${folder}" has the tag "${tag}", which does not do; give at most 31 letters, digits, dots, dashes and underscores`);
  if (typeof readOnly !== 'boolean') throw new UserError(`shared folder "${folder}" is neither read-only nor not; ${WANTED}`);
  return share;
}

/** Throws UserError. */
export function checkShares(shares: readonly ShareConfiguration[]): readonly ShareConfiguration[] {
  if (!Array.isArray(shares)) throw new UserError('the shared folders are no list');
  for (const share of shares) checkShare(share);
  if (shares.length > MOST_SHARES) throw new UserError(`${shares.length} shared folders are too many; give at most ${MOST_SHARES}`);
  const tags = shares.map(({ tag }) => tag);
  const twice = tags.find((tag, i) => tags.indexOf(tag) !== i);
  if (twice !== undefined) throw new UserError(`two shared folders have the tag ${twice}; give each its own`);
  return shares;
}
