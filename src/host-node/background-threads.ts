import { readFileSync, readdirSync } from 'node:fs';
import { constants, setPriority } from 'node:os';

/** Threads of V8's pool, unless --v8-pool-size says otherwise. */
const POOL = 4;

/**
 * Lets V8's own threads, which compile and collect garbage, run behind the guest's where processors are few: with two of them
 * four compiling threads would take half of the guest's. Only Linux gives a thread a niceness of its own. Cannot be undone, so
 * it is for programs, before they make threads: not for a library that is a guest in a process.
 */
export function lowerBackgroundThreads(): void {
  if (process.platform !== 'linux') return;
  try {
    for (const thread of poolThreads()) setPriority(thread, constants.priority.PRIORITY_BELOW_NORMAL);
  } catch {
    // No /proc, or not allowed: it is as fast as before.
  }
}

/** From version 24 on Node names them; before, they follow the main thread and the one that delays tasks. */
function poolThreads(): number[] {
  const threads = readdirSync('/proc/self/task').map(Number).sort((a, b) => a - b).filter((thread) => thread !== process.pid);
  const named = threads.filter((thread) => readFileSync(`/proc/self/task/${thread}/comm`, 'utf8').trim() === 'V8Worker');
  return named.length > 0 ? named : threads.slice(1, 1 + POOL);
}
