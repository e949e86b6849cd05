import { describe, expect, it } from 'vitest';
import { StateError } from '../base/errors.ts';
import { PAGE_FLAGS, PAGE_FLAG_CODE, RAM_BASE, REGIONS, REGION_BYTES, REGION_FIRST_PAGE, REGION_HOST, REGION_KIND, REGION_KIND_RAM, REGION_KIND_ROM, REGION_PAGES } from './layout.ts';
import { LinearMemory, PCI_HOLE_START } from './linear-memory.ts';

const MIB = 1 << 20;
const FOUR_GIB = 2 ** 32;

describe('linear memory', () => {
  it('writes the region table that engines read', () => {
    const memory = new LinearMemory(3 * 1024 * MIB + 64 * MIB, 0x10000);
    const rom = memory.allocate(0x10000);
    memory.setWindows(rom, [{ first: 0xfffe0000, bytes: 0x10000, kind: 'rom', host: rom.host }]);
    const view = new DataView(memory.wasm.buffer);
    const regions = Array.from({ length: view.getUint32(REGIONS, true) }, (_, i) =>
      [REGION_FIRST_PAGE, REGION_PAGES, REGION_HOST, REGION_KIND].map((field) => view.getUint32(REGIONS + 16 + i * REGION_BYTES + field, true)));
    expect(regions).toEqual([
      [0, PCI_HOLE_START / 4096, RAM_BASE, REGION_KIND_RAM],
      [0xfffe0, 16, RAM_BASE + PCI_HOLE_START + 64 * MIB, REGION_KIND_ROM],
      [FOUR_GIB / 4096, 64 * MIB / 4096, RAM_BASE + PCI_HOLE_START, REGION_KIND_RAM],
    ]);
    expect(memory.lowBytes).toBe(PCI_HOLE_START);
    expect(memory.hostAddress(FOUR_GIB + 5)).toBe(RAM_BASE + PCI_HOLE_START + 5);
    expect(memory.hostAddress(0xd0000000)).toBeUndefined();
  });

  it('shows windows instead of RAM, later ones on top, and tells of every change', () => {
    const memory = new LinearMemory(8 * MIB, 0x4000);
    const storage = memory.allocate(0x4000);
    let changes = 0;
    memory.onMapChanged(() => changes++);
    memory.write(0xa0000, new Uint8Array(0x4000).fill(1));
    storage.data.fill(2);
    const seen = () => [0x9ffff, 0xa0000, 0xa1000, 0xa2000, 0xa3000, 0xa4000].map((address) => {
      const byte = new Uint8Array(1);
      memory.read(address, byte);
      return byte[0];
    });
    memory.setWindows(storage, [{ first: 0xa0000, bytes: 0x4000, kind: 'bus' }]);
    expect(seen()).toEqual([0, 0xff, 0xff, 0xff, 0xff, 0]);
    memory.setWindows(memory, [{ first: 0xa1000, bytes: 0x1000, kind: 'rom', host: storage.host }, { first: 0xa2000, bytes: 0x1000, kind: 'ram', host: storage.host + 0x1000 }]);
    expect(seen()).toEqual([0, 0xff, 2, 2, 0xff, 0]);
    memory.write(0xa0000, new Uint8Array(0x4000).fill(3));
    expect([...new Set(storage.data)]).toEqual([2, 3]);
    expect(storage.data[0]).toBe(2);
    expect(memory.contains(0xa2000, 0x1000)).toBe(true);
    expect(memory.contains(0xa1000, 1)).toBe(false);
    memory.setWindows(storage, [{ first: 0xa0000, bytes: 0x4000, kind: 'ram', host: memory.ramHost(0xa0000) }]);
    memory.setWindows(memory, []);
    expect(seen()).toEqual([0, 1, 1, 1, 1, 0]);
    expect(changes).toBe(4);
    memory.setWindows(memory, []);
    expect(changes).toBe(4);
    expect(new DataView(memory.wasm.buffer).getUint32(REGIONS, true)).toBe(1);
  });

  it('copies by physical address, nothing where no RAM is', () => {
    const memory = new LinearMemory(8 * MIB);
    memory.write(8 * MIB - 2, Uint8Array.of(1, 2, 3, 4));
    const read = new Uint8Array(4);
    memory.read(8 * MIB - 2, read);
    expect([...read]).toEqual([1, 2, 0xff, 0xff]);
    memory.writeU32(0x1ffe, 0xdeadbeef);
    expect(memory.readU32(0x1ffe)).toBe(0xdeadbeef);
    expect(memory.contains(8 * MIB - 4, 4)).toBe(true);
    expect(memory.contains(8 * MIB - 4, 5)).toBe(false);
  });

  it('reports writes into pages with decoded code, page by page', () => {
    const memory = new LinearMemory(8 * MIB);
    const flags = new Uint8Array(memory.wasm.buffer, PAGE_FLAGS, 16);
    flags[2] = flags[3] = PAGE_FLAG_CODE;
    const written: number[][] = [];
    memory.onCodeWritten((...args) => written.push(args));
    memory.write(0x1ff0, new Uint8Array(0x2020));
    expect(written).toEqual([[2, 0, 0x1000], [3, 0, 0x1000]]);
  });

  it('refuses sizes that the layout has no room for', () => {
    for (const bytes of [0, 4096, 8 * MIB + 1, 4096 * MIB]) expect(() => new LinearMemory(bytes)).toThrow(RangeError);
  });
});

describe('stored RAM', () => {
  it('holds the pages that are not zero, and comes back equal', () => {
    const memory = new LinearMemory(8 * MIB);
    memory.write(0x1000, Uint8Array.of(1));
    memory.write(0x2fff, Uint8Array.of(2, 3));
    memory.write(8 * MIB - 1, Uint8Array.of(4));
    const state = memory.save() as { runs: { offset: number; data: Uint8Array }[] };
    expect(state.runs.map((run) => [run.offset, run.data.length])).toEqual([[0x1000, 0x3000], [8 * MIB - 0x1000, 0x1000]]);
    const other = new LinearMemory(8 * MIB);
    other.write(0x5000, Uint8Array.of(9));
    other.load(state, 1);
    expect(other.save()).toEqual(state);
  });

  it('refuses another size, other versions and runs outside of RAM, changing nothing', () => {
    const memory = new LinearMemory(8 * MIB);
    memory.write(0x1000, Uint8Array.of(1));
    const before = memory.save();
    const run = (offset: unknown, data: unknown = new Uint8Array(4096)) => ({ bytes: 8 * MIB, runs: [{ offset, data }] }) as never;
    for (const state of [null, {}, { bytes: 16 * MIB, runs: [] }, { bytes: 8 * MIB, runs: 5 }, run(-1), run(8 * MIB - 1), run(0.5), run(Number.NaN), run(0, 'text'), { bytes: 8 * MIB, runs: [null] }]) {
      expect(() => memory.load(state, 1)).toThrow(StateError);
    }
    expect(() => memory.load(before, 2)).toThrow(StateError);
    expect(memory.save()).toEqual(before);
  });
});
