import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, readlinkSync, renameSync, lstatSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { UserError } from '../../src/base/errors.ts';
import { cacheFolder } from '../../src/host-node/guests/catalogue.ts';
import { CHARACTER_DEVICE, DIRECTORY, EXECUTABLE, SYMLINK, writeCpio } from '../../src/host-node/guests/cpio.ts';
import type { CpioEntry } from '../../src/host-node/guests/cpio.ts';
import type { GuestProgram, Width } from './programs.ts';

/** The repository, from dist/bench/guests when built, from bench/guests otherwise. */
export const REPOSITORY = [new URL('../../../', import.meta.url), new URL('../../', import.meta.url)].map((url) => fileURLToPath(url)).find((path) => existsSync(join(path, 'bench/guest/init.c')))!;

const SOURCES = join(REPOSITORY, 'bench/guest');

/** Scalar floating point in SSE2 for both widths, and never fused: then results are the same everywhere. */
const FLAGS = ['-std=gnu11', '-O2', '-static', '-msse2', '-mfpmath=sse', '-ffp-contract=off', '-pthread'];

/** What the guest's root folder is made in, and where native runs find it. */
export function rootFolder(width: Width): string {
  return join(cacheFolder(), 'bench', String(width));
}

/** Compiles a program of bench/guest into the root folder, unless it is there and newer than its source. */
export async function compile(name: string, width: Width): Promise<void> {
  const folder = join(rootFolder(width), 'bin');
  mkdirSync(folder, { recursive: true });
  const source = join(SOURCES, `${name}.c`);
  const output = join(folder, name);
  const sourceTime = Math.max(statSync(source).mtimeMs, statSync(join(SOURCES, 'bench.h')).mtimeMs);
  if (existsSync(output) && statSync(output).mtimeMs > sourceTime) return;
  const unfinished = `${output}.${process.pid}`;
  try {
    await promisify(execFile)('gcc', [...FLAGS, `-m${width}`, '-o', unfinished, source, '-lm']);
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'gcc is not installed' : ((error as { stderr?: string }).stderr ?? String(error)).trim().split('\n').at(-1);
    throw new UserError(`${name}.c does not compile for ${width} bits (${reason}); the benchmark wants the packages gcc, libc6-dev and, for 32 bits, gcc-multilib`);
  }
  renameSync(unfinished, output);
}

/** The initial RAM file system: init, its list, and `files` of the root folder. */
export function buildInitramfs(width: Width, list: string, files: readonly string[]): Uint8Array {
  const root = rootFolder(width);
  const entries: CpioEntry[] = [];
  const seen = new Set<string>();
  const add = (path: string): void => {
    if (path === '.' || path === '' || seen.has(path)) return;
    add(path.split('/').slice(0, -1).join('/'));
    seen.add(path);
    const stat = lstatSync(join(root, path), { throwIfNoEntry: false });
    if (stat === undefined || stat.isDirectory()) {
      entries.push({ path, mode: DIRECTORY });
      if (stat !== undefined) for (const name of readdirSync(join(root, path)).sort()) if (files.includes(path) || [...files].some((file) => path.startsWith(`${file}/`))) add(join(path, name));
    } else if (stat.isSymbolicLink()) entries.push({ path, mode: SYMLINK, data: new TextEncoder().encode(readlinkSync(join(root, path))) });
    else entries.push({ path, mode: EXECUTABLE, data: new Uint8Array(readFileSync(join(root, path))) });
  };
  for (const folder of ['proc', 'sys', 'dev', 'tmp']) entries.push({ path: folder, mode: DIRECTORY });
  for (const [name, device] of [['console', [5, 1]], ['null', [1, 3]], ['zero', [1, 5]]] as const) entries.push({ path: `dev/${name}`, mode: CHARACTER_DEVICE, device });
  for (const file of files) add(file);
  entries.push({ path: 'init', mode: EXECUTABLE, data: new Uint8Array(readFileSync(join(root, 'bin/init'))) });
  entries.push({ path: 'list', mode: EXECUTABLE, data: new TextEncoder().encode(list) });
  return writeCpio(entries);
}

/** Program and arguments as the guest's init runs them. */
export function commandOf(program: GuestProgram, width: Width): readonly string[] {
  return program.kind === 'compiled' ? [`/bin/${program.name}`] : program.command(width);
}
