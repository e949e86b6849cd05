import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { buildAcpiTables, type AcpiOptions } from './acpi-tables.ts';

const OPTIONS: AcpiOptions = {
  apicIds: [0, 1],
  lowBytes: 512 * 2 ** 20,
  pmBase: 0x600,
  pmTimer: true,
  hpet: { address: 0xfed00000, capabilities: 0x8086a201 },
  smiCommandPort: 0xb2,
  smiEnable: 0xa1,
  smiDisable: 0xa0,
  sleepTypeS5: 5,
  resetPort: 0xcf9,
  resetValue: 6,
  pciConfigSpace: { address: 0xe0000000, buses: 16 },
  pirqOf: (slot, pin) => (slot + pin) & 3,
  pciInterrupts: [10, 11],
  serialPorts: [{ port: 0x3f8, interrupt: 4 }],
  parallelPorts: [{ port: 0x378, interrupt: 7 }],
  keyboardController: true,
  vga: false,
};

/** Tables by signature, found by following the pointers from the RSDP. */
function follow(options: AcpiOptions): Map<string, Uint8Array> {
  const { address, bytes, rsdp } = buildAcpiTables(options);
  const view = new DataView(bytes.buffer);
  const tables = new Map<string, Uint8Array>();
  const take = (at: number): DataView => {
    const offset = at - address;
    const length = view.getUint32(offset + 4, true);
    const table = bytes.subarray(offset, offset + length);
    tables.set(String.fromCharCode(...table.subarray(0, 4)), table);
    return new DataView(bytes.buffer, offset, length);
  };
  const root = rsdp - address;
  tables.set('RSDP', bytes.subarray(root, root + 36));
  const rsdt = take(view.getUint32(root + 16, true));
  const xsdt = take(Number(view.getBigUint64(root + 24, true)));
  for (let at = 36; at < xsdt.byteLength; at += 8) take(Number(xsdt.getBigUint64(at, true)));
  const narrow = Array.from({ length: (rsdt.byteLength - 36) / 4 }, (_, i) => rsdt.getUint32(36 + 4 * i, true));
  const wide = Array.from({ length: (xsdt.byteLength - 36) / 8 }, (_, i) => Number(xsdt.getBigUint64(36 + 8 * i, true)));
  expect(narrow).toEqual(wide);
  const fadt = tables.get('FACP')!;
  const fields = new DataView(fadt.buffer, fadt.byteOffset, fadt.byteLength);
  take(fields.getUint32(36, true));
  take(fields.getUint32(40, true));
  return tables;
}

const sum = (bytes: Uint8Array) => bytes.reduce((total, byte) => (total + byte) & 0xff, 0);

describe('ACPI tables', () => {
  it('have right checksums and lead to each other', () => {
    const tables = follow(OPTIONS);
    expect([...tables.keys()].sort()).toEqual(['APIC', 'DSDT', 'FACP', 'FACS', 'HPET', 'MCFG', 'RSDP', 'RSDT', 'XSDT']);
    for (const [signature, table] of tables) if (signature !== 'FACS') expect([signature, sum(table)]).toEqual([signature, 0]);
    expect(sum(tables.get('RSDP')!.subarray(0, 20))).toBe(0);
    expect(tables.get('FACS')!.byteOffset % 64).toBe(0);
    expect(tables.get('FACP')!.length).toBe(276);
  });

  it('list every processor, also those beyond eight bits of APIC identifier', () => {
    const madt = follow({ ...OPTIONS, apicIds: [0, 4, 300] }).get('APIC')!;
    const entries: number[][] = [];
    for (let at = 44; at < madt.length; at += madt[at + 1]!) entries.push([...madt.subarray(at, at + madt[at + 1]!)]);
    expect(entries.filter(([type]) => type === 0).map((entry) => entry[3])).toEqual([0, 4]);
    expect(entries.find(([type]) => type === 9)!.slice(4, 8)).toEqual([44, 1, 0, 0]);
    expect(entries.filter(([type]) => type === 2).map((e) => [e[3], e[4], e[8]])).toEqual([[0, 2, 5], [9, 9, 13], [10, 10, 13], [11, 11, 13]]);
  });

  const iasl = spawnSync('iasl', ['-v']).status === 0;
  it.skipIf(!iasl)(`compile again with the reference compiler${iasl ? '' : ' (SKIPPED: no iasl; Debian package acpica-tools)'}`, () => {
    const folder = mkdtempSync(join(tmpdir(), 'acpi-'));
    try {
      for (const [signature, table] of follow(OPTIONS)) {
        if (signature === 'RSDP' || signature === 'FACS') continue;
        const file = join(folder, signature.toLowerCase());
        writeFileSync(`${file}.dat`, table);
        const back = spawnSync('iasl', ['-d', `${file}.dat`], { encoding: 'utf8' });
        expect([signature, back.status]).toEqual([signature, 0]);
        expect(back.stdout + back.stderr).not.toMatch(/error|warning|invalid|incorrect checksum/i);
        const again = spawnSync('iasl', ['-we', '-p', `${file}-new`, `${file}.dsl`], { encoding: 'utf8' });
        expect(again.stdout + again.stderr).toMatch(/Compilation successful. 0 Errors, 0 Warnings/);
        // But for the header (compiler's name and checksum) the tables must come back byte for byte.
        if (signature !== 'DSDT') expect([...readFileSync(`${file}-new.aml`).subarray(36)]).toEqual([...table.subarray(36)]);
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
