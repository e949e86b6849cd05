import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, test, vi } from 'vitest';
import { VirtualMachine } from '../../src/index.ts';
import type { VirtualMachineOptions } from '../../src/index.ts';
import { answer, boot, command, powerOff, shell } from '../support/guest-shell.ts';
import { setForward } from '../support/host-clock.ts';

// The host's time of day goes forward while a machine is stored, or stands still: what its Linux takes for the time afterwards.

const SECOND = 1000;
const HOUR = 3600 * SECOND;
const DAY = 24 * HOUR;
const guest = { append: 'quiet loglevel=3', memory: '256M', machine: 'microvm' } as const;

afterEach(() => vi.restoreAllMocks());

/** A shell whose kernel's watchdogs are on. */
async function watched(options: VirtualMachineOptions): Promise<VirtualMachine> {
  const vm = await boot({ ...guest, ...options });
  await vm.console.waitFor('/root # ', 400_000);
  await command(vm, 'dmesg -n 1');
  return vm;
}

/** Seconds by which the guest's `date` differs from the host's, the middle of the time that asking took; and the uptime in seconds. */
async function look(vm: VirtualMachine): Promise<{ readonly off: number; readonly uptime: number }> {
  const began = Date.now();
  const output = await command(vm, 'date +%s; cut -d " " -f 1 /proc/uptime');
  const [, seconds, uptime] = /^(\d+)\n([\d.]+)\n/.exec(output)!;
  return { off: Number(seconds) + 0.5 - (began + Date.now()) / 2000, uptime: Number(uptime) };
}

/** Until `date` is right to two seconds. */
async function becomesRight(vm: VirtualMachine): Promise<void> {
  // Now and then only: a guest that is asked all the time is at work.
  while (Math.abs((await look(vm)).off) > 2) await sleep(500);
}

async function complaints(vm: VirtualMachine): Promise<string> {
  return command(vm, 'dmesg | grep -iE "lockup|stall|stuck|hung|blocked for|unstable|skew|backwards" || true');
}

test.each([
  [1, 40 * SECOND], [1, 3 * HOUR], [1, 3 * DAY], [2, 3 * HOUR],
])('%i processors, restored %i ms later: the time of day is right, and no watchdog barks', async (cpus, later) => {
  const first = await watched({ cpus, overcommit: true });
  const before = await look(first);
  const state = first.save();
  await first.stop();

  setForward(later);
  const second = await VirtualMachine.create({ guest: 'linux', ...guest, cpus, overcommit: true });
  second.load(state);
  void second.start();
  await becomesRight(second);
  const { uptime } = await look(second);
  expect(uptime - before.uptime).toBeGreaterThan(later / SECOND - 2);
  expect(uptime - before.uptime).toBeLessThan(later / SECOND + 300);
  expect(await complaints(second)).toMatch(/^\[status/);
  // Timers go on as ever.
  await answer(second, 'a=$(date +%s); sleep 2; b=$(date +%s); echo "slept $((b-a))"', /slept [23]\n/);
  await powerOff(second);
}, 1_200_000);

test('a machine that has paused for an hour is right afterwards, also on another engine meanwhile; one without the paravirtual clock goes on where it was', async () => {
  const vm = await watched({ engine: 'translator' });
  const without = await shell({ ...guest, paravirt: false });
  await vm.pause();
  await without.pause();
  setForward(HOUR);
  vm.switchEngine('interpreter');
  vm.resume();
  without.resume();
  await becomesRight(vm);
  expect(await complaints(vm)).toMatch(/^\[status/);
  const { off } = await look(without);
  expect(off).toBeGreaterThan(-HOUR / SECOND - 300);
  expect(off).toBeLessThan(-HOUR / SECOND + 60);
  await vm.stop();
  await without.stop();
}, 1_200_000);
