import { BUDGET, BUDGET_START } from '../isa/x86/state/layout.ts';
import { VCPU_BASE, VCPU_STRIDE } from '../memory/layout.ts';

/**
 * Makes a vCPU that runs in another thread leave its block soon. It may not: the running code counts the same word down without
 * looking, so the end of its slice is what one can rely on.
 */
export function kickVcpu(words: Int32Array, index: number): void {
  const cpu = VCPU_BASE + index * VCPU_STRIDE;
  // What is used up is left alone: where exactly one instruction is to be executed, a 0 in place of the -1 behind it would let the next one follow.
  for (let left: number; (left = Atomics.load(words, (cpu + BUDGET) >> 2)) > 0; ) {
    if (Atomics.compareExchange(words, (cpu + BUDGET) >> 2, left, 0) !== left) continue;
    // The instructions that are not executed are not counted. Where the running code has overwritten the zero, some that are.
    Atomics.sub(words, (cpu + BUDGET_START) >> 2, left);
    return;
  }
}
