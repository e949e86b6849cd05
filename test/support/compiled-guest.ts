import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { VirtualMachine } from '../../src/index.ts';
import type { VirtualMachineOptions } from '../../src/index.ts';
import { catalogue } from '../../src/host-node/guests/catalogue.ts';
import { EXECUTABLE, writeCpio } from '../../src/host-node/guests/cpio.ts';
import { ready } from './guest-shell.ts';

/** Without a C library: those ask CPUID which instructions they may use, which some KVMs answer with the host's. */
export const FREESTANDING = ['-nostdlib', '-ffreestanding', '-fno-stack-protector'] as const;

/** A program in C, by its source and the compiler's flags. */
export interface GuestProgram {
  readonly source: URL;
  readonly flags?: readonly string[];
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

/** Boots the catalogue's Linux as far as its shell, with compiled programs in its root folder, by their names. */
export async function bootWith(programs: Readonly<Record<string, GuestProgram>>, options: VirtualMachineOptions = {}): Promise<VirtualMachine> {
  const folder = mkdtempSync(join(tmpdir(), 'polyvisor-compiled-'));
  try {
    const entries = Object.entries(programs).map(([path, { source, flags = [] }]) => {
      const program = join(folder, path);
      execFileSync('cc', ['-O2', '-static', ...flags, '-o', program, fileURLToPath(source)]);
      return { path, mode: EXECUTABLE, data: new Uint8Array(readFileSync(program)) };
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
