import { expect, test } from 'vitest';
import { VirtualMachine } from '../../src/index.ts';

test("a stock Debian kernel takes random numbers from a virtio device, and runs a shell on a virtio console", async () => {
  const vm = await VirtualMachine.create({ guest: 'linux', append: 'quiet', rng: true, virtioConsole: true });
  void vm.start();
  await vm.console.waitFor(/# /, 120_000);
  vm.console.write('cat /sys/class/misc/hw_random/rng_current; head -c 4096 /dev/hwrng | sort -u | wc -c\n');
  expect(await vm.console.waitFor(/virtio_rng\.0\s+\d+/, 90_000)).toMatch(/\s[34]\d\d\d$/);
  // A session of its own: a shell in the background of the first one's terminal would be stopped.
  vm.console.write("setsid sh -c 'exec sh < /dev/hvc0 > /dev/hvc0 2>&1' &\n");
  const second = vm.virtioConsole!;
  await second.waitFor(/# /, 90_000);
  second.write('echo "answer: $((6 * 7))"\n');
  expect(await second.waitFor(/answer: \d+/, 90_000)).toBe('answer: 42');
  second.write('poweroff\n');
  expect((await vm.finished).kind).toBe('poweroff');
}, 400_000);
