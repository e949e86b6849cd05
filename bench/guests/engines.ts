import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { RAM_BASE } from '../../src/memory/layout.ts';
import { REPOSITORY } from './build.ts';
import type { Width } from './programs.ts';

/** `translator-first`: as if nothing had been translated before, by this command or another one; the others may have what earlier runs kept. */
export const ENGINES = ['translator', 'translator-first', 'hybrid', 'interpreter', 'qemu', 'v86', 'chromium'] as const;
export type Engine = (typeof ENGINES)[number];

export const GUEST_MEMORY_MIB = 512;

/** What one run of a guest needs. */
export interface RunFiles {
  readonly kernel: string;
  readonly initrd: string;
  readonly append: string;
  /** Where the engine may leave its own figures. */
  readonly report: string;
}

export interface EngineCommand {
  readonly program: string;
  readonly args: readonly string[];
  /** Offset of guest RAM in its mapping of the process; undefined: another process has it. */
  readonly ramOffset: number | undefined;
  /** The process does not end by itself when the guest powers off. */
  readonly endsAtMarker: boolean;
}

const SEABIOS = '/usr/share/seabios';
const CHROMIUM = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((path) => existsSync(path));
/** The command, for a child process. */
export const CLI = join(REPOSITORY, 'dist/node/polyvisor.js');

function qemu(width: Width): string {
  return width === 64 ? 'qemu-system-x86_64' : 'qemu-system-i386';
}

/** The name of one of our engines for our command. */
export function executes(engine: Engine): string {
  return engine === 'translator-first' ? 'translator' : engine;
}

/** The command line that runs a guest on an engine. */
export function commandLine(engine: Engine, width: Width, files: RunFiles): EngineCommand {
  switch (engine) {
    case 'translator':
    case 'translator-first':
    case 'hybrid':
    case 'interpreter':
      return {
        program: process.execPath,
        args: [CLI, 'run', '--kernel', files.kernel, '--initrd', files.initrd, '--append', files.append, '--memory', `${GUEST_MEMORY_MIB}M`, '--engine', executes(engine), '--no-reboot', '--report', files.report, ...(engine === 'translator-first' ? ['--no-keep-translations'] : [])],
        ramOffset: RAM_BASE,
        endsAtMarker: false,
      };
    case 'qemu':
      return {
        program: qemu(width),
        args: ['-machine', 'pc,accel=tcg', '-cpu', 'max', '-m', `${GUEST_MEMORY_MIB}M`, '-nodefaults', '-nographic', '-serial', 'stdio', '-no-reboot', '-kernel', files.kernel, '-initrd', files.initrd, '-append', files.append],
        ramOffset: 0,
        endsAtMarker: false,
      };
    case 'v86':
      return {
        program: process.execPath,
        args: [join(REPOSITORY, 'dist/bench/guests/v86-machine.js'), JSON.stringify({ ...files, bios: join(SEABIOS, 'bios.bin'), vgaBios: join(SEABIOS, 'vgabios-stdvga.bin'), memoryMiB: GUEST_MEMORY_MIB })],
        ramOffset: 0,
        endsAtMarker: true,
      };
    case 'chromium':
      return {
        program: process.execPath,
        args: [join(REPOSITORY, 'dist/bench/guests/chromium-machine.js'), JSON.stringify({ ...files, executable: CHROMIUM, memoryMiB: GUEST_MEMORY_MIB })],
        ramOffset: undefined,
        endsAtMarker: false,
      };
  }
}

/** Why an engine cannot run guests of this width here; undefined when it can. */
export function unavailable(engine: Engine, width: Width): string | undefined {
  switch (engine) {
    case 'interpreter':
      return undefined;
    case 'translator':
    case 'translator-first':
    case 'hybrid':
      try {
        // A kernel that is none: what is complained of first is an engine that does not exist.
        execFileSync(process.execPath, [CLI, 'run', '--kernel', CLI, '--engine', executes(engine)], { encoding: 'utf8', stdio: ['ignore', 'ignore', 'pipe'] });
        return undefined;
      } catch (error) {
        const message = String((error as { stderr?: string }).stderr ?? error);
        return message.startsWith('polyvisor: engine ') ? message.trim().replace(/^polyvisor: /, '') : undefined;
      }
    case 'qemu':
      return version('qemu', width) === undefined ? `${qemu(width)} is not installed (package qemu-system-x86)` : undefined;
    case 'v86':
      if (width === 64) return 'v86 runs 32-bit guests only';
      if (version('v86', width) === undefined) return 'the npm package v86 is not installed';
      return existsSync(join(SEABIOS, 'bios.bin')) ? undefined : 'its firmware is missing (package seabios)';
    case 'chromium':
      return CHROMIUM === undefined ? 'Chromium is not installed (package chromium)' : undefined;
  }
}

/** Version of an engine; undefined when it is not there. */
export function version(engine: Engine, width: Width): string | undefined {
  try {
    switch (engine) {
      case 'translator':
      case 'translator-first':
      case 'interpreter':
        return execFileSync(process.execPath, [CLI, '--version'], { encoding: 'utf8' }).trim();
      case 'qemu':
        return execFileSync(qemu(width), ['--version'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).split('\n')[0]!.replace('QEMU emulator version ', '');
      case 'chromium':
        return CHROMIUM === undefined ? undefined : execFileSync(CHROMIUM, ['--version'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
      case 'v86':
        return (JSON.parse(readFileSync(join(dirname(createRequire(import.meta.url).resolve('v86')), '../package.json'), 'utf8')) as { version: string }).version;
    }
  } catch {
    return undefined;
  }
}
