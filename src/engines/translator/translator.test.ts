import { describe, expect, test } from 'vitest';
import { loadEngineModules } from '../../host-node/engine-modules.ts';
import { Decoder } from '../../isa/x86/decode/decoder.ts';
import { implementedFeatures } from '../../isa/x86/features.ts';
import { EXTRA_HEAT } from '../../isa/x86/state/layout.ts';
import { VCPU_BASE } from '../../memory/layout.ts';
import { createInterpreter } from '../interpreter/interpreter.ts';
import type { InterpreterOptions } from '../interpreter/interpreter.ts';
import { expectSame, runProgram as run } from './program.test-support.ts';
import { RegionBuilder } from './region-builder.ts';
import type { BuiltRegion, RegionCompiler, RegionRequest } from './region-builder.ts';
import { formRegion } from './region.ts';
import type { Callee } from './region.ts';
import { createLocalTranslator } from './local-translator.ts';

/** Programs for 64-bit code at CODE, ending in HLT; from nasm. */
const programs = {
  /** l: inc byte [rel imm+1]; imm: add eax, 0; dec ecx; jnz l */
  'code that rewrites the instruction behind the store': 'b92c01000031c0fe05010000000500000000ffc975f1f4',
  /** fib(15), CALL and RET */
  'calls that recurse': 'bf0f000000e801000000f483ff02721657ffcfe8f3ffffff5f508d7ffee8e9ffffff5a01d0c389f8c3',
  /** o: test cl, 1; jz b; a: add eax, 3; dec ecx; jz e; test cl, 2; jnz o; b: add eax, 5; dec ecx; jnz a; e: */
  'a loop with two entries': 'b9f401000031c0f6c101740c83c003ffc9740cf6c10275ef83c005ffc975edf4',
  /** add, adc, shl edx, cl; jc; inc; rcr; jno; pushfq: flags that cross blocks */
  'flags from one block to the next': 'b92c010000b87856341231db01c083d30089c2d3e27204ffc3eb02d1db7105355a5a5a5affc99c5e4801f783f90075dcf4',
  /** jmp rdx to m or m + 1: m: mov eax, 0x9007c383, in whose middle is add ebx, 7; nop */
  'jumps into the middle of an instruction': 'b9c800000031c0488d150f000000f6c1017507488d1502000000ffe2b883c3079001c3ffc975e0f4',
  /** l: setz dl; div r9, by a routine where RDX is 1; add rbx, r11, which is looked at behind that only; jnz l */
  'a routine that not every round calls': 'b92c01000041bb3412000049b9010000000100000031db31d2f6c1010f94c289c849f7f14801c34c01db4831d3ffc975e6f4',
  /** l: mov [rdi], ecx; add eax, [rdi]; push rax; adc [rdi+1], al; pop rdx; add rdi, 1021; jnz l: some accesses cross pages, all come to new ones */
  'accesses that the TLB does not have': 'b9d0070000bffd0f200031c0890f0307501047015a4881c7fd030000ffc975ecf4',
  /** l: accesses from [rdi-3] to [rdi+43], the higher ones first, and two pushes and pops; add rdi, 1021; jnz l: some of each round lie across a page's end */
  'accesses that are looked up together': 'b9d0070000bffd0f200031c0890f034708505189472866ff47fd5a5b105f018b572801d04881c7fd03000081e7ffff210081cf00002000ffc975d1f4',
  /** l: call f; cmp al, 100; call f; adc eax, 1; dec ecx; jnz l; f, two pages on: add eax, 3; ret */
  'a small function in another page': 'c704251020100083c003c3b92c01000031c0e8f91f00003c64e8f21f000083d001ffc975edf4',
  /** l: call f; each 64th round inc byte [f+2]; f: add eax, imm; ret */
  'a small function in another page that is rewritten': 'c704251020100083c003c3b92c01000031c0e8f91f000089ca83e23f7507fe042512201000ffc975e9f4',
  /** 50 calls of 0x40000000, then its page table entry leads to the other of add eax, 3; ret and add eax, 5; ret; invlpg; six times */
  'a small function in a page that is mapped to another one': 'c704250820000003300000c704250030000003400000c704250040000003002000c704250000200083c003c3c704250030200083c005c331c0bb06000000b932000000e8b8ffef3fffc975f781342500400000003000000f013c2500000040ffcb75dbf4',
  /** l: call f; add eax, ebx; add esi, 1021; f: inc bl; mov [rsi], eax; nop; ret: some stores cross pages, all come to new ones */
  'a small function that accesses what the TLB does not have': 'c7042510201000fec38906c704251420100090c39090b92c01000031c031dbbefd0f2000e8e71f000001d881c6fd030000ffc975eff4',
  /** l: call f; call g; add eax, eax, which g jumps over; add eax, 7; f: add eax, 3; jmp to a ret in a third page; g: add qword [rsp], 2; ret */
  'small functions that do not return as they should': 'c704251020100083c003e9c7042514201000e80f0000c6042500301000c3c70425204010004883042466c704252440100002c3b92c01000031c0e8d11f0000e8dc3f000001c083c007ffc975edf4',
} as const;

const eager = (options: InterpreterOptions) => createLocalTranslator({ ...options, tuning: { hot: 1, wait: 0, doublings: 0 } });

describe('translated code does what interpreted code does, to the instruction', () => {
  for (const [name, code] of Object.entries(programs)) {
    test(name, () => {
      const translated = run(eager, code);
      expect(translated.regions).toBeGreaterThan(0);
      expectSame(translated, run(createInterpreter, code));
    });
    test(`${name}, in slices of a few instructions`, () => {
      expectSame(run(eager, code, 7), run(createInterpreter, code, 7));
    });
  }
});

test('code that is rewritten again and again is translated ever less often', () => {
  const { regions } = run((options) => createLocalTranslator({ ...options, tuning: { hot: 1, wait: 0, doublings: 16 } }), programs['code that rewrites the instruction behind the store']);
  expect(regions).toBeLessThan(30);
});

test('a small function in another page is part of the region that calls it', () => {
  const code = Uint8Array.from(Buffer.from('e8fb0f0000ffc975f7c3', 'hex'));
  const bytes = new Uint8Array(4096);
  bytes.set(code);
  // call +0x1000; dec ecx; jnz 0; ret
  const callee = { at: 0x1000, page: 7, offset: 0, record: 64, bytes: Uint8Array.from([0x83, 0xc0, 0x03, 0xc3]), executed: [0] };
  const decoder = new Decoder(implementedFeatures);
  const { handlers } = loadEngineModules();
  const form = (callees: readonly Callee[], executed: readonly number[]) =>
    formRegion({ bytes, codeSize: 64, executed: (offset) => executed.includes(offset), callees }, 0, decoder, handlers);
  const region = form([callee], [0, 5]);
  expect(region.calls).toMatchObject([{ callee, from: 5, returns: true }]);
  expect(region.blocks.map(({ offset, inlined }) => [offset, inlined])).toEqual([[0, 0], [5, 0], [9, 0], [0, 1]]);
  // Not where it has not come back from yet, not when it does not return, and not another one.
  expect(form([callee], [0]).calls).toEqual([]);
  expect(form([{ ...callee, bytes: Uint8Array.from([0x83, 0xc0, 0x03, 0xf4]) }], [0, 5]).calls).toEqual([]);
  expect(form([{ ...callee, at: 0x1001 }], [0, 5]).calls).toEqual([]);
});

/** Calls in a loop of 300 rounds by a register or by memory. */
const indirectCalls = {
  /** l: call rbx; adc eax, 1; in round 200 rbx is another function: f: add eax, 3; ret; g: add eax, 5; ret, each in a page of its own */
  'to a small function in another page, later to another one': 'c704252010200083c003c3c704252020200083c005c3b92c01000031c0bb20102000ffd383d00183f9647505bb20202000ffc975edf4',
  /** l: call rbx; each 64th round inc byte [f+2]; f: add eax, imm; ret */
  'to a small function in another page that is rewritten': 'c704252010200083c003c3b92c01000031c0bb20102000ffd389ca83e23f7507fe042522102000ffc975ecf4',
  /** l: call rbx; xchg rdx, rbx; adc eax, 1 */
  'to two small functions by turns': 'c704252010200083c003c3c704252020200083c005c3b92c01000031c0bb20102000ba20202000ffd34887da83d001ffc975f4f4',
  'to two small functions of one page by turns': 'c704252010200083c003c3c704253010200083c005c3b92c01000031c0bb20102000ba30102000ffd34887da83d001ffc975f4f4',
  /** l: call [rsp]; in round 200 [rsp] is another function, of several blocks, in the same page */
  'to functions in the same page': 'b92c01000031c0488d1d1900000053ff142483f964750b488d1d0d00000048891c24ffc975e9f483c003c383c005a8017402ffc0c3',
} as const;
describe.each(Object.entries(indirectCalls))('an indirect call %s', (name, code) => {
  test('is guessed, and goes where it has to', () => {
    const { handlers } = loadEngineModules();
    const guessed: RegionRequest[] = [];
    const inlined: BuiltRegion[] = [];
    const builder = new RegionBuilder(handlers);
    const compiler: RegionCompiler = {
      build: (requests, done) => {
        guessed.push(...requests.filter(({ guesses }) => guesses !== undefined && guesses.size > 0));
        builder.build(requests, (result) => {
          inlined.push(...result.modules.flatMap(({ regions }) => regions).filter((region) => region.inlined.length > 0));
          done(result);
        });
      },
    };
    // In time for the function to be as hot as its caller.
    const translated = run((options) => createLocalTranslator({ ...options, compiler, tuning: { hot: 10, wait: 1, doublings: 0 } }), code, 200);
    expectSame(translated, run(createInterpreter, code, 200));
    expect(guessed.length).toBeGreaterThan(0);
    expect(inlined.length > 0).toBe(!name.includes('same page'));
    if (name.includes('by turns')) expect(Math.max(...inlined.map((region) => region.inlined.length))).toBe(2);
  });
  test('does the same in slices of a few instructions', () => {
    expectSame(run((options) => createLocalTranslator({ ...options, tuning: { hot: 5, wait: 1, doublings: 0 } }), code, 7), run(createInterpreter, code, 7));
  });
});

test('of a guessed call the function is in the region, also when it is in the same page', () => {
  // call rbx; dec ecx; jnz 0; ret; f: ret
  const bytes = new Uint8Array(4096);
  bytes.set(Buffer.from('ffd3ffc975fac3c3', 'hex'));
  const callee = { at: 0x1000, page: 7, offset: 0, record: 64, bytes: Uint8Array.from([0x83, 0xc0, 0x03, 0xc3]), executed: [0] };
  const decoder = new Decoder(implementedFeatures);
  const { handlers } = loadEngineModules();
  const form = (...targets: number[]) =>
    formRegion({ bytes, codeSize: 64, executed: () => true, callees: [callee, { ...callee, at: 0x2010 }], guesses: new Map([[2, targets]]) }, 0, decoder, handlers);
  expect(form(0x1000).blocks.map(({ offset, inlined, guesses }) => [offset, inlined, guesses])).toEqual([[0, 0, [0x1000]], [2, 0, []], [6, 0, []], [0, 1, []]]);
  // Of several targets all.
  expect(form(0x1000, 7, 0x2010).blocks.map(({ offset, inlined }) => [offset, inlined])).toEqual([[0, 0], [2, 0], [7, 0], [6, 0], [0, 1], [0, 2]]);
  expect(form(7).blocks.map(({ offset, inlined }) => [offset, inlined])).toEqual([[0, 0], [7, 0], [2, 0], [6, 0]]);
  expect(form(7).returnSites).toEqual([2]);
  for (const targets of [[], [0x2000], [-1]]) expect(form(...targets).blocks.map(({ offset }) => offset)).toEqual([0]);
});

/** mov ecx,12; l1: add eax,3; dec ecx; jnz l1; mov ecx,10000; l2: add eax,5; dec ecx; jnz l2; hlt */
const lukewarmThenHot = 'b90c00000083c003ffc975f9b91027000083c005ffc975f9f4';

test('a loop that is executed much more than other hot blocks does not wait for them', () => {
  const builder = new RegionBuilder(loadEngineModules().handlers);
  const batches: number[][] = [];
  const compiler: RegionCompiler = {
    build: (requests, done) => {
      batches.push(requests.map(({ offset }) => offset));
      builder.build(requests, done);
    },
  };
  run((options) => createLocalTranslator({ ...options, compiler, tuning: { hot: 10, wait: 3, doublings: 0 } }), lukewarmThenHot, 200);
  expect(batches).toEqual([[17], [5]]);
});

test('what another thread has made is looked for between two slices', () => {
  const builder = new RegionBuilder(loadEngineModules().handlers);
  let answer = (): void => {};
  let polls = 0;
  const compiler: RegionCompiler = {
    build: (requests, done) => (answer = () => builder.build(requests, done)),
    poll: () => {
      if (++polls > 3) answer();
    },
  };
  const { translation } = run((options) => createLocalTranslator({ ...options, compiler, tuning: { hot: 10, wait: 1, doublings: 0 } }), lukewarmThenHot, 200);
  expect(translation?.regions.made).toBeGreaterThan(0);
});

test('executions that count as several make code hot earlier', () => {
  const loop = 'b92c01000031c083c003ffc975f9f4'; // mov ecx,300; xor eax,eax; l: add eax,3; dec ecx; jnz l; hlt
  const regions = (extra: number): number => run((options) => {
    const vcpu = createLocalTranslator({ ...options, tuning: { hot: 1000, wait: 0, doublings: 0 } });
    new DataView(options.memory.buffer).setUint32(VCPU_BASE + EXTRA_HEAT, extra, true);
    return vcpu;
  }, loop).regions;
  expect([0, 2, 3, 15, 0x1000].map(regions)).toEqual([0, 0, 1, 1, 2]);
});
