import { afterEach, describe, expect, test } from 'vitest';
import { DebianSession } from '../support/debian.ts';
import { checkExt4 } from '../support/ext4.ts';

const program = `#include <stdio.h>
#include <math.h>
int main(void) { double s = 0; for (int i = 1; i < 100000; i++) s += 1.0 / i; printf("harmonic %.9f\\n", s); return 0; }
`;

// Stock packages, systemd and udev on a disk: what somebody would install. Everything below is done by them.
describe('Debian 12 from its own disk', () => {
  let session: DebianSession | undefined;
  afterEach(() => session?.remove());

  for (const [bus, device] of [['virtio', '/dev/vda'], ['ahci', '/dev/sda'], ['nvme', '/dev/nvme0n1']] as const) {
    test(`${bus}: systemd to login, python and gcc, a clean power-off and a clean file system`, async () => {
      session = await DebianSession.boot(bus);
      expect(await session.run('findmnt -n -o SOURCE,OPTIONS /')).toMatch(new RegExp(`^${device} +rw,`));
      expect(await session.run('systemctl is-system-running --wait || systemctl --failed', 900_000)).toBe('running\n');
      expect(await session.run(`python3 -c 'import json, hashlib, decimal; print(hashlib.sha256(json.dumps(list(range(1000))).encode()).hexdigest(), decimal.Decimal(2).sqrt())'`))
        .toBe('3e726f1b6f58ece8e52f367572eb99447da3892ff52903b8790cc8472451385c 1.414213562373095048801688724\n');
      await session.run(`cat > harmonic.c <<'end'\n${program}end`);
      expect(await session.run('gcc -O2 -Wall -o harmonic harmonic.c && ./harmonic')).toBe('harmonic 12.090136130\n');
      // Read back from the disk, not from what the guest remembers.
      await session.run('cp /usr/bin/python3.11 copy && sync && echo 3 > /proc/sys/vm/drop_caches && cmp copy /usr/bin/python3.11');
      expect(await session.run('dmesg --level=emerg,alert,crit')).toBe('');
      await session.powerOff();
      expect(checkExt4(session.image)).toBe('');
    }, 1_800_000);
  }
});
