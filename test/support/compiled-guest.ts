import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { VirtualMachine } from '../../src/index.ts';
import type { VirtualMachineOptions } from '../../src/index.ts';
import { catalogue } from '../../src/host-node/guests/catalogue.ts';
import { EXECUTABLE, foldersOf, writeCpio } from '../../src/host-node/guests/cpio.ts';
import { ready } from './guest-shell.ts';

/** Without a C library: those ask CPUID which instructions they may use, which some KVMs answer with the host's. */
export const FREESTANDING = ['-nostdlib', '-ffreestanding', '-fno-stack-protector'] as const;

/** A program in C, by its source and the compiler's flags. */
export interface GuestProgram {
  readonly source: URL;
  readonly flags?: readonly string[];
  /** Linked dynamically; the host's dynamic linker and libraries go along. */
  readonly dynamic?: boolean;
}

/** A kernel in 32-bit assembly, which begins with its multiboot header. */
export function assembledKernel(source: URL, flags: readonly string[] = []): Uint8Array {
  const folder = mkdtempSync(join(tmpdir(), 'polyvisor-assembled-'));
  try {
    const [object, image] = ['object', 'image'].map((name) => join(folder, name));
    execFileSync('cc', ['-m32', '-c', ...flags, '-o', object!, fileURLToPath(source)]);
    execFileSync('ld', ['-m', 'elf_i386', '-Ttext', '0x100000', '--oformat', 'binary', '-o', image!, object!]);
    return new Uint8Array(readFileSync(image!));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Paths of the dynamic linker and of the libraries that it loads for a program. */
function librariesOf(program: string): string[] {
  return execFileSync('ldd', [program], { encoding: 'utf8' }).split('\n').flatMap((line) => /(\/\S+) \(0x/.exec(line)?.[1] ?? []);
}

/** Compiles a program into a file. */
function compile({ source, flags = [], dynamic = false }: GuestProgram, output: string): void {
  execFileSync('cc', ['-O2', ...(dynamic ? [] : ['-static']), '-o', output, fileURLToPath(source), ...flags]);
}

/** What a program prints on the host. */
export function printedByHost(program: GuestProgram): string {
  const folder = mkdtempSync(join(tmpdir(), 'polyvisor-printed-'));
  try {
    const output = join(folder, 'program');
    compile(program, output);
    return execFileSync(output, { encoding: 'utf8' });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Boots the catalogue's Linux as far as its shell, with compiled programs in its root folder, by their names. */
export async function bootWith(programs: Readonly<Record<string, GuestProgram>>, options: VirtualMachineOptions = {}): Promise<VirtualMachine> {
  const folder = mkdtempSync(join(tmpdir(), 'polyvisor-compiled-'));
  try {
    const file = (path: string, from: string) => ({ path, mode: EXECUTABLE, data: new Uint8Array(readFileSync(from)) });
    const entries = Object.entries(programs).flatMap(([path, program]) => {
      const output = join(folder, path);
      compile(program, output);
      const libraries = program.dynamic === true ? librariesOf(output).map((library) => file(library.slice(1), library)) : [];
      return [file(path, output), ...foldersOf(libraries.map((library) => library.path)), ...libraries];
    });
    const files = await catalogue.find(({ name }) => name === 'linux')!.fetch(() => {});
    const vm = await VirtualMachine.create({
      kernel: files.kernel, initrd: new Uint8Array(Buffer.concat([readFileSync(files.initrd!), writeCpio(entries)])), append: `${files.append} quiet`, machine: 'microvm', ...options,
    });
    void vm.start();
    await ready(vm);
    return vm;
  } finally {
    rmSync(folder, { recursive: true });
  }
}
