import { UserError } from '../base/errors.ts';
import { randomWords } from '../host/entropy.ts';
import type { Entropy } from '../host/entropy.ts';
import { requireMemory, type BootInput } from './boot-input.ts';
import { loadSegments, parseElf, PT_LOAD } from './elf.ts';
import type { ElfImage } from './elf.ts';

// What a bzImage's own loader does once it has unpacked the kernel (Documentation/arch/x86/boot.rst): segments to where
// they are to run, at an address of chance (KASLR), and relocations applied.

const MIB = 2 ** 20;
/** Where Linux's kernel mapping ends, from its beginning: KERNEL_IMAGE_SIZE of page_64_types.h and page_32_types.h. */
const MAPPING = { 64: 1024 * MIB, 32: 512 * MIB } as const;
const LOWEST = 16 * MIB;

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

/** Loads an unpacked kernel, `input.kernel`. Undefined, and RAM as it was, when it is not what its bzImage promises. */
export function loadUnpacked(input: BootInput, placement: Placement): LoadedKernel | undefined {
  try {
    const image = parseElf(input);
    const first = image.segments.find(({ type }) => type === PT_LOAD);
    if (first === undefined || first.physical !== placement.preferred) return undefined;
    const relocations = placement.entropy === undefined ? undefined : readRelocations(input.kernel, elfEnd(input.kernel, image), placement.width);
    const moves = relocations === undefined ? STAYS : chooseMoves(placement, placement.entropy!);
    for (const { type, physical, memoryBytes } of image.segments) {
      if (type === PT_LOAD) requireMemory(input, physical + moves.physical, physical + moves.physical + memoryBytes);
    }
    if (relocations !== undefined && moves.virtual !== 0) relocate(input.kernel, image, relocations, moves.virtual);
    loadSegments(input, image, moves.physical);
    return { entry: image.entry + moves.physical, moved: moves !== STAYS };
  } catch (error) {
    if (error instanceof UserError || error instanceof RangeError) return undefined;
    throw error;
  }
}

interface Moves {
  readonly physical: number;
  readonly virtual: number;
}
const STAYS: Moves = { physical: 0, virtual: 0 };

/** In 64-bit code both addresses are a matter of chance by themselves; in 32-bit code one follows from the other. */
function chooseMoves({ width, preferred, alignment, bytes, top, entropy }: Placement, source: Entropy): Moves {
  const lowest = Math.max(LOWEST, alignment);
  const physical = chance(source, lowest, (width === 32 ? Math.min(top, MAPPING[32]) : top) - bytes, alignment) ?? preferred;
  if (width === 32) return { physical: physical - preferred, virtual: physical - preferred };
  const virtual = chance(source, preferred, MAPPING[64] - bytes, alignment) ?? preferred;
  return { physical: physical - preferred, virtual: virtual - preferred };
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

interface Relocations {
  /** Virtual addresses of words that grow with the kernel's, 32 and 64 bits wide, and of 32-bit ones that shrink. */
  readonly words: Uint32Array;
  readonly inverse: Uint32Array;
  readonly longs: Uint32Array;
}
const NONE = new Uint32Array(0);

/**
 * The lists behind the ELF file, each a zero and then 32-bit virtual addresses (64-bit kernels': sign extended): of 64-bit
 * words, of 32-bit words that are relative to what does not move (kernels up to 6.14), of 32-bit words; a 32-bit kernel
 * has the last alone. Undefined when something else lies there.
 */
function readRelocations(file: Uint8Array, start: number, width: 32 | 64): Relocations | undefined {
  if (start >= file.length || (file.length - start) % 4 !== 0) return undefined;
  const words = new Uint32Array(file.slice(start).buffer);
  if (words[0] !== 0) return undefined;
  const lists: Uint32Array[] = [];
  for (let at = 0; at >= 0;) {
    const end = words.indexOf(0, at + 1);
    lists.push(words.subarray(at + 1, end < 0 ? words.length : end));
    at = end;
  }
  if (width === 32) return lists.length === 1 ? { words: lists[0]!, inverse: NONE, longs: NONE } : undefined;
  if (lists.length === 2) return { words: lists[1]!, inverse: NONE, longs: lists[0]! };
  return lists.length === 3 ? { words: lists[2]!, inverse: lists[1]!, longs: lists[0]! } : undefined;
}

/** Throws a RangeError for a word outside of the file. */
function relocate(file: Uint8Array, image: ElfImage, { words, inverse, longs }: Relocations, delta: number): void {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const place = places(image);
  const add = (at: number, change: number): void => view.setUint32(at, view.getUint32(at, true) + change, true);
  for (const address of words) add(place(address), delta);
  for (const address of inverse) add(place(address), -delta);
  for (const address of longs) {
    const at = place(address);
    view.setBigUint64(at, view.getBigUint64(at, true) + BigInt(delta), true);
  }
}

/** Place in the file of a virtual address: by its physical one, for per-CPU data have another virtual one. */
function places(image: ElfImage): (virtual: number) => number {
  const loads = image.segments.filter(({ type, fileBytes }) => type === PT_LOAD && fileBytes > 0);
  const first = loads[0]!;
  const toPhysical = (first.physical - (first.virtual % 2 ** 32)) % 2 ** 32;
  let last = first;
  return (virtual) => {
    const physical = (virtual + toPhysical + 2 ** 32) % 2 ** 32;
    const within = (segment: typeof first): boolean => physical >= segment.physical && physical + 4 <= segment.physical + segment.fileBytes;
    if (!within(last)) last = loads.find(within) ?? outside();
    return last.offset + physical - last.physical;
  };
}

function outside(): never {
  throw new RangeError('a relocation outside of the kernel');
}
