import { describe, expect, test } from 'vitest';
import { loadEngineModules } from '../../host-node/engine-modules.ts';
import { createInterpreter } from '../interpreter/interpreter.ts';
import type { InterpreterOptions } from '../interpreter/interpreter.ts';
import { expectSame, runProgram } from './program.test-support.ts';
import { RegionBuilder } from './region-builder.ts';
import type { BuildResult, RegionCompiler, RegionRequest } from './region-builder.ts';
import { loopRequest } from './region-request.test-support.ts';
import { SharedBuilder } from './shared-builder.ts';
import { createLocalTranslator } from './local-translator.ts';

/** l: call f; cmp al, 100; call f; adc eax, 1; dec ecx; jnz l; hlt; f, two pages on: add eax, 3; ret */
const callsTwice = 'c704251020100083c003c3b92c01000031c0e8f91f00003c64e8f21f000083d001ffc975edf4';
const tuning = { hot: 20, wait: 0, doublings: 0 };
const { handlers } = loadEngineModules();

/** Runs the program on the vCPU with this number, whose regions a builder makes. */
const runOn = (index: number, compiler: RegionCompiler) => runProgram((options: InterpreterOptions) => {
  const vcpu = createLocalTranslator({ ...options, index, tuning, compiler });
  // All but the first wait for it.
  if (index > 0) vcpu.startUp(0);
  return vcpu;
}, callsTwice);

function build(builder: RegionCompiler, ...requests: RegionRequest[]): BuildResult {
  let result: BuildResult | undefined;
  builder.build(requests, (built) => (result = built));
  return result!;
}

describe('what was translated for one processor', () => {
  test('executes on another one, with the functions of other pages that it has in itself', () => {
    const alone = runProgram(createInterpreter, callsTwice);
    const builder = new SharedBuilder(new RegionBuilder(handlers));
    const [first, second] = [0, 1].map((index) => runOn(index, builder));
    expectSame(first!, alone);
    expectSame(second!, alone);
    expect([first!.translation!.regions.shared, second!.translation!.regions.shared]).toEqual([0, first!.regions]);
    expect([first!.translation!.wasmBytes > 0, second!.translation!.wasmBytes]).toEqual([true, 0]);
  });

  test('is the other one\'s, too, as the same module', () => {
    const builder = new SharedBuilder(new RegionBuilder(handlers));
    const [made] = build(builder, loopRequest()).modules;
    const again = build(builder, loopRequest({ offset: 2 }), loopRequest());
    const shared = again.modules.find(({ module }) => module === made!.module);
    expect([made!.made, shared!.made, again.modules.length]).toEqual([true, false, 2]);
    expect(shared!.regions.map(({ request: number, ranges }) => [number, ranges])).toEqual([[1, [0, 4, 4, 5]]]);
  });

  test.each([
    ['overwritten', { bytes: loopRequest().bytes.with(1, 0xc9) }],
    ['in another page', { page: 8 }],
    ['32-bit code', { long: false }],
    ['to be counted for a profile', { counters: 0x1000 }],
  ])('is translated again where it is %s', (_, change) => {
    const builder = new SharedBuilder(new RegionBuilder(handlers));
    const [first] = build(builder, loopRequest()).modules;
    const [second] = build(builder, loopRequest(change)).modules;
    expect([second!.made, second!.module === first!.module]).toEqual([true, false]);
  });

  test('is forgotten when nobody has it in use', () => {
    const builder = new SharedBuilder(new RegionBuilder(handlers));
    const { id } = build(builder, loopRequest()).modules[0]!;
    build(builder, loopRequest());
    builder.release(id);
    expect(builder.size).toBe(1);
    builder.release(id);
    expect(builder.size).toBe(0);
    expect(build(builder, loopRequest()).modules[0]!.made).toBe(true);
  });
});
