import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, expect, test } from 'vitest';
import { VirtualMachine } from '../../src/index.ts';
import type { Picture } from '../../src/index.ts';
import { BootMedia } from '../support/boot-media.ts';
import { missingGrub } from '../support/firmware.ts';

const IMAGES = '/usr/lib/debian-installer/images/12/amd64/text/debian-installer/amd64';
const FILES = { '/linux': join(IMAGES, 'linux'), '/initrd.gz': join(IMAGES, 'initrd.gz') };
const missing = missingGrub !== '' ? missingGrub : existsSync(join(IMAGES, 'linux')) ? '' : ' (SKIPPED: Debian package debian-installer-12-netboot-amd64 is wanted)';

const media = new BootMedia();
afterAll(() => media.remove());

/** Part of a picture that has exactly this colour. */
function part({ pixels }: Picture, colour: number): number {
  const view = new DataView(pixels.buffer);
  let found = 0;
  for (let at = 0; at < pixels.length; at += 4) if (view.getUint32(at) >>> 8 === colour) found++;
  return found / (pixels.length / 4);
}

/** Waits for a grey box on blue. */
async function firstQuestion(vm: VirtualMachine): Promise<Picture> {
  for (;;) {
    await pause(1000);
    expect(vm.report().end).toBeNull();
    const { picture } = vm.screenshot();
    if (part(picture, 0x0000aa) >= 0.5 && part(picture, 0xaaaaaa) >= 0.1) return picture;
  }
}

const missingEfi = missing !== '' ? missing : existsSync('/usr/lib/grub/x86_64-efi') ? '' : ' (SKIPPED: Debian package grub-efi-amd64-bin is wanted)';

test.skipIf(missing !== '')(`the Debian installer comes from a CD-ROM to its first question, drawn on the linear frame buffer${missing}`, async () => {
  const cdrom = media.grubCd('linux /linux vga=normal fb=false --- quiet\ninitrd /initrd.gz\nboot\n', FILES);
  const vm = await VirtualMachine.create({ firmware: 'seabios', cdrom, bootOrder: 'd', timeout: 900 });
  void vm.start();
  // In the driver's mode.
  const picture = await firstQuestion(vm);
  expect([picture.width, picture.height]).toEqual([1024, 768]);
  await vm.stop();
}, 960_000);

test.skipIf(missingEfi !== '')(`the Debian installer comes through OVMF from a CD-ROM to its first question, on the screen${missingEfi}`, async () => {
  const cdrom = media.grubCd('insmod all_video\nlinux /linux --- quiet\ninitrd /initrd.gz\nboot\n', FILES, 'x86_64-efi');
  const vm = await VirtualMachine.create({ firmware: 'ovmf', cdrom, timeout: 900 });
  void vm.start();
  await firstQuestion(vm);
  await vm.stop();
}, 960_000);

test.skipIf(missingEfi !== '').each(['seabios', 'ovmf'] as const)(`the Debian installer comes through %s to its first question, on the serial line${missingEfi}`, async (firmware) => {
  const cdrom = media.grubCd('linux /linux console=ttyS0\ninitrd /initrd.gz\nboot\n', FILES, firmware === 'ovmf' ? 'x86_64-efi' : 'i386-pc');
  const vm = await VirtualMachine.create({ firmware, cdrom, bootOrder: 'd', timeout: 900 });
  void vm.start();
  await vm.console.waitFor(/Select a language|Choose the language/, 900_000);
  await vm.stop();
}, 960_000);
