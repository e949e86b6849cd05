import { accessSync, constants } from 'node:fs';
import { parseDisk } from '../machine/drives.ts';
import type { DiskInterface, DiskRequest, Drive } from '../machine/drives.ts';
import { BlockFile } from './block-file.ts';

/** What may be given to say which drives a machine has. */
export interface DrivesRequest {
  /** Hard disks: `FILE[,if=INTERFACE][,readonly]`, or the same taken apart. */
  readonly disks?: readonly (string | DiskRequest)[];
  /** Path of a CD-ROM image (ISO 9660). */
  readonly cdrom?: string;
  /** Path of a floppy disk image, of 360 KB to 2.88 MB. */
  readonly floppy?: string;
}

/** Opens what is asked for, all or nothing. `usual`: how disks are attached that do not say it. Throws UserError. */
export async function openDrives(request: DrivesRequest, usual: DiskInterface): Promise<readonly Drive[]> {
  const disks = (request.disks ?? []).map((disk) => (typeof disk === 'string' ? parseDisk(disk) : disk));
  const drives: Drive[] = [];
  try {
    for (const disk of disks) drives.push({ kind: 'disk', interface: disk.interface ?? usual, block: await BlockFile.open(disk.file, { readOnly: disk.readOnly ?? false, what: 'disk' }) });
    if (request.cdrom !== undefined) drives.push({ kind: 'cdrom', block: await BlockFile.open(request.cdrom, { readOnly: true, what: 'CD-ROM image' }) });
    if (request.floppy !== undefined) drives.push({ kind: 'floppy', block: await openFloppy(request.floppy) });
    return drives;
  } catch (error) {
    await closeDrives(drives);
    throw error;
  }
}

/** Without the right to write it is write-protected. */
async function openFloppy(path: string): Promise<BlockFile> {
  let writable = true;
  try {
    accessSync(path, constants.W_OK);
  } catch {
    writable = false;
  }
  return BlockFile.open(path, { readOnly: !writable, what: 'floppy disk image' });
}

/** Legal again and again. */
export async function closeDrives(drives: readonly Drive[]): Promise<void> {
  await Promise.all(drives.map((drive) => drive.block.close()));
}
