import { expect, it } from 'vitest';
import { UserError } from '../base/errors.ts';
import { elfCodeSize, executableSections, isElfFile } from './executable-sections.ts';

/** An ELF file with one code section at 401000h, one data section and the names. */
function elf(bits: 32 | 64, machine = bits === 64 ? 62 : 3): Uint8Array {
  const file = new Uint8Array(0x400);
  const view = new DataView(file.buffer);
  file.set([0x7f, 0x45, 0x4c, 0x46, bits === 64 ? 2 : 1, 1, 1]);
  view.setUint16(18, machine, true);
  const entry = bits === 64 ? 64 : 40;
  const at = bits === 64 ? [40, 58, 60, 62] : [32, 46, 48, 50];
  view.setUint32(at[0]!, 0x200, true);
  [entry, 4, 3].forEach((value, i) => view.setUint16(at[i + 1]!, value, true));
  const offsets = bits === 64 ? { flags: 8, address: 16, offset: 24, size: 32 } : { flags: 8, address: 12, offset: 16, size: 20 };
  const section = (i: number, name: number, type: number, flags: number, address: number, offset: number, size: number): void => {
    const base = 0x200 + i * entry;
    view.setUint32(base, name, true);
    view.setUint32(base + 4, type, true);
    for (const [field, value] of [['flags', flags], ['address', address], ['offset', offset], ['size', size]] as const) view.setUint32(base + offsets[field], value, true);
  };
  section(1, 1, 1, 6, 0x401000, 0x100, 3);
  section(2, 7, 1, 3, 0x402000, 0x110, 8);
  section(3, 13, 3, 0, 0, 0x180, 24);
  file.set([0x90, 0xc3, 0xcc], 0x100);
  file.set(Buffer.from('\0.text\0.data\0.shstrtab\0'), 0x180);
  return file;
}

it.each([32, 64] as const)('finds the code of a %i-bit ELF file', (bits) => {
  const file = elf(bits);
  expect(isElfFile(file)).toBe(true);
  expect(elfCodeSize(file, 'x')).toBe(bits);
  expect(executableSections(file)).toEqual([{ name: '.text', address: 0x401000n, bytes: Uint8Array.of(0x90, 0xc3, 0xcc) }]);
});

it('survives files that are cut off or lie', () => {
  for (const bits of [32, 64] as const) {
    const file = elf(bits);
    for (let length = 52; length < file.length; length++) executableSections(file.slice(0, length));
    for (let i = 4; i < file.length; i++) {
      const damaged = file.slice();
      damaged[i] = 0xff;
      executableSections(damaged);
    }
  }
});

it('refuses other architectures', () => {
  expect(() => elfCodeSize(elf(64, 183), 'x')).toThrow(UserError);
});
