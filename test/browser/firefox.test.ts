import { existsSync } from 'node:fs';
import puppeteer from 'puppeteer-core';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { PolyvisorMachine } from '../../src/browser/element.ts';
import { serveTestPage } from './test-page.ts';

// Stock Firefox, driven by WebDriver BiDi, which playwright-core speaks to later versions only.

declare global {
  var machine: () => PolyvisorMachine;
}

/** Debian's, or what else is there. */
const EXECUTABLE = [process.env['FIREFOX'] ?? '', '/usr/bin/firefox-esr', '/usr/bin/firefox'].find((path) => path !== '' && existsSync(path));
const missing = EXECUTABLE === undefined ? 'no Firefox (Debian: apt-get install firefox-esr)' : undefined;

describe.skipIf(missing !== undefined)(`the element in Firefox${missing === undefined ? '' : `: ${missing}`}`, () => {
  it('boots a stock kernel with two processors to its shell, takes typed keys, and powers off', async () => {
    const { url, close } = await serveTestPage({});
    onTestFinished(close);
    const browser = await puppeteer.launch({ browser: 'firefox', executablePath: EXECUTABLE!, headless: true, timeout: 400_000, protocolTimeout: 1_200_000 });
    onTestFinished(() => browser.close());
    const page = await browser.newPage();
    page.setDefaultTimeout(400_000);
    const errors: unknown[] = [];
    page.on('pageerror', (error) => errors.push(error));
    await page.goto(`${url}element.html`);
    await page.waitForFunction(() => customElements.get('polyvisor-machine') !== undefined);
    await page.evaluate(async () => {
      globalThis.machine = () => document.querySelector('polyvisor-machine')!;
      await machine().start({ kernel: '/guest/kernel', initrd: '/guest/initrd', append: 'console=ttyS0 quiet', memory: '256M', cpus: 2, overcommit: true }).then(() => {});
    });
    const seen = (text: string) => page.waitForFunction((wanted) => machine().serialText.includes(wanted), {}, text);
    await seen('/root #');
    await page.click('polyvisor-machine');
    await page.keyboard.type('echo $(nproc) processors, $((6 * 7))\n');
    await seen('2 processors, 42');
    await page.keyboard.type('poweroff\n');
    await page.waitForFunction(() => machine().state === 'ended');
    expect(errors).toEqual([]);
  }, 1_500_000);
});
