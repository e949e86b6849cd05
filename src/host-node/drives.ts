import { parseDisk } from '../machine/drives.ts';
import type { DiskInterface, DiskRequest, Drive } from '../machine/drives.ts';
import { BlockFile } from './block-file.ts';

/** What may be given to say which drives a machine has. */
export interface DrivesRequest {
  /** Hard disks: `FILE[,if=INTERFACE][,readonly]`, or the same taken apart. */
  readonly disks?: readonly (string | DiskRequest)[];
  /** Path of a CD-ROM image (ISO 9660). */
  readonly cdrom?: string;
}

/** Opens what is asked for, all or nothing. `usual`: how disks are attached that do not say it. Throws UserError. */
export async function openDrives(request: DrivesRequest, usual: DiskInterface): Promise<readonly Drive[]> {
  const disks = (request.disks ?? []).map((disk) => (typeof disk === 'string' ? parseDisk(disk) : disk));
  const drives: Drive[] = [];
  try {
    for (const disk of disks) drives.push({ kind: 'disk', interface: disk.interface ?? usual, block: await BlockFile.open(disk.file, { readOnly: disk.readOnly ?? false, what: 'disk' }) });
    if (request.cdrom !== undefined) drives.push({ kind: 'cdrom', block: await BlockFile.open(request.cdrom, { readOnly: true, what: 'CD-ROM image' }) });
    return drives;
  } catch (error) {
    await closeDrives(drives);
    throw error;
  }
}

/** Legal again and again. */
export async function closeDrives(drives: readonly Drive[]): Promise<void> {
  await Promise.all(drives.map((drive) => drive.block.close()));
}
