import { expect, test } from 'vitest';
import { VirtualMachine } from '../../src/index.ts';
import { command, powerOff, shell } from '../support/guest-shell.ts';

const guest = { append: 'quiet loglevel=3', memory: '256M', machine: 'microvm' } as const;

test('a stock kernel takes its clock from the paravirtual interface, and messages between its processors', async () => {
  const vm = await shell({ ...guest, cpus: 2, overcommit: true });
  const messages = await command(vm, 'dmesg | grep -i kvm');
  for (const line of ['Hypervisor detected: KVM', 'kvm-clock: Using msrs 4b564d01 and 4b564d00', 'kvm-guest: setup PV IPIs', 'remote TLB flush', 'PV spinlocks enabled']) expect(messages).toMatch(new RegExp(line, 'i'));
  expect(await command(vm, 'cat /sys/devices/system/clocksource/clocksource0/available_clocksource')).toContain('kvm-clock');
  const seconds = /^(\d+)\n/.exec(await command(vm, 'date +%s'))![1];
  expect(Math.abs(Number(seconds) - Date.now() / 1000)).toBeLessThan(600);
  // Its timer's and the processors' interrupts to each other are edge-triggered, and seldom two at once.
  const { interrupt, paravirtEoi } = vm.report().exits;
  expect(paravirtEoi! / interrupt!).toBeGreaterThan(0.5);
  await powerOff(vm);
});

test('one processor, too, leaves out most ends of interrupts, before it is stored and after', async () => {
  const vm = await shell(guest);
  const { interrupt, paravirtEoi } = vm.report().exits;
  expect(paravirtEoi! / interrupt!).toBeGreaterThan(0.5);
  const state = vm.save();
  await vm.stop();
  const again = await VirtualMachine.create({ guest: 'linux', ...guest, engine: 'interpreter' });
  again.load(state);
  void again.start();
  const before = again.report().exits;
  await command(again, 'i=0; while [ $i -lt 20 ]; do usleep 1000; i=$((i+1)); done');
  const after = again.report().exits;
  expect(after['paravirtEoi']! - before['paravirtEoi']!).toBeGreaterThan(10);
  await powerOff(again);
});

test('hidden, the same kernel finds none of it', async () => {
  const vm = await shell({ ...guest, paravirt: false });
  expect(await command(vm, 'dmesg | grep -i -c kvm; true')).toMatch(/^0\n/);
  expect(vm.report().exits['paravirtEoi']).toBe(0);
  await powerOff(vm);
});
