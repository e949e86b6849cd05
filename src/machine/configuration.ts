import { UserError } from '../base/errors.ts';
import { RAM_MAX_BYTES } from '../memory/layout.ts';
import type { NicConfiguration } from './nics.ts';
import type { ProcessorTopology } from './topology.ts';
import type { ShareConfiguration } from './shares.ts';
import type { VsockConfiguration } from './vsock.ts';

export const ENGINE_NAMES = ['auto', 'interpreter', 'translator', 'lockstep', 'kvm', 'hybrid'] as const;
export type EngineName = (typeof ENGINE_NAMES)[number];

export const MACHINE_NAMES = ['pc', 'microvm'] as const;
export type MachineName = (typeof MACHINE_NAMES)[number];

/** How a machine is executed: the guest does not see it. */
export interface ExecutionConfiguration {
  readonly engine: EngineName;
  /** Bound on the memory that translated code takes. */
  readonly translationCacheBytes: number;
}

/** A machine as plain data: everything that decides how it is built. */
export interface MachineConfiguration extends ExecutionConfiguration {
  /** The board. */
  readonly machine: MachineName;
  readonly memoryBytes: number;
  readonly cpus: ProcessorTopology;
  /** Kernel command line. */
  readonly append: string;
  /** End instead of starting again when the guest resets. */
  readonly noReboot: boolean;
  /** I/O port at which a write ends the machine with that value, as QEMU's isa-debug-exit. */
  readonly debugExitPort?: number;
  /** False: the guest does not see KVM's paravirtual interface. */
  readonly paravirt?: boolean;
  /** A virtio entropy device. */
  readonly rng?: boolean;
  /** A virtio console besides the serial port. */
  readonly virtioConsole?: boolean;
  /** Further ports of the virtio console, by name. */
  readonly ports?: readonly string[];
  /** A virtio balloon, by which the guest gives back memory that it does not use. */
  readonly balloon?: boolean;
  /** A display for a kernel that is booted directly, as a frame buffer; with firmware its display's ROM decides. */
  readonly display?: boolean;
  /** A parallel port. */
  readonly parallel?: boolean;
  readonly nics?: readonly NicConfiguration[];
  readonly shares?: readonly ShareConfiguration[];
  readonly vsock?: VsockConfiguration;
  /** A virtio keyboard and a tablet, an absolute pointer. */
  readonly input?: boolean;
  /** A device for processor tests (devices/test-device.ts). */
  readonly testDevice?: boolean;
}

export const DEFAULT_MACHINE: MachineName = 'pc';

const MIB = 1 << 20;
export const DEFAULT_MEMORY = 512 * MIB;
const MIN_MEMORY = 8 * MIB;
const MAX_MEMORY = Math.floor(RAM_MAX_BYTES / MIB) * MIB;
const WANTED_MEMORY = `give ${MIN_MEMORY / MIB}M to ${MAX_MEMORY / MIB}M, for instance 512M`;
/** The longest time that timers of the host take, 2^31 ms. */
const MAX_TIMEOUT = 2_147_483;

/** `512M`, `1G`, `65536K`, with `B` or `iB` behind if one likes, or bytes. */
export function parseMemorySize(text: string): number {
  const bytes = parseSize(text);
  if (Number.isNaN(bytes)) throw new UserError(`memory size "${text}" is not understood; ${WANTED_MEMORY}`);
  return checkMemory(bytes, `"${text}"`);
}

/** `64K`, `512M`, `1G`, with `B` or `iB` behind if one likes, or bytes; NaN for what is no size. */
export function parseSize(text: string): number {
  const match = /^([0-9]+)(?:([KMG])(?:i?B)?)?$/i.exec(text.trim());
  if (match === null) return Number.NaN;
  return Number(match[1]) * { '': 1, K: 1024, M: MIB, G: 1024 * MIB }[(match[2] ?? '').toUpperCase() as '' | 'K' | 'M' | 'G'];
}

export function checkMemory(bytes: number, text = `of ${bytes} bytes`): number {
  if (!(bytes >= MIN_MEMORY)) throw new UserError(`memory size ${text} is too small; ${WANTED_MEMORY}`);
  if (bytes > MAX_MEMORY) throw new UserError(`memory size ${text} is too large; ${WANTED_MEMORY}`);
  if (!Number.isSafeInteger(bytes) || bytes % 4096 !== 0) throw new UserError(`memory size ${text} is no multiple of 4 KiB; ${WANTED_MEMORY}`);
  return bytes;
}

export function checkMachine(name: string): MachineName {
  if (!(MACHINE_NAMES as readonly string[]).includes(name)) throw new UserError(`machine "${name}" is unknown; give one of ${MACHINE_NAMES.join(', ')}`);
  return name as MachineName;
}

export function checkEngine(name: string): EngineName {
  if (!(ENGINE_NAMES as readonly string[]).includes(name)) throw new UserError(`engine "${name}" is unknown; give one of ${ENGINE_NAMES.join(', ')}`);
  return name as EngineName;
}

export const DEFAULT_TRANSLATION_CACHE = 128 * MIB;
const MIN_TRANSLATION_CACHE = 4 * MIB;
const MAX_TRANSLATION_CACHE = 4096 * MIB;

/** `64M`, written as sizes of memory are. */
export function parseTranslationCache(text: string): number {
  return checkTranslationCache(parseSize(text), `"${text}"`);
}
export function checkTranslationCache(bytes: number, text = `of ${bytes} bytes`): number {
  if (!(bytes >= MIN_TRANSLATION_CACHE && bytes <= MAX_TRANSLATION_CACHE)) throw new UserError(`translation cache ${text} makes no sense; give 4M to 4G, for instance 128M`);
  return bytes;
}

const FIRMWARE_GRAIN = 4096;
const FIRMWARE_MIN = 65536;
/** Above it lie the APICs. */
const FIRMWARE_MAX = 16 * MIB;

/** The image of a flash ROM. */
export function checkFirmware(image: Uint8Array, text: string): Uint8Array {
  const fits = image.length >= FIRMWARE_MIN && image.length <= FIRMWARE_MAX && image.length % FIRMWARE_GRAIN === 0;
  if (!fits) throw new UserError(`${text} has ${image.length} bytes; give an image of a multiple of 4 KiB, 64 KiB to ${FIRMWARE_MAX / MIB} MiB, for instance SeaBIOS's bios-256k.bin`);
  return image;
}

const NVRAM_MAX = 2 * MIB;

/** The image of the flash memory where firmware keeps its variables. */
export function checkNvram(image: Uint8Array, text: string): Uint8Array {
  const fits = image.length > 0 && image.length <= NVRAM_MAX && image.length % FIRMWARE_GRAIN === 0;
  if (!fits) throw new UserError(`${text} has ${image.length} bytes; give an image of a multiple of 4 KiB, at most ${NVRAM_MAX / MIB} MiB, for instance a copy of OVMF_VARS_4M.fd`);
  return image;
}

/** A port in decimal or, behind 0x, hexadecimal. */
export function parsePort(text: string): number {
  return checkDebugExitPort(/^(0x[0-9a-f]+|[0-9]+)$/i.test(text.trim()) ? Number(text) : Number.NaN, text);
}

/** Whether a device is at that port shows when the board is wired. */
export function checkDebugExitPort(port: number, text = String(port)): number {
  if (!Number.isInteger(port) || port < 0 || port > 0xfffc) throw new UserError(`debug exit port "${text}" is no I/O port; give a number from 0 to 0xfffc, for instance 0xf4`);
  return port;
}

export function checkTimeout(seconds: number, text = String(seconds)): number {
  if (!(seconds > 0 && seconds <= MAX_TIMEOUT)) throw new UserError(`timeout "${text}" is no time; give seconds, more than 0 and at most ${MAX_TIMEOUT}`);
  return seconds;
}
