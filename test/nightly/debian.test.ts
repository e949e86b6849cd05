import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, describe, expect, test, vi } from 'vitest';
import { DebianSession } from '../support/debian.ts';
import { checkExt4 } from '../support/ext4.ts';
import { setForward } from '../support/host-clock.ts';

const program = `#include <stdio.h>
#include <math.h>
int main(void) { double s = 0; for (int i = 1; i < 100000; i++) s += 1.0 / i; printf("harmonic %.9f\\n", s); return 0; }
`;

/** Formats a track of a floppy disk, with the ioctls that fdformat uses (linux/fd.h). */
const formatTrack = `import fcntl, os, struct
fd = os.open('/dev/fd0u1440', os.O_RDWR)
fcntl.ioctl(fd, 0x247, 0)
fcntl.ioctl(fd, 0x400c0248, struct.pack('III', 0, 1, 3))
fcntl.ioctl(fd, 0x249, 0)
`;

// Stock packages, systemd and udev on a disk: what somebody would install. Everything below is done by them.
describe('Debian 12 from its own disk', () => {
  let session: DebianSession | undefined;
  const folder = mkdtempSync(join(tmpdir(), 'polyvisor-floppy-'));
  afterEach(() => {
    vi.restoreAllMocks();
    return session?.remove();
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  for (const [bus, device] of [['virtio', '/dev/vda'], ['ahci', '/dev/sda'], ['nvme', '/dev/nvme0n1']] as const) {
    test(`${bus}: systemd to login, python and gcc, a clean power-off and a clean file system`, async () => {
      const floppy = join(folder, `${bus}.img`);
      writeFileSync(floppy, new Uint8Array(1474560).fill(0x11));
      // A host that stands still for twenty seconds is no fault of the guest's.
      session = await DebianSession.boot(bus, { floppy, append: 'nosoftlockup' });
      expect(await session.run('findmnt -n -o SOURCE,OPTIONS /')).toMatch(new RegExp(`^${device} +rw,`));
      expect(await session.run('systemctl is-system-running --wait || systemctl --failed', 900_000)).toBe('running\n');
      expect(await session.run(`python3 -c 'import json, hashlib, decimal; print(hashlib.sha256(json.dumps(list(range(1000))).encode()).hexdigest(), decimal.Decimal(2).sqrt())'`))
        .toBe('3e726f1b6f58ece8e52f367572eb99447da3892ff52903b8790cc8472451385c 1.414213562373095048801688724\n');
      await session.run(`cat > harmonic.c <<'end'\n${program}end`);
      expect(await session.run('gcc -O2 -Wall -o harmonic harmonic.c && ./harmonic')).toBe('harmonic 12.090136130\n');
      // Read back from the disk, not from what the guest remembers.
      await session.run('cp /usr/bin/python3.11 copy && sync && echo 3 > /proc/sys/vm/drop_caches && cmp copy /usr/bin/python3.11');
      await session.run(`modprobe floppy; udevadm settle; [ -b /dev/fd0u1440 ] || mknod /dev/fd0u1440 b 2 28; cat > format.py <<'end'\n${formatTrack}end`);
      await session.run('python3 format.py');
      expect(await session.run('dmesg --level=emerg,alert,crit')).toBe('');
      await session.powerOff();
      expect(checkExt4(session.image)).toBe('');
      const disk = readFileSync(floppy);
      const track = 9216;
      // Linux's filler byte, on head 1 of cylinder 3 and nowhere else.
      expect(disk.subarray(7 * track, 8 * track).every((byte) => byte === 0xf6)).toBe(true);
      expect(disk.filter((byte) => byte === 0x11)).toHaveLength(disk.length - track);
    }, 1_800_000);
  }

  test('after hours of standing still its time of day is soon right, its timers go on and no unit has failed', async () => {
    const hours = 3;
    session = await DebianSession.boot('virtio', { append: 'nosoftlockup' });
    expect(await session.run('systemctl is-system-running --wait || systemctl --failed', 900_000)).toBe('running\n');
    await session.vm.pause();
    setForward(hours * 3_600_000);
    const began = performance.now();
    session.vm.resume();
    while (Math.abs(Number(await session.run('date +%s')) - Date.now() / 1000) > 2) await sleep(500);
    console.log(`right after ${((performance.now() - began) / 1000).toFixed(1)} s`);
    expect(Number(await session.run('cut -d . -f 1 /proc/uptime'))).toBeGreaterThan(hours * 3600);
    expect(await session.run('a=$(date +%s); sleep 2; b=$(date +%s); echo $((b-a))')).toMatch(/^[23]\n$/);
    expect(await session.run('systemctl is-system-running --wait || systemctl --failed', 900_000)).toBe('running\n');
    expect(await session.run('dmesg --level=emerg,alert,crit')).toBe('');
    await session.powerOff();
  }, 1_800_000);
});
