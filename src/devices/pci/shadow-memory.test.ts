import { expect, it } from 'vitest';
import { LinearMemory } from '../../memory/linear-memory.ts';
import { HostBridge } from './chipset.ts';
import { ShadowMemory } from './shadow-memory.ts';

function make() {
  const memory = new LinearMemory(4 << 20, 0x40000);
  const rom = memory.allocate(0x40000);
  rom.data.forEach((_, i) => (rom.data[i] = i >> 14)); // number of its 16 KiB
  memory.write(0xc0000, new Uint8Array(0x40000).fill(0xaa));
  const shadow = new ShadowMemory(memory, rom);
  const bridge = new HostBridge((pam) => shadow.apply(pam));
  const read = (address: number): number => {
    const byte = new Uint8Array(1);
    memory.read(address, byte);
    return byte[0]!;
  };
  /** A processor's write: to RAM, or where the bus sends it. */
  const write = (address: number, value: number): void => {
    if (memory.contains(address, 1)) memory.write(address, Uint8Array.of(value));
    else shadow.write(address - 0xc0000, 1, value);
  };
  return { bridge, read, write };
}

it('after reset the ROM is at the top of 4 GiB and, its last 128 KiB, of the first MiB', () => {
  const { read } = make();
  expect([read(0xfffc0000), read(0xffffffff), read(0xe0000), read(0xfffff), read(0xdffff), read(0xa0000), read(0x9ffff)]).toEqual([0, 15, 8, 15, 0xff, 0xff, 0]);
});

it('each segment reads and writes what its PAM bits say', () => {
  const { bridge, read, write } = make();
  const f = (pam0: number) => bridge.writeConfig(0x59, 1, pam0);
  write(0xf0000, 1); // protected
  expect(read(0xf0000)).toBe(12);
  f(0x20); // read ROM, write RAM
  write(0xf0000, 2);
  expect(read(0xf0000)).toBe(12);
  f(0x30);
  expect(read(0xf0000)).toBe(2);
  write(0xf0001, 3);
  f(0x10); // read RAM, protected
  write(0xf0001, 4);
  expect(read(0xf0001)).toBe(3);
  bridge.writeConfig(0x5a, 1, 0x30); // C4000h only
  expect([read(0xc0000), read(0xc4000), read(0xc8000)]).toEqual([0xff, 0xaa, 0xff]);
  bridge.writeConfig(0x5c, 4, 0x33333333);
  expect([read(0xd0000), read(0xec000)]).toEqual([0xaa, 0xaa]);
  bridge.reset();
  expect([read(0xc4000), read(0xec000), read(0xf0000)]).toEqual([0xff, 11, 12]);
});

it('a loaded state shows what the saved one did', () => {
  const { bridge } = make();
  bridge.writeConfig(0x59, 1, 0x30);
  const other = make();
  other.bridge.loadMapped(bridge.save(), 1);
  other.write(0xf0000, 9);
  expect(other.read(0xf0000)).toBe(9);
});
