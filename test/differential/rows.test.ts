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

    test(`${mode}-bit code: VEX encodings that mean nothing`, () => {
      const engine = createEngine();
      const random = new Random(0x2468ace + mode);
      // The host may know the first in other lengths; the last want W1 by the manual (SDM 2C, VPERMQ), but AMD's do not look.
      const plain = rows.filter((row) => row.vex && !/aes|clmul|^vperm(q|pd)$/.test(row.name));
      const cases = plain.flatMap((row) => Array.from({ length: 6 }, () => {
        const entry = generateCase(row, random, mode);
        return { row, entry: { ...entry, code: spoil(entry.code, random, mode) } };
      }));
      const expected = native!.run(cases.map(({ entry }) => entry));
      const failures = cases.flatMap(({ row, entry }, i) => {
        const [theirs, mine] = [expected[i]!.exception, engine.run(entry).exception];
        return theirs === mine ? [] : [`${row.encoding} ${row.name} [${Buffer.from(entry.code).toString('hex')}]: ${theirs || 'none'} expected, got ${mine || 'none'}`];
      });
      expect(expected.filter(({ exception }) => exception === 'UD').length).toBeGreaterThan(cases.length / 4);
      expect(failures.slice(0, 20), `${failures.length} of ${cases.length} cases differ`).toEqual([]);
    });
  }
});

/** A prefix that VEX forbids, or another vvvv, length or W. */
function spoil(code: Uint8Array, random: Random, mode: 32 | 64): Uint8Array {
  const out = [...code];
  const last = out[0] === 0xc4 ? 2 : 1;
  switch (random.below(4)) {
    case 0: return Uint8Array.from([random.pick(mode === 64 ? [0x66, 0xf2, 0xf3, 0xf0, 0x48, 0x40] : [0x66, 0xf2, 0xf3, 0xf0]), ...out]);
    case 1: out[last]! ^= 0x08 << random.below(mode === 64 ? 4 : 3); break;
    case 2: out[last]! ^= 4; break;
    default: if (last === 2) out[last]! ^= 0x80; else out[last]! ^= 4;
  }
  return Uint8Array.from(out);
}
