import { afterAll, expect, test } from 'vitest';
import { xenDom0 } from '../../guest/xen-dom0.ts';
import { VirtualMachine } from '../../src/index.ts';
import { BootMedia, hasProgram } from '../support/boot-media.ts';
import { command } from '../support/guest-shell.ts';

const BOOT_MS = 600_000;
const TOOLS = '/usr/lib/xen-4.17/bin';
const media = new BootMedia();
afterAll(() => media.remove());

/** Through SeaBIOS and GRUB, as Debian starts it: multiboot 2, kernel and initial RAM file system as modules. */
const GRUB = `serial --unit=0 --speed=115200
terminal_output serial
set timeout=0
menuentry xen {
  multiboot2 /boot/xen.gz com1=115200,8n1 console=com1 loglvl=all guest_loglvl=all dom0_mem=512M
  module2 /boot/vmlinuz console=hvc0 quiet
  module2 /boot/initrd
}
`;

// The hypervisor and its paravirtual domains are in rings 0 and 3 without any extension; page tables are theirs by turns.
test.skipIf(!hasProgram('grub-mkrescue'))('Xen 4.17 starts its first domain, xl lists it, and a second one runs a shell and powers off', async () => {
  const { xen, kernel, initrd } = await xenDom0((line) => console.log(line));
  const cdrom = media.grubCd(GRUB, { '/boot/xen.gz': xen, '/boot/vmlinuz': kernel, '/boot/initrd': initrd });
  const vm = await VirtualMachine.create({ firmware: 'seabios', cdrom, memory: '1G' });
  void vm.start();
  await vm.console.waitFor('(XEN) Xen version 4.17', BOOT_MS);
  await vm.console.waitFor('/root # ', BOOT_MS);
  await command(vm, 'start-xen');
  await command(vm, `export PATH=$PATH:${TOOLS}`);
  expect(await command(vm, 'xl list')).toMatch(/Domain-0 +0 +512 +1 +r-----/);
  expect(await command(vm, 'xl info')).toMatch(/xen_version +: 4\.17/);
  // It unpacks the second domain's kernel.
  vm.console.write('xl create /etc/xen/domu; echo "[sta""tus $?]"\n');
  await vm.console.waitFor('[status 0]', BOOT_MS);
  await vm.console.waitFor('# ', BOOT_MS);
  expect(await command(vm, 'xl list')).toMatch(/domu +1 +192 +1 +/);
  vm.console.write('xl console domu\n');
  await vm.console.waitFor(/BusyBox[^]*# /, BOOT_MS);
  expect(await command(vm, 'cat /sys/hypervisor/type /sys/hypervisor/guest_type')).toMatch(/xen\s+PV/);
  // Its prompt is behind us; the next is the first domain's.
  vm.console.write('poweroff\n');
  await vm.console.waitFor(/reboot: [^]*# /, BOOT_MS);
  // Of what is typed faster than the first domain reads Xen keeps 128 bytes (SERIAL_RX_SIZE).
  await command(vm, 'while xl list domu > /dev/null 2>&1; do sleep 1; done');
  vm.console.write('poweroff\n');
  expect((await vm.finished).kind).toBe('poweroff');
}, 2_400_000);
