import { describe, expect, test } from 'vitest';
import { BUDGET, BUDGET_START } from '../isa/x86/state/layout.ts';
import { VCPU_BASE, VCPU_STRIDE } from '../memory/layout.ts';
import { kickVcpu } from './kick.ts';

describe('a kick', () => {
  test.each([
    { left: 70, then: [0, 30] },
    { left: 0, then: [0, 100] },
    // One instruction alone has been executed, and the block is about to look.
    { left: -1, then: [-1, 100] },
  ])('of a vCPU with $left instructions left of 100 leaves $then', ({ left, then }) => {
    const words = new Int32Array(new SharedArrayBuffer(VCPU_BASE + 2 * VCPU_STRIDE));
    const [budget, start] = [BUDGET, BUDGET_START].map((offset) => (VCPU_BASE + VCPU_STRIDE + offset) >> 2) as [number, number];
    words[budget] = left;
    words[start] = 100;
    kickVcpu(words, 1);
    expect([words[budget], words[start]]).toEqual(then);
  });
});
