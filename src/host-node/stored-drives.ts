import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import { StateError, UserError } from '../base/errors.ts';
import { DISK_INTERFACES, DISK_LAYOUTS, MOST_RAM, filesOf, mapFiles, parseDisk } from '../machine/drives.ts';
import type { DiskInterface, DiskRequest } from '../machine/drives.ts';
import type { DrivesRequest } from './drives.ts';
import { fileTrouble } from './words.ts';

// A stored machine names the images of its drives; their contents stay where they are.

/** An image as it was when the machine was saved. Plain JSON. */
interface StoredImage {
  readonly path: string;
  readonly bytes: number;
  /** Time of the last change in ms, where the machine may have changed it; else null. */
  readonly modified: number | null;
}

/** Plain JSON. */
export interface StoredDrives {
  readonly request: DrivesRequest;
  readonly images: readonly StoredImage[];
}

/** The same request whatever the current folder and the usual interface are. */
export function settleDrives(request: DrivesRequest, usual: DiskInterface): DrivesRequest {
  const disks = (request.disks ?? []).map((disk) => (typeof disk === 'string' ? parseDisk(disk) : disk));
  return {
    ...(disks.length === 0 ? {} : { disks: disks.map((disk) => ({ ...mapFiles(disk, (path) => resolve(path)), interface: disk.interface ?? usual })) }),
    ...(request.cdrom === undefined ? {} : { cdrom: request.cdrom && resolve(request.cdrom) }),
    ...(request.floppy === undefined ? {} : { floppy: request.floppy && resolve(request.floppy) }),
  };
}

export function describeDrives(request: DrivesRequest): StoredDrives {
  return {
    request,
    images: imagesOf(request).map(({ path, readOnly }) => {
      const { size, mtimeMs } = statSync(path);
      return { path, bytes: size, modified: readOnly ? null : mtimeMs };
    }),
  };
}

/** What a stored machine's drives are, as they must still be. Throws StateError for nonsense, UserError for images that are others now. */
export function checkStoredDrives(stored: unknown): DrivesRequest {
  const { request, images } = (stored ?? {}) as Partial<StoredDrives>;
  if (typeof request !== 'object' || request === null || !Array.isArray(images)) throw damaged();
  const { disks, cdrom, floppy } = request as { readonly [key: string]: unknown };
  if (!(disks === undefined || (Array.isArray(disks) && disks.every(isDisk))) || !isPath(cdrom) || !isPath(floppy)) throw damaged();
  for (const { path } of imagesOf(request)) {
    const image = images.find((candidate: Partial<StoredImage> | null) => candidate?.path === path);
    if (image === undefined) throw damaged();
    checkImage(image);
  }
  return request;
}

function checkImage({ path, bytes, modified }: StoredImage): void {
  let found;
  try {
    found = statSync(path);
  } catch (error) {
    throw new UserError(`the image ${path} of the stored machine ${fileTrouble(error)}; put it back there`);
  }
  if (found.size !== bytes) throw new UserError(`the image ${path} has ${found.size} bytes, but had ${bytes} when the machine was saved; put the image of that time back`);
  if (modified !== null && found.mtimeMs !== modified) {
    const when = (ms: number): string => new Date(ms).toISOString();
    throw new UserError(`the image ${path} was written to at ${when(found.mtimeMs)}, after the machine was saved (it then was of ${when(modified)}); going on would damage its files: put the image of that time back`);
  }
}

function imagesOf(request: DrivesRequest): { readonly path: string; readonly readOnly: boolean }[] {
  return [
    ...(request.disks ?? []).map((disk) => disk as DiskRequest).flatMap((disk) => filesOf(disk).map((path) => ({ path, readOnly: disk.readOnly ?? false }))),
    ...(request.cdrom == null ? [] : [{ path: request.cdrom, readOnly: true }]),
    ...(request.floppy == null ? [] : [{ path: request.floppy, readOnly: false }]),
  ];
}

function isDisk(disk: unknown): boolean {
  const { file, ram, ramBytes, layout, files, chunkBytes, interface: how, readOnly } = (disk ?? {}) as { readonly [key: string]: unknown };
  const several = (DISK_LAYOUTS as readonly unknown[]).includes(layout) && Array.isArray(files) && files.length > 1 && files.every((path) => typeof path === 'string') &&
    (chunkBytes === undefined || (typeof chunkBytes === 'number' && chunkBytes >= 512 && chunkBytes % 512 === 0));
  const inMemory = typeof ramBytes === 'number' && ramBytes >= 512 && ramBytes % 512 === 0 && ramBytes <= MOST_RAM;
  const one = typeof file === 'string' && (ram === undefined || typeof ram === 'boolean');
  return (one || inMemory || several) && (DISK_INTERFACES as readonly unknown[]).includes(how) && (readOnly === undefined || typeof readOnly === 'boolean');
}
function isPath(path: unknown): boolean {
  return path === undefined || path === null || typeof path === 'string';
}
function damaged(): StateError {
  return new StateError('is damaged: its drives make no sense');
}
