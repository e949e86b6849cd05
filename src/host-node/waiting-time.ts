import { openSync, readSync } from 'node:fs';

/**
 * A function that tells how long the calling thread has wanted to execute and could not, in ns since it began: Linux's run queue delay
 * (Documentation/scheduler/sched-stats.rst, /proc/<pid>/schedstat). To be called in the same thread. Undefined where the host does not say.
 */
export function waitingTime(): (() => number) | undefined {
  const text = new Uint8Array(80);
  let file: number;
  try {
    file = openSync('/proc/thread-self/schedstat', 'r');
  } catch {
    return undefined;
  }
  return () => {
    const length = readSync(file, text, 0, text.length, 0);
    // Time on a processor, time waiting for one, and how often.
    return Number(String.fromCharCode(...text.subarray(0, length)).split(' ')[1]);
  };
}
