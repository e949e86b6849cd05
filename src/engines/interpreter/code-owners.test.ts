import { describe, expect, test } from 'vitest';
import { CODE, InterpreterFixture } from '../../../test/support/interpreter.ts';
import { RAM_BASE, VCPU_ATTENTION, VCPU_BASE, VCPU_RUNS, VCPU_STRIDE } from '../../memory/layout.ts';

// mov al, 1; out 80h, al; xor eax, eax; cpuid; jmp back: the byte behind B0 is what is overwritten.
const LOOP = [0xb0, 1, 0xe6, 0x80, 0x31, 0xc0, 0x0f, 0xa2, 0xeb, 0xf6];

/** A processor of two; the other one's store into the loop was under way when this one decoded it, and lands in the first round. */
function rounds(otherRuns: boolean): { readonly written: readonly number[]; readonly fixture: InterpreterFixture; readonly words: Int32Array } {
  const fixture = new InterpreterFixture([], 2);
  const words = new Int32Array(fixture.memory.wasm.buffer);
  if (otherRuns) words[(VCPU_BASE + VCPU_STRIDE + VCPU_RUNS) >> 2]!++;
  fixture.onLook = () => {
    words[(VCPU_BASE + VCPU_ATTENTION) >> 2] = 0;
    fixture.cpu.recheckCode();
  };
  fixture.onPort = () => {
    fixture.view.setUint8(RAM_BASE + CODE + 1, 2);
    if (fixture.written.length === 3) fixture.cpu.requestExit();
  };
  fixture.load(LOOP);
  fixture.cpu.run(1000);
  return { written: fixture.written.map(([, value]) => value), fixture, words };
}

describe('a store that was under way when its page was decoded', () => {
  test('is found behind the next serializing instruction', () => {
    expect(rounds(true).written.slice(0, 3)).toEqual([1, 2, 2]);
  });

  test('is looked for until the other processor has ended the run it was in', () => {
    const { fixture, words } = rounds(true);
    const attention = (VCPU_BASE + VCPU_ATTENTION) >> 2;
    fixture.onLook();
    expect(words[attention]).toBe(1);
    words[(VCPU_BASE + VCPU_STRIDE + VCPU_RUNS) >> 2]!++;
    fixture.onLook();
    expect(words[attention]).toBe(0);
  });

  test('cannot be, while no other processor executes', () => {
    const { written, words } = rounds(false);
    expect([written.slice(0, 3), words[(VCPU_BASE + VCPU_ATTENTION) >> 2]]).toEqual([[1, 1, 1], 0]);
  });
});
