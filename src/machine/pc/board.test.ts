import { expect, it } from 'vitest';
import type { Vcpu } from '../../cpu/vcpu.ts';
import { MemoryDisk } from '../../devices/storage/memory-disk.test-support.ts';
import type { InterruptInput } from '../../wiring/interrupt-input.ts';
import type { SystemBus } from '../../wiring/system-bus.ts';
import type { BoardOptions } from '../board.ts';
import type { BootOrder } from '../boot-source.ts';
import type { DiskInterface, Drive } from '../drives.ts';
import { buildPcBoard } from './board.ts';

/** A board with a processor that only hands out its two sockets. */
function sockets(options: Partial<BoardOptions> = {}): { bus: SystemBus; interrupts: InterruptInput; reset(): void } {
  let found: { bus: SystemBus; interrupts: InterruptInput } | undefined;
  const board = buildPcBoard({
    memoryBytes: 16 * 2 ** 20, debugExitPort: undefined, drives: [], nics: [], shares: [], ports: [], firmware: undefined, serial: { write: () => {} }, clock: { now: () => 0 }, wallClock: { now: () => 0 },
    entropy: { fill: (bytes) => void bytes.fill(0) }, log: { warn: () => {}, tracing: () => false, trace: () => {} },
    createVcpu: (made) => {
      found = made;
      return { setA20: () => {}, reset: () => {}, codeWritten: () => {}, memoryMapChanged: () => {} } as unknown as Vcpu;
    },
    events: { powerOff: () => {}, reset: () => {}, debugExit: () => {}, kick: () => {} },
    ...options,
  });
  return { ...found!, reset: () => board.reset() };
}

it('a guest that knows no APIC gets the interrupts of the 8259, also after a reset', () => {
  const { bus, interrupts, reset } = sockets();
  for (let round = 0; round < 2; round++) {
    bus.writePort(0x20, 1, 0x11);
    for (const value of [0x20, 4, 1, 0xfe]) bus.writePort(0x21, 1, value);
    expect(interrupts.pending()).toBe(false);
    // The serial port interrupts at once when "transmitter empty" is enabled, through OUT2.
    bus.writePort(0x21, 1, 0xef);
    bus.writePort(0x3fc, 1, 0x08);
    bus.writePort(0x3f9, 1, 0x02);
    expect([interrupts.pending(), interrupts.acknowledge()]).toEqual([true, 0x24]);
    reset();
  }
});

/** What firmware reads from a file of its configuration device (QEMU's docs/specs/fw_cfg): undefined, if there is none of that name. */
function firmwareFile(bus: SystemBus, name: string): string | undefined {
  const read = (item: number, from: number, bytes: number): Buffer => {
    bus.writePort(0x510, 2, item);
    return Buffer.from(Array.from({ length: from + bytes }, () => bus.readPort(0x511, 1)).slice(from));
  };
  const DIRECTORY = 0x19;
  const files = Array.from({ length: read(DIRECTORY, 0, 4).readUInt32BE() }, (_, i) => read(DIRECTORY, 4 + 64 * i, 64));
  const entry = files.find((file) => file.subarray(8).toString('latin1').replace(/\0+$/, '') === name);
  return entry && read(entry.readUInt16BE(4), 0, entry.readUInt32BE()).toString('latin1');
}

const disk = (kind: DiskInterface): Drive => ({ kind: 'disk', interface: kind, block: new MemoryDisk(512) });

it('firmware is told of everything that it may boot from, in the order that is asked for', () => {
  const drives: readonly Drive[] = [
    disk('nvme'), { kind: 'floppy', block: undefined }, disk('virtio'), { kind: 'cdrom', block: undefined }, disk('scsi'), disk('ide'), disk('virtio'), disk('ide'), disk('ide'),
    ...Array.from({ length: 7 }, () => disk('ahci')), ...Array.from({ length: 10 }, () => disk('scsi')),
  ];
  const nics = (['virtio', 'e1000'] as const).map((model) => ({ model, mac: Uint8Array.of(0x52, 0x54, 0, 0, 0, 1), port: undefined }));
  const lines = (order: BootOrder | undefined, options: Partial<BoardOptions> = { drives, nics }): readonly string[] | undefined => {
    const firmware = { firmware: new Uint8Array(1 << 17), ...(order === undefined ? {} : { bootOrder: order }) };
    const { bus } = sockets({ ...options, firmware });
    const [text, tables] = [firmwareFile(bus, 'bootorder'), firmwareFile(bus, 'etc/acpi/tables')];
    // A new address of the ACPI ports makes the files anew.
    bus.writePort(0xcf8, 4, 0x80000b40);
    bus.writePort(0xcfc, 4, 0xb001);
    bus.writePort(0xcf8, 4, 0x80000b80);
    bus.writePort(0xcfc, 1, 1);
    expect([firmwareFile(bus, 'bootorder'), firmwareFile(bus, 'etc/acpi/tables') === tables]).toEqual([text, false]);
    return text?.replace(/\0$/, '').split('\n');
  };
  const a = ['/pci@i0cf8/isa@1/fdc@03f0/floppy@0'];
  // Slots go to NVMe and virtio disks first, then to AHCI controllers with six ports each, SCSI and cards.
  const c = [
    ...['drive@0/disk@0', 'drive@0/disk@1', 'drive@1/disk@1'].map((place) => `/pci@i0cf8/ide@1,1/${place}`),
    ...[0, 1, 2, 3, 4, 5].map((port) => `/pci@i0cf8/pci8086,2922@5/drive@${port}/disk@0`), '/pci@i0cf8/pci8086,2922@6/drive@0/disk@0',
    ...'0123456789a'.split('').map((target) => `/pci@i0cf8/scsi@7/channel@0/disk@${target},0`),
    '/pci@i0cf8/scsi@3/disk@0,0', '/pci@i0cf8/scsi@4/disk@0,0', '/pci@i0cf8/nvme@2/namespace@1,0',
  ];
  const d = ['/pci@i0cf8/ide@1,1/drive@1/disk@0'];
  const n = ['/pci@i0cf8/ethernet@8/ethernet-phy@0', '/pci@i0cf8/ethernet@9/ethernet-phy@0'];
  expect(lines(['n', 'd'])).toEqual([...n, ...d, ...a, ...c]);
  expect(lines(['c'])).toEqual([...c, ...a, ...d, ...n]);
  // Without an order, and with nothing to put into one, there is no file.
  expect(lines(undefined)).toBeUndefined();
  expect(lines(['c'], {})).toBeUndefined();
  // Slots 2 to 17h of bus 0, then two behind the bridge in slot 18h.
  const many = lines(['c', 'n'], { drives: Array.from({ length: 24 }, () => disk('virtio')), nics: nics.slice(1) })!;
  expect(many.slice(21)).toEqual(['/pci@i0cf8/scsi@17/disk@0,0', '/pci@i0cf8/pci-bridge@18/scsi@1/disk@0,0', '/pci@i0cf8/pci-bridge@18/scsi@2/disk@0,0', '/pci@i0cf8/pci-bridge@18/ethernet@3/ethernet-phy@0']);
});
