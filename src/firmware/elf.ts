import { UserError } from '../base/errors.ts';
import { clearMemory, kernelName, requireMemory, sizeText, type BootInput } from './boot-input.ts';

// ELF: System V ABI, chapters 4 and 5.

export const PT_LOAD = 1;
const PT_NOTE = 4;
export const MACHINE_386 = 3;
export const MACHINE_X86_64 = 62;

export interface ElfSegment {
  readonly type: number;
  readonly offset: number;
  readonly physical: number;
  readonly virtual: number;
  readonly fileBytes: number;
  readonly memoryBytes: number;
}

export interface ElfImage {
  readonly machine: number;
  readonly entry: number;
  readonly segments: readonly ElfSegment[];
}

export function isElf(file: Uint8Array): boolean {
  return file.length >= 4 && file[0] === 0x7f && file[1] === 0x45 && file[2] === 0x4c && file[3] === 0x46;
}

/** Names of the machines (e_machine) that a user may mistake for ours. */
const MACHINES: Readonly<Record<number, string>> = {
  2: 'SPARC',
  8: 'MIPS',
  20: 'PowerPC',
  21: '64-bit PowerPC',
  22: 'IBM S/390',
  40: '32-bit Arm',
  43: '64-bit SPARC',
  50: 'Itanium',
  183: 'AArch64 (arm64)',
  243: 'RISC-V',
  258: 'LoongArch',
};

/** Parses the headers of an x86 executable. Throws a UserError for anything else. */
export function parseElf(input: BootInput): ElfImage {
  const { kernel } = input;
  const what = kernelName(input);
  const view = new DataView(kernel.buffer, kernel.byteOffset, kernel.byteLength);
  if (kernel.length < 52) throw new UserError(`${what} is truncated: an ELF file of ${sizeText(kernel.length)} has not even its header`);
  const bigEndian = kernel[5] === 2;
  const machine = view.getUint16(18, !bigEndian);
  if (bigEndian || (machine !== MACHINE_386 && machine !== MACHINE_X86_64)) {
    throw new UserError(`${what} is for ${MACHINES[machine] ?? `another architecture (ELF machine ${machine})`}; give one for x86 (i386 or x86-64)`);
  }
  const wide = kernel[4] === 2;
  if (wide && kernel.length < 64) throw new UserError(`${what} is truncated: an ELF file of ${sizeText(kernel.length)} has not even its header`);
  const type = view.getUint16(16, true);
  if (type !== 2 && type !== 3) throw new UserError(`${what} is an ELF file, but no executable (${type === 1 ? 'an object file or module' : `type ${type}`}); give vmlinux or vmlinuz`);
  const word = (at: number): number => (wide ? Number(view.getBigUint64(at, true)) : view.getUint32(at, true));
  const entry = word(24);
  const tableAt = wide ? word(32) : word(28);
  const entryBytes = view.getUint16(wide ? 54 : 42, true);
  const count = view.getUint16(wide ? 56 : 44, true);
  if (entryBytes < (wide ? 56 : 32) || tableAt + entryBytes * count > kernel.length) {
    throw new UserError(`${what} is truncated or damaged: its ELF program headers lie outside of the file`);
  }
  const segments: ElfSegment[] = [];
  for (let i = 0; i < count; i++) {
    const at = tableAt + entryBytes * i;
    const segment: ElfSegment = wide
      ? { type: view.getUint32(at, true), offset: word(at + 8), virtual: word(at + 16), physical: word(at + 24), fileBytes: word(at + 32), memoryBytes: word(at + 40) }
      : { type: view.getUint32(at, true), offset: word(at + 4), virtual: word(at + 8), physical: word(at + 12), fileBytes: word(at + 16), memoryBytes: word(at + 20) };
    if ((segment.type === PT_LOAD || segment.type === PT_NOTE) && segment.offset + segment.fileBytes > kernel.length) {
      throw new UserError(`${what} is truncated: ${sizeText(kernel.length)} of at least ${sizeText(segment.offset + segment.fileBytes)}`);
    }
    segments.push(segment);
  }
  return { machine, entry, segments };
}

/** Copies the loadable segments to their physical addresses plus `moved`; returns the end of the highest. Throws UserError. */
export function loadSegments(input: BootInput, image: ElfImage, moved = 0): number {
  const { kernel, memory } = input;
  let end = 0;
  for (const segment of image.segments) {
    if (segment.type !== PT_LOAD || segment.memoryBytes === 0) continue;
    const { offset, fileBytes, memoryBytes } = segment;
    const physical = segment.physical + moved;
    if (fileBytes > memoryBytes) throw new UserError(`${kernelName(input)} is damaged: a segment is longer in the file than in memory`);
    requireMemory(input, physical, physical + memoryBytes);
    memory.write(physical, kernel.subarray(offset, offset + fileBytes));
    clearMemory(memory, physical + fileBytes, physical + memoryBytes);
    end = Math.max(end, physical + memoryBytes);
  }
  if (end === 0) throw new UserError(`${kernelName(input)} is an ELF file without anything to load; give vmlinux or vmlinuz`);
  return end;
}

/** The descriptor of the note with this owner and type, or undefined. */
export function findNote(kernel: Uint8Array, image: ElfImage, owner: string, type: number): Uint8Array | undefined {
  const view = new DataView(kernel.buffer, kernel.byteOffset, kernel.byteLength);
  for (const segment of image.segments) {
    if (segment.type !== PT_NOTE) continue;
    const end = segment.offset + segment.fileBytes;
    let at = segment.offset;
    while (at + 12 <= end) {
      const nameBytes = view.getUint32(at, true);
      const descriptorBytes = view.getUint32(at + 4, true);
      const nameAt = at + 12;
      const descriptorAt = nameAt + Math.ceil(nameBytes / 4) * 4;
      const next = descriptorAt + Math.ceil(descriptorBytes / 4) * 4;
      if (next > end) break;
      const name = String.fromCharCode(...kernel.subarray(nameAt, nameAt + Math.min(nameBytes, 32)));
      if (view.getUint32(at + 8, true) === type && name === `${owner}\0`) return kernel.subarray(descriptorAt, descriptorAt + descriptorBytes);
      at = next;
    }
  }
  return undefined;
}
