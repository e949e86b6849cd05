import type { ReleasePages } from '../host/pages.ts';
import { ofLinux } from './koffi.ts';

const MADV_DONTNEED = 4;

const ffi = ofLinux((koffi) => ({ koffi, madvise: koffi.load(null).func('int madvise(uint64_t address, size_t bytes, int advice)') }));

/** Through madvise(2) on Linux; elsewhere, and without FFI, the pages stay. Legal for memory of a WebAssembly.Memory. */
export const releasePages: ReleasePages = (pages) => {
  const calls = ffi();
  calls?.madvise(calls.koffi.address(pages), pages.length, MADV_DONTNEED);
};
