import { StateError, UserError } from '../base/errors.ts';
import { DISK_INTERFACES } from '../machine/drives.ts';
import type { DiskInterface, MediumKind } from '../machine/drives.ts';
import { diskRequest } from './drives.ts';
import type { OpenDrives } from './drives.ts';
import type { DrivesRequest } from './requests.ts';

// A stored machine names the images of its drives, in the same words as in Node; their contents stay where they are.

/** Plain JSON. */
interface StoredDisk {
  /** The image's name; missing: a disk in memory without one. */
  readonly file?: string;
  readonly ramBytes?: number;
  /** What the guest has written is in the stored machine. */
  readonly ram?: boolean;
  readonly interface: DiskInterface;
  readonly readOnly?: boolean;
  /** In a browser: what the guest has written is kept under this name, and had this stamp. */
  readonly keep?: string;
  readonly stamp?: string;
}

interface StoredDrives {
  readonly request: { readonly disks?: readonly StoredDisk[]; readonly cdrom?: string | null; readonly floppy?: string | null };
  readonly images: readonly { readonly path: string; readonly bytes: number; readonly modified: null }[];
}

export function describeDrives({ disks, drives, media }: OpenDrives): StoredDrives {
  const medium = (kind: MediumKind) => drives.find((drive) => drive.kind === kind)?.block?.bytes ?? 0;
  return {
    request: {
      ...media,
      ...(disks.length === 0 ? {} : {
        disks: disks.map(({ name, interface: how, readOnly, kept }) => ({
          file: name, interface: how, ...(readOnly ? { readOnly } : kept === undefined ? { ram: true } : { keep: kept.name, stamp: kept.stamp() }),
        })),
      }),
    },
    images: [
      ...disks.map(({ name, block }) => ({ path: name, bytes: block.bytes, modified: null })),
      ...Object.entries(media).filter(([, name]) => name !== null).map(([kind, name]) => ({ path: name!, bytes: medium(kind as MediumKind), modified: null })),
    ],
  };
}

/** What is known of a stored machine's drives before they are opened. */
export interface ExpectedDrives {
  readonly request: DrivesRequest;
  /** After they have been opened. Throws UserError for contents that are others now. */
  check(open: OpenDrives): void;
}

/**
 * The drives of a stored machine: how they are attached is as it was, `given` are the images again, in their order. Throws
 * StateError for nonsense, UserError where images are missing.
 */
export function checkStoredDrives(stored: unknown, given: DrivesRequest): ExpectedDrives {
  const { request } = (stored ?? {}) as Partial<StoredDrives>;
  const disks: readonly unknown[] = request?.disks ?? [];
  if (typeof request !== 'object' || request === null || !Array.isArray(disks) || !disks.every(isDisk)) throw new StateError('is damaged, or its drives are of a kind that browsers do not have');
  const images = (stored as Partial<StoredDrives>).images;
  const sizes = new Map(Array.isArray(images) ? images.map(({ path, bytes }) => [path, bytes]) : []);
  const sources = (given.disks ?? []).map(diskRequest);
  const wanted = disks.map((disk) => disk.file ?? `${disk.ramBytes} bytes in memory`);
  if (sources.length > disks.length) throw new UserError(`the stored machine has ${disks.length === 0 ? 'no disk' : `${disks.length} disks (${wanted.join(', ')})`}, but ${sources.length} are given; give those only`);
  const media = Object.fromEntries((['cdrom', 'floppy'] as const).filter((kind) => request[kind] !== undefined).map((kind) => {
    if (request[kind] !== null && given[kind] === undefined) throw new UserError(`the stored machine has the image ${request[kind]} in its ${kind} drive; give it again`);
    return [kind, request[kind] === null ? null : given[kind]!];
  }));
  return {
    request: {
      ...media,
      disks: disks.map((disk, i) => {
        const source = disk.ramBytes === undefined ? sources[i]?.source : new Blob([new Uint8Array(disk.ramBytes)]);
        if (source === undefined) throw new UserError(`the stored machine has the disk ${disk.file}; give its image again, as it was then`);
        const keep = disk.keep ?? (disk.ram === true || disk.readOnly === true || disk.ramBytes !== undefined ? undefined : sources[i]?.keep);
        return { source, interface: disk.interface, ...(disk.readOnly === true ? { readOnly: true } : keep === undefined ? {} : { keep }) };
      }),
    },
    check: (open) => {
      for (const [i, disk] of disks.entries()) {
        const { block, name, kept } = open.disks[i]!;
        const bytes = disk.file === undefined ? disk.ramBytes : sizes.get(disk.file);
        if (block.bytes !== bytes) throw new UserError(`the disk ${name} has ${block.bytes} bytes, but that of the stored machine (${wanted[i]}) had ${String(bytes)}; give the image of that time`);
        if (disk.stamp !== undefined && kept !== undefined && kept.stamp() !== disk.stamp) {
          throw new UserError(`the disk kept as "${disk.keep}" was written to after the machine was saved; going on would damage its files: start the machine anew`);
        }
      }
    },
  };
}

function isDisk(disk: unknown): disk is StoredDisk {
  const { file, ramBytes, interface: how, keep, stamp } = (disk ?? {}) as Partial<StoredDisk>;
  return (typeof file === 'string' || (typeof ramBytes === 'number' && ramBytes >= 512 && ramBytes % 512 === 0 && ramBytes <= 2 ** 30)) && (DISK_INTERFACES as readonly unknown[]).includes(how) &&
    (keep === undefined || typeof keep === 'string') && (stamp === undefined || typeof stamp === 'string');
}

