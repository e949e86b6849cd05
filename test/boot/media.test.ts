import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { VirtualMachine } from '../../src/index.ts';
import { attempt, command, hasDisk, powerOff, ready } from '../support/guest-shell.ts';

const FLOPPY_BYTES = 1474560;
const folder = mkdtempSync(join(tmpdir(), 'polyvisor-media-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** An image that says what it is at its start and in its last sector. */
function image(name: string, bytes: number): string {
  const contents = new Uint8Array(bytes);
  contents.set(Buffer.from(`${name} begins`));
  contents.set(Buffer.from(`${name} ends`), bytes - 512);
  const path = join(folder, name);
  writeFileSync(path, contents);
  return path;
}

// Drives, drivers and what they make of a change are the kernel's own.
test('CDs and floppy disks are changed while a stock kernel runs', async () => {
  const [first, second] = [image('first.iso', 1 << 20), image('second.iso', 3 << 20)];
  const [red, blue] = [image('red.img', FLOPPY_BYTES), image('blue.img', FLOPPY_BYTES)];
  const vm = await VirtualMachine.create({ guest: 'linux-i386', append: 'quiet', memory: '128M', cdrom: first, floppy: null });
  try {
    void vm.start();
    await ready(vm);
    const disc = 'blockdev --getsize64 /dev/sr0; head -c 64 /dev/sr0 | tr -d "\\0"; echo';
    expect(await attempt(vm, disc)).toMatch(/^1048576\nfirst.iso begins\n/);
    await vm.changeMedium('cdrom', second);
    expect(await attempt(vm, disc)).toMatch(/^3145728\nsecond.iso begins\n/);
    // Linux locks the drive as long as somebody has the device open.
    await attempt(vm, 'exec 3</dev/sr0');
    await expect(vm.changeMedium('cdrom')).rejects.toThrow('the guest uses what is in the CD-ROM drive');
    await attempt(vm, 'exec 3<&-');
    await vm.changeMedium('cdrom');
    expect(await attempt(vm, 'head -c 64 /dev/sr0')).toMatch(/No medium found[^]*\[status 1\]/);
    await vm.changeMedium('cdrom', first);
    expect(await attempt(vm, disc)).toMatch(/^1048576\nfirst.iso begins\n/);

    await command(vm, 'modprobe floppy');
    await hasDisk(vm, '/dev/fd0');
    expect(await attempt(vm, 'head -c 64 /dev/fd0')).toContain('[status 1]');
    await vm.changeMedium('floppy', red);
    const ends = 'head -c 64 /dev/fd0 | tr -d "\\0"; tail -c 512 /dev/fd0 | tr -d "\\0"';
    expect(await attempt(vm, ends)).toContain('red.img beginsred.img ends');
    await vm.changeMedium('floppy', blue);
    // In its first five minutes, while its 32-bit clock is negative, the driver does not look at the change line when the
    // device is opened: the first access fails, as for a disk that is changed while it is in use.
    await attempt(vm, 'head -c 1 /dev/fd0');
    expect(await attempt(vm, ends)).toContain('blue.img beginsblue.img ends');
    expect(await attempt(vm, 'echo written | dd of=/dev/fd0 bs=512 seek=100 conv=sync,fsync 2>/dev/null')).toContain('[status 0]');
    await vm.changeMedium('floppy');
    expect(readFileSync(blue).subarray(51200, 51208).toString()).toBe('written\n');
    expect(readFileSync(red).subarray(51200, 51208)).toEqual(Buffer.alloc(8));
    await powerOff(vm);
  } finally {
    await vm.stop();
  }
}, 1_200_000);
