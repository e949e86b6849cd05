import { afterAll, expect, test } from 'vitest';
import { isDeepStrictEqual } from 'node:util';
import { VirtualMachine } from '../../src/index.ts';
import { BootMedia } from '../support/boot-media.ts';
import { missingSyslinux, shows } from '../support/firmware.ts';

const media = new BootMedia();
afterAll(() => media.remove());

test.skipIf(missingSyslinux !== '')(`a boot loader's prompt is saved, equal to the bit in another machine, and goes on there${missingSyslinux}`, async () => {
  const floppy = media.syslinuxFloppy('DEFAULT nothing\nPROMPT 1\nSAY This disk is read\nLABEL nothing\nKERNEL nothing\n');
  const options = { firmware: 'seabios', floppy, bootOrder: 'a', memory: '64M', timeout: 500 };
  const first = await VirtualMachine.create(options);
  void first.start();
  const text = await shows(first, /This disk is read\nboot:$/);
  const state = first.save();
  await first.stop();

  const second = await VirtualMachine.create(options);
  second.load(state);
  const again = second.save() as Record<string, unknown>;
  for (const [name, part] of Object.entries(state as Record<string, unknown>)) expect(isDeepStrictEqual(again[name], part), name).toBe(true);
  expect(second.screenshot().text).toBe(text);
  void second.start();
  second.sendKeys('again\n');
  await shows(second, /boot: again\nLoading again\.\.\. failed/);
  await second.stop();
});
