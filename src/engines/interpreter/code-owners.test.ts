import { describe, expect, test } from 'vitest';
import { CODE, InterpreterFixture } from '../../../test/support/interpreter.ts';
import { LinearMemory } from '../../memory/linear-memory.ts';
import { RAM_BASE, VCPU_ATTENTION, VCPU_BASE, VCPU_DIRECT, VCPU_RUNS, VCPU_STRIDE } from '../../memory/layout.ts';
import type { Runtime } from '../runtime-module.ts';
import { CodeOwners } from './code-owners.ts';

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

describe('of two vCPUs the first, which claims pages,', () => {
  /** `direct`: user code of the other may write to them by its shadow tables. */
  function setting(direct: boolean) {
    const { wasm } = new LinearMemory(1 << 20);
    const words = new Int32Array(wasm.buffer);
    const interrupted: number[] = [];
    const runtime = { bind: () => (cpu: number) => (direct && cpu !== VCPU_BASE ? 1 : 0) } as unknown as Runtime;
    const owners = new CodeOwners(wasm, 0, 2, runtime, (vcpu) => interrupted.push(vcpu));
    const set = (offset: number, count: number): void => void (words[(VCPU_BASE + VCPU_STRIDE + offset) >> 2] = count);
    const young = (): number[] => {
      const pages: number[] = [];
      owners.recheck((page) => pages.push(page));
      return pages;
    };
    return { owners, set, interrupted, young };
  }

  test('has the other end its run when it waits with many', () => {
    const { owners, set, interrupted } = setting(false);
    set(VCPU_RUNS, 1);
    for (let page = 0; page < 3; page++) owners.claim(page);
    expect(interrupted).toEqual([]);
    owners.claim(3);
    expect(interrupted).toEqual([1]);
  });

  test('waits for user code that runs directly only where that had to be interrupted', () => {
    for (const direct of [false, true]) {
      const { owners, set, interrupted, young } = setting(direct);
      set(VCPU_RUNS, 2);
      set(VCPU_DIRECT, 1);
      owners.claim(3);
      expect([interrupted, young()]).toEqual(direct ? [[1], [3]] : [[], []]);
      set(VCPU_DIRECT, 2);
      young();
      expect(young()).toEqual([]);
    }
  });
});
