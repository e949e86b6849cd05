import { expect, test } from 'vitest';
import { command, powerOff, shell } from '../support/guest-shell.ts';

const guest = { append: 'quiet loglevel=3', memory: '256M', machine: 'microvm' } as const;

test('a stock kernel takes its clock from the paravirtual interface, and messages between its processors', async () => {
  const vm = await shell({ ...guest, cpus: 2, overcommit: true });
  const messages = await command(vm, 'dmesg | grep -i kvm');
  for (const line of ['Hypervisor detected: KVM', 'kvm-clock: Using msrs 4b564d01 and 4b564d00', 'kvm-guest: setup PV IPIs', 'remote TLB flush', 'PV spinlocks enabled']) expect(messages).toMatch(new RegExp(line, 'i'));
  expect(await command(vm, 'cat /sys/devices/system/clocksource/clocksource0/available_clocksource')).toContain('kvm-clock');
  const seconds = /^(\d+)\n/.exec(await command(vm, 'date +%s'))![1];
  expect(Math.abs(Number(seconds) - Date.now() / 1000)).toBeLessThan(600);
  await powerOff(vm);
});

test('hidden, the same kernel finds none of it', async () => {
  const vm = await shell({ ...guest, paravirt: false });
  expect(await command(vm, 'dmesg | grep -i -c kvm; true')).toMatch(/^0\n/);
  await powerOff(vm);
});
