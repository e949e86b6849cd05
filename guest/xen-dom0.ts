import { existsSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { UserError } from '../src/base/errors.ts';
import { AptError, PrivateApt } from '../src/host-node/guests/apt.ts';
import { DIRECTORY, EXECUTABLE, writeCpio } from '../src/host-node/guests/cpio.ts';
import type { CpioEntry } from '../src/host-node/guests/cpio.ts';
import { cacheFolder } from '../src/host-node/cache-folder.ts';
import { isCached, putIntoCache } from '../src/host-node/guests/file-cache.ts';
import { buildInitramfs } from '../src/host-node/guests/initramfs.ts';

// Debian 12's Xen with what its first domain needs: Debian's kernel, and BusyBox with Xen's own tools in an initial RAM file system.

/** Raised when what is built from the same packages changes. */
const RECIPE = 1;
const HYPERVISOR = 'xen-hypervisor-4.17-amd64';
const FILES = ['xen.gz', 'vmlinuz', 'initrd'] as const;
const TOOLS = 'usr/lib/xen-4.17/bin';
const LIBRARIES = 'lib/x86_64-linux-gnu';

/** Programs and modules by package, and the shared libraries that the programs name. */
const PROGRAMS = ['xl', 'xenstored', 'xenconsoled', 'xenconsole', 'xen-init-dom0', 'libxl-save-helper'];
const MODULES = ['xen-evtchn', 'xen-gntdev', 'xen-privcmd', 'xenfs'];
const SHARED: Readonly<Record<string, readonly string[]>> = {
  libc6: ['libc.so.6', 'ld-linux-x86-64.so.2'], 'libgcc-s1': ['libgcc_s.so.1'], liblzma5: ['liblzma.so.5'], libuuid1: ['libuuid.so.1'], zlib1g: ['libz.so.1'], libzstd1: ['libzstd.so.1'], libyajl2: ['libyajl.so.2'],
  'libbz2-1.0': ['libbz2.so.1.0'], libxencall1: ['libxencall.so.1'], libxendevicemodel1: ['libxendevicemodel.so.1'], libxenevtchn1: ['libxenevtchn.so.1'], libxenforeignmemory1: ['libxenforeignmemory.so.1'],
  libxengnttab1: ['libxengnttab.so.1'], libxenhypfs1: ['libxenhypfs.so.1'], libxenstore4: ['libxenstore.so.4'], libxentoolcore1: ['libxentoolcore.so.1'], libxentoollog1: ['libxentoollog.so.1'],
  'libxenmisc4.17': ['libxenctrl.so.4.17', 'libxenguest.so.4.17', 'libxenlight.so.4.17', 'libxlutil.so.4.17'],
};

/** Starts what xl speaks with. DomUs run Debian's kernel and BusyBox. */
const START = `#!/bin/sh
for module in ${MODULES.join(' ')}; do insmod /lib/xen/$module.ko || exit 1; done
mount -t xenfs xenfs /proc/xen
mkdir -p /dev/pts && mount -t devpts devpts /dev/pts
xenstored --pid-file /run/xenstored.pid && xen-init-dom0 && xenconsoled --pid-file=/run/xenconsoled.pid
`;
const DOMU = `name = "domu"
kernel = "/boot/vmlinuz"
ramdisk = "/boot/initrd"
memory = 192
extra = "console=hvc0 quiet"
`;

export interface XenDom0 {
  /** The hypervisor, a multiboot 2 image. */
  readonly xen: string;
  /** The modules that it wants: kernel and initial RAM file system of its first domain. */
  readonly kernel: string;
  readonly initrd: string;
}

/** Xen from the user's cache, where it is put at the first call. `start-xen` in the guest starts its daemons. Throws UserError. */
export async function xenDom0(progress: (line: string) => void): Promise<XenDom0> {
  const cache = cacheFolder();
  const folder = join(cache, 'guests', `xen-${RECIPE}`);
  if (!isCached(folder, RECIPE, FILES)) {
    if (existsSync(folder)) progress('the cached Xen is outdated or damaged; it is made anew');
    try {
      putIntoCache(folder, RECIPE, HYPERVISOR, await build(new PrivateApt(join(cache, 'apt', 'amd64'), 'amd64'), progress));
    } catch (error) {
      if (!(error instanceof AptError)) throw error;
      throw new UserError(`Xen cannot be fetched (${error.message}); it takes Debian's packages ${HYPERVISOR} and xen-utils-4.17`);
    }
  }
  return { xen: join(folder, 'xen.gz'), kernel: join(folder, 'vmlinuz'), initrd: join(folder, 'initrd') };
}

async function build(apt: PrivateApt, progress: (line: string) => void): Promise<Record<(typeof FILES)[number], Uint8Array>> {
  await apt.update();
  const take = async (packageName: string, wanted: (path: string) => boolean): Promise<ReadonlyMap<string, Uint8Array>> => {
    progress(`Xen: downloading ${packageName}`);
    const { folder, paths, cleanUp } = await apt.unpackSome(packageName, wanted);
    try {
      return new Map(paths.map((path) => [path, new Uint8Array(readFileSync(join(folder, path)))]));
    } finally {
      cleanUp();
    }
  };
  const only = (files: ReadonlyMap<string, Uint8Array>, what: string): Uint8Array => {
    const [first] = files.values();
    if (first === undefined) throw new AptError(`a package holds no ${what}`);
    return first;
  };
  const xen = only(await take(HYPERVISOR, (path) => /^boot\/xen-.*\.gz$/.test(path)), 'hypervisor');
  const kernelFiles = await take(await apt.dependency('linux-image-amd64', 'linux-image-'), (path) => path.startsWith('boot/vmlinuz-') || (path.endsWith('.ko') && MODULES.includes(basename(path, '.ko'))));
  const kernel = only(new Map([...kernelFiles].filter(([path]) => path.startsWith('boot/'))), 'kernel');
  const busybox = only(await take('busybox-static', (path) => path === 'bin/busybox'), 'BusyBox');
  const tools = await take('xen-utils-4.17', (path) => PROGRAMS.some((name) => path === `${TOOLS}/${name}`));
  const libraries: CpioEntry[] = [];
  for (const [packageName, names] of Object.entries(SHARED)) {
    const found = await takeWhole(apt, packageName, names);
    for (const [name, data] of found) libraries.push({ path: `${name.startsWith('ld-') ? 'lib64' : LIBRARIES}/${name}`, mode: EXECUTABLE, data });
  }
  const text = (path: string, contents: string): CpioEntry => ({ path, mode: EXECUTABLE, data: new TextEncoder().encode(contents) });
  const plain = buildInitramfs(busybox);
  const dom0 = writeCpio([
    ...['lib', LIBRARIES, 'lib/xen', 'lib64', 'boot', 'etc/xen', 'run', 'var/run/xen', 'var/lib', 'var/lib/xen', 'var/lib/xenstored', 'var/log/xen', 'var/lock', ...parents(TOOLS)].map((path) => ({ path, mode: DIRECTORY })),
    ...libraries,
    ...[...kernelFiles].filter(([path]) => path.endsWith('.ko')).map(([path, data]) => ({ path: `lib/xen/${basename(path)}`, mode: 0o100644, data })),
    ...[...tools].map(([path, data]) => ({ path, mode: EXECUTABLE, data })),
    { path: 'boot/vmlinuz', mode: 0o100644, data: kernel },
    { path: 'boot/initrd', mode: 0o100644, data: plain },
    text('bin/start-xen', START.replace('\n', `\nexport PATH=$PATH:/${TOOLS}\n`)),
    text('etc/xen/xl.conf', ''),
    text('etc/xen/domu', DOMU),
  ]);
  const initrd = new Uint8Array(plain.length + dom0.length);
  initrd.set(plain);
  initrd.set(dom0, plain.length);
  return { 'xen.gz': xen, vmlinuz: kernel, initrd };
}

/** Shared libraries by the names that programs know them by, which are links in their packages. */
async function takeWhole(apt: PrivateApt, packageName: string, names: readonly string[]): Promise<ReadonlyMap<string, Uint8Array>> {
  const { folder, paths, cleanUp } = await apt.unpackSome(packageName, (path) => path.includes(`${LIBRARIES}/`) && !path.endsWith('/') && !path.includes('/gconv/'));
  try {
    return new Map(names.map((name) => {
      const path = paths.find((candidate) => basename(candidate) === name);
      if (path === undefined) throw new AptError(`package ${packageName} holds no ${name}`);
      return [name, new Uint8Array(readFileSync(join(folder, path)))];
    }));
  } finally {
    cleanUp();
  }
}

function parents(path: string): readonly string[] {
  const parts = path.split('/');
  return parts.map((_, i) => parts.slice(0, i + 1).join('/'));
}
