import { UserError } from '../base/errors.ts';
import { randomWords } from '../host/entropy.ts';
import type { Entropy } from '../host/entropy.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import { clearMemory, requireMemory, type BootInput } from './boot-input.ts';
import { HIGH_MEMORY } from './boot-layout.ts';
import { loadSegments, parseElf, PT_LOAD } from './elf.ts';
import type { ElfImage, ElfSegment } from './elf.ts';

// What a bzImage's own loader does once it has unpacked the kernel (Documentation/arch/x86/boot.rst): segments to where
// they are to run, at an address of chance (KASLR), and relocations applied.

const MIB = 2 ** 20;
/** Where Linux's kernel mapping ends, from its beginning: KERNEL_IMAGE_SIZE of page_64_types.h and page_32_types.h. */
const MAPPING = { 64: 1024 * MIB, 32: 512 * MIB } as const;
const LOWEST = 16 * MIB;
/** Where in its file the first segment usually stands. */
const FIRST_OFFSET = { 64: 2 * MIB, 32: 4096 } as const;

export interface Placement {
  readonly width: 32 | 64;
  /** Where it is linked to be loaded, a multiple of `alignment`. */
  readonly preferred: number;
  readonly alignment: number;
  /** Memory that it needs from its address on. */
  readonly bytes: number;
  /** End of the memory that it may take. */
  readonly top: number;
  /** Missing: it stays where it was linked to. */
  readonly entropy: Entropy | undefined;
}

export interface LoadedKernel {
  readonly entry: number;
  /** Its address is a matter of chance. */
  readonly moved: boolean;
}

/** RAM that holds the unpacked kernel's file. */
export interface Room {
  readonly address: number;
  readonly file: Uint8Array;
}

/** RAM to unpack a kernel into, a file of `size` bytes, so that most of it lies where it is to run; undefined when there is none. */
export function roomFor(memory: GuestMemory, { width, preferred, top }: Placement, moves: Moves, size: number): Room | undefined {
  const address = preferred + moves.physical - FIRST_OFFSET[width];
  const place = address < HIGH_MEMORY || address + size > top ? undefined : memory.place(address, size);
  return place === undefined ? undefined : { address, file: memory.storage.subarray(place, place + size) };
}

/**
 * Loads an unpacked kernel, `input.kernel`, which may lie in RAM already (`room`). Undefined, and RAM but for the room as it was,
 * when it is not what its bzImage promises.
 */
export function loadUnpacked(input: BootInput, placement: Placement, chosen = chooseMoves(placement), room?: Room): LoadedKernel | undefined {
  try {
    const image = parseElf(input);
    const first = image.segments.find(({ type }) => type === PT_LOAD);
    if (first === undefined || first.physical !== placement.preferred) return undefined;
    const relocations = chosen === STAYS ? undefined : readRelocations(input.kernel, elfEnd(input.kernel, image), placement.width);
    const moves = relocations === undefined ? STAYS : chosen;
    for (const { type, physical, memoryBytes } of image.segments) {
      if (type === PT_LOAD) requireMemory(input, physical + moves.physical, physical + moves.physical + memoryBytes);
    }
    if (relocations !== undefined && moves.virtual !== 0) relocate(input.kernel, image, relocations, moves.virtual);
    if (room === undefined) loadSegments(input, image, moves.physical);
    else settleSegments(input, image, moves.physical, room);
    return { entry: image.entry + moves.physical, moved: moves !== STAYS };
  } catch (error) {
    if (error instanceof UserError || error instanceof RangeError) return undefined;
    throw error;
  }
}

/** How far it lies from where it was linked to. */
export interface Moves {
  readonly physical: number;
  readonly virtual: number;
}
const STAYS: Moves = { physical: 0, virtual: 0 };

/** In 64-bit code both addresses are a matter of chance by themselves; in 32-bit code one follows from the other. */
export function chooseMoves({ width, preferred, alignment, bytes, top, entropy }: Placement): Moves {
  if (entropy === undefined) return STAYS;
  const lowest = Math.max(LOWEST, alignment);
  const physical = chance(entropy, lowest, (width === 32 ? Math.min(top, MAPPING[32]) : top) - bytes, alignment) ?? preferred;
  if (width === 32) return { physical: physical - preferred, virtual: physical - preferred };
  const virtual = chance(entropy, preferred, MAPPING[64] - bytes, alignment) ?? preferred;
  return { physical: physical - preferred, virtual: virtual - preferred };
}

/** As loadSegments, of a file in RAM: what lies right already stays, the rest moves down, and nothing else of the file is left. */
function settleSegments(input: BootInput, image: ElfImage, moved: number, { address, file }: Room): void {
  const loads = image.segments.filter(({ type, memoryBytes }) => type === PT_LOAD && memoryBytes > 0);
  const to = ({ physical }: ElfSegment): number => physical + moved - address;
  // The lowest goes first, so nothing is overwritten that is still to go.
  const goDown = loads.every((segment, i) => {
    const below = loads[i - 1];
    const isAbove = below === undefined ? to(segment) >= 0 : to(segment) >= to(below) + below.memoryBytes && segment.offset >= below.offset + below.fileBytes;
    return isAbove && to(segment) <= segment.offset && segment.fileBytes <= segment.memoryBytes;
  });
  if (!goDown) {
    const kernel = file.slice();
    file.fill(0);
    loadSegments({ ...input, kernel }, image, moved);
    return;
  }
  let end = 0;
  for (const segment of loads) {
    file.copyWithin(to(segment), segment.offset, segment.offset + segment.fileBytes);
    file.fill(0, end, to(segment));
    end = to(segment) + segment.fileBytes;
  }
  file.fill(0, end);
  const last = loads.at(-1)!;
  clearMemory(input.memory, address + file.length, address + to(last) + last.memoryBytes);
}

/** A multiple of `step` from `low` to `high`, both included; undefined when there is none. */
function chance(source: Entropy, low: number, high: number, step: number): number | undefined {
  const first = Math.ceil(low / step);
  const count = Math.floor(high / step) - first + 1;
  if (count <= 0) return undefined;
  return (first + ((randomWords(source)() >>> 0) % count)) * step;
}

/** End of the ELF file, which its section headers are the last of. */
function elfEnd(file: Uint8Array, image: ElfImage): number {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const wide = file[4] === 2;
  const tableAt = wide ? Number(view.getBigUint64(40, true)) : view.getUint32(32, true);
  const table = tableAt + view.getUint16(wide ? 58 : 46, true) * view.getUint16(wide ? 60 : 48, true);
  return Math.max(table, ...image.segments.map(({ offset, fileBytes }) => offset + fileBytes));
}

/** Virtual addresses, cut to 32 bits: signed numbers, which need no storage of their own in code that has just begun to run. */
interface Relocations {
  /** Of words that grow with the kernel's address, 32 and 64 bits wide, and of 32-bit ones that shrink. */
  readonly words: Int32Array;
  readonly inverse: Int32Array;
  readonly longs: Int32Array;
}
const NONE = new Int32Array(0);

/**
 * The lists behind the ELF file, each a zero and then 32-bit virtual addresses (64-bit kernels': sign extended): of 64-bit
 * words, of 32-bit words that are relative to what does not move (kernels up to 6.14), of 32-bit words; a 32-bit kernel
 * has the last alone. Undefined when something else lies there.
 */
function readRelocations(file: Uint8Array, start: number, width: 32 | 64): Relocations | undefined {
  if (start >= file.length || (file.length - start) % 4 !== 0) return undefined;
  const words = new Int32Array(file.slice(start).buffer);
  if (words[0] !== 0) return undefined;
  const lists: Int32Array[] = [];
  for (let at = 0; at >= 0;) {
    const end = words.indexOf(0, at + 1);
    lists.push(words.subarray(at + 1, end < 0 ? words.length : end));
    at = end;
  }
  if (width === 32) return lists.length === 1 ? { words: lists[0]!, inverse: NONE, longs: NONE } : undefined;
  if (lists.length === 2) return { words: lists[1]!, inverse: NONE, longs: lists[0]! };
  return lists.length === 3 ? { words: lists[2]!, inverse: lists[1]!, longs: lists[0]! } : undefined;
}

/** `delta`: below 2 GiB, and for words of 64 bits not negative. Throws a RangeError for a word outside of the file. */
function relocate(file: Uint8Array, image: ElfImage, { words, inverse, longs }: Relocations, delta: number): void {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const place = places(image);
  for (const address of words) {
    const at = place(address);
    view.setInt32(at, view.getInt32(at, true) + delta, true);
  }
  for (const address of inverse) {
    const at = place(address);
    view.setInt32(at, view.getInt32(at, true) - delta, true);
  }
  for (const address of longs) {
    const at = place(address);
    const old = view.getInt32(at, true);
    const low = (old + delta) | 0;
    view.setInt32(at, low, true);
    if (old < 0 && low >= 0) view.setInt32(at + 4, view.getInt32(at + 4, true) + 1, true);
  }
}

/** Place in the file of a virtual address: by its physical one, for per-CPU data have another virtual one. */
function places(image: ElfImage): (virtual: number) => number {
  const loads = image.segments.filter(({ type, fileBytes }) => type === PT_LOAD && fileBytes > 0);
  const toPhysical = (loads[0]!.physical - (loads[0]!.virtual % 2 ** 32)) | 0;
  // Of the segment that the last one was in, as most are: a kernel has 200,000 of them.
  let low = 0;
  let high = -1;
  let toPlace = 0;
  return (virtual) => {
    const physical = (virtual + toPhysical) | 0;
    if (physical < low || physical > high) {
      const found = loads.find((segment) => physical >= segment.physical && physical + 4 <= segment.physical + segment.fileBytes) ?? outside();
      low = found.physical;
      high = low + found.fileBytes - 4;
      toPlace = found.offset - low;
    }
    return physical + toPlace;
  };
}

function outside(): never {
  throw new RangeError('a relocation outside of the kernel');
}
