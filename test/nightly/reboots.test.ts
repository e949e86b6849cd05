import { expect, test } from 'vitest';
import { VirtualMachine } from '../../src/index.ts';

// Two hundred resets of a whole Linux in one process: what one leaves behind shows in the sum.

const REBOOTS = 200;
/** Until here caches fill. Resident memory goes up and down with V8's collections: the least of a window counts. */
const WARM = 40;
const WINDOW = 40;
const MOST_GROWTH = 32 << 20;

test(`${REBOOTS} reboots of a Linux leave no growth in memory`, async () => {
  // Nothing to start: the kernel panics, and resets at once. Each time at another place in memory, all of which it clears.
  const vm = await VirtualMachine.create({ guest: 'linux', append: 'init_on_free=1 rdinit=/none root=/dev/none panic=-1', memory: '256M', timeout: 7200 });
  const resident: number[] = [];
  vm.on('reset', () => {
    resident.push(process.memoryUsage().rss);
    if (resident.length === REBOOTS) void vm.stop();
  });
  expect((await vm.start()).kind).toBe('stopped');
  expect(resident).toHaveLength(REBOOTS);
  const warm = Math.min(...resident.slice(WARM, WARM + WINDOW));
  expect(Math.min(...resident.slice(-WINDOW)) - warm, `resident MiB, every tenth: ${resident.filter((_, i) => i % 10 === 9).map((bytes) => bytes >> 20).join(' ')}`).toBeLessThan(MOST_GROWTH);
}, 7_200_000);
