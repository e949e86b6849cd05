import { accessSync, constants } from 'node:fs';
import { resolve } from 'node:path';
import { UserError } from '../base/errors.ts';
import { RamDisk } from '../disk/ram-disk.ts';
import { concatenated, striped } from '../disk/spread-disk.ts';
import type { BlockPort } from '../host/blocks.ts';
import type { Log } from '../host/log.ts';
import { filesOf, parseDisk, stripeChunk } from '../machine/drives.ts';
import type { DiskInterface, DiskRequest, Drive, MediumKind } from '../machine/drives.ts';
import { BlockFile } from './block-file.ts';
import { openMirror } from './mirror-files.ts';

/** What may be given to say which drives a machine has. */
export interface DrivesRequest {
  /** Hard disks, as `parseDisk` takes them, or the same taken apart. */
  readonly disks?: readonly (string | DiskRequest)[];
  /** Path of a CD-ROM image (ISO 9660); null: the drive is empty. */
  readonly cdrom?: string | null;
  /** Path of a floppy disk image, of 360 KB to 2.88 MB; null: the drive is empty. */
  readonly floppy?: string | null;
}

/** Opens what is asked for, all or nothing. `usual`: how disks are attached that do not say it. Throws UserError. */
export async function openDrives(request: DrivesRequest, usual: DiskInterface, log: Log): Promise<readonly Drive[]> {
  const disks = (request.disks ?? []).map((disk) => (typeof disk === 'string' ? parseDisk(disk) : disk));
  refuseTwice(disks);
  const drives: Drive[] = [];
  try {
    for (const [i, disk] of disks.entries()) drives.push({ kind: 'disk', interface: disk.interface ?? usual, block: await openDisk(disk, `ram-disk-${i}`, log) });
    for (const kind of ['cdrom', 'floppy'] as const) {
      const path = request[kind];
      if (path !== undefined) drives.push({ kind, block: path === null ? undefined : await openMedium(kind, path, log) });
    }
    return drives;
  } catch (error) {
    await closeDrives(drives);
    throw error;
  }
}

/** A file whose disk is written to is one disk only. */
function refuseTwice(disks: readonly DiskRequest[]): void {
  const written = new Map<string, boolean>();
  for (const disk of disks) {
    const writes = disk.readOnly !== true && !('ram' in disk && disk.ram === true);
    for (const file of filesOf(disk).map((path) => resolve(path))) {
      if (written.has(file) && (writes || written.get(file) === true)) throw new UserError(`disk ${file} is given twice; leave one of them out, or let both only read it (readonly)`);
      written.set(file, writes);
    }
  }
}

/** `name`: of its contents in stored machines, if they are in memory. */
async function openDisk(disk: DiskRequest, name: string, log: Log): Promise<BlockPort> {
  const readOnly = disk.readOnly ?? false;
  const open = (file: string, reads = readOnly): Promise<BlockFile> => BlockFile.open(file, { readOnly: reads, what: 'disk', complain: log.warn });
  if ('ramBytes' in disk) return new RamDisk(disk.ramBytes, undefined, name);
  if ('file' in disk) {
    if (disk.ram !== true) return open(disk.file);
    const below = await open(disk.file, true);
    return new RamDisk(below.bytes, below, name);
  }
  if (disk.layout === 'mirror') {
    if (readOnly) throw new UserError(`a mirror (${disk.files.join(', ')}) cannot be read-only; give one of its files as a disk`);
    return openMirror(disk.files, log);
  }
  const parts: BlockFile[] = [];
  try {
    for (const file of disk.files) parts.push(await open(file));
    if (disk.layout === 'concat') return concatenated(parts);
    const chunk = stripeChunk(disk);
    const small = disk.files.find((_, i) => parts[i]!.bytes < chunk);
    if (small !== undefined) throw new UserError(`disk ${small} is smaller than a chunk of the stripe (${chunk} bytes); give a larger one, or a smaller chunk`);
    return striped(parts, chunk);
  } catch (error) {
    await Promise.all(parts.map((part) => part.close()));
    throw error;
  }
}

/** A medium to put into a drive. Throws UserError. */
export function openMedium(kind: MediumKind, path: string, log: Log): Promise<BlockFile> {
  return kind === 'cdrom' ? BlockFile.open(path, { readOnly: true, what: 'CD-ROM image', complain: log.warn }) : openFloppy(path, log);
}

/** Without the right to write it is write-protected. */
async function openFloppy(path: string, log: Log): Promise<BlockFile> {
  let writable = true;
  try {
    accessSync(path, constants.W_OK);
  } catch {
    writable = false;
  }
  return BlockFile.open(path, { readOnly: !writable, what: 'floppy disk image', complain: log.warn });
}

/** Legal again and again. */
export async function closeDrives(drives: readonly Drive[]): Promise<void> {
  await Promise.all(drives.map((drive) => drive.block?.close()));
}
