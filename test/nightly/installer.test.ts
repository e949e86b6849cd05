import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, describe, expect, test } from 'vitest';
import { VirtualMachine } from '../../src/index.ts';
import type { Picture } from '../../src/index.ts';
import { BootMedia } from '../support/boot-media.ts';
import { missingGrub } from '../support/firmware.ts';

type Architecture = 'amd64' | 'i386';

/** Kernel and initrd as Debian packages them. */
function files(architecture: Architecture): Record<string, string> {
  const folder = `/usr/lib/debian-installer/images/12/${architecture}/text/debian-installer/${architecture}`;
  return { '/linux': join(folder, 'linux'), '/initrd.gz': join(folder, 'initrd.gz') };
}
function missingFor(architecture: Architecture, platform: 'i386-pc' | 'x86_64-efi' = 'i386-pc'): string {
  if (missingGrub !== '') return missingGrub;
  if (!Object.values(files(architecture)).every((file) => existsSync(file))) return ` (SKIPPED: Debian package debian-installer-12-netboot-${architecture} is wanted)`;
  return existsSync(`/usr/lib/grub/${platform}`) ? '' : ' (SKIPPED: Debian package grub-efi-amd64-bin is wanted)';
}
/** For what hangs, in seconds: 80 to 480 s were seen, on a host forty times overloaded more than 900. */
const TIMEOUT = 3600;
const TIMEOUT_MS = 1000 * (TIMEOUT + 60);
/** Below some 500 MiB the installer first says that it has little memory. */
const MEMORY = '1G';

const media = new BootMedia();
afterAll(() => media.remove());

/** Part of a picture that has exactly this colour. */
function part({ pixels }: Picture, colour: number): number {
  const view = new DataView(pixels.buffer);
  let found = 0;
  for (let at = 0; at < pixels.length; at += 4) if (view.getUint32(at) >>> 8 === colour) found++;
  return found / (pixels.length / 4);
}

/** Waits for a grey box on blue, as wide as that of the languages; how much blue is left round it depends on the console's size. */
async function firstQuestion(vm: VirtualMachine): Promise<Picture> {
  for (;;) {
    await pause(1000);
    expect(vm.report().end).toBeNull();
    const { picture } = vm.screenshot();
    if (part(picture, 0x0000aa) >= 0.05 && part(picture, 0xaaaaaa) >= 0.4) return picture;
  }
}

describe.each(['amd64', 'i386'] as const)('the Debian installer for %s, through SeaBIOS from a CD-ROM to its first question', (architecture) => {
  const missing = missingFor(architecture);

  test.skipIf(missing !== '')(`drawn on the linear frame buffer${missing}`, async () => {
    const cdrom = media.grubCd('linux /linux vga=normal fb=false --- quiet\ninitrd /initrd.gz\nboot\n', files(architecture));
    const vm = await VirtualMachine.create({ firmware: 'seabios', cdrom, bootOrder: 'd', memory: MEMORY, timeout: TIMEOUT });
    void vm.start();
    // In the driver's mode.
    const picture = await firstQuestion(vm);
    expect([picture.width, picture.height]).toEqual([1024, 768]);
    await vm.stop();
  }, TIMEOUT_MS);

  test.skipIf(missing !== '')(`on the serial line${missing}`, () => askedOnSerialLine('seabios', architecture), TIMEOUT_MS);
});

// 64-bit UEFI firmware starts 64-bit kernels only.
describe('the Debian installer for amd64, through OVMF from a CD-ROM to its first question', () => {
  const missing = missingFor('amd64', 'x86_64-efi');

  test.skipIf(missing !== '')(`on the screen${missing}`, async () => {
    const cdrom = media.grubCd('insmod all_video\nlinux /linux --- quiet\ninitrd /initrd.gz\nboot\n', files('amd64'), 'x86_64-efi');
    const vm = await VirtualMachine.create({ firmware: 'ovmf', cdrom, memory: MEMORY, timeout: TIMEOUT });
    void vm.start();
    await firstQuestion(vm);
    await vm.stop();
  }, TIMEOUT_MS);

  test.skipIf(missing !== '')(`on the serial line${missing}`, () => askedOnSerialLine('ovmf', 'amd64'), TIMEOUT_MS);
});

async function askedOnSerialLine(firmware: 'seabios' | 'ovmf', architecture: Architecture): Promise<void> {
  const cdrom = media.grubCd('linux /linux console=ttyS0 --- quiet\ninitrd /initrd.gz\nboot\n', files(architecture), firmware === 'ovmf' ? 'x86_64-efi' : 'i386-pc');
  const vm = await VirtualMachine.create({ firmware, cdrom, bootOrder: 'd', memory: MEMORY, timeout: TIMEOUT });
  void vm.start();
  await vm.console.waitFor(/Select a language|Choose the language/, 1000 * TIMEOUT);
  await vm.stop();
}
