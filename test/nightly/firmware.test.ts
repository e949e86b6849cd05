import { afterAll, describe, expect, test } from 'vitest';
import { catalogue } from '../../src/host-node/guests/catalogue.ts';
import { VirtualMachine } from '../../src/index.ts';
import { BootMedia } from '../support/boot-media.ts';
import { missingGrub } from '../support/firmware.ts';

describe.skipIf(missingGrub !== '')(`GRUB from a CD-ROM${missingGrub}`, () => {
  const media = new BootMedia();
  afterAll(() => media.remove());

  test('boots a stock Linux, which finds the ACPI tables that the firmware has placed and powers off by them', async () => {
    const { kernel, initrd } = await catalogue.find((guest) => guest.name === 'linux')!.fetch(() => {});
    const cdrom = media.grubCd('linux /vmlinuz console=ttyS0\ninitrd /initrd\nboot\n', { '/vmlinuz': kernel, '/initrd': initrd! });
    const vm = await VirtualMachine.create({ firmware: 'seabios', cdrom, bootOrder: 'd', timeout: 240 });
    void vm.start();
    const shell = await vm.console.waitFor(/# /, 240_000);
    expect(shell).toBe('# ');
    expect(vm.console.text).toMatch(/ACPI: RSDP 0x00000000000F[0-9A-F]{4} 000024 \(v02 POLYVM\)/);
    expect(vm.console.text).toMatch(/SMBIOS 2\.8 present[^]*DMI: Polyvisor pc/);
    vm.console.write('poweroff\n');
    expect((await vm.finished).kind).toBe('poweroff');
  }, 260_000);
});
