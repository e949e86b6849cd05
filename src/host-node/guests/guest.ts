/** Files of a guest on this host, ready to boot. */
export interface GuestFiles {
  /** Path of the kernel image. */
  readonly kernel: string;
  readonly initrd?: string;
  /** Kernel command line. */
  readonly append: string;
}

/** A guest that `polyvisor run NAME` knows how to get. */
export interface CatalogueEntry {
  readonly name: string;
  /** One line for `polyvisor guests`. */
  readonly summary: string;
  /**
   * Gets the files, from the cache where it has them. `progress` takes lines for the user that say what is being done.
   * Throws UserError with one line when they cannot be had.
   */
  fetch(progress: (line: string) => void): Promise<GuestFiles>;
}
