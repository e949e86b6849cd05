import { execFile } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, realpathSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { UserError } from '../../src/base/errors.ts';
import { AptError, PrivateApt } from '../../src/host-node/guests/apt.ts';
import { cacheFolder } from '../../src/host-node/cache-folder.ts';
import { rootFolder } from './build.ts';
import type { PackagedProgram, Width } from './programs.ts';

/** Where package files of a width are unpacked, merged into one tree. */
function treeFolder(width: Width): string {
  return join(cacheFolder(), 'bench', `packages-${width}`);
}

/** Downloads and unpacks the packages that are not in the tree yet. */
async function unpackAll(names: readonly string[], width: Width, progress: (line: string) => void): Promise<void> {
  const tree = treeFolder(width);
  const marks = join(tree, '.unpacked');
  mkdirSync(marks, { recursive: true });
  const missing = names.filter((name) => !existsSync(join(marks, name)));
  if (missing.length === 0) return;
  const architecture = width === 64 ? 'amd64' : 'i386';
  try {
    const apt = new PrivateApt(join(cacheFolder(), 'apt', architecture), architecture);
    await apt.update();
    for (const name of missing) {
      progress(`downloading ${name} (${architecture})`);
      const { folder, cleanUp } = await apt.unpack(name, './*');
      for (const entry of readdirSync(folder)) if (!entry.endsWith('.deb')) cpSync(join(folder, entry), join(tree, entry), { recursive: true, verbatimSymlinks: true, force: true });
      cleanUp();
      writeFileSync(join(marks, name), '');
    }
  } catch (error) {
    if (!(error instanceof AptError)) throw error;
    throw new UserError(`packages of the benchmark cannot be fetched (${error.message}); --only names programs to run without`);
  }
}

interface Needs {
  readonly interpreter: string | undefined;
  readonly libraries: readonly string[];
}

/** Dynamic loader and shared libraries that an ELF file names. */
async function needsOf(file: string): Promise<Needs> {
  const { stdout } = await promisify(execFile)('readelf', ['-W', '-l', '-d', file], { env: { ...process.env, LC_ALL: 'C' } }).catch(() => {
    throw new UserError(`readelf does not read ${file}; the benchmark wants the package binutils`);
  });
  return { interpreter: /program interpreter: ([^\]]+)\]/.exec(stdout)?.[1], libraries: [...stdout.matchAll(/\(NEEDED\).*\[([^\]]+)\]/g)].map((match) => match[1]!) };
}

/** Copies programs, their files and every shared library they need into the root folder; returns the paths there. */
export async function installPackaged(programs: readonly PackagedProgram[], width: Width, progress: (line: string) => void): Promise<readonly string[]> {
  await unpackAll([...new Set(programs.flatMap(({ packages }) => ['libc6', ...packages]))], width, progress);
  const tree = treeFolder(width);
  const root = rootFolder(width);
  const triplet = width === 64 ? 'x86_64-linux-gnu' : 'i386-linux-gnu';
  const folders = ['lib', 'usr/lib', 'lib64'].flatMap((folder) => [join(tree, folder, triplet), join(tree, folder)]);
  const copied = new Set<string>();
  const copy = (from: string, to: string): void => {
    copied.add(to);
    const target = join(root, to);
    if (existsSync(target) && statSync(target).mtimeMs >= statSync(from).mtimeMs && !statSync(from).isDirectory()) return;
    mkdirSync(dirname(target), { recursive: true });
    cpSync(realpathSync(from), target, { recursive: true, dereference: true });
  };
  const libraryPath = (name: string): string => {
    const found = folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
    if (found === undefined) throw new UserError(`shared library ${name} is in none of the benchmark's packages (${width}-bit)`);
    return found;
  };
  const pending: string[] = [];
  for (const program of programs) {
    const executable = program.command(width)[0]!.slice(1);
    copy(join(tree, executable), executable);
    pending.push(join(tree, executable));
    for (const file of program.files) copy(join(tree, file), file);
  }
  for (let file = pending.pop(); file !== undefined; file = pending.pop()) {
    const { interpreter, libraries } = await needsOf(file);
    if (interpreter !== undefined) copy(libraryPath(interpreter.split('/').at(-1)!), interpreter.slice(1));
    for (const name of libraries) {
      if (copied.has(`lib/${name}`)) continue;
      copy(libraryPath(name), `lib/${name}`);
      pending.push(libraryPath(name));
    }
  }
  return [...copied];
}

/** Data that the programs read, from the sources and made here. */
export function installData(sources: string, width: Width): readonly string[] {
  const folder = join(rootFolder(width), 'data');
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const name of ['work.c', 'work.py', 'work.sql']) writeFileSync(join(folder, name), readFileSync(join(sources, name)));
  writeFileSync(join(folder, 'text'), generatedText(3_000_000));
  return ['data'];
}

/** Text that compresses about as prose does: words drawn by a skewed choice, in lines. */
export function generatedText(bytes: number): string {
  let state = 1;
  const random = (below: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const words = Array.from({ length: 4000 }, () => Array.from({ length: 2 + random(9) }, () => String.fromCharCode(97 + Math.min(random(26), random(26)))).join(''));
  const parts: string[] = [];
  for (let length = 0; length < bytes; length += parts.at(-1)!.length) parts.push(`${words[Math.min(random(4000), random(4000), random(4000))]!}${random(12) === 0 ? '.\n' : ' '}`);
  return parts.join('').slice(0, bytes);
}
