import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Whether a program can be run; tests that need one that is missing say so by being skipped. */
export function hasProgram(name: string): boolean {
  return spawnSync('sh', ['-c', `command -v ${name}`]).status === 0;
}

/** Images to boot from, made by the distribution's own tools in a folder that goes away with `remove`. */
export class BootMedia {
  readonly folder = mkdtempSync(join(tmpdir(), 'polyvisor-media-'));

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  run(program: string, args: readonly string[]): void {
    const { status, stderr, error } = spawnSync(program, args, { encoding: 'utf8' });
    if (status !== 0) throw new Error(`${program}: ${error?.message ?? stderr}`);
  }

  /** A floppy disk of 1.44 MB with SYSLINUX and its configuration. */
  syslinuxFloppy(configuration: string): string {
    const image = join(this.folder, 'floppy.img');
    writeFileSync(image, new Uint8Array(1474560));
    this.run('mformat', ['-i', image, '-f', '1440', '::']);
    this.run('syslinux', ['--install', image]);
    this.#copy(image, configuration);
    return image;
  }

  /** A hard disk of 32 MiB: a partition at 1 MiB with FAT and SYSLINUX, and a boot sector that starts it. */
  syslinuxDisk(configuration: string): string {
    const first = 2048;
    const sectors = 63488;
    const disk = new Uint8Array((first + sectors) * 512);
    disk.set(readFileSync('/usr/lib/syslinux/mbr/mbr.bin'));
    // One active entry of type 0Eh (FAT by linear address), and the signature.
    const entry = new DataView(disk.buffer, 446, 16);
    entry.setUint8(0, 0x80);
    entry.setUint8(4, 0x0e);
    entry.setUint32(8, first, true);
    entry.setUint32(12, sectors, true);
    disk.set([0x55, 0xaa], 510);
    const image = join(this.folder, 'disk.img');
    writeFileSync(image, disk);
    const partition = `${image}@@${first * 512}`;
    this.run('mformat', ['-i', partition, '-T', String(sectors), '-h', '16', '-s', '63', '-H', String(first), '::']);
    this.run('syslinux', ['-t', String(first * 512), '--install', image]);
    this.#copy(partition, configuration);
    return image;
  }

  #copy(image: string, configuration: string): void {
    const file = join(this.folder, 'syslinux.cfg');
    writeFileSync(file, configuration);
    this.run('mcopy', ['-i', image, file, '::/']);
  }

  /**
   * A CD-ROM with GRUB, its configuration and other files (the host's by their place on the disc). `platform`: for the
   * BIOS, or for UEFI.
   */
  grubCd(configuration: string, files: Readonly<Record<string, string>> = {}, platform: 'i386-pc' | 'x86_64-efi' = 'i386-pc'): string {
    const tree = join(this.folder, 'cd');
    const image = join(this.folder, 'grub.iso');
    mkdirSync(join(tree, 'boot/grub'), { recursive: true });
    writeFileSync(join(tree, 'boot/grub/grub.cfg'), configuration);
    const grafts = Object.entries(files).map(([place, file]) => `${place}=${file}`);
    this.run('grub-mkrescue', ['-d', `/usr/lib/grub/${platform}`, '-o', image, tree, ...grafts]);
    return image;
  }
}
