import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { VirtualMachine } from '../../src/index.ts';

// Debian's SeaBIOS has drivers of its own for these controllers, unlike Linux's in all they do: they poll, at 32 bits.

/**
 * A boot sector: INT 13h reads sectors 1 and 2 to 8000h (AH = 42h) and writes them to sectors 5 and 6 (AH = 43h); what was
 * read, up to a zero, goes to the first serial port. Then 0, or 1 after an error, to port F4h.
 */
const BOOT_SECTOR = 'fa31c08ed88ec08ed0bc007cfbbe387cb442cd13721ac606407c05b80043cd13720ebe0080baf803ac84c07405eeebf8b001e6f4f48d740010000200008000000100000000000000';

// Without an interface it is IDE.
test.each(['virtio', 'nvme', 'ahci', undefined] as const)('SeaBIOS boots from a disk at %s, reads and writes it', async (kind) => {
  const folder = mkdtempSync(join(tmpdir(), 'polyvisor-boot-'));
  try {
    const file = join(folder, 'disk.img');
    const image = Buffer.alloc(1 << 20);
    image.set(Buffer.from(BOOT_SECTOR, 'hex'));
    image.set([0x55, 0xaa], 510);
    const text = `a disk at ${kind ?? 'ide'}`.padEnd(700, '.');
    image.write(text, 512);
    writeFileSync(file, image);
    const warnings: string[] = [];
    const log = { warn: () => {}, tracing: (what: string) => what === 'firmware', trace: (what: string, line: string) => void (what === 'firmware' && /warning|timeout|fail/i.test(line) && warnings.push(line)) };
    const vm = await VirtualMachine.create({ firmware: 'seabios', memory: '64M', disks: [kind === undefined ? file : { file, interface: kind }], debugExitPort: 0xf4, timeout: 500, log });
    expect(await vm.start()).toEqual({ kind: 'debug-exit', value: 0 });
    // Behind what SeaBIOS says there.
    expect(vm.console.text.endsWith(text)).toBe(true);
    expect(readFileSync(file).subarray(5 * 512, 7 * 512)).toEqual(image.subarray(512, 3 * 512));
    expect(warnings).toEqual([]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
