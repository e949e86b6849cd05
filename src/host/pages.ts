/**
 * Lets the host have the memory that backs whole pages, whose contents nobody needs: they keep what they hold, or read as zeros.
 */
export type ReleasePages = (pages: Uint8Array) => void;
