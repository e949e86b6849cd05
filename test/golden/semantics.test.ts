import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { InterpreterContext } from '../../src/engines/interpreter/interpreter-context.ts';
import { shapesOf } from '../../src/engines/interpreter/requests.ts';
import { Builder } from '../../src/ir/builder.ts';
import { Ir } from '../../src/ir/ir.ts';
import { printIr } from '../../src/ir/printer.ts';
import { verify } from '../../src/ir/verifier.ts';
import { opcodeRows } from '../../src/isa/x86/opcodes/table.ts';
import type { OpcodeRow } from '../../src/isa/x86/opcodes/row.ts';
import { routineIndex, routines } from '../../src/isa/x86/routines/directory.ts';
import type { Semantics, SemanticsTable, Shape } from '../../src/isa/x86/semantics/context.ts';
import { semantics } from '../../src/isa/x86/semantics/table.ts';

/**
 * `UPDATE_GOLDENS=1 npx vitest run test/golden` writes the goldens anew: for changes that mean to change the IR. The
 * difference in version control then shows which instructions changed, and how.
 */
const update = process.env['UPDATE_GOLDENS'] === '1';
const semanticsFolder = new URL('../../src/isa/x86/semantics/', import.meta.url);
const goldenFolder = new URL('./', import.meta.url);

const directory = { find: (name: string) => routines[routineIndex(name)]! };
const callees = routines.map((entry) => entry.callee);
const names = { routine: (index: number): string => routines[index]!.name };

function buildIr(what: Semantics, shape: Shape): Ir {
  const ir = new Ir();
  const builder = new Builder(ir);
  const context = new InterpreterContext(builder, shape, directory);
  what(context);
  if (!context.terminated) builder.op('next');
  return ir;
}

function shapeText(shape: Shape): string {
  return `${shape.long ? 'long' : 'legacy'} ${shape.size}${shape.memory ? ' memory' : ''}${shape.rep === 'none' ? '' : ` ${shape.rep}`}${shape.locked ? ' locked' : ''}`;
}

/** Shapes for a row's goldens: 64-bit code, 32-bit operands, the memory form and no repeat prefix, where there are such; and it locked. */
function representatives(row: OpcodeRow): Shape[] {
  const rank = (shape: Shape): number => (shape.long ? 0 : 8) + (shape.size === 32 ? 0 : 4) + (shape.memory ? 0 : 2) + (shape.rep === 'none' ? 0 : 1);
  const shapes = shapesOf(row).map(({ shape }) => shape);
  return [false, true].map((locked) => shapes.filter((shape) => shape.locked === locked)).filter((group) => group.length > 0)
    .map((group) => group.reduce((best, shape) => (rank(shape) < rank(best) ? shape : best)));
}

/** Semantics id -> name of the file in src/isa/x86/semantics that holds it. */
async function groupsById(): Promise<Map<string, string>> {
  const groups = new Map<string, string>();
  for (const file of readdirSync(semanticsFolder).sort()) {
    if (!file.endsWith('.ts') || file.endsWith('.test.ts') || file === 'table.ts') continue;
    const exported = (await import(new URL(file, semanticsFolder).href)) as Readonly<Record<string, unknown>>;
    for (const table of Object.values(exported)) {
      if (typeof table !== 'object' || table === null) continue;
      for (const [id, what] of Object.entries(table as SemanticsTable)) if (semantics[id] === what && !groups.has(id)) groups.set(id, file.replace('.ts', ''));
    }
  }
  return groups;
}

const rows = opcodeRows.filter((row) => semantics[row.semantics] !== undefined);
const groups = await groupsById();
const groupNames = [...new Set(Object.keys(semantics).map((id) => groups.get(id)))];

test('every semantics id belongs to a group', () => {
  expect(Object.keys(semantics).filter((id) => !groups.has(id))).toEqual([]);
});

test('every shape of every row builds well-formed IR', () => {
  const errors: string[] = [];
  let shapes = 0;
  for (const row of rows) {
    for (const { shape } of shapesOf(row)) {
      shapes++;
      try {
        verify(buildIr(semantics[row.semantics]!, shape), callees);
      } catch (error) {
        errors.push(`${row.encoding} ${row.name} ${row.operands.join()} (${shapeText(shape)}): ${String(error)}`);
      }
    }
  }
  expect(errors).toEqual([]);
  expect(shapes).toBeGreaterThan(rows.length);
});

describe('goldens', () => {
  test.each(groupNames)('%s', (group) => {
    let text = '';
    for (const row of rows) {
      if (groups.get(row.semantics) !== group) continue;
      for (const shape of representatives(row)) {
        text += `== ${row.encoding} | ${[row.name, row.operands.join()].join(' ').trim()} | ${row.semantics} | ${shapeText(shape)}\n`;
        text += `${printIr(buildIr(semantics[row.semantics]!, shape), names)}\n`;
      }
    }
    const file = new URL(`${group}.txt`, goldenFolder);
    if (update) writeFileSync(file, text);
    expect(existsSync(file), `${group}.txt is missing: write it with UPDATE_GOLDENS=1`).toBe(true);
    const expected = readFileSync(file, 'utf8');
    // The first entry that differs: a difference of whole files would be too long to read.
    const [before, after] = [expected, text].map((content) => content.split(/^== /m)) as [string[], string[]];
    const first = after.findIndex((entry, i) => entry !== before[i]);
    if (first >= 0) expect(after[first]).toBe(before[first]);
    expect(after.length).toBe(before.length);
  });

  test('there is none without its group', () => {
    const files = readdirSync(goldenFolder).filter((name) => name.endsWith('.txt'));
    expect(files.filter((name) => !groupNames.includes(name.replace('.txt', '')))).toEqual([]);
  });
});
