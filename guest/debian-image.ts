import { execFile, spawn } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { UserError } from '../src/base/errors.ts';
import { cacheFolder } from '../src/host-node/cache-folder.ts';

// A Debian 12 system on a disk: stock packages, installed by mmdebstrap through the host's apt, on an ext4 file system.

/** Raised when what is built from the same packages changes. */
const RECIPE = 1;
const BYTES = '2G';
const LABEL = 'debian-root';
const PACKAGES = [
  'systemd-sysv', 'udev', 'dbus', 'linux-image-amd64', 'initramfs-tools', 'kmod', 'procps', 'iproute2', 'iputils-ping', 'ethtool', 'e2fsprogs', 'fdisk',
  'python3', 'gcc', 'libc6-dev', 'fio', 'stress-ng', 'iperf3', 'isc-dhcp-client', 'openssh-client',
];

/** What boots the system. The image is not to be written to: take a copy. */
export interface DebianSystem {
  /** A raw image of the root file system, sparse, without partitions. */
  readonly image: string;
  /** Debian's kernel and the initial RAM file system that its package made. */
  readonly kernel: string;
  readonly initrd: string;
  /** Kernel command line: root file system by its label, whatever disk it is on; serial console. */
  readonly append: string;
}

export const DEBIAN_USER = 'root';
export const DEBIAN_PASSWORD = 'polyvisor';

/** The system from the user's cache, where it is put at the first call (some minutes, 2 GB). Throws UserError. */
export async function debianSystem(progress: (line: string) => void): Promise<DebianSystem> {
  const folder = join(cacheFolder(), 'guests', `debian-${RECIPE}`);
  if (!existsSync(folder)) await build(folder, progress);
  return { image: join(folder, 'disk.img'), kernel: join(folder, 'vmlinuz'), initrd: join(folder, 'initrd.img'), append: `root=LABEL=${LABEL} ro console=ttyS0` };
}

/** A disk to write to, with the same contents; `remove` deletes it. */
export async function copyOfDisk(image: string): Promise<{ readonly path: string; remove(): void }> {
  const folder = mkdtempSync(join(tmpdir(), 'polyvisor-debian-'));
  const path = join(folder, 'disk.img');
  await promisify(execFile)('cp', ['--sparse=always', '--reflink=auto', image, path]);
  return { path, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

/** Makes the folder aside and renames it, so that nobody sees half of it. */
async function build(folder: string, progress: (line: string) => void): Promise<void> {
  mkdirSync(dirname(folder), { recursive: true });
  const unfinished = `${folder}.${process.pid}`;
  rmSync(unfinished, { recursive: true, force: true });
  mkdirSync(unfinished);
  try {
    const image = join(unfinished, 'disk.img');
    progress(`installing Debian 12 with mmdebstrap into ${folder}`);
    await run('mmdebstrap', [
      '--variant=minbase', `--include=${PACKAGES.join(',')}`,
      // What nobody reads in a test.
      ...['doc', 'man', 'locale', 'info'].map((part) => `--dpkgopt=path-exclude=/usr/share/${part}/*`),
      ...settingUp().map((command) => `--customize-hook=${command}`),
      `--customize-hook=copy-out /boot ${unfinished}`,
      // The system's folder without what is mounted inside it.
      `--customize-hook=unshare --mount sh -c 'mount --bind "$0" /mnt && mke2fs -q -F -t ext4 -L ${LABEL} -d /mnt ${image} ${BYTES}' "$1"`,
      '--format=null', 'bookworm', '-', ...sources(),
    ], progress);
    const boot = join(unfinished, 'boot');
    for (const name of ['vmlinuz', 'initrd.img']) {
      const found = readdirSync(boot).find((file) => file.startsWith(`${name}-`));
      if (found === undefined) throw new UserError(`Debian's kernel package has made no ${name}`);
      cpSync(join(boot, found), join(unfinished, name));
    }
    rmSync(boot, { recursive: true });
    renameSync(unfinished, folder);
  } catch (error) {
    rmSync(unfinished, { recursive: true, force: true });
    // Another process was faster; its system is as good.
    if (!existsSync(folder)) throw error;
  }
}

/** The host's own sources, as mmdebstrap would not take them for another suite's. */
function sources(): readonly string[] {
  const file = '/etc/apt/sources.list.d/debian.sources';
  return existsSync(file) ? [file] : [];
}

/** Commands of the hooks: `$1` is the system's folder. */
function settingUp(): readonly string[] {
  return [
    `chroot "$1" sh -c 'echo ${DEBIAN_USER}:${DEBIAN_PASSWORD} | chpasswd'`,
    'echo debian > "$1/etc/hostname"',
    'printf "127.0.0.1 localhost debian\\n" > "$1/etc/hosts"',
    `echo 'LABEL=${LABEL} / ext4 errors=remount-ro 0 1' > "$1/etc/fstab"`,
    'rm -rf "$1"/var/cache/apt/archives/*.deb "$1"/var/cache/apt/*.bin "$1"/var/lib/apt/lists/*',
    ': > "$1/etc/machine-id"; rm -f "$1/var/lib/dbus/machine-id"',
    // On a busy host a guest may be a hundred times slower than a computer.
    'mkdir "$1/etc/systemd/system.conf.d"; printf "[Manager]\\nDefaultTimeoutStartSec=15min\\nDefaultDeviceTimeoutSec=15min\\n" > "$1/etc/systemd/system.conf.d/patience.conf"',
  ];
}

function run(program: string, args: readonly string[], progress: (line: string) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, LC_ALL: 'C', PATH: `${process.env['PATH']}:/usr/sbin:/sbin` } });
    let last = '';
    let partial = '';
    child.stderr.on('data', (chunk: Buffer) => {
      const lines = `${partial}${chunk.toString()}`.split(/[\r\n]+/);
      partial = lines.pop()!;
      for (const line of lines.filter((text) => /^[IWE]: /.test(text))) {
        last = line;
        progress(line.slice(3));
      }
    });
    child.on('error', () => reject(new UserError(`${program} is not installed; apt-get install ${program}`)));
    child.on('close', (status) => (status === 0 ? resolve() : reject(new UserError(`${program} failed (${last.slice(3) || `status ${status}`})`))));
  });
}
