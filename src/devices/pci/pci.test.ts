import { describe, expect, it } from 'vitest';
import { StateError } from '../../base/errors.ts';
import type { RegisterBlock } from '../../wiring/register-block.ts';
import { ResetControl } from '../acpi/reset-control.ts';
import type { BusChange } from './bus-change.ts';
import { IsaBridge, PowerManagementFunction, addChipset, pciHeader, pinBehindBridge, pirqOf, setUpChipset } from './chipset.ts';
import { PciConfigPorts } from './config-ports.ts';
import { Ecam } from './ecam.ts';
import { PciBridge } from './pci-bridge.ts';
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
  const raised: number[] = [];
  const interrupt = (irq: number) => ({ kind: 'level' as const, set: (high: boolean) => void raised.push(high ? irq : -irq) });
  const isa = new IsaBridge(interrupt);
  addChipset(bus, isa, new PowerManagementFunction(block('acpi', 64), (base) => moves.push(base)), () => {});
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
  return { bus, isa, raised: () => raised.splice(0), ports, moves, read, write, take, resets: () => resets };
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
    addChipset(empty, new IsaBridge(() => ({ kind: 'level', set: () => {} })), new PowerManagementFunction(block('acpi', 64), () => {}), () => {});
    expect(() => empty.load(state[0], 1)).toThrow(StateError);
    a.bus.reset();
    expect(a.take()).toEqual(['unmap memory fe000000 registers']);
  });

  it('moves the ACPI ports, and says where they are', () => {
    const { bus, read, write, take, moves } = make();
    write(1, 3, 0x40, 0xb000);
    expect([take(), moves, read(1, 3, 0x40)]).toEqual([[], [], 0xb001]);
    write(1, 3, 0x80, 1, 1);
    setUpChipset(bus, 0x600);
    expect(take()).toEqual(['map port b000 acpi', 'unmap port b000 acpi', 'map port 600 acpi']);
    const state = bus.save();
    bus.reset();
    bus.load(state, 1);
    expect([take(), moves]).toEqual([['unmap port 600 acpi', 'map port 600 acpi'], [0xb000, 0x600, undefined, 0x600]]);
  });

  it('routes interrupts where the guest says, while they are raised too', () => {
    const { bus, isa, raised, write } = make();
    const [one, another] = [isa.pirq(1), isa.pirq(1)];
    one.set(true);
    expect(raised()).toEqual([]); // off after reset
    setUpChipset(bus, 0x600);
    expect(raised()).toEqual([10]);
    another.set(true);
    one.set(false);
    write(1, 0, 0x61, 5, 1);
    expect(raised()).toEqual([-10, 5]);
    for (const reserved of [0, 2, 8, 13, 0x85]) {
      write(1, 0, 0x61, reserved, 1);
      expect(raised()).toEqual([-5]);
      write(1, 0, 0x61, 5, 1);
      expect(raised()).toEqual([5]);
    }
    const other = make();
    other.isa.pirq(1).set(true);
    other.bus.load(bus.save(), 1);
    expect(other.raised()).toEqual([5]);
    another.set(false);
    expect(raised()).toEqual([-5]);
  });

  it('shows configuration space as memory', () => {
    const { bus, read, write } = make();
    const ecam = new Ecam(bus, 16);
    const at = (slot: number, func: number, register: number) => (slot << 15) | (func << 12) | register;
    expect(ecam.length).toBe(16 << 20);
    expect([ecam.read(at(1, 3, 0), 4), ecam.read(at(1, 3, 2), 2), ecam.read(at(9, 0, 0), 2)]).toEqual([0x71138086, 0x7113, 0xffff]);
    ecam.write(at(3, 0, 0x14), 4, 0xfe000000);
    expect(read(3, 0, 0x14)).toBe(0xfe000000);
    write(3, 0, 0x14, 0xfd000000);
    expect(ecam.read(at(3, 0, 0x17), 1)).toBe(0xfd);
    // Behind the 256 bytes of a conventional function, across doublewords, on a bus that is not there.
    expect([ecam.read(at(3, 0, 0x100), 4), ecam.read(at(3, 0, 2), 4), ecam.read((1 << 20) + at(3, 0, 0), 4)]).toEqual([0xffffffff, 0xffffffff, 0xffffffff]);
  });

  it('passes through a bridge what its windows let through', () => {
    const { bus, take, read, write } = make();
    const changes: BusChange[] = [];
    const bridge = new PciBridge('bridge', (change) => changes.push(change));
    bridge.bus.add(4, 0, device());
    bus.addBridge(24, bridge);
    const behind = { read: (register: number) => bus.readConfig(2, 4, 0, register, 4), write: (register: number, value: number) => bus.writeConfig(2, 4, 0, register, 4, value) };
    expect([read(24, 0, 0x0a, 2), read(24, 0, 0x0e, 1), behind.read(0) >>> 0]).toEqual([0x0604, 1, 0xffffffff]);
    write(24, 0, 0x18, 0x00020200);
    expect(behind.read(0)).toBe(0x56781234);
    behind.write(0x14, 0xfe001000);
    behind.write(4, 2);
    expect([changes, take()]).toEqual([[], []]);
    write(24, 0, 0x20, 0xfe00fe00); // one MiB from FE000000h
    expect(take()).toEqual([]);
    write(24, 0, 4, 6, 2);
    expect(take()).toEqual(['map memory fe001000 registers']);
    behind.write(0x14, 0xfe002000);
    expect(changes.splice(0).map(({ kind, base }) => [kind, base])).toEqual([['unmap', 0xfe001000], ['map', 0xfe002000]]);
    const state = bus.save();
    write(24, 0, 0x20, 0xfd00fe00); // closed
    expect(take()).toEqual(['unmap memory fe002000 registers']);
    bus.load(state, 1);
    expect(take()).toEqual(['map memory fe002000 registers']);
    expect(bus.save()).toEqual(state);
    write(24, 0, 0x3e, 0x40, 2); // secondary bus reset
    expect([take(), behind.read(0x14)]).toEqual([['unmap memory fe002000 registers'], 0]);
    bus.reset();
    expect(behind.read(0) >>> 0).toBe(0xffffffff);
  });

  it('spreads interrupts and finds free slots', () => {
    expect([pirqOf(2, 1), pirqOf(3, 1), pirqOf(2, 2), pirqOf(0, 1)]).toEqual([1, 2, 2, 3]);
    expect([pinBehindBridge(0, 1), pinBehindBridge(1, 1), pinBehindBridge(3, 2)]).toEqual([1, 2, 1]);
    const { bus } = make();
    expect(bus.freeSlot()).toBe(2);
    expect(() => bus.add(3, 0, device())).toThrow(/taken/);
  });
});
