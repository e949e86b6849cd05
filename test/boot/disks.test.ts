import { isDeepStrictEqual } from 'node:util';
import { describe, expect, test } from 'vitest';
import { VirtualMachine } from '../../src/index.ts';
import { Ext4Image, hasExt4Tools, sha256 } from '../support/ext4.ts';
import { command, hasDisk, powerOff, shell } from '../support/guest-shell.ts';

if (!hasExt4Tools) console.warn('test/boot/disks: mkfs.ext4, e2fsck and debugfs are missing; install e2fsprogs');

const original = new Uint8Array(3_000_000).map((_, i) => (i * 7919) >> 5);

// The file system is made, checked and read by the host's own tools; drivers and file system are the kernel's.
describe.skipIf(!hasExt4Tools)('disks of a stock Debian kernel', () => {
  for (const [kind, guest, device] of [['virtio', 'linux', '/dev/vda'], ['nvme', 'linux', '/dev/nvme0n1'], ['scsi', 'linux', '/dev/sda'], ['ahci', 'linux-i386', '/dev/sda']] as const) {
    test(`${kind}: a file system of the host's is mounted, read, written, and clean afterwards`, async () => {
      const image = new Ext4Image(48, { original });
      try {
        const vm = await shell({ guest, disks: [{ file: image.path, interface: kind }] });
        await hasDisk(vm, device);
        await command(vm, `mkdir /m && mount -t ext4 ${device} /m`);
        expect(await command(vm, 'sha256sum /m/original')).toContain(sha256(original));
        await command(vm, 'mkdir /m/made && cp /m/original /m/made/copy && seq 1 20000 > /m/made/numbers && rm /m/original && umount /m');
        // From the disk, not from what the guest remembers of it.
        expect(await command(vm, `echo 3 > /proc/sys/vm/drop_caches && mount -t ext4 ${device} /m && sha256sum /m/made/copy && umount /m`)).toContain(sha256(original));
        await powerOff(vm);
        expect(image.check()).toBe('');
        expect(sha256(image.read('made/copy'))).toBe(sha256(original));
        expect(Buffer.from(image.read('made/numbers')).toString()).toBe(Array.from({ length: 20000 }, (_, i) => `${i + 1}\n`).join(''));
      } finally {
        image.remove();
      }
    }, 1_200_000);
  }

  test('a machine is saved while it writes, and goes on elsewhere', async () => {
    const image = new Ext4Image(32, {});
    const options = { guest: 'linux', memory: '256M', disks: [image.path] };
    try {
      const first = await shell(options);
      await command(first, 'mkdir /m && mount -t ext4 /dev/vda /m');
      first.console.write('for i in $(seq 1 40); do dd if=/dev/zero bs=64k count=4 2>/dev/null | tr "\\0" "a" > /m/f$i; echo "wro""te $i"; sync; done; umount /m; echo "do""ne $?"\n');
      await first.console.waitFor('wrote 10\r\n', 400_000);
      const state = first.save();
      await first.stop();
      const second = await VirtualMachine.create(options);
      second.load(state);
      expect(isDeepStrictEqual(second.save(), state)).toBe(true);
      void second.start();
      await second.console.waitFor('done 0\r\n', 400_000);
      await powerOff(second);
      expect(image.check()).toBe('');
      for (const name of ['f1', 'f10', 'f11', 'f40']) expect(Buffer.from(image.read(name)).toString() === 'a'.repeat(0x40000), name).toBe(true);
    } finally {
      image.remove();
    }
  }, 1_200_000);
});
