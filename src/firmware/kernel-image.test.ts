import { describe, expect, it } from 'vitest';
import { UserError } from '../base/errors.ts';
import { BOOT_COMMAND_LINE, BOOT_INFORMATION, BOOT_PAGE_TABLES, BOOT_PARAMS, MULTIBOOT_INFORMATION } from './boot-layout.ts';
import { memoryMap } from './e820.ts';
import { loadKernel } from './kernel-image.ts';
import { SparseMemory } from './sparse-memory.test-support.ts';

const MIB = 2 ** 20;

function text(content: string, length = content.length): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i < content.length ? content.charCodeAt(i) : 0));
}

function image(length: number, fill: (view: DataView, bytes: Uint8Array) => void): Uint8Array {
  const bytes = new Uint8Array(length);
  fill(new DataView(bytes.buffer), bytes);
  return bytes;
}

interface BzOptions {
  readonly version?: number;
  readonly xlf?: number;
  readonly initSize?: number;
  readonly initrdMax?: number;
  readonly loadFlags?: number;
}

/** One setup sector and 4 KiB of protected-mode code that begins with `code`. */
function bzImage({ version = 0x20f, xlf = 1, initSize = 8 * MIB, initrdMax = 0x7fffffff, loadFlags = 1 }: BzOptions = {}): Uint8Array {
  return image(1024 + 4096, (view, bytes) => {
    bytes[0x1f1] = 1;
    view.setUint32(0x1f4, 256, true);
    view.setUint16(0x1fe, 0xaa55, true);
    view.setUint16(0x200, 0x6aeb, true);
    bytes.set(text('HdrS'), 0x202);
    view.setUint16(0x206, version, true);
    bytes[0x211] = loadFlags;
    view.setUint32(0x22c, initrdMax, true);
    view.setUint16(0x236, xlf, true);
    view.setUint32(0x238, 2047, true);
    view.setBigUint64(0x258, 0x1000000n, true);
    view.setUint32(0x260, initSize, true);
    bytes.set(text('code'), 1024);
  });
}

/** An executable with one segment at 2 MiB and, when asked for, a PVH note. */
function elf(bits: 32 | 64, options: { machine?: number; note?: boolean; type?: number; fileBytes?: number } = {}): Uint8Array {
  const { machine = bits === 64 ? 62 : 3, note = true, type = 2, fileBytes = 0x100 } = options;
  return image(0x1200, (view, bytes) => {
    bytes.set([0x7f, 0x45, 0x4c, 0x46, bits === 64 ? 2 : 1, 1, 1]);
    view.setUint16(16, type, true);
    view.setUint16(18, machine, true);
    const headers = bits === 64 ? 64 : 52;
    const size = bits === 64 ? 56 : 32;
    const word = (at: number, value: number) => (bits === 64 ? view.setBigUint64(at, BigInt(value), true) : view.setUint32(at, value, true));
    word(24, 0x200010);
    word(bits === 64 ? 32 : 28, headers);
    view.setUint16(bits === 64 ? 54 : 42, size, true);
    view.setUint16(bits === 64 ? 56 : 44, note ? 2 : 1, true);
    const segment = (i: number, kind: number, offset: number, physical: number, inFile: number, inMemory: number) => {
      const at = headers + size * i;
      view.setUint32(at, kind, true);
      const fields = bits === 64 ? [8, 16, 24, 32, 40] : [4, 8, 12, 16, 20];
      [offset, physical, physical, inFile, inMemory].forEach((value, k) => word(at + fields[k]!, value));
    };
    segment(0, 1, 0x1000, 0x200000, fileBytes, 0x300);
    segment(1, 4, 0x800, 0, 40, 0);
    const notes = [[4, 4, 6, 'Xen', 7], [4, 4, 18, 'Xen', 0x200040]] as const;
    notes.forEach(([nameBytes, bytesOf, kind, owner, value], i) => {
      const at = 0x800 + 20 * i;
      view.setUint32(at, nameBytes, true);
      view.setUint32(at + 4, bytesOf, true);
      view.setUint32(at + 8, kind, true);
      bytes.set(text(owner), at + 12);
      view.setUint32(at + 16, value, true);
    });
    bytes.set(text('text'), 0x1000);
  });
}

function multibootHeader(flags: number, addresses: readonly number[] = []): Uint8Array {
  return image(12 + 4 * addresses.length, (view) => {
    view.setUint32(0, 0x1badb002, true);
    view.setUint32(4, flags, true);
    view.setUint32(8, -(0x1badb002 + flags), true);
    addresses.forEach((address, i) => view.setUint32(12 + 4 * i, address, true));
  });
}

function load(kernel: Uint8Array, options: Partial<Parameters<typeof loadKernel>[0]> = {}) {
  const memory = new SparseMemory(64 * MIB);
  return { memory, start: loadKernel({ kernel, commandLine: 'console=ttyS0', memory, ...options }) };
}

describe('bzImage', () => {
  it('is entered by the 64-bit protocol with everything in boot_params', () => {
    const initrd = text('initrd', 5000);
    const { memory, start } = load(bzImage(), { initrd, rsdp: 0xe0000 });
    expect([start.rip, start.gpr!.rsi, start.cr0, start.cr4, start.efer]).toEqual([0x100200n, BigInt(BOOT_PARAMS), 0x80000011n, 0x20n, 0x500n]);
    expect(start.segments!.cs).toEqual({ selector: 0x10, base: 0n, limit: 0xffffffff, attributes: 0xa09b });
    expect(memory.text(0x100000)).toBe('code');
    const params = memory.view(BOOT_PARAMS, 4096);
    expect(params.getUint32(0x202, true)).toBe(0x53726448);
    expect(params.getUint8(0x210)).toBe(0xff);
    expect(memory.text(params.getUint32(0x228, true))).toBe('console=ttyS0');
    expect(params.getBigUint64(0x70, true)).toBe(0xe0000n);
    const address = params.getUint32(0x218, true);
    expect([address % 4096, params.getUint32(0x21c, true)]).toEqual([0, 5000]);
    expect(address).toBe(64 * MIB - 8192);
    expect(memory.text(address)).toBe('initrd');
    const map = memoryMap(memory);
    expect(params.getUint8(0x1e8)).toBe(map.length);
    expect(params.getBigUint64(0x2d0 + 20 * 3, true)).toBe(BigInt(map[3]!.base));
    expect(params.getUint32(0x2d0 + 20 * 3 + 16, true)).toBe(1);
    // 1027 MiB + 5 through the page tables
    expect(start.cr3).toBe(BigInt(BOOT_PAGE_TABLES));
    const entry = (table: bigint, index: number) => memory.view(Number(table & ~0xfffn) + 8 * index, 8).getBigUint64(0, true);
    expect(entry(entry(entry(start.cr3!, 0), 1), 1)).toBe(0x40200083n);
  });

  it('is entered by the 32-bit protocol without a 64-bit entry, or when told so', () => {
    for (const { start } of [load(bzImage({ xlf: 0 })), load(bzImage({ version: 0x206 })), load(bzImage(), { protocol: 32 })]) {
      expect([start.rip, start.gpr!.rsi, start.gpr!.rbx, start.cr0, start.efer]).toEqual([0x100000n, BigInt(BOOT_PARAMS), 0n, 0x11n, 0n]);
      expect(start.segments!.cs!.attributes).toBe(0xc09b);
    }
  });

  it('is entered in real mode when told so', () => {
    const { memory, start } = load(bzImage(), { protocol: 16 });
    expect([start.rip, start.segments!.cs!.selector, start.segments!.ss!.selector, start.gpr!.rsp]).toEqual([0n, 0x1020, 0x1000, 0xe000n]);
    const setup = memory.view(BOOT_PARAMS, 1024);
    expect([setup.getUint8(0x211), setup.getUint16(0x224, true), setup.getUint32(0x228, true)]).toEqual([0x81, 0xde00, BOOT_COMMAND_LINE]);
  });

  it('keeps the initrd below the address the kernel allows', () => {
    const { memory } = load(bzImage({ initrdMax: 0x2ffffff }), { initrd: text('x', 4096) });
    expect(memory.readU32(BOOT_PARAMS + 0x218)).toBe(0x2fff000);
  });
});

describe('PVH', () => {
  it.each([32, 64] as const)('enters an ELF%i by its note', (bits) => {
    const { memory, start } = load(elf(bits), { initrd: text('initrd', 100), rsdp: 0xe0000 });
    expect([start.rip, start.gpr!.rbx, start.cr0]).toEqual([0x200040n, BigInt(BOOT_INFORMATION), 0x11n]);
    expect(memory.text(0x200000)).toBe('text');
    const info = memory.view(BOOT_INFORMATION, 56);
    expect([info.getUint32(0, true), info.getUint32(4, true), info.getUint32(12, true)]).toEqual([0x336ec578, 1, 1]);
    const module = memory.view(Number(info.getBigUint64(16, true)), 32);
    expect(memory.text(Number(module.getBigUint64(0, true)))).toBe('initrd');
    expect(module.getBigUint64(8, true)).toBe(100n);
    expect(memory.text(Number(info.getBigUint64(24, true)))).toBe('console=ttyS0');
    expect(info.getBigUint64(32, true)).toBe(0xe0000n);
    const map = memoryMap(memory);
    expect(info.getUint32(48, true)).toBe(map.length);
    const last = memory.view(Number(info.getBigUint64(40, true)) + 24 * (map.length - 1), 24);
    expect(last.getBigUint64(0, true)).toBe(BigInt(map.at(-1)!.base));
  });
});

describe('multiboot', () => {
  it('enters an ELF with information, map and module', () => {
    const kernel = elf(32, { note: false });
    kernel.set(multibootHeader(3), 0x400);
    const { memory, start } = load(kernel, { initrd: text('module', 10), kernelName: 'test.elf' });
    expect([start.rip, start.gpr!.rax, start.gpr!.rbx]).toEqual([0x200010n, 0x2badb002n, BigInt(MULTIBOOT_INFORMATION)]);
    const info = memory.view(MULTIBOOT_INFORMATION, 120);
    expect([info.getUint32(0, true) & 0x4d, info.getUint32(4, true), info.getUint32(8, true)]).toEqual([0x4d, 639, 63 * 1024]);
    expect(memory.text(info.getUint32(16, true))).toBe('test.elf console=ttyS0');
    const module = memory.view(info.getUint32(24, true), 16);
    expect(memory.text(module.getUint32(0, true))).toBe('module');
    expect(module.getUint32(4, true) - module.getUint32(0, true)).toBe(10);
    expect(info.getUint32(44, true)).toBe(24 * memoryMap(memory).length);
    expect(memory.readU32(info.getUint32(48, true))).toBe(20);
  });

  it('loads by the header\'s addresses', () => {
    const kernel = new Uint8Array(0x400).fill(0x90);
    kernel.set(multibootHeader(0x10000, [0x300040, 0x300000, 0x300200, 0x300800, 0x300123]), 0x140);
    const { memory, start } = load(kernel);
    expect(start.rip).toBe(0x300123n);
    expect(memory.readU32(0x300040)).toBe(0x1badb002);
    expect([memory.view(0x3001ff, 1).getUint8(0), memory.view(0x300200, 1).getUint8(0)]).toEqual([0x90, 0]);
  });
});

describe('bad input', () => {
  const cases: readonly [string, Uint8Array, Partial<Parameters<typeof loadKernel>[0]>, RegExp][] = [
    ['an empty kernel', new Uint8Array(0), {}, /^kernel k is empty; give a Linux kernel/],
    ['a stub of a file', new Uint8Array(20).fill(0x80), {}, /has only 20 bytes: truncated, or no kernel/],
    ['a truncated bzImage', bzImage().slice(0, 3000), {}, /kernel k is truncated: 3000 bytes of 5120 bytes/],
    ['a bzImage without its setup code', bzImage().slice(0, 900), {}, /truncated: 900 bytes, its setup code alone has 1024 bytes/],
    ['a zImage', bzImage({ loadFlags: 0 }), {}, /is a zImage/],
    ['an ancient protocol', bzImage({ version: 0x201 }), {}, /boot protocol 2\.1; give a bzImage/],
    ['a 64-bit entry that is not there', bzImage({ xlf: 0 }), { protocol: 64 }, /no 64-bit entry/],
    ['too little memory', bzImage({ initSize: 60 * MIB }), {}, /needs memory up to 76\.0 MiB, but the machine has 64\.0 MiB/],
    ['an initrd that does not fit', bzImage(), { initrd: new Uint8Array(50 * MIB), initrdName: 'i.gz' }, /^initrd i\.gz does not fit: it has 50\.0 MiB, but of 64\.0 MiB memory the kernel leaves 40\.0 MiB/],
    ['an empty initrd', bzImage(), { initrd: new Uint8Array(0) }, /the initrd is empty/],
    ['a long command line', bzImage(), { commandLine: 'ä'.repeat(1024) }, /2048 bytes long; kernel k takes at most 2047/],
    ['a zero in the command line', bzImage(), { commandLine: 'a\0b' }, /zero character/],
    ['an arm64 image', image(4096, (_, b) => b.set(text('ARM\x64'), 0x38)), {}, /is for AArch64 \(arm64\); give one for x86/],
    ['a RISC-V image', image(4096, (_, b) => b.set(text('RSC\x05'), 0x38)), {}, /is for RISC-V/],
    ['an arm zImage', image(4096, (v) => v.setUint32(0x24, 0x016f2818, true)), {}, /is for 32-bit Arm/],
    ['an ELF for AArch64', elf(64, { machine: 183 }), {}, /is for AArch64 \(arm64\)/],
    ['a truncated ELF', elf(64).slice(0, 0x1080), {}, /truncated: 4224 bytes of at least 4352 bytes/],
    ['an ELF header alone', elf(64).slice(0, 40), {}, /has not even its header/],
    ['an object file', elf(64, { type: 1 }), {}, /no executable \(an object file or module\)/],
    ['an ELF without an entry we know', elf(64, { note: false }), {}, /neither a PVH entry .* nor a multiboot header/],
    ['a damaged ELF', elf(32, { fileBytes: 0x200 }).fill(0xff, 52 + 20, 52 + 24), {}, /needs memory up to|damaged|truncated/],
    ['a compressed initrd as kernel', image(2048, (_, b) => b.set([0x1f, 0x8b])), {}, /seems to be gzip-compressed data/],
    ['a cpio archive as kernel', text('070701', 2048), {}, /a cpio archive/],
    ['a disk image', image(2048, (v) => v.setUint16(510, 0xaa55, true)), {}, /a disk image or boot sector/],
    ['a text file', text('hello world\n'.repeat(200)), {}, /a text file/],
    ['noise', Uint8Array.from({ length: 9000 }, (_, i) => (i * 73 + 129) & 0xff), {}, /no kernel of a known format/],
  ];
  it.each(cases)('refuses %s', (_, kernel, options, message) => {
    let error: unknown;
    try {
      load(kernel, { kernelName: 'k', ...options });
    } catch (caught) {
      error = caught;
    }
    expect(error).toBeInstanceOf(UserError);
    expect((error as Error).message).toMatch(message);
    expect((error as Error).message).not.toMatch(/\n/);
  });

  it('never fails otherwise, whatever the bytes', () => {
    for (const base of [bzImage(), elf(32), elf(64)]) {
      for (let seed = 1; seed <= 300; seed++) {
        const kernel = base.slice();
        let x = seed * 2654435761;
        for (let k = 0; k < 6; k++) {
          x = Math.imul(x ^ (x >>> 15), 0x2c1b3c6d) >>> 0;
          kernel[x % 0x300] = x >>> 24;
        }
        try {
          load(kernel, { initrd: text('i', 100) });
        } catch (error) {
          if (!(error instanceof UserError)) throw error;
        }
      }
    }
  });
});

describe('memoryMap', () => {
  it('ascends without overlaps and covers all RAM but the reserved parts below 1 MiB', () => {
    const map = memoryMap({ bytes: 5 * 2 ** 30, lowBytes: 3 * 2 ** 30 });
    for (let i = 1; i < map.length; i++) expect(map[i]!.base).toBeGreaterThanOrEqual(map[i - 1]!.base + map[i - 1]!.length);
    const ram = map.filter((entry) => entry.type === 1).reduce((total, entry) => total + entry.length, 0);
    expect(ram).toBe(5 * 2 ** 30 - MIB + 0x9fc00);
    expect(map.at(-1)).toEqual({ base: 2 ** 32, length: 2 * 2 ** 30, type: 1 });
  });
});
