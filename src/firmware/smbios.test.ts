import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { placeSmbios } from './smbios.ts';

const OPTIONS = { topology: { sockets: 2, cores: 3, threads: 2 }, megahertz: 1000, bytes: 5 * 2 ** 30, lowBytes: 3 * 2 ** 30, product: 'pc', version: '1' };
const sum = (bytes: Uint8Array) => bytes.reduce((total, byte) => (total + byte) & 0xff, 0);

describe('SMBIOS tables', () => {
  it('have an entry point with right checksums, and every structure that is asked for', () => {
    const { address, bytes } = placeSmbios(OPTIONS);
    expect([sum(bytes.subarray(0, 31)), sum(bytes.subarray(16, 31))]).toEqual([0, 0]);
    const view = new DataView(bytes.buffer);
    let at = view.getUint32(24, true) - address;
    const end = at + view.getUint16(22, true);
    const types: number[] = [];
    const handles = new Set<number>();
    while (at < end) {
      types.push(bytes[at]!);
      handles.add(view.getUint16(at + 2, true));
      at += bytes[at + 1]!;
      while (bytes[at] !== 0 || bytes[at + 1] !== 0) at++;
      at += 2;
    }
    expect([at, types.length, handles.size]).toEqual([end, view.getUint16(28, true), types.length]);
    expect(types).toEqual([0, 1, 3, 4, 4, 16, 17, 19, 19, 32, 127]);
  });

  const missing = spawnSync('dmidecode', ['--version']).status !== 0;
  it.skipIf(missing)(`are read by dmidecode without complaint${missing ? ' (SKIPPED: Debian package dmidecode is wanted)' : ''}`, () => {
    const folder = mkdtempSync(join(tmpdir(), 'smbios-'));
    try {
      // A dump as dmidecode makes them: the entry point first, whose table address is an offset into the file.
      const { bytes } = placeSmbios(OPTIONS);
      const view = new DataView(bytes.buffer);
      view.setUint32(24, 32, true);
      bytes[21] = 0;
      bytes[21] = -sum(bytes.subarray(16, 31)) & 0xff;
      bytes[4] = 0;
      bytes[4] = -sum(bytes.subarray(0, 31)) & 0xff;
      const file = join(folder, 'dump');
      writeFileSync(file, bytes);
      const { stdout, stderr } = spawnSync('dmidecode', ['--from-dump', file], { encoding: 'utf8' });
      expect(stderr).toBe('');
      expect(stdout).not.toMatch(/OUT OF SPEC|BAD INDEX|wrong|truncated|invalid|<BAD/i);
      for (const line of ['SMBIOS 2.8 present', 'Product Name: pc', 'System is a virtual machine', 'Current Speed: 1000 MHz', 'Core Count: 3', 'Core Enabled: 3', 'Thread Count: 6', 'Multi-Core', 'Hardware Thread', 'Size: 5 GB', 'Maximum Capacity: 5 GB', 'Range Size: 3 GB', 'Range Size: 2 GB', 'Status: No errors detected']) expect(stdout).toContain(line);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
