import { existsSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { VirtualMachine } from '../../src/index.ts';
import type { VirtualMachineOptions } from '../../src/index.ts';
import { hasProgram } from './boot-media.ts';

/** A machine whose firmware's log can be waited for. */
export async function withLog(options: VirtualMachineOptions): Promise<{ vm: VirtualMachine; said: (pattern: RegExp) => Promise<void> }> {
  let text = '';
  let look = (): void => {};
  const vm = await VirtualMachine.create({
    firmware: 'seabios', timeout: 500, ...options,
    log: {
      warn: () => {},
      tracing: (kind) => kind === 'firmware',
      trace: (kind, message) => {
        if (kind !== 'firmware') return;
        text += `${message}\n`;
        look();
      },
    },
  });
  const said = (pattern: RegExp): Promise<void> => new Promise((resolve, reject) => {
    look = () => {
      if (pattern.test(text)) resolve();
    };
    look();
    void vm.finished.then((end) => reject(new Error(`the machine ended (${end.kind}) before the firmware said ${pattern}:\n${text}`)));
  });
  return { vm, said };
}

/** Waits until the screen shows something; it is looked at as people do, now and then. */
export async function shows(vm: VirtualMachine, pattern: RegExp): Promise<string> {
  for (;;) {
    const { text } = vm.screenshot();
    if (pattern.test(text)) return text;
    if (vm.report().end !== null) throw new Error(`the machine ended (${vm.report().end}) with this on its screen:\n${text}`);
    await pause(50);
  }
}

export const missingSyslinux = hasProgram('syslinux') && hasProgram('mformat') && existsSync('/usr/lib/syslinux/mbr/mbr.bin') ? '' : ' (SKIPPED: Debian packages syslinux, syslinux-common and mtools are wanted)';
export const MEMTEST_CD = '/usr/lib/memtest86+/memtest86+x64.iso';
export const missingMemtest = existsSync(MEMTEST_CD) ? '' : ' (SKIPPED: Debian package memtest86+ is wanted)';
/** What tests with GRUB media add to their names when its tools are not there. */
export const missingGrub = hasProgram('grub-mkrescue') && hasProgram('xorriso') && hasProgram('mformat') && existsSync('/usr/lib/grub/i386-pc') ? '' : ' (SKIPPED: Debian packages grub-common, grub-pc-bin, xorriso and mtools are wanted)';
