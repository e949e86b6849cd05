import { resolve } from 'node:path';
import { checkShares, parseShare } from '../machine/shares.ts';
import type { Share, ShareConfiguration } from '../machine/shares.ts';
import { HostFolder } from './host-folder.ts';

/** What may be given to say which folders a guest may mount. */
export interface SharesRequest {
  /** As `parseShare` takes them, or the same taken apart. */
  readonly shares?: readonly (string | ShareConfiguration)[];
}

/** The same whatever the current folder is. Throws UserError. */
export function configureShares({ shares = [] }: SharesRequest): readonly ShareConfiguration[] {
  return checkShares(shares.map((share) => (typeof share === 'string' ? parseShare(share) : share))).map((share) => ({ ...share, folder: resolve(share.folder) }));
}

/** All or none. Throws UserError. */
export async function openShares(configured: readonly ShareConfiguration[]): Promise<readonly Share[]> {
  const shares: Share[] = [];
  try {
    for (const { folder, tag, readOnly = false } of configured) shares.push({ tag, folder: await HostFolder.open(folder, readOnly) });
    return shares;
  } catch (error) {
    await closeShares(shares);
    throw error;
  }
}

/** Legal again and again. */
export async function closeShares(shares: readonly Share[]): Promise<void> {
  await Promise.all(shares.map(({ folder }) => folder.close()));
}
