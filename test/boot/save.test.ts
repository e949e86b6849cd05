import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { afterAll, expect, test } from 'vitest';
import { VirtualMachine } from '../../src/index.ts';
import { answer, command, powerOff, shell } from '../support/guest-shell.ts';

const folder = mkdtempSync(join(tmpdir(), 'polyvisor-save-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('a running Linux is saved and goes on in another machine, equal to the bit, and from a file on another engine at the right time', async () => {
  const first = await shell({ memory: '256M' });
  await command(first, 'x=kept');
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
  await answer(second, 'echo "still $x"', /still kept/);
  await powerOff(second);

  const third = await VirtualMachine.restore(file, { engine: 'interpreter', timeout: 400 });
  await third.saveFile(`${file}-again`);
  expect(readFileSync(`${file}-again`).equals(readFileSync(file))).toBe(true);
  void third.start();
  await answer(third, 'echo "still $x"', /still kept/);
  const began = Date.now();
  const [, clock] = /(\w+ \w+ +\d+ [\d:]+ \d+)  0\.0+ seconds/.exec(await command(third, 'hwclock -r -u'))!;
  // In whole seconds.
  expect(Date.parse(`${clock} UTC`)).toBeGreaterThan(began - 2000);
  expect(Date.parse(`${clock} UTC`)).toBeLessThan(Date.now() + 1000);
  await powerOff(third);
}, 1_200_000);
