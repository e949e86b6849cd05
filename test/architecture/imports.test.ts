import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { expect, test } from 'vitest';

/** What a folder of src may import, besides itself (the layers of ARCHITECTURE.md). */
const allowed: Readonly<Record<string, readonly string[]>> = {
  base: [],
  host: ['base'],
  memory: ['base'],
  wiring: ['base'],
  buses: ['base', 'host', 'memory', 'wiring'],
  interrupts: ['base', 'host', 'memory', 'wiring'],
  timers: ['base', 'host', 'memory', 'wiring'],
  cpu: ['base', 'wiring'],
  ir: ['base', 'wiring'],
  wasm: ['base', 'wiring'],
  isa: ['base', 'cpu', 'ir', 'wasm'],
  lowering: ['base', 'cpu', 'ir', 'wasm'],
  // The routines share the layouts as plain numbers with the TypeScript side.
  runtime: ['base', 'cpu', 'ir', 'wasm', 'isa', 'memory'],
  engines: ['base', 'host', 'memory', 'wiring', 'cpu', 'ir', 'wasm', 'isa', 'lowering', 'runtime'],
  devices: ['base', 'host', 'memory', 'wiring', 'buses', 'interrupts', 'timers'],
  disk: ['base', 'host'],
  network: ['base', 'host'],
  firmware: ['base', 'host', 'memory', 'cpu'],
  snapshot: ['base', 'host'],
  machine: ['base', 'host', 'memory', 'wiring', 'buses', 'interrupts', 'timers', 'cpu', 'engines', 'devices', 'firmware'],
  library: ['base', 'host', 'disk', 'snapshot', 'machine', 'engines', 'cpu'],
  'host-browser': ['base', 'host', 'disk', 'snapshot', 'machine', 'library', 'engines', 'memory'],
  // Of the worker's side only types, and of the machine's only what is small.
  browser: ['base', 'machine', 'library', 'host-browser', 'engines'],
  'host-node': ['base', 'host', 'disk', 'network', 'snapshot', 'machine', 'library', 'engines', 'memory', 'cpu', 'firmware'],
  // The disassembler is a command of its own.
  cli: ['base', 'host', 'machine', 'library', 'host-node', 'isa', 'cpu', 'buses'],
};
const nodeRealm = new Set(['host-node', 'cli']);
/** Packages that are bundled for pages. */
const bundled: Readonly<Record<string, readonly string[]>> = { browser: ['@xterm/xterm', '@xterm/addon-fit', '@xterm/xterm/css/xterm.css'], 'host-browser': ['fflate'] };

const source = 'src';
const files = readdirSync(source, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts') && !/\.test\.ts$|test-support\.ts$/.test(name) && !name.startsWith(join('runtime', 'testing')));

function importsOf(name: string): string[] {
  const text = readFileSync(join(source, name), 'utf8');
  return [...text.matchAll(/(?:^(?:import|export)\s[^;]*?from\s+|\bimport\()['"]([^'"]+)['"]/gm)].map((match) => match[1]!);
}

test('every file lies in a known layer', () => {
  expect(files.length).toBeGreaterThan(100);
  const unknown = files.filter((name) => name.includes('/') && allowed[name.split('/')[0]!] === undefined);
  expect(unknown).toEqual([]);
});

test('imports go in the allowed directions only', () => {
  const wrong: string[] = [];
  for (const name of files) {
    const layer = name.includes('/') ? name.split('/')[0]! : 'index';
    for (const target of importsOf(name)) {
      if (!target.startsWith('.')) continue;
      const to = normalize(join(dirname(name), target)).split('/')[0]!;
      if (layer !== 'index' && to !== layer && !allowed[layer]!.includes(to)) wrong.push(`${name} imports ${target}`);
    }
  }
  expect(wrong).toEqual([]);
});

test('only the Node realm imports Node modules, and packages that are not bundled', () => {
  const wrong = files.filter((name) => {
    const layer = name.split('/')[0]!;
    return !nodeRealm.has(layer) && importsOf(name).some((target) => !target.startsWith('.') && !(bundled[layer] ?? []).includes(target));
  });
  expect(wrong).toEqual([]);
});

test('no file is longer than a person can hold in mind', () => {
  const long = files.map((name) => ({ name, lines: readFileSync(join(source, name), 'utf8').split('\n').length })).filter(({ lines }) => lines > 800);
  expect(long).toEqual([]);
});
