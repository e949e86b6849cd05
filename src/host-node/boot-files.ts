import { closeSync, existsSync, fstatSync, openSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { UserError } from '../base/errors.ts';
import { bootFile, closeBootFiles, parseBootOrder } from '../machine/boot-source.ts';
import type { BootFile, BootFiles, FirmwareFiles, KernelFiles } from '../machine/boot-source.ts';
import { checkFirmware, checkNvram } from '../machine/configuration.ts';
import { readFully } from './file-bytes.ts';
import { catalogue } from './guests/catalogue.ts';
import { fetchIpxe, fetchOvmf, fetchSeabios } from './guests/firmware.ts';
import { openNvram } from './nvram-file.ts';
import type { Warn } from './nvram-file.ts';
import { fileTrouble } from './words.ts';

/** What may be given to say what a machine boots. */
export interface BootRequest {
  /** Name of a guest of the catalogue; `linux` when neither a guest nor a kernel is given. */
  readonly guest?: string;
  /** A file's path, or its contents: Linux bzImage, ELF with a PVH note, multiboot 1. Not together with `guest`. */
  readonly kernel?: string | Uint8Array;
  /** A file's path, or its contents; replaces the initrd of a catalogue guest. */
  readonly initrd?: string | Uint8Array;
  /** Kernel command line; added to a catalogue guest's own. Default for a kernel of one's own: `console=ttyS0`. */
  readonly append?: string;
  /** Instead of a guest or kernel: `seabios` or `ovmf` (fetched as guests are), a file's path, or its contents. */
  readonly firmware?: string | Uint8Array;
  /** With firmware that has variables (UEFI): the file that keeps them, made when it is not there. Without it they go with the machine. */
  readonly nvram?: string;
  /** With firmware: where it looks for something to boot, up to three letters out of `c` (hard disk), `d` (CD-ROM), `a` (floppy disk), `n` (network); what is left out comes last. Default: `cad`, or as UEFI's variables say. */
  readonly bootOrder?: string;
  /** With firmware: ask for a key that leads to a menu. */
  readonly bootMenu?: boolean;
}

const DEFAULT_GUEST = 'linux';
const DEFAULT_APPEND = 'console=ttyS0';
/** No kernel or initrd is larger than what a machine can have as RAM; reading stops here. */
const LARGEST_FILE = 0x100000000;

/** Reads what a machine boots, fetching a catalogue guest where that is asked for. Throws UserError. */
export async function readBootFiles(request: BootRequest, progress: (line: string) => void, warn: Warn): Promise<BootFiles & { readonly append: string; readonly guest: string | null }> {
  const { guest, kernel, firmware } = request;
  if (firmware !== undefined) {
    const direct = guest !== undefined ? `a guest's name (${guest})` : kernel !== undefined ? 'a kernel' : request.initrd !== undefined ? 'an initrd' : request.append !== undefined ? 'a kernel command line' : undefined;
    if (direct !== undefined) throw new UserError(`firmware and ${direct} are given; give one of the two (firmware boots from disks)`);
    const order = request.bootOrder === undefined ? {} : { bootOrder: parseBootOrder(request.bootOrder) };
    const roms = order.bootOrder?.includes('n') === true ? { cardRoms: await fetchIpxe(progress) } : {};
    return { ...(await readFirmware(firmware, request.nvram, progress, warn)), ...order, ...roms, bootMenu: request.bootMenu ?? false, append: '', guest: null };
  }
  if (request.nvram !== undefined) throw new UserError('a kernel that is booted directly has no firmware whose variables could be kept; give --firmware ovmf, or leave --nvram out');
  if (guest !== undefined && kernel !== undefined) throw new UserError(`a guest's name (${guest}) and a kernel are given; give one of the two`);
  if (request.bootOrder !== undefined || request.bootMenu === true) throw new UserError('a kernel that is booted directly needs no boot order; give --firmware seabios, or leave it out');
  if (kernel !== undefined) return { ...openAll(kernel, request.initrd), append: request.append ?? DEFAULT_APPEND, guest: null };
  const name = guest ?? DEFAULT_GUEST;
  const entry = catalogue.find((candidate) => candidate.name === name);
  if (entry === undefined) throw new UserError(`guest "${name}" is unknown; give one of ${catalogue.map((candidate) => candidate.name).join(', ')}, or a kernel`);
  const files = await entry.fetch(progress);
  const append = request.append === undefined ? files.append : `${files.append} ${request.append}`.trim();
  return { ...openAll(files.kernel, request.initrd ?? files.initrd), append, guest: name };
}

async function readFirmware(firmware: string | Uint8Array, nvram: string | undefined, progress: (line: string) => void, warn: Warn): Promise<FirmwareFiles> {
  // The display has the same option ROM whatever the firmware is.
  const seabios = await fetchSeabios(progress);
  if (firmware === 'seabios') {
    if (nvram !== undefined) throw new UserError('SeaBIOS has no variables to keep; leave --nvram out, or give --firmware ovmf');
    return seabios;
  }
  const ovmf = firmware === 'ovmf' ? await fetchOvmf(progress) : undefined;
  const image = ovmf?.firmware ?? checkFirmware(readInput('firmware', firmware), typeof firmware === 'string' ? `firmware ${firmware}` : 'the firmware');
  const first = ovmf?.variables ?? (typeof firmware === 'string' ? variablesBeside(firmware) : undefined);
  const variables = nvram !== undefined ? openNvram(nvram, first, warn) : first === undefined ? undefined : { contents: first };
  return { vgaBios: seabios.vgaBios, firmware: image, ...(variables === undefined ? {} : { nvram: variables }) };
}

/** UEFI firmware comes in two files, whose names differ in one word: OVMF_CODE_4M.fd and OVMF_VARS_4M.fd. */
function variablesBeside(firmware: string): Uint8Array | undefined {
  const beside = join(dirname(firmware), basename(firmware).replace('CODE', 'VARS'));
  if (beside === firmware || !existsSync(beside)) return undefined;
  return checkNvram(readInput('nvram', beside), `nvram ${beside}`);
}

function openAll(kernel: string | Uint8Array, initrd: string | Uint8Array | undefined): KernelFiles {
  const files = { kernel: openInput('kernel', kernel, 'image') };
  if (initrd === undefined) return files;
  try {
    return { ...files, initrd: openInput('initrd', initrd, 'initrd') };
  } catch (error) {
    closeBootFiles(files);
    throw error;
  }
}

/** A file stays open, so that it may be removed or replaced meanwhile; what is no plain file, as a pipe, is read at once. */
function openInput(what: string, input: string | Uint8Array, otherwise: string): BootFile {
  if (typeof input !== 'string') return bootFile(otherwise, input);
  return isPlainFile(input) ? new OpenBootFile(what, input) : bootFile(input, readInput(what, input));
}

function isPlainFile(path: string): boolean {
  try {
    return statSync(path).isFile();
  } catch {
    return false; // reading it will say why
  }
}

class OpenBootFile implements BootFile {
  readonly name: string;
  readonly #what: string;
  readonly #bytes: number;
  #file: number | undefined;

  constructor(what: string, path: string) {
    [this.#what, this.name] = [what, path];
    this.#file = this.#try(() => openSync(path, 'r'));
    this.#bytes = fstatSync(this.#file).size;
    try {
      checkSize(what, path, this.#bytes);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  read(): Uint8Array {
    const bytes = new Uint8Array(this.#bytes);
    if (!this.#try(() => readFully(this.#file!, 0, bytes))) throw new UserError(`${this.#what} ${this.name} has become shorter since the machine was started; leave it as it is while a machine uses it`);
    return bytes;
  }
  close(): void {
    if (this.#file !== undefined) closeSync(this.#file);
    this.#file = undefined;
  }
  #try<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw new UserError(`${this.#what} ${this.name} ${fileTrouble(error)}; give the path of a readable file`);
    }
  }
}

function checkSize(what: string, path: string, bytes: number): void {
  if (bytes > LARGEST_FILE) throw new UserError(`${what} ${path} is larger than any guest's memory; give a kernel image and its initrd, not a disk`);
}

function readInput(what: string, input: string | Uint8Array): Uint8Array {
  if (typeof input !== 'string') return input;
  let bytes: Uint8Array;
  try {
    const found = statSync(input);
    if (found.isCharacterDevice() || found.isSocket()) throw new UserError(`${what} ${input} is a device; give a file`);
    checkSize(what, input, found.size);
    bytes = readFileSync(input);
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(`${what} ${input} ${fileTrouble(error)}; give the path of a readable file`);
  }
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
