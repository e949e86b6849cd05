import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { UserError } from '../../base/errors.ts';
import { AptError, PrivateApt } from './apt.ts';
import type { CatalogueEntry, GuestFiles } from './guest.ts';
import { buildInitramfs } from './initramfs.ts';
import { isWantedModule } from './kernel-modules.ts';
import type { ModuleFile } from './kernel-modules.ts';

/** Raised when what is built from the same packages changes (the init script, say): older caches are made anew. */
const RECIPE = 4;

interface Recipe {
  readonly name: string;
  readonly summary: string;
  readonly architecture: 'amd64' | 'i386';
  readonly kernelPackage: string;
}

const recipes: readonly Recipe[] = [
  { name: 'linux', summary: "Debian 12's 64-bit cloud kernel (6.1) with BusyBox: boots to a shell on the serial console", architecture: 'amd64', kernelPackage: 'linux-image-cloud-amd64' },
  { name: 'linux-i386', summary: "Debian 12's 32-bit kernel (6.1, 686) with BusyBox: boots to a shell on the serial console", architecture: 'i386', kernelPackage: 'linux-image-686' },
];

/** Kernel command line: the serial port as console. */
const APPEND = 'console=ttyS0';

/** `$XDG_CACHE_HOME/polyvisor`, else `~/.cache/polyvisor`. */
export function cacheFolder(): string {
  const base = process.env['XDG_CACHE_HOME'];
  return join(base !== undefined && base !== '' ? base : join(homedir(), '.cache'), 'polyvisor');
}

interface Manifest {
  readonly recipe: number;
  readonly package: string;
  readonly files: Readonly<Record<string, { readonly bytes: number; readonly sha256: string }>>;
}

function digest(bytes: Uint8Array): { bytes: number; sha256: string } {
  return { bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
}

/** The cached files, when all are there undamaged. */
function readCache(folder: string): GuestFiles | undefined {
  try {
    const manifest = JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8')) as Manifest;
    if (manifest.recipe !== RECIPE) return undefined;
    for (const name of ['kernel', 'initrd']) {
      const found = digest(readFileSync(join(folder, name)));
      const wanted = manifest.files[name];
      if (wanted === undefined || found.bytes !== wanted.bytes || found.sha256 !== wanted.sha256) return undefined;
    }
    return { kernel: join(folder, 'kernel'), initrd: join(folder, 'initrd'), append: APPEND };
  } catch {
    return undefined;
  }
}

async function fetchGuest(recipe: Recipe, progress: (line: string) => void): Promise<GuestFiles> {
  const cache = cacheFolder();
  // Versions of ours that build guests in different ways do not take them from one another.
  const folder = join(cache, 'guests', `${recipe.name}-${RECIPE}`);
  const cached = readCache(folder);
  if (cached !== undefined) return cached;
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
  const manifest: Manifest = { recipe: RECIPE, package: kernelPackage, files: { kernel: digest(kernel), initrd: digest(initrd) } };
  // Made aside and renamed, so that another process never sees half a guest.
  const unfinished = `${folder}.${process.pid}`;
  mkdirSync(unfinished, { recursive: true });
  writeFileSync(join(unfinished, 'kernel'), kernel);
  writeFileSync(join(unfinished, 'initrd'), initrd);
  writeFileSync(join(unfinished, 'manifest.json'), JSON.stringify(manifest, null, 2));
  rmSync(folder, { recursive: true, force: true });
  try {
    renameSync(unfinished, folder);
  } catch (error) {
    // Another process was faster; its guest is as good.
    rmSync(unfinished, { recursive: true, force: true });
    if (readCache(folder) === undefined) throw error;
  }
  return { kernel: join(folder, 'kernel'), initrd: join(folder, 'initrd'), append: APPEND };
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
