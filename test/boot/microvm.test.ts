import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { expect, test } from 'vitest';
import { VirtualMachine } from '../../src/index.ts';
import { answer, command, shell } from '../support/guest-shell.ts';

test('a stock Debian kernel uses virtio devices over MMIO, is saved and goes on, resets, and powers off by its button', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'polyvisor-microvm-'));
  try {
    const contents = randomBytes(2 << 20);
    const [from, to] = [join(folder, 'a'), join(folder, 'b')];
    writeFileSync(from, contents);
    writeFileSync(to, Buffer.alloc(contents.length));
    const options = { guest: 'linux', machine: 'microvm', append: 'quiet', memory: '256M', rng: true, virtioConsole: true, noReboot: true, disks: [`${from},readonly`, to] } as const;
    const vm = await shell(options);
    await answer(vm, 'ls /sys/bus/pci/devices | wc -l; cat /sys/block/vda/ro /sys/block/vdb/ro', /^0\n1\n0\n/);
    await answer(vm, 'cat /sys/class/dmi/id/product_name', /^microvm\n/);
    await answer(vm, 'dd if=/dev/vda of=/dev/vdb bs=64k conv=fsync && cmp /dev/vda /dev/vdb && echo same', /same/);
    expect(readFileSync(to).equals(contents)).toBe(true);
    expect(await answer(vm, 'cat /sys/class/misc/hw_random/rng_current; head -c 4096 /dev/hwrng | sort -u | wc -c', /virtio_rng\.0\n\d+/)).toMatch(/\n[34]\d\d\d$/);
    await command(vm, 'echo "over MM""IO" > /dev/hvc0');
    await vm.virtioConsole!.waitFor('over MMIO', 200_000);

    const state = vm.save();
    vm.pressPowerButton();
    expect((await vm.finished).kind).toBe('poweroff');
    const other = await VirtualMachine.create(options);
    other.load(state);
    expect(isDeepStrictEqual(other.save(), state)).toBe(true);
    void other.start();
    await answer(other, 'echo 3 > /proc/sys/vm/drop_caches; cmp /dev/vda /dev/vdb && echo still same', /still same/);
    other.console.write('reboot\n');
    expect((await other.finished).kind).toBe('reset');
  } finally {
    rmSync(folder, { recursive: true });
  }
}, 1_200_000);
