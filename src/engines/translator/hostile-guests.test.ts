import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import { loadEngineModules } from '../../host-node/engine-modules.ts';
import { createInterpreter } from '../interpreter/interpreter.ts';
import type { InterpreterOptions } from '../interpreter/interpreter.ts';
import { FIRST_CODE_AREA } from '../interpreter/code-area.ts';
import type { CodeArea } from '../interpreter/code-area.ts';
import { RECORD_CHUNK_BYTES, RECORD_MARKS_BYTES } from '../../memory/layout.ts';
import { expectSame, runProgram } from './program.test-support.ts';
import { RegionBuilder } from './region-builder.ts';
import type { RegionCompiler } from './region-builder.ts';
import { moduleCost } from './translation-cache.ts';
import { createLocalTranslator } from './local-translator.ts';

// Guests that are out to make the translator work, or remember, without end: they slow themselves, and nothing else.

const MIB = 1 << 20;

/** 6,000 times: writes a function (add eax, n; ret) to a fresh place, calls it 40 times. */
const generates = 'bf0000200041b87017000031c066c70781c044894702c64706c3b928000000ffd7ffc975fa83c74041ffc875e0f4';
/** Fills a page with add al, 4; 40 times: calls each of 300 bytes of it, so every byte begins a block and lies inside others. */
const jumpsIntoTheMiddle = 'bf00002000b90004000066b80404f366ab66c747fec3c341b82800000031c0bfa4062000ffd7ffc781ffd007200075f441ffc875eaf4';
/** 20,000 times: mov [imm], ecx; add eax, imm. */
const rewrites = 'b9204e000031c0890d010000000578563412ffc975f1f4';
/** 4,000 pages, each with an instruction that reaches into the next; 5 times: runs through, then writes to the last one. */
const crossesPages = 'bffe0f2000b9a00f0000c607b8894f01c64705e9c74706f60f000081c700100000ffc975e5c607c341b805000000448d0fbffe0f2000ffd74901c241ff8102f0ffff41ffc875eaf4';

/** 5,000 times: writes a function (add eax, n; ret) to a fresh page and calls it; calls another one, a loop, that is always the same. */
const visitsPages = 'bb00001800c703b90a0000c743040001c8ffc74308c975fac3bf0000200041b88813000031c0c6070544894701c64705c3ffd7ffd381c70010000041ffc875e6f4';

/** Room for so many chunks of decoded records. */
function smallArea(chunks: number): CodeArea {
  return { ...FIRST_CODE_AREA, end: FIRST_CODE_AREA.base + RECORD_MARKS_BYTES + (1 + chunks) * RECORD_CHUNK_BYTES };
}

/** Hands on to a builder and watches whether V8 has freed what it made. */
class WatchedCompiler implements RegionCompiler {
  readonly #builder = new RegionBuilder(loadEngineModules().handlers);
  readonly #modules: WeakRef<WebAssembly.Module>[] = [];
  largest = 0;

  build(...[requests, done]: Parameters<RegionCompiler['build']>): void {
    this.#builder.build(requests, (result) => {
      for (const { module, bytes } of result.modules) {
        this.#modules.push(new WeakRef(module));
        this.largest = Math.max(this.largest, bytes);
      }
      done(result);
    });
  }
  get alive(): number {
    return this.#modules.filter((module) => module.deref() !== undefined).length;
  }
}

const tuning = { hot: 10, wait: 8, doublings: 16 };

async function collectGarbage(): Promise<void> {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  // Weak references are cleared between turns of the event loop.
  for (let turn = 0; turn < 3; turn++) {
    await new Promise((resolve) => setImmediate(resolve));
    collect();
  }
}

test('a guest that generates code endlessly keeps to the bound, and V8 frees what was evicted', async () => {
  const compiler = new WatchedCompiler();
  const cacheBytes = 4 * MIB;
  const translated = runProgram((options: InterpreterOptions) => createLocalTranslator({ ...options, tuning, cacheBytes, compiler }), generates);
  expectSame(translated, runProgram(createInterpreter, generates));
  const { regions, modules, cache } = translated.translation!;
  expect(regions.made).toBeGreaterThan(5000);
  expect(regions.evicted).toBeGreaterThan(3000);
  expect(cache.bytes).toBeLessThanOrEqual(cacheBytes);
  expect(cache.peakBytes).toBeLessThanOrEqual(cacheBytes + moduleCost(compiler.largest));
  expect(modules.live).toBe(modules.made - modules.evicted);
  await collectGarbage();
  expect(compiler.alive).toBeLessThanOrEqual(modules.live);
});

test('a guest that jumps into the middle of instructions gets what it asks for, in bounded pieces', () => {
  const translated = runProgram((options: InterpreterOptions) => createLocalTranslator({ ...options, tuning }), jumpsIntoTheMiddle);
  expectSame(translated, runProgram(createInterpreter, jumpsIntoTheMiddle));
  expect(translated.regions).toBeGreaterThan(100);
  expect(translated.translation!.instructions).toBeLessThanOrEqual(translated.regions * 400);
});

test('a guest that rewrites its code in a loop is interpreted, and what was decoded before is room for more', () => {
  const translated = runProgram((options: InterpreterOptions) => createLocalTranslator({ ...options, tuning }), rewrites);
  expectSame(translated, runProgram(createInterpreter, rewrites));
  expect(translated.counts['codeInvalidation']).toBeGreaterThan(19_000);
  expect(translated.regions).toBeLessThan(30);
  // The few blocks of the loop anew each time, nothing else.
  expect(translated.counts['blocksDecoded']).toBeLessThan(3 * 20_000 + 100);
});

test('a write to one page costs the pages before it no more than the instruction that reaches into it', () => {
  const translated = runProgram((options: InterpreterOptions) => createLocalTranslator({ ...options, tuning }), crossesPages);
  expectSame(translated, runProgram(createInterpreter, crossesPages));
  expect(translated.counts['codeInvalidation']).toBeLessThan(20);
  expect(translated.counts['blocksDecoded']).toBeLessThan(2 * 4000 + 100);
});

test('code that is executed stays decoded and translated while endless new code comes', () => {
  const translated = runProgram((options: InterpreterOptions) => createLocalTranslator({ ...options, tuning, codeArea: smallArea(64) }), visitsPages);
  expectSame(translated, runProgram(createInterpreter, visitsPages));
  expect(translated.counts['codePagesEvicted']).toBeGreaterThan(4500);
  expect(translated.counts['blocksDecoded']).toBeLessThan(5000 + 50);
  expect(translated.translation!.regions.invalidated).toBe(0);
  expect(translated.translation!.regions.live).toBeGreaterThanOrEqual(2);
});

const programs = { generates, jumpsIntoTheMiddle, rewrites, crossesPages, visitsPages };
test.each(Object.entries(programs))('where hardly any decoded code has room, %s does what it does otherwise', (_, program) => {
  const expected = runProgram(createInterpreter, program);
  for (const chunks of process.env['POLYVISOR_NIGHTLY'] === '1' ? [1, 2, 5, 30] : [6]) {
    const codeArea = smallArea(chunks);
    expectSame(runProgram((options: InterpreterOptions) => createInterpreter({ ...options, codeArea }), program), expected);
    expectSame(runProgram((options: InterpreterOptions) => createLocalTranslator({ ...options, tuning, codeArea }), program), expected);
  }
}, 120_000);
