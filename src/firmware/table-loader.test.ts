import { expect, it } from 'vitest';
import { buildAcpiTables, buildRelocatableAcpiTables, type AcpiOptions } from './acpi-tables.ts';
import { acpiFiles } from './table-loader.ts';

const OPTIONS: AcpiOptions = {
  apicIds: [0], lowBytes: 512 * 2 ** 20, pmBase: 0x600, pmTimer: true, smiCommandPort: 0xb2, smiEnable: 0xa1, smiDisable: 0xa0, sleepTypeS5: 5, resetPort: 0xcf9, resetValue: 6,
  pciConfigSpace: { address: 0xe0000000, buses: 16 }, pirqOf: () => 0, pciInterrupts: [10, 11], serialPorts: [], parallelPorts: [], keyboardController: true, vga: true,
};

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes).replace(/\0.*$/s, '');

it('the script brings the tables to where they would have been built for', () => {
  const files = acpiFiles(buildRelocatableAcpiTables(OPTIONS));
  const bases: Record<string, number> = {};
  const places: Record<string, number> = { 'etc/acpi/rsdp': 0xe0000, 'etc/acpi/tables': 0xe0040 };
  const memory = new Uint8Array(0x20000);
  const view = new DataView(memory.buffer);
  const script = files.get('etc/table-loader')!;
  expect(script.length % 128).toBe(0);
  for (let at = 0; at < script.length; at += 128) {
    const record = script.subarray(at, at + 128);
    const fields = new DataView(script.buffer, at, 128);
    const file = text(record.subarray(4, 60));
    switch (fields.getUint32(0, true)) {
      case 1:
        expect(places[file]! % fields.getUint32(60, true)).toBe(0);
        bases[file] = places[file]!;
        memory.set(files.get(file)!, bases[file] - 0xe0000);
        break;
      case 2: {
        const target = bases[file]! - 0xe0000 + fields.getUint32(116, true);
        const base = bases[text(record.subarray(60, 116))]!;
        if (fields.getUint8(120) === 8) view.setBigUint64(target, view.getBigUint64(target, true) + BigInt(base), true);
        else view.setUint32(target, view.getUint32(target, true) + base, true);
        break;
      }
      case 3: {
        const base = bases[file]! - 0xe0000;
        const first = base + fields.getUint32(64, true);
        const sum = memory.subarray(first, first + fields.getUint32(68, true)).reduce((total, byte) => total + byte, 0);
        memory[base + fields.getUint32(60, true)]! -= sum;
        break;
      }
      default:
        throw new Error('unknown command');
    }
  }
  const direct = buildAcpiTables(OPTIONS, 0xe0000);
  expect(Buffer.from(memory.subarray(0, direct.bytes.length)).equals(direct.bytes)).toBe(true);
});
