import { describe, expect, it } from 'vitest';
import type { PolyvisorMachine } from '../../src/browser/element.ts';
import { catalogue } from '../../src/host-node/guests/catalogue.ts';
import { browserMissing, openPage } from './chromium.ts';

declare const machine: () => PolyvisorMachine;

// Linux's drivers for the keyboard and the mouse say what has arrived.
describe.skipIf(browserMissing !== undefined)(`the element in Chromium${browserMissing === undefined ? '' : `: ${browserMissing}`}`, () => {
  it('gives the guest the mouse once it is caught, and what is typed on a touch keyboard', async () => {
    const { kernel, initrd } = await catalogue.find(({ name }) => name === 'linux-i386')!.fetch(() => {});
    const { page } = await openPage({ touch: true, at: 'element.html', routes: { '/guest/kernel-i386': kernel, '/guest/initrd-i386': initrd! } });
    await page.evaluate(() => machine().start({ kernel: '/guest/kernel-i386', initrd: '/guest/initrd-i386', memory: '128M', display: true, append: 'console=ttyS0 console=tty0' }).then(() => {}));
    const screen = page.locator('polyvisor-machine canvas');
    // The shell on the console is that of the screen now; the serial port is a file like any other.
    const onSerial = (pattern: string) => page.evaluate((wanted) => machine().vm!.console.waitFor(new RegExp(wanted), 120_000).then(() => {}), pattern);
    await onSerial('input: ImExPS/2');
    expect(await page.evaluate(() => machine().shadowRoot!.activeElement?.className)).not.toBe('touch');
    await page.touchscreen.tap(200, 200);
    expect(await page.evaluate(() => machine().shadowRoot!.activeElement?.className)).toBe('touch');
    // A shell that begins may lose the first keys.
    await page.keyboard.insertText('true; true; cd /dev/input; (echo typed; exec od -v -A n -t d2 -w16) < event2 > /dev/ttyS0\n');
    await onSerial('typed');
    await screen.click({ position: { x: 300, y: 200 } });
    await page.waitForFunction(() => machine().shadowRoot!.pointerLockElement !== null);
    await page.mouse.move(340, 300, { steps: 5 });
    await page.mouse.down();
    // struct input_event: time, type, code, value: relative motion to the right and down, the left button.
    await onSerial('\\s2 +0 +[1-9][0-9]* +0\\s');
    await onSerial('\\s2 +1 +[1-9][0-9]* +0\\s');
    await onSerial('\\s1 +272 +1 +0\\s');
    await page.evaluate(() => machine().vm!.stop().then(() => {}));
  }, 240_000);
});
