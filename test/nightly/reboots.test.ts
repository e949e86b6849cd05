import { expect, test } from 'vitest';
import { VirtualMachine } from '../../src/index.ts';

// Two hundred resets of a whole Linux in one process: what one leaves behind shows in the sum.

const REBOOTS = 200;
/** Until here caches fill. */
const WARM = 40;
const MOST_GROWTH = 32 << 20;

test(`${REBOOTS} reboots of a Linux leave no growth in memory`, async () => {
  // Nothing to start: the kernel panics, and resets at once. Each time at another place in memory, all of which it clears.
  const vm = await VirtualMachine.create({ guest: 'linux', append: 'init_on_free=1 rdinit=/none root=/dev/none panic=-1', memory: '256M', timeout: 7200 });
  let reboots = 0;
  let warm = 0;
  vm.on('reset', () => {
    reboots++;
    if (reboots === WARM) warm = process.memoryUsage().rss;
    if (reboots === REBOOTS) void vm.stop();
  });
  expect((await vm.start()).kind).toBe('stopped');
  expect(reboots).toBe(REBOOTS);
  expect(process.memoryUsage().rss - warm).toBeLessThan(MOST_GROWTH);
}, 7_200_000);
