import { describe, expect, test } from 'vitest';
import { loadEngineModules } from '../../host-node/engine-modules.ts';
import type { LinearMemory } from '../../memory/linear-memory.ts';
import { createInterpreter } from '../interpreter/interpreter.ts';
import type { InterpreterOptions } from '../interpreter/interpreter.ts';
import { expectSame, runProgram } from '../translator/program.test-support.ts';
import { RegionBuilder } from '../translator/region-builder.ts';
import type { RegionCompiler } from '../translator/region-builder.ts';
import { LockstepVcpu } from './lockstep-vcpu.ts';

type Options = InterpreterOptions & { readonly ram: LinearMemory };

/** l: add [0x200000], ecx; in al, 0x80; rdtsc; rep movsb of 5000 bytes; imul, shl, adc; dec; jnz l; hlt: everything that two engines must agree about. */
const mixture = '41b82c01000044010425000020000fafc1e4800f31be00002000bf00003000b988130000f3a469c0e5000000c1e00383d00541ffc875cff4';
/** fib(20) by CALL and RET, with add eax, edx at 0x100000 + 0x23. */
const recursion = 'bf14000000e801000000f483ff02721657ffcfe8f3ffffff5f508d7ffee8e9ffffff5a01d0c389f8c3';
const ADD = '01d0';

/** Takes ADD EAX, EDX (01 d0) for SUB EAX, EDX (29 d0), as a translator with a mistake would. */
class WrongBuilder implements RegionCompiler {
  readonly #builder: RegionBuilder;

  constructor(maxInstructions?: number) {
    this.#builder = new RegionBuilder(loadEngineModules().handlers, maxInstructions);
  }
  build(...[requests, done]: Parameters<RegionCompiler['build']>): void {
    const wrong = requests.map((request) => {
      const at = Buffer.from(request.bytes).toString('hex').indexOf(ADD) / 2;
      const bytes = request.bytes.slice();
      if (Number.isInteger(at) && at >= 0) bytes[at] = 0x29;
      return { ...request, bytes };
    });
    this.#builder.build(wrong, done);
  }
}

const tuning = { hot: 20, wait: 0, doublings: 0 };

describe('lockstep', () => {
  for (const [name, code, checkpointInstructions] of [['a mixture', mixture, 5000], ['calls', recursion, 50_000]] as const) {
    test(`engines that agree: ${name}`, () => {
      const both = runProgram((options: Options) => new LockstepVcpu({ compiler: new RegionBuilder(options.modules.handlers), ...options, tuning, checkpointInstructions }), code);
      expect(both.regions).toBeGreaterThan(0);
      expectSame(both, runProgram(createInterpreter, code));
    });
  }

  test('a mistake of the translator is found to the instruction', () => {
    const builder = (size?: number) => new WrongBuilder(size);
    let found = '';
    try {
      runProgram((options: Options) => new LockstepVcpu({ ...options, tuning, compiler: builder(), builder }), recursion, 30_000);
    } catch (error) {
      found = (error as Error).message;
    }
    expect(found).toMatch(/first wrong in a region of \d+ instructions?: 100023 add +eax,edx$/);
    expect(found).toMatch(/rax: 0x[0-9a-f]{16}, 0x[0-9a-f]{16}/);
    expect(found).toMatch(/100023: {2}01 d0 +add +eax,edx/);
  });
});
