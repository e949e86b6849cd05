import { ofLinux } from './koffi.ts';

/** The system's page, and the least that is worth a mapping of its own. */
const PAGE = 4096;
const LEAST = 65536;
// Linux, x86-64 and AArch64: the same numbers.
const PROT_READ_WRITE = 3;
const MAP_PRIVATE_FIXED = 0x12;

const ffi = ofLinux((koffi) => ({ koffi, mmap: koffi.load(null).func('long mmap(uint64_t address, size_t bytes, int protection, int flags, int file, long offset)') }));

/**
 * Lets shared memory show part of a file in place of what it holds: pages are read when they are touched, and what is
 * written stays in memory. False where that cannot be done (another system, no FFI, no whole pages): then read.
 * Legal for memory of a WebAssembly.Memory only, which nobody else manages.
 */
export function mapFile(file: number, offset: number, target: Uint8Array): boolean {
  if (target.length < LEAST || target.length % PAGE !== 0 || offset % PAGE !== 0 || !(target.buffer instanceof SharedArrayBuffer)) return false;
  const calls = ffi();
  if (calls === undefined) return false;
  const address = BigInt(calls.koffi.address(target));
  if (address % BigInt(PAGE) !== 0n) return false;
  return Number(calls.mmap(address, target.length, PROT_READ_WRITE, MAP_PRIVATE_FIXED, file, offset)) !== -1;
}
