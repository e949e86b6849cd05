import { readFileSync } from 'node:fs';
import { ofLinux } from './koffi.ts';

/** Later ones (seen in Node 24) put modules side by side by themselves. */
const LAST_RANDOM_V8 = 12;
/** The places that V8 asks for are below; what the system chooses by itself is above. */
const HIGHEST = 2 ** 46;
/** The program and its heap may lie below, and that heap grows. */
const LOWEST = 2 ** 40;
/** Smaller gaps stay. */
const LEAST = 2 ** 30;
// Linux, x86-64 and AArch64: the same numbers.
const PROT_NONE = 0;
/** MAP_PRIVATE, MAP_ANONYMOUS, MAP_NORESERVE, MAP_FIXED_NOREPLACE. */
const MAP_RESERVED = 0x104022;

const ffi = ofLinux((koffi) => koffi.load(null).func('long mmap(uint64_t address, size_t bytes, int protection, int flags, int file, long offset)'));

/**
 * Makes V8 put the code of WebAssembly modules side by side. Up to version 12 (Node 22) it asks the system for a random place of 46
 * bits for each module, so that each has page tables of its own, and guests that execute much of a thousand modules lose a fifth of
 * their time to misses of the processor's TLB. For a place that is taken the system gives the next one that is free below its
 * libraries. So all of those places are taken here, by address space that nobody can touch and that costs no memory (tools show it
 * as virtual size). Code lies where libraries do, as random as they. For modules from now on; again: no harm.
 */
export function keepCodeTogether(): void {
  if (Number.parseInt(process.versions.v8, 10) > LAST_RANDOM_V8) return;
  const mmap = ffi();
  if (mmap === undefined) return;
  for (const { from, to } of gaps()) mmap(from, to - from, PROT_NONE, MAP_RESERVED, -1, 0); // where that fails, it is as it was
}

/** What is free between the process's mappings, as /proc/self/maps has them (proc(5)). */
function gaps(): { from: number; to: number }[] {
  let maps: string;
  try {
    maps = readFileSync('/proc/self/maps', 'latin1');
  } catch {
    return [];
  }
  const found: { from: number; to: number }[] = [];
  let from = LOWEST;
  for (const [, start, end] of maps.matchAll(/^([0-9a-f]+)-([0-9a-f]+) /gm)) {
    const to = Math.min(Number.parseInt(start!, 16), HIGHEST);
    if (to - from >= LEAST) found.push({ from, to });
    from = Math.max(from, Number.parseInt(end!, 16));
  }
  return found;
}
