import { UserError } from '../base/errors.ts';

/** A piece of machine code: where it lies in the file and in memory. */
export interface CodePiece {
  readonly name: string;
  readonly address: bigint;
  readonly bytes: Uint8Array;
}

const ELF32 = 1;
const LITTLE_ENDIAN = 1;
const EM_386 = 3;
const EM_X86_64 = 62;
const SHT_NOBITS = 8;
const SHF_EXECINSTR = 4n;

export function isElfFile(file: Uint8Array): boolean {
  return file.length >= 52 && file[0] === 0x7f && file[1] === 0x45 && file[2] === 0x4c && file[3] === 0x46;
}

/** Code size of an ELF file's machine. Throws UserError when it is not x86. */
export function elfCodeSize(file: Uint8Array, name: string): 32 | 64 {
  const machine = file[5] === LITTLE_ENDIAN ? new DataView(file.buffer, file.byteOffset).getUint16(18, true) : 0;
  if (machine === EM_X86_64) return 64;
  if (machine === EM_386) return 32;
  throw new UserError(`file ${name} is an ELF file for another architecture; give one for x86, or raw machine code`);
}

/** Sections of an ELF file that hold code (System V ABI, chapter 4). Offsets that lie outside of the file are left out. */
export function executableSections(file: Uint8Array): CodePiece[] {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const narrow = file[4] === ELF32;
  const word = (at: number): bigint => (narrow ? BigInt(view.getUint32(at, true)) : view.getBigUint64(at, true));
  const header = narrow ? { table: 32, size: 46, count: 48, names: 50 } : { table: 40, size: 58, count: 60, names: 62 };
  const field = narrow ? { type: 4, flags: 8, address: 12, offset: 16, size: 20 } : { type: 4, flags: 8, address: 16, offset: 24, size: 32 };
  if (!narrow && file.length < 64) return [];
  const table = Number(word(header.table));
  const size = view.getUint16(header.size, true);
  const fits = (at: number): boolean => size >= (narrow ? 40 : 64) && table > 0 && table + (at + 1) * size <= file.length;
  const sections = Array.from({ length: view.getUint16(header.count, true) }, (_, i) => i).filter(fits).map((i) => {
    const at = table + i * size;
    return { name: view.getUint32(at, true), type: view.getUint32(at + field.type, true), flags: word(at + field.flags), address: word(at + field.address), offset: Number(word(at + field.offset)), size: Number(word(at + field.size)) };
  });
  const names = sections[view.getUint16(header.names, true)];
  const nameAt = (offset: number): string => {
    if (names === undefined) return '';
    const from = names.offset + offset;
    const end = file.indexOf(0, from);
    return String.fromCharCode(...file.subarray(from, Math.min(end < 0 ? from : end, from + 100)));
  };
  return sections
    .filter((s) => (s.flags & SHF_EXECINSTR) !== 0n && s.type !== SHT_NOBITS && s.offset + s.size <= file.length)
    .map((s) => ({ name: nameAt(s.name), address: s.address, bytes: file.subarray(s.offset, s.offset + s.size) }));
}
