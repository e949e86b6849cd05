import { expect, test } from 'vitest';
import { opcodeRows } from '../../isa/x86/opcodes/table.ts';
import { isFrequent, namedForms } from './frequent-instructions.ts';
import { shapesOf } from './requests.ts';

test('every form that is named is one of an instruction', () => {
  const found = new Set<string>();
  for (const row of opcodeRows) {
    for (const { shape } of shapesOf(row)) if (isFrequent(row, shape)) found.add(`${row.name} ${row.operands.join()} ${shape.memory ? 'm' : 'r'}`);
  }
  expect(namedForms().filter((form) => !found.has(form))).toEqual([]);
  expect(found.size).toBe(namedForms().length);
});

test('neither locked forms are, nor 16-bit operands', () => {
  const add = opcodeRows.find(({ encoding, name }) => encoding === '01 /r' && name === 'add')!;
  const shapes = shapesOf(add).filter(({ shape }) => isFrequent(add, shape)).map(({ shape }) => shape);
  expect(shapes.length).toBeGreaterThan(0);
  for (const { locked, size } of shapes) expect([locked, size === 16]).toEqual([false, false]);
});
