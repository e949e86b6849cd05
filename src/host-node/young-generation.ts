import { setFlagsFromString } from 'node:v8';
import type { ResourceLimits } from 'node:worker_threads';

/** MiB of half a young generation; V8's own bound. */
const LARGE = 16;

let small = false;

/**
 * This thread's young generation stays as small as it is. V8 would let it grow to 32 MiB with what survives, which is a matter of
 * time only, and no guest becomes quicker by it. It concerns the whole process, so it is for programs, as early as can be: not for
 * a library that is a guest in a process.
 */
export function keepYoungGenerationSmall(): void {
  small = true;
  setFlagsFromString('--semi-space-growth-factor=1');
  // That holds for all threads. One that translates has use for a large one (with 4 MiB Python's first run takes 15 % more processor
  // time), so what begins from now on begins with it, unless bounded.
  setFlagsFromString(`--min-semi-space-size=${LARGE}`);
}

/** Limits of a thread that makes as little garbage as this one. */
export function smallYoungGeneration(): ResourceLimits {
  // Three times half of it: a MiB, V8's least.
  return small ? { maxYoungGenerationSizeMb: 3 } : {};
}

/** To be called when another thread has begun: V8 makes the factor 2 where it sets up a heap (Heap::ConfigureHeap). */
export function keepYoungGenerationAsItWas(): void {
  if (small) keepYoungGenerationSmall();
}
