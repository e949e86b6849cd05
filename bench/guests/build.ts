import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { UserError } from '../../src/base/errors.ts';
import { CHARACTER_DEVICE, DIRECTORY, EXECUTABLE, writeCpio } from '../../src/host-node/guests/cpio.ts';
import { cacheFolder } from '../../src/host-node/cache-folder.ts';
import type { CpioEntry } from '../../src/host-node/guests/cpio.ts';
import type { GuestProgram, Width } from './programs.ts';

/** The repository, from dist/bench/guests when built, from bench/guests otherwise. */
export const REPOSITORY = [new URL('../../../', import.meta.url), new URL('../../', import.meta.url)].map((url) => fileURLToPath(url)).find((path) => existsSync(join(path, 'bench/guest/init.c')))!;

export const SOURCES = join(REPOSITORY, 'bench/guest');

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

/** The initial RAM file system: init, its list, and `files` (or folders) of the root folder. */
export function buildInitramfs(width: Width, list: string, files: readonly string[]): Uint8Array {
  const root = rootFolder(width);
  const entries = new Map<string, CpioEntry>();
  const add = (entry: CpioEntry): void => void (entries.has(entry.path) || entries.set(entry.path, entry));
  const folders = (path: string): void => {
    const parts = path.split('/');
    for (let count = 1; count <= parts.length; count++) add({ path: parts.slice(0, count).join('/'), mode: DIRECTORY });
  };
  const addFile = (path: string): void => {
    if (path.includes('/')) folders(dirname(path));
    if (!statSync(join(root, path)).isDirectory()) return add({ path, mode: EXECUTABLE, data: new Uint8Array(readFileSync(join(root, path))) });
    folders(path);
    for (const name of readdirSync(join(root, path)).sort()) addFile(`${path}/${name}`);
  };
  for (const folder of ['proc', 'sys', 'dev', 'tmp']) folders(folder);
  for (const [name, device] of [['console', [5, 1]], ['null', [1, 3]], ['zero', [1, 5]]] as const) add({ path: `dev/${name}`, mode: CHARACTER_DEVICE, device });
  files.forEach(addFile);
  add({ path: 'init', mode: EXECUTABLE, data: new Uint8Array(readFileSync(join(root, 'bin/init'))) });
  add({ path: 'list', mode: EXECUTABLE, data: new TextEncoder().encode(list) });
  return writeCpio([...entries.values()]);
}

/** Program and arguments as the guest's init runs them; a compiled one does its work so often (`rounds`) in one process. */
export function commandOf(program: GuestProgram, width: Width, rounds = 1): readonly string[] {
  return program.kind === 'compiled' ? [`/bin/${program.name}`, ...(rounds === 1 ? [] : [String(rounds)])] : program.command(width);
}
