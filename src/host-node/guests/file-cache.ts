import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

interface Manifest {
  readonly recipe: number;
  /** Where the files come from. */
  readonly package: string;
  readonly files: Readonly<Record<string, { readonly bytes: number; readonly sha256: string }>>;
}

function digest(bytes: Uint8Array): { bytes: number; sha256: string } {
  return { bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
}

/** Whether the files are in a cache folder, of this recipe and undamaged. */
export function isCached(folder: string, recipe: number, names: readonly string[]): boolean {
  try {
    const manifest = JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8')) as Manifest;
    return manifest.recipe === recipe && names.every((name) => {
      const found = digest(readFileSync(join(folder, name)));
      const wanted = manifest.files[name];
      return wanted !== undefined && found.bytes === wanted.bytes && found.sha256 === wanted.sha256;
    });
  } catch {
    return false;
  }
}

/** Puts files into a cache folder, made aside and renamed, so that another process never sees half of them. */
export function putIntoCache(folder: string, recipe: number, packageName: string, files: Readonly<Record<string, Uint8Array>>): void {
  const unfinished = `${folder}.${process.pid}`;
  mkdirSync(unfinished, { recursive: true });
  for (const [name, bytes] of Object.entries(files)) writeFileSync(join(unfinished, name), bytes);
  const manifest: Manifest = { recipe, package: packageName, files: Object.fromEntries(Object.entries(files).map(([name, bytes]) => [name, digest(bytes)])) };
  writeFileSync(join(unfinished, 'manifest.json'), JSON.stringify(manifest, null, 2));
  // Another process may have been faster; its files are as good, and somebody may be reading them.
  const isThere = (): boolean => isCached(folder, recipe, Object.keys(files));
  try {
    if (isThere()) return;
    rmSync(folder, { recursive: true, force: true });
    renameSync(unfinished, folder);
  } catch (error) {
    if (!isThere()) throw error;
  } finally {
    rmSync(unfinished, { recursive: true, force: true });
  }
}
