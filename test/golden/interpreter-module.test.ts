import wabt from 'wabt';
import { expect, test } from 'vitest';
import { buildInterpreter } from '../../src/engines/interpreter/requests.ts';

const features = { threads: true, simd: true, tail_call: true };

test('the whole interpreter is a valid module to an engine of another make', async () => {
  const { wasm } = buildInterpreter({ minimum: 1, maximum: 65536 });
  const module = (await wabt()).readWasm(wasm, features);
  // validate takes the features as well: the package's types leave that out.
  expect(() => (module as unknown as { validate(options: typeof features): void }).validate(features)).not.toThrow();
  module.destroy();
  expect((globalThis as unknown as { WebAssembly: { validate(bytes: Uint8Array): boolean } }).WebAssembly.validate(wasm)).toBe(true);
});
