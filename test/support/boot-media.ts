import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
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

  /** A CD-ROM with GRUB, its configuration and other files (the host's by their place on the disc). */
  grubCd(configuration: string, files: Readonly<Record<string, string>> = {}): string {
    const tree = join(this.folder, 'cd');
    const image = join(this.folder, 'grub.iso');
    mkdirSync(join(tree, 'boot/grub'), { recursive: true });
    writeFileSync(join(tree, 'boot/grub/grub.cfg'), configuration);
    const grafts = Object.entries(files).map(([place, file]) => `${place}=${file}`);
    this.run('grub-mkrescue', ['-d', '/usr/lib/grub/i386-pc', '-o', image, tree, ...grafts]);
    return image;
  }
}
