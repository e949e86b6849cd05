import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CatalogueEntry } from '../src/host-node/guests/guest.ts';
import type { FirmwareFiles } from '../src/machine/boot-source.ts';
import type { DemoGuest } from './demo-guest.ts';

/** Debian's memory test, which draws on the screen; shown where it is installed. */
const MEMTEST = '/usr/lib/memtest86+/memtest86+x64.iso';
const SHOWN: Readonly<Record<string, string>> = { linux: 'Debian 12, 64-bit', 'linux-i386': 'Debian 12, 32-bit' };

/** Fetches the guests of the page. `folder`: for what is not in a file yet. */
export async function demoGuests(catalogue: readonly CatalogueEntry[], progress: (line: string) => void, seabios: () => Promise<FirmwareFiles>, folder: string): Promise<{ readonly guests: readonly DemoGuest[]; readonly routes: Readonly<Record<string, string>> }> {
  const guests: DemoGuest[] = [];
  const routes: Record<string, string> = {};
  for (const entry of catalogue.filter(({ name }) => name in SHOWN)) {
    const { kernel, initrd, append } = await entry.fetch(progress);
    const at = `/guests/${entry.name}/`;
    routes[`${at}kernel`] = kernel;
    if (initrd !== undefined) routes[`${at}initrd`] = initrd;
    guests.push({ name: entry.name, title: SHOWN[entry.name]!, memory: '256M', kernel: `${at}kernel`, ...(initrd === undefined ? {} : { initrd: `${at}initrd` }), display: true, append: `console=tty0 ${append}` });
  }
  const { firmware, vgaBios } = await seabios();
  const bios = (name: string, bytes: Uint8Array): string => {
    writeFileSync(join(folder, name), bytes);
    routes[`/guests/${name}`] = join(folder, name);
    return `/guests/${name}`;
  };
  const common = { memory: '128M', firmware: bios('bios.bin', firmware), ...(vgaBios === undefined ? {} : { vgaBios: bios('vgabios.bin', vgaBios) }) };
  if (existsSync(MEMTEST)) {
    routes['/guests/memtest.iso'] = MEMTEST;
    guests.push({ name: 'memtest', title: 'Memtest86+, on the screen', ...common, cdrom: '/guests/memtest.iso' });
  }
  guests.push({ name: 'own', title: 'A disk or CD image of your own', ...common, memory: '512M' });
  return { guests, routes };
}
