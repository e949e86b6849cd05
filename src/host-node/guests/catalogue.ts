import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../../base/errors.ts';
import { AptError, PrivateApt } from './apt.ts';
import { cacheFolder } from '../cache-folder.ts';
import { isCached, putIntoCache } from './file-cache.ts';
import type { CatalogueEntry, GuestFiles } from './guest.ts';
import { buildInitramfs } from './initramfs.ts';
import { isWantedModule } from './kernel-modules.ts';
import type { ModuleFile } from './kernel-modules.ts';

/** Raised when what is built from the same packages changes (the init script, say): older caches are made anew. */
const RECIPE = 11;

interface Recipe {
  readonly name: string;
  readonly summary: string;
  readonly architecture: 'amd64' | 'i386';
  readonly kernelPackage: string;
}

const recipes: readonly Recipe[] = [
  { name: 'linux', summary: "Debian 12's 64-bit cloud kernel (6.1) with BusyBox: boots to a shell on the serial console", architecture: 'amd64', kernelPackage: 'linux-image-cloud-amd64' },
  { name: 'linux-i386', summary: "Debian 12's 32-bit kernel (6.1, 686) with BusyBox: boots to a shell on the serial console", architecture: 'i386', kernelPackage: 'linux-image-686' },
  { name: 'linux-6.12', summary: "Debian 12's newer 64-bit cloud kernel (6.12) with the same", architecture: 'amd64', kernelPackage: 'linux-image-6.12-cloud-amd64' },
  { name: 'linux-generic', summary: "Debian 12's 64-bit kernel for all computers (6.1) with the same: it knows shared folders", architecture: 'amd64', kernelPackage: 'linux-image-amd64' },
  { name: 'linux-i386-pae', summary: "Debian 12's 32-bit kernel with physical address extension (6.1, 686-pae) with the same", architecture: 'i386', kernelPackage: 'linux-image-686-pae' },
];

/** Kernel command line: the serial port as console. */
const APPEND = 'console=ttyS0';

const FILES = ['kernel', 'initrd'] as const;

function filesIn(folder: string): GuestFiles {
  return { kernel: join(folder, 'kernel'), initrd: join(folder, 'initrd'), append: APPEND };
}

async function fetchGuest(recipe: Recipe, progress: (line: string) => void): Promise<GuestFiles> {
  const cache = cacheFolder();
  // Versions of ours that build guests in different ways do not take them from one another.
  const folder = join(cache, 'guests', `${recipe.name}-${RECIPE}`);
  if (isCached(folder, RECIPE, FILES)) return filesIn(folder);
  if (existsSync(folder)) progress(`the cached guest ${recipe.name} is outdated or damaged; it is made anew`);
  try {
    return await build(recipe, cache, folder, progress);
  } catch (error) {
    if (!(error instanceof AptError)) throw error;
    throw new UserError(`guest ${recipe.name} cannot be fetched (${error.message}); give its two files yourself: --kernel VMLINUZ --initrd INITRD (a Debian ${recipe.architecture} kernel and an initramfs with a shell)`);
  }
}

async function build(recipe: Recipe, cache: string, folder: string, progress: (line: string) => void): Promise<GuestFiles> {
  const apt = new PrivateApt(join(cache, 'apt', recipe.architecture), recipe.architecture);
  progress(`guest ${recipe.name}: reading Debian's package lists (${recipe.architecture}) through apt, into ${cache}`);
  await apt.update();
  const kernelPackage = await apt.dependency(recipe.kernelPackage, 'linux-image-');
  progress(`guest ${recipe.name}: downloading ${kernelPackage}`);
  const { kernel, modules } = await readKernel(apt, kernelPackage);
  progress(`guest ${recipe.name}: downloading busybox-static`);
  const busybox = await readOne(apt, 'busybox-static', './bin/busybox', 'bin');
  const initrd = buildInitramfs(busybox, modules);
  putIntoCache(folder, RECIPE, kernelPackage, { kernel, initrd });
  return filesIn(folder);
}

/** The kernel and the modules that a guest may need. */
async function readKernel(apt: PrivateApt, packageName: string): Promise<{ kernel: Uint8Array; modules: readonly ModuleFile[] }> {
  const isKernel = (path: string): boolean => path.startsWith('boot/vmlinuz-');
  const { folder, paths, cleanUp } = await apt.unpackSome(packageName, (path) => isKernel(path) || isWantedModule(path));
  try {
    const read = (path: string): Uint8Array => new Uint8Array(readFileSync(join(folder, path)));
    const kernel = paths.find(isKernel);
    if (kernel === undefined) throw new AptError(`package ${packageName} holds no kernel`);
    return { kernel: read(kernel), modules: paths.filter(isWantedModule).map((path) => ({ path, data: read(path) })) };
  } finally {
    cleanUp();
  }
}

async function readOne(apt: PrivateApt, packageName: string, pattern: string, inside: string): Promise<Uint8Array> {
  const { folder, cleanUp } = await apt.unpack(packageName, pattern);
  try {
    const name = readdirSync(join(folder, inside))[0];
    if (name === undefined) throw new AptError(`package ${packageName} holds no ${pattern}`);
    return new Uint8Array(readFileSync(join(folder, inside, name)));
  } finally {
    cleanUp();
  }
}

/** Guests that `polyvisor run NAME` knows. */
export const catalogue: readonly CatalogueEntry[] = recipes.map((recipe) => ({
  name: recipe.name,
  summary: recipe.summary,
  fetch: (progress) => fetchGuest(recipe, progress),
}));
