import { expect, it } from 'vitest';
import { CodeJudge, UNKNOWN_NEXT } from './code-judge.ts';

const PAGE = 0x1000;
const NOP = 0x90;
const CPUID = [0x0f, 0xa2] as const;
const XSAVEC = [0x0f, 0xc7, 0x64, 0x24, 0x40] as const;

/** Places in a page of NOPs with other code somewhere. */
function judge(code: readonly number[], at = 0x400, next = 0): readonly number[] {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
  const page = new Uint8Array(memory.buffer, PAGE, PAGE);
  page.fill(NOP);
  page.set(code, at);
  return new CodeJudge(memory).judge(PAGE, true, next).places;
}
const store = (displacement: number): number[] => [0x48, 0x89, 0x94, 0x24, displacement & 0xff, displacement >> 8, 0, 0]; // mov [rsp+displacement],rdx

it('finds what asks nobody, and with prefixes', () => {
  expect(judge([...CPUID, NOP, 0x0f, 0x01, 0xf9, 0x48, 0x0f, 0xc7, 0x24, 0x24])).toEqual([0x400, 0x403, 0x407]); // rdtscp; xsavec64 [rsp]
});

it('lets be what is part of another instruction', () => {
  expect(judge([0xb8, ...CPUID, 0, 0, 0x48, 0xb8, ...XSAVEC, 0, 0, 0])).toEqual([]); // mov eax,a20fh; mov rax,402464c70fh
});

it('leaves fences, loads and XRSTOR to the processor', () => {
  expect(judge([0x0f, 0xae, 0xf0, 0x0f, 0xae, 0xe8, 0x0f, 0xae, 0x14, 0x24, 0x0f, 0xae, 0x2c, 0x24, 0x0f, 0xc7, 0x0c, 0x24])).toEqual([]); // mfence; lfence; ldmxcsr; xrstor; cmpxchg8b
});

it('is not led astray by a row of like stores, of which most other readings pass over what follows', () => {
  const stores = [0x240, 0x248, 0x250, 0x258, 0x260, 0x268, 0x270, 0x278].flatMap(store);
  expect(judge([...stores, ...XSAVEC])).toEqual([0x400 + stores.length]);
});

it('takes for one what may be one across the end of the page', () => {
  const judgeLast = (next: number): readonly number[] => judge([0x0f], PAGE - 1, next);
  expect(judgeLast(UNKNOWN_NEXT)).toEqual([PAGE - 1]);
  expect(judgeLast(0x05)).toEqual([]);
  expect(judgeLast(0xc7 | (0x24 << 8))).toEqual([PAGE - 1]);
});
