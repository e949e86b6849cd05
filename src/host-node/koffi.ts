import { createRequire } from 'node:module';

/** A C function; `async` runs it in another thread. */
export interface CFunction {
  (...args: readonly unknown[]): number;
  async(...args: readonly unknown[]): void;
}

/** What the optional package koffi is used for: calls of C functions, addresses, and views of memory that C has allocated. */
export interface Koffi {
  /** Null: the process itself, whatever C library Node was linked with. */
  load(library: null): { func(prototype: string): CFunction };
  errno(): number;
  address(bytes: Uint8Array): bigint;
  view(address: unknown, bytes: number): ArrayBuffer;
}

/** Throws where the package is missing, or has nothing for this system. */
export function loadKoffi(): Koffi {
  return createRequire(import.meta.url)('koffi') as Koffi;
}
