/** What the guest boots: a kernel directly, or firmware that finds something to boot. */
export type BootFiles = KernelFiles | FirmwareFiles;

/** Files' contents and how messages call them. */
export interface KernelFiles {
  readonly kernel: Uint8Array;
  readonly kernelName: string;
  readonly initrd?: Uint8Array;
  readonly initrdName?: string;
}

export interface FirmwareFiles {
  /** Image of the flash ROM that ends at 4 GiB. */
  readonly firmware: Uint8Array;
  /** Option ROM of the display. */
  readonly vgaBios?: Uint8Array;
}
