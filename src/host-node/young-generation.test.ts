import { execFileSync } from 'node:child_process';
import { expect, it } from 'vitest';

/** A program whose garbage survives for a while, with a thread that has begun meanwhile; prints MiB of both young generations. */
const program = (limits: string): string => `
  import { Worker } from 'node:worker_threads';
  import { getHeapSpaceStatistics } from 'node:v8';
  import { keepYoungGenerationAsItWas, keepYoungGenerationSmall, smallYoungGeneration } from '${new URL('../../dist/src/host-node/young-generation.js', import.meta.url).href}';
  keepYoungGenerationSmall();
  const ask = "require('node:worker_threads').parentPort.postMessage(require('node:v8').getHeapSpaceStatistics().find(({ space_name: name }) => name === 'new_space').space_size)";
  const worker = new Worker(ask, { eval: true, execArgv: [], resourceLimits: ${limits} });
  worker.once('online', keepYoungGenerationAsItWas);
  const theirs = await new Promise((resolve) => worker.once('message', resolve));
  for (let i = 0, kept = []; i < 3_000_000; i++) {
    kept.push({ i });
    if (kept.length > 200_000) kept = [];
  }
  const ours = getHeapSpaceStatistics().find(({ space_name: name }) => name === 'new_space').space_size;
  console.log(JSON.stringify([ours / 2 ** 20, theirs / 2 ** 20]));
`;
const sizes = (limits: string): readonly [number, number] =>
  JSON.parse(execFileSync(process.execPath, ['--input-type=module', '-e', program(limits)], { encoding: 'utf8' })) as [number, number];

it('stays small though another thread begins, which begins with a large one', () => {
  const [ours, theirs] = sizes('{}');
  expect(ours).toBeLessThanOrEqual(4);
  expect(theirs).toBeGreaterThanOrEqual(16);
});

it('is small in a thread that is begun so', () => {
  expect(sizes('smallYoungGeneration()')[1]).toBeLessThanOrEqual(4);
});
