import { availableParallelism } from 'node:os';
import { isDeepStrictEqual } from 'node:util';
import { expect, test } from 'vitest';
import { VirtualMachine } from '../../src/index.ts';
import { UserError } from '../../src/base/errors.ts';
import { answer, command, powerOff, shell } from '../support/guest-shell.ts';
import { tinyKernel } from '../support/tiny-kernel.ts';

test('a stock Debian kernel has two processors, sends messages between them, is saved and goes on, and powers off', async () => {
  const options = { guest: 'linux', machine: 'microvm', append: 'quiet', memory: '256M', cpus: 2, overcommit: true, noReboot: true } as const;
  const vm = await shell(options);
  await answer(vm, 'nproc; cat /sys/devices/system/cpu/online', /^2\n0-1\n/);
  // The engine changes while both work.
  expect(vm.engines).toEqual(['translator', 'interpreter']);
  expect(() => vm.switchEngine('kvm')).toThrow(/has no engine "kvm"; give one of translator, interpreter/);
  let working = true;
  const work = answer(vm, 'for i in 0 1 2 3; do (dd if=/dev/zero bs=4k count=256 2>/dev/null | md5sum; echo "ready $i") & done; wait; echo all ready', /[^]*all ready/).finally(() => (working = false));
  for (let i = 0; working && i < 10; i++) {
    vm.switchEngine(i % 2 === 0 ? 'interpreter' : 'translator');
    await new Promise((resolve) => setTimeout(resolve, 50 * (i + 1)));
  }
  vm.switchEngine('translator');
  expect((await work).match(/b6d81b360a5672d80c27430f39153e2c/g)).toHaveLength(4);
  expect(vm.report().switches.count).toBeGreaterThan(1);
  expect(vm.report().instructions['interpreter']).toBeGreaterThan(1000);
  // Function calls from one processor to the other.
  await answer(vm, 'grep CAL /proc/interrupts', /CAL:\s+[1-9]\d*\s+[1-9]\d*/);

  const state = vm.save();
  const other = await VirtualMachine.create(options);
  other.load(state);
  expect(isDeepStrictEqual(other.save(), state)).toBe(true);
  await vm.stop();
  void other.start();
  await answer(other, 'taskset 1 nproc; taskset 2 nproc', /^1\n1\n/);
  await powerOff(other);
  const report = other.report();
  expect(report.cpus).toBe(2);
  // Most of what one executes the other does, too.
  expect(report.exits['regionsShared']).toBeGreaterThan(report.exits['regionsMade']! / 10);
  expect(report.instructions['translator']).toBeGreaterThan(1e6);
}, 1_200_000);

test('a stock kernel finds sockets, cores and threads as they were asked for', async () => {
  const vm = await shell({ guest: 'linux', machine: 'microvm', append: 'quiet', memory: '256M', cpus: { sockets: 2, threads: 3 }, overcommit: true });
  const text = await command(vm, "grep -E 'physical id|core id|siblings|cpu cores|^apicid' /proc/cpuinfo | tr -d '\\t' | sort | uniq -c | tr -s ' '; cd /sys/devices/system/cpu; cat cpu*/topology/thread_siblings_list cpu0/cache/index[03]/shared_cpu_list");
  await vm.stop();
  // Second threads come behind all first ones (ACPI 6.5, 5.2.12.1), and identifiers have two bits for three threads.
  expect(text.split('\n').slice(0, -1).map((line) => line.trim())).toEqual([
    ...[0, 1, 2, 4, 5, 6].map((id) => `1 apicid: ${id}`), '6 core id: 0', '6 cpu cores: 1', '3 physical id: 0', '3 physical id: 1', '6 siblings: 3',
    ...[0, 1, 2].flatMap(() => ['0,2,4', '1,3,5']), '0,2,4', '0,2,4',
  ]);
});

test('more processors than the host has are refused, with the remedy', async () => {
  const here = availableParallelism();
  if (here >= 64) return;
  const failure = await VirtualMachine.create({ kernel: tinyKernel([0xf4]), cpus: here + 1 }).then(() => undefined, (error: unknown) => error);
  expect(failure).toBeInstanceOf(UserError);
  expect((failure as Error).message).toContain(`this host has ${here}, so that their threads would wait for each other; give --cpus ${here}, or --overcommit`);
});
