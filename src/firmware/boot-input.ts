import { UserError } from '../base/errors.ts';
import type { Decompressor } from '../host/decompressor.ts';
import type { Entropy } from '../host/entropy.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import { BOOT_COMMAND_LINE, BOOT_COMMAND_LINE_BYTES } from './boot-layout.ts';

/** A linear picture in memory: 32 bits a pixel, blue in the lowest byte, then green and red. */
export interface FrameBuffer {
  /** Physical address below 4 GiB. */
  readonly address: number;
  /** In pixels. */
  readonly width: number;
  readonly height: number;
}

/** What a user gives for a direct boot. */
export interface BootInput {
  readonly kernel: Uint8Array;
  /** How messages call the kernel: a file name. */
  readonly kernelName?: string;
  readonly initrd?: Uint8Array;
  readonly initrdName?: string;
  readonly commandLine: string;
  readonly memory: GuestMemory;
  /** Physical address of the ACPI RSDP, where there is one. */
  readonly rsdp?: number;
  /** A display that shows what is drawn there. */
  readonly frameBuffer?: FrameBuffer | undefined;
  /** Linux boot protocol; by default 64-bit where the kernel has it, else 32-bit. 16-bit needs BIOS services. */
  readonly protocol?: 16 | 32 | 64;
  /** Unpacks a Linux kernel here, which is quicker than what it does itself in the guest. */
  readonly decompressor?: Decompressor;
  /** Where a kernel that was unpacked here gets its addresses from; missing: it stays where it was linked to. */
  readonly entropy?: Entropy;
}

export function kernelName(input: BootInput): string {
  return input.kernelName === undefined ? 'the kernel' : `kernel ${input.kernelName}`;
}

/** Sizes in messages: exact below 10 KiB, else in KiB or MiB with one decimal. */
export function sizeText(bytes: number): string {
  if (bytes < 10240) return `${bytes} bytes`;
  if (bytes < 2 ** 20) return `${(bytes / 1024).toFixed(1)} KiB`;
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}

/** UTF-8 with a terminating zero. */
export function terminated(text: string): Uint8Array {
  const bytes: number[] = [];
  for (const character of text) {
    const code = character.codePointAt(0)!;
    if (code < 0x80) bytes.push(code);
    else if (code < 0x800) bytes.push(0xc0 | (code >> 6), 0x80 | (code & 63));
    else if (code < 0x10000) bytes.push(0xe0 | (code >> 12), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63));
    else bytes.push(0xf0 | (code >> 18), 0x80 | ((code >> 12) & 63), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63));
  }
  bytes.push(0);
  return Uint8Array.from(bytes);
}

/**
 * Writes the command line with its terminator to `address` and returns its length without it. `limit` is the longest
 * that the kernel takes. Throws a UserError when it is longer or holds a zero character.
 */
export function writeCommandLine(input: BootInput, text: string, limit: number, address = BOOT_COMMAND_LINE): number {
  if (text.includes('\0')) throw new UserError('the kernel command line holds a zero character; leave it out');
  const bytes = terminated(text);
  const most = Math.min(limit, BOOT_COMMAND_LINE_BYTES - 1);
  if (bytes.length - 1 > most) {
    throw new UserError(`the kernel command line is ${bytes.length - 1} bytes long; ${kernelName(input)} takes at most ${most}`);
  }
  input.memory.write(address, bytes);
  return bytes.length - 1;
}

/** Throws a UserError unless [start, end) fits the RAM below 4 GiB. */
export function requireMemory(input: BootInput, start: number, end: number): void {
  const { memory } = input;
  if (memory.contains(start, end - start)) return;
  throw new UserError(
    `${kernelName(input)} needs memory up to ${sizeText(end)}, but the machine has ${sizeText(memory.bytes)}; give it more`,
  );
}

/**
 * Copies the initrd as high as it goes, page-aligned: below `limit`, below the end of low RAM, and not below
 * `floor`, the end of what the kernel needs. Returns its address, or undefined without an initrd.
 */
export function placeInitrd(input: BootInput, floor: number, limit: number): { address: number; length: number } | undefined {
  const { initrd, memory } = input;
  if (initrd === undefined) return undefined;
  const what = input.initrdName === undefined ? 'the initrd' : `initrd ${input.initrdName}`;
  if (initrd.length === 0) throw new UserError(`${what} is empty; give a cpio archive (compressed or not), or none`);
  const top = Math.min(limit, memory.lowBytes);
  const address = Math.floor((top - initrd.length) / 4096) * 4096;
  const bottom = Math.ceil(floor / 4096) * 4096;
  if (address < bottom) {
    throw new UserError(
      `${what} does not fit: it has ${sizeText(initrd.length)}, but of ${sizeText(memory.bytes)} memory the kernel leaves ` +
        `${sizeText(Math.max(0, top - bottom))} for it; give the machine more memory or a smaller initrd`,
    );
  }
  memory.write(address, initrd);
  return { address, length: initrd.length };
}

const ZEROS = new Uint8Array(65536);

/** Clears [start, end), in pieces. */
export function clearMemory(memory: GuestMemory, start: number, end: number): void {
  for (let at = start; at < end; at += ZEROS.length) memory.write(at, ZEROS.subarray(0, Math.min(ZEROS.length, end - at)));
}
