import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Whether the host's own tools for ext4 are there (Debian: e2fsprogs, which only root's path may show). */
const env = { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin:/sbin`, LC_ALL: 'C' };
export const hasExt4Tools = spawnSync('mkfs.ext4', ['-V'], { env }).status === 0;

export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** What e2fsck complains of in an image; empty when the file system is clean. Changes nothing. */
export function checkExt4(image: string): string {
  const { status, stdout, stderr } = spawnSync('e2fsck', ['-f', '-n', image], { env, encoding: 'utf8' });
  return status === 0 ? '' : `${stdout}${stderr}`;
}

/** An image with an ext4 file system that the host's tools make, check and read. */
export class Ext4Image {
  readonly path: string;
  readonly #folder: string;

  constructor(mebibytes: number, files: Readonly<Record<string, Uint8Array>>) {
    this.#folder = mkdtempSync(join(tmpdir(), 'polyvisor-disk-'));
    this.path = join(this.#folder, 'disk.img');
    const contents = join(this.#folder, 'contents');
    mkdirSync(contents);
    for (const [name, bytes] of Object.entries(files)) writeFileSync(join(contents, name), bytes);
    execFileSync('mkfs.ext4', ['-q', '-F', '-d', contents, this.path, `${mebibytes}M`], { env });
  }

  check(): string {
    return checkExt4(this.path);
  }
  read(name: string): Uint8Array {
    return execFileSync('debugfs', ['-R', `cat /${name}`, this.path], { env, maxBuffer: 1 << 28, stdio: ['ignore', 'pipe', 'ignore'] });
  }
  remove(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
