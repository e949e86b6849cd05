import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { processMemory } from '../../bench/guests/process-figures.ts';
import { VirtualMachine } from '../../src/index.ts';
import { RAM_BASE } from '../../src/memory/layout.ts';
import { answer, command, hasDisk, powerOff, shell } from '../support/guest-shell.ts';

test("a stock Debian kernel takes random numbers from a virtio device, runs a shell on a virtio console, and powers off by its button", async () => {
  const vm = await shell({ rng: true, virtioConsole: true });
  await answer(vm, 'cat /sys/class/misc/hw_random/rng_current; head -c 4096 /dev/hwrng | sort -u | wc -c', /^virtio_rng\.0\n[34]\d\d\d\n/);
  // A session of its own: a shell in the background of the first one's terminal would be stopped.
  vm.console.write("setsid sh -c 'exec sh < /dev/hvc0 > /dev/hvc0 2>&1' &\n");
  const second = vm.virtioConsole!;
  await second.waitFor(/# /, 200_000);
  second.write('echo "answer: $((6 * 7))"\n');
  await second.waitFor('answer: 42\r\n', 200_000);
  second.write('cat /sys/class/dmi/id/sys_vendor /sys/class/dmi/id/product_name\n');
  await second.waitFor(/Polyvisor\s+pc\s/, 200_000);
  vm.pressPowerButton();
  expect((await vm.finished).kind).toBe('poweroff');
}, 1_200_000);

test('programs of the host speak with programs of a stock Debian kernel through named console ports, over a save too', async () => {
  const options = { virtioConsole: true, ports: ['org.example.echo', 'org.example.other'] };
  let vm = await shell(options);
  vm.console.write('cd /sys/class/virtio-ports; for p in *; do echo "$p is $(cat $p/name)"; [ "$(cat $p/name)" = org.example.echo ] && cd /dev && (exec 5<>$p; while read line; do echo "heard $line" >&5; done <&5) & done\n');
  await vm.console.waitFor(/vport\dp\d is org.example.echo\r\n[^]*vport\dp\d is org.example.other\r\n/, 200_000);
  vm.port('org.example.echo').write('one\n');
  await vm.port('org.example.echo').waitFor('heard one\n', 200_000);
  expect([vm.port('org.example.echo').guestOpen, vm.port('org.example.other').guestOpen]).toEqual([true, false]);
  const state = vm.save();
  await vm.stop();
  vm = await VirtualMachine.create({ guest: 'linux', append: 'quiet', ...options });
  vm.load(state);
  void vm.start();
  vm.port('org.example.echo').write(`two ${'x'.repeat(300)}\n`);
  await vm.port('org.example.echo').waitFor(/heard two x{300}\n/, 200_000);
  expect(() => vm.port('org.example.none')).toThrow(/no console port org.example.none; it has org.example.echo, org/);
  await vm.stop();
}, 1_200_000);

test('a stock Debian kernel gets keys and an absolute pointer from virtio devices', async () => {
  const vm = await shell({ input: true, machine: 'microvm' });
  vm.console.write('modprobe evdev; grep -h Polyvisor /proc/bus/input/devices; for e in /dev/input/event*; do exec 3< $e; od -v -A n -t u2 -w24 <&3 & done; echo "list""ening"\n');
  await vm.console.waitFor(/Polyvisor keyboard[^]*Polyvisor tablet[^]*listening/, 200_000);
  vm.sendKeys('aB');
  // Time, type, code and value, which is of two words: a, Shift and b pressed, then released.
  for (const event of ['1 30 1 0', '0 0 0 0', '1 30 0 0', '1 42 1 0', '1 48 1 0', '1 48 0 0', '1 42 0 0']) await vm.console.waitFor(new RegExp(`${event.replaceAll(' ', '\\s+')}\\s*\\r?\\n`), 200_000);
  vm.movePointer(0.5, 1, 1);
  for (const event of ['3 0 16384 0', '3 1 32767 0', '1 272 1 0', '0 0 0 0']) await vm.console.waitFor(new RegExp(`${event.replaceAll(' ', '\\s+')}\\s*\\r?\\n`), 200_000);
  await vm.stop();
}, 1_200_000);

test("memory that a guest has used and freed goes back to the host, and more when it is asked for", async () => {
  const MIB = 1 << 20;
  // More than the machines before have, whose memory may still be there.
  const vm = await shell({ memory: '768M', balloon: true, engine: 'interpreter' });
  const resident = (): number => processMemory(process.pid, 768 * MIB, RAM_BASE)!.guestRamBytes / MIB;
  const until = async (done: () => boolean, what: string): Promise<void> => {
    for (let i = 0; i < 3000 && !done(); i++) await new Promise((resolve) => setTimeout(resolve, 100));
    expect(done(), `${what}: ${resident()} MiB resident, ${vm.memoryGivenBack / MIB} MiB given back`).toBe(true);
  };
  const before = resident();
  await command(vm, 'mount -t tmpfs -o size=300m none /tmp && dd if=/dev/zero of=/tmp/big bs=1M count=250');
  const full = resident();
  expect(full - before).toBeGreaterThan(200);
  // Free page reports come by themselves, some seconds later.
  vm.console.write('rm /tmp/big\n');
  await until(() => resident() < full - 180, 'reported');
  vm.askForMemory(192 * MIB);
  await until(() => vm.memoryGivenBack >= 300 * MIB, 'asked for');
  vm.askForMemory(768 * MIB);
  await until(() => vm.memoryGivenBack === 0, 'back');
  await vm.stop();
}, 1_200_000);

test('a machine has disks of several kinds at once, one of them read-only', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'polyvisor-disks-'));
  try {
    const file = (name: string): string => join(folder, name);
    const contents = randomBytes(3 << 20);
    writeFileSync(file('a'), contents);
    for (const name of ['b', 'c']) writeFileSync(file(name), Buffer.alloc(3 << 20));
    const vm = await shell({ disks: [`${file('a')},readonly`, file('b'), `${file('c')},if=nvme`] });
    await answer(vm, 'cat /sys/block/vda/ro /sys/block/vdb/ro /sys/block/vda/serial; echo', /^1\n0\npolyvisor-0\n/);
    await answer(vm, 'dd if=/dev/zero of=/dev/vda count=1 || echo not writable', /not writable/);
    await hasDisk(vm, '/dev/nvme0n1');
    for (const disk of ['vdb', 'nvme0n1']) await command(vm, `dd if=/dev/vda of=/dev/${disk} bs=64k conv=fsync && cmp /dev/vda /dev/${disk} && blkdiscard -o 1048576 -l 4096 /dev/${disk}`);
    await powerOff(vm);
    expect(readFileSync(file('a')).equals(contents)).toBe(true);
    // What was given back reads as zeros.
    contents.fill(0, 1 << 20, (1 << 20) + 4096);
    for (const name of ['b', 'c']) expect(readFileSync(file(name)).equals(contents), name).toBe(true);
  } finally {
    rmSync(folder, { recursive: true });
  }
}, 1_200_000);
