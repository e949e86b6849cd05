import { expect, test } from 'vitest';
import type { LinearMemory } from '../../memory/linear-memory.ts';
import type { InterpreterOptions } from '../interpreter/interpreter.ts';
import { createLocalTranslator } from '../translator/local-translator.ts';
import { runProgram } from '../translator/program.test-support.ts';
import { Profiler } from './profiler.ts';
import type { Profile } from './profiler.ts';
import { Symbols } from './symbols.ts';
import { foldedText, profileText } from './text.ts';

/** mov ecx, 20000; l: add eax, 3; dec ecx; jnz l; hlt: the region is made of the four from l on. */
const loop = 'b9204e000083c003ffc975f9f4';

function profileOf(code: string): { readonly profile: Profile; readonly regions: number } {
  let profiler: Profiler | undefined;
  let now = 0;
  const clock = { now: () => (now += 1000) };
  const { regions } = runProgram((options: InterpreterOptions & { readonly ram: LinearMemory }) => {
    profiler = new Profiler(options.memory, 0, clock);
    return createLocalTranslator({ ...options, profiler, tuning: { hot: 10, wait: 0, doublings: 0 } });
  }, code);
  return { profile: profiler!.profile(), regions };
}

test('a region counts its executions and instructions, and gets the samples that end in it', () => {
  const { profile, regions } = profileOf(loop);
  expect(regions).toBe(1);
  const [region] = profile.regions;
  expect(region).toMatchObject({ entry: 0x100005n, start: 0x100005n, user: false, size: 4 });
  // But for the first ten rounds, and the block that each slice begins with anew.
  expect(region!.instructions).toBeGreaterThan(3 * 19_900);
  expect(region!.instructions).toBeLessThanOrEqual(3 * 20_000 + 1);
  expect(region!.executions).toBeGreaterThan(30);
  expect(region!.ns).toBeGreaterThan(0.9 * profile.samples.reduce((sum, { ns }) => sum + ns, 0));
});

const region = { entry: 0xffffffff81001040n, start: 0xffffffff81001000n, end: 0xffffffff81001080n, user: false, size: 7, translatedBytes: 300, executions: 5, instructions: 35, ns: 4_000_000 };
const profile: Profile = {
  regions: [{ ...region, entry: 0x400000n, start: 0x400000n, end: 0x400010n, user: true, ns: 1_000_000 }, region],
  samples: [{ rip: 0xffffffff81001044n, user: false, ns: 4_000_000 }, { rip: 0x400004n, user: true, ns: 1_000_000 }, { rip: 0xffffffff81002000n, user: false, ns: 5_000_000 }],
  uncounted: 0,
  // 16 MiB above where the map has it.
  entry: { symbol: 'entry_SYSCALL_64', address: 0xffffffff82000000n },
};
const map = ['ffffffff80001000 T do_work', 'ffffffff80001100 t helper', 'ffffffff81000000 T entry_SYSCALL_64', '0000000000000000 D data', 'not a line'].join('\n');

test('symbols are found in a kernel that lies elsewhere than its map says', () => {
  const symbols = Symbols.parse(map, 'System.map');
  expect(symbols.offsetFor(profile.entry)).toBe(0x1000000n);
  expect(symbols.find(0xffffffff80001043n)).toBe('do_work');
  expect(symbols.find(1n)).toBeUndefined();
  expect(() => Symbols.parse('ffffffffffffffff B The real System.map is elsewhere', 'System.map')).toThrow(/map System\.map names no code; give/);
});

test('the table has most time first; folded stacks are mode and function', () => {
  const symbols = Symbols.parse(map, 'System.map');
  const rows = profileText(profile, symbols).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  expect(rows.map((row) => row.trim().split(/\s+/))).toEqual([
    ['4.0', '40.0', '%', '5', '35', '7', '300', 'kernel', 'ffffffff81001000-ffffffff81001080', 'do_work'],
    ['1.0', '10.0', '%', '5', '35', '7', '300', 'user', '400000-400010', '400000'],
  ]);
  expect(foldedText(profile, symbols)).toBe('kernel;helper 5000\nkernel;do_work 4000\nuser;400000 1000\n');
  expect(foldedText(profile, undefined)).toBe('kernel;ffffffff81002000 5000\nkernel;ffffffff81001000 4000\nuser;400000 1000\n');
});
