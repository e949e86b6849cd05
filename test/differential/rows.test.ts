import { afterAll, describe, expect, test } from 'vitest';
import { implementedFeatures } from '../../src/isa/x86/features.ts';
import { opcodeRows } from '../../src/isa/x86/opcodes/table.ts';
import { differences } from './compare.ts';
import { createEngine } from './engine.ts';
import { Random, generateCase, isComparable } from './generate.ts';
import { buildNative, hostHas } from './native.ts';

const CASES_PER_ROW = Number(process.env['POLYVISOR_CASES'] ?? 40);
const native = buildNative();
afterAll(() => native?.close());

// Without a C compiler or on another processor there is nothing to compare with: the skip is counted and named.
describe.skipIf(native === undefined)('each opcode row against the host processor (needs cc on x86-64 Linux)', () => {
  for (const mode of [64, 32] as const) {
    const implemented = opcodeRows.filter((row) => (row.feature === '' || implementedFeatures.has(row.feature)) && isComparable(row) && row.validity !== (mode === 64 ? 'not64' : 'only64'));
    const rows = native === undefined ? [] : implemented.filter((row) => hostHas(row.feature));
    const missing = [...new Set(implemented.filter((row) => !rows.includes(row)).map((row) => row.feature))];
    // What the host lacks is proved elsewhere by the standards' own vectors, and named here.
    test(`${mode}-bit code: ${rows.length} rows${missing.length === 0 ? '' : `, not on this host: ${missing.join()}`}`, () => {
      expect(rows.length).toBeGreaterThan(200);
      const engine = createEngine();
      const random = new Random(0x1234567 + mode);
      const cases = rows.flatMap((row) => Array.from({ length: CASES_PER_ROW }, () => ({ row, entry: generateCase(row, random, mode) })));
      const expected = native!.run(cases.map(({ entry }) => entry));
      const failures: string[] = [];
      const reported = new Map<string, number>();
      cases.forEach(({ row, entry }, i) => {
        const found = differences(row, entry, expected[i]!, engine.run(entry));
        if (found.length === 0) return;
        reported.set(row.encoding, (reported.get(row.encoding) ?? 0) + 1);
        // Two examples of a row are enough to read.
        if (reported.get(row.encoding)! <= 2) failures.push(`${row.encoding} ${row.name} ${row.operands.join()} [${Buffer.from(entry.code).toString('hex')}]: ${found.join('; ')}`);
      });
      expect(failures.slice(0, 40), `${[...reported.values()].reduce((a, b) => a + b, 0)} of ${cases.length} cases differ`).toEqual([]);
    }, 900_000);
  }
});
