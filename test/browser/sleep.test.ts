import { describe, expect, it } from 'vitest';
import type * as Polyvisor from '../../src/browser/index.ts';
import { browserMissing, openPage } from './chromium.ts';

declare const polyvisor: typeof Polyvisor;
declare global {
  var vm: Polyvisor.VirtualMachine;
}

const HOUR = 3600;
/** A busy host's delays, in s. */
const LATE = 300;

describe.skipIf(browserMissing !== undefined)(`the guest's clock in Chromium${browserMissing === undefined ? '' : `: ${browserMissing}`}`, () => {
  it.each([1, 2])('is right after the page was frozen and after the device has slept, with %d processors', async (cpus) => {
    const { page, context } = await openPage();
    await page.waitForFunction('globalThis.polyvisor !== undefined');
    await page.evaluate(async (processors) => {
      globalThis.vm = await polyvisor.VirtualMachine.create({ kernel: '/guest/kernel', initrd: '/guest/initrd', append: 'console=ttyS0 quiet', memory: '128M', cpus: processors, overcommit: true });
      void vm.start();
      await vm.console.waitFor(/# /, 400_000);
    }, cpus);
    /** Seconds since the guest's start and since 1970, as the guest says. */
    const guestTime = async (): Promise<readonly [uptime: number, date: number]> => {
      const said = await page.evaluate(() => {
        vm.console.write('echo "ti""me $(cut -d. -f1 /proc/uptime) $(date +%s)"\n');
        // With what follows, for a line may come in pieces.
        return vm.console.waitFor(/time \d+ \d+(?=\s)/, 200_000);
      });
      const [, uptime, date] = said.split(' ').map(Number);
      return [uptime!, date!];
    };
    const [, began] = await guestTime();
    expect(Math.abs(began - Date.now() / 1000)).toBeLessThan(LATE);

    // As browsers do with tabs in the background.
    const devtools = await context.newCDPSession(page);
    const before = await guestTime();
    await devtools.send('Page.setWebLifecycleState', { state: 'frozen' });
    await new Promise((resolve) => setTimeout(resolve, 3000));
    await devtools.send('Page.setWebLifecycleState', { state: 'active' });
    const after = await guestTime();
    for (const i of [0, 1] as const) expect(after[i] - before[i]).toBeGreaterThanOrEqual(2);
    expect(Math.abs(after[1] - Date.now() / 1000)).toBeLessThan(LATE);

    // On a device that sleeps the monotonic clock stands still, so the wall clock is ahead behind it.
    await page.workers().find((worker) => /machine-worker/.test(worker.url()))!.evaluate((seconds) => {
      const now = Date.now;
      Date.now = () => now() + seconds * 1000;
    }, HOUR);
    await new Promise((resolve) => setTimeout(resolve, 2000));
    const awake = await guestTime();
    for (const i of [0, 1] as const) {
      expect(awake[i] - after[i]).toBeGreaterThanOrEqual(HOUR);
      expect(awake[i] - after[i]).toBeLessThan(HOUR + LATE);
    }
    // Timers go on.
    expect(await page.evaluate(() => {
      vm.console.write('sleep 1; echo "sle""pt"\n');
      return vm.console.waitFor(/slept/, 200_000);
    })).toBe('slept');
    await page.evaluate(() => vm.stop().then(() => {}));
  }, 1_200_000);
});
