import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { echo, haltForever, hardReset, outByte, powerOff, print, spin, tinyKernel, tripleFault } from '../../test/support/tiny-kernel.ts';
import { StateError, UserError, VirtualMachine } from '../index.ts';
import type { VirtualMachineOptions } from '../index.ts';

const create = (code: readonly (readonly number[])[], options: VirtualMachineOptions = {}): Promise<VirtualMachine> =>
  VirtualMachine.create({ kernel: tinyKernel(...code), memory: '8M', timeout: 400, ...options });

function record(vm: VirtualMachine): string[] {
  const events: string[] = [];
  for (const event of ['reset', 'halted', 'poweroff', 'died', 'exit'] as const) vm.on(event, () => events.push(event));
  // Output may come in pieces of any size.
  let written = 0;
  vm.on('console', (bytes) => {
    const text = Buffer.from(bytes).toString();
    if (written > 0 && events.length === written) events[written - 1] += text;
    else written = events.push(text);
  });
  return events;
}

describe('a virtual machine', () => {
  it('runs from start to power-off, with events in order', async () => {
    const vm = await create([print('hello'), powerOff()]);
    const events = record(vm);
    expect(vm.start()).toBe(vm.finished);
    expect(await vm.start()).toEqual({ kind: 'poweroff' });
    expect(events).toEqual(['hello', 'poweroff', 'exit']);
    expect(vm.console.text).toBe('hello');
  });

  it('says of what it died', async () => {
    const vm = await create([tripleFault()]);
    const events = record(vm);
    const end = await vm.start();
    if (end.kind !== 'died') expect.fail(end.kind);
    expect(end.registers.rip).toBe(0x100020n);
    expect(end.registers.segments.cs.base).toBe(0n);
    expect(events).toEqual(['died', 'exit']);
  });

  it('starts again after a reset, with the kernel as it was', async () => {
    // Counts in CMOS byte 40h, which a reset leaves alone; the third time it powers off.
    const again = hardReset();
    const count = [...outByte(0x70, 0x40), 0x66, 0xba, 0x71, 0, 0xec, 0xfe, 0xc0, 0xee, 0x3c, 3, 0x74, again.length + 2, ...again, 0xeb, 0xfe];
    const vm = await create([print('boot '), count, powerOff()]);
    const events = record(vm);
    expect(await vm.start()).toEqual({ kind: 'poweroff' });
    expect(events).toEqual(['boot ', 'reset', 'boot ', 'reset', 'boot ', 'poweroff', 'exit']);
    expect(vm.report().resets).toBe(2);
  });

  it('is stopped, before its start too', async () => {
    const vm = await create([print('up'), spin()]);
    vm.start();
    await vm.console.waitFor('up');
    expect(await vm.stop()).toEqual({ kind: 'stopped' });
    expect(await (await create([spin()])).stop()).toEqual({ kind: 'stopped' });
  });

  it('reports a halt for good', async () => {
    const vm = await create([haltForever()]);
    const events = record(vm);
    vm.on('halted', () => void vm.stop());
    expect(await vm.start()).toEqual({ kind: 'stopped' });
    expect(events).toEqual(['halted', 'exit']);
  });

  it('ends in time, also when it has halted', async () => {
    for (const code of [haltForever(), spin()]) expect(await (await create([code], { timeout: 0.2 })).start()).toEqual({ kind: 'timeout' });
  });

  it('hands on what a listener throws', async () => {
    const vm = await create([print('x'), spin()]);
    vm.on('console', () => {
      throw new Error('my own mistake');
    });
    await expect(vm.start()).rejects.toThrow('my own mistake');
  });

  it('does not disturb another one in the same process', async () => {
    const [a, b, c] = await Promise.all([create([print('a'), echo()]), create([print('b'), echo()], { memory: '16M' }), create([print('c'), tripleFault()])]);
    for (const vm of [a, b, c]) vm.start();
    await Promise.all([a.console.waitFor('a'), b.console.waitFor('b'), c.finished]);
    a.console.write('one');
    b.console.write('two');
    await Promise.all([a.console.waitFor('one'), b.console.waitFor('two')]);
    await a.stop();
    b.console.write('still here');
    await b.console.waitFor('still here');
    expect([a.console.text, b.console.text, c.console.text]).toEqual(['aone', 'btwostill here', 'c']);
    await b.stop();
    expect([a.report().memory.guestBytes, b.report().memory.guestBytes]).toEqual([8 << 20, 16 << 20]);
  });

  it('continues where a stored one was, and is stored equal again', async () => {
    const vm = await create([print('up'), echo()]);
    vm.start();
    await vm.console.waitFor('up');
    vm.console.write('typed');
    await vm.console.waitFor('typed');
    const state = structuredClone(vm.save());
    await vm.stop();
    const other = await create([print('other'), spin()]);
    other.load(state);
    expect(other.save()).toEqual(state);
    other.start();
    other.console.write('more');
    await other.console.waitFor('more');
    expect(other.console.text).toBe('more');
    await other.stop();
    const larger = await create([spin()], { memory: '16M' });
    expect(() => larger.load(state)).toThrow(StateError);
  });
});

describe('mistakes in the options', () => {
  it.each<readonly [VirtualMachineOptions, string]>([
    [{ kernel: new Uint8Array(0) }, 'kernel image is empty'],
    [{ kernel: '/no/kernel' }, 'kernel /no/kernel does not exist'],
    [{ guest: 'windows' }, 'guest "windows" is unknown'],
    [{ guest: 'linux', kernel: 'x' }, 'one of the two'],
    [{ kernel: tinyKernel(spin()), memory: 5 }, 'too small'],
    [{ kernel: tinyKernel(spin()), cpus: 65 }, 'from 1 to 64'],
    [{ kernel: tinyKernel(spin()), timeout: -1 }, 'timeout'],
    [{ kernel: tinyKernel(spin()), debugExitPort: 1 << 20 }, 'no I/O port'],
  ])('%o', async (options, message) => {
    const failure = await VirtualMachine.create(options).then(() => undefined, (error: unknown) => error);
    expect(failure).toBeInstanceOf(UserError);
    expect((failure as Error).message).toContain(message);
  });

  it('name the file they are about', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'polyvisor-'));
    try {
      const path = join(folder, 'not-a-kernel');
      writeFileSync(path, '#!/bin/sh\n');
      await expect(VirtualMachine.create({ kernel: path })).rejects.toThrow(`kernel ${path} is no kernel but seems to be a script`);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
