import { expect, test } from 'vitest';
import { parseFexHeader } from './fex-header.ts';

test('a header with everything', () => {
  const header = parseFexHeader(`%ifdef CONFIG
{ "RegData": { "rax": "0x10", "XMM3": ["0x1", "2"] }, "HostFeatures": ["avx", "SSE4.1"], "Mode": "32BIT",
  "MemoryRegions": { "0x100000000": "4096" }, "MemoryData": { "0x100000000": "0x51525354 0x1 aa" }, "Env": { "A": "1" } }
%endif
mov eax, 16
hlt
`)!;
  expect(header.width).toBe(32);
  expect(header.features).toEqual(['AVX', 'SSE4.1']);
  expect(header.registers).toEqual(new Map([['RAX', [16n]], ['XMM3', [1n, 2n]]]));
  expect(header.regions).toEqual(new Map([[0x100000000n, 4096n]]));
  expect(Buffer.from(header.contents.get(0x100000000n)!).toString('hex')).toBe('5453525101aa');
  expect(header.environment).toEqual({ A: '1' });
});

test('a file that is not a test', () => {
  expect(parseFexHeader('%macro nothing 0\n%endmacro\n')).toBeUndefined();
});

test('64 bits where it says nothing', () => {
  expect(parseFexHeader('%ifdef CONFIG\n{}\n%endif\nhlt')).toMatchObject({ width: 64, features: [] });
});
