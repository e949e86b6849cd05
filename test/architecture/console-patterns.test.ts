import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

// A guest's output comes in pieces of any size: what is waited for must say what follows it, or it may be cut short.

const CALL = /\b(?:waitFor|said|shows)\((?:\w+, )?\/((?:\\.|\[(?:\\.|[^\]\\])*\]|[^/\\\n])+)\/\w*/g;
/** A repetition at the end, whose length what has come so far decides. */
const OPEN_END = /(?:[*+?]|\{\d+,\d*\})\??\)*$/;

const openPatterns = (text: string): string[] => [...text.matchAll(CALL)].map(([call, pattern]) => ({ call, pattern: pattern! })).filter(({ pattern }) => OPEN_END.test(pattern.replaceAll(/\\./g, 'x'))).map(({ call }) => call);

test('patterns that end in a repetition are found', () => {
  const samples = [String.raw`await a.waitFor(/count: \d+/, 90_000)`, String.raw`shows(vm, /a (\w*)/m)`, String.raw`said(/x{2,}/)`, String.raw`waitFor(/[/)]+?/)`];
  for (const sample of samples) expect(openPatterns(sample), sample).toHaveLength(1);
  for (const sample of [String.raw`waitFor(/\d+\r\n/)`, String.raw`waitFor(/\d+ x\+/)`, String.raw`shows(vm, /a x{3}/)`, `waitFor('# ')`]) expect(openPatterns(sample), sample).toEqual([]);
});

test('no pattern that a console or a screen is looked at for has an open end', () => {
  const wrong: string[] = [];
  let files = 0;
  for (const folder of ['src', 'test', 'bench', 'guest']) {
    for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
      if (!name.endsWith('.ts') || name === join('architecture', 'console-patterns.test.ts')) continue;
      files++;
      for (const call of openPatterns(readFileSync(join(folder, name), 'utf8'))) wrong.push(`${join(folder, name)}: ${call}`);
    }
  }
  expect(files).toBeGreaterThan(300);
  expect(wrong).toEqual([]);
});
