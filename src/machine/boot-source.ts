import { UserError } from '../base/errors.ts';
import type { NicModel } from './nics.ts';

/** What the guest boots: a kernel directly, or firmware that finds something to boot. */
export type BootFiles = KernelFiles | FirmwareFiles;

export interface KernelFiles {
  readonly kernel: BootFile;
  readonly initrd?: BootFile;
}

/** What is looked at when a machine starts, resets or is stored, and not kept in memory meanwhile where that can be helped. */
export interface BootFile {
  /** How messages call it. */
  readonly name: string;
  /** Its contents, the same each time. Throws UserError when they cannot be had any more. */
  read(): Uint8Array;
  /** It is not read any more. Legal again and again. */
  readonly close?: () => void;
}

export function bootFile(name: string, contents: Uint8Array): BootFile {
  return { name, read: () => contents };
}

/** The machine has ended: lets go what is held open. Legal again and again. */
export function closeBootFiles(files: BootFiles): void {
  if ('firmware' in files) files.nvram?.close?.();
  else for (const file of [files.kernel, files.initrd]) file?.close?.();
}

/** Where firmware looks for something to boot, in order: `c` hard disk, `d` CD-ROM, `a` floppy disk, `n` network. */
export type BootOrder = readonly ('a' | 'c' | 'd' | 'n')[];
export const DEFAULT_BOOT_ORDER: BootOrder = ['c', 'a', 'd'];

/** `cad`, `n`; firmware takes three. Throws UserError. */
export function parseBootOrder(text: string): BootOrder {
  if (!/^[acdn]{1,3}$/.test(text) || new Set(text).size !== text.length) throw new UserError(`boot order "${text}" is not understood; give up to three letters out of c (hard disk), d (CD-ROM), a (floppy disk) and n (network), each at most once`);
  return [...text] as BootOrder[number][];
}

export interface FirmwareFiles {
  /** Image of the flash ROM that ends at 4 GiB. */
  readonly firmware: Uint8Array;
  /** Flash memory below it, where firmware keeps its variables. */
  readonly nvram?: Nvram;
  /** Option ROM of the display. */
  readonly vgaBios?: Uint8Array;
  /** Option ROMs of network cards, with which firmware boots from the network. */
  readonly cardRoms?: Readonly<Partial<Record<NicModel, Uint8Array>>>;
  /** Missing: DEFAULT_BOOT_ORDER for a BIOS, and UEFI goes by its variables. */
  readonly bootOrder?: BootOrder;
  /** The firmware asks where to boot from when a key is pressed. */
  readonly bootMenu?: boolean;
}

export interface Nvram {
  /** What it holds when the machine is made: a whole number of blocks of 4 KiB. */
  readonly contents: Uint8Array;
  /** Where the host keeps it, for who stores the machine. */
  readonly file?: string;
  /** Keeps what the guest has changed; missing: the variables go with the machine. */
  readonly store?: (offset: number, bytes: Uint8Array) => void;
  /** The machine has ended: others may use the file. Legal again and again. */
  readonly close?: () => void;
}
