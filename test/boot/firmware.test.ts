import { afterAll, describe, expect, test } from 'vitest';
import { VirtualMachine } from '../../src/index.ts';
import { BootMedia } from '../support/boot-media.ts';
import { missingGrub, shows, withLog } from '../support/firmware.ts';

// Debian's stock SeaBIOS. It comes through apt on the first run, as the guests do.

test('SeaBIOS finds the machine, and nothing to boot', async () => {
  const { vm, said } = await withLog({});
  void vm.start();
  await said(/Running on QEMU \(i440fx\)/);
  await said(/ACPI: parse DSDT/);
  await said(/PS2 keyboard initialized/);
  await said(/No bootable device\./);
  const screen = vm.screenshot();
  expect(screen.text).toMatch(/^SeaBIOS \(version [^)]+\)\n[^]*\nNo bootable device\.$/);
  expect([screen.picture.width, screen.picture.height]).toEqual([720, 400]);
  expect((await vm.stop()).kind).toBe('stopped');
}, 90_000);

describe.skipIf(missingGrub !== '')(`GRUB from a CD-ROM${missingGrub}`, () => {
  const media = new BootMedia();
  afterAll(() => media.remove());

  test('shows its menu, and takes keys', async () => {
    const cdrom = media.grubCd('set timeout=-1\nmenuentry "first entry" { outb 0xf4 1 }\nmenuentry "second entry" { outb 0xf4 2 }\n');
    const vm = await VirtualMachine.create({ firmware: 'seabios', cdrom, debugExitPort: 0xf4, timeout: 120 });
    void vm.start();
    await shows(vm, /GNU GRUB[^]*│\*first entry +│\n │ second entry/);
    vm.sendKeys(['ArrowDown']);
    await shows(vm, /│\*second entry/);
    vm.sendKeys('\n');
    expect(await vm.finished).toEqual({ kind: 'debug-exit', value: 2 });
  }, 150_000);
});
