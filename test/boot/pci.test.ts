import { expect, test } from 'vitest';
import { answer, command, powerOff, shell } from '../support/guest-shell.ts';

/** More than there are slots on bus 0: some are behind a bridge. */
const DISKS = 26;

test('a stock Debian kernel finds configuration space in memory, disks behind a bridge, and routes the interrupts', async () => {
  const vm = await shell({ memory: '256M', disks: Array.from({ length: DISKS }, () => 'ram:1M') });
  const boot = await command(vm, 'dmesg | grep -iE "MMCONFIG|0000:00:18|LNK|no space|assign [a-z]|Fatal"');
  expect(boot).toMatch(/PCI: MMCONFIG at \[mem 0xe0000000-0xe0ffffff\] reserved in ACPI motherboard resources/);
  expect(boot).toMatch(/pci 0000:00:18\.0: PCI bridge to \[bus 01\]/);
  expect(boot).toMatch(/ACPI: \\_SB_\.PCI0\.LNK[A-D]: Enabled at IRQ (5|10|11)/);
  expect(boot).not.toMatch(/can't assign|no space|failed to assign|Fatal/i);
  // The last disk lies behind the bridge: what is written to it comes back from it.
  await answer(vm, 'echo "over the bridge" > /tmp/t; cat /tmp/t > /dev/vdz; echo 3 > /proc/sys/vm/drop_caches; head -c 15 /dev/vdz; readlink /sys/block/vdz', /^over the bridge.*0000:00:18\.0\/0000:01:0/);
  await powerOff(vm);
});
