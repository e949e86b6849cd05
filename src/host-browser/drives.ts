import { UserError } from '../base/errors.ts';
import { OverlayDisk } from '../disk/overlay-disk.ts';
import { RamDisk } from '../disk/ram-disk.ts';
import type { BlockPort } from '../host/blocks.ts';
import { checkDiskInterface } from '../machine/drives.ts';
import type { DiskInterface, Drive, MediumKind } from '../machine/drives.ts';
import { BlobDisk } from './blob-disk.ts';
import { ComplainingDisk } from './complaining-disk.ts';
import { checkName, openStored } from './opfs.ts';
import type { DiskRequest, DrivesRequest, Source } from './requests.ts';
import { nameOf } from './sources.ts';
import { UrlDisk } from './url-disk.ts';

/** A disk as it was opened, and what a stored machine says of it. */
export interface OpenDisk {
  readonly name: string;
  readonly interface: DiskInterface;
  readonly readOnly: boolean;
  /** Where what the guest writes is kept, and what tells it from what was kept there before and after. */
  readonly kept?: { readonly name: string; stamp(): string };
  readonly block: BlockPort;
}

export interface OpenDrives {
  readonly drives: readonly Drive[];
  readonly disks: readonly OpenDisk[];
  /** What the removable drives are called, as far as there are any. */
  readonly media: Readonly<Partial<Record<MediumKind, string | null>>>;
}

export function diskRequest(disk: Source | DiskRequest): DiskRequest {
  return typeof disk === 'string' || disk instanceof Blob || disk instanceof Uint8Array ? { source: disk } : disk;
}

/** Opens what is asked for, all or nothing. `usual`: how disks are attached that do not say it. Throws UserError. */
export async function openDrives(request: DrivesRequest, usual: DiskInterface, complain: (line: string) => void): Promise<OpenDrives> {
  const disks: OpenDisk[] = [];
  const drives: Drive[] = [];
  try {
    for (const [i, disk] of (request.disks ?? []).entries()) {
      const open = await openDisk(diskRequest(disk), usual, `ram-disk-${i}`, complain);
      disks.push(open);
      drives.push({ kind: 'disk', interface: open.interface, block: open.block });
    }
    for (const kind of ['cdrom', 'floppy'] as const) {
      const source = request[kind];
      if (source !== undefined) drives.push({ kind, block: source === null ? undefined : await openMedium(kind, source, complain) });
    }
    const media = Object.fromEntries((['cdrom', 'floppy'] as const).filter((kind) => request[kind] !== undefined).map((kind) => [kind, request[kind] === null ? null : nameOf(request[kind]!, kind)]));
    return { drives, disks, media };
  } catch (error) {
    await Promise.all(drives.map(({ block }) => block?.close()));
    throw error;
  }
}

async function openDisk(request: DiskRequest, usual: DiskInterface, name: string, complain: (line: string) => void): Promise<OpenDisk> {
  const { source, readOnly = false, keep } = request;
  const called = nameOf(source, 'disk.img');
  const common = { name: called, readOnly, interface: checkDiskInterface(request.interface ?? usual) };
  if (keep !== undefined && readOnly) throw new UserError(`disk ${called} is read-only, so there is nothing to keep as "${keep}"; leave one of the two out`);
  if (keep !== undefined) checkName(keep);
  const { block: below, version } = await openImage('disk', source, complain);
  if (readOnly) return { ...common, block: below };
  if (keep === undefined) return { ...common, block: new RamDisk(below.bytes, below, name) };
  const file = await openStored('disks', keep, true);
  try {
    const overlay = new OverlayDisk(file, below, `${called} ${version}`.trim(), keep, random64);
    return { ...common, block: new ComplainingDisk(overlay, `disk ${called}`, complain), kept: { name: keep, stamp: () => overlay.stamp() } };
  } catch (error) {
    file.close();
    throw error;
  }
}

/** A medium to put into a drive. Throws UserError. */
export async function openMedium(kind: MediumKind, source: Source, complain: (line: string) => void): Promise<BlockPort> {
  const { block } = await openImage(kind === 'cdrom' ? 'CD-ROM image' : 'floppy disk image', source, complain);
  return kind === 'cdrom' ? block : new RamDisk(block.bytes, block, 'floppy-image');
}

/** An image, and what tells this version of it from others. */
async function openImage(what: string, source: Source, complain: (line: string) => void): Promise<{ readonly block: BlockPort; readonly version: string }> {
  const found = typeof source === 'string' ? await UrlDisk.open(what, source, complain) : source instanceof Blob ? source : new Blob([source as Uint8Array<ArrayBuffer>]);
  const block = found instanceof UrlDisk ? found : new BlobDisk(found);
  if (block.bytes < 512) throw new UserError(`${what} ${nameOf(source, '')} is empty; give a raw image`);
  return { block, version: found instanceof UrlDisk ? found.version : found instanceof File ? String(found.lastModified) : '' };
}

function random64(): bigint {
  return crypto.getRandomValues(new BigUint64Array(1))[0]!;
}
