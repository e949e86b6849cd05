import { createRequire } from 'node:module';

/** A C function; `async` runs it in another thread. */
export interface CFunction {
  (...args: readonly unknown[]): number;
  async(...args: readonly unknown[]): void;
}

/** What the optional package koffi is used for: calls of C functions, addresses, and views of memory that C has allocated. */
export interface Koffi {
  /** By its file, where the system looks for libraries; null: the process itself, whatever C library Node was linked with. */
  load(library: string | null): { func(prototype: string): CFunction };
  errno(): number;
  address(bytes: Uint8Array): bigint;
  view(address: unknown, bytes: number): ArrayBuffer;
}

/** Throws where the package is missing, or has nothing for this system. */
export function loadKoffi(): Koffi {
  return createRequire(import.meta.url)('koffi') as Koffi;
}

/** What is made of Linux's calls, at the first use; undefined on another system, without FFI for it, and where the C library lacks one. */
export function ofLinux<T>(make: (koffi: Koffi) => T): () => T | undefined {
  let tried = false;
  let made: T | undefined;
  return () => {
    if (!tried && process.platform === 'linux' && (process.arch === 'x64' || process.arch === 'arm64')) {
      try {
        made = make(loadKoffi());
      } catch {
        // It stays undefined: all of this has another way.
      }
    }
    tried = true;
    return made;
  };
}
