import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { afterAll, expect, test } from 'vitest';
import { VirtualMachine } from '../../src/index.ts';

const folder = mkdtempSync(join(tmpdir(), 'polyvisor-save-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('a running Linux is saved and goes on in another machine, equal to the bit, and from a file on another engine at the right time', async () => {
  const first = await VirtualMachine.create({ guest: 'linux', memory: '256M' });
  void first.start();
  await first.console.waitFor(/# /, 120_000);
  first.console.write('x=kept; echo sa""ved\n');
  await first.console.waitFor(/saved/, 20_000);
  const file = join(folder, 'state');
  await first.saveFile(file);
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

  const third = await VirtualMachine.restore(file, { engine: 'interpreter', timeout: 60 });
  await third.saveFile(`${file}-again`);
  expect(readFileSync(`${file}-again`).equals(readFileSync(file))).toBe(true);
  void third.start();
  third.console.write('echo "still $x"; hwclock -r -u\n');
  await third.console.waitFor(/still kept/, 20_000);
  const clock = await third.console.waitFor(/\w+ \w+ +\d+ [\d:]+ \d+  0\.0+ seconds/, 20_000);
  expect(Math.abs(Date.parse(`${clock.replace(/  0\..*/, '')} UTC`) - Date.now())).toBeLessThan(5000);
  third.console.write('poweroff\n');
  expect((await third.finished).kind).toBe('poweroff');
}, 240_000);
