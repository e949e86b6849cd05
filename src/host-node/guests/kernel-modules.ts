import { basename } from 'node:path';
import { foldersOf } from './cpio.ts';
import type { CpioEntry } from './cpio.ts';

/** Drivers of what a machine may have, and what they need; kernels that have one built in come without its module. */
const WANTED = [
  'virtio', 'virtio_ring', 'virtio_net', 'net_failover', 'failover', 'e1000', '8139cp', '8139too', 'mii', 'virtio_balloon', 'virtio_input', 'psmouse',
  '9p', '9pnet', '9pnet_virtio', 'netfs', 'fscache', 'vsock', 'vmw_vsock_virtio_transport', 'vmw_vsock_virtio_transport_common',
  'virtio_pci', 'virtio_pci_modern_dev', 'virtio_pci_legacy_dev', 'virtio_mmio',
  'virtio_blk', 'virtio_scsi', 'virtio_console', 'virtio-rng', 'rng-core', 'button', 'evdev',
  'nvme', 'nvme-core', 't10-pi', 'crc-t10dif', 'crct10dif_common', 'crct10dif_generic', 'crc64', 'crc64-rocksoft', 'crc64_rocksoft_generic',
  'ahci', 'libahci', 'libata', 'ata_piix', 'ata_generic', 'scsi_mod', 'scsi_common', 'sd_mod', 'sr_mod', 'cdrom', 'floppy',
  'ext4', 'jbd2', 'mbcache', 'crc16', 'crc32c_generic', 'libcrc32c', 'isofs',
] as const;

const wanted: ReadonlySet<string> = new Set(WANTED);

export function isWantedModule(path: string): boolean {
  return path.endsWith('.ko') && wanted.has(basename(path, '.ko'));
}

/** A module's file as its package has it: `lib/modules/VERSION/kernel/...`. */
export interface ModuleFile {
  readonly path: string;
  readonly data: Uint8Array;
}

/**
 * Entries of an initial RAM file system that let modprobe find the modules, by name and by what a device says it is.
 * The lists are those that depmod would make.
 */
export function moduleEntries(files: readonly ModuleFile[]): readonly CpioEntry[] {
  if (files.length === 0) return [];
  const root = files[0]!.path.split('/').slice(0, 3).join('/');
  const inRoot = (path: string): string => path.slice(root.length + 1);
  const known = new Map(files.map((file) => [moduleName(file.path), { ...file, ...moduleInfo(file) }]));
  const needs = (name: string, found: Set<string> = new Set()): Set<string> => {
    for (const other of known.get(name)?.depends ?? []) {
      if (!known.has(other)) throw new Error(`module ${name} needs ${other}, which is not among those for guests`);
      needs(other, found);
      found.add(other);
    }
    return found;
  };
  const dependencies = [...known].map(([name, { path }]) => `${inRoot(path)}:${[...needs(name)].reverse().map((other) => ` ${inRoot(known.get(other)!.path)}`).join('')}\n`);
  const aliases = [...known].flatMap(([name, info]) => info.aliases.map((alias) => `alias ${alias} ${name}\n`));
  const text = (lines: readonly string[]): Uint8Array => new TextEncoder().encode(lines.join(''));
  return [
    ...foldersOf(files.map((file) => file.path)),
    ...files.map(({ path, data }) => ({ path, mode: 0o100644, data })),
    { path: `${root}/modules.dep`, mode: 0o100644, data: text(dependencies) },
    { path: `${root}/modules.alias`, mode: 0o100644, data: text(aliases) },
  ];
}

/** Modules are called with underscores, whatever their files are called. */
function moduleName(path: string): string {
  return basename(path, '.ko').replaceAll('-', '_');
}

/** Section .modinfo: texts that end with a zero character. */
function moduleInfo({ path, data }: ModuleFile): { readonly depends: readonly string[]; readonly aliases: readonly string[] } {
  const text = Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('latin1');
  const values = (key: string): string[] => [...text.matchAll(new RegExp(`\\0${key}=([^\\0]*)(?=\\0)`, 'g'))].map((match) => match[1]!);
  const [depends] = values('depends');
  if (depends === undefined) throw new Error(`${path} does not say what it depends on`);
  return { depends: depends.split(',').filter((name) => name !== '').map(moduleName), aliases: values('alias') };
}
