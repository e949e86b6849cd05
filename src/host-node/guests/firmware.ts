import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../../base/errors.ts';
import { AptError, PrivateApt } from './apt.ts';
import { cacheFolder, isCached, putIntoCache } from './file-cache.ts';

const RECIPE = 1;
const PACKAGE = 'seabios';
const BIOS = 'bios-256k.bin';
const VGA_BIOS = 'vgabios-stdvga.bin';

/** Debian's SeaBIOS and the display's option ROM, through apt as the guests are. Throws UserError. */
export async function fetchSeabios(progress: (line: string) => void): Promise<{ readonly firmware: Uint8Array; readonly vgaBios: Uint8Array }> {
  const cache = cacheFolder();
  const folder = join(cache, 'firmware', PACKAGE);
  if (!isCached(folder, RECIPE, [BIOS, VGA_BIOS])) {
    if (existsSync(folder)) progress('the cached firmware is outdated or damaged; it is fetched anew');
    try {
      await fetch(cache, folder, progress);
    } catch (error) {
      if (!(error instanceof AptError)) throw error;
      throw new UserError(`SeaBIOS cannot be fetched (${error.message}); give a firmware file yourself: --firmware FILE (Debian: package seabios, /usr/share/seabios/${BIOS})`);
    }
  }
  return { firmware: read(folder, BIOS), vgaBios: read(folder, VGA_BIOS) };
}

async function fetch(cache: string, folder: string, progress: (line: string) => void): Promise<void> {
  const apt = new PrivateApt(join(cache, 'apt', 'amd64'), 'amd64');
  progress(`firmware: reading Debian's package lists through apt, into ${cache}`);
  await apt.update();
  progress(`firmware: downloading ${PACKAGE}`);
  const { folder: unpacked, cleanUp } = await apt.unpack(PACKAGE, './usr/share/seabios/*');
  try {
    const inside = join(unpacked, 'usr/share/seabios');
    for (const name of [BIOS, VGA_BIOS]) if (!existsSync(join(inside, name))) throw new AptError(`package ${PACKAGE} holds no ${name}`);
    putIntoCache(folder, RECIPE, PACKAGE, { [BIOS]: read(inside, BIOS), [VGA_BIOS]: read(inside, VGA_BIOS) });
  } finally {
    cleanUp();
  }
}

function read(folder: string, name: string): Uint8Array {
  return new Uint8Array(readFileSync(join(folder, name)));
}
