import { UserError } from '../base/errors.ts';
import type { BlockPort } from '../host/blocks.ts';

/** How a disk is attached. */
export const DISK_INTERFACES = ['ide', 'virtio', 'ahci', 'nvme'] as const;
export type DiskInterface = (typeof DISK_INTERFACES)[number];

/** A disk as the user asks for it. */
export interface DiskRequest {
  /** Path of a raw image. */
  readonly file: string;
  /** By default `virtio` where a kernel is loaded directly, else `ide`. */
  readonly interface?: DiskInterface;
  readonly readOnly?: boolean;
}

/** A drive with its contents, ready to be wired. */
export type Drive =
  | { readonly kind: 'disk'; readonly interface: DiskInterface; readonly block: BlockPort }
  | { readonly kind: 'cdrom'; readonly block: BlockPort }
  | { readonly kind: 'floppy'; readonly block: BlockPort };

const WANTED = 'give FILE, and behind it as needed ,if=INTERFACE and ,readonly';

/** `FILE[,if=INTERFACE][,readonly]`; a comma in the file's name is written twice. */
export function parseDisk(text: string): DiskRequest {
  // No file's name holds a zero character.
  const [file, ...settings] = text.replaceAll(',,', '\0').split(',').map((part) => part.replaceAll('\0', ','));
  if (file === undefined || file === '') throw new UserError(`disk "${text}" names no file; ${WANTED}`);
  let request: DiskRequest = { file };
  for (const setting of settings) {
    const chosen = /^if=(.*)$/.exec(setting)?.[1];
    if (chosen !== undefined) request = { ...request, interface: checkDiskInterface(chosen) };
    else if (setting === 'readonly') request = { ...request, readOnly: true };
    else throw new UserError(`disk "${text}": "${setting}" is not understood; ${WANTED}`);
  }
  return request;
}

export function checkDiskInterface(name: string): DiskInterface {
  if (!(DISK_INTERFACES as readonly string[]).includes(name)) throw new UserError(`disk interface "${name}" is unknown; give one of ${DISK_INTERFACES.join(', ')}`);
  return name as DiskInterface;
}
