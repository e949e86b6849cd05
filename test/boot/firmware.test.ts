import { afterAll, describe, expect, test } from 'vitest';
import { VirtualMachine } from '../../src/index.ts';
import { BootMedia } from '../support/boot-media.ts';
import { MEMTEST_CD, missingGrub, missingMemtest, missingSyslinux, shows, withLog } from '../support/firmware.ts';

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
});

test('SeaBIOS starts the other processors, as many as there are', async () => {
  const { vm, said } = await withLog({ cpus: { sockets: 2, threads: 3 }, overcommit: true });
  void vm.start();
  // Identifiers have gaps: the highest is 6.
  await said(/Found 6 cpu\(s\) max supported 7 cpu\(s\)/);
  await said(/No bootable device\./);
  await vm.stop();
});

describe.skipIf(missingGrub !== '')(`GRUB from a CD-ROM${missingGrub}`, () => {
  const media = new BootMedia();
  afterAll(() => media.remove());

  test('shows its menu, and takes keys', async () => {
    const cdrom = media.grubCd('set timeout=-1\nmenuentry "first entry" { outb 0xf4 1 }\nmenuentry "second entry" { outb 0xf4 2 }\n');
    const vm = await VirtualMachine.create({ firmware: 'seabios', cdrom, debugExitPort: 0xf4, timeout: 500 });
    void vm.start();
    await shows(vm, /GNU GRUB[^]*│\*first entry +│\n │ second entry/);
    vm.sendKeys(['ArrowDown']);
    await shows(vm, /│\*second entry/);
    vm.sendKeys('\n');
    expect(await vm.finished).toEqual({ kind: 'debug-exit', value: 2 });
  });
});

describe.skipIf(missingSyslinux !== '')(`SYSLINUX${missingSyslinux}`, () => {
  const media = new BootMedia();
  afterAll(() => media.remove());
  const configuration = 'DEFAULT nothing\nPROMPT 1\nSAY This disk is read\nLABEL nothing\nKERNEL nothing\n';

  test('starts from a floppy disk, reads it and takes what is typed', async () => {
    const vm = await VirtualMachine.create({ firmware: 'seabios', floppy: media.syslinuxFloppy(configuration), timeout: 500 });
    void vm.start();
    await shows(vm, /SYSLINUX [^]*This disk is read\nboot:$/);
    vm.sendKeys('Some-Thing\n');
    await shows(vm, /boot: Some-Thing\nLoading Some-Thing\.\.\. failed: No such file or directory/);
    await vm.stop();
  });

  test('starts from a hard disk, which the boot menu offers beside the floppy disk', async () => {
    const vm = await VirtualMachine.create({
      firmware: 'seabios', bootMenu: true, bootOrder: 'a', disks: [media.syslinuxDisk(configuration)], floppy: media.syslinuxFloppy(configuration), timeout: 500,
    });
    void vm.start();
    await shows(vm, /Press ESC for boot menu/);
    vm.sendKeys(['Escape']);
    const entry = /(\d)\. ata0-0: Polyvisor disk ATA-6 Hard-Disk \(32 MiBytes\)/;
    const menu = await shows(vm, entry);
    expect(menu).toMatch(/Select boot device:[^]*Floppy/);
    vm.sendKeys(entry.exec(menu)![1]!);
    await shows(vm, /Booting from Hard Disk[^]*SYSLINUX [^]*This disk is read\nboot:$/);
    await vm.stop();
  });
});

test.skipIf(missingMemtest !== '')(`memtest86+ starts from its CD-ROM and tests what memory there is${missingMemtest}`, async () => {
  const vm = await VirtualMachine.create({ firmware: 'seabios', cdrom: MEMTEST_CD, memory: '64M', timeout: 500 });
  void vm.start();
  const screen = await shows(vm, /Memtest86\+ v[^]*Test +\d+%[^]*Testing: [^]*Errors: 0/);
  expect(screen).toMatch(/Memory +: +64MB/);
  await vm.stop();
});
