import { spawnSync } from 'node:child_process';
import { commandOf, rootFolder } from './build.ts';
import type { GuestProgram, Width } from './programs.ts';

/** A program's run on the host processor itself. */
export interface NativeRun {
  readonly seconds: number;
  readonly checksum: string;
}

/** FNV-1a of 64 bits, as the guest's init computes it. */
export function fnv1a(bytes: Uint8Array): string {
  let hash = 0xcbf29ce484222325n;
  for (const byte of bytes) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  return hash.toString(16).padStart(16, '0');
}

/** Runs a program on the host; undefined where the host cannot: another processor, no 32-bit programs, no chroot. */
export function runNative(program: GuestProgram, width: Width, rounds = 1): NativeRun | undefined {
  if (process.platform !== 'linux' || process.arch !== 'x64') return undefined;
  const root = rootFolder(width);
  const [file, ...args] = commandOf(program, width, rounds);
  // Packaged programs find their loader and libraries in the root folder only.
  const inRoot = program.kind === 'packaged';
  if (inRoot && process.getuid?.() !== 0) return undefined;
  const start = performance.now();
  const done = spawnSync(inRoot ? 'chroot' : `${root}${file}`, inRoot ? [root, file!, ...args] : args, {
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C', HOME: '/', PYTHONHASHSEED: '0' }, maxBuffer: 64 << 20, stdio: ['ignore', 'pipe', 'ignore'],
  });
  const seconds = (performance.now() - start) / 1000;
  return done.error === undefined && done.status === 0 ? { seconds, checksum: fnv1a(done.stdout) } : undefined;
}
