import type { ExecutionOptions, HardwareOptions } from '../library/hardware-options.ts';
import type { MachineReport } from '../library/machine-report.ts';
import type { DiskInterface } from '../machine/drives.ts';

// What a page may ask for; types only, as the page has none of the code.

/** Where a file comes from: an address, a file that the user has chosen, or its contents. */
export type Source = string | Blob | Uint8Array;

/** What may be given to say what a machine boots. */
export interface BootRequest {
  /** Linux bzImage, ELF with a PVH note, multiboot 1. */
  readonly kernel?: Source;
  readonly initrd?: Source;
  /** Kernel command line. Default: `console=ttyS0`. */
  readonly append?: string;
  /** Instead of a kernel: an image of SeaBIOS or OVMF. */
  readonly firmware?: Source;
  /** With firmware: the display's option ROM (SeaBIOS's vgabios-stdvga.bin). */
  readonly vgaBios?: Source;
  /** With UEFI firmware: what its variables begin with. */
  readonly nvram?: Source;
  /** With firmware: where it looks for something to boot, letters out of `c` (hard disk), `d` (CD-ROM), `a` (floppy disk); what is left out comes last. Default: `cad`, or as UEFI's variables say. */
  readonly bootOrder?: string;
  /** With firmware: ask for a key that leads to a menu. */
  readonly bootMenu?: boolean;
}

/** A hard disk. */
export interface DiskRequest {
  /** A raw image: an address, whose blocks are fetched as they are read, a file, or its bytes. It is never written to. */
  readonly source: Source;
  /** By default `virtio` where a kernel is booted directly, else `ide`. */
  readonly interface?: DiskInterface;
  readonly readOnly?: boolean;
  /**
   * Keeps what the guest writes in the browser's storage under this name, where the next machine with the same disk and name
   * finds it. Missing: in memory, and gone with the machine; it goes with stored machines.
   */
  readonly keep?: string;
}

/** What may be given to say which drives a machine has. */
export interface DrivesRequest {
  readonly disks?: readonly (Source | DiskRequest)[];
  /** An ISO 9660 image; null: the drive is empty. */
  readonly cdrom?: Source | null;
  /** A floppy disk image of 360 KB to 2.88 MB, written to in memory only; null: the drive is empty. */
  readonly floppy?: Source | null;
}

export type MachineRequest = Omit<HardwareOptions, 'append' | 'ports'> & BootRequest & DrivesRequest;
/** What may be chosen when a stored machine goes on. Its disks' images are to be given again, in their order. */
export type RestoreRequest = ExecutionOptions & DrivesRequest;

export interface SaveOptions {
  /** Smaller and slower. */
  readonly compress?: boolean;
}

/** Figures about a run in a browser. */
export interface BrowserReport extends MachineReport {
  readonly host: {
    readonly browser: string;
    /** The page is cross-origin isolated. */
    readonly isolated: boolean;
  };
}

/** What is kept in the page's own storage: changes of disks, and stored machines. */
export type Shelf = 'disks' | 'states';
