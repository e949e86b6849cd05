import type { ReleasePages } from '../host/pages.ts';
import { loadKoffi } from './koffi.ts';
import type { CFunction, Koffi } from './koffi.ts';

const MADV_DONTNEED = 4;

let ffi: { readonly koffi: Koffi; readonly madvise: CFunction } | null | undefined;

/** Through madvise(2) on Linux; elsewhere, and without FFI, the pages stay. Legal for memory of a WebAssembly.Memory. */
export const releasePages: ReleasePages = (pages) => {
  ffi ??= load();
  ffi?.madvise(ffi.koffi.address(pages), pages.length, MADV_DONTNEED);
};

function load(): typeof ffi {
  if (process.platform !== 'linux') return null;
  try {
    const koffi = loadKoffi();
    return { koffi, madvise: koffi.load(null).func('int madvise(uint64_t address, size_t bytes, int advice)') };
  } catch {
    return null;
  }
}
