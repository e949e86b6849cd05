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
    const onSerial = (pattern: string) => page.evaluate((wanted) => machine().vm!.console.waitFor(new RegExp(wanted), 400_000).then(() => {}), pattern);
    await onSerial('input: ImExPS/2');
    expect(await page.evaluate(() => machine().shadowRoot!.activeElement?.className)).not.toBe('touch');
    await page.touchscreen.tap(200, 200);
    await page.waitForFunction(() => machine().shadowRoot!.activeElement?.className === 'touch');
    // A shell that begins may lose the first keys.
    await page.keyboard.insertText('true; true; dmesg -n 1; cd /dev/input; (echo typed; exec od -v -A n -t d2 -w16) < $(grep -A 5 ImExPS /proc/bus/input/devices | grep -o event.) > /dev/ttyS0\n');
    await onSerial('typed\\r');
    await screen.click({ position: { x: 300, y: 200 } });
    await page.waitForFunction(() => machine().shadowRoot!.pointerLockElement !== null);
    await page.mouse.move(340, 300, { steps: 5 });
    await page.mouse.down();
    // struct input_event: time, type, code, value: relative motion to the right and down, the left button.
    await onSerial('\\s2 +0 +[1-9][0-9]* +0\\s');
    await onSerial('\\s2 +1 +[1-9][0-9]* +0\\s');
    await onSerial('\\s1 +272 +1 +0\\s');
    await page.evaluate(() => machine().vm!.stop().then(() => {}));
  }, 1_500_000);

  it("gives a guest with a tablet the pointer's place, without catching it", async () => {
    const { page } = await openPage({ touch: true, at: 'element.html' });
    await page.evaluate(() => machine().start({ kernel: '/guest/kernel', initrd: '/guest/initrd', memory: '128M', display: true, input: true, append: 'console=ttyS0 quiet' }).then(() => {}));
    const onSerial = (pattern: string) => page.evaluate((wanted) => machine().vm!.console.waitFor(new RegExp(wanted), 400_000).then(() => {}), pattern);
    await onSerial('# ');
    await page.evaluate(() => machine().vm!.console.write('modprobe evdev; for e in /dev/input/event*; do exec 3< $e; od -v -A n -t u2 -w24 <&3 & done; echo "list""ening"\n'));
    await onSerial('listening');
    // The element's box is wider than the picture, which lies in its middle.
    const box = await page.evaluate(() => {
      const canvas = machine().shadowRoot!.querySelector('canvas')!;
      const { x, y, width, height } = canvas.getBoundingClientRect();
      const scale = Math.min(width / canvas.width, height / canvas.height);
      return { x: x + (width - canvas.width * scale) / 2, y: y + (height - canvas.height * scale) / 2, width: canvas.width * scale, height: canvas.height * scale };
    });
    /** struct input_event behind its time: type, code, value in two words; values of an axis within a pixel, of 32767 for all of it. */
    const arrives = (event: string) => onSerial(`\\s${event.replaceAll(' ', '\\s+')}\\s+0\\s*\\r?\\n`);
    await page.mouse.move(box.x + box.width / 4, box.y + box.height / 2);
    await arrives('3 0 8[12]\\d\\d');
    await arrives('3 1 16[34]\\d\\d');
    await page.mouse.down();
    await arrives('1 272 1');
    // Let go elsewhere, it is let go all the same, and the pointer is at the edge.
    await page.mouse.move(5, box.y + box.height / 2);
    await arrives('3 0 0');
    await page.mouse.up();
    await arrives('1 272 0');
    await page.touchscreen.tap(box.x + box.width / 2, box.y + box.height / 4);
    await arrives('3 0 16[34]\\d\\d');
    await arrives('1 272 1');
    await arrives('1 272 0');
    expect(await page.evaluate(() => machine().shadowRoot!.pointerLockElement)).toBeNull();
    await page.evaluate(() => machine().vm!.stop().then(() => {}));
  }, 1_500_000);
});
