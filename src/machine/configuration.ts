import { UserError } from '../base/errors.ts';
import { RAM_MAX_BYTES } from '../memory/layout.ts';

export const ENGINE_NAMES = ['auto', 'interpreter', 'translator', 'kvm', 'hybrid'] as const;
export type EngineName = (typeof ENGINE_NAMES)[number];

/** A machine as plain data: everything that decides how it is built. */
export interface MachineConfiguration {
  readonly memoryBytes: number;
  readonly cpus: number;
  readonly engine: EngineName;
  readonly append: string;
  /** Stop instead of starting again when the guest resets. */
  readonly noReboot: boolean;
  /** I/O port at which a write ends the machine with that value, as QEMU's isa-debug-exit. */
  readonly debugExitPort?: number;
}

const MIB = 1 << 20;
export const DEFAULT_MEMORY = 512 * MIB;
const MAX_MEMORY = Math.floor(RAM_MAX_BYTES / MIB) * MIB;

/** `512M`, `1G`, `65536K` or bytes. */
export function parseMemorySize(text: string): number {
  const match = /^([0-9]+)([KMG]?)(?:i?B)?$/i.exec(text.trim());
  const wanted = `give 8M to ${MAX_MEMORY / MIB}M, for instance 512M`;
  if (match === null) throw new UserError(`memory size "${text}" is not understood; ${wanted}`);
  const unit = { '': 1, K: 1024, M: MIB, G: 1024 * MIB }[match[2]!.toUpperCase() as '' | 'K' | 'M' | 'G'];
  return checkMemory(Number(match[1]) * unit, text, wanted);
}

export function checkMemory(bytes: number, text = `${bytes} bytes`, wanted = `give 8M to ${MAX_MEMORY / MIB}M, for instance 512M`): number {
  if (!Number.isSafeInteger(bytes) || bytes % 4096 !== 0) throw new UserError(`memory size ${text} is no multiple of 4 KiB; ${wanted}`);
  if (bytes < 8 * MIB) throw new UserError(`memory size ${text} is too small; ${wanted}`);
  if (bytes > MAX_MEMORY) throw new UserError(`memory size ${text} is too large; ${wanted}`);
  return bytes;
}

export function checkCpus(cpus: number): number {
  if (!Number.isInteger(cpus) || cpus < 1) throw new UserError(`number of processors "${cpus}" makes no sense; give 1`);
  if (cpus > 1) throw new UserError(`${cpus} processors were asked for; this version runs one (--cpus 1)`);
  return cpus;
}

export function checkEngine(name: string): EngineName {
  if (!(ENGINE_NAMES as readonly string[]).includes(name)) throw new UserError(`engine "${name}" is unknown; give one of ${ENGINE_NAMES.join(', ')}`);
  if (name !== 'auto' && name !== 'interpreter') throw new UserError(`engine "${name}" is not part of this version yet; use auto or interpreter`);
  return name as EngineName;
}

export function checkPort(text: string): number {
  const port = Number(text);
  if (!Number.isInteger(port) || port < 0 || port > 0xffff || text.trim() === '') throw new UserError(`port "${text}" is no I/O port; give a number from 0 to 0xffff, for instance 0xf4`);
  return port;
}
