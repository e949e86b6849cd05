import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { keepCodeTogether } from './code-placement.ts';

/** A function that returns 7; `salt` makes it another module, which V8 compiles by itself. */
const module = (salt: number): WebAssembly.Module => new WebAssembly.Module(Uint8Array.of(
  0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 1, 5, 1, 0x60, 0, 1, 0x7f, 3, 2, 1, 0, 7, 5, 1, 1, 0x66, 0, 0, 10, 9, 1, 7, 0, 0x41, salt, 0x1a, 0x41, 7, 0x0b,
));
const maps = (): { from: number; to: number; kind: string }[] =>
  [...readFileSync('/proc/self/maps', 'latin1').matchAll(/^([0-9a-f]+)-([0-9a-f]+) (\S+)/gm)].map(([, from, to, kind]) => ({ from: Number.parseInt(from!, 16), to: Number.parseInt(to!, 16), kind: kind! }));

test.runIf(process.platform === 'linux')('modules lie near one another', () => {
  // Smaller ones are V8's, which come and go.
  const reserved = (): number => maps().filter(({ kind, from, to }) => kind === '---p' && to <= 2 ** 46 && to - from >= 2 ** 30).length;
  keepCodeTogether();
  const places = reserved();
  keepCodeTogether();
  expect(reserved()).toBe(places);

  const code = (): Set<number> => new Set(maps().filter(({ kind }) => kind.includes('x')).map(({ from }) => from));
  const before = code();
  const modules = 40;
  const functions = Array.from({ length: modules }, (_, salt) => new WebAssembly.Instance(module(salt)).exports['f'] as () => number);
  expect(functions.map((f) => f())).toEqual(functions.map(() => 7));
  const gibibytes = new Set([...code()].filter((from) => !before.has(from)).map((from) => Math.floor(from / 2 ** 30)));
  // Places by chance would be one each. The system fills the gaps between libraries and threads, of which a process may have several.
  expect(gibibytes.size).toBeLessThan(modules / 4);
});
