import { isDeepStrictEqual } from 'node:util';
import { expect, test } from 'vitest';
import { VirtualMachine } from '../../src/index.ts';
import type { Screenshot } from '../../src/index.ts';

/** Pixels that are not black. */
const drawn = ({ picture }: Screenshot): number => new Uint32Array(picture.pixels.buffer).filter((word) => word !== 0xff000000).length;

// Linux's own driver and font draw the console; keys come from the PS/2 keyboard.
test('a kernel that is booted directly draws its console on a frame buffer, takes keys there, and goes on when stored', async () => {
  const options = { guest: 'linux', memory: '128M', display: true, append: 'console=tty0 console=ttyS0', timeout: 1200 } as const;
  const vm = await VirtualMachine.create(options);
  void vm.start();
  // Messages of the kernel may stand anywhere in between.
  await vm.console.waitFor(/\/root|# /, 400_000);
  expect(vm.console.text).toMatch(/efifb: framebuffer at 0xfd000000, using 1876k, total 1875k[^]*mode is 800x600x32, linelength=3200/);
  const before = vm.screenshot();
  expect([before.picture.width, before.picture.height, before.cells]).toEqual([800, 600, undefined]);
  expect(drawn(before)).toBeGreaterThan(10_000);
  // A shell that begins asks the terminal for its size, and may take the first keys for the answer.
  vm.sendKeys('true; true; dmesg -n 1; clear; echo "on $(tty)" > /dev/ttyS0\n');
  await vm.console.waitFor('on /dev/tty1\r\n', 200_000);
  await vm.pause();
  const after = vm.screenshot();
  expect(drawn(after)).toBeLessThan(2_000);
  const state = await vm.save();
  await vm.stop();

  const again = await VirtualMachine.create({ ...options, engine: 'interpreter' });
  await again.load(state);
  expect(isDeepStrictEqual(again.screenshot().picture, after.picture)).toBe(true);
  void again.start();
  again.sendKeys('echo "still on $(tty)" > /dev/ttyS0; reboot\n');
  await again.console.waitFor('still on /dev/tty1\r\n', 200_000);
  // After a reset the frame buffer is there as at first.
  await again.console.waitFor(/efifb: framebuffer at 0xfd000000/, 400_000);
  await again.stop();
}, 1_500_000);

test('boards without a display say so', async () => {
  await expect(VirtualMachine.create({ guest: 'linux', machine: 'microvm', display: true })).rejects.toThrow('machine microvm has no display; leave --display out, or give --machine pc');
});
