import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../../base/errors.ts';
import type { NicModel } from '../../machine/nics.ts';
import { AptError, PrivateApt } from './apt.ts';
import { cacheFolder } from '../cache-folder.ts';
import { isCached, putIntoCache } from './file-cache.ts';

const RECIPE = 1;

/** A Debian package with firmware, and the files that are wanted of it. */
interface FirmwarePackage {
  readonly title: string;
  readonly name: string;
  readonly folder: string;
  readonly files: readonly string[];
  /** What helps when it cannot be fetched. */
  readonly instead: string;
}

const SEABIOS = { title: 'SeaBIOS', name: 'seabios', folder: 'usr/share/seabios', files: ['bios-256k.bin', 'vgabios-stdvga.bin'], instead: 'give a firmware file yourself: --firmware FILE' } as const satisfies FirmwarePackage;
const IPXE = { title: 'iPXE', name: 'ipxe-qemu', folder: 'usr/lib/ipxe/qemu', files: ['efi-virtio.rom', 'efi-e1000.rom', 'efi-rtl8139.rom'], instead: 'leave n out of the boot order' } as const satisfies FirmwarePackage;
const OVMF = { title: 'OVMF', name: 'ovmf', folder: 'usr/share/OVMF', files: ['OVMF_CODE_4M.fd', 'OVMF_VARS_4M.fd'], instead: 'give a firmware file yourself: --firmware FILE' } as const satisfies FirmwarePackage;

/** Debian's SeaBIOS and the display's option ROM, through apt as the guests are. Throws UserError. */
export async function fetchSeabios(progress: (line: string) => void): Promise<{ readonly firmware: Uint8Array; readonly vgaBios: Uint8Array }> {
  const [firmware, vgaBios] = await fetchFiles(SEABIOS, progress);
  return { firmware: firmware!, vgaBios: vgaBios! };
}

/** Debian's UEFI firmware, and what its variables are at first. Throws UserError. */
export async function fetchOvmf(progress: (line: string) => void): Promise<{ readonly firmware: Uint8Array; readonly variables: Uint8Array }> {
  const [firmware, variables] = await fetchFiles(OVMF, progress);
  return { firmware: firmware!, variables: variables! };
}

/** Debian's iPXE, as option ROMs of network cards. Throws UserError. */
export async function fetchIpxe(progress: (line: string) => void): Promise<Readonly<Record<NicModel, Uint8Array>>> {
  const [virtio, e1000, rtl8139] = await fetchFiles(IPXE, progress);
  return { virtio: virtio!, e1000: e1000!, rtl8139: rtl8139!, rtl8139d: rtl8139! };
}

async function fetchFiles(wanted: FirmwarePackage, progress: (line: string) => void): Promise<readonly Uint8Array[]> {
  const cache = cacheFolder();
  const folder = join(cache, 'firmware', wanted.name);
  if (!isCached(folder, RECIPE, wanted.files)) {
    if (existsSync(folder)) progress('the cached firmware is outdated or damaged; it is fetched anew');
    try {
      await fetch(wanted, cache, folder, progress);
    } catch (error) {
      if (!(error instanceof AptError)) throw error;
      throw new UserError(`${wanted.title} cannot be fetched (${error.message}); ${wanted.instead} (Debian: package ${wanted.name}, /${wanted.folder}/${wanted.files[0]})`);
    }
  }
  return wanted.files.map((name) => read(folder, name));
}

async function fetch(wanted: FirmwarePackage, cache: string, folder: string, progress: (line: string) => void): Promise<void> {
  const apt = new PrivateApt(join(cache, 'apt', 'amd64'), 'amd64');
  progress(`firmware: reading Debian's package lists through apt, into ${cache}`);
  await apt.update();
  progress(`firmware: downloading ${wanted.name}`);
  const { folder: unpacked, cleanUp } = await apt.unpack(wanted.name, `./${wanted.folder}/*`);
  try {
    const inside = join(unpacked, wanted.folder);
    for (const name of wanted.files) if (!existsSync(join(inside, name))) throw new AptError(`package ${wanted.name} holds no ${name}`);
    putIntoCache(folder, RECIPE, wanted.name, Object.fromEntries(wanted.files.map((name) => [name, read(inside, name)])));
  } finally {
    cleanUp();
  }
}

function read(folder: string, name: string): Uint8Array {
  return new Uint8Array(readFileSync(join(folder, name)));
}
