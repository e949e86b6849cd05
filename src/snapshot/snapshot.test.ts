import { crc32, deflateRawSync, inflateRawSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { StateError } from '../base/errors.ts';
import type { Plain } from '../base/plain.ts';
import type { FileReader, Packing } from '../host/files.ts';
import { ContainerReader, ContainerWriter } from './container.ts';
import { decodePlain, encodePlain } from './plain-bytes.ts';
import { StoredMachine, writeStoredMachine } from './stored-machine.ts';

const packing: Packing = {
  checksum: (bytes, before) => crc32(bytes, before),
  deflate: (bytes) => deflateRawSync(bytes),
  inflate: (bytes, length) => {
    const out = inflateRawSync(bytes, { maxOutputLength: length });
    if (out.length !== length) throw new Error('length');
    return out;
  },
};

class MemoryFile {
  contents = new Uint8Array(0);
  write(offset: number, source: Uint8Array): void {
    if (offset + source.length > this.contents.length) {
      const larger = new Uint8Array(offset + source.length);
      larger.set(this.contents);
      this.contents = larger;
    }
    this.contents.set(source, offset);
  }
}
function reader(contents: Uint8Array): FileReader {
  return { bytes: contents.length, read: (offset, target) => target.set(contents.subarray(offset, offset + target.length)) };
}

describe('plain data as bytes', () => {
  const values: readonly Plain[] = [
    null, true, false, 0, -0, 1.5, Number.NaN, -Infinity, 2 ** 53, 0n, -1n, 2n ** 64n - 1n, '', 'Grüße \u{1f600}', new Uint8Array(0), Uint8Array.of(1, 2, 255),
    [], [1, [2, ['x']]], {}, { a: 1, b: { c: [null] }, __proto__x: 2 },
  ];
  it.each(values.map((value) => [value] as const))('%s comes back', (value) => {
    const bytes = encodePlain(value);
    expect(decodePlain(bytes)).toStrictEqual(value);
    expect(encodePlain(decodePlain(bytes))).toStrictEqual(bytes);
  });
  it('keys of objects are data, whatever they are called', () => {
    const value = JSON.parse('{"__proto__": {"x": 1}, "constructor": 2}') as Plain;
    const back = decodePlain(encodePlain(value)) as object;
    expect(Object.keys(back)).toEqual(['__proto__', 'constructor']);
    expect(Object.getPrototypeOf(back)).toBe(Object.prototype);
  });
  it('what is cut off, too deep, or of an unknown tag is refused; other damage does no harm', () => {
    const bytes = encodePlain({ list: [1, 'text', 5n, Uint8Array.of(1, 2, 3)], record: { a: null } });
    for (let length = 0; length < bytes.length; length++) expect(() => decodePlain(bytes.subarray(0, length))).toThrow(StateError);
    expect(() => decodePlain(Uint8Array.of(0, 0))).toThrow(/go on behind/);
    expect(() => decodePlain(Uint8Array.of(9))).toThrow(/unknown tag, 9/);
    expect(() => decodePlain(Uint8Array.of(7, 255, 255, 255, 255))).toThrow(/end too soon/);
    const deep = Uint8Array.from({ length: 600 }, (_, i) => (i % 5 === 0 ? 7 : i % 5 === 1 ? 1 : 0));
    expect(() => decodePlain(deep)).toThrow(/too deeply/);
    let refused = 0;
    for (let at = 0; at < bytes.length; at++) {
      for (const value of [0, 6, 8, 0x7f, 0xff]) {
        const other = bytes.slice();
        other[at] = value;
        try {
          decodePlain(other);
        } catch (error) {
          expect(error).toBeInstanceOf(StateError);
          refused++;
        }
      }
    }
    expect(refused).toBeGreaterThan(100);
  });
});

describe.each([false, true])('container, compressed: %s', (compress) => {
  const large = Uint8Array.from({ length: (2 << 20) + 12345 }, (_, i) => (i < 1 << 20 ? i & 3 : (i * 2654435761) >>> 13));
  const file = new MemoryFile();
  const writer = new ContainerWriter(file, packing, compress);
  writer.add('small', 7, [Uint8Array.of(1, 2), Uint8Array.of(3)]);
  writer.add('empty', 1, []);
  writer.add('large', 1, [large.subarray(0, 100), large.subarray(100)]);
  writer.finish({ program: '1.2.3', machine: { name: 'Grüße' } });

  it('gives back what was put in, in whatever pieces', () => {
    const container = new ContainerReader(reader(file.contents), packing);
    expect([container.program, container.machine, container.names]).toEqual(['1.2.3', { name: 'Grüße' }, ['small', 'empty', 'large']]);
    expect([container.version('small'), container.version('none')]).toEqual([7, undefined]);
    expect(container.read('small')).toEqual(Uint8Array.of(1, 2, 3));
    expect(container.read('empty').length).toBe(0);
    expect(Buffer.compare(container.read('large'), large)).toBe(0);
    const out = new Uint8Array(large.length);
    container.readInto('large', [out.subarray(0, 5), out.subarray(5, 5), out.subarray(5, 1500000), out.subarray(1500000)]);
    expect(Buffer.compare(out, large)).toBe(0);
    expect(() => container.readInto('small', [new Uint8Array(2)])).toThrow(/too long/);
    expect(() => container.readInto('small', [new Uint8Array(4)])).toThrow(/too short/);
    expect(() => container.read('none')).toThrow(/no section none/);
  });

  it('leaves the checks of what a host maps to later, for as long as that is the file itself', () => {
    const contents = file.contents.slice();
    const mapping = { ...reader(contents), map: (offset: number, target: Uint8Array) => target.length > 1000 && (target.set(contents.subarray(offset, offset + target.length)), true) };
    const container = new ContainerReader(mapping, packing);
    const out = new Uint8Array(large.length);
    const unchecked: (() => void)[] = [];
    container.readInto('large', [out.subarray(0, (1 << 20) + 5), out.subarray((1 << 20) + 5)], unchecked);
    expect(Buffer.compare(out, large)).toBe(0);
    // The second block has a piece that is too small to be mapped.
    expect(unchecked.length).toBe(compress ? 0 : 2);
    out.fill(0);
    for (const check of unchecked) check();
    contents[8192 + 3000]! ^= 1;
    if (!compress) expect(() => unchecked.forEach((check) => check())).toThrow(/^is damaged: the checksum of section large/);
  });

  it('sections begin on pages, so that a host may map them', () => {
    const text = Buffer.from(file.contents).toString('latin1');
    const index = JSON.parse(text.slice(text.lastIndexOf('{"program"'))) as { sections: { offset: number }[] };
    expect(index.sections.map(({ offset }) => offset % 4096)).toEqual([0, 0, 0]);
  });

  it('is refused with the reason when it is cut off, foreign, newer or damaged', () => {
    const open = (contents: Uint8Array): ContainerReader => new ContainerReader(reader(contents), packing);
    const refusal = (contents: Uint8Array): string => {
      try {
        const container = open(contents);
        for (const name of container.names) container.read(name);
      } catch (error) {
        expect(error).toBeInstanceOf(StateError);
        return (error as Error).message;
      }
      return 'fine';
    };
    const changed = (at: number, value: number, seal = false): Uint8Array => {
      const contents = file.contents.slice();
      contents[at]! ^= value;
      if (seal) new DataView(contents.buffer).setUint32(40, crc32(contents.subarray(0, 40)), true);
      return contents;
    };
    expect(refusal(file.contents)).toBe('fine');
    expect(refusal(new Uint8Array(0))).toBe('is no stored machine');
    expect(refusal(Buffer.from('#!/bin/sh\nexit 0\n'.repeat(9)))).toBe('is no stored machine');
    expect(refusal(new Uint8Array(8192))).toBe('was not written to its end');
    expect(refusal(changed(16, 3, true))).toBe('was written by a newer version: its format is 2, this version reads 1');
    for (const length of [20, 43, 44, 5000, file.contents.length - 1]) expect(refusal(file.contents.subarray(0, length))).toMatch(/^is truncated: it has/);
    for (let at = 16; at < 44; at++) expect(refusal(changed(at, 1))).toMatch(/^is damaged: the checksum of its head/);
    expect(refusal(changed(file.contents.length - 1, 1))).toBe('is damaged: the checksum of its index does not fit');
    expect(refusal(changed(4096, 1))).toBe('is damaged: the checksum of section small does not fit');
    expect(refusal(changed(8192 + 3000, 1))).toMatch(/^is damaged: .*section large/);
  });
});

describe('stored machine', () => {
  const devices = { clock: { version: 1, state: { now: 5 } }, chip: { version: 3, state: Uint8Array.of(1) } };
  const page = new Uint8Array(4096).fill(7);
  const ram = (runs: { offset: number; data: Uint8Array }[]) => ({ bytes: 65536, runs });
  const store = (runs: { offset: number; data: Uint8Array }[]): StoredMachine => {
    const file = new MemoryFile();
    writeStoredMachine(file, { description: { a: 1 }, devices, ram: ram(runs), files: { kernel: Uint8Array.of(9) } }, { packing, compress: false, program: 'x' });
    return new StoredMachine(reader(file.contents), packing);
  };
  const target = (bytes = 65536) => {
    const contents = new Uint8Array(bytes);
    return { bytes, contents, view: (offset: number, length: number) => contents.subarray(offset, offset + length) };
  };

  it('gives back components, RAM and files', () => {
    const stored = store([{ offset: 8192, data: page }, { offset: 61440, data: page }]);
    expect(stored.devices()).toEqual(devices);
    expect([stored.file('kernel'), stored.file('initrd')]).toEqual([Uint8Array.of(9), undefined]);
    const into = target();
    stored.fillRam(into);
    expect([0, 8191, 8192, 12287, 12288, 61440, 65535].map((at) => into.contents[at])).toEqual([0, 0, 7, 7, 0, 7, 7]);
  });
  it('refuses RAM of another size and pages outside of it', () => {
    expect(() => store([]).fillRam(target(4096))).toThrow(/has 65536 bytes, its machine 4096/);
    expect(() => store([{ offset: 65536, data: page }]).fillRam(target())).toThrow(/does not lie in RAM/);
    expect(() => store([{ offset: -4096, data: page }]).fillRam(target())).toThrow(StateError);
  });
});
