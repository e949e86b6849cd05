import { closeSync, openSync, readFileSync, readSync, readdirSync } from 'node:fs';

/** Resident memory of a process, in bytes. */
export interface ProcessMemory {
  readonly residentBytes: number;
  /** Part of it that is the guest's RAM. */
  readonly guestRamBytes: number;
  readonly beyondRamBytes: number;
}

/** Processor time of all living threads (proc(5): schedstat, nanoseconds); NaN where the kernel does not tell. */
export function processCpuSeconds(pid: number): number {
  try {
    const tasks = readdirSync(`/proc/${pid}/task`);
    return tasks.reduce((sum, task) => sum + Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0]), 0) / 1e9;
  } catch {
    return NaN;
  }
}

const PAGE = 4096;

/**
 * Resident memory, and how much of it is guest RAM: pages that are present (proc(5): pagemap, bit 63) in the largest
 * readable mapping of at least the guest's size, from `ramOffset` on. Null where that cannot be known.
 */
export function processMemory(pid: number, guestBytes: number, ramOffset: number | undefined): ProcessMemory | null {
  if (ramOffset === undefined) return null;
  try {
    const residentBytes = Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024;
    const candidates = readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n').flatMap((line) => {
      const match = /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(line);
      if (match === null) return [];
      const from = parseInt(match[1]!, 16);
      const bytes = parseInt(match[2]!, 16) - from;
      return bytes >= guestBytes + ramOffset ? [presentBytes(pid, from + ramOffset, Math.min(guestBytes, bytes - ramOffset))] : [];
    });
    const guestRamBytes = Math.max(0, ...candidates);
    return { residentBytes, guestRamBytes, beyondRamBytes: residentBytes - guestRamBytes };
  } catch {
    return null;
  }
}

function presentBytes(pid: number, from: number, bytes: number): number {
  const map = openSync(`/proc/${pid}/pagemap`, 'r');
  try {
    const entries = new BigUint64Array(Math.ceil(bytes / PAGE));
    const got = readSync(map, entries, 0, entries.byteLength, Math.floor(from / PAGE) * 8);
    let present = 0;
    for (let i = 0; i < got >> 3; i++) if (entries[i]! >> 63n === 1n) present++;
    return present * PAGE;
  } finally {
    closeSync(map);
  }
}
