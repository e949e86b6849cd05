import { UserError } from '../base/errors.ts';
import { parseSize } from './configuration.ts';
import type { BlockPort } from '../host/blocks.ts';

/** How a disk is attached. */
export const DISK_INTERFACES = ['ide', 'virtio', 'scsi', 'ahci', 'nvme'] as const;
export type DiskInterface = (typeof DISK_INTERFACES)[number];

/** How one disk is made of several files. */
export const DISK_LAYOUTS = ['concat', 'stripe', 'mirror'] as const;
export type DiskLayout = (typeof DISK_LAYOUTS)[number];

/** Where a disk's contents are; paths of raw images. */
export type DiskSource =
  /** `ram`: what the guest writes is kept in memory and forgotten in the end, the file stays as it is. */
  | { readonly file: string; readonly ram?: boolean }
  /** An empty disk in memory, of so many bytes. */
  | { readonly ramBytes: number }
  /** `chunkBytes`: what each file has before the next one follows, of a stripe. */
  | { readonly layout: DiskLayout; readonly files: readonly string[]; readonly chunkBytes?: number };

/** A disk as the user asks for it. */
export type DiskRequest = DiskSource & {
  /** By default `virtio` where a kernel is loaded directly, else `ide`. */
  readonly interface?: DiskInterface;
  readonly readOnly?: boolean;
};

/** Drives whose medium can be changed while the machine runs. */
export type MediumKind = 'cdrom' | 'floppy';

/** Such a drive while the machine runs. */
export interface RemovableDrive {
  /** The guest does not let its medium go. */
  readonly locked: boolean;
  /** Asks the guest to let it go. */
  pressEject(): void;
  /** Another medium, or none. Throws UserError for one that does not fit. */
  change(block: BlockPort | undefined): void;
}

/** A drive with its contents, if it has any, ready to be wired. */
export type Drive =
  | { readonly kind: 'disk'; readonly interface: DiskInterface; readonly block: BlockPort }
  | { readonly kind: MediumKind; readonly block: BlockPort | undefined };

const SECTOR = 512;
/** Bytes of a disk in memory. */
export const MOST_RAM = 2 ** 36;
const DEFAULT_CHUNK = 1 << 16;
const WANTED = 'give FILE, and behind it as needed ,if=INTERFACE and ,readonly or ,ram';
const WANTED_SIZE = 'give a multiple of 512 bytes, for instance 64M';
const KINDS: readonly string[] = [...DISK_LAYOUTS, 'ram'];

/**
 * `FILE`, `ram:SIZE`, or `concat:`, `stripe:` or `mirror:` and files with commas between; behind that `,if=INTERFACE`,
 * `,readonly`, `,ram` (of a file), `,chunk=SIZE` (of a stripe). A comma in a file's name is written twice. Throws UserError.
 */
export function parseDisk(text: string): DiskRequest {
  // No file's name holds a zero character.
  const [first = '', ...more] = text.replaceAll(',,', '\0').split(',').map((part) => part.replaceAll('\0', ','));
  const kind = KINDS.find((name) => first.startsWith(`${name}:`));
  const names = [kind === undefined ? first : first.slice(kind.length + 1)];
  const settings: { interface?: DiskInterface; readOnly?: boolean; ram?: boolean; chunkBytes?: number } = {};
  for (const part of more) {
    const [, key, value] = /^(if|chunk)=(.*)$/.exec(part) ?? [];
    if (key === 'if') settings.interface = checkDiskInterface(value!);
    else if (key === 'chunk' && kind === 'stripe') settings.chunkBytes = checkSize(value!, text);
    else if (part === 'readonly') settings.readOnly = true;
    else if (part === 'ram' && kind === undefined) settings.ram = true;
    else if (kind !== undefined && kind !== 'ram' && part !== '') names.push(part);
    else throw new UserError(`disk "${text}": "${part}" is not understood; ${WANTED}`);
  }
  if (names[0] === '') throw new UserError(`disk "${text}" names no file; ${WANTED}`);
  if (kind === undefined) return { file: names[0]!, ...settings };
  if (kind === 'ram') return { ramBytes: checkSize(names[0]!, text), ...settings };
  if (names.length < 2) throw new UserError(`disk "${text}" is made of one file only; give ${kind}:FILE,FILE, two or more`);
  return { layout: kind as DiskLayout, files: names, ...settings };
}

function checkSize(size: string, text: string): number {
  const bytes = parseSize(size);
  if (!(bytes >= SECTOR && bytes % SECTOR === 0 && bytes <= MOST_RAM)) throw new UserError(`disk "${text}": the size "${size}" does not do; ${WANTED_SIZE}`);
  return bytes;
}

/** The files that a disk is made of. */
export function filesOf(disk: DiskSource): readonly string[] {
  return 'file' in disk ? [disk.file] : 'files' in disk ? disk.files : [];
}

/** The same disk with other paths of its files. */
export function mapFiles(disk: DiskRequest, map: (path: string) => string): DiskRequest {
  return 'file' in disk ? { ...disk, file: map(disk.file) } : 'files' in disk ? { ...disk, files: disk.files.map(map) } : disk;
}

export function stripeChunk(disk: { readonly chunkBytes?: number }): number {
  return disk.chunkBytes ?? DEFAULT_CHUNK;
}

export function checkDiskInterface(name: string): DiskInterface {
  if (!(DISK_INTERFACES as readonly string[]).includes(name)) throw new UserError(`disk interface "${name}" is unknown; give one of ${DISK_INTERFACES.join(', ')}`);
  return name as DiskInterface;
}
