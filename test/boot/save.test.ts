import { isDeepStrictEqual } from 'node:util';
import { expect, test } from 'vitest';
import { VirtualMachine } from '../../src/index.ts';

test('a running Linux is saved, loaded into another machine, equal to the bit, and goes on there', async () => {
  const first = await VirtualMachine.create({ guest: 'linux', memory: '256M' });
  void first.start();
  await first.console.waitFor(/# /, 120_000);
  first.console.write('x=kept; echo sa""ved\n');
  await first.console.waitFor(/saved/, 20_000);
  const state = first.save();
  await first.stop();

  const second = await VirtualMachine.create({ guest: 'linux', memory: '256M' });
  second.load(state);
  // Not toEqual: it would compare a hundred million bytes one by one.
  const again = second.save() as Record<string, unknown>;
  for (const [name, part] of Object.entries(state as Record<string, unknown>)) expect(isDeepStrictEqual(again[name], part), name).toBe(true);
  void second.start();
  second.console.write('echo "still $x"\n');
  expect(await second.console.waitFor(/still kept/, 20_000)).toBe('still kept');
  second.console.write('poweroff\n');
  expect((await second.finished).kind).toBe('poweroff');
}, 240_000);
