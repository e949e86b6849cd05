import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { VirtualMachine } from '../../src/index.ts';

const folder = mkdtempSync(join(tmpdir(), 'polyvisor-ovmf-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const VARIABLE = 'setvar Kept -guid 11111111-2222-3333-4444-555555555555';

/** Debian's stock OVMF, which comes through apt on the first run, up to its shell's prompt. */
async function shell(nvram: string): Promise<VirtualMachine> {
  const vm = await VirtualMachine.create({ firmware: 'ovmf', nvram, memory: '128M', timeout: 900 });
  void vm.start();
  await vm.console.waitFor(/seconds to skip/, 400_000);
  vm.console.write('\x1b');
  await vm.console.waitFor(/Shell> /, 200_000);
  return vm;
}

test('OVMF comes to its shell on screen and serial line, keeps variables in a file, and powers off', async () => {
  const nvram = join(folder, 'variables');
  const first = await shell(nvram);
  // Its letters are drawn: grey, and the prompt yellow.
  const { width, height, pixels } = first.screenshot().picture;
  const colours = new Set(new Uint32Array(pixels.buffer, pixels.byteOffset, pixels.length / 4));
  expect([width, height, colours.size >= 3]).toEqual([1280, 800, true]);
  await expect(VirtualMachine.create({ firmware: 'ovmf', nvram })).rejects.toThrow(/nvram \S+ is in use by another machine; end that one first/);
  first.console.write(`${VARIABLE} -bs -rt -nv =L"as it was"\r`);
  // A letter for each byte of UCS-2: it lies in the file as it was typed.
  const stored = (): boolean => readFileSync(nvram).includes(Buffer.from('as it was', 'utf16le'));
  while (!stored()) {
    expect(first.report().end).toBeNull();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  await first.console.waitFor(/Shell> /, 200_000);
  first.console.write('reset -s\r');
  expect((await first.finished).kind).toBe('poweroff');

  const second = await shell(nvram);
  second.console.write(`${VARIABLE}\r`);
  await second.console.waitFor(/Kept - 0012 Bytes/, 200_000);
  await second.stop();
}, 1_200_000);

/** With a disk at every interface, CD-ROM and network card, none of them with anything to boot. */
async function everywhere(bootOrder: string): Promise<VirtualMachine> {
  const cdrom = join(folder, 'empty.iso');
  writeFileSync(cdrom, new Uint8Array(1 << 16));
  const disks = (['nvme', 'virtio', 'scsi', 'ahci', 'ide'] as const).map((kind) => ({ ramBytes: 1 << 20, interface: kind }));
  const vm = await VirtualMachine.create({ firmware: 'ovmf', memory: '128M', disks, cdrom, nets: ['none'], nics: ['virtio'], bootOrder, timeout: 900 });
  void vm.start();
  return vm;
}

test('OVMF tries what there is to boot from in the order that is asked for', async () => {
  const vm = await everywhere('cd');
  await vm.console.waitFor(/loading \w+ "EFI Internal Shell"/, 200_000);
  await vm.stop();
  const tried = [...vm.console.text.matchAll(/BdsDxe: failed to load \w+ ".*?" from PciRoot\(0x0\)\/([^/:]+(?:\/[A-Z]\w+)?)/g)].map(([, path]) => path!);
  // By itself it begins with the CD-ROM, and takes disks by their slots.
  expect(tried.slice(0, 7)).toEqual(['Pci(0x1,0x1)/Ata', 'Pci(0x5,0x0)/Sata', 'Pci(0x6,0x0)/Scsi', 'Pci(0x4,0x0)', 'Pci(0x3,0x0)/NVMe', 'Pci(0x1,0x1)/Ata', 'Pci(0x7,0x0)/MAC']);
  expect(vm.console.text).toMatch(/Ata\(Primary[^]*NVMe[^]*Ata\(Secondary/);
}, 1_200_000);

test('OVMF begins with the network when that is asked for', async () => {
  const vm = await everywhere('n');
  await vm.console.waitFor(/Open Source Network Boot Firmware/, 200_000);
  expect(vm.console.text).not.toContain('BdsDxe: failed');
  await vm.stop();
}, 1_200_000);
