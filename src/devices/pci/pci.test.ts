import { describe, expect, it } from 'vitest';
import { StateError } from '../../base/errors.ts';
import type { RegisterBlock } from '../../wiring/register-block.ts';
import { ResetControl } from '../acpi/reset-control.ts';
import type { BusChange } from './bus-change.ts';
import { PowerManagementFunction, addChipset, enablePowerPorts, pciHeader, pciInterrupt } from './chipset.ts';
import { PciConfigPorts } from './config-ports.ts';
import { PciBus } from './pci-bus.ts';
import { RegisterFunction } from './register-function.ts';

const block = (name: string, length: number): RegisterBlock => ({ name, length, read: () => 0, write: () => {} });

function device() {
  return new RegisterFunction({
    name: 'card',
    registers: pciHeader({ vendor: 0x1234, device: 0x5678, revision: 1, classCode: 0x020000, interruptPin: 1 }),
    bars: [
      { index: 0, space: 'port', block: block('ports', 32) },
      { index: 1, space: 'memory', block: block('registers', 4096) },
      { index: 2, space: 'memory', wide: true, prefetchable: true, block: block('frame', 2 ** 20) },
    ],
  });
}

function make() {
  const changes: string[] = [];
  const note = (change: BusChange) => changes.push(`${change.kind} ${change.space} ${change.base.toString(16)} ${change.block.name}`);
  const bus = new PciBus(note);
  const moves: (number | undefined)[] = [];
  addChipset(bus, new PowerManagementFunction(block('acpi', 64), (base) => moves.push(base)), () => {});
  bus.add(3, 0, device());
  let resets = 0;
  const ports = new PciConfigPorts(bus, new ResetControl(() => resets++));
  const select = (slot: number, func: number, register: number) => ports.write(0, 4, 0x80000000 + slot * 0x800 + func * 0x100 + (register & 0xfc));
  const read = (slot: number, func: number, register: number, size: 1 | 2 | 4 = 4) => {
    select(slot, func, register);
    return ports.read(4 + (register & 3), size);
  };
  const write = (slot: number, func: number, register: number, value: number, size: 1 | 2 | 4 = 4) => {
    select(slot, func, register);
    ports.write(4 + (register & 3), size, value);
  };
  const take = () => changes.splice(0);
  return { bus, ports, moves, read, write, take, resets: () => resets };
}

describe('PCI', () => {
  it('shows the chipset, and all ones where nothing is', () => {
    const { read } = make();
    expect(read(0, 0, 0)).toBe(0x12378086);
    expect(read(1, 0, 0)).toBe(0x70008086);
    expect(read(1, 0, 0x0e, 1)).toBe(0x80);
    expect(read(1, 3, 0)).toBe(0x71138086);
    expect(read(1, 3, 0x40)).toBe(1);
    expect(read(0, 0, 0x0a, 2)).toBe(0x0600);
    expect([read(2, 0, 0), read(2, 0, 2, 2), read(2, 0, 1, 1)]).toEqual([0xffffffff, 0xffff, 0xff]);
  });

  it('takes the address by doubleword only and leaves CF9h to the reset register', () => {
    const { ports, resets } = make();
    ports.write(0, 4, 0x80000b43);
    expect(ports.read(0, 4)).toBe(0x80000b40);
    ports.write(1, 1, 0x06);
    expect(resets()).toBe(1);
    expect(ports.read(1, 1)).toBe(0x06);
    ports.write(0, 2, 0x1234);
    expect(ports.read(0, 4)).toBe(0x80000b40);
    ports.write(0, 4, 0);
    expect(ports.read(4, 4)).toBe(0xffffffff);
  });

  it('lets BARs be sized, mapped, moved and unmapped', () => {
    const { read, write, take } = make();
    const size = (register: number) => {
      write(3, 0, register, 0xffffffff);
      return read(3, 0, register);
    };
    expect([size(0x10), size(0x14), size(0x18), size(0x1c)]).toEqual([0xffffffe1, 0xfffff000, 0xfff0000c, 0xffffffff]);
    write(3, 0, 0x10, 0xc000);
    write(3, 0, 0x14, 0xfe000000);
    write(3, 0, 0x18, 0);
    write(3, 0, 0x1c, 0x10);
    expect(take()).toEqual([]);
    write(3, 0, 4, 0x0003, 2);
    expect(take()).toEqual(['map port c000 ports', 'map memory fe000000 registers', 'map memory 1000000000 frame']);
    write(3, 0, 0x10, 0xffffffff); // sizing while decoding: off the bus meanwhile
    write(3, 0, 0x10, 0xc100);
    expect(take()).toEqual(['unmap port c000 ports', 'map port c100 ports']);
    write(3, 0, 4, 0x0001, 1);
    expect(take()).toEqual(['unmap memory fe000000 registers', 'unmap memory 1000000000 frame']);
  });

  it('keeps read-only bits and clears by writing one', () => {
    const { read, write } = make();
    write(3, 0, 0, 0);
    expect(read(3, 0, 0)).toBe(0x56781234);
    write(3, 0, 0x3c, 0xff0b, 2);
    expect(read(3, 0, 0x3c, 2)).toBe(0x010b);
    const func = device();
    func.config.set(0x06, 2, 0xf900 | 0x0200);
    func.writeConfig(0x06, 2, 0x8000);
    expect(func.readConfig(0x06, 2)).toBe(0x7b00);
  });

  it('saves and loads to the bit, mappings included', () => {
    const a = make();
    a.write(3, 0, 0x14, 0xfe000000);
    a.write(3, 0, 4, 0x0002, 2);
    a.take();
    const state = [a.bus.save(), a.ports.save()] as const;
    const b = make();
    b.write(3, 0, 0x14, 0xfd000000);
    b.write(3, 0, 4, 0x0002, 2);
    b.take();
    b.bus.load(state[0], 1);
    b.ports.load(state[1], 1);
    expect([b.bus.save(), b.ports.save()]).toEqual(state);
    expect(b.take()).toEqual(['unmap memory fd000000 registers', 'map memory fe000000 registers']);
    const empty = new PciBus(() => {});
    addChipset(empty, new PowerManagementFunction(block('acpi', 64), () => {}), () => {});
    expect(() => empty.load(state[0], 1)).toThrow(StateError);
    a.bus.reset();
    expect(a.take()).toEqual(['unmap memory fe000000 registers']);
  });

  it('moves the ACPI ports, and says where they are', () => {
    const { bus, read, write, take, moves } = make();
    write(1, 3, 0x40, 0xb000);
    expect([take(), moves, read(1, 3, 0x40)]).toEqual([[], [], 0xb001]);
    write(1, 3, 0x80, 1, 1);
    enablePowerPorts(bus, 0x600);
    expect(take()).toEqual(['map port b000 acpi', 'unmap port b000 acpi', 'map port 600 acpi']);
    const state = bus.save();
    bus.reset();
    bus.load(state, 1);
    expect([take(), moves]).toEqual([['unmap port 600 acpi', 'map port 600 acpi'], [0xb000, 0x600, undefined, 0x600]]);
  });

  it('spreads interrupts and finds free slots', () => {
    expect([pciInterrupt(2, 1), pciInterrupt(3, 1), pciInterrupt(2, 2), pciInterrupt(0, 1)]).toEqual([10, 11, 11, 11]);
    const { bus } = make();
    expect(bus.freeSlot()).toBe(2);
    expect(() => bus.add(3, 0, device())).toThrow(/taken/);
  });
});
