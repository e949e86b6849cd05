import { expect, test } from 'vitest';
import { createInterpreter } from '../interpreter/interpreter.ts';
import type { Interpreter, InterpreterOptions } from '../interpreter/interpreter.ts';
import { runProgram } from './program.test-support.ts';
import { createLocalTranslator } from './local-translator.ts';

/** 5,000 times: pause; cmp byte [rsp], 1. Then 5,000 times nothing. */
const waitsThenCounts = 'b988130000f390803c2401ffc975f6b988130000ffc975fcf4';

const engines = {
  interpreter: createInterpreter,
  translator: (options: InterpreterOptions) => createLocalTranslator({ ...options, tuning: { hot: 10, wait: 0, doublings: 16 } }),
};

test.each(Object.entries(engines))('%s says of a run that it was spent in a loop that waits', (name, create) => {
  const spins: boolean[] = [];
  const outcome = runProgram((options) => {
    const vcpu: Interpreter = create(options);
    const run = vcpu.run.bind(vcpu);
    vcpu.run = (budget) => {
      const exit = run(budget);
      spins.push(vcpu.spins);
      return exit;
    };
    return vcpu;
  }, waitsThenCounts, 1000);
  expect(outcome.regions > 0).toBe(name === 'translator');
  expect(spins.slice(0, 19)).toEqual(Array(19).fill(true));
  expect(spins.slice(21)).toEqual(Array(spins.length - 21).fill(false));
  expect(spins.length).toBeGreaterThan(29);
});
