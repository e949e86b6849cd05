import { describe, expect, it } from 'vitest';
import { LinearMemory } from '../memory/linear-memory.ts';
import { chooseMoves, loadUnpacked, roomFor } from './linux-unpacked.ts';
import type { Placement } from './linux-unpacked.ts';
import { unpackLz4 } from './lz4.ts';
import { SparseMemory } from './sparse-memory.test-support.ts';

const MIB = 2 ** 20;
const LINKED = 16 * MIB;
/** Virtual address of the first byte: as Linux has it. */
const VIRTUAL = { 64: 0xffffffff81000000n, 32: 0xc1000000n } as const;

/** A kernel with one segment of 64 bytes, its section headers (none) at the end, and lists of relocations behind them. */
function kernel(width: 32 | 64, lists: readonly (readonly number[])[]): Uint8Array {
  const wide = width === 64;
  const [headers, entryBytes, contents] = wide ? [64, 56, 128] : [52, 32, 96];
  const relocations = lists.flatMap((list) => [0, ...list.map((offset) => Number(VIRTUAL[width] & 0xffffffffn) + offset)]);
  const bytes = new Uint8Array(contents + 64 + 4 * relocations.length);
  const view = new DataView(bytes.buffer);
  const word = (at: number, value: number | bigint): void => (wide ? view.setBigUint64(at, BigInt(value), true) : view.setUint32(at, Number(value), true));
  bytes.set([0x7f, 0x45, 0x4c, 0x46, wide ? 2 : 1, 1, 1]);
  view.setUint16(16, 2, true);
  view.setUint16(18, wide ? 62 : 3, true);
  word(24, LINKED + 4);
  word(wide ? 32 : 28, headers);
  word(wide ? 40 : 32, contents + 64);
  view.setUint16(wide ? 54 : 42, entryBytes, true);
  view.setUint16(wide ? 56 : 44, 1, true);
  view.setUint32(headers, 1, true); // PT_LOAD
  const fields = wide ? [8, 16, 24, 32, 40] : [4, 8, 12, 16, 20];
  [contents, VIRTUAL[width], LINKED, 64, 4096].forEach((value, i) => word(headers + fields[i]!, value));
  for (let at = 0; at < 64; at += 8) view.setBigUint64(contents + at, 0x1111_0000_1111_0000n, true);
  relocations.forEach((value, i) => view.setUint32(contents + 64 + 4 * i, value, true));
  return bytes;
}

/** Takes the addresses that these numbers choose. */
function load(width: 32 | 64, file: Uint8Array, chosen: readonly number[] | undefined, change: Partial<Placement> = {}) {
  const memory = new SparseMemory(256 * MIB);
  const numbers = [...(chosen ?? [])];
  const entropy = chosen && { fill: (bytes: Uint8Array) => new DataView(bytes.buffer).setUint32(0, numbers.shift()!, true) };
  const loaded = loadUnpacked({ kernel: file, commandLine: '', memory }, { width, preferred: LINKED, alignment: 2 * MIB, bytes: 8 * MIB, top: 128 * MIB, entropy, ...change });
  return { loaded, memory };
}

describe('an unpacked Linux kernel', () => {
  it('stays where it was linked to without entropy', () => {
    const { loaded, memory } = load(64, kernel(64, [[16], [], [0]]), undefined);
    expect(loaded).toEqual({ entry: LINKED + 4, moved: false });
    expect(memory.readU32(LINKED)).toBe(0x11110000);
  });
  it('gets two addresses by chance in 64-bit code, and its words follow the virtual one', () => {
    const { loaded, memory } = load(64, kernel(64, [[16], [8], [0]]), [3, 5]);
    const at = LINKED + 3 * 2 * MIB;
    const moved = 5 * 2 * MIB;
    expect(loaded).toEqual({ entry: at + 4, moved: true });
    expect([0, 4, 8, 12, 16, 20, 24].map((offset) => memory.readU32(at + offset)))
      .toEqual([0x11110000 + moved, 0x11110000, 0x11110000 - moved, 0x11110000, 0x11110000 + moved, 0x11110000, 0x11110000]);
  });
  it('has no list of shrinking words from Linux 6.15 on', () => {
    const { memory } = load(64, kernel(64, [[16], [0]]), [0, 1]);
    expect([0, 8, 16].map((offset) => memory.readU32(LINKED + offset))).toEqual([0x11110000 + 2 * MIB, 0x11110000, 0x11110000 + 2 * MIB]);
  });
  it('has one address in 32-bit code', () => {
    const { loaded, memory } = load(32, kernel(32, [[0, 8]]), [2]);
    expect(loaded).toEqual({ entry: LINKED + 4 * MIB + 4, moved: true });
    expect([0, 4, 8].map((offset) => memory.readU32(LINKED + 4 * MIB + offset))).toEqual([0x11110000 + 4 * MIB, 0x11110000, 0x11110000 + 4 * MIB]);
  });
  it('never reaches above its top, nor below 16 MiB', () => {
    for (const number of [0, 0xffffffff, 51, 52, 53]) {
      const { loaded } = load(64, kernel(64, [[], [], []]), [number, 0]);
      expect(loaded!.entry).toBeGreaterThanOrEqual(LINKED);
      expect(loaded!.entry + 8 * MIB).toBeLessThanOrEqual(128 * MIB + 4);
    }
    expect(load(64, kernel(64, [[], [], []]), [9, 0], { top: 20 * MIB }).loaded!.entry).toBe(LINKED + 4);
  });
  it('is left to itself when it is not what its bzImage promises', () => {
    const refused: [string, Uint8Array, Partial<Placement>?][] = [
      ['no ELF file', new Uint8Array(4096)],
      ['linked elsewhere', kernel(64, [[], [], []]), { preferred: 32 * MIB }],
      ['a relocation outside', kernel(64, [[], [], [1 << 16]])],
      ['a relocation that reaches over the end', kernel(64, [[], [], [62]])],
    ];
    for (const [name, file, change] of refused) {
      const { loaded, memory } = load(64, file, [1, 1], change);
      expect(loaded, name).toBeUndefined();
      expect(memory.readU32(LINKED), name).toBe(0);
    }
  });
  it('stays where it was linked to when what lies behind it are no relocations', () => {
    expect(load(64, kernel(64, [[]]), [1, 1]).loaded).toEqual({ entry: LINKED + 4, moved: false });
    expect(load(32, kernel(32, [[], []]), [1]).loaded).toEqual({ entry: LINKED + 4, moved: false });
  });
});

describe('a 64-bit kernel that was unpacked into RAM', () => {
  interface Part {
    readonly offset: number;
    readonly physical: number;
    readonly fileBytes: number;
    readonly memoryBytes: number;
  }
  /** Segments of bytes that tell their places; something else between and behind them; relocations of none of it. */
  function kernelOf(parts: readonly Part[]): Uint8Array {
    const end = Math.max(...parts.map(({ offset, fileBytes }) => offset + fileBytes));
    const bytes = new Uint8Array(end + 12).fill(0xee);
    const view = new DataView(bytes.buffer);
    bytes.fill(0, 0, 64 + 56 * parts.length);
    bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
    view.setUint16(16, 2, true);
    view.setUint16(18, 62, true);
    view.setBigUint64(24, BigInt(LINKED), true);
    view.setBigUint64(32, 64n, true);
    view.setUint16(54, 56, true);
    view.setUint16(56, parts.length, true);
    parts.forEach(({ offset, physical, fileBytes, memoryBytes }, i) => {
      const at = 64 + 56 * i;
      view.setUint32(at, 1, true); // PT_LOAD
      [offset, VIRTUAL[64] + BigInt(physical - LINKED), physical, fileBytes, memoryBytes, 4096].forEach((value, k) => view.setBigUint64(at + 8 * (k + 1), BigInt(value), true));
      for (let k = 0; k < fileBytes; k++) bytes[offset + k] = 1 + ((k + 7 * i) % 251);
    });
    bytes.fill(0, end);
    return bytes;
  }
  const placement: Placement = { width: 64, preferred: LINKED, alignment: 2 * MIB, bytes: 8 * MIB, top: 32 * MIB, entropy: { fill: (bytes) => void bytes.fill(1) } };
  const ram = (memory: LinearMemory): Uint8Array => memory.storage.slice(memory.place(0, 32 * MIB), memory.place(0, 32 * MIB)! + 32 * MIB);
  const text = { offset: 2 * MIB, physical: LINKED, fileBytes: 10_000, memoryBytes: 10_000 };
  const data = { offset: 3 * MIB, physical: LINKED + MIB, fileBytes: 5_000, memoryBytes: 70_000 };

  it.each<[string, readonly Part[]]>([
    ['as its bzImage loads it', [text, data]],
    ['with segments that move down, over what they were', [text, data, { offset: 4 * MIB, physical: LINKED + 2 * MIB - 8192, fileBytes: 20_000, memoryBytes: 20_000 }]],
    ['whose last segment needs more than the file has', [text, { ...data, memoryBytes: 3 * MIB }]],
    ['with a segment that moves up', [text, { ...data, physical: LINKED + 2 * MIB }]],
    ['with segments in another order than in the file', [text, { ...data, offset: 5 * MIB }, { offset: 4 * MIB, physical: LINKED + 2 * MIB, fileBytes: 9, memoryBytes: 9 }]],
    ['that begins elsewhere in its file', [{ ...text, offset: 8192 }, data]],
  ])('is what loading it from elsewhere makes: %s', (_, parts) => {
    const file = kernelOf(parts);
    const [copied, settled] = [new LinearMemory(40 * MIB), new LinearMemory(40 * MIB)];
    const moves = chooseMoves(placement);
    const room = roomFor(settled, placement, moves, file.length)!;
    room.file.set(file);
    const loaded = loadUnpacked({ kernel: room.file, commandLine: '', memory: settled }, placement, moves, room);
    expect(loaded).toEqual({ entry: LINKED + moves.physical, moved: true });
    expect(loadUnpacked({ kernel: file, commandLine: '', memory: copied }, placement, moves)).toEqual(loaded);
    expect(Buffer.compare(ram(settled), ram(copied))).toBe(0);
    expect(settled.readU32(LINKED + moves.physical)).toBe(0x04030201);
  });
  it('has no room above its top, nor outside of RAM', () => {
    const moves = chooseMoves(placement);
    expect(roomFor(new LinearMemory(40 * MIB), placement, moves, 20 * MIB)).toBeUndefined();
    expect(roomFor(new LinearMemory(16 * MIB), { ...placement, top: 64 * MIB }, moves, MIB)).toBeUndefined();
  });
});

describe('an LZ4 legacy frame', () => {
  const frame = (...blocks: number[][]): Uint8Array => Uint8Array.from([2, 0x21, 0x4c, 0x18, ...blocks.flatMap((block) => [block.length, 0, 0, 0, ...block])]);
  const text = (bytes: Uint8Array | undefined): string | undefined => bytes && String.fromCharCode(...bytes);
  const letters = (content: string): number[] => [...content].map((letter) => letter.charCodeAt(0));

  it('holds literals, matches that overlap what they make, and lengths above 15', () => {
    expect(text(unpackLz4(frame([0x50, ...letters('hello')]), 5))).toBe('hello');
    expect(text(unpackLz4(frame([0x24, ...letters('ab'), 2, 0, 0x10, ...letters('c')]), 11))).toBe('ababababab' + 'c');
    expect(text(unpackLz4(frame([0x1f, ...letters('x'), 1, 0, 255, 2, 0x10, ...letters('y')]), 278))).toBe('x'.repeat(277) + 'y');
    const long = 'abcdefghij'.repeat(5);
    expect(text(unpackLz4(frame([0xff, 35, ...letters(long), 50, 0, 31, 0x10, ...letters('z')]), 101))).toBe(`${long}${long}z`);
  });
  it('goes on in its next block, which stands by itself', () => {
    expect(text(unpackLz4(frame([0x40, ...letters('abcd')], [0x20, ...letters('ef')]), 6))).toBe('abcdef');
    expect(unpackLz4(frame([0x40, ...letters('abcd')], [0x00, 4, 0, 0x10, ...letters('!')]), 9)).toBeUndefined();
  });
  it('is refused when it is damaged', () => {
    expect(unpackLz4(frame([0x50, ...letters('hello')]), 4)).toBeUndefined(); // too long
    expect(unpackLz4(frame([0x50, ...letters('hello')]), 6)).toBeUndefined(); // too short
    expect(unpackLz4(frame([0x14, ...letters('a'), 2, 0, 0x10, 0]), 10)).toBeUndefined(); // a match before the beginning
    expect(unpackLz4(frame([0x50, ...letters('hello')]).subarray(0, 10), 5)).toBeUndefined(); // cut off
    expect(unpackLz4(frame([0xf0, 255, 255]), 5)).toBeUndefined();
  });
});
